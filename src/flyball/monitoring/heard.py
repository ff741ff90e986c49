"""When requests could be heard at all: the minutes in which a gateway listened and wrote its log. Pure.

Nobody can tell whether anybody asked while the machine was off: such minutes count neither as silence nor as few requests (`monitoring.volume`).
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from flyball.clock import FARTHEST, Instant
from flyball.monitoring.slabs import MINUTE
from flyball.records.base import Record

KEPT_MINUTES = 6 * 7 * 1_440
"""What is older is looked at by nobody."""

MOST = 1_000
"""Stretches that are kept; with more, the oldest are given up, and count as heard."""

JOINED = 2
"""Minutes: a pause shorter than this, such as a restart, is none."""

HOUR = 60


class Heard(Record, frozen=True):
    """Stretches [first, end) of minutes since 1970, in order, apart. None at all: nobody kept count, and every minute is taken as heard."""

    stretches: tuple[tuple[int, int], ...] = ()

    def minutes(self, start: int, end: int) -> int:
        """How many of the minutes [start, end) were heard."""
        if not self.stretches:
            return max(0, end - start)
        return sum(max(0, min(end, until) - max(start, first)) for first, until in self.stretches)


EVER = Heard()
"""Where nobody keeps count."""


def hear(heard: Heard, told: Iterable[tuple[Instant, Instant]], now: Instant = FARTHEST) -> Heard:
    """Add stretches as gateways told them, in µs, in any order and as often as one likes. Of the time before the first of all nothing is known: it counts as heard.

    What lies after `now` was told by a clock that was ahead, and is left out.
    """
    new = [(-(-since // MINUTE), min(until, now) // MINUTE) for since, until in told]
    new = [(first, end) for first, end in new if end > first]
    if not new:
        return heard
    if not heard.stretches:
        new.append((0, min(first for first, _ in new)))
    joined: list[tuple[int, int]] = []
    for first, end in sorted((*heard.stretches, *new)):
        if joined and first - joined[-1][1] < JOINED:
            joined[-1] = (joined[-1][0], max(joined[-1][1], end))
        else:
            joined.append((first, end))
    oldest = joined[-1][1] - KEPT_MINUTES
    kept = [(first, end) for first, end in joined if end > oldest][-MOST:]
    # what is given up counts as heard
    return Heard(stretches=((0, kept[0][1]), *kept[1:]))


@lru_cache(maxsize=64)
def heard_before(heard: Heard, end: int) -> Heard:
    """What was heard before minute `end`."""
    kept = tuple((first, min(last, end)) for first, last in heard.stretches if first < end)
    # nothing heard is not nobody counting
    return Heard(stretches=kept or ((0, 0),)) if heard.stretches else heard


@lru_cache(maxsize=64)
def by_hour(heard: Heard, first: int, end: int) -> NDArray[np.int64]:
    """Minutes heard in each of the hours [first, end) since 1970. Not to be written to: all models share it."""
    found = np.zeros(end - first, dtype=np.int64)
    for since, until in heard.stretches or ((0, end * HOUR),):
        low, high = max(since, first * HOUR) - first * HOUR, min(until, end * HOUR) - first * HOUR
        if high <= low:
            continue
        found[-(-low // HOUR) : high // HOUR] += HOUR
        if low // HOUR == high // HOUR:
            found[low // HOUR] += high - low
            continue
        if low % HOUR:
            found[low // HOUR] += HOUR - low % HOUR
        if high % HOUR:
            found[high // HOUR] += high % HOUR
    found.flags.writeable = False
    return found
