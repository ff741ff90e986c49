"""Minutes in which nobody listened are neither silence nor few requests."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.monitoring.conftest import HOUR, MINUTE, START, make_model
from tests.monitoring.test_volume import FIRST, hours

from flyball.monitoring import rules
from flyball.monitoring.heard import KEPT_MINUTES, MOST, Heard, by_hour, hear
from flyball.monitoring.state import MonitorState, released, uncounted
from flyball.monitoring.volume import ARRIVE, Arrivals, arrive, left_out, volume_findings

PER_DAY = 5_000
WEEKS = 28 * 24


def up(*parts):
    """Heard in these hours [first, end) since the beginning, as gateways tell it."""
    return hear(Heard(), [(START + first * HOUR, START + end * HOUR) for first, end in parts])


def life(rng, off, span, *, times=1.0, since=0):
    """Hours of requests, of which those that came while nobody listened are lost."""
    heard = up((0, off[0]), (off[1], span + 1)) if off else up((0, span + 1))
    arrivals = Arrivals()
    for hour, minutes in hours(rng, PER_DAY, span, times=1.0):
        if off and off[0] <= hour < off[1]:
            continue
        arrivals = arrive(arrivals, [(minute, round(n * times)) for minute, n in minutes] if hour >= since > 0 else minutes, heard)
    return arrivals, heard


def look(arrivals, hour, heard):
    (found,) = volume_findings(arrivals, START + (hour + 1) * HOUR, heard)
    return found


@pytest.mark.parametrize("off", [(WEEKS + 8, WEEKS + 13), (WEEKS - 30, WEEKS + 13), (WEEKS + 12, WEEKS + 14)])
def test_time_in_which_flyball_was_off_is_no_silence_and_no_lack_of_requests(off):
    rng = np.random.default_rng(1)
    arrivals, heard = life(rng, off, WEEKS + 24)
    for hour in range(off[1], WEEKS + 24):
        assert look(arrivals, hour, heard).severity == "none", hour
    arrivals, _ = life(np.random.default_rng(1), off, off[1])
    assert look(arrivals, off[1] - 1, heard).severity == "none", "nor before the first request after it"
    assert look(arrivals, off[1] - 1, Heard()).severity == "alert", "which is what it was taken for"


def test_what_is_left_out_is_said():
    arrivals, heard = life(np.random.default_rng(2), (WEEKS + 8, WEEKS + 13), WEEKS + 40)
    assert "5 of the last 24 hours do not count: flyball was not up, or could not count" in look(arrivals, WEEKS + 15, heard).why
    for hour in (WEEKS + 8 + 24 + 5, WEEKS + 7):
        assert "not up" not in look(arrivals, hour, heard).why


def test_callers_who_stay_away_after_an_outage_are_found_all_the_same():
    off = (WEEKS + 8, WEEKS + 10)
    arrivals, heard = life(np.random.default_rng(3), off, WEEKS + 8)
    heard = hear(heard, [(START + 10 * HOUR + WEEKS * HOUR, START + (WEEKS + 24) * HOUR)])
    found = look(arrivals, WEEKS + 11, heard)
    assert (found.severity, found.value) == ("alert", "silence")
    assert "no request for 2h" in found.why
    assert "2h in which flyball was not up do not count" in found.why


def test_traffic_that_collapses_after_an_outage_is_found_in_two_hours_that_were_heard():
    off = (WEEKS + 5, WEEKS + 10)
    arrivals, heard = life(np.random.default_rng(4), off, WEEKS + 13, times=0.15, since=WEEKS + 10)
    assert [(look(arrivals, hour, heard).severity, look(arrivals, hour, heard).standing) for hour in (WEEKS + 10, WEEKS + 11)] == [
        ("alert", "pending"),
        ("alert", "settled"),
    ]
    # the outage itself is no second hour
    assert look(arrivals, WEEKS + 9, heard).severity == "none"


def test_a_week_that_was_off_is_no_measure():
    # of the four weeks before, one and a half were off: two tell of these hours
    off, end = (WEEKS, WEEKS + 10 * 24), WEEKS + 21 * 24 + 12
    arrivals, heard = life(np.random.default_rng(5), off, end)
    found = look(arrivals, end - 1, heard)
    assert found.severity == "none"
    assert len(found.why.partition("before had ")[2].split(", ")) == 2, "only weeks that were heard are named"
    collapsed, heard = life(np.random.default_rng(5), off, end, times=0.1, since=end - 3)
    assert look(collapsed, end - 1, heard).severity == "alert"


def test_nothing_is_said_of_a_day_in_which_nobody_listened():
    arrivals, _ = life(np.random.default_rng(6), None, WEEKS)
    found = look(arrivals, WEEKS + 30, up((0, WEEKS), (WEEKS + 31, WEEKS + 40)))
    assert (found.severity, found.standing) == ("none", "insufficient")
    assert "flyball was not up" in found.why


def test_requests_that_could_not_be_counted_are_no_silence():
    arrivals, heard = life(np.random.default_rng(7), None, WEEKS + 10)
    quiet = arrivals
    for minute in range(180):
        quiet = left_out(quiet, FIRST + (WEEKS + 10) * 60 + minute)
    assert look(arrivals, WEEKS + 12, heard).severity == "alert"
    assert look(quiet, WEEKS + 12, heard).severity == "none"
    assert len(quiet.partial) == 3
    state = released(MonitorState(model="m", arrivals=arrivals), "1.0.0", 0.2, START)
    for minute in range(180):
        state = uncounted(state, 5, START + (WEEKS + 10) * HOUR + minute * MINUTE)
    found = rules.assess(make_model(), state, now=START + (WEEKS + 13) * HOUR + 30 * MINUTE, heard=heard).findings
    assert next(one for one in found if one.monitor == ARRIVE).severity == "none"
    assert left_out(Arrivals(), FIRST) == Arrivals(), "of a model that nobody asked nothing is known"


def test_a_restart_is_no_pause_and_what_was_before_anybody_kept_count_is_heard():
    heard = up((10, 20))
    assert heard.minutes(FIRST, FIRST + 20 * 60) == 20 * 60
    heard = hear(heard, [(START + 20 * HOUR + MINUTE, START + 21 * HOUR)])
    assert len(heard.stretches) == 1
    assert hear(heard, []) == heard
    assert Heard().minutes(5, 3) == 0


@given(
    st.lists(st.tuples(st.integers(0, 4_000), st.integers(0, 300)), max_size=12),
    st.integers(0, 60),
    st.integers(0, 60),
    st.randoms(use_true_random=False),
)
def test_hours_and_minutes_tell_the_same_whatever_comes_first(told, first, span, random):
    parts = [(since * MINUTE, (since + length) * MINUTE) for since, length in told]
    heard = hear(Heard(), parts)
    random.shuffle(parts)
    again = hear(Heard(), parts[:3])
    again = hear(again, parts) if again.stretches or not parts else hear(Heard(), parts)
    counted = by_hour(heard, first, first + span)
    assert counted.tolist() == [heard.minutes(hour * 60, hour * 60 + 60) for hour in range(first, first + span)]
    assert counted.sum() == heard.minutes(first * 60, (first + span) * 60)
    # of what lies before the first stretch of all nothing is known, so the order of first telling may matter there alone
    begin = max(heard.stretches[0][1] if heard.stretches else 0, again.stretches[0][1] if again.stretches else 0)
    assert heard.minutes(begin, 5_000) == again.minutes(begin, 5_000)


def test_what_a_clock_told_that_was_ahead_is_not_heard():
    ahead = (START + 1_000 * HOUR, START + 1_001 * HOUR)
    assert hear(Heard(), [ahead], START) == Heard()
    assert hear(Heard(), [(START, ahead[1])], START + HOUR).stretches[-1][1] == (START + HOUR) // MINUTE


def test_what_is_kept_is_bounded():
    heard = Heard()
    for hour in range(3 * MOST):
        heard = hear(heard, [(START + hour * HOUR, START + hour * HOUR + 30 * MINUTE)])
    assert len(heard.stretches) <= MOST
    assert heard.stretches[0][0] == 0
    assert heard.stretches[-1][1] - heard.stretches[1][0] <= KEPT_MINUTES
