"""Drift by slice: which values of which slices have a reference of their own, and rows counted in them. It makes no cells: those of the whole serve.

What is kept is bounded: twenty values of a slice, forty in all, four hundred (column, value) pairs; the first slices that are declared come first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from flyball.evaluation.counts_groups import Coded, coded
from flyball.records.evidence import Bins, InputCounts

VALUES = 20
"""Of a slice of more values than these, the largest are watched."""

LEAST = 200
"""A value of fewer rows in the reference is not watched: its own counts would tell too little."""

MOST_VALUES, MOST_PAIRS = 40, 400
"""Values of all slices together, and (column, value) pairs."""

Codes = NDArray[np.int64]


class Part(NamedTuple):
    """One value of a slice: its name as in `day=6`, the column that it is of, and where its rows are."""

    name: str
    column: str
    rows: NDArray[np.int64]


def texts(values: pl.Series, slice_name: str) -> pl.Series:
    """The values of a slice as they are named everywhere: `day=6`, at most 80 characters of the value; null where there is none."""
    # a Series of its own: the name is what `bin_frame` knows it by
    return (pl.Series([f"{slice_name}="]) + values.cast(pl.String, strict=False).str.slice(0, 80)).alias(slice_name)


def coded_texts(values: pl.Series, slice_name: str) -> Coded:
    """`texts` as codes: each value is named once."""
    found = coded(values.cast(pl.String, strict=False))
    return Coded(found.codes, [f"{slice_name}={value[:80]}" for value in found.values])


def parts_of(frame: pl.DataFrame, slices: Mapping[str, str], columns: int) -> list[Part]:
    """The values that are watched of `slices` (name → its column in `frame`), for so many columns of the reference."""
    found: list[Part] = []
    room = min(MOST_VALUES, MOST_PAIRS // max(columns, 1))
    for name, column in slices.items():
        if column not in frame.columns or frame.is_empty():
            continue
        named = texts(frame[column], name).alias("value")
        sizes = named.drop_nulls().value_counts(name="n").filter(pl.col("n") >= LEAST).sort(["n", "value"], descending=[True, False])
        largest = sorted(sizes["value"].to_list()[: min(VALUES, room - len(found))])
        found += [Part(value, name, (named == value).fill_null(value=False).arg_true().to_numpy().astype(np.int64)) for value in largest]
    return found


class Parts(NamedTuple):
    """Rows cut into consecutive parts: the part of each row, shape (n,), and of each part how many rows it has, and its week and day (µs; 0: not told)."""

    of: Codes
    sizes: Sequence[int]
    times: Sequence[tuple[int, int]]

    @classmethod
    def whole(cls, rows: int) -> Parts:
        """One part of all rows."""
        return cls(np.zeros(rows, dtype=np.int64), (rows,), ((0, 0),))


class Grouped(NamedTuple):
    """The rows of one slice that are counted, shape (k,) (None: all), and the group of each: its part, and its value among the `values` from number
    `low` on.
    """

    rows: Codes | None
    groups: Codes
    low: int
    values: int


def tabled(groups: Codes, places: Codes, count: int, width: int) -> Codes:
    """How many rows of each of `count` groups (n,) lie in each place from −1 (a null) to width − 2: shape (count, width)."""
    keys = groups * width
    keys += places
    keys += 1
    return np.bincount(keys, minlength=count * width).reshape(-1, width).astype(np.int64, copy=False)


class Layout:
    """The bins of slices, by slice and column: made once for a reference."""

    def __init__(self, bins: Sequence[Bins]) -> None:
        self.wholes = tuple(own for own in bins if not own.slice)
        self._place: dict[str, int] = {}
        for own in bins:
            if own.slice:
                self._place.setdefault(own.slice, len(self._place))
        self._values = tuple(self._place)
        self._watched = {
            own.column: frozenset(each.slice for each in bins if each.slice and each.column == own.column) for own in self.wholes
        }

    def codes(self, found: Coded) -> Codes | None:
        """The number of each row's value (n,), −1 where it is not watched; None where none is."""
        numbers = np.array([*(self._place.get(value, -1) for value in found.values), -1], dtype=np.int64)
        return numbers[found.codes] if numbers.max() >= 0 else None

    def grouped(self, slices: Sequence[Coded], parts: Parts) -> list[Grouped]:
        """Where the rows of each slice are counted, of slices with a value that is watched."""
        return [_grouped(codes, parts) for each in slices if (codes := self.codes(each)) is not None]

    def counted(
        self, bins: Bins, places: Codes, slices: Sequence[Grouped], parts: Parts, model: str
    ) -> tuple[list[list[InputCounts]], Codes | None]:
        """Counts of one column, whose cells are `places` (n,), in each value of the slices that has rows: a list for each part. Beside them a table of the
        whole, nulls first, shape (parts, cells + 1), where a slice has every row.
        """
        watched, width = self._watched[bins.column], len(bins.counts) + 1
        found: list[list[InputCounts]] = [[] for _ in parts.sizes]
        whole: Codes | None = None
        for each in slices if watched else ():
            # the first place of each value is its nulls
            grid = tabled(each.groups, places if each.rows is None else places[each.rows], len(found) * each.values, width)
            if each.rows is None:
                whole = grid.reshape(len(found), each.values, width).sum(axis=1)
            sums = grid.sum(axis=1)
            there = np.flatnonzero(sums)
            cells, nulls = grid[there, 1:].tolist(), grid[there, 0].tolist()
            for group, n, null, row in zip(there.tolist(), sums[there].tolist(), nulls, cells, strict=True):
                part, index = divmod(group, each.values)
                value = self._values[each.low + index]
                if value in watched:
                    week, day = parts.times[part]
                    counts = InputCounts(
                        model=model, column=bins.column, n=n, nulls=null, cells=tuple(row), slice=value, week=week, day=day
                    )
                    found[part].append(counts)
        return found, whole


def _grouped(codes: Codes, parts: Parts) -> Grouped:
    rows = None if codes.min() >= 0 else np.flatnonzero(codes >= 0)
    own, of = (codes, parts.of) if rows is None else (codes[rows], parts.of[rows])
    low = int(own.min())
    count = int(own.max()) - low + 1
    return Grouped(rows, of * count + own - low, low, count)


_LAYOUTS: dict[int, tuple[Sequence[Bins], Layout]] = {}


def layout_of(bins: Sequence[Bins]) -> Layout:
    """The layout of a reference. It is kept with it, so that its id stays its own."""
    kept = _LAYOUTS.get(id(bins))
    if kept is None or kept[0] is not bins:
        if len(_LAYOUTS) > 64:
            _LAYOUTS.clear()
        kept = _LAYOUTS[id(bins)] = (bins, Layout(bins))
    return kept[1]
