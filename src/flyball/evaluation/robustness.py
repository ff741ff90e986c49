"""What becomes of a model's objective when its features are not what they should be: missing, noisy, never seen, or of no use. Pure.

Features are changed, and the model is asked the same rows again: the loss is paired. It is a share of the objective as it was, so that it means the
same for every metric: 0 nothing is lost, 1 all of it. Changed are features, as the model gets them, not what a caller sends.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Literal, NamedTuple

import numpy as np
import polars as pl

from flyball.declare.metrics import metric_info
from flyball.errors import BadInput, FlyballError
from flyball.evaluation.answers import Answers
from flyball.evaluation.metrics import estimate, from_interval
from flyball.evaluation.rows import row_values
from flyball.records.estimates import Estimate
from flyball.records.evaluation import Robustness
from flyball.stats import clusters
from flyball.stats.intervals import t_interval

Kind = Literal["missing", "noise", "unseen", "permuted"]
KINDS: tuple[Kind, ...] = ("missing", "noise", "unseen", "permuted")

SHARE = 0.1
"""Of the values of every column, so many go missing, or are texts never seen; noise is so much of a column's spread."""

MOST_ROWS = 5_000
"""Rows of the hold-out that are asked again."""

MOST_ASKED = 40_000
"""Rows that are asked to find the column that matters most: with many columns, fewer rows of the hold-out."""

NEVER_SEEN = "\N{REPLACEMENT CHARACTER} never seen"

Ask = Callable[[pl.DataFrame], Answers]
"""What the model answers to these features."""


class Changed(NamedTuple):
    """Features with some of their values changed; `columns`: in which."""

    features: pl.DataFrame
    columns: tuple[str, ...]


def robustness(
    X: pl.DataFrame, ask: Ask, objective: str, *, may_miss: Sequence[str], closed: Sequence[str] = (), seed: int = 0
) -> Iterator[Robustness]:
    """Ask the rows `X` [n, features] as they are and changed in each way; one finding a kind, in order.

    `may_miss`: columns in which values may be missing by what is declared; `closed`: columns of text whose values are all declared.
    A model that fails on what is declared to be possible loses all. Raises BadInput where the objective is not defined as the rows are.
    """
    before = ask(X)
    whole = estimate(objective, before)
    if whole.value is None:
        raise BadInput(f"{objective} is not defined on these {X.height} rows", why=whole.why)
    for kind in KINDS:
        random = np.random.default_rng([seed, KINDS.index(kind)])
        try:
            changed = _permuted(X, ask, objective, before, random) if kind == "permuted" else _change(kind, X, may_miss, closed, random)
        except FlyballError as error:
            yield Robustness(kind, X.height, objective, whole, Estimate(value=None, why=str(error)))
            continue
        yield _asked(kind, changed, ask, objective, before, declared=kind != "missing" or bool(may_miss))


def _asked(kind: Kind, changed: Changed, ask: Ask, objective: str, before: Answers, *, declared: bool) -> Robustness:
    whole, rows = estimate(objective, before), changed.features.height
    try:
        after = ask(changed.features)
    except FlyballError as error:
        told = f"fails on {_WORDS[kind]}: {error.what}"
        if declared:
            lost = Estimate(value=1.0, low=1.0, high=1.0, n=rows, why=told)
        else:
            lost = Estimate(value=None, n=rows, why=f"{told}; no column may have any, by what is declared")
        return Robustness(kind, rows, objective, whole, lost, columns=changed.columns)
    return Robustness(kind, rows, objective, whole, lost_share(objective, before, after), estimate(objective, after), changed.columns)


_WORDS: dict[Kind, str] = {
    "missing": "missing values",
    "noise": "noisy numbers",
    "unseen": "texts never seen",
    "permuted": "permuted values",
}


def lost_share(objective: str, before: Answers, after: Answers) -> Estimate:
    """Which share of the objective is lost on the same rows, with its 95% interval: t of the paired rows, or of the entities that they share."""
    info = metric_info(objective)
    one, other = row_values(objective, before), row_values(objective, after)
    if one.why or other.why:
        return Estimate(value=None, n=before.n, why=one.why or other.why)
    base = float(one.values.mean())
    if base == 0:
        return Estimate(value=None, n=before.n, why=f"{objective} is 0 on the rows as they are: there is no share of it to lose")
    sign = 1.0 if info is None or info.higher_is_better is not False else -1.0
    lost = sign * (one.values - other.values)
    share = float(lost.mean()) / abs(base)
    # linearised: the objective that it is a share of varies with the rows too
    spread = clusters.mean((lost - share * np.sign(base) * one.values) / abs(base), before.groups)
    return from_interval(share, t_interval(share, spread.se, spread.df), before.n)


def _change(kind: Kind, X: pl.DataFrame, may_miss: Sequence[str], closed: Sequence[str], random: np.random.Generator) -> Changed:
    if kind == "missing":
        columns = [name for name in X.columns if name in may_miss] or X.columns
        return _replaced(X, columns, random, lambda name: pl.lit(None, dtype=X.schema[name]))
    if kind == "noise":
        columns = [name for name in X.columns if X.schema[name].is_numeric()]
        if not columns:
            raise BadInput("no feature is a number")
        return Changed(X.with_columns(_noisy(X[name], random) for name in columns), tuple(columns))
    columns = [name for name in X.columns if X.schema[name] == pl.String and name not in closed]
    if not columns:
        raise BadInput("no feature is a text whose values are open")
    return _replaced(X, columns, random, lambda _: pl.lit(NEVER_SEEN))


def _replaced(X: pl.DataFrame, columns: Sequence[str], random: np.random.Generator, by: Callable[[str], pl.Expr]) -> Changed:
    flags = {name: pl.Series(random.random(X.height) < SHARE) for name in columns}
    made = [pl.when(flag).then(by(name)).otherwise(pl.col(name)).alias(name) for name, flag in flags.items()]
    return Changed(X.with_columns(made), tuple(columns))


def _noisy(column: pl.Series, random: np.random.Generator) -> pl.Series:
    numbers = column.cast(pl.Float64)
    noise = random.normal(0.0, 1.0, len(column)) * SHARE * float(numbers.fill_nan(None).std() or 0.0)  # type: ignore[arg-type]  # of numbers it is one
    moved = numbers + pl.Series(noise)
    if column.dtype.is_float():
        return moved.cast(column.dtype).alias(column.name)
    return moved.round().clip(numbers.min(), numbers.max()).cast(column.dtype).alias(column.name)  # type: ignore[arg-type]  # idem


def _permuted(X: pl.DataFrame, ask: Ask, objective: str, before: Answers, random: np.random.Generator) -> Changed:
    """The rows with that column permuted which costs most when it is; permuted once more, so that chance has not chosen the order too."""
    worst: tuple[float, str] | None = None
    for name in X.columns:
        lost = lost_share(objective, before, ask(_shuffled(X, name, random))).value
        if lost is not None and (worst is None or lost > worst[0]):
            worst = (lost, name)
    if worst is None:
        raise BadInput("what is lost when a column is permuted cannot be told")
    return Changed(_shuffled(X, worst[1], random), (worst[1],))


def _shuffled(X: pl.DataFrame, name: str, random: np.random.Generator) -> pl.DataFrame:
    return X.with_columns(X[name].gather(random.permutation(X.height)))
