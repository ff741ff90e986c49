"""Paired comparison of losses with a margin: z_i = loss_new − times · loss_old − plus, held against t.

With times = 1+δ this is the ratio test of losses: `mae <= champion * 1.01` is shown when t ≤ −t_{n−1, .95}. Level .035–.06.
Source: Student's paired test of a ratio (Sasabuchi 1988); clusters as in `clusters`, samples with little spread as in `unseen`.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import stdtr

from flyball.stats import clusters
from flyball.stats.intervals import Interval
from flyball.stats.logspace import Floats
from flyball.stats.unseen import NOTHING, Unseen, interval, sizes, t_of


class Difference(NamedTuple):
    """Mean of z with its standard error and two-sided 95% interval; `p_below` = the chance of a `t` as low as that if the mean were 0."""

    value: float
    se: float
    t: float
    df: float
    units: int
    p_below: float
    interval: Interval


def paired_losses(
    new: Floats,
    old: Floats,
    *,
    times: float = 1.0,
    plus: float = 0.0,
    groups: npt.NDArray[np.int64] | None = None,
    unseen: Unseen = NOTHING,
) -> Difference:
    """Test of mean(new) < times · mean(old) + plus. `new`, `old`: shapes (n,), the losses of the same rows; units of the loss.

    p_below ≤ .05 shows it. `unseen`: what rows that the sample does not have would change; without it, no spread at all gives t = ±inf (0 where
    the mean is 0). Raises ValueError for no rows.

    >>> found = paired_losses(np.array([1.0, 2.0, 3.0, 2.0]), np.array([1.5, 2.5, 3.0, 2.5]))
    >>> found.value, found.t < 0
    (-0.375, True)
    """
    return held_to_zero(clusters.mean(new - times * old - plus, groups), unseen)


def held_to_zero(found: clusters.Mean, unseen: Unseen) -> Difference:
    """The same test of a mean whose spread is known."""
    ends = interval(found, unseen)
    if math.isinf(found.se):
        return Difference(found.value, found.se, 0.0, found.df, found.units, 0.5, ends)
    size = sizes(found, unseen)
    t = t_of(found.value, found, size.above if found.value < 0 else size.below)
    below = float(stdtr(found.df, t)) if math.isfinite(t) else float(t > 0)
    return Difference(found.value, found.se, t, found.df, found.units, below, ends)
