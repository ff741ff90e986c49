"""Area under the ROC curve with its variance, alone and paired, in O(n log n).

Each positive's placement is the share of negatives that score below it (ties count half), and the other way round; AUC is their mean and
its variance is that of the two means. Two models are compared on the same rows, so what both find hard cancels.

Sources: DeLong, DeLong & Clarke-Pearson (1988); Sun & Xu (2014) for the ranks.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from flyball.stats.logspace import Floats

Flags = npt.NDArray[np.bool_]


class Placements(NamedTuple):
    """`positives`: shape (n⁺,), `negatives`: shape (n⁻,), each in [0, 1]; the mean of either is the AUC."""

    positives: Floats
    negatives: Floats


class Auc(NamedTuple):
    """AUC (or a difference of AUCs) with its standard error and the rows of each class."""

    value: float
    se: float
    positives: int
    negatives: int


def _midranks(values: Floats) -> Floats:
    """Ranks from 1, ties share the mean of theirs."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    ranks: Floats = (ends - (counts - 1) / 2)[inverse]
    return ranks


def placements(y: Flags, score: Floats) -> Placements:
    """Placements of all rows. `y`: shape (n,) of bool; `score`: shape (n,), higher means more likely positive.

    Raises ValueError unless both classes are there and no score is NaN.
    """
    up, down = score[y], score[~y]
    if up.size == 0 or down.size == 0:
        raise ValueError("AUC needs rows of both classes")
    if np.isnan(score).any():
        raise ValueError("a score is NaN")
    ranks = _midranks(np.concatenate([up, down]))
    return Placements(
        positives=(ranks[: up.size] - _midranks(up)) / down.size,
        negatives=1 - (ranks[up.size :] - _midranks(down)) / up.size,
    )


def _se(positives: Floats, negatives: Floats) -> float:
    if min(positives.size, negatives.size) < 2:
        return math.inf
    return math.sqrt(float(np.var(positives, ddof=1)) / positives.size + float(np.var(negatives, ddof=1)) / negatives.size)


def auc(y: Flags, score: Floats) -> Auc:
    """AUC of one model; the standard error is infinite with fewer than two rows of a class. Errors as `placements`.

    >>> found = auc(np.array([True, True, False, False]), np.array([0.9, 0.4, 0.6, 0.1]))
    >>> found.value
    0.75
    """
    own = placements(y, score)
    return Auc(float(np.mean(own.positives)), _se(*own), own.positives.size, own.negatives.size)


def paired(y: Flags, new: Floats, old: Floats, *, times: float = 1.0) -> Auc:
    """AUC of `new` − `times` × AUC of `old` on the same rows, shapes (n,). Errors as `placements`.

    >>> y = np.array([True, True, False, False])
    >>> paired(y, np.array([0.9, 0.4, 0.6, 0.1]), np.array([0.9, 0.4, 0.6, 0.1])).value
    0.0
    """
    first, second = placements(y, new), placements(y, old)
    up, down = first.positives - times * second.positives, first.negatives - times * second.negatives
    return Auc(float(np.mean(up)), _se(up, down), up.size, down.size)


def influence(y: Flags, score: Floats) -> Floats:
    """Values of all rows, shape (n,), whose mean is the AUC and whose spread over rows (or clusters) gives its variance.

    >>> rows = influence(np.array([True, True, False, False]), np.array([0.9, 0.4, 0.6, 0.1]))
    >>> float(rows.mean())
    0.75
    """
    own = placements(y, score)
    value = float(np.mean(own.positives))
    rows = np.full(y.size, value)
    rows[y] += (own.positives - value) * y.size / own.positives.size
    rows[~y] += (own.negatives - value) * y.size / own.negatives.size
    return rows
