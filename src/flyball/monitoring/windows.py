"""Windows of inputs, answers and labels, closed by time or by rows, and the trail of verdicts that makes drift persistent before it is said.

A row belongs to the week (or day) of its own time. The newest closed ones are kept, and what comes late is added to its own: their verdicts are
made anew from what they hold, so the order in which rows came changes nothing. What comes later still is counted, and told.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, NamedTuple

import msgspec

from flyball.clock import Instant
from flyball.records.base import Record
from flyball.records.evidence import Bins, InputCounts
from flyball.stats.cause import cause
from flyball.stats.cells import UNSEEN
from flyball.stats.drift import FLOORS, TESTS, Level, Test, Tested, fast_enough, level, of_weekday

Pace = Literal["slow", "fast", "day"]
Key = tuple[str, str]
"""Column and slice (empty: the whole)."""

DAY = 86_400_000_000
WEEK = 7 * DAY
FAST_ROWS = 1_000
FEWEST = 200
"""A week with fewer rows is joined with the next, a day is not looked at, nor is a slice, or labels, of fewer rows in a window."""

KEPT = 3
"""So many closed weeks, or days, still take what comes late."""

REST = 60_000_000
"""What comes late is judged once a minute at most: an upload comes in many parts, and three windows are judged anew each time."""

LEAVE = 0.7
"""An effect below this part of its floor, three windows running, ends a verdict."""

_RANK: dict[Level, int] = {"none": 0, "warn": 1, "alert": 2}


class Window(Record, frozen=True):
    """The counts of each column, and of each column in each slice, of the rows of one week or day from `started` on, or of so many rows."""

    started: Instant
    n: int = 0
    columns: tuple[InputCounts, ...] = ()


class Trail(Record, frozen=True):
    """One test of one column, whole or in one `slice`, over the last windows: `hits` and `effects` of up to three, newest last, and the verdict
    they give. That of a slice begins with its first hit.

    p, n, value and how are those of the newest window, which ended at `at`.
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
    slice: str = ""


class Series(Record, frozen=True):
    """Weeks, or days: `windows` are those that rows may still be added to, ascending, `before` what came of all earlier ones, `pending` one of those
    that waits for the next to have enough rows. `judged`: what ended by then is in the trails, which were made at `made`; `again`: something came late
    since. `late` rows came too late for any window.
    """

    windows: tuple[Window, ...] = ()
    before: tuple[Trail, ...] = ()
    pending: Window | None = None
    judged: Instant = 0
    made: Instant = 0
    again: bool = False
    late: int = 0

    @property
    def open(self) -> tuple[Window, ...]:
        """The windows that have not closed: one, as a rule."""
        return tuple(window for window in self.windows if window.started >= self.judged)


class Reference:
    """The bins of a champion by column and slice; those of slices with the cells' names of the whole. `fast`: what may be tested in windows of a thousand
    rows.
    """

    def __init__(self, bins: Sequence[Bins]) -> None:
        wholes = {own.column: own for own in bins if not own.slice}
        self.bins: dict[Key, Bins] = {}
        self.fast: set[Key] = set()
        self._days: dict[int, dict[Key, Bins]] = {}
        for own in bins:
            whole = wholes[own.column]
            named = msgspec.structs.replace(own, edges=whole.edges, values=whole.values) if own.slice else own
            self.bins[own.column, own.slice] = named
            rows = round(FAST_ROWS * own.n / whole.n) if whole.n else 0
            if (own is whole or (own.column, "") in self.fast) and fast_enough(named, rows or 1):
                self.fast.add((own.column, own.slice))

    def beside(self, window: Window, pace: Pace) -> Mapping[Key, Bins]:
        """What a window is compared with: a day with its own day of the week, as a whole."""
        if pace != "day":
            return self.bins
        weekday = window.started // DAY % 7
        if weekday not in self._days:
            own = {key: of_weekday(bins, weekday) for key, bins in self.bins.items() if not bins.slice}
            self._days[weekday] = {key: bins for key, bins in own.items() if bins is not None}
        return self._days[weekday]


_REFERENCES: dict[int, tuple[Sequence[Bins], Reference]] = {}


