"""What a sample is too small to have seen: rows that go wrong so seldom that few of them, or none, are in it.

Its own spread says nothing of them: thirty right answers of thirty have none, and would be certain. So the variance of a mean is taken where it
matters, at the value that it is held against: what is missing up to there, a distance x, would be the work of rows unseen, each of which moves the
mean by u, and adds u·x to se². Then x = t·√(se² + u·x): Wilson's interval, which is this for a share, carried over to any mean. A sample without
spread shows nothing finer than t²·u.

u is the third moment of the sample over its second, that is, how large the rows are that its spread is made of, weighted with one more row that
nobody saw: as large as a row that goes wrong, and with it all rows of its entity. Symmetric differences leave u near 0, and this the usual t.

Sources: Wilson (1927); Johnson (1978) and Hall (1992) for t and the third moment.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from scipy.special import stdtrit

from flyball.stats.clusters import Mean
from flyball.stats.intervals import Interval


class Unseen(NamedTuple):
    """What one row that goes wrong moves the mean by, and what a whole entity of such rows does, both in the mean's units.

    Where rows are independent the two are the same: 1/n for a share of n rows. Zeros leave a sample without spread certain.
    """

    row: float = 0.0
    entity: float = 0.0


NOTHING = Unseen()


class Sizes(NamedTuple):
    """u for a truth below the sample's mean, and above it, in the mean's units, 0 or more."""

    below: float
    above: float


def sizes(found: Mean, unseen: Unseen) -> Sizes:
    """How large the rows are that would move the truth away from the sample's mean.

    >>> import numpy as np
    >>> from flyball.stats import clusters
    >>> sizes(clusters.mean(np.ones(50)), Unseen(1 / 50, 1 / 50))
    Sizes(below=0.02, above=0.02)
    """
    seen = found.se * math.sqrt((found.units - 1) / found.units) if math.isfinite(found.se) else 0.0
    # a product, for a power of floats raises where it overflows: the weight is 0 there
    ratio = unseen.row / seen if seen > 0 else math.inf
    weight = 1.0 if unseen.row == 0 else 1 / (1 + ratio * ratio)
    rest = (1 - weight) * unseen.entity
    return Sizes(max(0.0, rest - weight * found.third), max(0.0, rest + weight * found.third))


def distance(se: float, size: float, reach: float) -> float:
    """How far the truth may lie from the mean at `reach` standard errors, in the mean's units: x = reach · √(se² + size · x).

    >>> round(distance(0.0, 1 / 100, 1.645), 4)
    0.0271
    """
    half = reach * size / 2
    return reach * (half + math.hypot(se, half))


def t_of(value: float, found: Mean, size: float) -> float:
    """How many standard errors a mean lies from what it is held against, `value` away; infinite only where there is no spread and nothing unseen."""
    spread = math.hypot(found.se, math.sqrt(size * abs(value)))
    if spread > 0:
        return value / spread
    return math.copysign(math.inf, value) if value else 0.0


def interval(found: Mean, unseen: Unseen, level: float = 0.95) -> Interval:
    """Two-sided interval of a mean at `level`, in its units; fewer than two units give (−inf, inf).

    >>> import numpy as np
    >>> from flyball.stats import clusters
    >>> [round(end, 3) for end in interval(clusters.mean(np.ones(50)), Unseen(1 / 50, 1 / 50), 0.90)]
    [0.944, 1.056]
    """
    if found.df < 1 or not math.isfinite(found.se):
        return Interval(-math.inf, math.inf)
    reach, size = float(stdtrit(found.df, 0.5 + level / 2)), sizes(found, unseen)
    return Interval(found.value - distance(found.se, size.below, reach), found.value + distance(found.se, size.above, reach))
