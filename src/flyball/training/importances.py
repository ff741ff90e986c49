"""The section `importances`: what each feature is worth to the candidate, on rows that it has not seen (evaluation/explanations.py)."""

from __future__ import annotations

from typing import Final

import numpy as np
import polars as pl

from flyball.declare.metrics import RANKED
from flyball.errors import BadInput
from flyball.evaluation import explanations
from flyball.evaluation.answers import TIME, Answers, answers
from flyball.evaluation.rows import row_values
from flyball.records.evaluation import Importance, Importances
from flyball.stats.logspace import Floats
from flyball.training.evaluating import Found, Subject
from flyball.training.predictor import answers as answered
from flyball.training.rows import GROUP, LIST

MOST_ROWS: Final = 1_000
"""Rows of the hold-out that are looked at."""

MOST_ASKED: Final = 60_000
"""Rows that the candidate is asked for all features together: with many features, fewer rows of the hold-out are looked at."""

REPEATS: Final = 3


def importances(subject: Subject) -> Found:
    """Raises BadInput for a ranking in which nothing of the hold-out was relevant."""
    rows, split = subject.rows, subject.split
    held = rows.frame[split.holdout : split.end]
    most = max(50, min(MOST_ROWS, MOST_ASKED // (REPEATS * len(rows.features))))
    if LIST in held.columns:
        held = _lists(held, most, subject.spec.seed)
    elif held.height > most:
        held = held[np.sort(np.random.default_rng(subject.spec.seed).choice(held.height, most, replace=False))]
    X = held.select(rows.features)

    def read(features: pl.DataFrame) -> Answers:
        frame = pl.DataFrame([held["__y"].alias("y"), *answered(subject.candidate.predict(features))])
        frame = frame.with_columns(held[name] for name in (TIME, GROUP) if name in held.columns)
        classes = subject.candidate.signature.classes
        return answers(subject.model.task, frame, classes=classes, group=GROUP if GROUP in held.columns else "")

    def losses(features: pl.DataFrame) -> Floats:
        return explanations.row_losses(read(features))[1]

    as_is = read(X)
    name, before = explanations.row_losses(as_is)
    if not len(before):
        raise BadInput("there is no loss that could rise", why=row_values(RANKED[0], as_is).why)
    found = explanations.importances(X, losses, repeats=REPEATS, seed=subject.spec.seed, groups=as_is.groups)
    ordered = sorted(found, key=lambda pair: (-(pair[1].value or 0.0), pair[0]))
    features = tuple(Importance(feature=feature, rise=rise) for feature, rise in ordered)
    return Found({"importances": Importances(loss=name, mean_loss=float(before.mean()), rows=held.height, features=features)})


def _lists(held: pl.DataFrame, most: int, seed: int) -> pl.DataFrame:
    """Whole lists, about `most` rows of them: what is left of a list says nothing of its order."""
    numbers = held[LIST].unique(maintain_order=True)
    count = max(1, round(most * len(numbers) / max(1, held.height)))
    if count >= len(numbers):
        return held
    kept = numbers.gather(np.sort(np.random.default_rng(seed).choice(len(numbers), count, replace=False)))
    return held.filter(pl.col(LIST).is_in(kept.implode()))
