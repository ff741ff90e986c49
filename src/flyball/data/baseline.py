"""What the columns of a version held, so that the next one can be compared with it: counts in fixed cells, and never a row.

Made in one pass over batches, in the memory of a sample. The cells are those of monitoring (docs/statistics.md §2), so a contract, a
comparison of versions and drift mean the same. Columns that say who a row is of, and times, have none.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from flyball.data.types import schema
from flyball.declare.data import Dataset
from flyball.records.base import Record
from flyball.records.evidence import Bins
from flyball.records.models import FieldType
from flyball.stats import cells

SAMPLE: Final = 16_384
"""Rows at most that numbers are counted on: chance moves a share of them by less than half a point."""

MOST_KNOWN: Final = 200
"""A column with at most so many values has a list of them."""

_STEP, _MIX = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9
"""Odd factors of 64 bits that spread the bits of a number over all of it (splitmix64)."""

Places = NDArray[np.int64]


class ColumnBaseline(Record, frozen=True):
    """One column: its cells and their counts (of numbers and bools among the sampled rows, of text among all).

    `known` are all its values where they are few, as text; `bins.known` are hashes of up to 10,000.
    """

    bins: Bins
    known: tuple[str, ...] = ()


class Baseline(Record, frozen=True):
    """A version's columns; `rows` of it were counted."""

    rows: int
    columns: tuple[ColumnBaseline, ...]

    def of(self, name: str) -> ColumnBaseline | None:
        """A column's, if it has one."""
        return next((column for column in self.columns if column.bins.column == name), None)


def compared(dataset: Dataset) -> dict[str, FieldType]:
    """The columns whose values are compared between versions: none that says who or when a row is."""
    hidden = dataset.identifying | {dataset.time, dataset.arrived}
    return {name: type_ for name, type_ in schema(dataset).items() if name not in hidden and type_ != "time"}


