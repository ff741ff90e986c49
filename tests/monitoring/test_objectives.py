"""An error budget is read off the counts; it pages when it burns, and not for one bad request of three."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.monitoring.conftest import DAY, HOUR, MINUTE, START, quality, traffic

import flyball as fb
from flyball.clock import Span
from flyball.data.staleness import stale_within, with_stale
from flyball.monitoring.alerts import alerts
from flyball.monitoring.objectives import SLOW_BURN, Stale, budgets, held_by, next_due, objective_findings
from flyball.monitoring.slabs import Slab, extend
from flyball.monitoring.state import MonitorState, absorb
from flyball.records.alerts import AlertRow, AlertState
from flyball.records.data import StaleTime
from flyball.records.evidence import Batch
from flyball.stats.burn import PAGES, false_pages, minutes_to_page

ERRORS = fb.Objective("error_rate", target="99%", window="30d")
NOON = START + 12 * HOUR


def minutes(counts, until=NOON):
    """Slabs of one minute each, the last one at `until`: (requests, errors) a minute."""
    last = until // MINUTE
    new = [Slab(start=last - len(counts) + 1 + at, n=n, errors=bad) for at, (n, bad) in enumerate(counts) if n]
    return extend((), new, until)


def one(objective, slabs=(), stale=(), now=NOON):
    [budget] = budgets([objective], slabs, stale, now=now)
    return budget


def say(objective, slabs=(), stale=(), now=NOON):
    """The findings: of the page, and of the ticket."""
    found = {finding.slice: finding for finding in objective_findings([objective], budgets([objective], slabs, stale, now=now))}
    return found.get(""), found.get(SLOW_BURN)


def test_a_budget_says_how_much_of_it_is_left():
    budget = one(ERRORS, minutes([(100, 0)] * 90 + [(100, 3)] * 10))
    assert (budget.events, budget.bad, budget.unit) == (10_000, 30, "requests")
    assert budget.left == pytest.approx(0.7)
    assert not budget.spent
    assert [burn.times for burn in budget.burns] == [14.4, 6, 1]


def test_one_bad_request_of_three_at_night_pages_nobody():
    page, ticket = say(ERRORS, minutes([(0, 0)] * 57 + [(1, 0), (1, 1), (1, 0)]))
    assert (page.severity, page.standing) == ("none", "insufficient")
    assert "3 requests in 6h are too few to say" in page.why
    assert ticket.standing == "insufficient"
    nine = minutes([(1, 0)] * 150 + [(1, 1)] * 9)
    assert say(ERRORS, nine)[0].severity == "none", "nine bad requests of many are too few as well"
    assert not one(ERRORS, nine).spent


def test_an_outage_pages_within_nine_minutes_and_a_burn_of_twenty_within_the_hour_as_the_formula_says():
    for share, budget in ((1.0, 0.01), (0.2, 0.01), (1.0, 0.001)):
        objective = fb.Objective("error_rate", target=1 - budget, window="30d")
        took = next(
            at for at in range(1, 120) if say(objective, minutes([(50, 0)] * 400 + [(50, round(50 * share))] * at))[0].severity == "alert"
        )
        assert took == pytest.approx(minutes_to_page(share, 3_000, budget), abs=1.01)
        assert took <= 60


def test_a_page_says_how_fast_it_burns_in_both_windows_and_what_is_left():
    page, _ = say(ERRORS, minutes([(50, 0)] * 400 + [(50, 50)] * 9))
    assert (page.monitor, page.failure, page.standing) == ("error_rate, 99% over 30d", "errors", "settled")
    assert "450 of 3,050 requests in 1h were bad" in page.why
    assert "14.4× in both pages" in page.why
    assert "the budget of 30d is spent until" in page.why


def test_a_page_is_over_when_both_windows_are_below():
    counts, rows, seen = [(50, 0)] * 60 + [(50, 50)] * 20, {}, []
    for quiet in range(0, 600, 5):
        now = NOON + quiet * MINUTE
        [*found] = objective_findings([ERRORS], budgets([ERRORS], minutes(counts + [(50, 0)] * quiet, now), now=now))
        for moved in alerts("m", rows, [one for one in found if not one.slice], now):
            rows[moved.key] = AlertRow(
                key=moved.key, model="m", monitor=moved.monitor, state=moved.target, episode=moved.episode, since=now, finding=moved.finding
            )
            seen.append((quiet, moved.target))
    [(began, first), (over, last)] = seen
    assert (began, first, last) == (0, AlertState.FIRING, AlertState.RESOLVED)
    assert 60 <= over <= 365, "the short window was below after half an hour, the long one was not"


def test_a_slow_burn_is_a_ticket_and_no_page():
    page, ticket = say(ERRORS, minutes([(50, 1)] * 119))
    assert page.severity == "none"
    assert (ticket.severity, ticket.failure, ticket.floor) == ("warn", "errors", 1.0)


def test_a_year_at_half_the_budget_pages_nobody_and_the_bound_says_so():
    """Whatever minute could page is put to the rule itself."""
    random = np.random.default_rng(7)
    for per_minute, budget in ((2, 0.01), (30, 0.001), (100, 0.01)):
        bad = random.binomial(per_minute, budget / 2, 365 * 1_440)
        counts, objective = np.cumsum(bad), fb.Objective("error_rate", target=1 - budget, window="30d")
        suspects = [
            at
            for pace in PAGES
            for at in np.flatnonzero(counts[pace.long :] - counts[: -pace.long] >= max(10, pace.times * budget * per_minute * pace.long))
            + pace.long
        ]
        for at in suspects:
            slabs = minutes([(per_minute, int(each)) for each in bad[max(0, at - 500) : at + 1]])
            assert say(objective, slabs)[0].severity == "none"
        assert false_pages(60 * per_minute, budget) < 0.1


def test_the_stated_rate_of_false_pages_bounds_what_a_simulation_counts():
    random, per_hour, budget = np.random.default_rng(3), 120, 0.01
    bad = random.binomial(2, 4 * budget, 60 * 1_440)
    counts = np.concatenate([[0], np.cumsum(bad)])
    share = sum(
        float(np.mean(counts[pace.long :] - counts[: -pace.long] >= max(10, pace.times * budget * per_hour * pace.long / 60)))
        for pace in PAGES
    )
    assert 0 < share * 525_600 < 1.5 * false_pages(per_hour, budget, spent=4)
    assert false_pages(1, budget) == 0, "what cannot page pages nobody falsely"


@given(st.integers(17, 60_000), st.floats(1e-4, 0.16))
def test_half_a_budget_pages_less_than_once_in_eighty_years_at_any_traffic(per_hour, budget):
    assert false_pages(per_hour, budget) < 1 / 80


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), min_size=1, max_size=300),
    st.lists(st.integers(1, 299), max_size=6),
)
def test_a_budget_is_the_same_however_time_is_cut(counts, cuts):
    batches = [traffic(n, min(bad, n), START + at * MINUTE) for at, (n, bad) in enumerate(counts)]
    until, cuts = START + (len(counts) - 1) * MINUTE, sorted(min(cut, len(counts)) for cut in cuts)
    by_minute = MonitorState(model="m")
    for batch in batches:
        by_minute = absorb(by_minute, batch, ())
    cut = MonitorState(model="m")
    for first, last in zip([0, *cuts], [*cuts, len(counts)], strict=True):
        part = tuple(item for batch in batches[first:last] for item in batch.traffic)
        cut = absorb(cut, Batch(until=START + (last - 1) * MINUTE, traffic=part), ())
    for now in (until, until + HOUR):
        assert one(ERRORS, by_minute.slabs, now=now) == one(ERRORS, cut.slabs, now=now)
    assert one(ERRORS, cut.slabs, now=until).bad == sum(min(n, bad) for n, bad in counts)


def test_a_request_is_slow_from_the_cell_after_the_bounds_on():
    objective = fb.Objective(fb.metric("latency_p99") <= "50ms", target="99%", window="1d")
    fast, bound, slow = (int(8 * np.log2(micros)) for micros in (20_000, 50_000, 56_000))
    budget = one(objective, [Slab(start=NOON // MINUTE, n=1_000, latency={fast: 900, bound: 60, slow: 40})])
    assert (budget.events, budget.bad, budget.metric) == (1_000, 40, "latency_p99")
    assert (budget.kind, budget.spent) == ("slow", True)
    assert say(objective, [Slab(start=NOON // MINUTE, n=1_000, latency={slow: 1_000})])[0].failure == "latency"


def test_rows_are_good_or_bad_by_what_the_metric_speaks_of():
    part = msgspec.structs.replace(quality(1_000, 100, NOON), tp=200, fp=50, fn=50, tn=700)
    slabs = [Slab(start=NOON // MINUTE, quality=(part, msgspec.structs.replace(part, slice="day=1")))]
    for name, expected in {"accuracy": (100, 1_000), "precision": (50, 250), "recall": (50, 250), "false_positive_rate": (50, 750)}.items():
        budget = one(fb.Objective(name, target="80%", window="30d"), slabs)
        assert (budget.bad, budget.events, budget.unit) == (*expected, "labelled rows")
    found = say(fb.Objective("accuracy", target="95%", window="30d"), slabs)
    assert found[0].failure == "performance"


def test_a_check_is_held_by_the_day_and_speaks_when_its_budget_is_spent():
    objective = fb.Objective(fb.metric("mae") <= 2, target="75%", window="30d")

    def day(number, error, rows=100):
        minute = START // MINUTE + number * 1_440 + 5
        counted = msgspec.structs.replace(
            quality(rows, 0, 0), minute=minute, abs_error=error * rows, sq_error=error**2 * rows, quad_error=error**4 * rows
        )
        return Slab(start=minute, quality=(counted,))

    slabs = [day(0, 1.0), day(1, 3.0), day(2, 1.0), day(3, 9.0, rows=20), day(4, 1.0)]
    during = one(objective, slabs, now=START + 4 * DAY + HOUR)
    assert (during.bad, during.events, during.unit) == (1, 3, "days"), "neither the day with few rows counts nor the one that goes on"
    after = one(objective, slabs, now=START + 5 * DAY)
    assert (after.bad, after.events, after.spent, after.burns) == (1, 4, True, ())
    [finding] = objective_findings([objective], [after])
    assert (finding.severity, finding.failure) == ("warn", "performance")
    coarse = extend((), slabs, START + 20 * DAY)
    assert one(objective, coarse, now=START + 20 * DAY).bad == 1, "it stays so as the counts grow coarse"


def test_time_in_which_data_were_stale_is_a_burn_without_any_number_of_events():
    objective = fb.Objective("freshness", target="99%", window="30d")
    fresh = Stale("rows", NOON - 10 * DAY, ())
    assert one(objective, stale=[fresh]).left == 1
    stale = Stale("rows", NOON - 10 * DAY, (StaleTime(start=NOON - 20 * MINUTE, end=NOON, stale=20 * MINUTE),))
    budget = one(objective, stale=[fresh, stale])
    assert (budget.bad, budget.events, budget.unit) == (20, 14_400, "minutes")
    page, ticket = say(objective, stale=[fresh, stale])
    assert (page.severity, page.failure) == ("alert", "stale_data")
    assert ticket.severity == "none"
    new = Stale("rows", NOON - 30 * MINUTE, (StaleTime(start=NOON - 20 * MINUTE, end=NOON, stale=20 * MINUTE),))
    assert say(objective, stale=[new])[0].standing == "insufficient", "it is known for half an hour"


def test_a_spent_budget_is_back_by_itself_when_it_says():
    slabs = minutes([(100, 0)] * 60 + [(100, 100)] * 5 + [(100, 0)] * 50)
    objective = fb.Objective("error_rate", target="99%", window="6h")
    budget = one(objective, slabs)
    assert held_by([budget]) == [f'the error budget of "{objective}" is spent until 2023-11-14']
    assert NOON < budget.back_at <= NOON + 6 * HOUR
    assert next_due([budget], NOON) <= budget.back_at
    steady = extend(slabs, [Slab(start=NOON // MINUTE + at, n=100) for at in range(1, 400)], NOON)
    assert one(objective, steady, now=budget.back_at - 2 * HOUR).spent
    assert not one(objective, steady, now=budget.back_at + MINUTE).spent
    assert next_due([one(objective, ())], NOON) is None


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 4_000), st.integers(1, 4_000)), max_size=40))
def test_stale_time_is_additive_and_exact_for_three_days(gaps):
    times, at, spans = (), START, []
    for fresh, stale in gaps:
        start = at + fresh * MINUTE
        at = start + stale * MINUTE
        spans.append((start, at))
        times = with_stale(times, start, at)
    exact = [StaleTime(start=start, end=end, stale=end - start) for start, end in spans]
    assert len(times) <= 101 + sum(end > at - 4 * DAY for _, end in spans)
    for span in (HOUR, DAY, 3 * DAY):
        assert stale_within(times, at - span, at) == pytest.approx(stale_within(exact, at - span, at))
    if at - START < 100 * DAY:
        assert stale_within(times, 0, at) == pytest.approx(sum(end - start for start, end in spans))


def test_an_objective_reads_as_it_was_declared():
    assert str(fb.Objective(fb.metric("latency_p99") <= "50ms", target="99.5%", window="7d")) == "latency_p99 ≤ 50ms, 99.5% over 7d"
    assert ERRORS.window == Span.parse("30d")
