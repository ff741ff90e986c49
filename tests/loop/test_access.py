"""However many requests came without a token, from however many addresses, the record of them is short."""

from __future__ import annotations

from flyball.governance.fold import FOLDS
from flyball.ledger.projection import MemoryProjection
from flyball.loop import access
from flyball.loop.access import AT_ONCE, KNOWN, OTHERS, NoteRefused, decide_note_refused
from flyball.records.base import Recorded
from flyball.records.identity import REFUSED_ACCESS, AccessRefused


def refused(number: int, count: int = 1) -> AccessRefused:
    return AccessRefused(
        source=f"10.0.{number // 256}.{number % 256}", count=count, since=number, until=number + 1, why="no token was sent"
    )


def note(state: MemoryProjection, *events: AccessRefused) -> list[AccessRefused]:
    told = decide_note_refused(state, NoteRefused(id="c", actor="loop", refused=events), 0)
    for event in told:
        FOLDS[type(event)](state, Recorded(1, 1, "loop", "c", event))
    return [event for event in told if isinstance(event, AccessRefused)]


def test_each_address_is_told_by_name_and_adds_up() -> None:
    state = MemoryProjection()
    assert note(state, refused(1), refused(2)) == [refused(1), refused(2)]
    note(state, refused(1, 5))
    row = state.get(REFUSED_ACCESS, "10.0.0.1")
    assert row is not None
    assert row.count == 6


def test_a_flood_is_told_in_a_few_events_those_with_the_most_attempts_by_name() -> None:
    told = note(MemoryProjection(), *(refused(number, count=number + 1) for number in range(500)))
    assert len(told) == AT_ONCE + 1
    assert [event.count for event in told[:AT_ONCE]] == list(range(500, 500 - AT_ONCE, -1))
    rest = told[-1]
    assert (rest.source, rest.count, rest.since, rest.until) == (OTHERS, sum(range(1, 469)), 0, 468)
    assert rest.why == "468 addresses"


def test_the_record_knows_so_many_addresses_and_no_more() -> None:
    state = MemoryProjection()
    for start in range(0, KNOWN + 200, AT_ONCE):
        note(state, *(refused(number) for number in range(start, start + AT_ONCE)))
    assert len(state.scan(REFUSED_ACCESS)) == KNOWN + 1
    assert [event.source for event in note(state, refused(3), refused(50_000))] == ["10.0.0.3", OTHERS]


def test_nothing_is_told_of_nobody() -> None:
    assert decide_note_refused(MemoryProjection(), NoteRefused(id="c", actor="loop", refused=()), 0) == ()
    assert access.OTHERS not in dict(MemoryProjection().scan(REFUSED_ACCESS))
