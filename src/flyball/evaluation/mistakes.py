"""Where answers are wrong: which class is taken for which, whole and in slices, how far numbers miss, and the worst single rows. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl

from flyball.declare.metrics import CLASSES
from flyball.evaluation.answers import Answers, Label
from flyball.evaluation.rows import TINY
from flyball.evaluation.values import few_values, rounded, said, text_of
from flyball.records.evaluation import Confusion, Mistakes, WorstRow
from flyball.stats.logspace import Floats

MOST_ROWS = 20
MOST_CLASSES = 20
"""Of more classes no table is made: nobody could read it."""

MOST_TABLES = 60
SHARES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)


def mistakes(
    found: Answers,
    frame: pl.DataFrame,
    columns: Mapping[str, pl.Series],
    *,
    classes: Sequence[Label] = (),
    slices: Sequence[str] = (),
    private: str = "",
) -> Mistakes:
    """The mistakes in `found`, the answers to `frame` (`__time`, y, value and the `slices`; every y is known).

    `columns` are what may be told of a row; `private`: why no single row is told at all, if that is so.
    """
    loss = row_loss(found)
    worst = () if private else _worst(loss, frame, columns)
    if found.task in CLASSES:
        return Mistakes(
            wrong=int(found.n - found.correct.sum()),
            rows=found.n,
            confusion=_confusions(found, frame, classes, slices),
            worst=worst,
            worst_missing=private,
        )
    residuals = found.value - found.y
    quantiles = np.quantile(residuals, SHARES) if found.n else np.empty(0)
    return Mistakes(
        wrong=None,
        rows=found.n,
        residuals=tuple(zip(SHARES, quantiles.tolist(), strict=False)),
        worst=worst,
        worst_missing=private,
    )


def row_loss(found: Answers) -> Floats:
    """What each answer lost, shape (n,): −log of the score that the truth got, or 0/1 without scores; for numbers the absolute error."""
    if found.task not in CLASSES:
        error: Floats = np.abs(found.value - found.y)
        return error
    if found.score is None:
        return 1.0 - found.correct
    happened = found.score if found.task == "multiclass" else np.where(found.y == 1, found.score, 1 - found.score)
    loss: Floats = -np.log(np.clip(happened, TINY, 1.0))
    return loss


def _worst(loss: Floats, frame: pl.DataFrame, columns: Mapping[str, pl.Series]) -> tuple[WorstRow, ...]:
    rows = [row for row in np.argsort(-loss, kind="stable")[:MOST_ROWS].tolist() if loss[row] > 0]
    return tuple(
        WorstRow(
            time=int(frame["__time"][row]),
            truth=frame["y"][row],
            answer=frame["value"][row],
            loss=float(loss[row]),
            features={name: rounded(series[row])[:80] for name, series in columns.items()},
        )
        for row in rows
    )


def _confusions(found: Answers, frame: pl.DataFrame, classes: Sequence[Label], slices: Sequence[str]) -> tuple[Confusion, ...]:
    if not 2 <= len(classes) <= MOST_CLASSES or np.isnan(found.value).any():
        return ()
    count = len(classes)
    cells = found.y.astype(np.int64) * count + found.value.astype(np.int64)
    names = tuple(text_of(each) for each in classes)
    tables = [Confusion("", names, _table(np.bincount(cells, minlength=count * count), count))]
    for column in slices:
        values = few_values(frame[column])
        if values is None:
            continue
        wide = np.bincount(values.codes * count * count + cells, minlength=len(values.names) * count * count)
        parts = wide.reshape(len(values.names), count * count)
        tables += [Confusion(said(column, name), names, _table(part, count)) for name, part in zip(values.names, parts, strict=True)]
    return tuple(tables[: MOST_TABLES + 1])


def _table(cells: np.ndarray[tuple[int, ...], np.dtype[np.int64]], count: int) -> tuple[tuple[int, ...], ...]:
    return tuple(tuple(row) for row in cells.reshape(count, count).tolist())
