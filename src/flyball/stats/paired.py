"""Paired difference of two shares of the same rows (accuracy; of the positives, recall) with a margin: Tango's score test, McNemar's at margin 0.

Its level stays at .04–.051 from n = 300, where the usual Wald test reaches .06–.09 when the versions seldom disagree.
Sources: Tango (1998); McNemar (1947).
"""

from __future__ import annotations

import math

from scipy.special import ndtri

from flyball.stats.intervals import Z_ONE_SIDED, Interval
from flyball.stats.unseen import distance

POWER_FACTOR = 2.487
"""z(.95) + z(.8): a margin of that many standard errors passes an equal version four times in five."""


def tango(new_wrong: float, old_wrong: float, n: float, delta: float) -> float:
    """Z of "the new version's share is at most δ below the old one's"; Z ≥ 1.645 shows it at α = .05.

    `new_wrong`: rows on which the new version alone was wrong, `old_wrong`: the old alone, `n`: all rows. −1 < δ < 1; a negative δ asks for an
    improvement. No disagreement and no margin gives 0. Raises ValueError for impossible counts.

    >>> round(tango(60, 50, 2000, 0.01), 4)
    0.9471
    """
    if not (new_wrong >= 0 and old_wrong >= 0 and n > 0 and new_wrong + old_wrong <= n):
        raise ValueError(f"{new_wrong} and {old_wrong} of {n} rows are impossible")
    if not -1 < delta < 1:
        raise ValueError(f"the margin must lie between −1 and 1, not {delta}")
    if new_wrong + old_wrong == 0:
        # the same formula, which loses the digits of a tiny δ
        return math.copysign(math.sqrt(n * abs(delta) / (1 - abs(delta))), delta) if delta else 0.0
    b = new_wrong * (1 + delta) + old_wrong * (1 - delta) + 2 * n * delta
    share = (b + math.sqrt(max(0.0, b * b - 8 * n * new_wrong * delta * (1 + delta)))) / (4 * n)
    spread = n * (2 * share - delta - delta * delta)
    distance = old_wrong - new_wrong + n * delta
    if spread <= 0:
        return math.copysign(math.inf, distance) if distance else 0.0
    return distance / math.sqrt(spread)


def difference_interval(new_wrong: float, old_wrong: float, n: float, level: float = 0.95) -> Interval:
    """Two-sided interval of (new share − old share): the margins that Tango's test does not reject.

    >>> [round(end, 3) for end in difference_interval(60, 50, 2000)]
    [-0.016, 0.005]
    """
    reach = float(ndtri(0.5 + level / 2))

    def solve(target: float) -> float:
        # Z grows with δ, so halving the bracket finds the δ at which it reaches the target
        low, high = -1 + 1e-9, 1 - 1e-9
        for _ in range(50):
            middle = (low + high) / 2
            low, high = (middle, high) if tango(new_wrong, old_wrong, n, middle) < target else (low, middle)
        return (low + high) / 2

    return Interval(-solve(reach), -solve(-reach))


def smallest_margin(discordant: float, n: float) -> float:
    """δ_min: the smallest margin at which an equal version passes four times in five; `discordant` = ψ, the share of rows that differ.

    Never below z²/n, which Tango's test asks for where the versions never differed.

    >>> round(smallest_margin(0.04, 2_000), 4)
    0.0111
    >>> round(smallest_margin(0.0, 2_000), 4)
    0.0014
    """
    return max(POWER_FACTOR * math.sqrt(discordant / n), Z_ONE_SIDED**2 / n) if n > 0 else math.inf


def smallest_margin_of_mean(se: float, size: float = 0.0) -> float:
    """The same for AUC and means, from the standard error of the difference, in its units; `size`: that of rows unseen (`unseen`).

    >>> round(smallest_margin_of_mean(0.01), 5)
    0.02487
    >>> round(smallest_margin_of_mean(0.0, 1 / 1_000), 5)
    0.00271
    """
    return distance(se, size, Z_ONE_SIDED) + (POWER_FACTOR - Z_ONE_SIDED) * se
