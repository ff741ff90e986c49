"""Paired comparison of losses with a margin: z_i = loss_new − times · loss_old − plus, held against t.

With times = 1+δ this is the ratio test of losses: `mae <= champion * 1.01` is shown when t ≤ −t_{n−1, .95}. Level .035–.06.
Source: Student's paired test of a ratio (Sasabuchi 1988); clusters as in `clusters`.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import stdtr

from flyball.stats import clusters
from flyball.stats.logspace import Floats


class Difference(NamedTuple):
    """Mean of z with its standard error; `t` = mean/se and `p_below` = the chance of a t as low as that if the mean were 0."""

    value: float
    se: float
    t: float
    df: int
    units: int
    p_below: float


def paired_losses(
    new: Floats,
    old: Floats,
    *,
    times: float = 1.0,
    plus: float = 0.0,
    groups: npt.NDArray[np.int64] | None = None,
) -> Difference:
    """Test of mean(new) < times · mean(old) + plus. `new`, `old`: shapes (n,), the losses of the same rows; units of the loss.

    p_below ≤ .05 shows it. No spread at all gives t = ±inf (0 where the mean is 0). Raises ValueError for no rows.

    >>> found = paired_losses(np.array([1.0, 2.0, 3.0, 2.0]), np.array([1.5, 2.5, 3.0, 2.5]))
    >>> found.value, found.t < 0
    (-0.375, True)
    """
    found = clusters.mean(new - times * old - plus, groups)
    if math.isinf(found.se):
        return Difference(found.value, found.se, 0.0, found.df, found.units, 0.5)
    t = found.value / found.se if found.se else math.copysign(math.inf, found.value) if found.value else 0.0
    below = float(stdtr(found.df, t)) if math.isfinite(t) else float(t > 0)
    return Difference(found.value, found.se, t, found.df, found.units, below)
