"""What a window makes of its rows: count, sum, mean, min, max, last, distinct, for many windows at once.

A window's rows are a stretch of a column and, where rows became known out of order, some more behind it. Of what is said about them
nothing depends on rows outside: the same rows give the same bits, whatever history lies before them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
import polars as pl

from flyball.errors import BadInput
from flyball.features import distinct
from flyball.features.exact import Floats, Sums
from flyball.features.order import Ints

FEW: Final = 512
"""Windows of so few rows in all are gone through row by row."""


def doubles(name: str, values: pl.Series) -> Floats:
    """A column of numbers as doubles, NaN for null; no −0.0 is among them. Raises BadInput where one is infinite."""
    numbers: Floats = values.cast(pl.Float64).to_numpy() + 0.0
    if np.isinf(numbers).any():
        raise BadInput(f'column "{name}" holds an infinite value', why="nothing can be added to it", fix="leave it empty")
    return numbers


class Column:
    """The rows that count for some features, in order: those with a value in their column, where `where` holds.

    rows: their places among the view's ordered rows. count[i]: how many of the first i rows they are. `values` are theirs.
    """

    def __init__(self, name: str, rows: Ints, count: Ints, time: Ints, values: pl.Series | None) -> None:
        self.name, self.rows, self.count, self.time = name, rows, count, time
        self._values = values

    @cached_property
    def values(self) -> pl.Series:
        """Their values, and behind them null: what place −1 stands for."""
        assert self._values is not None
        return self._values.extend_constant(None, 1)

    @cached_property
    def numbers(self) -> Floats:
        """Their values as doubles, as `doubles` gives them. Raises BadInput where one is infinite."""
        assert self._values is not None
        return doubles(self.name, self._values)

    @cached_property
    def sums(self) -> Sums:
        """Running sums of `numbers`."""
        return Sums(self.numbers)

    @cached_property
    def kinds(self) -> distinct.Kinds:
        """Which rows have the same value."""
        assert self._values is not None
        return distinct.Kinds.of(self._values)


@dataclass(frozen=True)
class Stretches:
    """Each window's rows of a column: [low, high), then `more[bounds[i]:bounds[i + 1]]`, all of them later than `high`."""

    low: Ints
    high: Ints
    more: Ints
    bounds: Ints

    @cached_property
    def count(self) -> Ints:
        """How many rows each has."""
        return self.high - self.low + np.diff(self.bounds)

    @cached_property
    def last(self) -> Ints:
        """The newest row of each; −1 where there is none."""
        newest = np.where(self.high > self.low, self.high - 1, -1)
        if not len(self.more):
            return newest
        some = np.diff(self.bounds) > 0
        newest[some] = self.more[self.bounds[1:][some] - 1]
        return newest


def reduce(how: str, column: Column, rows: Stretches) -> pl.Series:
    """The aggregate of each window. count, distinct and sum of nothing are 0, the others null."""
    if how == "count":
        return pl.Series(rows.count)
    if how == "last":
        return column.values[np.where(rows.last >= 0, rows.last, len(column.values) - 1)]
    if how == "distinct":
        return pl.Series(column.kinds.count(rows.low, rows.high, rows.more, rows.bounds))
    if how in ("sum", "mean"):
        out = column.sums.of(rows.low, rows.high, rows.more, rows.bounds)
        if how == "mean":
            out = np.divide(out, rows.count, out=np.full(len(out), np.nan), where=rows.count > 0)
        return pl.Series(out, nan_to_null=True)
    return pl.Series(_extreme(np.minimum if how == "min" else np.maximum, column.numbers, rows), nan_to_null=True)


def _extreme(reduce: np.ufunc, numbers: Floats, rows: Stretches) -> Floats:
    if int(rows.count.sum()) <= FEW:
        out = _by_rows(reduce, numbers, rows.low, rows.high)
    else:
        out = _by_halves(reduce, numbers, rows.low, rows.high)
    if len(rows.more):
        some = np.flatnonzero(np.diff(rows.bounds))
        found = reduce.reduceat(numbers[rows.more], rows.bounds[some])
        # fmin and fmax pass over NaN, which stands for nothing
        out[some] = np.fmin(out[some], found) if reduce is np.minimum else np.fmax(out[some], found)
    return out


def _by_rows(reduce: np.ufunc, numbers: Floats, low: Ints, high: Ints) -> Floats:
    out = np.full(len(low), np.nan)
    for place in np.flatnonzero(high > low):
        out[place] = reduce.reduce(numbers[low[place] : high[place]])
    return out


def _by_halves(reduce: np.ufunc, numbers: Floats, low: Ints, high: Ints) -> Floats:
    """Every stretch is covered by two of a power of two of rows, which are made for all places, power by power."""
    out = np.full(len(low), np.nan)
    power = np.frexp((high - low).astype(np.float64))[1] - 1
    longest = int(power.max(initial=-1))
    for exponent in range(longest + 1):
        size = 1 << exponent
        mine = np.flatnonzero(power == exponent)
        if len(mine):
            out[mine] = reduce(numbers[low[mine]], numbers[high[mine] - size])
        if exponent < longest:
            numbers = reduce(numbers[:-size], numbers[size:])
    return out
