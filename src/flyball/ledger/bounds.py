"""What fits into an event. Pure.

An event is small, and what it tells of may not be: a user's error text, a slice of two hundred values, a table of a thousand columns. Who
makes such an event cuts it here, always alike, so that what was decided can be recorded whatever the users' data are.
"""

from __future__ import annotations

import hashlib
import re
from bisect import bisect_right
from collections.abc import Callable, Sequence
from typing import TypeVar

import msgspec

from flyball.ledger.canonical import MAX_BODY, canonical
from flyball.records.base import Event, Record

LARGEST = MAX_BODY - 1024
"""Bytes of an event within its body: the rest is for who did it, when, and by which command."""

TEXT = 2_000
"""Bytes of a sentence in an event, unless its maker says otherwise."""

NAME = 400
"""Bytes of a name in an event."""

_MORE = re.compile(r"and ([0-9,]+) more\b")

EventT = TypeVar("EventT", bound=Event)


def size(record: Record) -> int:
    """Bytes of a record's canonical JSON. Raises BadInput as `canonical` does."""
    return len(canonical(record))


def fits(event: Event) -> bool:
    """Whether an event can be recorded, as far as its size goes."""
    return size(event) <= LARGEST


def fullest(build: Callable[[int], EventT], most: int) -> EventT:
    """`build(n)` with the largest n up to `most` that fits; `build(0)` where none does. An event must not shrink as n grows."""
    whole = build(most)
    if fits(whole):
        return whole
    low, high = 0, most - 1
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fits(build(middle)) else (low, middle - 1)
    return build(low)


def counted(texts: Sequence[str]) -> int:
    """How many things some texts tell of: the last of several may say how many more there are.

    >>> counted(["no rows", "no columns", "and 1,480 more: flyball check lists them"])
    1482
    """
    more = _MORE.match(texts[-1]) if len(texts) > 1 else None
    return len(texts) if more is None else len(texts) - 1 + int(more[1].replace(",", ""))


def clipped(text: str, most: int = TEXT) -> str:
    """The text, cut where it would take more than `most` bytes of JSON. What is no valid text is replaced.

    >>> clipped("a long story", 9)
    'a long…'
    """
    # no character takes more than six, as in \u0000
    if text.isascii() and 6 * len(text) <= most:
        return text
    valid = text.encode("utf-8", "replace").decode("utf-8")
    if len(valid) <= most and _written(valid) <= most:
        return valid
    length = bisect_right(range(1, min(len(valid), most) + 1), most - len("…".encode()), key=lambda n: _written(valid[:n]))
    return f"{valid[:length]}…"


def named(text: str, most: int = NAME) -> str:
    """As `clipped`, for what is told apart by its text: a cut one ends in a mark of the whole."""
    short = clipped(text, most)
    if short == text:
        return text
    mark = hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:8]
    return f"{clipped(text, most - len(mark) - 1)} {mark}"


def _written(text: str) -> int:
    return len(msgspec.json.encode(text)) - 2
