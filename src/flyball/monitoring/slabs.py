"""Quality and traffic over time, in bounded space: minutes for two hours, hours for three days, days for a hundred days.

Everything is a sum, so a slab of a day is the sum of its minutes and a span of time is the sum of its slabs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from operator import add as add_numbers
from operator import attrgetter

import msgspec

from flyball.clock import Instant
from flyball.records.base import Record
from flyball.records.evidence import MOST, Labels, Quality, Refusals, Traffic, ranked_sum, tallied
from flyball.stats import binned

MINUTE = 60_000_000
HOUR_MINUTES, DAY_MINUTES = 60, 1_440
MINUTES_KEPT, HOURS_KEPT, DAYS_KEPT = 120, 72 * HOUR_MINUTES, 100 * DAY_MINUTES

_COUNTS = ("matured", "labelled", "correct", "tp", "fp", "fn", "tn", "scored", "relative_n")
_TOTALS = tuple(name for name, kind in Quality.__annotations__.items() if kind == "float")
_SUMS = (*_COUNTS, *_TOTALS)
_ARRIVALS = ("came", "duplicates", "corrected", "late", "early")


class Slab(Record, frozen=True, omit_defaults=True):
    """Counts of `width` minutes from minute `start`: champions' quality by slice, their requests, errors and latencies (floor(8 log2 µs)).

    `unmatched` are the labels that were given up in this time: no row had waited for them. `asked` are rows that any version in the route was asked
    about, `refused` requests that no version was, `breaches` those of contracts by kind and column. `labels` says how labels came.
    """

    start: int
    width: int = 1
    quality: tuple[Quality, ...] = ()
    n: int = 0
    errors: int = 0
    latency: dict[int, int] = msgspec.field(default_factory=dict)
    unmatched: int = 0
    asked: int = 0
    refused: int = 0
    breaches: dict[str, int] = msgspec.field(default_factory=dict)
    labels: Labels | None = None

    @property
    def end(self) -> int:
        """The first minute after the slab."""
        return self.start + self.width


_values = attrgetter(*_SUMS)


def _no_slice(_name: str) -> bool:
    return False


def _with_sums(part: Quality, sums: Iterable[float], scores: bytes) -> Quality:
    named = dict(zip(_SUMS, sums, strict=True))
    for name in _TOTALS:
        # what has left the floating-point range does not come back
        named[name] = max(-MOST, min(MOST, named[name]))
    return msgspec.structs.replace(part, scores=scores, **named)


def add_quality(left: Quality, right: Quality) -> Quality:
    """The sum of two counts; model, version, role, slice and minute are the first's."""
    added = _with_sums(left, map(add_numbers, _values(left), _values(right)), binned.merged((left.scores, right.scores)))
    return msgspec.structs.replace(added, ranked=ranked_sum(left.ranked, right.ranked)) if right.ranked else added


def add_labels(parts: Iterable[Labels | None]) -> Labels | None:
    """The sum of what is known of how labels came, in the first one's place."""
    given = [part for part in parts if part is not None]
    if len(given) < 2:
        return given[0] if given else None
    lag: dict[int, int] = {}
    for part in given:
        for cell, count in part.lag.items():
            lag[cell] = lag.get(cell, 0) + count
    counts = {name: sum(getattr(part, name) for part in given) for name in _ARRIVALS}
    return Labels(model=given[0].model, minute=given[0].minute, lag=lag, **counts)


def add(left: Slab, right: Slab) -> Slab:
    """The sum of two slabs, in the first one's place."""
    quality = {part.slice: part for part in left.quality}
    for part in right.quality:
        known = quality.get(part.slice)
        quality[part.slice] = part if known is None else add_quality(known, part)
    latency = dict(left.latency)
    for cell, count in right.latency.items():
        latency[cell] = latency.get(cell, 0) + count
    return Slab(
        start=left.start,
        width=left.width,
        quality=tuple(quality.values()),
        n=left.n + right.n,
        errors=left.errors + right.errors,
        latency=latency,
        unmatched=left.unmatched + right.unmatched,
        asked=left.asked + right.asked,
        refused=left.refused + right.refused,
        breaches=tallied(left.breaches, right.breaches) if right.breaches else left.breaches,
        labels=add_labels((left.labels, right.labels)),
    )


