"""Predictions of a model that is served elsewhere: that they stop coming is found, however late they are sent; that they come late is no alarm."""

from __future__ import annotations

import numpy as np
import pytest
from tests.monitoring.conftest import HOUR, MINUTE, START, make_model
from tests.monitoring.test_volume import FIRST, hours

from flyball.monitoring import rules
from flyball.monitoring.heard import Heard, hear
from flyball.monitoring.learning import Seen
from flyball.monitoring.state import MonitorState, absorb, uncounted
from flyball.monitoring.volume import ARRIVE, Arrivals, receive, sent_findings
from flyball.records.evidence import Batch, Traffic

DAYS = 24


def sent(rng, per_day, span, *, every, late=0, stops=None, spread=0.0):
    """Hour by hour what came in it: (hour, predictions by the minute they were made). They are sent every so many hours, `late` hours after."""
    waiting, due = [], every
    for hour, minutes in hours(rng, per_day, span, spread=spread):
        if stops is None or hour < stops:
            waiting += minutes
        came = []
        if hour + 1 >= due + late:
            came = [one for one in waiting if one[0] < FIRST + (hour + 1 - late) * 60]
            waiting = [one for one in waiting if one[0] >= FIRST + (hour + 1 - late) * 60]
            due += every
        yield hour, came


def judge(arrivals, came, hour, heard=None):
    arrivals = receive(arrivals, came, (START + (hour + 1) * HOUR) // MINUTE, heard or Heard())
    (found,) = sent_findings(arrivals, START + (hour + 1) * HOUR, heard or Heard())
    return arrivals, found


def is_alarm(found):
    return (found.severity, found.standing) == ("alert", "settled")


@pytest.mark.parametrize(
    ("per_day", "every", "late", "spread"),
    [(2_000, 1, 0, 0.0), (2_000, 1, 0, 0.15), (2_000, 24, 3, 0.0), (5_000, 24, 3, 0.15), (3_000, 6, 1, 0.1)],
)
def test_a_quarter_of_a_year_of_predictions_that_are_sent_as_ever_has_no_alarm(per_day, every, late, spread):
    arrivals, said = Arrivals(), []
    for hour, came in sent(np.random.default_rng(per_day + every), per_day, 90 * DAYS, every=every, late=late, spread=spread):
        arrivals, found = judge(arrivals, came, hour)
        said.append(found)
    assert not any(map(is_alarm, said))
    assert sum(found.standing == "settled" for found in said) > 60 * DAYS, "and it is judged"


@pytest.mark.parametrize(("every", "late", "within"), [(1, 0, 5), (6, 1, 12), (24, 3, 36)])
def test_predictions_that_stop_are_found_soon_after_they_should_have_come(every, late, within):
    stop = 35 * DAYS + 12
    arrivals, found_at = Arrivals(), None
    for hour, came in sent(np.random.default_rng(1), 5_000, stop + 4 * DAYS, every=every, late=late, stops=stop):
        arrivals, found = judge(arrivals, came, hour)
        if is_alarm(found) and found_at is None:
            found_at, first = hour, found
        assert hour >= stop or not is_alarm(found)
    assert found_at is not None
    assert found_at - stop < within
    assert first.failure == "stale_data"
    assert "made" in first.why
    assert is_alarm(found), "and it stays"
    assert found.value == "silence"


def test_half_of_nothing_is_no_measure_before_eight_days_of_sending():
    """A year that is sent at once is a file and no habit."""
    arrivals = Arrivals()
    for _, came in hours(np.random.default_rng(2), 2_000, 60 * DAYS):
        arrivals = receive(arrivals, came, FIRST + 60 * 1_440)
    for hours_later in (1, 24, 24 * 20, 24 * 200):
        (found,) = sent_findings(arrivals, START + (60 * DAYS + hours_later) * HOUR)
        assert (found.severity, found.standing) == ("none", "insufficient"), hours_later


def test_a_night_in_which_flyball_was_off_is_no_silence():
    stop = 35 * DAYS
    arrivals = Arrivals()
    for hour, came in sent(np.random.default_rng(3), 5_000, stop, every=24, late=3):
        arrivals, _ = judge(arrivals, came, hour)
    off = hear(Heard(), [(START, START + stop * HOUR), (START + (stop + 60) * HOUR, START + (stop + 90) * HOUR)])
    (found,) = sent_findings(arrivals, START + (stop + 60) * HOUR + 30 * MINUTE, off)
    assert (found.severity, found.standing) == ("none", "insufficient")
    assert "flyball was not up" in found.why
    (found,) = sent_findings(arrivals, START + (stop + 60) * HOUR)
    assert is_alarm(found), "which is what it was taken for"


def test_what_is_collapsed_is_found_by_when_it_was_made():
    rng = np.random.default_rng(4)
    arrivals, said = Arrivals(), {}
    for hour, came in sent(rng, 5_000, 40 * DAYS, every=24, late=3):
        few = [(minute, n if minute < FIRST + 37 * 1_440 else int(rng.binomial(n, 0.1))) for minute, n in came]
        arrivals, said[hour] = judge(arrivals, few, hour)
    first = next(hour for hour, found in said.items() if is_alarm(found))
    assert 38 * DAYS <= first < 39 * DAYS + 12
    assert "predictions in the last" in said[first].why
    assert "by when they were made, until 20" in said[first].why


def test_the_model_that_is_served_elsewhere_has_the_monitor_by_its_own_times():
    state = MonitorState(model="m", version="7", seen=(Seen(version="7", rows=10),))
    for day in range(3):
        until = START + (day + 1) * 24 * HOUR + 3 * HOUR
        made = tuple(
            Traffic(
                model="m",
                version="7",
                role="champion",
                minute=FIRST + day * 1_440 + minute,
                n=1,
                rollout="",
                weight=0,
                errors=0,
                latency={},
            )
            for minute in range(0, 1_440, 10)
        )
        state = absorb(state, Batch(until=until, traffic=made), ())
    assert [lag for _, lag in state.arrivals.lags] == [27 * 60 + 10, 27 * 60 + 10]
    assert uncounted(state, 5, START + 9 * 24 * HOUR).arrivals == state.arrivals, "when what nobody could read was made is not known"
    found = next(one for one in rules.assess(make_model(), state, now=START + 5 * 24 * HOUR).findings if one.monitor == ARRIVE)
    assert (found.severity, found.standing) == ("none", "insufficient")
