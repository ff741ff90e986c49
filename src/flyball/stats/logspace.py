"""Averages of numbers that are kept as logarithms: evidence is held as log E, never as E, which overflows."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def log_mean_exp(logs: Floats) -> float:
    """Log of the mean of exp(`logs`), natural, without overflow.

    `logs`: shape (k,), k ≥ 1; −inf stands for 0. All −inf gives −inf.

    >>> float(round(log_mean_exp(np.array([1000.0, 1000.0])), 6))
    1000.0
    """
    top = float(np.max(logs))
    if not np.isfinite(top):
        return top
    return top + float(np.log(np.mean(np.exp(logs - top))))
