"""Whether the rows that there are can make a run at all: enough of them to learn from and to judge by, and more than one label. Pure.

Told by `flyball check --data` before anything is trained. It stops nothing: rows may be on their way.
"""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from flyball.data.types import micros
from flyball.declare.model import Label, Model
from flyball.errors import Problem
from flyball.training.rows import MIN_HOLDOUT, MIN_TRAIN


def shortfalls(model: Model, frames: Mapping[str, pl.DataFrame], where: str = "") -> list[Problem]:
    """What of a model's rows no run can be made of. `frames`: all rows of its data sets. A label that arrives elsewhere is not looked at."""
    if model.train is None:
        return []
    rows, data = frames[model.data.name], model.data
    place = where or f'Model "{model.name}"'
    if not isinstance(model.label, Label):
        rows = rows.filter(pl.col(model.label_column).is_not_null())
    train, held = _sides(model, rows)
    found = []
    if train < MIN_TRAIN or held < MIN_HOLDOUT:
        found.append(
            Problem(
                place,
                f'data set "{data.name}" has {rows.height:,} rows to learn from and to judge by: {train:,} before the hold-out, {held:,} in it',
                f"no run is made of fewer than {MIN_TRAIN} and {MIN_HOLDOUT}, and gates need more to say anything",
                "bring more rows, or declare another holdout= and window=; min_rows= refuses a data set that is too small",
            )
        )
    if not isinstance(model.label, Label) and rows.height and rows[model.label_column].n_unique() < 2:
        found.append(
            Problem(
                place,
                f'the label "{model.label_column}" is {rows[model.label_column][0]} in each of {rows.height:,} rows',
                "a constant needs no model, and a run fails on it",
                "look at the label's column, or bring rows with other labels",
            )
        )
    return found


def _sides(model: Model, rows: pl.DataFrame) -> tuple[int, int]:
    """How many rows would be learned from, and held out for the first judging."""
    assert model.train is not None, "only what is trained has a hold-out"
    if isinstance(model.train.holdout, float) or not model.data.time:
        share = model.train.holdout if isinstance(model.train.holdout, float) else 0.0
        held = round(rows.height * share)
        return rows.height - held, held
    times = micros(rows[model.data.time]).drop_nulls()
    if not len(times):
        return 0, 0
    end = int(times.max()) - int(model.train.holdout_span) * (model.train.folds - 1)  # type: ignore[arg-type]  # a column of i64
    judge = end - int(model.train.holdout_span)
    before = judge - int(model.label_delay) - int(model.framing.horizon)
    return int((times <= before).sum()), int(((times > judge) & (times <= end)).sum())
