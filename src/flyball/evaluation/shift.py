"""How far a candidate's answers lie from the champion's, on the same rows: what changes for whoever is answered, whichever of the two is right. Pure."""

from __future__ import annotations

import numpy as np

from flyball.declare.metrics import CLASSES
from flyball.evaluation.answers import Answers
from flyball.evaluation.metrics import from_interval
from flyball.records.estimates import Estimate
from flyball.records.evaluation import OutputShift
from flyball.stats import clusters
from flyball.stats.drift import psi
from flyball.stats.intervals import Interval, t_interval
from flyball.stats.logspace import Floats

CELLS = 10
"""Cells of equal mass of the champion's scores or numbers."""


def output_shift(new: Answers, champion: Answers) -> OutputShift:
    """PSI of the scores of binary models (where both give them), of the classes, or of the numbers; and how many rows are answered otherwise.

    `champion`: its answers to the same rows, n ≥ 1, with the same classes.
    """
    if new.task in CLASSES:
        changed = _mean((new.value != champion.value).astype(np.float64), new)
        if new.task == "binary" and new.score is not None and champion.score is not None:
            return OutputShift("score", _cells(new.score, champion.score), new.n, changed=changed)
        # a class that the candidate does not know is a cell of its own
        _, codes = np.unique(np.nan_to_num(np.concatenate((new.value, champion.value)), nan=-1.0), return_inverse=True)
        counts = [np.bincount(part, minlength=int(codes.max()) + 1) for part in (codes[: new.n], codes[new.n :])]
        return OutputShift("class", psi(*counts), new.n, changed=changed)
    moved = new.value - champion.value
    return OutputShift(
        "value", _cells(new.value, champion.value), new.n, difference=_mean(moved, new), distance=_mean(np.abs(moved), new, least=0.0)
    )


def _cells(new: Floats, champion: Floats) -> float:
    edges = np.unique(np.quantile(champion, np.arange(1, CELLS) / CELLS, method="inverted_cdf"))
    # the edges are values of the champion's: a constant one still has a cell of its own
    edges = np.unique(np.concatenate((edges, np.nextafter(edges, -np.inf))))
    counts = [np.bincount(np.searchsorted(edges, given, side="left"), minlength=edges.size + 1) for given in (new, champion)]
    used = (counts[0] + counts[1]) > 0
    return psi(counts[0][used], counts[1][used])


def _mean(values: Floats, of: Answers, least: float | None = None) -> Estimate:
    found = clusters.mean(values, of.groups)
    low, high = t_interval(found.value, found.se, found.df)
    if of.task in CLASSES:
        low, high = max(0.0, low), min(1.0, high)
    return from_interval(found.value, Interval(low if least is None else max(least, low), high), of.n)
