"""Which version of a model that is served elsewhere is taken for the one that answers, by what was counted of each."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flyball.monitoring.learning import MOST, Seen, back, count, of
from flyball.records.elsewhere import ElsewhereRow
from flyball.records.evidence import Batch, Traffic

from .conftest import MINUTE, START

FIRST = START // MINUTE


def traffic(version: str, minute: int, n: int = 1, errors: int = 0) -> Traffic:
    """What came of a version in one minute, counted from START."""
    return Traffic(model="m", version=version, role="champion", rollout="", weight=0, minute=FIRST + minute, n=n, errors=errors)


def spread(version: str, start: int, minutes: int, n: int) -> list[Traffic]:
    """`n` answers, as evenly as can be over so many minutes."""
    places = [start + place * minutes // n for place in range(n)]
    return [traffic(version, minute, places.count(minute)) for minute in sorted(set(places))]


class Told:
    """What is recorded as batches come, as the loop does it."""

    def __init__(self, version: str, since: int = 0, *, again: bool = False) -> None:
        self.row = ElsewhereRow(model="m", version=version, seen_at=START, since=START + since * MINUTE, back=again)
        self.seen: tuple[Seen, ...] = ()
        self.taken: list[str] = []

    def take(self, *parts: Traffic) -> None:
        self.seen = count(self.seen, Batch(until=START, traffic=parts), "m", self.row)
        found = back(self.seen, self.row)
        if found is not None:
            assert found[1] >= self.row.since
            self.row = msgspec.structs.replace(self.row, version=found[0], since=found[1], back=True)
            self.taken.append(found[0])


def test_a_release_whose_every_request_fails_is_left_when_the_former_version_answers_again() -> None:
    told = Told("8", since=60)
    told.take(*(traffic("8", minute, 5, errors=5) for minute in range(60, 90)))
    told.take(*spread("7", 90, 50, 200))
    assert told.taken == [], "not for an hour"
    told.take(*spread("7", 140, 20, 20), *(traffic("8", minute, 50, errors=50) for minute in range(140, 160)))
    assert told.taken == ["7"]
    assert told.row.since == START + 90 * MINUTE


def test_requests_that_failed_are_answers_of_nobody() -> None:
    told = Told("8", since=60)
    told.take(traffic("8", 60), traffic("7", 60, 200, errors=200), *(traffic("8", minute, 9, errors=9) for minute in range(61, 400)))
    assert (of(told.seen, "8").rows, of(told.seen, "8").last, of(told.seen, "7").rows) == (1, START + 60 * MINUTE, 0)
    told.take(*(traffic("7", minute, 2, errors=1) for minute in range(100, 190)))
    assert (of(told.seen, "7").rows, told.taken) == (90, [])
    told.take(*spread("7", 190, 20, 20))
    assert told.taken == ["7"], "what the other one failed at later is not in its way"


def test_what_spoke_for_a_version_against_the_former_release_does_not_against_the_next() -> None:
    told = Told("8")
    told.take(traffic("8", 0), *spread("7", 1, 120, 99))
    told.row = msgspec.structs.replace(told.row, version="9", since=START + 121 * MINUTE)
    told.take(traffic("9", 121), *spread("7", 122, 58, 90))
    assert told.taken == []
    told.take(*spread("7", 180, 20, 30))
    assert told.taken == ["7"]


@pytest.mark.parametrize(("n", "hours", "comes"), [(99, 2, False), (100, 2, True), (9, 30, False), (10, 30, True), (10, 20, False)])
def test_it_takes_a_hundred_answers_in_an_hour_or_ten_in_a_day(n: int, hours: int, comes: bool) -> None:
    told = Told("8")
    told.take(traffic("8", 0))
    told.take(*spread("7", 1, hours * 60, n), traffic("7", hours * 60, 0))
    assert told.taken == (["7"] if comes else [])


def test_of_twenty_predictions_a_day_a_former_version_is_back_within_two_days() -> None:
    told = Told("8")
    told.take(*spread("8", 0, 1_440, 20))
    for day in (1, 2):
        told.take(*spread("7", day * 1_440, 1_440, 20))
    assert told.taken == ["7"]


@pytest.mark.parametrize("again", [False, True])
def test_one_stray_prediction_a_day_between_nightly_ones_changes_nothing(again: bool) -> None:
    told = Told("8", again=again)
    for day in range(60):
        told.take(*spread("8", day * 1_440, 240, 50))
        told.take(traffic("7", day * 1_440 + 900))
    assert told.taken == []


@pytest.mark.parametrize("per_hour", [1, 5, 500])
def test_two_that_answer_half_of_the_requests_each_do_not_change_places(per_hour: int) -> None:
    told, rng = Told("A"), np.random.default_rng(per_hour)
    for hour in range(60 * 24):
        one = int(rng.binomial(per_hour, 0.5))
        told.take(traffic("A", hour * 60, one), traffic("B", hour * 60 + 1, per_hour - one))
    assert told.taken == []


@pytest.mark.parametrize(("by_day", "by_night"), [(1_000, 1_000), (5_000, 200), (200, 5_000)])
def test_versions_that_take_turns_by_day_and_night_change_places_once_or_twice_and_no_more(by_day: int, by_night: int) -> None:
    told = Told("A")
    for day in range(90):
        for hour in range(24):
            version, n = ("A", by_day) if hour < 12 else ("B", by_night)
            told.take(*spread(version, day * 1_440 + hour * 60, 60, n // 12))
    assert len(told.taken) <= 2


def test_a_stray_prediction_of_the_taken_version_does_not_hold_up_the_one_that_answers() -> None:
    told = Told("7", again=True)
    for day in range(2):
        for hour in range(24):
            told.take(
                *spread("8", day * 1_440 + hour * 60, 60, 100), *([traffic("7", day * 1_440 + hour * 60 + 30)] if hour % 5 == 0 else [])
            )
    assert told.taken == ["8"]


def test_what_a_former_version_answered_and_is_sent_later_does_not_speak_for_it() -> None:
    told = Told("8", since=3 * 1_440)
    told.take(*spread("7", 0, 3 * 1_440, 3_000))
    assert told.taken == [], "it was made before the first of the one that answers"
    told.take(*spread("8", 3 * 1_440, 1_440, 500))
    told.take(*spread("7", 3 * 1_440, 1_440 - 10, 500))
    assert told.taken == [], "both answered that day"


def test_the_taken_version_is_counted_however_many_others_are_newer() -> None:
    told = Told("7")
    told.take(traffic("7", 0, 50))
    told.take(*(traffic(f"slip-{place}", 10 + place) for place in range(3 * MOST)))
    assert len(told.seen) == MOST
    assert of(told.seen, "7").rows == 50


@given(
    st.lists(st.tuples(st.integers(0, 3_000), st.sampled_from("ABC"), st.integers(1, 60), st.integers(0, 60)), min_size=1, max_size=40),
    st.integers(0, 3_000),
)
def test_what_is_counted_is_the_same_wherever_the_time_is_cut(came: list[tuple[int, str, int, int]], cut: int) -> None:
    parts = [traffic(version, minute, n, errors=min(errors, n)) for minute, version, n, errors in came]
    row = ElsewhereRow(model="m", version="A", seen_at=START, since=START + 200 * MINUTE)
    at_once = count((), Batch(until=START, traffic=tuple(parts)), "m", row)
    in_two = count((), Batch(until=START, traffic=tuple(one for one in parts if one.minute - FIRST < cut)), "m", row)
    in_two = count(in_two, Batch(until=START, traffic=tuple(one for one in parts if one.minute - FIRST >= cut)), "m", row)
    assert {each.version: each for each in in_two} == {each.version: each for each in at_once}
    assert all(0 <= each.ahead <= each.rows and (each.ahead_since >= row.since) == (each.ahead > 0) for each in at_once)
    assert of(at_once, "A").ahead == 0
