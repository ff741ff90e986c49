"""The bin of each of many values: what a binary search says, by a table of buckets of equal width that no processor has to guess about. Pure NumPy.

A value and an edge go into a bucket by the same rounded sum, which never falls as a value rises: edges in lower buckets lie below the value, edges in
higher ones above it, and only with the edges in its own bucket is it compared.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Places = NDArray[np.int64]

BUCKETS = 2_048
FEW = 1_000
"""Up to so many values are searched for: the steps of a table cost more."""

_COMPARED = 2
"""Edges that a value is compared with; in a bucket of more it is searched for. A value of 1% mass has two edges side by side."""


class EdgeTable:
    """Ascending, finite `edges` (k,), made ready for many values.

    >>> EdgeTable([0.0, 1.0]).places(np.array([-1.0, 0.0, 0.5, 9.0, np.nan])).tolist()
    [0, 0, 1, 2, 2]
    """

    def __init__(self, edges: Sequence[float] | Floats) -> None:
        self._edges: Floats = np.asarray(edges, dtype=np.float64)
        with np.errstate(over="ignore", divide="ignore"):
            width = float(self._edges[-1] - self._edges[0]) if self._edges.size else 0.0
            self._scale = float(np.float64(BUCKETS) / np.float64(width))
        self._usable = self._edges.size > _COMPARED and 0 < self._scale < np.inf and width < np.inf
        if self._usable:
            self._fill()

    def _fill(self) -> None:
        own = self._buckets(self._edges)
        there = np.bincount(own, minlength=BUCKETS + 2)
        before = np.cumsum(there) - there
        self._before: Places = before.astype(np.int64)
        self._near: list[Floats] = []
        for order in range(_COMPARED):
            edge = np.full(BUCKETS + 2, np.inf)
            held = there > order
            edge[held] = self._edges[before[held] + order]
            self._near.append(edge)
        self._crowded = there > _COMPARED
        self._any_crowded = bool(self._crowded.any())

    def _buckets(self, values: Floats) -> Places:
        # below all edges 0, NaN as well
        with np.errstate(over="ignore", invalid="ignore"):
            at = (values - self._edges[0]) * self._scale
        found: Places = (np.fmin(np.fmax(at, -1.0), float(BUCKETS)) + 1.0).astype(np.int64)
        return found

    def places(self, values: Floats) -> Places:
        """How many edges lie below each of `values` (n,); NaN lies above all.

        With edges e the bin i is (e[i−1], e[i]]: the same as `np.searchsorted(edges, values, side="left")`.
        """
        if not self._usable or values.size <= FEW:
            searched: Places = np.searchsorted(self._edges, values, side="left").astype(np.int64)
            return searched
        buckets = self._buckets(values)
        found: Places = self._before[buckets]
        for edge in self._near:
            found += values > edge[buckets]
        if self._any_crowded:
            crowded = np.flatnonzero(self._crowded[buckets])
            found[crowded] = np.searchsorted(self._edges, values[crowded], side="left")
        found[np.isnan(values)] = self._edges.size
        return found
