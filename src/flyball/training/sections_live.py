"""Does the hold-out look like what is asked now? A classifier tries to tell held-out rows from the newest ones, whose labels nobody knows yet."""

from __future__ import annotations

import numpy as np
import polars as pl

from flyball.data.types import instants
from flyball.declare.model import Label
from flyball.errors import BadInput
from flyball.features.assemble import served
from flyball.records.estimates import Estimate
from flyball.records.rows import Live
from flyball.training.domain import SIDE, telling, told_apart
from flyball.training.evaluating import Found, Section, Subject
from flyball.training.stored import Stored

FEWEST = 200


def live(subject: Subject) -> Found:
    """The section. A label that is known at once leaves no rows without one, and then nothing can be said."""
    now = unlabelled(subject)
    held = subject.held
    if min(now.height, held.height) < FEWEST:
        raise BadInput(
            f"{now.height:,} rows {_which(subject)}, and {held.height:,} are held out",
            why=f"{FEWEST} of each are needed to tell whether the hold-out looks like what is asked now; what a split leaves out is neither",
        )
    generator = np.random.default_rng(subject.spec.seed)
    then = held[np.sort(generator.choice(held.height, min(SIDE, held.height), replace=False))]
    now = now.tail(SIDE)
    found = told_apart(then, now, generator)
    source = f'rows of data set "{subject.model.data.name}" that have no label yet'
    columns = telling(then, now)
    told = Live(source=source, holdout_rows=then.height, live_rows=now.height, auc=found, columns=columns)
    names = ", ".join(f"{name} ({value:.2f} by itself)" for name, value in columns.items())
    return Found({"live": told}, {"domain_auc": Estimate(value=found.value, low=found.low, high=found.high, n=found.n, why=names)})


def _which(subject: Subject) -> str:
    """Which rows stand for what is asked now."""
    return "are newer than the newest whose label is known" if subject.model.data.time else "have no label"


def unlabelled(subject: Subject) -> pl.DataFrame:
    """The features of the newest rows whose label was not known when the run began: as they would be asked, at their own moment."""
    model, as_of = subject.model, subject.spec.as_of
    if isinstance(subject.frames, Stored) and not subject.frames.fit(model):
        raise BadInput("the rows are too many to hold at once")
    rows = subject.frames[model.data.name]
    if model.data.time:
        rows = rows.with_columns(instants(model.data.time).alias("__time"))
        # rows that are split by share lie in no order of time
        newest = int(subject.rows.times[: subject.split.end].max())
        rows = rows.filter((pl.col("__time") > newest) & (pl.col("__time") <= as_of))
        if model.data.arrived:
            rows = rows.filter(instants(model.data.arrived) <= as_of)
        rows = rows.sort("__time", maintain_order=True)
    elif isinstance(model.label, Label):
        return pl.DataFrame()
    else:
        rows = rows.with_columns(pl.int_range(pl.len(), dtype=pl.Int64).alias("__time")).filter(pl.col(model.label).is_null())
    rows = rows.tail(SIDE)
    if not rows.height:
        return pl.DataFrame()
    return served(model, rows, rows["__time"].to_list(), subject.frames).features.select(subject.rows.features)


SECTIONS = (Section("live", ("domain_auc",), live),)