def places(level: int, start: int, stop: int) -> Places:
    """The sampled rows in [start, stop): one, by chance that is the same each time, of every 2^`level` rows.

    What is sampled at a level is sampled at every lower one too. A regular step would fall in with the data's own, such as the day's.
    """
    block = np.arange(start >> level, -(-stop // (1 << level)), dtype=np.int64)
    for depth in range(level, 0, -1):
        block = 2 * block + _coin(depth, block)
    return block[(block >= start) & (block < stop)]


def _coin(depth: int, block: Places) -> Places:
    mixed = (block.astype(np.uint64) + np.uint64(depth * _STEP % 2**64)) * np.uint64(_MIX)
    mixed = (mixed ^ (mixed >> np.uint64(31))) * np.uint64(_STEP)
    return (mixed >> np.uint64(63)).astype(np.int64)


class Sample:
    """At most `most` of the rows that are added, the same whatever batches they come in."""

    def __init__(self, columns: list[str], most: int = SAMPLE) -> None:
        self._columns, self._most = columns, most
        self._level, self._count = 0, 0
        self._rows: list[Places] = []
        self._frames: list[pl.DataFrame] = []

    def add(self, frame: pl.DataFrame) -> None:
        """Take in a batch."""
        start, stop = self._count, self._count + frame.height
        self._count = stop
        # of every whole block one row is sampled, so that a lower level has too many for sure
        self._raise(max(self._level, (stop // self._most).bit_length() - 1))
        rows = places(self._level, start, stop)
        while sum(map(len, self._rows)) + len(rows) > self._most:
            self._raise(self._level + 1)
            rows = places(self._level, start, stop)
        self._rows.append(rows)
        picked = frame.select(self._columns)
        self._frames.append(picked if len(rows) == frame.height else picked[rows - start])

    def _raise(self, level: int) -> None:
        """Keep what is sampled at this level too."""
        if level <= self._level:
            return
        self._level = level
        kept = [np.isin(each, places(level, int(each[0]), int(each[-1]) + 1)) if len(each) else each > 0 for each in self._rows]
        self._frames = [each.filter(pl.Series(chosen)) for each, chosen in zip(self._frames, kept, strict=True)]
        self._rows = [each[chosen] for each, chosen in zip(self._rows, kept, strict=True)]

    def frame(self) -> pl.DataFrame:
        """The sampled rows, in order."""
        return pl.concat(self._frames) if self._frames else pl.DataFrame({name: [] for name in self._columns})


class Gathering:
    """A version's baseline in the making."""

    def __init__(self, dataset: Dataset) -> None:
        self._columns = compared(dataset)
        # whole numbers are counted as categories too where the contract asks for values that were never there
        declared = {name for name, column in dataset.columns.items() if column.unseen is not None}
        listed = [name for name, type_ in self._columns.items() if type_ == "str" or (type_ == "int" and name in declared)]
        self._counts: dict[str, dict[str, int] | None] = {name: {} for name in listed}
        self._nulls = dict.fromkeys(listed, 0)
        self._rows = 0
        self._sample = Sample(list(self._columns))

    def add(self, frame: pl.DataFrame) -> None:
        """Take in a batch of rows as `source.read` gives them."""
        self._rows += frame.height
        self._sample.add(frame)
        for name, counts in self._counts.items():
            self._nulls[name] += frame[name].null_count()
            if counts is not None and not _counts_into(counts, frame[name]):
                self._counts[name] = None

    def baseline(self) -> Baseline:
        """What the rows so far come to."""
        sample = self._sample.frame()
        return Baseline(rows=self._rows, columns=tuple(self._column(name, sample[name]) for name in self._columns))

    def _column(self, name: str, sampled: pl.Series) -> ColumnBaseline:
        counts = self._counts.get(name)
        if self._columns[name] in ("int", "float"):
            bins = _numeric(name, sampled)
            return ColumnBaseline(bins=bins) if counts is None else _listed(bins, counts)
        if counts is None:
            bins = _categorical(name, counted(sampled), sampled.null_count())
            # more values than are remembered: those of a sample would make every other one look new
            return ColumnBaseline(bins=bins if self._columns[name] == "bool" else _forgotten(bins))
        return _listed(_categorical(name, counts, self._nulls[name]), counts)


def _counts_into(counts: dict[str, int], series: pl.Series) -> bool:
    """Add a column's values; False where there are more than are remembered. Text that differs from row to row shows within a few of them."""
    if series.head(2 * cells.KNOWN).n_unique() > cells.KNOWN + 1:
        return False
    values, totals = _tallied(series)
    if len(values) > cells.KNOWN:
        return False
    for value, count in zip(values.to_list(), totals.to_list(), strict=True):
        counts[value] = counts.get(value, 0) + count
    return len(counts) <= cells.KNOWN


def counted(series: pl.Series) -> dict[str, int]:
    """The values of a column as text, and how many rows have each; nulls are left out."""
    values, totals = _tallied(series)
    return dict(zip(values.to_list(), totals.to_list(), strict=True))


def _tallied(series: pl.Series) -> tuple[pl.Series, pl.Series]:
    table = series.drop_nulls().alias("value").value_counts()
    return table.to_series(0).cast(pl.String), table.to_series(1)


def numbers(series: pl.Series) -> NDArray[np.float64]:
    """A column of numbers, NaN for null."""
    values: NDArray[np.float64] = series.cast(pl.Float64).to_numpy()
    return values


def _numeric(name: str, series: pl.Series) -> Bins:
    values = numbers(series)
    edges = cells.numeric_edges(values)
    found = cells.assign_numeric(edges, values)
    return Bins(
        column=name,
        kind="numeric",
        edges=tuple(edges.tolist()),
        counts=tuple(found.cells.tolist()),
        nulls=found.nulls,
        n=found.n,
    )


def _categorical(name: str, counts: dict[str, int], nulls: int) -> Bins:
    values, totals = list(counts), np.fromiter(counts.values(), np.int64, len(counts))
    own = cells.own_values(values, totals)
    found = cells.assign_categorical(own, (), values, totals, nulls=nulls)
    return Bins(column=name, kind="categorical", values=own, counts=tuple(found.cells.tolist()), nulls=nulls, n=found.n)


def _listed(bins: Bins, counts: dict[str, int]) -> ColumnBaseline:
    """Cells with the values that are known, and how many of them were there once and twice (Good–Turing)."""
    totals = list(counts.values())
    known = Bins(
        **{name: getattr(bins, name) for name in ("column", "kind", "edges", "values", "counts", "nulls", "n")},
        known=cells.known_hashes(list(counts)),
        once=totals.count(1),
        twice=totals.count(2),
    )
    return ColumnBaseline(bins=known, known=tuple(sorted(counts)) if len(counts) <= MOST_KNOWN else ())


def _forgotten(bins: Bins) -> Bins:
    return Bins(column=bins.column, kind=bins.kind, values=bins.values, counts=bins.counts, nulls=bins.nulls, n=bins.n)
