"""A linear model and a small booster on the same features, as anybody would make them in a minute: what a candidate has to beat to be worth its keep.

They learn from a bounded number of the newest rows, so that no run waits for them.
"""

from __future__ import annotations

import time
import warnings
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from flyball.declare.costs import HALF, threshold_of
from flyball.declare.metrics import CLASSES
from flyball.errors import BadInput
from flyball.evaluation.answers import Answers
from flyball.evaluation.answers import answers as read_answers
from flyball.evaluation.dominance import dominates
from flyball.features.assemble import KNOWN
from flyball.records.estimates import Estimate
from flyball.records.rows import Simpler, Simplers
from flyball.training.evaluating import Found, Section, Subject
from flyball.training.judging import amounts, compared, estimates, objective, rises
from flyball.training.predictor import Predictions, answers, decided
from flyball.training.rows import GROUP

LEARN, JUDGE = 10_000, 20_000
"""Rows, the newest, that simpler models learn from and are judged on at most."""

_COMMON = 20
"""Values of a text column that get a number each; all others are one."""

_ROUNDS = 60
Floats = npt.NDArray[np.float64]


def simpler(subject: Subject) -> Found:
    """The section."""
    frame = subject.frame.tail(JUDGE)
    train, held = _rows(subject, frame.height)
    X, asked = encoded(train.select(subject.rows.features), held.select(subject.rows.features))
    if not X.shape[1]:
        raise BadInput("no feature can be put into numbers", why="every one is a constant, empty, or a list")
    classes, model = subject.candidate.signature.classes, subject.model
    candidate = estimates(model, frame, classes)
    found, dominating = [], []
    # what costs say of probabilities: a plain model has no threshold of its own
    at = threshold_of(amounts(model)) or HALF
    for name in ("linear", "boosting"):
        began = time.process_time()
        given = _fitted(name, model.task, X, train["__y"], asked, classes, at)
        cpu_s = time.process_time() - began
        theirs = frame.with_columns(answers(given))
        metrics = estimates(model, theirs, classes)
        difference, better = _paired(subject, frame, theirs)
        found.append(
            Simpler(
                name=name,
                rows=train.height,
                cpu_s=cpu_s,
                metrics=metrics,
                as_good=not better,
                difference=difference,
                alike=_alike(frame["value"], theirs["value"]),
            )
        )
        if dominates(metrics, candidate):
            dominating.append(name)
    dominating += _others(subject)
    told = Simplers(
        objective=objective(model), holdout_rows=frame.height, candidate=candidate, models=tuple(found), dominating=tuple(dominating)
    )
    count = Estimate(value=float(len(dominating)), n=frame.height, why=", ".join(dominating))
    return Found({"simpler": told}, {"dominated": count})


def _alike(mine: pl.Series, theirs: pl.Series) -> bool:
    if mine.dtype.is_float() and theirs.dtype.is_float():
        return bool(np.allclose(mine.to_numpy(), theirs.to_numpy(), rtol=1e-6))
    return bool((mine == theirs).all())


def _rows(subject: Subject, judged: int) -> tuple[pl.DataFrame, pl.DataFrame]:
    rows, split = subject.rows, subject.split
    train = rows.frame[split.start : split.stop]
    if rows.late and split.end > split.holdout:
        train = train.filter(pl.col(KNOWN) <= rows.times[split.holdout] - int(subject.model.framing.horizon))
    return train.tail(LEARN), rows.frame[split.holdout : split.end].tail(judged)


def encoded(train: pl.DataFrame, held: pl.DataFrame) -> tuple[Floats, Floats]:
    """Both as numbers [n, columns]: numbers as they are (nulls: NaN), of texts a column for each of the commonest values. Constants are left out."""
    columns: list[tuple[Floats, Floats]] = []
    for name in train.columns:
        one, other = train[name], held[name]
        if one.dtype.is_temporal():
            one, other = one.to_physical(), other.to_physical()
        if one.dtype.is_numeric() or one.dtype == pl.Boolean:
            columns.append((_numbers(one), _numbers(other)))
        elif one.dtype in (pl.String, pl.Categorical) or isinstance(one.dtype, pl.Enum):
            one, other = one.cast(pl.String), other.cast(pl.String)
            common = one.drop_nulls().value_counts().sort("count", name, descending=[True, False])[name][:_COMMON]
            columns += [(_numbers(one == each), _numbers(other == each)) for each in common]
    kept = [pair for pair in columns if np.unique(pair[0][~np.isnan(pair[0])]).size > 1]
    if not kept:
        return np.empty((train.height, 0)), np.empty((held.height, 0))
    return np.column_stack([pair[0] for pair in kept]), np.column_stack([pair[1] for pair in kept])


