"""Does the hold-out look like what is asked now? A classifier tries to tell held-out rows from the newest ones, whose labels nobody knows yet."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import polars as pl

from flyball.data.types import instants
from flyball.declare.model import Label
from flyball.errors import BadInput
from flyball.features.assemble import served
from flyball.records.estimates import Estimate
from flyball.records.rows import Live
from flyball.stats.delong import auc
from flyball.training.evaluating import Found, Section, Subject
from flyball.training.simpler import Floats, encoded
from flyball.training.stored import Stored

SIDE = 5_000
"""Rows of each side (docs/statistics.md §2): of the hold-out a seeded sample, of the others the newest."""

FEWEST = 200
FOLDS = 5
NAMED = 5
TELLS = 0.55
"""From which AUC by itself a column is named."""

_ROUNDS = 50
_Z = 1.959963984540054


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


def told_apart(then: pl.DataFrame, now: pl.DataFrame, generator: np.random.Generator) -> Estimate:
    """AUC of a booster that was fitted on four fifths and asked the rest, each fifth once; its interval by DeLong."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    X, _ = encoded(pl.concat([then, now], how="vertical_relaxed"), now.head(0))
    n = then.height + now.height
    if not X.shape[1]:
        return Estimate(value=0.5, low=0.5, high=0.5, n=n, why="every feature is one and the same value on both sides")
    y = np.repeat([0, 1], [then.height, now.height])
    fold = generator.permutation(n) % FOLDS
    score = np.zeros(n)
    for part in range(FOLDS):
        learn, ask = fold != part, fold == part
        fitted = HistGradientBoostingClassifier(max_iter=_ROUNDS, early_stopping=False, random_state=0).fit(X[learn], y[learn])
        score[ask] = fitted.predict_proba(X[ask])[:, 1]
    found = auc(y == 1, score)
    return Estimate(value=found.value, low=max(0.0, found.value - _Z * found.se), high=min(1.0, found.value + _Z * found.se), n=n)


def telling(then: pl.DataFrame, now: pl.DataFrame) -> dict[str, float]:
    """The columns that tell the sides apart by themselves, the clearest first, with the AUC of each."""
    found = {name: _alone(then.select(name), now.select(name)) for name in then.columns}
    named = sorted(((value, name) for name, value in found.items() if value >= TELLS), reverse=True)
    return {name: value for value, name in named[:NAMED]}


def _alone(then: pl.DataFrame, now: pl.DataFrame) -> float:
    """The best AUC of the numbers that stand for a column; what is missing counts as below every number."""
    both = pl.concat([then, now], how="vertical_relaxed")
    numbers, _ = encoded(both, both.head(0))
    flags = np.repeat([False, True], [then.height, now.height])
    found = [_turned(flags, column) for column in numbers.T]
    missing = both.to_series().is_null().to_numpy()
    return max([*found, _turned(flags, missing.astype(np.float64))] if missing.any() else found, default=0.5)


def _turned(flags: npt.NDArray[np.bool_], column: Floats) -> float:
    value = auc(flags, np.nan_to_num(column, nan=-np.finfo(np.float64).max)).value
    return max(value, 1 - value)


SECTIONS = (Section("live", ("domain_auc",), live),)
