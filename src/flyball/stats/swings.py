"""By how much more than chance the mean of rows differs between stretches of time: the factor by which evidence of single rows is thinned.

Losses have hours and days of their own when nothing is wrong. A sequence that takes every row for a draw of its own finds a rise in each Friday evening.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import chdtri

from flyball.stats.logspace import Floats

HOURS = (3, 6, 12, 24)
"""Lengths of stretches that are looked at, in hours."""

LEAST_STRETCHES, LEAST_ROWS = 6, 5.0
"""So many stretches, of so many rows on average, say something."""

_LOW = 0.25
"""How likely a few stretches are to lie closer together than is allowed for, as in `stats.drift`."""

_HOUR = 3_600_000_000


def swing(values: Floats, times: NDArray[np.int64]) -> float:
    """φ ≥ 1: the variance of sums over stretches of time, over the rows' own, at its upper quartile; the largest of all lengths.

    φ = Σ_k (s_k − n_k x̄)² / (v Σ n_k) · C/(C − 1) · ν/χ²_ν(25%), of C stretches with n_k rows and sum s_k, ν = C − 1: from seven days φ is hardly known, and one that is
    too small wakes people (McCullagh & Nelder 1989). Fewer than six stretches, or five rows in each, say nothing, and no rows give 1. `values`: shape
    (n,); `times`: the same, µs.

    >>> swing(np.tile([0.0, 1.0], 500), np.arange(1000) * 1_000_000_000)
    1.0
    """
    variance = float(np.var(values)) if values.size else 0.0
    if variance <= 0:
        return 1.0
    found = 1.0
    for hours in HOURS:
        _, place = np.unique(times // (hours * _HOUR), return_inverse=True)
        n = np.bincount(place).astype(np.float64)
        if n.size < LEAST_STRETCHES or values.size / n.size < LEAST_ROWS:
            continue
        off = np.bincount(place, weights=values - float(np.mean(values)))
        found = max(found, upper(float(np.sum(off**2)), n.size, rows=values.size, variance=variance))
    return found


def upper(off: float, stretches: int, *, rows: float, variance: float) -> float:
    """φ at its upper quartile, never below 1, of `stretches` ≥ 2 of `rows` in all whose values have this variance > 0. `off`: Σ_k (s_k − n_k x̄)²."""
    freedom = stretches - 1
    phi = off / (variance * rows) * stretches / freedom
    return max(1.0, phi * freedom / float(chdtri(freedom, 1 - _LOW)))
