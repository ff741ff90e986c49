"""Is a business value another under the new version? The difference of two means of units that were assigned at random, with an interval that holds
whenever it is looked at (docs/statistics.md §1).

An asymptotic confidence sequence on ψ = (Y − Ȳ)(A/w − (1−A)/(1−w)), from sums alone, so that steps of several weights add up. It holds for units
assigned with the stated chance, of values that are cut off at a bound known before: cutting off is the caller's. No earlier value of a unit is taken
into account, which would make it sharper and no more valid. Source: Waudby-Smith, Arbour, Sinha, Kennedy & Ramdas (2024).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

ALPHA = 0.05
FEWEST = 1_000
"""Units of the smaller arm from which on the sequence holds what it says."""

_R2 = (-2 * math.log(ALPHA) + math.log(1 - 2 * math.log(ALPHA))) / 10_000
"""Where the sequence is tightest: about 10,000 units."""


class Arm(NamedTuple):
    """Units of one arm in one step: the planned share of the new version (0 < weight < 1), how many units, sums of their values and of the squares."""

    new: bool
    weight: float
    n: int
    total: float
    squares: float


class Difference(NamedTuple):
    """New minus old, in units of the value, with the ends of the sequence; units in all, and of the smaller arm."""

    value: float
    low: float
    high: float
    n: int
    smaller: int


def difference(arms: Sequence[Arm]) -> Difference | None:
    """The difference of means; None while an arm has no unit, or where squares leave the floating-point range. Raises ValueError for a weight outside
    (0, 1).

    >>> equal = [Arm(True, 0.5, 2000, 1000.0, 1000.0), Arm(False, 0.5, 2000, 1000.0, 1000.0)]
    >>> found = difference(equal)
    >>> found.value, found.low < 0 < found.high
    (0.0, True)
    """
    if any(not 0 < arm.weight < 1 for arm in arms):
        raise ValueError("a unit is assigned at random where both versions have a share")
    sizes = [sum(arm.n for arm in arms if arm.new is side) for side in (True, False)]
    if not all(sizes):
        return None
    t = sum(sizes)
    mean = sum(arm.total for arm in arms) / t
    first = second = 0.0
    for arm in arms:
        factor = 1 / arm.weight if arm.new else -1 / (1 - arm.weight)
        first += factor * (arm.total - arm.n * mean)
        # a power would raise where a product is infinite
        squares = factor * factor * (arm.squares - 2 * mean * arm.total + arm.n * mean * mean)
        if not math.isfinite(squares):
            return None
        second += max(0.0, squares)
    value = first / t
    if not (math.isfinite(second) and math.isfinite(value * value)):
        return None
    variance = max(0.0, second / t - value * value)
    scale = t * _R2 + 1
    reach = math.sqrt(variance * 2 * scale / (t * t * _R2) * math.log(math.sqrt(scale) / ALPHA))
    return Difference(value, value - reach, value + reach, t, min(sizes))
