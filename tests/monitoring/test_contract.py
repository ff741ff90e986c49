"""Requests that break their contract: a renamed column is an alert within minutes that names it, a lone bad client is none."""

from __future__ import annotations

import pytest
from tests.monitoring.conftest import DAY, HOUR, MINUTE, START, make_model, traffic

from flyball.monitoring import rules
from flyball.monitoring.contract import CONTRACT, contract_findings
from flyball.monitoring.state import MonitorState, absorb, released
from flyball.records.evidence import MOST_BREACHES, Batch, Refusals, tallied


def fresh():
    return released(MonitorState(model="m"), "1.0.0", 0.2, START)


def minute(state, at, good, refused=0, **breaches):
    """One minute: so many that were answered, so many that were refused, and why."""
    told = {key.replace("_", " ", 1): count for key, count in breaches.items()}
    own = Refusals(model="m", minute=at // MINUTE, refused=refused, breaches=told)
    batch = Batch(until=at, traffic=traffic(good, 0, at).traffic if good else (), refusals=(own,) if refused or told else ())
    return absorb(state, batch, ())


def ordinary(state, start, minutes, good=4):
    for number in range(minutes):
        state = minute(state, start + number * MINUTE, good)
    return state


@pytest.fixture(scope="module")
def day():
    """A day of ordinary requests, four a minute."""
    return ordinary(fresh(), START, 1_440)


def say(state, now):
    return {found.column: found for found in contract_findings(state.slabs, now)}


def test_a_renamed_column_is_an_alert_within_six_minutes_that_names_both(day):
    state, now, waits = day, START + DAY, []
    for number in range(8):
        now = START + DAY + number * MINUTE
        state = minute(state, now, 0, 4, missing_amount=4, unknown_amt=4)
        found = say(state, now)
        waits.append((found["amount"].severity, found["amount"].standing))
    assert waits.index(("alert", "settled")) <= 5
    told = found["amount"]
    assert (told.failure, told.value) == ("schema_change", "missing")
    assert told.why.startswith(
        "amount: missing in 13.3% of 240 requests of the last hour, 0% in the week before; unknown field amt in 13.3%"
    )
    assert {column for column, one in found.items() if one.severity != "none"} == {"amount"}, (
        "one column is one alert, under whatever name it is sent"
    )


def test_it_is_over_some_minutes_after_the_caller_was_mended(day):
    state = day
    for number in range(10):
        state = minute(state, START + DAY + number * MINUTE, 0, 4, missing_amount=4)
    state = ordinary(state, START + DAY + 10 * MINUTE, 7)
    assert say(state, START + DAY + 16 * MINUTE)["amount"].standing == "pending"
    state = ordinary(state, START + DAY + 17 * MINUTE, 60)
    found = say(state, START + DAY + 76 * MINUTE)["amount"]
    assert (found.severity, found.standing) == ("none", "settled")


def test_it_is_found_where_there_was_hardly_anything_before():
    state = ordinary(fresh(), START, 3)
    for number in range(6):
        state = minute(state, START + (3 + number) * MINUTE, 0, 4, missing_amount=4)
    found = say(state, START + 8 * MINUTE)["amount"]
    assert (found.severity, found.standing) == ("alert", "settled")


def test_a_burst_of_a_lone_client_pages_nobody(day):
    state = day
    for number in range(30):
        bad = 40 if 10 <= number < 14 else 0
        state = minute(state, START + DAY + number * MINUTE, 4, bad, **({"type_amount": bad} if bad else {}))
        found = say(state, START + DAY + number * MINUTE)
        assert not any(one.severity != "none" and one.standing == "settled" for one in found.values())


def test_a_client_that_is_one_of_fifty_is_not_told_either(day):
    state = day
    for number in range(60):
        state = minute(state, START + DAY + number * MINUTE, 98, 1, range_amount=1)
    assert say(state, START + DAY + HOUR)["amount"].severity == "none"


def test_what_was_always_so_is_no_change():
    state = fresh()
    for number in range(1_440):
        state = minute(state, START + number * MINUTE, 4, 1, value_kind=1)
    assert say(state, START + DAY)["kind"].severity == "none"


@pytest.mark.parametrize(("bad", "severity"), [(1, "none"), (3, "warn"), (8, "alert")])
def test_values_that_are_imputed_or_marked_count_as_well(day, bad, severity):
    state = day
    for number in range(60):
        state = minute(state, START + DAY + number * MINUTE, 100, 0, imputed_amount=bad)
    found = say(state, START + DAY + HOUR)["amount"]
    assert found.severity == severity
    assert "broke its contract and was imputed in" in found.why


def test_what_names_no_column_is_told_of_the_whole(day):
    state = day
    for number in range(10):
        state = minute(state, START + DAY + number * MINUTE, 0, 4, **{"other_*": 4})
    found = say(state, START + DAY + 9 * MINUTE)
    assert set(found) == {""}
    assert (found[""].severity, found[""].standing) == ("alert", "settled")
    assert found[""].why.startswith("refused without a look at a column: 16.7% of 240 requests")


def test_a_trickle_of_requests_is_looked_at_over_a_day_and_less_is_insufficient():
    state = fresh()
    for hour in range(8 * 24):
        bad = hour >= 7 * 24
        state = minute(state, START + hour * HOUR, 0 if bad else 1, 1 if bad else 0, **({"missing_amount": 1} if bad else {}))
    found = say(state, START + 8 * DAY - HOUR)["amount"]
    assert (found.severity, found.standing) == ("alert", "settled")
    assert "requests of the last 24 hours" in found.why
    few = minute(fresh(), START, 3)
    assert say(few, START)[""].standing == "insufficient"


def test_other_models_requests_are_theirs():
    batch = Batch(until=START, refusals=(Refusals(model="other", minute=START // MINUTE, refused=50, breaches={"missing amount": 50}),))
    assert absorb(fresh(), batch, ()).slabs == ()


def test_a_caller_cannot_fill_the_memory_with_names():
    kept = {}
    for number in range(1_000):
        kept = tallied(kept, {f"unknown n{number}": 1, "missing amount": 1})
    assert len(kept) == MOST_BREACHES + 2
    assert (kept["missing amount"], sum(kept.values())) == (1_000, 2_000)


def test_the_monitor_is_on_for_every_model(day):
    assert CONTRACT in {found.monitor for found in rules.assess(make_model(monitors=[]), day, now=START + DAY).findings}
