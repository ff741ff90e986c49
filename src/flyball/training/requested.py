"""What callers asked in the time that a version learned from, whether or not the label ever came.

Labels are often selective: only approved loans are paid back or not. Live requests are everybody's, so the reference of drift is, too; one made of
labelled rows alone would call the difference drift.
"""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from flyball.clock import Instant
from flyball.declare.model import Model
from flyball.features.assemble import known_rows, watched_columns
from flyball.features.fields import watched


def requested(model: Model, frames: Mapping[str, pl.DataFrame], trained: pl.DataFrame, as_of: Instant) -> pl.DataFrame:
    """`__time` and the watched columns, as callers name them, of every row between the first and the last of `trained`, in order of time.

    trained: rows as `features.assemble.training_rows` gives them. Where rows have no time, these are all there are.
    """
    trained = trained if trained["__time"].is_sorted() else trained.sort("__time")
    learned = trained.select("__time", *watched_columns(model, trained))
    data = model.data
    if not data.time or trained.is_empty():
        return learned
    first, last = int(trained["__time"][0]), int(trained["__time"][-1])
    needed = list(dict.fromkeys((data.time, *filter(None, (data.arrived, model.group)), *watched(model))))
    rows = known_rows(model, frames[data.name].select(needed), as_of, first).filter(pl.col("__time") <= last)
    return rows.select(learned.columns) if rows.height > learned.height else learned
