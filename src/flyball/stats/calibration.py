"""Do scores mean what they say? Expected calibration error over ten bins of equal mass, with the reliability table.

Source: Naeini, Cooper & Hauskrecht (2015), with bins of equal mass (Nguyen & O'Connor 2015).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from flyball.stats.logspace import Floats

BINS = 10
"""Bins of equal mass."""


class Reliability(NamedTuple):
    """Shapes (bins,): rows, mean score, share of positives in each bin, by rising score; `error` = Σ (n_b/n) |ȳ_b − p̄_b|; `bin_of`: shape (n,)."""

    error: float
    rows: Floats
    score: Floats
    positive: Floats
    bin_of: npt.NDArray[np.int64]


def reliability(y: Floats, score: Floats, bins: int = BINS) -> Reliability:
    """Calibration of scores. `y`: shape (n,) of 0/1, `score`: shape (n,) in [0, 1], n ≥ 1. Equal scores share a bin.

    Raises ValueError for no rows.

    >>> found = reliability(np.array([0.0, 1.0, 0.0, 1.0]), np.array([0.5, 0.5, 0.5, 0.5]))
    >>> found.error, found.rows.tolist()
    (0.0, [4.0])
    """
    n = y.size
    if n == 0:
        raise ValueError("no rows have no calibration")
    edges = np.unique(np.quantile(score, np.arange(1, bins) / bins, method="inverted_cdf"))
    place = np.searchsorted(edges, score, side="left")
    rows = np.bincount(place, minlength=edges.size + 1).astype(np.float64)
    kept = rows > 0
    rows = rows[kept]
    means = np.bincount(place, weights=score, minlength=edges.size + 1)[kept] / rows
    shares = np.bincount(place, weights=y, minlength=edges.size + 1)[kept] / rows
    bin_of = (np.cumsum(kept) - 1)[place]
    return Reliability(float(np.sum(rows / n * np.abs(shares - means))), rows, means, shares, bin_of)
