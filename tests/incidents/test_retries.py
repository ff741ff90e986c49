"""When a message is tried again: sooner at first, for ever, and never in the way of what is true by now."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flyball.clock import Span
from flyball.incidents import retries
from flyball.incidents.retries import AT_ONCE, LONGEST, REFUSED, SOON, RouteState, Tried
from flyball.records import codec
from flyball.records.deliveries import DeliveryRow

from .test_channels import BASE

T = 1_700_000_000_000_000
SECOND = Span.parse("1s")


def row(number: int, thread="inc_1", told="opened") -> DeliveryRow:
    act = "resolve" if told == "mitigated" else "trigger"
    said = msgspec.structs.replace(BASE, message=f"msg_{number}", thread=thread, told=told, act=act)
    return DeliveryRow(route="risk", said=said, seq=number, queued_at=T)


def one(outcome, message="msg_1", at=T, **more) -> Tried:
    return Tried(route="risk", message=message, outcome=outcome, at=at, why="no", **more)


def shown(rows) -> list[int]:
    return [each.seq for each in rows]


@given(st.integers(1, 200), st.floats(0, 1))
def test_the_wait_doubles_from_a_second_to_five_minutes_and_chance_takes_half_at_most(failures: int, chance: float) -> None:
    whole = min(2 ** (failures - 1), 300) * SECOND
    assert whole / 2 <= retries.backoff(failures, chance) <= whole <= LONGEST


def test_a_receiver_that_is_away_is_left_alone_for_longer_each_time_and_then_at_once_given_all() -> None:
    state, now, waits = RouteState(), T, []
    for _ in range(12):
        state = retries.tried(state, one("later", at=now), 1.0)
        assert retries.next_of([row(1)], state, state.again_at - 1) == []
        waits.append((state.again_at - now) // SECOND)
        now = state.again_at
    assert waits == [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]
    assert (state.failures, state.since, retries.attempts(state, "msg_1")) == (12, T, 12)
    state = retries.tried(state, one("delivered", at=now), 1.0)
    assert state == RouteState()
    assert shown(retries.next_of([row(2), row(3)], state, now)) == [2, 3]


def test_retry_after_is_obeyed_where_it_is_longer_than_the_own_wait() -> None:
    assert retries.tried(RouteState(), one("later", wait=90 * SECOND), 0.0).again_at == T + 90 * SECOND
    assert retries.tried(RouteState(), one("later", wait=0), 1.0).again_at == T + SECOND


@pytest.mark.parametrize(
    ("header", "date", "seconds"),
    [
        ("120", None, 120),
        ("", None, 0),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 90 * SECOND, 90),
        ("x", -SECOND, 0),
        ("9" * 30, None, 86_400),
        ("-5", None, 0),
    ],
)
def test_retry_after_is_seconds_or_a_date_and_a_day_at_most(header: str, date, seconds: int) -> None:
    assert retries.asked_to_wait(header, date) == seconds * SECOND


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (200, "delivered"),
        (202, "delivered"),
        (301, "barred"),
        (400, "refused"),
        (401, "barred"),
        (403, "barred"),
        (404, "barred"),
        (413, "refused"),
        (422, "refused"),
        (408, "later"),
        (429, "later"),
        (500, "later"),
        (503, "later"),
    ],
)
def test_a_status_says_whether_waiting_helps(status: int, outcome: str) -> None:
    assert retries.judged(status) == outcome


def test_a_refused_message_lets_later_ones_pass_and_is_tried_again_slowly() -> None:
    state = retries.tried(RouteState(), one("refused"), 0.5)
    assert shown(retries.next_of([row(1), row(2)], state, T)) == [2]
    assert shown(retries.next_of([row(1)], state, T + REFUSED)) == [1]
    assert state.failures == 0


def test_a_route_that_lets_nobody_in_is_tried_slowly_as_a_whole() -> None:
    state = retries.tried(RouteState(), one("barred"), 0.5)
    assert retries.next_of([row(1), row(2)], state, T + REFUSED - 1) == []
    assert shown(retries.next_of([row(1), row(2)], state, T + REFUSED)) == [1, 2]


def test_a_process_that_begins_tries_the_oldest_of_a_route_at_once_and_waits_on_where_it_fails() -> None:
    barred = retries.tried(RouteState(), one("barred"), 0.5)
    waiting = [row(1), row(2)]
    assert shown(retries.next_of(waiting, retries.begun(barred, waiting), T)) == [1, 2], "the second goes once the first was taken"
    again = retries.tried(retries.begun(barred, waiting), one("barred"), 0.5)
    assert (retries.next_of(waiting, again, T + REFUSED - 1), again.failures, again.since) == ([], 2, T)
    refused = RouteState()
    for each in waiting:
        refused = retries.tried(refused, one("refused", each.said.message), 0.5)
    assert shown(retries.next_of(waiting, retries.begun(refused, waiting), T)) == [1], "restarts in a loop ask once each"
    assert retries.begun(refused, []) == refused


def test_what_was_refused_is_tried_once_another_message_was_taken_and_once_a_minute_at_most() -> None:
    refused = retries.tried(RouteState(), one("refused"), 0.5)
    soon = retries.tried(refused, one("delivered", "msg_2", T + SECOND), 0.5)
    assert retries.next_of([row(1)], soon, T + SOON - 1) == []
    assert shown(retries.next_of([row(1)], soon, T + SOON)) == [1]
    late = retries.tried(refused, one("delivered", "msg_2", T + 5 * SOON), 0.5)
    assert shown(retries.next_of([row(1)], late, T + 5 * SOON)) == [1]
    assert retries.attempts(late, "msg_1") == 1


def test_what_was_refused_waits_a_minute_however_many_others_are_taken() -> None:
    state = retries.tried(RouteState(), one("refused"), 0.5)
    for second in range(1, 60):
        state = retries.tried(state, one("delivered", f"other_{second}", T + second * SECOND), 0.5)
        assert retries.next_of([row(1)], state, T + second * SECOND) == []
    assert shown(retries.next_of([row(1)], state, T + SOON)) == [1]
    again = retries.tried(state, one("refused", at=T + SOON), 0.5)
    again = retries.tried(again, one("delivered", "other", T + SOON + SECOND), 0.5)
    assert retries.next_due({"risk": [row(1)]}, {"risk": again}, T + SOON) == T + 2 * SOON


def test_a_state_that_was_kept_before_it_named_the_refusal_is_read() -> None:
    kept = codec.decode(b'{"letters": {"msg_1": {"attempts": 3, "again_at": 5}}}', RouteState)
    assert retries.attempts(kept, "msg_1") == 3
    assert retries.tried(kept, one("delivered", "msg_2"), 0.5).letters["msg_1"].again_at == 5


def test_nobody_is_woken_for_what_is_past() -> None:
    waiting = [row(1), row(2, told="again"), row(3, told="again"), row(4, "inc_2"), row(5, told="mitigated")]
    assert shown(retries.next_of(waiting, RouteState(), T)) == [1, 4, 5]
    assert shown(retries.next_of(waiting[:3], RouteState(), T)) == [1, 3]
    late = [row(1), row(2, told="again"), row(3, told="overdue")]
    assert shown(retries.next_of(late, RouteState(), T)) == [1, 3]
    assert shown(retries.next_of([*late, row(4, told="mitigated")], RouteState(), T)) == [1, 4]
    after = [msgspec.structs.replace(one, said=msgspec.structs.replace(one.said, act="resolve")) for one in late[2:]]
    assert shown(retries.next_of([*after, msgspec.structs.replace(after[0], seq=4)], RouteState(), T)) == [3, 4], "each clock is told"


def test_a_route_is_given_so_many_at_once() -> None:
    assert len(retries.next_of([row(number, f"inc_{number}") for number in range(99)], RouteState(), T)) == AT_ONCE


def test_what_waits_no_longer_is_forgotten() -> None:
    state = retries.tried(retries.tried(RouteState(), one("refused"), 0.5), one("refused", "msg_2"), 0.5)
    assert set(retries.kept(state, [row(2)]).letters) == {"msg_2"}
    assert retries.next_due({"risk": [row(1)]}, {"risk": state}, T) == T + REFUSED
    assert retries.next_due({"risk": []}, {}, T) is None
    assert retries.next_due({"risk": [row(3)]}, {}, T) == T
    refused = retries.tried(RouteState(), one("refused", "msg_5"), 0.5)
    assert retries.next_due({"risk": [row(4, told="again"), row(5, told="mitigated")]}, {"risk": refused}, T) == T + REFUSED, (
        "what is past is not sent, and is due never"
    )


def test_a_clock_that_was_set_back_holds_up_nothing() -> None:
    state = retries.tried(RouteState(), one("later", at=T + 9 * Span.parse("1d")), 1.0)
    assert shown(retries.next_of([row(1)], state, T)) == [1]
