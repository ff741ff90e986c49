"""Fixed cells of a column, from a reference: counts in them are additive, so minute, day and replica sum (docs/statistics.md §2).

Numeric columns get bins at the 1..99% quantiles and around every value of 1% mass; an outlier moves one count. Categorical columns
of any number of values get a cell for each value of 1% mass and 32 hash buckets for the rest: "the top k and other" is biased,
because winners fall back. Pure NumPy; this module never sees a data frame.

Source: the bins follow the inverted empirical distribution function (Hyndman & Fan 1996, definition 1); the unseen share is
tested against Good 1953.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from flyball.records.evidence import Bins

BUCKETS = 32
"""Hash buckets for values that have no cell of their own."""

MASS = 0.01
"""A value with at least this share of the reference has a cell of its own."""

KNOWN = 10_000
"""At most this many reference values are remembered; with more, unseen values are not told apart."""

_FEW_VALUES, _FEW_EDGES = 1_000, 20
"""Up to so many they are counted one by one."""

UNSEEN = 20
"""So many unseen values are named with their counts, the largest ones."""

Counts = NDArray[np.int64]


@dataclass(frozen=True)
class CellCounts:
    """Counts of one column's values in the cells of its reference. `n` counts all rows, `cells` those that are not null."""

    n: int
    nulls: int
    cells: Counts
    unseen: dict[str, int] = field(default_factory=dict)
    unseen_n: int = 0


@lru_cache(maxsize=65_536)
def value_hash(text: str) -> int:
    """48 bits of BLAKE2b of a categorical value: the same on every machine, and exact in JSON."""
    return int.from_bytes(blake2b(text.encode("utf-8", "surrogatepass"), digest_size=6).digest(), "big")


