"""Do two series rise and fall together? Spearman's rank correlation, with Fisher's interval.

It says that two things go together, never that one makes the other. Sources: Spearman (1904); Fieller, Hartley & Pearson (1957) for the variance.
"""

from __future__ import annotations

import math

import numpy as np
from scipy.special import ndtri

from flyball.stats.intervals import Interval
from flyball.stats.logspace import Floats

FEWEST = 10
"""Pairs without which the interval says nothing."""


def ranks(values: Floats) -> Floats:
    """Ranks from 1 on, shape (n,); equal values share their mean rank.

    >>> ranks(np.array([10.0, 30.0, 10.0])).tolist()
    [1.5, 3.0, 1.5]
    """
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    found: Floats = (last - (counts - 1) / 2.0)[place]
    return found


def spearman(x: Floats, y: Floats, level: float = 0.95) -> tuple[float, Interval] | None:
    """Rank correlation of pairs, shapes (n,), with a two-sided interval that takes pairs for independent; None for fewer than `FEWEST` pairs, or where
    one of the two never changes.

    >>> found = spearman(np.arange(20.0), np.arange(20.0) ** 3)
    >>> round(found[0], 3), found[1].high
    (1.0, 1.0)
    """
    n = x.size
    if n < FEWEST:
        return None
    a, b = ranks(x) - (n + 1) / 2, ranks(y) - (n + 1) / 2
    spread = math.sqrt(float(a @ a) * float(b @ b))
    if spread == 0:
        return None
    rho = max(-1.0, min(1.0, float(a @ b) / spread))
    # Fisher's z has no end at 1: the nearest that n pairs tell apart from it
    most = 1 - 6 / (n * (n * n - 1))
    z = math.atanh(max(-most, min(most, rho)))
    reach = float(ndtri(0.5 + level / 2)) * math.sqrt(1.06 / (n - 3))
    low, high = math.tanh(z - reach), math.tanh(z + reach)
    return rho, Interval(min(low, rho), max(high, rho))
