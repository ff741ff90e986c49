"""Windows of inputs, closed by time or by rows, and the trail of verdicts that makes drift persistent before it is said."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec

from flyball.clock import Instant
from flyball.records.base import Record
from flyball.records.evidence import Bins, InputCounts
from flyball.stats.cause import cause
from flyball.stats.cells import UNSEEN
from flyball.stats.drift import FLOORS, ColumnTest, Level, Test, column_tests, fast_enough, hits, level

Pace = Literal["slow", "fast"]

WEEK = 7 * 86_400_000_000
FAST_ROWS = 1_000
FEWEST = 200
"""A window with fewer rows is joined with the next."""

LEAVE = 0.7
"""An effect below this part of its floor, three windows running, ends a verdict."""

_RANK: dict[Level, int] = {"none": 0, "warn": 1, "alert": 2}


class Window(Record, frozen=True):
    """An open window: the counts of each column since `started`. A slow window closes at `ends`, a fast one by rows (`ends` 0)."""

    started: Instant
    ends: Instant = 0
    n: int = 0
    columns: tuple[InputCounts, ...] = ()


class Trail(Record, frozen=True):
    """One test of one column over the last windows: `hits` and `effects` of up to three, newest last, and the verdict they give.

    p, n, value and how are those of the newest window.
    """

    column: str
    test: Test
    pace: Pace
    hits: tuple[Level, ...] = ()
    effects: tuple[float, ...] = ()
    verdict: Level = "none"
    p: float = 1.0
    n: int = 0
    value: str = ""
    how: str = ""
    at: Instant = 0
    windows: int = 0


def add_counts(left: InputCounts, right: InputCounts) -> InputCounts:
    """The sum of two counts of one column. Counts in other cells (another reference) replace what was there."""
    if len(left.cells) != len(right.cells):
        return right
    unseen = dict(left.unseen)
    for value, count in right.unseen.items():
        unseen[value] = unseen.get(value, 0) + count
    if len(unseen) > UNSEEN:
        unseen = dict(sorted(unseen.items(), key=lambda item: (-item[1], item[0]))[:UNSEEN])
    return msgspec.structs.replace(
        left,
        n=left.n + right.n,
        nulls=left.nulls + right.nulls,
        cells=tuple(map(int.__add__, left.cells, right.cells)),
        unseen=unseen,
        unseen_n=left.unseen_n + right.unseen_n,
    )


def grow(window: Window, inputs: Sequence[InputCounts]) -> Window:
    """Add counts to a window."""
    columns = {counts.column: counts for counts in window.columns}
    for counts in inputs:
        known = columns.get(counts.column)
        columns[counts.column] = counts if known is None else add_counts(known, counts)
    return msgspec.structs.replace(window, columns=tuple(columns.values()), n=max((counts.n for counts in columns.values()), default=0))


def step(
    window: Window | None, inputs: Sequence[InputCounts], *, pace: Pace, since: Instant, until: Instant
) -> tuple[Window | None, Window | None]:
    """Add what came in (since, until]; return (the open window, the window that closed, if one did)."""
    if window is None:
        window = Window(started=since, ends=since + WEEK if pace == "slow" else 0)
    window = grow(window, inputs)
    if pace == "fast":
        return (window, None) if window.n < FAST_ROWS else (None, window)
    if until < window.ends:
        return window, None
    if window.n < FEWEST:
        return msgspec.structs.replace(window, ends=window.ends + WEEK * ((until - window.ends) // WEEK + 1)), None
    return None, window


def cuts(inputs: Sequence[InputCounts]) -> list[list[InputCounts]]:
    """The counts of a batch, cut where a column comes again."""
    found: list[list[InputCounts]] = []
    seen: set[str] = set()
    for counts in inputs:
        if not found or counts.column in seen:
            found.append([])
            seen = set()
        found[-1].append(counts)
        seen.add(counts.column)
    return found


def fast_inputs(inputs: Sequence[InputCounts], bins: Mapping[str, Bins]) -> tuple[InputCounts, ...]:
    """The columns that may be tested in windows of a thousand rows."""
    return tuple(counts for counts in inputs if counts.column in bins and fast_enough(bins[counts.column], FAST_ROWS))


def judge(trails: Sequence[Trail], window: Window, bins: Mapping[str, Bins], *, pace: Pace, at: Instant) -> tuple[Trail, ...]:
    """Test every column of a closed window, all tests as one family, and carry each trail one window on."""
    counts = {own.column: own for own in window.columns if own.column in bins and len(own.cells) == len(bins[own.column].counts)}
    tests = hits([test for column, own in counts.items() for test in column_tests(bins[column], own, fast=pace == "fast")])
    kept = {(trail.column, trail.test, trail.pace): trail for trail in trails}
    for test in tests:
        key = (test.column, test.test, pace)
        trail = kept.get(key) or Trail(column=test.column, test=test.test, pace=pace)
        kept[key] = _follow(trail, test, bins[test.column], counts[test.column], at)
    return tuple(kept.values())


def _follow(trail: Trail, test: ColumnTest, bins: Bins, counts: InputCounts, at: Instant) -> Trail:
    found = cause(bins, counts, test) if test.level != "none" or trail.verdict != "none" else None
    seen = (*trail.hits, test.level)[-3:]
    effects = (*trail.effects, test.effect)[-3:]
    return msgspec.structs.replace(
        trail,
        hits=seen,
        effects=effects,
        verdict=verdict(trail.verdict, test.test, seen, effects),
        p=test.p,
        n=test.n,
        value=found.value if found else "",
        how=found.how if found else "",
        at=at,
        windows=trail.windows + 1,
    )


def verdict(before: Level, test: Test, seen: Sequence[Level], effects: Sequence[float]) -> Level:
    """The verdict after a window, from the last three, newest last.

    Enter a level when this window hits at it and two of the last three did; leave it when the effect stayed below 0.7 of its floor three
    windows running.
    """
    entered: Level = "none"
    for candidate in ("warn", "alert"):
        at_least = [_RANK[hit] >= _RANK[candidate] for hit in seen]
        if at_least and at_least[-1] and sum(at_least) >= 2:
            entered = candidate
    if _RANK[entered] >= _RANK[before] or len(effects) < 3:
        return max(entered, before, key=_RANK.__getitem__)
    still = max((level(test, effect, LEAVE) for effect in effects), key=_RANK.__getitem__)
    return before if _RANK[still] >= _RANK[before] else max(entered, still, key=_RANK.__getitem__)


def floor_of(test: Test, at: Level) -> float:
    """The effect from which `test` reaches the level (warn, for none)."""
    warn, alert = FLOORS[test]
    return alert if at == "alert" else warn
