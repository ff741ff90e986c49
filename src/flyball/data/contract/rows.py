"""Rules on the values of one column, row by row: range, allowed values, and missing ones that are due."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from flyball.clock import FARTHEST, Instant
from flyball.data.contract.rule import EXAMPLES, Batch, Breaches, Facts, Whole
from flyball.data.types import DTYPES
from flyball.declare.columns import Column
from flyball.declare.data import Dataset
from flyball.records.data import Finding

_LONGER: Final = 2 * FARTHEST + 1
"""Microseconds that no two times lie apart."""


class Between:
    """Values lie within a range, both ends included."""

    def __init__(self, dataset: Dataset, name: str, column: Column) -> None:
        assert column.between is not None
        self._name, self._severity = name, column.on_breach
        self._low, self._high = column.between
        self._found = Breaches(dataset, name)

    def add(self, facts: Facts, batch: Batch) -> None:
        """Take in a batch."""
        low, high = facts[f"{self._name}/low"], facts[f"{self._name}/high"]
        if low is not None and (low < self._low or high > self._high):
            self._found.take(batch, ~batch.frame[self._name].is_between(self._low, self._high))

    def findings(self, whole: Whole) -> Iterator[Finding]:
        """Values outside."""
        found = self._found
        if found.count:
            stats = whole.before.stats.get(self._name) if whole.before is not None else None
            held = stats is not None and stats.low is not None and stats.high is not None
            held = held and self._low <= stats.low and stats.high <= self._high  # type: ignore[union-attr,operator]
            what = f"values are not between {self._low:g} and {self._high:g} ({found.shown()})"
            text = f"{self._name}: {found.count:,} of {whole.rows:,} {what}{found.changed(whole, 0 if held else None)}"
            yield found.finding("between", self._severity, text, count=found.count, of=whole.rows)


class OneOf:
    """Values are among those that are allowed."""

    def __init__(self, dataset: Dataset, name: str, column: Column) -> None:
        self.name, self._column = name, column
        self.allowed = pl.Series(column.one_of, dtype=DTYPES[column.type] if column.type != "time" else None, strict=False)
        self._found = Breaches(dataset, name)

    def add(self, facts: Facts, batch: Batch) -> None:
        """Take in a batch."""
        if facts[f"{self.name}/others"] > facts[f"{self.name}/null"]:
            values = batch.frame[self.name]
            self._found.take(batch, ~values.is_in(self.allowed.implode()) & values.is_not_null(), counted=True)

    def findings(self, whole: Whole) -> Iterator[Finding]:
        """Other values."""
        found, column = self._found, self._column
        if found.count:
            before = whole.before.column(self.name, column.type) if whole.before is not None else None
            held = before is not None and before.known and set(before.known) <= {str(value) for value in column.one_of or ()}
            allowed = ", ".join(str(value) for value in (column.one_of or ())[:8]) + (", …" if len(column.one_of or ()) > 8 else "")
            what = f"values are not one of {allowed} ({found.shown()})"
            text = f"{self.name}: {found.count:,} of {whole.rows:,} {what}{found.changed(whole, 0 if held else None)}"
            yield found.finding("one_of", column.on_breach, text, count=found.count, of=whole.rows, values=found.named())


class Due:
    """Which rows are due: a value known `after` its row's time must be there once that lies no later than the newest time of all.

    Of rows that were not due in their own batch the times are kept: 8 bytes each.
    """

    def __init__(self, after: int) -> None:
        self.after = min(after, _LONGER)
        self.count = 0
        self._latest: Instant | None = None
        self._waiting: list[NDArray[np.int64]] = []

    def add(self, batch: Batch) -> None:
        """Take in a batch, before the columns that are known so late."""
        times, newest = batch.times, batch.newest
        if newest is not None:
            self._latest = newest if self._latest is None else max(newest, self._latest)
        if self.limit is None:
            return
        waiting = times.tail(batch.after(self.limit)) if batch.ordered else times.filter(times > self.limit)
        self.count += len(times) - times.null_count() - len(waiting)
        # a copy, so that the times of the others are not kept with them
        self._waiting = self._still([*self._waiting, waiting.to_numpy().copy()])

    @property
    def limit(self) -> Instant | None:
        """Rows of this time or earlier are due; None: there is no time yet."""
        return None if self._latest is None else self._latest - self.after

    def _still(self, waiting: list[NDArray[np.int64]]) -> list[NDArray[np.int64]]:
        kept = []
        for times in waiting:
            late = times > (self.limit or 0)
            self.count += int(len(times) - np.count_nonzero(late))
            if late.any():
                kept.append(times[late])
        return kept


class Nulls:
    """No greater share of values is missing than may be, among those that are due."""

    def __init__(self, dataset: Dataset, name: str, column: Column, due: Due | None) -> None:
        """due: shared by all columns known as late; None: every row is due."""
        self._name, self._column, self._due = name, column, due
        self._found = Breaches(dataset, name)
        self._nulls = 0
        self._waiting: list[tuple[NDArray[np.int64], NDArray[np.int64]]] = []

    def add(self, facts: Facts, batch: Batch) -> None:
        """Take in a batch."""
        if not facts[f"{self._name}/null"]:
            return
        if self._due is None and self._column.nulls:
            self._nulls += facts[f"{self._name}/null"]
            if len(self._found.examples) < EXAMPLES:
                self._found.rows(place + batch.start for place in _first(batch.frame[self._name]))
            return
        # without a time of its own a row is never due
        empty = batch.frame[self._name].is_null()
        rows = (empty if self._due is None else empty & batch.times.is_not_null()).arg_true()
        if self._due is None:
            self._nulls += len(rows)
            self._found.rows((rows.head(EXAMPLES) + batch.start).to_list())
            self._found.earlier(batch, rows)
        else:
            times = batch.times[rows].to_numpy()
            self._waiting.append((times, rows.to_numpy().astype(np.int64) + batch.start))
            self._settle()

    def _settle(self) -> None:
        """Count what has become due."""
        assert self._due is not None
        limit, kept = self._due.limit, []
        for times, rows in self._waiting:
            due = times <= (limit if limit is not None else -_LONGER)
            if due.any():
                self._nulls += int(np.count_nonzero(due))
                self._found.rows(rows[due][:EXAMPLES].tolist())
                self._found.at(int(times[due].min()))
            if not due.all():
                kept.append((times[~due], rows[~due]))
        self._waiting = kept

    def findings(self, whole: Whole) -> Iterator[Finding]:
        """Missing values."""
        if self._due is not None:
            self._settle()
        due = whole.rows if self._due is None else self._due.count
        if due and self._nulls > self._column.nulls * due:
            found = self._found
            stats = whole.before.stats.get(self._name) if whole.before is not None and self._due is None else None
            what = f"values are missing, at most {100 * self._column.nulls:g}% may be"
            changed = found.changed(whole, stats.nulls if stats is not None else None)
            text = f"{self._name}: {self._nulls:,} of {due:,} {what} ({found.shown()}){changed}"
            yield found.finding("nulls", self._column.on_breach, text, count=self._nulls, of=due)


def fix_missing(dataset: Dataset, finding: Finding) -> str:
    """What to do about values that are missing; empty where the finding is of something else."""
    column = dataset.columns.get(finding.column)
    if finding.rule != "nulls" or column is None or not finding.of:
        return ""
    share = math.ceil(100 * finding.count / finding.of)
    return f'give every row its value, or say how many may miss it: columns={{"{finding.column}": fb.column({column.type}, nulls="{share}%", …)}}'


def _first(series: pl.Series) -> list[int]:
    """The first rows without a value: most columns that may miss some do, and nobody asks which. A query costs more than a few values."""
    found: list[int] = []
    start, step = 0, 256
    while start < len(series) and len(found) < EXAMPLES:
        part = series.slice(start, step)
        if part.null_count():
            few = step <= 1_024
            places = [place for place, value in enumerate(part.to_list()) if value is None] if few else part.is_null().arg_true().to_list()
            found += [start + place for place in places[:EXAMPLES]]
        start, step = start + step, 2 * step
    return found[:EXAMPLES]
