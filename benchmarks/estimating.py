"""Windows of answers whose labels are known, and whether the interval of an estimate without labels holds what they say: for whoever counts how often."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from flyball.stats import cbpe
from flyball.stats.scores import cells_of

SIZES = ((1_000, 500), (2_000, 2_000), (10_000, 1_000))
"""Rows of the reference and of the window."""

METRICS = tuple(name for name in cbpe.METRICS if name != "positive_rate")
"""What is not known without labels anyhow."""

Draw = Callable[[np.random.Generator], tuple[np.ndarray, np.ndarray]]
"""Scores of rows, and their labels."""


class Seen(NamedTuple):
    """One window beside its reference; `refused`: nothing would be estimated of it."""

    known: cbpe.Scored
    answers: cbpe.Answered
    score: np.ndarray
    label: np.ndarray
    refused: bool

    def held(self, random: np.random.Generator) -> list[str]:
        """The metrics whose interval holds the value by the rows themselves."""
        found = cbpe.estimate(self.known, self.answers, random)
        return [name for name, one in found.items() if one.low <= _actual(name, self.score, self.score >= 0.5, self.label) <= one.high]


def seen(random: np.random.Generator, reference: Draw, window: Draw, windows: int) -> Iterator[Seen]:
    """So many windows, each beside a reference of its own."""
    for _ in range(windows):
        known = cbpe.Scored(*_table(*reference(random)))
        score, label = window(random)
        answers = cbpe.Answered(*_table(score, score >= 0.5))
        yield Seen(known, answers, score, label, bool(cbpe.refusal(known, answers, random)))


class Covered(NamedTuple):
    """Windows in which the interval held a metric's value, by metric, of `windows`; `refused` more were not estimated."""

    held: Counter[str]
    windows: int
    refused: int

    def share(self, metric: str) -> float:
        """The coverage of a metric's interval."""
        return self.held[metric] / self.windows


def coverage(trained: int, rows: int, *, windows: int, seed: int) -> Covered:
    """Scores that are a little too sure of themselves, the same on the reference and in the window; a third of rows is positive."""
    random = np.random.default_rng(seed)
    held, refused = Counter[str](), 0
    for one in seen(random, lambda draw: _labelled(draw, trained), lambda draw: _labelled(draw, rows), windows):
        refused += one.refused
        held.update([] if one.refused else one.held(random))
    return Covered(held, windows - refused, refused)


def _labelled(random: np.random.Generator, rows: int) -> tuple[np.ndarray, np.ndarray]:
    logit = random.normal(-0.9, 1.5, size=rows)
    return 1 / (1 + np.exp(-1.2 * logit)), random.random(rows) < 1 / (1 + np.exp(-logit))


def _table(score: np.ndarray, flag: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    cells, place = np.unique(cells_of(score), return_inverse=True)
    return cells, np.bincount(place[~flag], minlength=cells.size), np.bincount(place[flag], minlength=cells.size)


def _actual(metric: str, score: np.ndarray, decided: np.ndarray, label: np.ndarray) -> float:
    """The metric by the rows themselves."""
    right = float((decided & label).sum())
    if metric == "roc_auc":
        rank = np.argsort(np.argsort(score)) + 1
        positives = label.sum()
        return float((rank[label].sum() - positives * (positives + 1) / 2) / (positives * (~label).sum()))
    return {
        "accuracy": float((decided == label).mean()),
        "precision": right / decided.sum(),
        "recall": right / label.sum(),
        "f1": 2 * right / (decided.sum() + label.sum()),
        "positive_rate": float(decided.mean()),
    }[metric]
