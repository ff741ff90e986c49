"""Drift by slice: which values of which slices have a reference of their own, and rows counted in them. It makes no cells: those of the whole serve.

What is kept is bounded: twenty values of a slice, forty in all, four hundred (column, value) pairs; the first slices that are declared come first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

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

    def codes(self, series: pl.Series) -> Codes | None:
        """The number of each row's value (n,), −1 where it is not watched; None where none is."""
        place = self._place
        codes = np.fromiter((place.get(value, -1) for value in series.to_list()), dtype=np.int64, count=len(series))
        return codes if codes.size and codes.max() >= 0 else None

    def counted(self, bins: Bins, places: Codes, coded: Sequence[tuple[str, Codes]], model: str) -> list[InputCounts]:
        """Counts of one column, whose cells are `places` (n,), in each value of the slices that has rows."""
        watched, width = self._watched[bins.column], len(bins.counts) + 1
        found = []
        for _, codes in coded if watched else ():
            inside = codes >= 0
            low = int(codes[inside].min())
            count = int(codes.max()) - low + 1
            # the first place of each value is its nulls
            grid = np.bincount((codes[inside] - low) * width + places[inside] + 1, minlength=count * width).reshape(count, width)
            for index, (row, n) in enumerate(zip(grid.tolist(), grid.sum(axis=1).tolist(), strict=True)):
                value = self._values[low + index]
                if n and value in watched:
                    found.append(InputCounts(model=model, column=bins.column, n=n, nulls=row[0], cells=tuple(row[1:]), slice=value))
        return found


_LAYOUTS: dict[int, tuple[Sequence[Bins], Layout]] = {}


def layout_of(bins: Sequence[Bins]) -> Layout:
    """The layout of a reference. It is kept with it, so that its id stays its own."""
    kept = _LAYOUTS.get(id(bins))
    if kept is None or kept[0] is not bins:
        if len(_LAYOUTS) > 64:
            _LAYOUTS.clear()
        kept = _LAYOUTS[id(bins)] = (bins, Layout(bins))
    return kept[1]
