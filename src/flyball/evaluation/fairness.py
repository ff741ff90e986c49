"""How the groups of a column are served beside each other: metrics a group, and the largest gap of each metric with its interval. Pure.

The gap of `positive_rate` is the difference that demographic parity forbids, that of `recall` is equal opportunity's, `equalised_odds` the larger
of the gaps in recall and in false positives.

Sources: Dwork, Hardt, Pitassi, Reingold & Zemel (2012); Hardt, Price & Srebro (2016); Kleinberg, Mullainathan & Raghavan (2016) on calibration.
"""

from __future__ import annotations

import numpy as np
import polars as pl

from flyball.errors import BadInput
from flyball.evaluation.answers import Answers
from flyball.evaluation.gaps import gap
from flyball.evaluation.metrics import estimate
from flyball.evaluation.values import few_values
from flyball.records.evaluation import Group, GroupGap, Groups

BINS = 5
"""A column of many numbers, such as an age, is cut into so many groups of equal mass."""

METRICS = {
    "binary": ("accuracy", "positive_rate", "recall", "false_positive_rate", "precision", "calibration_error"),
    "multiclass": ("accuracy",),
}
GAPS = {
    "binary": ("positive_rate", "recall", "equalised_odds", "calibration_error", "accuracy"),
    "multiclass": ("accuracy",),
}
_SCORED = "calibration_error"


def groups(found: Answers, column: pl.Series, *, protected: bool) -> Groups:
    """The groups of `column` (`found.n` rows). Raises BadInput where it has fewer than two groups or none that can be told apart."""
    values = few_values(column, BINS)
    if values is None or len(values.names) < 2:
        told = "each of its values is rare" if values is None else f"all rows are {values.names[0]}"
        raise BadInput(f'column "{column.name}" has no groups to compare', why=told)
    order = np.argsort(values.codes, kind="stable")
    ends = np.cumsum(np.bincount(values.codes, minlength=len(values.names)))
    rows = np.split(order, ends[:-1])
    parts = [(name, found.take(of)) for name, of in zip(values.names, rows, strict=True) if of.size]
    asked, gaps = (table.get(found.task, ("mae",)) for table in (METRICS, GAPS))
    unscored = {_SCORED} if found.score is None else set()
    return Groups(
        column=column.name,
        protected=protected,
        groups=tuple(Group(name, part.n, {each: estimate(each, part) for each in asked if each not in unscored}) for name, part in parts),
        gaps={each: _gap(each, parts) for each in gaps if each not in unscored},
    )


def _gap(name: str, parts: list[tuple[str, Answers]]) -> GroupGap:
    widest = gap(name, parts)
    return GroupGap(widest.estimate, widest.between, widest.lacking)
