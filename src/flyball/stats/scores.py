"""Fixed cells of a score, the same for every model and version: counts in them add up over minutes, slices and replicas.

A cell is an eighth of a doubling of the odds: 9% wide wherever the score lies, so that the rare high scores, by which most decisions are made,
are told apart as well as the common ones. From scores by cell and label follow AUC, calibration, recall of the top share, and estimates without labels.
Pure NumPy.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

PER_DOUBLING = 8
"""Cells for each doubling of the odds."""

OUTERMOST = 160
"""Cells run from −OUTERMOST to OUTERMOST − 1: odds of 2⁻²⁰ to 2²⁰; what lies beyond is in the outermost."""


def cells_of(scores: NDArray[np.float64]) -> NDArray[np.int64]:
    """The cell of each score (n,) in [0, 1]. Raises ValueError for one that is not, NaN included.

    >>> cells_of(np.array([0.0, 0.5, 0.75, 1.0]))
    array([-160,    0,   12,  159])
    """
    values = np.asarray(scores, dtype=np.float64)
    if not np.all((values >= 0) & (values <= 1)):
        raise ValueError("scores must lie in [0, 1]")
    with np.errstate(divide="ignore"):
        place = np.floor(PER_DOUBLING * (np.log2(values) - np.log2(1 - values)))
    found: NDArray[np.int64] = np.clip(place, -OUTERMOST, OUTERMOST - 1).astype(np.int64)
    return found


def middles(cells: NDArray[np.int64]) -> NDArray[np.float64]:
    """The score in the middle of each cell (n,), by odds.

    >>> middles(np.array([0, 12])).round(3)
    array([0.511, 0.747])
    """
    odds = np.exp2((np.asarray(cells) + 0.5) / PER_DOUBLING)
    found: NDArray[np.float64] = odds / (1 + odds)
    return found
