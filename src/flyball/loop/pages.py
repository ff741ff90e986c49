"""How many pages of nothing are to be expected of a model: what its detector and its objectives bound."""

from __future__ import annotations

import math

from flyball.declare.checks import Drift
from flyball.declare.live import loss_metric
from flyball.declare.model import Model
from flyball.declare.objectives import kind_of
from flyball.monitoring.state import PAGE_DAYS
from flyball.records.base import Record
from flyball.stats import burn
from flyball.stats.pages import Paging, false_pages


class FalsePages(Record, frozen=True):
    """Pages a year, at most, of a model with which nothing is wrong: of the detector of loss, and of its objectives at half their budgets.

    `checks`: declared checks, which fire whenever they are evidently missed: nothing bounds how often that is.
    """

    model: str
    detector: float
    objectives: float
    checks: int

    @property
    def total(self) -> float:
        """Of everything that is bounded."""
        return self.detector + self.objectives


def false_pages_of(model: Model, *, labels: float | None, requests: float | None, detector: bool = True) -> FalsePages:
    """The false pages of one model. `labels`, `requests`: a day; None where that is not known, and then the detector's is what it is at most."""
    watched = detector and bool(loss_metric(model.task))
    rate = 1.0 if labels is None else false_pages([Paging(labels, PAGE_DAYS)])
    found = 0.0
    for objective in model.objectives:
        per_day = labels if kind_of(objective) == "rows" else requests
        if kind_of(objective) in ("rows", "requests", "slow") and per_day:
            found += burn.false_pages(per_day / 24, 1 - objective.target)
    checks = sum(not isinstance(monitor, Drift) for monitor in model.monitors)
    return FalsePages(model=model.name, detector=rate if watched else 0.0, objectives=found, checks=checks)


def paging(a_year: float, checks: int) -> str:
    """How many pages of nothing there may be; that declared checks are not among them, where there are any, and what to do about too many of theirs."""
    bounded = f"expected false pages: ≤ {rounded(a_year):g} a year while nothing is wrong"
    if not checks:
        return bounded
    several = checks > 1
    own = f"{checks} declared checks are not counted: each fires" if several else "1 declared check is not counted: it fires"
    bound = "their bounds or lengthen their" if several else "its bound or lengthen its"
    return f"{bounded}; {own} when its bound is missed by more than chance, so if that is too often, loosen {bound} .over()"


def rounded(a_year: float) -> float:
    """Up, to the hundredth: it is a bound."""
    return math.ceil(round(a_year * 100, 9)) / 100
