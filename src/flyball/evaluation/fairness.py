"""How the groups of a column are served beside each other: metrics a group, and the largest gap of each metric with its interval. Pure.

The gap of `positive_rate` is the difference that demographic parity forbids, that of `recall` is equal opportunity's, `equalised_odds` the larger
of the gaps in recall and in false positives.

Sources: Dwork, Hardt, Pitassi, Reingold & Zemel (2012); Hardt, Price & Srebro (2016); Kleinberg, Mullainathan & Raghavan (2016) on calibration.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl

from flyball.errors import BadInput
from flyball.evaluation.answers import Answers, Label, Rows
from flyball.evaluation.gaps import gap
from flyball.evaluation.metrics import estimate
from flyball.evaluation.values import MOST_VALUES, few_values, rows_by, with_declared
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


def split(column: pl.Series, declared: Sequence[Label] = ()) -> list[tuple[str, Rows]]:
    """The groups of a column with the numbers of their rows. One that is `declared` has none where no row is of it.

    Raises BadInput for fewer than two groups, or none that can be told apart.
    """
    if declared:
        found = rows_by(column, with_declared(column, declared))
    elif (values := few_values(column, BINS)) is not None:
        found = [(name, np.flatnonzero(values.codes == code)) for code, name in enumerate(values.names)]
    else:
        raise _alike(column, "each of its values is rare")
    if len(found) < 2:
        raise _alike(column, f"all rows are {found[0][0]}" if found else "there are no rows")
    if len(found) > MOST_VALUES:
        raise _alike(column, f"it has {len(found)} values, and groups are {MOST_VALUES} at most")
    return found


def _alike(column: pl.Series, why: str) -> BadInput:
    return BadInput(f'column "{column.name}" has no groups to compare', why=why)


def groups(found: Answers, column: pl.Series, *, protected: bool, declared: Sequence[Label] = ()) -> Groups:
    """The groups of `column` (`found.n` rows); of one that is `declared` and has no row the gaps say so. Raises BadInput as `split` does."""
    parts = [(name, found.take(of)) for name, of in split(column, declared)]
    asked, gaps = (table.get(found.task, ("mae",)) for table in (METRICS, GAPS))
    unscored = {_SCORED} if found.score is None else set()
    return Groups(
        column=column.name,
        protected=protected,
        groups=tuple(
            Group(name, part.n, {each: estimate(each, part) for each in asked if each not in unscored}) for name, part in parts if part.n
        ),
        gaps={each: _gap(each, parts) for each in gaps if each not in unscored},
    )


def _gap(name: str, parts: list[tuple[str, Answers]]) -> GroupGap:
    widest = gap(name, parts)
    return GroupGap(widest.estimate, widest.between, widest.lacking)
