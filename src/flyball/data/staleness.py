"""For how long a data set was older than it may be: additive, in bounded space. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from flyball.clock import Instant
from flyball.records.data import StaleTime

DAY = 86_400_000_000
EXACT, KEPT = 3 * DAY, 100 * DAY
"""How long each time is kept by itself, and by the day."""


def with_stale(kept: Iterable[StaleTime], start: Instant, end: Instant) -> tuple[StaleTime, ...]:
    """Add [start, end), then let what is old become a sum of its day, and what is too old go.

    >>> with_stale((), 0, 5)
    (StaleTime(start=0, end=5, stale=5),)
    """
    # whole days become sums, so a sum never speaks of hours that are known one by one
    cut = (end - EXACT) // DAY * DAY
    days: dict[int, int] = {}
    exact: list[StaleTime] = []
    for one in (*kept, StaleTime(start=start, end=end, stale=end - start)):
        if one.end > cut:
            exact.append(StaleTime(start=max(one.start, cut), end=one.end, stale=one.end - max(one.start, cut)))
        for day, stale in _by_day(one, cut - KEPT, cut):
            days[day] = min(days.get(day, 0) + stale, DAY)
    return (*(StaleTime(start=day, end=day + DAY, stale=stale) for day, stale in sorted(days.items())), *exact)


def _by_day(one: StaleTime, since: Instant, until: Instant) -> list[tuple[Instant, int]]:
    """How much of it lies in each day of [since, until); one that is a day's sum is told as it is."""
    if one.stale != one.end - one.start:
        return [(one.start, one.stale)] if one.start >= since else []
    found = []
    start, end = max(one.start, since), min(one.end, until)
    while start < end:
        day = start // DAY * DAY
        found.append((day, min(end, day + DAY) - start))
        start = day + DAY
    return found


def stale_within(times: Iterable[StaleTime], since: Instant, until: Instant) -> float:
    """µs of (since, until] that were stale; of a day that is known as a sum, the part of it that lies there."""
    total = 0.0
    for one in times:
        inside = min(one.end, until) - max(one.start, since)
        if inside > 0:
            total += one.stale * inside / (one.end - one.start)
    return total
