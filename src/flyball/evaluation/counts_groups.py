"""Rows of small groups as whole numbers, and sums over them: a group-by that keeps its codes, for many sums over the same rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from flyball.evaluation.direct import LENGTH, views
from flyball.stats.logspace import Floats

Codes = NDArray[np.int64]


@dataclass(frozen=True)
class Coded:
    """A column as codes, shape (n,), −1 for a null, and the values that they stand for, in the order in which they first come."""

    codes: Codes
    values: list[str]


def coded(column: pl.Series) -> Coded:
    """A column of text."""
    # each step costs as much as some thousand rows: none is taken for nulls that are not there
    nulls = column.null_count()
    if len(column) and not nulls and bool((column == column[0]).all()):
        return Coded(np.zeros(len(column), dtype=np.int64), [column[0]])
    if nulls == len(column):
        return Coded(np.full(len(column), -1, dtype=np.int64), [])
    if not nulls and (short := _short(column)) is not None:
        return short
    found = column.to_arrow().dictionary_encode()
    indices = found.indices.fill_null(-1) if nulls else found.indices
    return Coded(indices.to_numpy().astype(np.int64), found.dictionary.to_pylist())


_SHORT = 7
_FIRST_AND_LENGTH, _BYTE = np.uint64(0xFFFF_FFFF_0000_00FF), np.uint64(8)


def _short(column: pl.Series) -> Coded | None:
    """A column of texts of up to seven bytes, without nulls: with their lengths they are numbers of eight, which are told apart in half of the time.
    None where one is longer.
    """
    import pyarrow as pa

    first, rest = views(column).T
    if int((first & LENGTH).max()) > _SHORT:
        return None
    found = pa.array(first | rest << _BYTE).dictionary_encode()
    numbers = found.dictionary.to_numpy()
    known = np.stack([numbers & _FIRST_AND_LENGTH, (numbers & LENGTH) >> _BYTE], axis=1)
    values = pa.Array.from_buffers(pa.string_view(), numbers.size, [None, pa.py_buffer(known)])
    return Coded(found.indices.to_numpy().astype(np.int64), pl.Series(values).to_list())


@dataclass(frozen=True)
class Groups:
    """Groups of rows: `codes` from 0 upward without a gap, shape (n,), and of each group its `key` (the code that it was made from)."""

    codes: Codes
    keys: list[int]

    def of(self, rows: Codes) -> Groups:
        """These rows alone, in the same groups."""
        return Groups(self.codes[rows], self.keys)

    def sum(self, values: Floats | NDArray[np.bool_]) -> Floats:
        """The sum of values (n,) in each group."""
        return np.bincount(self.codes, weights=values, minlength=len(self.keys)).astype(np.float64)

    def table(self, kinds: Codes, width: int) -> Codes:
        """How many rows of each kind, 0 to width − 1, each group has: shape (groups, width)."""
        counts = np.bincount(self.codes * width + kinds, minlength=len(self.keys) * width)
        return counts.reshape(-1, width).astype(np.int64)


def groups(keys: Codes, most: int) -> Groups:
    """Rows by key (n,), each from 0 to most − 1."""
    if most <= 4 * keys.size + 1024:
        # a table of all keys costs less than to sort the rows
        present = np.bincount(keys, minlength=1) > 0
        return Groups((np.cumsum(present) - 1)[keys], np.flatnonzero(present).tolist())
    found, codes = np.unique(keys, return_inverse=True)
    return Groups(codes.astype(np.int64), found.tolist())


def parted(rows: pl.DataFrame, first: NDArray[np.bool_]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The rows that are `first` (n,), and the others. Nearly always they lie one behind the other, and none is copied."""
    count = int(np.count_nonzero(first))
    if first[:count].all():
        return rows[:count], rows[count:]
    return rows.filter(pl.Series(first)), rows.filter(pl.Series(~first))
