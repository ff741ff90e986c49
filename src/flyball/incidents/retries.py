"""When a message is tried again, and which go next. Pure: the state of each route in, its next state out; chance is passed in.

A receiver that is away holds up its route alone, for at most five minutes at a time and for ever if need be. Messages of one thread go in order, so
that what a receiver has last is what is true: what it refuses lets later ones of its thread pass, and is given up once one of them was taken.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

import msgspec

from flyball.clock import Instant, Span
from flyball.records.base import Record
from flyball.records.deliveries import DeliveryRow

FIRST, LONGEST = Span.parse("1s"), Span.parse("5m")
"""How long is waited after the first try that failed, and at most; it doubles between."""

REFUSED = Span.parse("15m")
"""How long is waited after a refusal: only a person can mend it, and what is mended is found by itself."""

SOON = Span.parse("1m")
"""How long is waited at least after a refusal, whatever else the receiver has taken since."""

_FARTHEST = Span.parse("1d")
"""Nobody is left alone for longer: a clock that was set back holds up nothing."""

AT_ONCE = 20
"""Messages that a route is given in one go."""

Outcome = Literal["delivered", "later", "refused", "barred"]
"""What a try came to: taken; not now; this message never; nothing from here, such as with a wrong key."""

_LATER = frozenset({408, 409, 421, 423, 425, 429})
_THIS = frozenset({400, 413, 414, 415, 422, 431})


class Answer(Record, frozen=True):
    """What a receiver made of a message, and what it said. `missed`: of what was taken, whom it does not reach."""

    outcome: Outcome
    told: str
    wait: int = 0
    missed: str = ""


class Tried(Record, frozen=True):
    """What one try to send a message came to. `wait` µs: how long the receiver asks to be left alone. `kept`: it was told before, and only told again.
    `missed`: of what was taken, whom it does not reach.
    """

    route: str
    message: str
    outcome: Outcome
    at: Instant
    receipt: str = ""
    why: str = ""
    wait: int = 0
    kept: bool = False
    missed: str = ""


class LetterState(Record, frozen=True):
    """A message that was tried. `again_at` 0: as soon as its route is tried. `refused_at`: when it was refused last, if that was the last try."""

    attempts: int = 0
    again_at: Instant = 0
    refused_at: Instant = 0


class RouteState(Record, frozen=True):
    """How a route has behaved. `failures` in a row since `since`; it is left alone until `again_at`."""

    failures: int = 0
    since: Instant = 0
    again_at: Instant = 0
    why: str = ""
    letters: dict[str, LetterState] = {}


def judged(status: int) -> Outcome:
    """What an HTTP status says. Redirects are not followed: what is said may be secret, and goes where the route says."""
    if 200 <= status < 300:
        return "delivered"
    if status in _LATER or status >= 500:
        return "later"
    return "refused" if status in _THIS else "barred"


def asked_to_wait(header: str, date: Instant | None) -> Span:
    """What `Retry-After` asks for: seconds, or a date, which comes read, as an instant from now. Nothing that is no number is obeyed."""
    if header.strip().isdecimal():
        return Span(min(int(header.strip()[:9]) * 1_000_000, _FARTHEST))
    return Span(min(max(date or 0, 0), _FARTHEST))


def backoff(failures: int, chance: float) -> Span:
    """How long is waited after so many failures in a row: 1 s, doubled each time up to 5 min, and of that the half to the whole by chance (0..1)."""
    whole = min(FIRST * 2 ** min(max(failures, 1) - 1, 20), LONGEST)
    return Span(round(whole * (0.5 + chance / 2)))


def tried(state: RouteState, one: Tried, chance: float) -> RouteState:
    """The route after one try. chance: 0..1, so that many who wait do not come back at once."""
    count = state.letters.get(one.message, LetterState()).attempts + 1
    letters = {key: value for key, value in state.letters.items() if key != one.message}
    if one.outcome == "delivered":
        # who takes one may have been mended, and may take what was refused
        return RouteState(letters={key: _sooner(value, one.at) for key, value in letters.items()})
    if one.outcome == "refused":
        # it does answer
        return RouteState(letters={**letters, one.message: LetterState(attempts=count, again_at=one.at + REFUSED, refused_at=one.at)})
    failures = state.failures + 1
    pause = REFUSED if one.outcome == "barred" else max(backoff(failures, chance), one.wait)
    return RouteState(
        failures=failures,
        since=state.since or one.at,
        again_at=one.at + pause,
        why=one.why,
        letters={**letters, one.message: LetterState(attempts=count)},
    )


def _sooner(letter: LetterState, now: Instant) -> LetterState:
    return msgspec.structs.replace(letter, again_at=min(letter.again_at, max(now, letter.refused_at + SOON)))


def begun(state: RouteState, waiting: Sequence[DeliveryRow]) -> RouteState:
    """The route as a process finds it that begins to send: what was wrong may be mended, so the oldest message is tried at once. The others are sent once
    it was taken; where it is not, it is waited for as long as before. waiting: of this route, oldest first.
    """
    oldest = next(iter(_current(waiting)), None)
    letters = dict(state.letters)
    if oldest is not None and oldest.said.message in letters:
        letters[oldest.said.message] = msgspec.structs.replace(letters[oldest.said.message], again_at=0)
    return msgspec.structs.replace(state, again_at=0, letters=letters)


def kept(state: RouteState, waiting: Iterable[DeliveryRow]) -> RouteState:
    """The same without messages that wait no longer."""
    ids = {row.said.message for row in waiting}
    if state.letters.keys() <= ids:
        return state
    return msgspec.structs.replace(state, letters={key: value for key, value in state.letters.items() if key in ids})


def next_of(waiting: Sequence[DeliveryRow], state: RouteState, now: Instant) -> list[DeliveryRow]:
    """What is sent next to a route, in order; nothing while it is left alone. waiting: of this route, oldest first.

    That somebody is to be woken again is left out once there is more to say, and that a clock ran out once it is over: they would be woken for what
    is past.
    """
    if now < state.again_at <= now + _FARTHEST:
        return []
    found = [row for row in _current(waiting) if state.letters.get(row.said.message, LetterState()).again_at <= now]
    return found[:AT_ONCE]


def _current(waiting: Sequence[DeliveryRow]) -> list[DeliveryRow]:
    """Without what is past."""
    last = {row.said.thread: row.seq for row in waiting}
    over = {row.said.thread: row.seq for row in waiting if row.said.act == "resolve" and row.said.told != "overdue"}

    def is_past(row: DeliveryRow) -> bool:
        again, late = row.said.told == "again", row.said.told == "overdue"
        return (again and row.seq < last[row.said.thread]) or (late and row.seq < over.get(row.said.thread, 0))

    return [row for row in waiting if not is_past(row)]


def attempts(state: RouteState, message: str) -> int:
    """How often a message was tried so far."""
    return state.letters.get(message, LetterState()).attempts


def next_due(waiting: Mapping[str, Sequence[DeliveryRow]], states: Mapping[str, RouteState], now: Instant) -> Instant | None:
    """When something can be sent again; None: nothing waits."""
    found = []
    for route, rows in waiting.items():
        state = states.get(route, RouteState())
        if rows:
            letters = min(state.letters.get(row.said.message, LetterState()).again_at for row in _current(rows))
            found.append(max(state.again_at, letters, now))
    return min(found, default=None)
