"""What a prediction costs, when it has become dear, and when a worker has no time left."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from flyball.declare.units import Money
from flyball.monitoring.usage import COST, MINUTE, SPARE, Reading, Usage, metered, price, usage_findings
from flyball.records.alerts import Finding
from flyball.records.evidence import Traffic

DAY, START = 1_440, 28_000_000
"""In minutes."""


def traffic(version: str, minute: int, n: int, role: str = "champion") -> Traffic:
    return Traffic(model="m", version=version, role=role, rollout="", weight=0, minute=minute, n=n)  # type: ignore[arg-type]


def run(usage: Usage, minutes: int, *, each_ms: float, n: int = 600, since: int = START, version: str = "1.0.0") -> Usage:
    """So many minutes of n predictions that take so much each."""
    for minute in range(since, since + minutes):
        reading = {version: Reading(n * each_ms / 1000, 60.0)}
        usage = metered(usage, reading, (traffic(version, minute, n),), champion=version, now=minute * MINUTE)
    return usage


def said(usage: Usage, minute: int) -> dict[str, Finding]:
    return {one.monitor: one for one in usage_findings(usage, minute * MINUTE)}


def test_a_prediction_that_takes_twice_what_it_took_on_the_first_day_is_a_spike_within_an_hour() -> None:
    usage = run(Usage(model="m"), DAY + 10, each_ms=4)
    assert said(usage, START + DAY + 9)[COST].severity == "none"
    usage = run(usage, 60, each_ms=9, since=START + DAY + 10)
    found = said(usage, START + DAY + 69)[COST]
    assert (found.severity, found.failure) == ("alert", "cost")
    assert found.why == "1,000 predictions took 9 CPU s in the last hour; its first day took 4"


def test_a_burst_of_dear_predictions_that_is_over_is_no_spike() -> None:
    usage = run(Usage(model="m"), DAY + 10, each_ms=4)
    usage = run(usage, 20, each_ms=40, since=START + DAY + 10)
    usage = run(usage, 35, each_ms=4, since=START + DAY + 30)
    assert said(usage, START + DAY + 64)[COST].severity == "none"


def test_ten_times_the_traffic_is_no_spike_and_neither_is_a_tenth() -> None:
    usage = run(Usage(model="m"), DAY + 10, each_ms=4)
    for n in (6_000, 60):
        after = run(usage, 60, each_ms=4, n=n, since=START + DAY + 10)
        assert said(after, START + DAY + 69)[COST].severity == "none"


def test_what_an_idle_worker_takes_is_no_spike_of_its_few_predictions() -> None:
    usage = run(Usage(model="m"), DAY + 10, each_ms=0.1, n=6_000)
    # twenty a minute, and a hundredth of a processor for nothing
    after = run(usage, 60, each_ms=0.6 / 20 * 1000, n=20, since=START + DAY + 10)
    found = said(after, START + DAY + 69)[COST]
    assert found.n == 1_200
    assert found.severity == "none", "the effect is large, and it matters to nobody"


def test_a_release_is_held_to_what_the_former_version_took_for_a_week() -> None:
    usage = run(Usage(model="m"), 300, each_ms=4)
    usage = run(usage, 70, each_ms=12, since=START + 300, version="1.1.0")
    found = said(usage, START + 369)[COST]
    assert (found.severity, found.why.endswith("the former version took 4")) == ("alert", True)
    alike = run(run(Usage(model="m"), 300, each_ms=4), 70, each_ms=5, since=START + 300, version="1.1.0")
    assert said(alike, START + 369)[COST].severity == "none"


def test_rows_that_are_scored_in_shadow_share_what_the_worker_took() -> None:
    usage = run(Usage(model="m"), DAY + 10, each_ms=4)
    for minute in range(START + DAY + 10, START + DAY + 70):
        both = (traffic("1.0.0", minute, 100), traffic("1.0.0", minute, 500, "shadow"))
        usage = metered(usage, {"1.0.0": Reading(2.4, 60.0)}, both, champion="1.0.0", now=minute * MINUTE)
    assert said(usage, START + DAY + 69)[COST].severity == "none"


def test_a_worker_that_takes_a_whole_processor_for_ten_minutes_is_warned_of() -> None:
    usage = run(Usage(model="m"), 12, each_ms=97)
    found = said(usage, START + 11)[SPARE]
    assert (found.severity, found.failure, round(found.effect or 0, 2)) == ("warn", "latency", 0.97)
    assert said(run(Usage(model="m"), 5, each_ms=97), START + 4)[SPARE].standing == "insufficient"
    assert said(run(Usage(model="m"), 12, each_ms=50), START + 11)[SPARE].severity == "none"


def test_a_model_whose_worker_was_never_measured_says_nothing() -> None:
    assert usage_findings(Usage(model="m"), START * MINUTE) == []
    assert price(Usage(model="m"), START * MINUTE, hour_price=None, watts=10) is None


def test_a_thousand_predictions_cost_their_processor_time_and_no_money_where_no_price_is_known() -> None:
    usage = run(Usage(model="m"), 30, each_ms=3.6)
    now = (START + 29) * MINUTE
    found = price(usage, now, hour_price=Money(0.5, "EUR"), watts=10)
    assert found is not None
    assert (round(found.cpu_s, 6), round(found.watt_hours, 6), found.currency) == (3.6, 0.01, "EUR")
    assert found.money is not None
    assert round(found.money, 9) == 0.0005
    unpriced = price(usage, now, hour_price=None, watts=10)
    assert unpriced is not None
    assert (unpriced.money, unpriced.currency) == (None, "")


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 20_000), st.integers(0, 500)), max_size=60))
def test_counts_are_neither_lost_nor_doubled_within_a_week_and_stay_bounded(parts: list[tuple[int, int]]) -> None:
    usage, newest = Usage(model="m"), 0
    for minute, n in sorted(parts):
        newest = START + minute
        usage = metered(usage, {"1.0.0": Reading(n / 100, 60.0)}, (traffic("1.0.0", newest, n),), champion="1.0.0", now=newest * MINUTE)
    slabs = usage.versions.get("1.0.0", ())
    assert len(slabs) <= 121 + 169
    if newest - START <= 10_080:
        assert sum(used.n for used in slabs) == sum(n for _, n in parts)