def numeric_edges(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Edges, ascending, of the bins (e[i-1], e[i]] for reference `values` (n,); NaN is null and has no bin, no values: no edges.

    The 1..99% quantiles, and v and the float below it for each value v with at least 1% of the mass.

    >>> numeric_edges(np.array([0.0, 0.0, 0.0, 1.0]))
    array([-5.e-324,  0.e+000,  1.e+000])
    """
    present = np.sort(values[~np.isnan(values)])
    n = present.size
    if n == 0:
        return np.empty(0)
    quantiles = present[np.ceil(np.arange(1, 100) * n / 100).astype(np.int64) - 1]
    starts = np.flatnonzero(np.concatenate(([True], present[1:] != present[:-1])))
    masses = np.diff(np.append(starts, n))
    heavy = present[starts[masses >= max(2.0, MASS * n)]]
    edges = np.unique(np.concatenate((quantiles, heavy, np.nextafter(heavy, -np.inf))))
    # canonical JSON has no infinity; without such an edge the outermost bins take the infinite values
    finite: NDArray[np.float64] = edges[np.isfinite(edges)]
    return finite


def own_values(values: Sequence[str], counts: Counts) -> tuple[str, ...]:
    """The values with cells of their own, sorted: those with at least 1% of the reference. `values` are distinct, `counts` theirs."""
    total = int(counts.sum())
    return tuple(sorted(value for value, count in zip(values, counts.tolist(), strict=True) if count >= MASS * total))


def known_hashes(values: Sequence[str]) -> tuple[int, ...]:
    """Sorted hashes of the reference's distinct `values`; none if they are more than 10,000."""
    return tuple(sorted({value_hash(value) for value in values})) if len(values) <= KNOWN else ()


def assign_numeric(edges: Sequence[float] | NDArray[np.float64], values: NDArray[np.float64]) -> CellCounts:
    """Count `values` (n,), NaN for null, in the len(edges) + 1 bins.

    >>> assign_numeric([0.0, 1.0], np.array([-1.0, 0.0, 0.5, 9.0, np.nan])).cells
    array([2, 1, 1])
    """
    nulls = int(np.count_nonzero(np.isnan(values)))
    limits = np.asarray(edges, dtype=np.float64)
    if values.size < _FEW_VALUES:
        present = values[~np.isnan(values)] if nulls else values
        cells = np.bincount(np.searchsorted(limits, present, side="left"), minlength=limits.size + 1)
    else:
        cells = np.diff(_up_to(limits, values), prepend=0, append=values.size - nulls)
    return CellCounts(n=int(values.size), nulls=nulls, cells=cells.astype(np.int64))


def _up_to(edges: NDArray[np.float64], values: NDArray[np.float64]) -> NDArray[np.int64]:
    """How many values lie at or below each edge. To look up each value's bin takes two to ten times as long: no processor foresees where
    a search turns.
    """
    if edges.size <= _FEW_EDGES:
        return np.array([np.count_nonzero(values <= edge) for edge in edges], dtype=np.int64)
    # NaN comes last
    return np.searchsorted(np.sort(values), edges, side="right")


def assign_categorical(
    own: Sequence[str], known: Sequence[int] | frozenset[int], values: Sequence[str], counts: Counts, *, nulls: int = 0
) -> CellCounts:
    """Count distinct `values` with their `counts` in len(own) + 32 cells: own values first, then the hash buckets.

    A value whose hash is not in `known` was never seen in the reference; with `known` empty nothing counts as unseen.

    >>> found = assign_categorical(["a"], [value_hash("a")], ["a", "new"], np.array([5, 2]))
    >>> int(found.cells[0]), int(found.cells.sum()), found.unseen
    (5, 7, {'new': 2})
    """
    place = {value: index for index, value in enumerate(own)}
    seen = known if isinstance(known, frozenset) else frozenset(known)
    cells = np.zeros(len(own) + BUCKETS, dtype=np.int64)
    unseen: dict[str, int] = {}
    for value, count in zip(values, counts.tolist(), strict=True):
        cell = place.get(value)
        if cell is None:
            digest = value_hash(value)
            cell = len(own) + digest % BUCKETS
            if seen and digest not in seen:
                unseen[value[:80]] = unseen.get(value[:80], 0) + count
        cells[cell] += count
    return CellCounts(n=int(counts.sum()) + nulls, nulls=nulls, cells=cells, unseen=named(unseen), unseen_n=sum(unseen.values()))


def named(unseen: Mapping[str, int]) -> dict[str, int]:
    """Of values that the reference never had, with their counts, the `UNSEEN` largest, largest first."""
    return dict(sorted(unseen.items(), key=lambda item: (-item[1], item[0]))[:UNSEEN])


def cell_name(bins: Bins, cell: int) -> str:
    """How a person reads a cell: `red`, `other values (bucket 7)`, `0`, `(1.5, 2.5]`, `> 9`."""
    if bins.kind == "categorical":
        return bins.values[cell] if cell < len(bins.values) else f"other values (bucket {cell - len(bins.values)})"
    if not bins.edges:
        return "any value"
    if cell == 0:
        heavy = len(bins.edges) > 1 and np.nextafter(bins.edges[1], -np.inf) == bins.edges[0]
        return f"< {bins.edges[1]:.6g}" if heavy else f"≤ {bins.edges[0]:.6g}"
    if cell >= len(bins.edges):
        return f"> {bins.edges[-1]:.6g}"
    low, high = bins.edges[cell - 1], bins.edges[cell]
    return f"{high:.6g}" if np.nextafter(high, -np.inf) == low else f"({low:.6g}, {high:.6g}]"


def merge_bins(counts: Counts) -> NDArray[np.int64]:
    """The test cell of each numeric bin, from 0 upward. `counts` (bins,) are the reference's.

    Walk upward and close a cell at 10% of the mass; a bin of 10% is a cell of its own (what ran before it is closed if it has 2%,
    else joins it); a rest below 2% joins the last cell. Where that leaves one cell only, as with a constant, the largest bin is one cell
    and all others are another: else nothing could ever be seen to change.

    >>> merge_bins(np.array([1, 30, 5, 5, 58, 1]))
    array([0, 0, 1, 1, 2, 2])
    >>> merge_bins(np.array([0, 100, 0]))
    array([1, 0, 1])
    """
    total = max(int(counts.sum()), 1)
    labels = np.zeros(counts.size, dtype=np.int64)
    cell, run = 0, 0
    for index, count in enumerate(counts.tolist()):
        if count >= 0.1 * total:
            # too little before it: the big bin takes it in
            cell += 1 if run >= 0.02 * total else 0
            labels[index] = cell
            cell, run = cell + 1, 0
            continue
        labels[index] = cell
        run += count
        if run >= 0.1 * total:
            cell, run = cell + 1, 0
    if cell > 0 and run < 0.02 * total:
        labels[labels == cell] = cell - 1
    if counts.size > 1 and not labels.any():
        labels[:] = 1
        labels[int(np.argmax(counts))] = 0
    return labels


def merged(labels: NDArray[np.int64], counts: Counts) -> Counts:
    """Sum `counts` (…, bins) into the cells that `labels` (bins,) name: (…, cells)."""
    members = labels[:, None] == np.arange(int(labels.max(initial=-1)) + 1)
    summed: Counts = counts @ members.astype(np.int64)
    return summed


def pooling(reference: Counts, n: int) -> NDArray[np.int64]:
    """Labels that pool into one every cell whose reference share × min(n, N) is below 5. `reference` (cells,) counts, N their sum.

    >>> pooling(np.array([50, 1, 48, 1]), 100)
    array([0, 2, 1, 2])
    """
    total = int(reference.sum())
    small = reference * min(n, total) < 5 * total
    labels = np.cumsum(~small) - 1
    return np.where(small, int((~small).sum()), labels).astype(np.int64)
