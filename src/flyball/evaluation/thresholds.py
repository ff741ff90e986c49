"""Do scores mean what they say, and what would another threshold do? The reliability table and the threshold curve of a binary model. Pure."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from flyball.errors import BadInput
from flyball.evaluation.answers import Answers
from flyball.evaluation.metrics import estimate, from_interval
from flyball.records.evaluation import Calibration, ScoreBin, Threshold
from flyball.stats.calibration import reliability
from flyball.stats.intervals import wilson
from flyball.stats.logspace import Floats

STEPS = 20
"""Thresholds from 0 to 1, a twentieth apart."""


def calibration(found: Answers) -> Calibration:
    """Ten bins of equal mass, with the mean distance of score and frequency. Raises BadInput for a model without scores."""
    table = reliability(found.y, _score(found))
    parts = zip(table.rows, table.score, table.positive, strict=True)
    bins = [
        ScoreBin(int(n), float(score), from_interval(share, wilson(round(share * n), round(n)), int(n)))
        for n, score, share in ((float(a), float(b), float(c)) for a, b, c in parts)
    ]
    return Calibration(estimate("calibration_error", found), tuple(bins))


def thresholds(found: Answers, costs: Mapping[str, float]) -> tuple[Threshold, ...]:
    """What comes of each threshold on `found.n` rows. `costs`: of a false positive and a false negative. Raises BadInput for a model without scores."""
    grid = np.arange(STEPS + 1) / STEPS
    # how many rows have a score of `at` or more, of all and of the positive ones
    place = np.searchsorted(grid, _score(found) + 1e-12, side="right")
    called = _from_above(np.bincount(place, minlength=grid.size + 1).astype(np.float64))
    hits = _from_above(np.bincount(place, weights=found.y, minlength=grid.size + 1).astype(np.float64))
    positives = float(found.y.sum())
    return tuple(
        _threshold(float(at), float(n), float(right), positives, found.n, costs) for at, n, right in zip(grid, called, hits, strict=True)
    )


def _score(found: Answers) -> Floats:
    if found.score is None:
        raise BadInput("there are no scores", why="the model gives classes alone", fix="let it give the chance of the larger class")
    if not found.n:
        raise BadInput("there are no labelled rows")
    return found.score


def _from_above(counts: Floats) -> Floats:
    above: Floats = np.cumsum(counts[::-1])[::-1][1:]
    return above


def _threshold(at: float, called: float, hits: float, positives: float, n: int, costs: Mapping[str, float]) -> Threshold:
    false, missed = called - hits, positives - hits
    cost = (costs.get("false_positive", 0.0) * false + costs.get("false_negative", 0.0) * missed) * 1000 / n
    return Threshold(
        at=at,
        positive_rate=called / n,
        precision=hits / called if called else None,
        recall=hits / positives if positives else None,
        false_positive_rate=false / (n - positives) if n > positives else None,
        cost=cost if costs else None,
    )
