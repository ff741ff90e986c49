"""Many rows of counts against as many others, all at once: what `drift.contrast` and `drift.psi` say of each pair. Pure NumPy.

A window of a thousand rows closes every other second, with some dozens of columns and slices of a dozen cells each: one by one, what NumPy takes to begin
is nearly all that they cost.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Row = NDArray[np.int64] | Floats
"""Counts, whole numbers by whichever type."""


class Contrasts(NamedTuple):
    """Of each pair (k,) X², its degrees of freedom, m = nN/(n+N), and the population stability index."""

    x2: Floats
    df: Floats
    m: Floats
    psi: Floats


def contrasts(windows: Sequence[Row], references: Sequence[Row]) -> Contrasts:
    """Compare each of `windows`, counts (cells,), with the counts of the same cells in `references`; any two pairs may differ in length.

    >>> found = contrasts([np.array([10, 30])], [np.array([30, 10])])
    >>> found.x2, found.df, found.m
    (array([20.]), array([1.]), array([20.]))
    """
    if not windows:
        return Contrasts(*np.empty((4, 0)))
    sizes = np.array([window.size for window in windows], dtype=np.int64)
    return side_by_side(np.concatenate(windows).astype(np.float64), np.concatenate(references).astype(np.float64), sizes)


class Cells(NamedTuple):
    """Windows (k,) of counts in the same fixed cells (cells,); the test cell of each fixed cell, (cells,), and the reference's counts in these."""

    windows: Sequence[tuple[int, ...]]
    labels: NDArray[np.int64]
    reference: NDArray[np.int64]


def in_cells(sides: Sequence[Cells]) -> Contrasts:
    """Compare every window with the reference, in the test cells, one after the other.

    >>> found = in_cells([Cells([(10, 20, 10), (0, 10, 30)], np.array([0, 1, 1]), np.array([30, 10]))])
    >>> found.x2
    array([20., 48.])
    """
    if not sides:
        return contrasts([], [])
    ours, theirs, sizes = [], [], []
    for windows, labels, reference in sides:
        cells = labels + reference.size * np.arange(len(windows))[:, None]
        # whole numbers up to 2⁵³ are exact as floats, and so are their sums
        ours.append(np.bincount(cells.ravel(), weights=_rows(windows).ravel(), minlength=reference.size * len(windows)))
        theirs += [reference] * len(windows)
        sizes += [reference.size] * len(windows)
    return side_by_side(np.concatenate(ours), np.concatenate(theirs).astype(np.float64), np.array(sizes))


def _rows(windows: Sequence[tuple[int, ...]]) -> NDArray[np.uint8] | NDArray[np.int64]:
    """Counts as an array, (k, cells). Of a thousand rows most fit in a byte each, and bytes are read in a third of the time."""
    try:
        return np.frombuffer(b"".join(map(bytes, windows)), dtype=np.uint8).reshape(len(windows), -1)
    except ValueError:
        return np.array(windows, dtype=np.int64)


def side_by_side(ours: Floats, theirs: Floats, sizes: NDArray[np.int64]) -> Contrasts:
    """`contrasts` of pairs (k,) that lie one after the other, each of so many cells."""
    starts = np.cumsum(sizes) - sizes
    of = np.repeat(np.arange(sizes.size), sizes)
    n, total = np.add.reduceat(ours, starts), np.add.reduceat(theirs, starts)
    both = ours + theirs
    used = both > 0
    compared = (n > 0) & (total > 0)
    # where a side is empty nothing is compared, and nothing is divided by
    per, least = np.maximum(n, 1.0), np.maximum(total, 1.0)
    off = (ours / per[of] - theirs / least[of]) ** 2 / np.where(used, both / (per + least)[of], 1.0)
    m = np.where(compared, n * total / (per + least), 0.0)
    x2 = m * np.add.reduceat(np.where(used, off, 0.0), starts)
    df = np.where(compared, np.add.reduceat(used.astype(np.float64), starts) - 1, 0.0)
    return Contrasts(x2, df, m, _psi(ours, theirs, of, starts, sizes, n, total))


def _psi(
    ours: Floats, theirs: Floats, of: NDArray[np.int64], starts: NDArray[np.int64], sizes: NDArray[np.int64], n: Floats, total: Floats
) -> Floats:
    p, q = (ours + 0.5) / (n + 0.5 * sizes)[of], (theirs + 0.5) / (total + 0.5 * sizes)[of]
    by_chance = (sizes - 1) * (1 / np.maximum(n, 1.0) + 1 / np.maximum(total, 1.0))
    found = np.maximum(np.add.reduceat((p - q) * np.log(p / q), starts) - by_chance, 0.0)
    return np.where((n > 0) & (total > 0), found, 0.0)
