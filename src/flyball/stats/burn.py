"""Error budgets and how fast they are spent: two windows a pace, enough events, and how often that pages for nothing.

An objective that asks for a share `target` of good events leaves a budget of 1 − target. The burn rate is the share of bad events over the budget:
at 1 the budget of a window is spent exactly when the window is over. A pace asks for it in a long window (it is material) and in a short one (it
goes on). What is rare is noise, so no pace speaks before `FEWEST` events and `LEAST_BAD` bad ones lie in the long window: one bad request of three
at night is no burn. Source: docs/statistics.md §6; SRE workbook, chapter 5.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from scipy.special import bdtrc

HOUR = 60

FEWEST, LEAST_BAD = 100, 10
"""Events in the long window, and bad ones among them, below which nothing is said."""

_YEAR_MINUTES = 365 * 24 * 60


class Pace(NamedTuple):
    """`times` the budget, in a long and in a short window of so many minutes."""

    times: float
    long: int
    short: int


PAGES = (Pace(14.4, HOUR, 5), Pace(6.0, 6 * HOUR, 30))
"""A month's budget in 2 and in 5 days: somebody has to come now."""

TICKET = Pace(1.0, 72 * HOUR, 6 * HOUR)
"""The budget will not last its window."""


def burn_rate(bad: float, events: float, budget: float) -> float:
    """How many times as fast as allowed the budget is spent; 0 without events. `budget`: 1 − target, in (0, 1].

    >>> round(burn_rate(2, 100, 0.01), 6)
    2.0
    """
    return bad / events / budget if events else 0.0


def left(bad: float, events: float, budget: float) -> float:
    """The share of the budget of `events` that is left, 1 without events, below 0 where more was spent than there was.

    >>> round(left(30, 10_000, 0.01), 6)
    0.7
    """
    return 1 - burn_rate(bad, events, budget)


def reachable(pace: Pace, budget: float) -> bool:
    """Whether a budget can burn at a pace at all: at most every event is bad.

    >>> reachable(PAGES[0], 0.01), reachable(PAGES[0], 0.2)
    (True, False)
    """
    return pace.times * budget <= 1


def minutes_to_page(share: float, per_hour: float, budget: float) -> float:
    """Minutes until a page when from now on a `share` of `per_hour` steady events is bad, none was before; infinite where none comes.

    >>> round(minutes_to_page(1.0, 3_600, 0.001), 2)
    0.86
    >>> minutes_to_page(1.0, 10, 0.001)
    inf
    """
    found = math.inf
    for pace in PAGES:
        needed = max(pace.times * budget * pace.long * per_hour / HOUR, LEAST_BAD)
        minutes = needed * HOUR / (share * per_hour) if share > 0 and per_hour > 0 else math.inf
        # the long window holds what came before as well; what is not reached within it is never reached
        if per_hour * pace.long / HOUR >= FEWEST and minutes <= pace.long and share >= pace.times * budget:
            found = min(found, minutes)
    return found


def false_pages(per_hour: float, budget: float, *, spent: float = 0.5) -> float:
    """Pages a year, at most, of a steady `per_hour` of independent events that spend a share `spent` of their budget: nothing is wrong.

    Each minute's long windows are counted as if they were others than the minute before's, and short windows not at all: an upper bound. Errors that
    come in bursts are no false pages, and not in it.

    >>> false_pages(1_000, 0.001) < 0.01
    True
    """
    found = 0.0
    for pace in PAGES:
        events = int(per_hour * pace.long / HOUR)
        if events < FEWEST or not reachable(pace, budget):
            continue
        needed = max(math.ceil(pace.times * budget * events - 1e-9), LEAST_BAD)
        found += float(bdtrc(needed - 1, events, spent * budget))
    return found * _YEAR_MINUTES
