"""From which score on a binary model answers the positive class, where errors have costs. Pure.

Costs give the threshold where scores are probabilities. They often are not: so rows that judge nothing else are asked, and another threshold is taken where
they show it to be cheaper. It is picked on one half of them and tested on the other, or the cheapest of many would always look good. Rows of one entity
stand in one half, for they resemble each other: else the test would know them.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from flyball.declare.costs import threshold_of
from flyball.records.evaluation import Decision
from flyball.stats import clusters, unseen
from flyball.stats.logspace import Floats
from flyball.stats.unseen import Unseen

FEWEST, FEWEST_OF_A_CLASS = 200, 30
FEWEST_CLUSTERS = 30
"""Entities in each half."""


def decide(y: Floats, score: Floats, costs: Mapping[str, float], groups: npt.NDArray[np.int64] | None = None) -> Decision:
    """The threshold for labels `y` (0 or 1) and scores of rows that neither taught the model nor judge it; `costs` of both kinds of error are above 0.

    `groups`: the entity's number (≥ 0) of each row; None: rows are independent.
    """
    star = threshold_of(costs)
    assert star is not None, "both errors have a cost"
    positives = int(y.sum())
    if y.size < FEWEST or min(positives, y.size - positives) < FEWEST_OF_A_CLASS:
        return by_costs(costs, f"{y.size:,} validation rows, {positives:,} positive, are too few to look for a cheaper one")
    numbers = np.arange(y.size) if groups is None else np.unique(groups, return_inverse=True)[1]
    if groups is not None and numbers.max() + 1 < 2 * FEWEST_CLUSTERS:
        return by_costs(costs, f"{numbers.max() + 1:,} entities have validation rows, too few to look for a cheaper one")
    first = numbers % 2 == 0
    at = cheapest(y[first], score[first], costs)
    saved = _costs(y[~first], score[~first], star, costs) - _costs(y[~first], score[~first], at, costs)
    mean = clusters.mean(saved, None if groups is None else numbers[~first])
    # an error of the dearer kind that the half does not have may be the one that matters
    dearest = max(costs.values())
    rows = Unseen(dearest / saved.size, dearest / mean.units)
    shown = mean.value > 0 and unseen.interval(mean, rows, 0.90).low >= 0
    why = (
        "cheaper than what costs say of probabilities, picked and shown on different halves of the validation rows"
        if shown
        else "what costs say of probabilities; no other is shown to be cheaper on the validation rows"
    )
    taken = at if shown else star
    return Decision(
        at=taken,
        why=why,
        rows=int(y.size),
        by_costs=star,
        cost=1000 * float(_costs(y, score, taken, costs).mean()),
        cost_at_half=1000 * float(_costs(y, score, 0.5, costs).mean()),
    )


def by_costs(costs: Mapping[str, float], why: str) -> Decision:
    """What the costs say, where no rows can be asked."""
    star = threshold_of(costs)
    assert star is not None, "both errors have a cost"
    return Decision(at=star, why=f"what costs say of probabilities: {why}", by_costs=star)


def cheapest(y: Floats, score: Floats, costs: Mapping[str, float]) -> float:
    """The threshold that would have cost least: the middle between two scores; of equal ones the nearest to what the costs say."""
    order = np.argsort(score, kind="stable")
    label, value = y[order], score[order]
    # with the k lowest scores called negative: positives among them are missed, negatives above them are false alarms
    missed = np.concatenate([[0.0], np.cumsum(label)])
    alarms = float((1 - label).sum()) - np.concatenate([[0.0], np.cumsum(1 - label)])
    total = costs["false_positive"] * alarms + costs["false_negative"] * missed
    apart = np.concatenate([[True], value[1:] > value[:-1], [True]])
    edges = np.concatenate([[0.0], (value[1:] + value[:-1]) / 2, [np.nextafter(value[-1], 2.0)]])
    best = np.flatnonzero(apart & (total <= total[apart].min() + 1e-12))
    star = threshold_of(costs) or 0.0
    return float(edges[best[np.argmin(np.abs(edges[best] - star))]])


def _costs(y: Floats, score: Floats, at: float, costs: Mapping[str, float]) -> Floats:
    called = score >= at
    paid: Floats = costs["false_positive"] * (called & (y == 0)) + costs["false_negative"] * (~called & (y == 1))
    return paid
