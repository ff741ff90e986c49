"""What changed in a column, in words: which value's share moved most, which value is new, which way numbers went."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from flyball.records.evidence import Bins, InputCounts
from flyball.stats.cells import cell_name, merged
from flyball.stats.drift import ColumnTest, test_cells

SHIFT = 0.05
"""From this much chance above ½ that a value of the window exceeds one of the reference, numbers are said to be higher."""


@dataclass(frozen=True)
class Cause:
    """`value` is what changed, `how` says it with the shares before and after."""

    value: str
    how: str


def share(part: float) -> str:
    """A share as people read it: `6%`, `0.25%`, `0%`.

    >>> share(0.0625), share(0.0)
    ('6.25%', '0%')
    """
    return f"{100 * part:.3g}%"


def cause(bins: Bins, window: InputCounts, test: ColumnTest) -> Cause:
    """Name what moved in the column, by the test that found it."""
    if test.test == "nulls":
        return Cause("null", f"nulls {share(bins.nulls / bins.n)} → {share(window.nulls / window.n)}")
    present, known = window.n - window.nulls, bins.n - bins.nulls
    if test.test == "unseen":
        return _unseen(window, present)
    counts, reference = np.asarray(window.cells, dtype=np.int64), np.asarray(bins.counts, dtype=np.int64)
    if bins.kind == "numeric":
        return _numbers(bins, counts, reference)
    if window.unseen and max(window.unseen.values()) >= 0.02 * present:
        # a new value shows as its hash bucket's growth: its own name says more
        return _unseen(window, present)
    before, after = reference / known, counts / present
    cell = int(np.argmax(np.abs(after - before)))
    name = cell_name(bins, cell)
    return Cause(name, f"{name} {share(float(before[cell]))} → {share(float(after[cell]))}")


def _unseen(window: InputCounts, present: int) -> Cause:
    if not window.unseen:
        return Cause("", f"values never seen before {share(window.unseen_n / present)}")
    value, count = max(window.unseen.items(), key=lambda item: item[1])
    others = len(window.unseen) - 1
    more = f" and {others} more new value{'s' if others > 1 else ''}" if others else ""
    return Cause(value, f'"{value}" 0% → {share(count / present)}{more}')


def _numbers(bins: Bins, counts: NDArray[np.int64], reference: NDArray[np.int64]) -> Cause:
    p, q = counts / counts.sum(), reference / reference.sum()
    # chance that a value of the window exceeds one of the reference, ties half
    above = float(np.sum(p * (np.cumsum(q) - q / 2))) - 0.5
    was, now = _median(bins, reference), _median(bins, counts)
    if abs(above) >= SHIFT and was != now:
        value = "higher" if above > 0 else "lower"
        return Cause(value, f"values are {value}: median {was} → {now}")
    labels = test_cells(bins)
    before, after = merged(labels, reference) / reference.sum(), merged(labels, counts) / counts.sum()
    cell = int(np.argmax(np.abs(after - before)))
    name = _range(bins, labels, cell)
    return Cause(name, f"{name} {share(float(before[cell]))} → {share(float(after[cell]))}")


def _median(bins: Bins, counts: NDArray[np.int64]) -> str:
    cell = int(np.searchsorted(np.cumsum(counts), (counts.sum() + 1) // 2))
    if 0 < cell < len(bins.edges):
        return f"{bins.edges[cell]:.4g}"
    return cell_name(bins, cell)


def _range(bins: Bins, labels: NDArray[np.int64], cell: int) -> str:
    members = np.flatnonzero(labels == cell)
    first, last = int(members[0]), int(members[-1])
    if last - first + 1 > members.size:
        return f"values other than {cell_name(bins, int(np.flatnonzero(labels != cell)[0]))}"
    if first == last or not bins.edges:
        return cell_name(bins, first)
    if first == 0:
        return f"≤ {bins.edges[last]:.4g}" if last < len(bins.edges) else "any value"
    return f"> {bins.edges[first - 1]:.4g}" if last >= len(bins.edges) else f"({bins.edges[first - 1]:.4g}, {bins.edges[last]:.4g}]"
