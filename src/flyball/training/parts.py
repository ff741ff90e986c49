"""Rows that are split whatever their time: each part of them in turn laid last, where every fit looks for its hold-out.

A row's part follows from its lot (features/lots.py): the same in every run. What validates a search, and which half of that a fit gets to stop by, is
drawn from lower digits of the lot, so that groups, and equal rows, stand on one side there too.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from flyball.declare.training import Train
from flyball.features.assemble import KNOWN
from flyball.features.lots import LOT
from flyball.training.rows import LIST, Assembled
from flyball.training.splits import Split

Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]
VALIDATES = 0.2
"""The share of the rows that are not held out that validates a search, and a fit that asks for it."""

_LOWER = 2.0**20


class Part(NamedTuple):
    """`rows` in the order train, validate, judge, and `cut` their borders; `trial`: what a search is judged by. `order`: the place of each among all rows."""

    rows: Assembled
    cut: Split
    trial: Split
    order: Ints


def held(lots: npt.NDArray[np.float64], train: Train, fold: int) -> Flags:
    """Which rows with these lots are held out in a fold, 0 to folds − 1. The last one judges what is released."""
    share = train.holdout if isinstance(train.holdout, float) else 0.0
    if train.folds == 1:
        return np.greater_equal(lots, 1 - share)
    part: Ints = np.minimum((lots * train.folds).astype(np.int64), train.folds - 1)
    return np.equal(part, fold)


def parts(rows: Assembled, known: int, train: Train, *, stops_by: bool) -> list[Part]:
    """The split of the first `known` rows, once for each fold; the last one is that of the candidate. Where a fit asks for rows to stop by, a trial's
    are one half of what validates, and the other half judges it.
    """
    frame = rows.frame[:known]
    lots = frame[LOT].to_numpy()
    lower = (lots * _LOWER) % 1.0
    validates = lower < VALIDATES
    by = lower < (VALIDATES / 2 if stops_by else 0)
    found = []
    for fold in range(train.folds):
        judge = held(lots, train, fold)
        sides = ~judge & ~validates, ~judge & by, ~judge & validates & ~by, judge
        sided = [np.flatnonzero(side) for side in sides]
        order = np.concatenate(sided)
        inner, later, stop, _ = (int(border) for border in np.cumsum([len(each) for each in sided]))
        # in which order rows were known says nothing here
        laid = frame.select(pl.all().gather(pl.Series(order))).drop(KNOWN, strict=False)
        if LIST in laid.columns:
            laid = laid.with_columns(pl.col(LIST).rle_id().cast(pl.Int64))
        arranged = replace(rows, frame=laid, arranged=True)
        cut, trial = Split(0, inner, inner, stop, stop, known), Split(0, inner, inner, later, later, stop)
        found.append(Part(arranged, cut, trial, order))
    return found


def refit(cut: Split) -> Split:
    """All rows, the hold-out included; a fit that validates does so on what was held out."""
    return Split(0, cut.holdout, cut.holdout, cut.end, cut.end, cut.end)
