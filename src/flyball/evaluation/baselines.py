"""The answer without a model: what every run is compared with.

A constant (the majority class; mean or median for numbers) and, where the caller knows the label's last known value, that value (persistence).
The one that `baseline` means in a gate is the one with the smaller error on the training rows: 0/1 error for classes, absolute error for numbers. They have
next to no parameters, so judging them where they were made flatters none of them, and a run needs no second hold-out for it.

A ranking is compared with popularity: each item's mean label, whoever asks; an item that was never seen has the mean of all.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import polars as pl

from flyball.declare.metrics import CLASSES
from flyball.errors import BadInput

Kind = Literal["majority", "mean", "median", "persistence", "popularity"]


class Answered(NamedTuple):
    """`value`: one answer a row; `score`: the positive class's chance (binary tasks alone), else None."""

    value: pl.Series
    score: pl.Series | None


@dataclass(frozen=True)
class Baseline:
    """What was learned: the constant, for binary tasks its chance, the chance of the positive class after each last value; of
    popularity the mean label of each item.
    """

    kind: Kind
    task: str
    constant: Any
    rate: float | None = None
    rates: tuple[tuple[Any, float], ...] = ()

    def predict(self, rows: int, last: pl.Series | None = None, items: pl.Series | None = None) -> Answered:
        """Answers to `rows` rows. `last`: the label's last known value on each (null: the constant is given). Persistence without it is the constant.

        `items`: what each row ranks; popularity without it is the constant.
        """
        constant = pl.repeat(self.constant, rows, eager=True).alias("value")
        if self.kind == "popularity" and items is not None:
            known = dict(self.rates)
            means = items.replace_strict(list(known), list(known.values()), default=self.constant, return_dtype=pl.Float64)
            return Answered(means.alias("value"), None)
        score = None if self.rate is None else pl.repeat(self.rate, rows, dtype=pl.Float64, eager=True).alias("score")
        if self.kind != "persistence" or last is None:
            return Answered(constant, score)
        value = last.fill_null(self.constant).alias("value")
        if self.rate is not None:
            known = dict(self.rates)
            # replace_strict needs the null spelled out as a default: rows without a last value have the overall chance
            score = last.replace_strict(list(known), list(known.values()), default=self.rate, return_dtype=pl.Float64).alias("score")
        return Answered(value, score)


def _error(task: str, y: pl.Series, value: pl.Series) -> float:
    if task in CLASSES:
        return float((y != value).mean() or 0.0)  # type: ignore[arg-type]
    return float((value.cast(pl.Float64) - y.cast(pl.Float64)).abs().mean() or 0.0)  # type: ignore[arg-type]


def _constants(task: str, y: pl.Series) -> list[Baseline]:
    if task not in CLASSES:
        numbers = y.cast(pl.Float64)
        return [Baseline("mean", task, numbers.mean()), Baseline("median", task, numbers.median())]
    counts = y.alias("y").value_counts().sort("count", "y", descending=[True, False])
    rate = float((y == y.max()).mean() or 0.0) if task == "binary" else None  # type: ignore[arg-type]
    return [Baseline("majority", task, counts["y"][0], rate)]


def _popularity(y: pl.Series, items: pl.Series) -> Baseline:
    """Each item's mean label. The nearest constant is worth a shuffled list, so there is nothing to choose."""
    means = pl.DataFrame({"item": items, "y": y.cast(pl.Float64)}).drop_nulls().group_by("item").agg(pl.col("y").mean()).sort("item")
    return Baseline("popularity", "ranking", y.cast(pl.Float64).mean(), None, tuple(means.iter_rows()))


def fit(task: str, y: pl.Series, last: pl.Series | None = None, items: pl.Series | None = None) -> Baseline:
    """Learn the best baseline from training labels `y` (nulls are left out) and, if given, each row's last known label; of a ranking from what
    each row ranks, `items`.

    For binary tasks the positive class is the largest label. Raises BadInput when there is no label.
    """
    frame = pl.DataFrame({"y": y, "last": last if last is not None else pl.repeat(None, len(y), eager=True)}).filter(
        pl.col("y").is_not_null()
    )
    if frame.is_empty():
        raise BadInput("there is no training row with a label", fix="train on a longer window, or wait for labels")
    if task == "ranking" and items is not None:
        return _popularity(y, items)
    labels, before = frame["y"], frame["last"]
    candidates = _constants(task, labels)
    if last is not None and before.null_count() < len(before):
        before = before.cast(labels.dtype)
        first = candidates[0]
        after = (
            frame.filter(pl.col("last").is_not_null()).group_by("last").agg((pl.col("y") == labels.max()).mean().alias("rate")).sort("last")
        )
        rates = tuple(zip(after["last"].to_list(), after["rate"].to_list(), strict=True)) if task == "binary" else ()
        candidates.append(Baseline("persistence", task, first.constant, first.rate, rates))
    return min(candidates, key=lambda each: _error(task, labels, each.predict(len(labels), before).value))
