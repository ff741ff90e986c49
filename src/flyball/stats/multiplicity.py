"""Many tests at once: Holm keeps the chance of any false finding, Benjamini–Hochberg and e-BH the share of false findings.

Sources: Holm (1979); Benjamini & Hochberg (1995); Wang & Ramdas (2022).
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from flyball.stats.logspace import Floats

Flags = npt.NDArray[np.bool_]


def holm(p: npt.ArrayLike) -> Floats:
    """Adjusted p-values, shape (k,) as `p`: reject where they are ≤ α. Any dependence.

    >>> holm([0.01, 0.04, 0.03]).round(3).tolist()
    [0.03, 0.06, 0.06]
    """
    values = np.asarray(p, dtype=np.float64)
    order = np.argsort(values, kind="stable")
    steps = np.maximum.accumulate(values[order] * np.arange(values.size, 0, -1)) if values.size else values
    out = np.empty_like(values)
    out[order] = np.minimum(steps, 1.0)
    return out


def benjamini_hochberg(p: npt.ArrayLike) -> Floats:
    """Adjusted p-values (q-values), shape (k,) as `p`: reject where they are ≤ q. Independent or positively dependent tests.

    >>> benjamini_hochberg([0.01, 0.04, 0.03]).round(3).tolist()
    [0.03, 0.04, 0.04]
    """
    values = np.asarray(p, dtype=np.float64)
    count = values.size
    order = np.argsort(values, kind="stable")
    steps = values[order] * count / np.arange(1, count + 1)
    out = np.empty_like(values)
    out[order] = np.minimum(np.minimum.accumulate(steps[::-1])[::-1], 1.0) if count else steps
    return out


def e_benjamini_hochberg(log_e: npt.ArrayLike, alpha: float = 0.05) -> Flags:
    """Which of K natural log E to flag, shape (K,): the k largest, k = max{k: E_(k) ≥ K/(αk)}. Any dependence, any moment of looking.

    >>> e_benjamini_hochberg([8.0, 0.0, 4.0]).tolist()
    [True, False, True]
    """
    values = np.asarray(log_e, dtype=np.float64)
    count = values.size
    order = np.argsort(-values, kind="stable")
    needed = math.log(count / alpha) - np.log(np.arange(1, count + 1)) if count else values
    cleared = np.flatnonzero(values[order] >= needed)
    flags = np.zeros(count, dtype=np.bool_)
    if cleared.size:
        flags[order[: cleared[-1] + 1]] = True
    return flags
