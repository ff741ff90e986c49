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
    """How many pages of nothing there may be, and that declared checks come on top, where there are any."""
    more = "each fires" if checks > 1 else "it fires"
    besides = f", besides {checks} declared check{'s' if checks > 1 else ''}: {more} whenever it is evidently missed" if checks else ""
    return f"expected false pages: ≤ {rounded(a_year):g} a year{besides}"


def rounded(a_year: float) -> float:
    """Up, to the hundredth: it is a bound."""
    return math.ceil(round(a_year * 100, 9)) / 100