def reference_of(bins: Sequence[Bins]) -> Reference:
    """The bins by column and slice: made once for each reference, which is kept with it, so that its id stays its own."""
    kept = _REFERENCES.get(id(bins))
    if kept is None or kept[0] is not bins:
        if len(_REFERENCES) > 256:
            _REFERENCES.clear()
        kept = _REFERENCES[id(bins)] = (bins, Reference(bins))
    return kept[1]


def add_counts(first: InputCounts, *others: InputCounts) -> InputCounts:
    """The sum of counts of one column, in their order. Counts in other cells (another reference) replace what was there."""
    parts = [first]
    for one in others:
        if len(one.cells) != len(parts[0].cells):
            parts.clear()
        parts.append(one)
    first = parts[0]
    if len(parts) == 1:
        return first
    unseen = dict(first.unseen)
    for one in parts[1:]:
        for value, count in one.unseen.items():
            unseen[value] = unseen.get(value, 0) + count
        if len(unseen) > UNSEEN:
            unseen = dict(sorted(unseen.items(), key=lambda item: (-item[1], item[0]))[:UNSEEN])
    return msgspec.structs.replace(
        first,
        n=sum(one.n for one in parts),
        nulls=sum(one.nulls for one in parts),
        cells=tuple(map(sum, zip(*(one.cells for one in parts), strict=True))),
        unseen=unseen,
        unseen_n=sum(one.unseen_n for one in parts),
    )


def grow(window: Window, inputs: Iterable[InputCounts]) -> Window:
    """Add counts to a window."""
    parts: dict[Key, list[InputCounts]] = {(counts.column, counts.slice): [counts] for counts in window.columns}
    for counts in inputs:
        parts.setdefault((counts.column, counts.slice), []).append(counts)
    columns = tuple(add_counts(*some) if len(some) > 1 else some[0] for some in parts.values())
    return msgspec.structs.replace(window, columns=columns, n=max((counts.n for counts in columns), default=0))


def fill(window: Window | None, inputs: Sequence[InputCounts], since: Instant) -> tuple[Window | None, Window | None]:
    """Add counts of a column each, one at least, to a window of a thousand rows; return (the open window, the window that is full, if it is)."""
    window = grow(window, inputs) if window else Window(started=since, n=max(counts.n for counts in inputs), columns=tuple(inputs))
    return (window, None) if window.n < FAST_ROWS else (None, window)


def follow_on(
    series: Series, inputs: Sequence[tuple[Instant, InputCounts]], reference: Reference, *, pace: Pace, width: int, until: Instant
) -> tuple[Series, tuple[Trail, ...] | None]:
    """Add counts to the windows that began when each says, at what time however they come; return the series and its trails (None: as they were)."""
    starts = [start for start, _ in inputs] or [window.started for window in series.windows]
    if not starts:
        return series, None
    now = starts[0] + (until - starts[0]) // width * width
    oldest = now - KEPT * width
    windows = {window.started: window for window in series.windows}
    late, again = 0, series.again
    for start in dict.fromkeys(start for start, _ in inputs):
        mine = [counts for own, counts in inputs if own == start]
        if start < oldest:
            late += sum(max(counts.n for counts in part) for part in cuts(mine))
            continue
        windows[start] = grow(windows.get(start) or Window(started=start), mine)
        again = again or start < series.judged
    if late:
        series = msgspec.structs.replace(series, late=series.late + late)
    # what ended by `judged` is in the trails
    closed = any(series.judged < start + width <= now for start in windows) or (again and until - series.made >= REST)
    order = [windows[start] for start in sorted(windows)]
    series = msgspec.structs.replace(series, windows=tuple(order), judged=max(series.judged, now), again=again)
    if not closed:
        return series, None
    before, pending = _through(series.before, series.pending, [one for one in order if one.started < oldest], reference, pace, width)
    kept = tuple(one for one in order if one.started >= oldest)
    series = msgspec.structs.replace(series, windows=kept, before=before, pending=pending, made=until, again=False)
    trails, _ = _through(before, pending, [one for one in kept if one.started < now], reference, pace, width)
    return series, trails


def _through(
    trails: tuple[Trail, ...], pending: Window | None, closed: Sequence[Window], reference: Reference, pace: Pace, width: int
) -> tuple[tuple[Trail, ...], Window | None]:
    """Carry trails through closed windows in order; what has too few rows is joined with the next week, or is a day that nobody looks at."""
    due: list[tuple[Window, Instant]] = []
    for window in closed:
        joined = window if pending is None else grow(window, pending.columns)
        pending = None
        if joined.n >= FEWEST:
            due.append((joined, window.started + width))
        elif pace != "day":
            pending = joined
    return judge(trails, due, reference, pace=pace), pending


