"""Standard error of a mean whose rows come in clusters (several rows of one entity): clusters are independent, rows are not.

Source: Liang & Zeger (1986), with the factor C/(C−1); t with C − 1 degrees of freedom.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from flyball.stats.logspace import Floats


class Mean(NamedTuple):
    """Mean, its standard error (infinite with fewer than two units), degrees of freedom, independent units (rows or clusters).

    `third`: the sum of the units' cubes over that of their squares, in the mean's units: how large, and to which side, the units are that the spread
    is made of; 0 where there is none.
    """

    value: float
    se: float
    df: float
    units: int
    third: float = 0.0


def alike(sizes: Floats) -> float:
    """How many clusters of one size say as much as clusters of these sizes, which are 0 or more: (Σd)²/Σd². 0 of none.

    Source: Kish (1965).

    >>> alike(np.array([10.0, 10.0, 10.0])), round(alike(np.array([98.0, 1.0, 1.0])), 2)
    (3.0, 1.04)
    """
    squares = float(sizes @ sizes)
    return float(sizes.sum()) ** 2 / squares if squares > 0 else 0.0


def mean(values: Floats, groups: npt.NDArray[np.int64] | None = None, among: Floats | None = None) -> Mean:
    """Mean of `values`, shape (n,), n ≥ 1. `groups`: shape (n,), the cluster number (≥ 0) of each row; None: rows are independent. `among`: shape (n,),
    what each row is of what the mean divides by, such as 1.0 for a positive; None: all count alike.

    Clusters of unlike sizes have the degrees of freedom of as many of one size as say as much. Raises ValueError for no rows.

    >>> mean(np.array([1.0, 1.0, 3.0, 3.0]), np.array([0, 0, 1, 1])).se
    1.0
    >>> round(mean(np.array([1.0, 1.0, 3.0, 3.0])).se, 4)
    0.5774
    """
    n = values.size
    if n == 0:
        raise ValueError("no rows have no mean")
    centre = float(np.mean(values))
    sums = values - centre
    if groups is not None:
        _, codes = np.unique(groups, return_inverse=True)
        sums = np.bincount(codes, weights=sums).astype(np.float64)
    units = sums.size
    df = units - 1.0 if groups is None else min(units, alike(np.bincount(codes, weights=among).astype(np.float64))) - 1
    # values near the end of the floating-point range have a spread beyond it: an infinite standard error says so
    with np.errstate(over="ignore"):
        squares = float(sums @ sums)
    se = math.sqrt(squares * units / (units - 1)) / n if units > 1 else math.inf
    return Mean(centre, se, df, units, _third(sums) / n)


def _third(sums: Floats) -> float:
    """Σs³/Σs², of numbers brought to at most 1 first: cubes leave the floating-point range early."""
    largest = float(np.max(np.abs(sums)))
    if not 0 < largest < math.inf:
        return 0.0
    scaled = sums / largest
    squared = scaled * scaled
    return largest * float(squared @ scaled) / float(squared.sum())
