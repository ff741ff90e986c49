"""A contract, compiled to one Polars select per batch; rows are looked at more closely only where something does not hold."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any, Final

import polars as pl

from flyball.clock import Instant
from flyball.data.baseline import MOST_KNOWN, Sample, compared
from flyball.data.contract.lastgood import LastGood
from flyball.data.contract.rows import Between, Due, Nulls, OneOf
from flyball.data.contract.rule import Batch, Facts, Rule, Whole, common, outside
from flyball.data.contract.sets import Again, MinRows, References, Timed, Unique
from flyball.data.contract.shifts import Shift, Unseen
from flyball.data.contract.times import Ahead, Disorder, Gap
from flyball.declare.data import Dataset
from flyball.records.data import Finding

_PART: Final = 262_144
"""Rows that the select looks at at once: a column's are still in the processor's memory when it is looked at again."""


class Checker:
    """All rules of a data set's contract over batches of its rows, in the source's order: what they come to does not depend on the batches.

    Memory: 8 bytes a row where keys must be unique, 8 bytes for every row whose late values are not due yet, and a sample of rows.
    """

    def __init__(
        self,
        dataset: Dataset,
        *,
        baseline: LastGood | None = None,
        now: Instant | None = None,
        known: Mapping[str, pl.Series] | None = None,
        again: Again | None = None,
    ) -> None:
        """baseline: the last good version (None: there is none). now: without it no time is too far ahead. known: column → the values that
        `references` finds for it; a column that is not in it is told. again: gives the batches once more, to look at keys that seem alike.
        """
        self._dataset, self._before = dataset, baseline
        self._compared = compared(dataset)
        self._rows, self._new = 0, 0
        self._dues: dict[int, Due] = {}
        self._shifts: dict[str, Shift] = {}
        self._rules: list[Rule] = [*self._of_set(known or {}, again), *self._of_times(now)]
        self._by_column = {name: list(self._of_column(name)) for name in dataset.columns}
        self._sample = Sample(list(self._shifts))
        self._select = list(self._measures())

    def add(self, frame: pl.DataFrame) -> None:
        """Take in the next rows, as `source.read` gives them."""
        facts = self._facts(frame)
        batch = Batch(frame, self._rows, self._dataset.time)
        self._rows += frame.height
        if self._before is not None and self._before.last:
            self._new += batch.after(self._before.last)
        for due in self._dues.values():
            due.add(batch)
        for rule in self._all():
            rule.add(facts, batch)
        if self._shifts:
            self._sample.add(frame)

    def findings(self) -> list[Finding]:
        """Every rule that does not hold for the rows so far: those of the whole set first, then column by column."""
        whole = Whole(self._rows, self._new, self._before)
        found = [finding for rule in self._rules for finding in rule.findings(whole)]
        sampled = self._sample.frame()
        for name, rules in self._by_column.items():
            found += [finding for rule in rules for finding in rule.findings(whole)]
            if name in self._shifts and (moved := self._shifts[name].finding(sampled[name], whole)) is not None:
                found.append(moved)
        return found

    def _all(self) -> Iterator[Rule]:
        yield from self._rules
        for rules in self._by_column.values():
            yield from rules

    def _facts(self, frame: pl.DataFrame) -> Facts:
        """What the select tells of some rows, a part of them at a time."""
        parts = [frame.slice(start, _PART).select(self._select).row(0, named=True) for start in range(0, max(frame.height, 1), _PART)]
        if len(parts) == 1:
            return parts[0]
        return {name: _joined(name, [part[name] for part in parts if part[name] is not None]) for name in parts[0]}

    def _measures(self) -> Iterator[pl.Expr]:
        """Of each column how many are null; its least and its greatest value, if it has a range; and if rules say which values there may be,
        how many, nulls included, are not among those that all of them allow.
        """
        names, listed = self._dataset.names, defaultdict[str, list[pl.Series]](list)
        for rule in self._all():
            if isinstance(rule, OneOf | References | Unseen) and rule.allowed is not None:
                listed[rule.name].append(rule.allowed)
        ranged = [name for name, column in self._dataset.columns.items() if column.between is not None]
        yield pl.col(names).null_count().name.suffix("/null")
        for name in ranged:
            yield pl.col(name).min().alias(f"{name}/low")
            yield pl.col(name).max().alias(f"{name}/high")
        for name, allowed in listed.items():
            yield outside(pl.col(name), common(allowed)).sum().alias(f"{name}/others")

    def _of_set(self, known: Mapping[str, pl.Series], again: Again | None) -> Iterator[Rule]:
        dataset = self._dataset
        if dataset.min_rows:
            yield MinRows(dataset)
        if dataset.time:
            yield Timed(dataset)
        if dataset.unique:
            yield Unique(dataset, again)
        for name, key in dataset.references.items():
            yield References(dataset, name, key, known.get(name))

    def _of_times(self, now: Instant | None) -> Iterator[Rule]:
        dataset = self._dataset
        if not dataset.time:
            return
        if dataset.gap is not None:
            yield Gap(dataset, dataset.gap)
        if dataset.disorder is not None:
            yield Disorder(dataset, dataset.disorder)
        # a data set whose columns are known ahead of time, such as a forecast, has rows of times to come
        early = any(column.known_after < 0 for column in dataset.columns.values())
        if now is not None and (dataset.ahead is not None or not early):
            yield Ahead(dataset, now)

    def _of_column(self, name: str) -> Iterator[Rule]:
        dataset, column = self._dataset, self._dataset.columns[name]
        due = None
        if dataset.time and column.known_after > 0:
            due = self._dues.setdefault(int(column.known_after), Due(int(column.known_after)))
        yield Nulls(dataset, name, column, due)
        if column.between is not None:
            yield Between(dataset, name, column)
        if column.one_of is not None:
            yield OneOf(dataset, name, column)
        before = self._before.column(name, column.type) if self._before is not None and name in self._compared else None
        if self._before is None or before is None:
            return
        # one_of says already which values there may be
        few = 0 < len(before.known) <= MOST_KNOWN and column.type == "str" and column.one_of is None
        if few or (column.unseen is not None and before.bins.known):
            yield Unseen(dataset, name, column, before, self._before.last if dataset.time else 0)
        self._shifts[name] = Shift(name, column, before)


def _joined(name: str, values: list[Any]) -> Any:
    if name.endswith("/low"):
        return min(values, default=None)
    return max(values, default=None) if name.endswith("/high") else sum(values)


def findings(dataset: Dataset, frame: pl.DataFrame) -> list[Finding]:
    """Every rule that does not hold of a whole data set, but for those against an earlier version, another data set or the clock."""
    checker = Checker(dataset)
    checker.add(frame)
    return checker.findings()


def violations(dataset: Dataset, frame: pl.DataFrame) -> tuple[str, ...]:
    """What stops `frame` (as `source.read` gives it) from being used: every rule, with counts and up to three rows."""
    return tuple(found.text for found in findings(dataset, frame) if found.severity == "block")


def warnings(dataset: Dataset, frame: pl.DataFrame) -> tuple[str, ...]:
    """What does not hold of rules that are declared `on_breach="warn"`."""
    return tuple(found.text for found in findings(dataset, frame) if found.severity == "warn")
