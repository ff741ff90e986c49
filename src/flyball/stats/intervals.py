"""Intervals of one number: Wilson for counts, Student's t for means, a seeded bootstrap of sums for the rest.

Sources: Wilson (1927); Efron (1979).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy.special import ndtri, stdtrit

from flyball.stats.logspace import Floats

Z_ONE_SIDED = 1.6448536269514722
"""Standard normal quantile of .95."""

BLOCKS = 1_000
"""Rows are first added up in at most this many random blocks, so a bootstrap of a million rows costs as much as one of a thousand."""


class Interval(NamedTuple):
    """Lower and upper end, in the metric's units."""

    low: float
    high: float


def _z(level: float) -> float:
    return float(ndtri(0.5 + level / 2))


def wilson_ends(count: float, total: float, z: float) -> Interval:
    """Both Wilson limits at `z` standard errors each. `total` = 0 gives (0, 1). Raises ValueError for impossible counts.

    >>> [round(end, 4) for end in wilson_ends(10, 100, Z_ONE_SIDED)]
    [0.0607, 0.1604]
    """
    if not 0 <= count <= total:
        raise ValueError(f"{count} of {total} is impossible")
    if total == 0:
        return Interval(0.0, 1.0)
    share = count / total
    spread = z * math.sqrt(share * (1 - share) / total + z * z / (4 * total * total))
    middle, scale = share + z * z / (2 * total), 1 + z * z / total
    # at the ends the formula gives 0 and 1 but for its last bits
    low = (middle - spread) / scale if count > 0 else 0.0
    high = (middle + spread) / scale if count < total else 1.0
    return Interval(max(0.0, low), min(1.0, high))


def wilson(count: float, total: float, level: float = 0.95) -> Interval:
    """Two-sided Wilson interval of a share: `count` of `total` (counts of rows) at confidence `level`.

    >>> [round(end, 3) for end in wilson(8, 10)]
    [0.49, 0.943]
    """
    return wilson_ends(count, total, _z(level))


def wilson_bound(count: float, total: float, side: str, alpha: float = 0.05) -> float:
    """One-sided Wilson limit of a share at error `alpha`; `side` is "lower" or "upper".

    >>> round(wilson_bound(10, 100, "upper"), 4)
    0.1604
    """
    ends = wilson_ends(count, total, float(ndtri(1 - alpha)))
    return ends.low if side == "lower" else ends.high


def t_interval(mean: float, se: float, df: float, level: float = 0.95) -> Interval:
    """Two-sided t interval: `mean` ± t_{df} · `se`, both in the mean's units. `df` < 1 gives (−inf, inf).

    >>> [round(end, 3) for end in t_interval(1.0, 0.5, 9)]
    [-0.131, 2.131]
    """
    if df < 1 or not math.isfinite(se):
        return Interval(-math.inf, math.inf)
    reach = float(stdtrit(df, 0.5 + level / 2)) * se
    return Interval(mean - reach, mean + reach)


def bootstrap(
    sums: Floats,
    statistic: Callable[[Floats], Floats],
    *,
    seed: int = 0,
    draws: int = 1_000,
    level: float = 0.95,
) -> Interval:
    """Percentile interval of a statistic that depends on rows only through sums, from `draws` seeded resamples.

    `sums`: shape (n, k), one row of summands each. `statistic`: shape (draws, k) of resampled sums → shape (draws,); NaN where it is not
    defined. The same seed gives the same interval. No row, or no draw in which the statistic is defined, gives (NaN, NaN).

    >>> rows = np.column_stack([np.arange(100.0), np.ones(100)])
    >>> ends = bootstrap(rows, lambda s: s[:, 0] / s[:, 1], seed=1)
    >>> ends.low < 49.5 < ends.high
    True
    """
    n = len(sums)
    if n == 0:
        return Interval(math.nan, math.nan)
    random = np.random.default_rng(seed)
    if n > BLOCKS:
        order = random.permutation(n)
        starts = np.linspace(0, n, BLOCKS, endpoint=False).astype(np.int64)
        sums = np.add.reduceat(sums[order], starts, axis=0)
    blocks = len(sums)
    weights = random.multinomial(blocks, np.full(blocks, 1 / blocks), size=draws)
    values = statistic(weights.astype(np.float64) @ sums)
    values = values[np.isfinite(values)]
    if values.size == 0:
        return Interval(math.nan, math.nan)
    tail = (1 - level) / 2
    low, high = np.quantile(values, [tail, 1 - tail])
    return Interval(float(low), float(high))
