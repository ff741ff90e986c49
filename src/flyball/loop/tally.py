"""Rows of a data set, counted as they are read: how many come in a day, and how many of which values a hold-out of them would have.

Neither rows nor their order are kept: counts by the values of some columns, and those of the newest rows by their times as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import polars as pl

from flyball.declare.data import Dataset
from flyball.declare.training import Train
from flyball.evaluation.values import text_of

DAY = 86_400_000_000
_HOUR = 3_600_000_000
_AT, _N = "__at", "__n"
_LEAST_KEPT = 100_000
"""Counts from which on they are put together, and again when they have grown by half."""

_MOST_EXACT = 100_000
"""Counts by time of a hold-out; of more, times are kept to the hour, and what is held out is counted as that much longer."""


class Rate(NamedTuple):
    """What comes in a day, and what that was taken from."""

    per_day: float
    of: str


@dataclass
class Tally:
    """The counts of one data set.

    `columns`: by whose values rows are counted. `span`: the longest hold-out by time that is asked about, in µs (None: none is, and no times are kept).
    `delay`: the longest label delay, in µs. `label`: the column without which a row is in no hold-out; empty: it is another data set's, or models have
    several, and then all rows count. `labelled`: rows that have it.
    """

    dataset: Dataset
    columns: tuple[str, ...]
    span: int | None = None
    label: str = ""
    delay: int = 0
    rows: int = 0
    _first: int | None = None
    _last: int | None = None
    _as_of: int | None = None
    labelled: int = 0
    _newest: dict[str, list[pl.DataFrame]] = field(default_factory=dict)
    _whole: dict[str, list[pl.DataFrame]] = field(default_factory=dict)
    _height: int = _LEAST_KEPT
    _step: int = 1

    def add(self, batch: pl.DataFrame) -> None:
        """Take one batch."""
        self.rows += batch.height
        timed = bool(self.dataset.time) and self.dataset.time in batch.columns
        # without a time all rows are of one moment: what is held out of them is a share
        at = (batch[self.dataset.time].dt.epoch("us") if timed else pl.zeros(batch.height, pl.Int64, eager=True)).alias(_AT)
        # a row without its time breaks the contract, and is in no hold-out
        if timed and at.null_count() < batch.height:
            low, high = int(at.min()), int(at.max())  # type: ignore[arg-type]  # a column of i64
            arrived = batch[self.dataset.arrived].dt.epoch("us").max() if self.dataset.arrived in batch.columns else None
            self._first, self._last = _least(self._first, low), _most(self._last, high)
            self._as_of = _most(self._as_of, max(high, int(arrived) if arrived is not None else high))  # type: ignore[arg-type]  # likewise
        there = batch[self.label].is_not_null() if self.label in batch.columns else pl.repeat(True, batch.height, eager=True)
        values = {name: batch[name] if name in batch.columns else pl.Series(name, [None] * batch.height) for name in self.columns}
        self.labelled += int(there.sum())
        for name in ("", *self.columns):
            counted = pl.DataFrame([at, *([values[name]] if name else [])]).filter(there).group_by(pl.all()).len(_N)
            if name:
                self._whole.setdefault(name, []).append(_summed([counted.drop(_AT)]))
            if timed and self.span is not None:
                self._newest.setdefault(name, []).append(counted.drop_nulls(_AT))
        if self._kept() > self._height:
            self._whole = {name: [_summed(parts)] for name, parts in self._whole.items()}
            self._trim()
            self._height = max(_LEAST_KEPT, self._kept() * 3 // 2)

    def _kept(self) -> int:
        return sum(part.height for parts in (*self._newest.values(), *self._whole.values()) for part in parts)

    def _trim(self) -> None:
        """Of the times so far keep those that a hold-out may begin after: its end only rises as rows come."""
        if not self._newest:
            return
        newest = {name: _summed(parts) for name, parts in self._newest.items()}
        end, span = self._end(newest[""], self.delay), self.span or 0
        if end is not None:
            newest = {name: table.filter(pl.col(_AT) > end - span - self._step) for name, table in newest.items()}
        if newest[""].height > _MOST_EXACT:
            self._step = _HOUR
            newest = {name: _summed([table.with_columns(pl.col(_AT) // _HOUR * _HOUR)]) for name, table in newest.items()}
        self._newest = {name: [table] for name, table in newest.items()}

    def _end(self, table: pl.DataFrame, delay: int) -> int | None:
        """The newest row whose label is known."""
        known = table.filter(pl.col(_AT) <= (self._as_of or 0) - delay)[_AT].max() if table.height else None
        return int(known) if known is not None else None  # type: ignore[arg-type]  # a column of i64

    def rate(self) -> Rate | None:
        """Rows a day."""
        if self._first is None or self._last is None:
            return None
        hours = self._last // _HOUR + 1 - self._first // _HOUR
        return Rate(self.rows * 24 / hours, f'rows a day of data set "{self.dataset.name}"')

    @property
    def days(self) -> float:
        """From the first row to the last."""
        return 0.0 if self._first is None or self._last is None else (self._last - self._first) / DAY

    def counts(self, train: Train, column: str = "", *, delay: int = 0) -> tuple[pl.DataFrame, float]:
        """Counts (`value`, `n`) of the rows that would be held out, of all folds, and the share of them that is: as a run holds them out, the newest whose
        label is known (`delay` µs after the row) as a whole; or of all rows a share.
        """
        if train.by_share:
            part = train.holdout * train.folds if isinstance(train.holdout, float) else 1.0
            return self.all_of(column), part
        end = self._end(_summed(self._newest.get("", ())), delay)
        table = _summed(self._newest.get(column, ()))
        if end is None:
            return _by(table.clear(), column), 1.0
        since = end - int(train.holdout_span) * train.folds - (self._step - 1)
        return _by(table.filter(pl.col(_AT).is_between(since, end, closed="right")), column), 1.0

    def all_of(self, column: str = "") -> pl.DataFrame:
        """Counts (`value`, `n`) of all rows that have a label."""
        return _by(_summed(self._whole.get(column, ())) if column else pl.DataFrame({_N: [self.labelled]}), column)

    def held(self, train: Train, columns: Sequence[str], *, delay: int = 0) -> list[tuple[str, int]]:
        """Rows that would be held out, whole, or in each value of these columns that is there. Of a share, about so many."""
        found: list[tuple[str, int]] = []
        for column in columns or ("",):
            if column and column not in self.columns:
                continue
            table, part = self.counts(train, column, delay=delay)
            if not column:
                found.append(("", round(part * int(table["n"].sum()))))
                continue
            found += [(f"{column}={text_of(value)}", round(part * n)) for value, n in table.iter_rows()]
        return found


def _by(table: pl.DataFrame, column: str) -> pl.DataFrame:
    """Counts (`value`, `n`) by the values of a column, or of all rows."""
    value = pl.col(column) if column in table.columns else pl.lit("")
    return table.group_by(value.alias("value")).agg(pl.col(_N).sum().alias("n")).sort("value", nulls_last=True)


def _least(known: int | None, new: int) -> int:
    return new if known is None else min(known, new)


def _most(known: int | None, new: int) -> int:
    return new if known is None else max(known, new)


def _summed(parts: Sequence[pl.DataFrame]) -> pl.DataFrame:
    if not parts:
        return pl.DataFrame(schema={_AT: pl.Int64, _N: pl.UInt32})
    table = pl.concat(parts, how="vertical_relaxed")
    keys = [name for name in table.columns if name != _N]
    return table.group_by(keys).agg(pl.col(_N).sum()) if keys else table.select(pl.col(_N).sum())