def _numbers(series: pl.Series) -> Floats:
    numbers: Floats = series.cast(pl.Float64).fill_null(float("nan")).to_numpy().copy()
    numbers[~np.isfinite(numbers)] = np.nan
    return numbers


def _scaled(X: Floats, asked: Floats) -> tuple[Floats, Floats]:
    """To mean 0 and spread 1; what is missing is the mean."""
    mean, spread = np.nanmean(X, axis=0), np.nanstd(X, axis=0)
    spread = np.where(spread > 0, spread, 1.0)
    return np.nan_to_num((X - mean) / spread), np.nan_to_num((asked - mean) / spread)


def _fitted(
    name: str, task: str, X: Floats, y: pl.Series, asked: Floats, classes: tuple[int | str | bool, ...], threshold: float = HALF
) -> Predictions:
    """Fit, and answer."""
    if name == "linear":
        X, asked = _scaled(X, asked)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a fit that has not converged is a simple model too
        estimator = _estimator(name, task)
        if task not in CLASSES:
            return Predictions(np.asarray(estimator.fit(X, _numbers(y)).predict(asked), dtype=np.float64))
        codes = np.array([classes.index(each) for each in y.to_list()])
        if len(np.unique(codes)) < 2:
            raise BadInput("the newest rows are all of one class", why=f"simpler models learn from {LEARN:,} rows at most")
        estimator.fit(X, codes)
        scores = np.zeros((len(asked), len(classes)))
        scores[:, estimator.classes_] = estimator.predict_proba(asked)
    value = decided(scores, classes, threshold)
    return Predictions(value, scores[:, 1] if len(classes) == 2 else None, scores if len(classes) > 2 else None)


def _estimator(name: str, task: str) -> Any:
    if name == "linear":
        from sklearn.linear_model import LogisticRegression, Ridge

        return LogisticRegression(max_iter=100) if task in CLASSES else Ridge()
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    kind = HistGradientBoostingClassifier if task in CLASSES else HistGradientBoostingRegressor
    return kind(max_iter=_ROUNDS, early_stopping=False, random_state=0)


def _read(subject: Subject, frame: pl.DataFrame, prefix: str = "") -> Answers:
    group = GROUP if GROUP in frame.columns else ""
    return read_answers(
        subject.model.task,
        frame,
        value=f"{prefix}value",
        score=f"{prefix}score",
        classes=subject.candidate.signature.classes,
        group=group,
        costs=amounts(subject.model),
    )


def _paired(subject: Subject, frame: pl.DataFrame, theirs: pl.DataFrame) -> tuple[Estimate, bool]:
    """By how much the candidate is better in the objective (above 0: it is), and whether that is shown at α = .05."""
    name = objective(subject.model)
    try:
        found = compared(subject.model, _read(subject, frame), _read(subject, theirs))
    except (ValueError, ZeroDivisionError) as error:
        return Estimate(value=None, why=f"{name} is not defined on these rows: {error}"), False
    sign = 1 if rises(name) else -1
    ends = sorted((sign * found.interval.low, sign * found.interval.high))
    return Estimate(value=sign * found.difference, low=ends[0], high=ends[1], n=frame.height), found.shown


def _others(subject: Subject) -> list[str]:
    """Of champion and baseline, those that are no worse in every metric and better in one."""
    found = []
    for name, prefix in (("champion", "champion_"), ("baseline", "base_")):
        frame = subject.frame
        if f"{prefix}value" not in frame.columns:
            continue
        frame = frame.filter(pl.col(f"{prefix}value").is_not_null())
        if not frame.height:
            continue
        score = pl.col(f"{prefix}score") if f"{prefix}score" in frame.columns else pl.lit(None, pl.Float64)
        theirs = frame.with_columns(pl.col(f"{prefix}value").alias("value"), score.alias("score"))
        classes = subject.candidate.signature.classes
        if dominates(estimates(subject.model, theirs, classes), estimates(subject.model, frame, classes)):
            found.append(name)
    return found


SECTIONS = (Section("simpler", ("dominated",), simpler),)
