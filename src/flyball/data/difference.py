"""What two versions of a data set do not have in common: columns, rows, and how the values of each column are distributed.

Chunks that both have are counted once and compared not at all. Distributions are compared in the cells of the first version
(docs/statistics.md §2), of every row: numbers by the population stability index, the others by the total variation distance.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import polars as pl

from flyball.data.additions import EXAMPLES, unshared
from flyball.data.baseline import Baseline, ColumnBaseline, counted, numbers
from flyball.data.manifest import only_in, read
from flyball.records.base import Record
from flyball.records.data import ColumnStats, DatasetManifest
from flyball.records.difference import ColumnDifference, Difference, Retyped, RowDifference, SchemaDifference, Value
from flyball.stats import cells
from flyball.stats.cells import Counts
from flyball.stats.drift import psi
from flyball.store.blobs import Blobs

NAMED = 10
"""Values that are listed of those that came or went."""


class Version(Record, frozen=True):
    """What is known of one of the two versions beside its rows. `baseline` tells which columns may be shown, and their cells."""

    manifest: DatasetManifest
    stats: tuple[ColumnStats, ...]
    baseline: Baseline | None

    def named(self) -> dict[str, ColumnStats]:
        """The statistics by column."""
        return {each.name: each for each in self.stats}


def difference(before: Version, after: Version, hidden: frozenset[str], blobs: Blobs) -> Difference:
    """Compare two versions. `hidden`: columns that say who a row is of, as they are declared now. Raises NotFound, Corrupt."""
    schema = _schema(before.manifest, after.manifest)
    types = {column.name: column.type for column in after.manifest.columns}
    both = [column.name for column in before.manifest.columns if types.get(column.name) == column.type]
    shown = [name for name in both if name not in hidden and _may_be_shown(name, before, after)]
    counts = _Counts([own for name in shown if (own := _cells(before, name)) is not None], before.manifest, after.manifest, blobs)
    stats = before.named(), after.named()
    return Difference(
        schema=schema,
        rows=_rows(before.manifest, after.manifest, both, shown, blobs),
        columns=tuple(_column(name, stats[0][name], stats[1][name], counts) for name in both if name in stats[0] and name in stats[1]),
    )


def _schema(before: DatasetManifest, after: DatasetManifest) -> SchemaDifference:
    old, new = ({column.name: str(column.type) for column in each.columns} for each in (before, after))
    return SchemaDifference(
        came=tuple(name for name in new if name not in old),
        went=tuple(name for name in old if name not in new),
        retyped=tuple(Retyped(column=name, before=old[name], after=new[name]) for name in old if name in new and old[name] != new[name]),
    )


def _cells(version: Version, name: str) -> ColumnBaseline | None:
    return version.baseline.of(name) if version.baseline is not None else None


def _may_be_shown(name: str, before: Version, after: Version) -> bool:
    """Times may; of the others those that were told to say nothing of whose a row is, when either version was committed."""
    if name in (before.manifest.time, after.manifest.time):
        return True
    return _cells(before, name) is not None and _cells(after, name) is not None


def _rows(before: DatasetManifest, after: DatasetManifest, both: list[str], shown: list[str], blobs: Blobs) -> RowDifference:
    added = removed = 0
    places: tuple[list[tuple[str, int]], list[tuple[str, int]]] = ([], [])
    for settled in unshared(before, after, both, blobs):
        added += settled.added.rows
        removed += settled.removed.rows
        for found, side in ((settled.added, places[0]), (settled.removed, places[1])):
            side += found.places[: EXAMPLES - len(side)]
    return RowDifference(
        before=sum(chunk.rows for chunk in before.chunks),
        after=sum(chunk.rows for chunk in after.chunks),
        added=added,
        removed=removed,
        added_examples=tuple(_examples(places[0], shown, blobs)),
        removed_examples=tuple(_examples(places[1], shown, blobs)),
        chunks_shared=len(before.chunks) - len(only_in(before.chunks, after.chunks)),
        chunks_before=len(before.chunks),
        chunks_after=len(after.chunks),
    )


def _examples(places: Iterable[tuple[str, int]], shown: Sequence[str], blobs: Blobs) -> Iterator[dict[str, Value]]:
    for chunk, place in places if shown else ():
        row = read(chunk, blobs, shown).select(shown).row(place, named=True)
        yield {name: f"{value.isoformat()}Z" if hasattr(value, "isoformat") else value for name, value in row.items()}


class _Counts:
    """The values of both versions in the cells of the first one; each chunk is read once."""

    def __init__(self, columns: Sequence[ColumnBaseline], before: DatasetManifest, after: DatasetManifest, blobs: Blobs) -> None:
        self._columns = {each.bins.column: each for each in columns}
        self._sides = {name: [np.zeros(_width(own), np.int64) for _ in range(2)] for name, own in self._columns.items()}
        self._values: dict[str, list[Counter[str] | None]] = {
            name: [Counter(), Counter()] for name, own in self._columns.items() if own.bins.kind == "categorical"
        }
        times = Counter(chunk.content for chunk in before.chunks), Counter(chunk.content for chunk in after.chunks)
        for chunk in times[0] | times[1] if columns else ():
            self._add(read(chunk, blobs, [*self._columns]), (times[0][chunk], times[1][chunk]))

    def _add(self, frame: pl.DataFrame, often: tuple[int, int]) -> None:
        for name, own in self._columns.items():
            found = self._assigned(name, own, frame[name], often)
            for side, count in enumerate(often):
                self._sides[name][side] += count * found

    def _assigned(self, name: str, own: ColumnBaseline, values: pl.Series, often: tuple[int, int]) -> Counts:
        if own.bins.kind == "numeric":
            return cells.assign_numeric(own.bins.edges, numbers(values)).cells
        seen = counted(values)
        for side, known in enumerate(self._values[name]):
            if known is not None and often[side]:
                known.update(seen)
                if len(known) > cells.KNOWN:
                    self._values[name][side] = None
        totals = np.fromiter(seen.values(), np.int64, len(seen))
        return cells.assign_categorical(own.bins.values, (), list(seen), totals).cells

    def distance(self, name: str) -> tuple[str, float | None]:
        """How a column is measured, and how far the two versions are apart in it."""
        if name not in self._columns:
            return "", None
        old, new = self._sides[name]
        measure = "psi" if self._columns[name].bins.kind == "numeric" else "tv"
        if not old.sum() or not new.sum():
            return measure, None
        if measure == "psi":
            labels = cells.merge_bins(old)
            return measure, psi(cells.merged(labels, new), cells.merged(labels, old))
        return measure, float(np.abs(old / old.sum() - new / new.sum()).sum() / 2)

    def moved(self, name: str) -> tuple[list[str], list[str]]:
        """Values that came, and values that went; none where they are too many to be known."""
        old, new = self._values.get(name, (None, None))
        if old is None or new is None:
            return [], []
        return sorted(new.keys() - old.keys()), sorted(old.keys() - new.keys())


def _width(own: ColumnBaseline) -> int:
    return len(own.bins.edges) + 1 if own.bins.kind == "numeric" else len(own.bins.values) + cells.BUCKETS


def _column(name: str, old: ColumnStats, new: ColumnStats, counts: _Counts) -> ColumnDifference:
    measure, distance = counts.distance(name)
    came, went = counts.moved(name)
    return ColumnDifference(
        column=name,
        nulls_before=old.nulls,
        nulls_after=new.nulls,
        distinct_before=old.distinct,
        distinct_after=new.distinct,
        mean_before=old.mean,
        mean_after=new.mean,
        measure=measure,
        distance=None if distance is None or not math.isfinite(distance) else distance,
        came=tuple(came[:NAMED]),
        went=tuple(went[:NAMED]),
        more_came=max(0, len(came) - NAMED),
        more_went=max(0, len(went) - NAMED),
    )