def cuts(inputs: Sequence[InputCounts]) -> list[list[InputCounts]]:
    """The counts of a batch, cut where a column (in its slice) comes again."""
    found: list[list[InputCounts]] = []
    seen: set[Key] = set()
    for counts in inputs:
        key = (counts.column, counts.slice)
        if not found or key in seen:
            found.append([])
            seen = set()
        found[-1].append(counts)
        seen.add(key)
    return found


def judge(trails: tuple[Trail, ...], windows: Sequence[tuple[Window, Instant]], reference: Reference, *, pace: Pace) -> tuple[Trail, ...]:
    """Test every column of each closed window, whole and in each slice, all tests of a window as one family, and carry the trails through them in order.

    Windows come with the moments at which they ended; what NumPy takes to begin is paid once for all of them.
    """
    if not windows:
        return trails
    compared = _comparable([window for window, _ in windows], reference, pace)
    tested = Tested.of(compared.columns, fast=pace == "fast")
    asked, reached = tested.asked.tolist(), tested.hits(compared.windows)
    kept = {(trail.column, trail.slice, trail.test, trail.pace): trail for trail in trails}
    # of hundreds of slices most never have anything to tell: those that have a trail, or hit now
    begun = {(column, part) for column, part, _, own in kept if own == pace}
    begun |= {(bins.column, bins.slice) for bins, _ in (compared.columns[place] for place, _ in reached)}
    for (column, part), places in compared.places.items():
        for kind, name in enumerate(TESTS) if not part or (column, part) in begun else ():
            key = (column, part, name, pace)
            mine = [place for place in places if asked[place][kind]]
            if part and key not in kept:
                mine = mine[next((at for at, place in enumerate(mine) if (place, kind) in reached), len(mine)) :]
            if mine:
                before = kept.get(key) or Trail(column=column, test=name, pace=pace, slice=part)
                levels = [reached.get((place, kind), "none") for place in mine]
                kept[key] = _follow(before, mine, levels, windows[compared.windows[mine[-1]]][1], tested)
    return tuple(kept[key] for key in sorted(kept))


class _Compared(NamedTuple):
    """The columns of windows (k,) that hold enough, each beside what it is compared with; of which window each is; and where those of each key lie."""

    columns: list[tuple[Bins, InputCounts]]
    windows: list[int]
    places: dict[Key, list[int]]


def _comparable(windows: Sequence[Window], reference: Reference, pace: Pace) -> _Compared:
    found = _Compared([], [], {})
    for number, window in enumerate(windows):
        beside = reference.beside(window, pace)
        for counts in window.columns:
            key = (counts.column, counts.slice)
            bins = beside.get(key) if counts.n >= FEWEST else None
            if bins is not None and bins.n and len(counts.cells) == len(bins.counts):
                found.places.setdefault(key, []).append(len(found.columns))
                found.columns.append((bins, counts))
                found.windows.append(number)
    return found


def _follow(trail: Trail, places: Sequence[int], levels: Sequence[Level], at: Instant, tested: Tested) -> Trail:
    """Carry a trail through the windows, one at least, of which these are the places among what was tested, and the levels; the last ended `at`."""
    kind, last = TESTS.index(trail.test), places[-1]
    seen, effects = (*trail.hits, *levels), (*trail.effects, *tested.effect[places, kind].tolist())
    before = said = trail.verdict
    for end, reached in enumerate(levels, len(trail.hits) + 1):
        before = said
        # nothing is entered without a hit
        if reached != "none" or before != "none":
            last_three = slice(max(end - 3, 0), end)
            said = verdict(before, trail.test, seen[last_three], effects[last_three])
    test = tested.test(last, kind, levels[-1])
    found = cause(*tested.columns[last], test) if levels[-1] != "none" or before != "none" else None
    return msgspec.structs.replace(
        trail,
        hits=seen[-3:],
        effects=effects[-3:],
        verdict=said,
        p=test.p,
        n=test.n,
        value=found.value if found else "",
        how=found.how if found else "",
        at=at,
        windows=trail.windows + len(places),
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
