"""Requests that stop, collapse or explode are found within hours; a year of ordinary weeks is quiet."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.monitoring.conftest import HOUR, MINUTE, START, make_model, traffic

from flyball.monitoring import rules, volume
from flyball.monitoring.state import MonitorState, absorb, released
from flyball.monitoring.volume import ARRIVE, Arrivals, arrive, silence_after, volume_findings

FIRST = START // MINUTE


def expected(per_day, hour):
    """Requests in an hour: a tenth at night of what comes by day, half as many on two days of the week."""
    cycle = 1 - 0.8 * np.cos(2 * np.pi * (hour % 24) / 24)
    weekly = 0.5 if (hour // 24) % 7 >= 5 else 1.0
    return per_day / 24 * cycle * weekly * 7 / 6


def hours(rng, per_day, span, *, first=0, times=1.0, spread=0.0):
    """Hour by hour: (its number, requests by minute)."""
    days = rng.normal(0, spread, (first + span) // 24 + 2) if spread else np.zeros((first + span) // 24 + 2)
    for hour in range(first, first + span):
        mean = times * expected(per_day, hour) * np.exp(days[hour // 24]) / 60
        yield hour, [(FIRST + hour * 60 + minute, int(n)) for minute, n in enumerate(rng.poisson(mean, 60)) if n]


def look(arrivals, hour, minutes=0):
    """What is said once an hour is over, and so many minutes."""
    (found,) = volume_findings(arrivals, START + (hour + 1) * HOUR + minutes * MINUTE)
    return found


def run(rng, per_day, span, **more):
    arrivals = Arrivals()
    for _, minutes in hours(rng, per_day, span, **more):
        arrivals = arrive(arrivals, minutes)
    return arrivals


@pytest.mark.parametrize(("per_day", "spread"), [(60, 0.0), (2_000, 0.0), (2_000, 0.15), (50_000, 0.15)])
def test_a_year_of_ordinary_weeks_has_at_most_one_false_alert(per_day, spread):
    rng = np.random.default_rng(per_day)
    arrivals, alerts, firing = Arrivals(), 0, False
    for hour, minutes in hours(rng, per_day, 365 * 24, spread=spread):
        arrivals = arrive(arrivals, minutes)
        found = look(arrivals, hour)
        now = found.severity == "alert" and found.standing == "settled"
        alerts, firing = alerts + (now and not firing), now
    assert alerts <= 1
    assert len(arrivals.counts) <= volume.KEPT
    assert len(arrivals.pauses) <= volume.GAP_DAYS


@pytest.mark.parametrize(("per_day", "within"), [(300, 8), (2_000, 3), (50_000, 2)])
def test_a_feed_that_stops_by_day_is_found_within_hours(per_day, within):
    rng = np.random.default_rng(1)
    # four weeks, until eleven in the morning
    end = 28 * 24 + 11
    arrivals = run(rng, per_day, end)
    assert look(arrivals, end - 1).severity == "none"
    found = next(
        hour for hour in range(end, end + 24) if look(arrivals, hour).severity == "alert" and look(arrivals, hour).standing == "settled"
    )
    assert found - end < within
    said = look(arrivals, found)
    assert (said.failure, said.value) == ("stale_data", "fewer" if per_day == 300 else "silence")
    assert ("no request for " if said.value == "silence" else "fewer than a third") in said.why


def test_traffic_that_falls_to_a_fifth_is_found_though_it_is_not_silent():
    rng = np.random.default_rng(2)
    end = 28 * 24 + 9
    arrivals = run(rng, 5_000, end)
    said = []
    for hour, minutes in hours(rng, 5_000, 4, first=end, times=0.2):
        arrivals = arrive(arrivals, minutes)
        said.append(look(arrivals, hour))
    assert [(one.severity, one.standing) for one in said[:2]] == [("alert", "pending"), ("alert", "settled")]
    assert "fewer than a third of them" in said[1].why
    for _, minutes in hours(rng, 5_000, 2, first=end + 4):
        arrivals = arrive(arrivals, minutes)
    assert look(arrivals, end + 5).severity == "none", "it is over once an hour is as ever"


def test_five_times_the_traffic_is_found_and_twice_is_not():
    rng = np.random.default_rng(3)
    end = 28 * 24 + 9
    arrivals = run(rng, 5_000, end)
    for times, severity in ((2.0, "none"), (5.0, "alert")):
        more = arrivals
        for _, minutes in hours(rng, 5_000, 2, first=end, times=times):
            more = arrive(more, minutes)
        found = look(more, end + 1)
        assert (found.severity, found.standing) == (severity, "settled")
        assert ("more than three times of them" in found.why) == (severity == "alert")


def test_one_week_that_was_out_of_the_ordinary_is_no_measure():
    rng = np.random.default_rng(4)
    arrivals = Arrivals()
    for hour, minutes in hours(rng, 5_000, 35 * 24):
        # the feed was dead for a day, three weeks ago
        if not 14 * 24 <= hour < 15 * 24:
            arrivals = arrive(arrivals, minutes)
    for week in (3, 4):
        assert look(arrivals, week * 7 * 24 + 12).severity == "none"
    _, minutes = next(hours(rng, 5_000, 1, first=35 * 24 + 12, times=0.1))
    arrivals = arrive(arrivals, [(minute, n) for _, part in hours(rng, 5_000, 12, first=35 * 24) for minute, n in part])
    assert look(arrive(arrivals, minutes), 35 * 24 + 12).severity == "alert", "and hides no collapse"


def test_before_eight_days_nothing_is_said():
    rng = np.random.default_rng(5)
    arrivals = run(rng, 2_000, 7 * 24)
    found = look(arrivals, 7 * 24 + 20)
    assert (found.severity, found.standing) == ("none", "insufficient")
    assert look(Arrivals(), 0).standing == "insufficient"


def test_a_model_that_is_hardly_asked_is_never_silent():
    arrivals = arrive(Arrivals(), [(FIRST + day * 1_440, 1) for day in range(30)])
    assert silence_after(arrivals) == 0
    assert look(arrivals, 30 * 24 + 200).standing == "insufficient"


@given(st.lists(st.tuples(st.integers(0, 30 * 1_440), st.integers(1, 9)), min_size=1, max_size=40), st.randoms(use_true_random=False))
def test_hours_are_sums_in_whatever_order_minutes_come(minutes, random):
    minutes = [(FIRST + minute, n) for minute, n in minutes]
    begin = [(FIRST, 1)]
    shuffled = list(minutes)
    random.shuffle(shuffled)
    parts = arrive(Arrivals(), begin)
    for one in shuffled:
        parts = arrive(parts, [one])
    whole = arrive(arrive(Arrivals(), begin), minutes)
    assert (parts.first, parts.counts, parts.last) == (whole.first, whole.counts, whole.last)


def test_what_a_challenger_answers_has_arrived_too():
    state = released(MonitorState(model="m"), "1.0.0", 0.2, START)
    batch = traffic(30, 0, START + HOUR)
    others = [msgspec.structs.replace(batch.traffic[0], role=role, version="1.1.0") for role in ("challenger", "shadow")]
    state = absorb(state, msgspec.structs.replace(batch, traffic=(*batch.traffic, *others)), ())
    assert sum(state.arrivals.counts) == 60, "a shadow is asked nothing new"
    assert rules.assess(make_model(), state, now=START + HOUR).findings[-2].monitor == ARRIVE
