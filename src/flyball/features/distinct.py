"""How many different values stretches of a column hold, without going through them row by row.

A row is the first of its value in [low, high) when the row before it with the same value lies before `low`. Rows before `low` have
their forerunners there as well, so the count is: rows before `high` whose forerunner lies before `low`, less `low`. Such counts are
made for all stretches at once, bit by bit of the forerunners' places (a wavelet matrix: Claude, Navarro, Ordóñez, "The wavelet matrix",
2015).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl

from flyball.features.order import Ints, by_number, numbered

MANY: Final = 4
"""Stretches with more rows in all than this many times those of the column and the stretches are counted by forerunners."""


@dataclass(frozen=True)
class Kinds:
    """`kind[i]`: the number of row i's value. `before[i]`: 1 + the place of the row before it with the same value, 0 if there is none.

    `places` are kind · (rows + 1) + place, ascending: where a value's rows lie.
    """

    kind: Ints
    before: Ints
    places: Ints

    @classmethod
    def of(cls, values: pl.Series) -> Kinds:
        """Number the values of a column without nulls."""
        if values.dtype.is_numeric():
            numbers = values.to_numpy()
            by = np.argsort(numbers, kind="stable")
            kind = np.zeros(len(by), dtype=np.int64)
            kind[by[1:]] = np.cumsum(numbers[by[1:]] != numbers[by[:-1]])
        else:
            kind = numbered(values, values.unique(maintain_order=True))
            by = by_number(kind)
        same = kind[by[1:]] == kind[by[:-1]]
        before = np.zeros(len(kind), dtype=np.int64)
        before[by[1:]] = np.where(same, by[:-1] + 1, 0)
        return cls(kind, before, kind[by] * (len(kind) + 1) + by)

    def count(self, low: Ints, high: Ints, more: Ints, bounds: Ints) -> Ints:
        """How many different values rows [low, high) and more[bounds[i]:bounds[i + 1]] have, for each i. `more` lies behind `high`."""
        lengths = high - low
        if int(lengths.sum()) <= MANY * (len(self.kind) + len(low)):
            owner = np.repeat(np.arange(len(low)), lengths)
            rows = np.arange(len(owner)) + np.repeat(low - (np.cumsum(lengths) - lengths), lengths)
            out = self._pairs(owner, rows, len(low))
        else:
            some = lengths > 0
            out = np.where(some, _below(self.before, high, low + 1) - low, 0)
        if len(more):
            owner = np.repeat(np.arange(len(low)), np.diff(bounds))
            new = ~self._within(more, low[owner], high[owner])
            out = out + self._pairs(owner[new], more[new], len(low))
        return out

    def _pairs(self, owner: Ints, rows: Ints, count: int) -> Ints:
        """How many different values each owner's rows have."""
        kinds = int(self.kind.max(initial=0)) + 1
        pairs = np.sort(owner * kinds + self.kind[rows])
        first = np.concatenate([np.ones(len(pairs[:1]), dtype=np.bool_), pairs[1:] != pairs[:-1]])
        return np.bincount(pairs[first] // kinds, minlength=count).astype(np.int64, copy=False)

    def _within(self, rows: Ints, low: Ints, high: Ints) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
        """Whether the value of each row is found in [low, high)."""
        start = self.kind[rows] * (len(self.kind) + 1)
        found: np.ndarray[tuple[int], np.dtype[np.bool_]] = np.searchsorted(self.places, start + high) > np.searchsorted(
            self.places, start + low
        )
        return found


def _below(values: Ints, upto: Ints, bound: Ints) -> Ints:
    """How many of the first `upto` values are less than `bound`, for each pair. Values and bounds are ≥ 0."""
    count = np.zeros(len(upto), dtype=np.int64)
    low, high = np.zeros(len(upto), dtype=np.int64), upto
    for bit in reversed(range(int(max(values.max(initial=0), bound.max(initial=0))).bit_length())):
        ones = (values >> bit) & 1
        zeros = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(1 - ones)])
        left, right = zeros[low], zeros[high]
        up = ((bound >> bit) & 1).astype(np.bool_)
        count += np.where(up, right - left, 0)
        low = np.where(up, zeros[-1] + low - left, left)
        high = np.where(up, zeros[-1] + high - right, right)
        values = np.concatenate([values[ones == 0], values[ones == 1]])
    return count
