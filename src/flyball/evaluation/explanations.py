"""What each feature has to do with a model's answers: with one answer (contributions that add up to it), and with being right (permutation importance).

Contributions of any model: Shapley values sampled over orders of the features, against stored rows (Štrumbelj & Kononenko 2014), each order with its
reverse (Mitchell et al. 2022). The steps of one order add up to f(x) − f(z), so all together add up to f(x) − base exactly, however few the orders.
Permutation importance: Breiman (2001), of row-wise losses, so that its interval comes from rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from flyball.declare.metrics import CLASSES, RANKED
from flyball.evaluation.answers import Answers, Rows
from flyball.evaluation.rows import row_values
from flyball.records.estimates import Estimate
from flyball.stats import clusters
from flyball.stats.intervals import t_interval
from flyball.stats.logspace import Floats

MOST_ASKED = 10_000
"""Rows that a model is asked for one explanation: as many as one request may have."""

LEAST_LIKELY = 1e-6
"""A probability below this counts as this in a log loss: one row that is certain and wrong must not be all that is seen."""

Ask = Callable[[pl.DataFrame], Floats]
"""A frame of features [n, features] → one number a row, shape (n,)."""


class Contributions(NamedTuple):
    """`base` + the sum of `parts` (one a feature, in order) = `output`, all in the same space."""

    base: float
    output: float
    parts: Floats


@dataclass(frozen=True)
class Draws:
    """Orders in which a row's values take the places of a stored row's: `ranks` [draws, features], and the stored row of each, `rows` [draws]."""

    ranks: npt.NDArray[np.int64]
    rows: Rows

    @property
    def features(self) -> int:
        """How many features."""
        return int(self.ranks.shape[1])


def draws(features: int, background: int, seed: int) -> Draws:
    """Two orders, one the reverse of the other, for each of `background` ≥ 1 stored rows; fewer where the model would be asked too many rows."""
    pairs = max(1, min(background, MOST_ASKED // (2 * (features + 1))))
    rng = np.random.default_rng(seed)
    orders = np.array([rng.permutation(features) for _ in range(pairs)], dtype=np.int64).reshape(pairs, features)
    # where there are more stored rows than draws, those drawn lie all over them
    rows = np.linspace(0, background - 1, pairs).round().astype(np.int64)
    return Draws(np.concatenate([orders, features - 1 - orders]), np.concatenate([rows, rows]))


def sampled(ask: Ask, background: pl.DataFrame, row: pl.DataFrame, drawn: Draws) -> Contributions:
    """Contributions to the answer to `row` (one row, the columns of `background`): what its values change, each in its turn.

    The model is asked once, with draws × (features + 1) rows, at most about `MOST_ASKED`.
    """
    count, steps = len(drawn.rows), drawn.features + 1
    given = ask(_mixed(background, row, drawn)).reshape(count, steps)
    # the step at which each feature comes in, in each draw
    changes = np.take_along_axis(np.diff(given, axis=1), drawn.ranks, axis=1)
    return Contributions(float(given[:, 0].mean()), float(given[0, -1]), changes.mean(axis=0))


def _mixed(background: pl.DataFrame, row: pl.DataFrame, drawn: Draws) -> pl.DataFrame:
    """Row (draw, k): the draw's stored row, with the first k features of its order taken from `row`."""
    steps = np.arange(drawn.features + 1)
    columns = []
    for place, name in enumerate(background.columns):
        both = pl.concat([background[name], row[name].cast(background[name].dtype)])
        taken = drawn.ranks[:, place, None] < steps
        columns.append(both.gather(np.where(taken, background.height, drawn.rows[:, None]).ravel()))
    return pl.DataFrame(columns)


def linear(coefficients: Floats, intercept: float, means: Floats, values: Floats) -> Contributions:
    """Of intercept + coefficients · values, against the mean of each feature; shapes (features,). Exact, whatever depends on whatever."""
    parts = coefficients * (values - means)
    base = intercept + float(coefficients @ means)
    return Contributions(base, base + float(parts.sum()), parts)


def descending(names: Sequence[str], parts: Floats) -> list[tuple[str, float]]:
    """Features with their contributions, the largest in size first; equal ones in order of their names."""
    pairs = zip(names, parts.tolist(), strict=True)
    return sorted(pairs, key=lambda pair: (-abs(pair[1]), pair[0]))


def row_losses(found: Answers) -> tuple[str, Floats]:
    """The name of a loss and each row's, shape (n,): log_loss where there are scores, error (0 or 1) of classes without, absolute_error of numbers, of
    rankings what a list lacks to NDCG 1, laid on its rows (rows.py); empty where no list has a relevant item.
    """
    if found.task == "ranking":
        return f"1 − {RANKED[0]}", 1.0 - row_values(RANKED[0], found).values
    if found.task not in CLASSES:
        return "absolute_error", np.abs(found.value - found.y)
    if found.score is None:
        return "error", 1.0 - found.correct
    likely = found.score if found.task != "binary" else np.where(found.y == 1.0, found.score, 1.0 - found.score)
    return "log_loss", -np.log(np.clip(likely, LEAST_LIKELY, 1.0))


def importances(rows: pl.DataFrame, losses: Ask, *, repeats: int, seed: int, groups: Rows | None = None) -> Iterator[tuple[str, Estimate]]:
    """How much the mean loss rises when one feature's values are dealt out anew among the rows: each feature with a 95% interval (t over rows or groups).

    `losses` gives the loss of each row of a frame of features. Negative: without it the model would have done better here. Rows are dealt `repeats` times.
    """
    before = losses(rows)
    rng = np.random.default_rng(seed)
    deals = [rng.permutation(rows.height) for _ in range(repeats)]
    for name in rows.columns:
        risen = [losses(rows.with_columns(rows[name].gather(deal).alias(name))) - before for deal in deals]
        spread = clusters.mean(np.mean(risen, axis=0), groups)
        ends = t_interval(spread.value, spread.se, spread.df, 0.95) if spread.df > 0 else None
        yield name, Estimate(value=spread.value, low=ends.low if ends else None, high=ends.high if ends else None, n=rows.height)