def slabs_of(quality: Iterable[Quality], traffic: Iterable[Traffic], labels: Iterable[Labels] = ()) -> tuple[Slab, ...]:
    """One slab a minute of these counts, ascending."""
    found: dict[int, Slab] = {}
    for part in quality:
        _gather(found, Slab(start=part.minute, quality=(part,)))
    for count in traffic:
        _gather(found, Slab(start=count.minute, n=count.n, errors=count.errors, latency=count.latency))
    for came in labels:
        _gather(found, Slab(start=came.minute, labels=came))
    return tuple(found[minute] for minute in sorted(found))


def requests_of(traffic: Iterable[Traffic], refusals: Iterable[Refusals]) -> tuple[Slab, ...]:
    """One slab a minute of what was asked and what was refused, ascending. Shadows are asked nothing new."""
    found: dict[int, Slab] = {}
    for count in traffic:
        if count.role in ("champion", "challenger"):
            _gather(found, Slab(start=count.minute, asked=count.n))
    for one in refusals:
        _gather(found, Slab(start=one.minute, refused=one.refused, breaches=one.breaches))
    return tuple(found[minute] for minute in sorted(found))


def _gather(found: dict[int, Slab], slab: Slab) -> None:
    known = found.get(slab.start)
    found[slab.start] = slab if known is None else add(known, slab)


def extend(slabs: Sequence[Slab], new: Sequence[Slab], until: Instant) -> tuple[Slab, ...]:
    """Add minutes, late ones to the slab that covers them, then let what is old grow coarse and what is too old go."""
    kept = list(slabs)
    for slab in new:
        place = len(kept)
        while place and kept[place - 1].start > slab.start:
            place -= 1
        if place and kept[place - 1].end > slab.start:
            kept[place - 1] = add(kept[place - 1], slab)
        else:
            kept.insert(place, slab)
    return _coarsen(kept, until // MINUTE)


def _coarsen(slabs: list[Slab], minute: int) -> tuple[Slab, ...]:
    out: list[Slab] = []
    for slab in slabs:
        age = minute - slab.start
        if age > DAYS_KEPT:
            continue
        width = DAY_MINUTES if age > HOURS_KEPT else HOUR_MINUTES if age > MINUTES_KEPT else 1
        if slab.width < width:
            slab = msgspec.structs.replace(slab, start=slab.start // width * width, width=width)
        if out and out[-1].end > slab.start:
            out[-1] = add(out[-1], slab)
        else:
            out.append(slab)
    return tuple(out)


def within(slabs: Sequence[Slab], since: Instant, until: Instant, scored: Callable[[str], bool] = _no_slice) -> Slab:
    """The sum of all slabs that reach into (since, until]; the oldest one counts whole, so old spans are rounded up to an hour or a day.

    Scores by cell take as long to add up as all else together: `scored` says of which slices they are asked for; others have none in the sum.
    """
    first, last = since // MINUTE, until // MINUTE
    there = [slab for slab in slabs if slab.end > first and slab.start <= last]
    found: dict[str, tuple[Quality, list[float], list[bytes]]] = {}
    latency: dict[int, int] = {}
    for slab in there:
        for part in slab.quality:
            known = found.get(part.slice)
            if known is None:
                found[part.slice] = (part, list(_values(part)), [part.scores])
            else:
                known[1][:] = map(add_numbers, known[1], _values(part))
                known[2].append(part.scores)
                if part.ranked:
                    grown = msgspec.structs.replace(known[0], ranked=ranked_sum(known[0].ranked, part.ranked))
                    found[part.slice] = (grown, known[1], known[2])
        for cell, count in slab.latency.items():
            latency[cell] = latency.get(cell, 0) + count
    return Slab(
        start=first,
        width=max(1, last - first),
        quality=tuple(
            _with_sums(part, sums, binned.merged(scores) if scored(part.slice) else b"") for part, sums, scores in found.values()
        ),
        n=sum(slab.n for slab in there),
        errors=sum(slab.errors for slab in there),
        latency=latency,
        unmatched=sum(slab.unmatched for slab in there),
        labels=add_labels(slab.labels for slab in there),
    )


def latency_ms(latency: dict[int, int], share: float) -> float:
    """The upper edge, in ms, of the latency cell in which the `share` quantile lies. Cells are floor(8 log2 µs), 9% wide. No count: 0.0."""
    total, run = sum(latency.values()), 0
    for cell in sorted(latency):
        run += latency[cell]
        if run >= share * total:
            return float(2.0 ** ((cell + 1) / 8) / 1000)
    return 0.0
