"""Where the values of a column lie: the cell of each row in a reference, and which rows hold what the reference never had. Pure.

What a reference is looked up by is made once for it and kept beside it; values are looked up once each, however many rows have them.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from flyball.evaluation.counts_groups import coded
from flyball.records.evidence import Bins
from flyball.stats import cells
from flyball.stats.places import EdgeTable

Places = NDArray[np.int64]

_UNSEEN = 1 << 32
"""Added to the cell of a value that the reference never had."""

FEW = 512
"""Rows so few are looked up one by one: to find which values they have costs more."""

MOST_VALUES, _MOST_LOOKUPS, _MOST_KEPT = 8_192, 64, 256
"""Values that a lookup knows, lookups, and references whose values are kept."""


class Placed(NamedTuple):
    """The cell of each row, shape (n,), −1 for a null; and the rows whose value the reference never had."""

    cells: Places
    unseen: Places


def placed(bins: Bins, series: pl.Series) -> Placed:
    """Look the values of a column up in its cells. A value that is no number where numbers are expected is null."""
    if bins.kind == "numeric":
        values = numbers(series)
        found = _edges(bins).places(values)
        found[np.isnan(values)] = -1
        return Placed(found, _NONE)
    known = _lookup(bins)
    values_there = texts_of(series)
    if len(series) <= FEW:
        marked = known.rows(values_there.to_list())
    else:
        codes = coded(values_there)
        # the last one is that of code −1
        marked = known.rows([*codes.values, None])[codes.codes]
    fresh = np.flatnonzero(marked >= _UNSEEN)
    if fresh.size:
        marked[fresh] -= _UNSEEN
    return Placed(marked, fresh)


_NONE: Places = np.empty(0, dtype=np.int64)


def numbers(series: pl.Series) -> NDArray[np.float64]:
    """Values as numbers, times as microseconds; NaN where there is none."""
    if series.dtype.is_temporal():
        series = series.dt.epoch("us") if isinstance(series.dtype, pl.Datetime) or series.dtype == pl.Date else series.to_physical()
    # a null becomes NaN by itself
    values: NDArray[np.float64] = series.cast(pl.Float64, strict=False).to_numpy()
    return values


def texts_of(series: pl.Series) -> pl.Series:
    """Values as text, under a name that no count of them has."""
    return series.cast(pl.String, strict=False).alias("value")


_KNOWN: dict[int, tuple[tuple[int, ...], frozenset[int]]] = {}


def known_of(hashes: tuple[int, ...]) -> frozenset[int]:
    """The hashes of a reference as a set."""
    # a set of 10,000 hashes takes longer to build than a second's rows take to count; the tuple is kept, so its id stays its own
    kept = _KNOWN.get(id(hashes))
    if kept is None:
        if len(_KNOWN) > _MOST_KEPT:
            _KNOWN.clear()
        kept = _KNOWN[id(hashes)] = (hashes, frozenset(hashes))
    return kept[1]


class _Lookup:
    """The cells of a categorical reference by value, as they were asked for."""

    def __init__(self, bins: Bins) -> None:
        self._own = len(bins.values)
        self._known = known_of(bins.known)
        self._first: dict[str | None, int] = {value: cell for cell, value in enumerate(bins.values)} | {None: -1}
        self._cells = dict(self._first)

    def rows(self, values: list[str | None]) -> Places:
        """The cell of each value, marked where the reference never had it."""
        known = self._cells
        try:
            return np.fromiter(map(known.__getitem__, values), dtype=np.int64, count=len(values))
        except KeyError:
            if len(known) > MOST_VALUES:
                known = self._cells = dict(self._first)
            for value in set(values).difference(known):
                assert value is not None
                known[value] = self._cell(value)
            return np.fromiter(map(known.__getitem__, values), dtype=np.int64, count=len(values))

    def _cell(self, value: str) -> int:
        digest = cells.value_hash(value)
        cell = self._own + digest % cells.BUCKETS
        return cell + _UNSEEN if self._known and digest not in self._known else cell


_LOOKUPS: dict[int, tuple[Bins, _Lookup]] = {}
_EDGES: dict[int, tuple[tuple[float, ...], EdgeTable]] = {}


def _lookup(bins: Bins) -> _Lookup:
    # the bins are kept, so that their id stays their own
    kept = _LOOKUPS.get(id(bins))
    if kept is None:
        if len(_LOOKUPS) > _MOST_LOOKUPS:
            _LOOKUPS.clear()
        kept = _LOOKUPS[id(bins)] = (bins, _Lookup(bins))
    return kept[1]


def _edges(bins: Bins) -> EdgeTable:
    kept = _EDGES.get(id(bins.edges))
    if kept is None:
        if len(_EDGES) > _MOST_KEPT:
            _EDGES.clear()
        kept = _EDGES[id(bins.edges)] = (bins.edges, EdgeTable(bins.edges))
    return kept[1]
