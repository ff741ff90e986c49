"""The section `importances`: what each feature is worth to the candidate, on rows that it has not seen (evaluation/explanations.py)."""

from __future__ import annotations

from typing import Final

import numpy as np
import polars as pl

from flyball.errors import BadInput
from flyball.evaluation import explanations
from flyball.evaluation.answers import Answers, answers
from flyball.records.evaluation import Importance, Importances
from flyball.stats.logspace import Floats
from flyball.training.evaluating import Found, Subject
from flyball.training.predictor import answers as answered
from flyball.training.rows import GROUP

MOST_ROWS: Final = 1_000
"""Rows of the hold-out that are looked at."""

MOST_ASKED: Final = 60_000
"""Rows that the candidate is asked for all features together: with many features, fewer rows of the hold-out are looked at."""

REPEATS: Final = 3


def importances(subject: Subject) -> Found:
    """Raises BadInput for a ranking: what a list loses is no sum over its rows."""
    if subject.model.task == "ranking":
        raise BadInput("a ranking has no loss of a row", why="importances are told by how much a row's loss rises")
    rows, split = subject.rows, subject.split
    held = rows.frame[split.holdout : split.end]
    most = max(50, min(MOST_ROWS, MOST_ASKED // (REPEATS * len(rows.features))))
    if held.height > most:
        held = held[np.sort(np.random.default_rng(subject.spec.seed).choice(held.height, most, replace=False))]
    X = held.select(rows.features)

    def read(features: pl.DataFrame) -> Answers:
        frame = pl.DataFrame([held["__y"].alias("y"), *answered(subject.candidate.predict(features))])
        if GROUP in held.columns:
            frame = frame.with_columns(held[GROUP])
        classes = subject.candidate.signature.classes
        return answers(subject.model.task, frame, classes=classes, group=GROUP if GROUP in held.columns else "")

    def losses(features: pl.DataFrame) -> Floats:
        return explanations.row_losses(read(features))[1]

    as_is = read(X)
    name, before = explanations.row_losses(as_is)
    found = explanations.importances(X, losses, repeats=REPEATS, seed=subject.spec.seed, groups=as_is.groups)
    ordered = sorted(found, key=lambda pair: (-(pair[1].value or 0.0), pair[0]))
    features = tuple(Importance(feature=feature, rise=rise) for feature, rise in ordered)
    return Found({"importances": Importances(loss=name, mean_loss=float(before.mean()), rows=held.height, features=features)})
