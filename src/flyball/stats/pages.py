"""How many pages a year come of nothing: the budget of false ones that the sequential detectors promise (docs/statistics.md §6)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from flyball.stats.edetector import threshold

YEAR_DAYS = 365


class Paging(NamedTuple):
    """An e-detector that pages: `per_day` labels, and a false alarm at most once in those of `days` days, or in a thousand."""

    per_day: float
    days: float


def false_pages(detectors: Iterable[Paging]) -> float:
    """Expected false pages a year, at most: Σ labels of a year / A. One detector gives 1 at most, and less where labels are few.

    >>> false_pages([Paging(48, 365), Paging(1, 365)])
    1.365
    """
    return sum(each.per_day * YEAR_DAYS / threshold(each.per_day, each.days) for each in detectors)
