"""What every rule of a contract has in common: a batch, what the one select told of it, then a closer look where a rule does not hold."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import numpy as np
import polars as pl

from flyball.clock import Instant, rfc3339
from flyball.data.cells import brief
from flyball.data.contract.lastgood import LastGood
from flyball.data.types import instants
from flyball.declare.data import Dataset
from flyball.records.data import Example, Finding, RuleName, Severity

EXAMPLES: Final = 3
NAMED: Final = 5
"""New or unknown values that are named; the others are counted."""

KEPT: Final = 10_000
"""Distinct values of which a count is kept while batches come in."""

NOT_SHOWN: Final = "not shown: the column is personal"

Facts = Mapping[str, Any]


class Batch:
    """Some consecutive rows of a source; the first of them is row `start` + 1.

    `times` are those of the data set's time column, in microseconds (empty: it has none). `ordered`: every row has one, none before the last.
    """

    def __init__(self, frame: pl.DataFrame, start: int, time: str) -> None:
        self.frame, self.start = frame, start
        self.times = frame[time].cast(pl.Datetime("us")).cast(pl.Int64) if time else pl.Series(dtype=pl.Int64)
        self.ordered = not self.times.null_count() and self.times.is_sorted()

    @property
    def newest(self) -> Instant | None:
        """The latest time; None: no row has one."""
        if self.ordered:
            return self.times[-1] if len(self.times) else None
        return self.times.max()  # type: ignore[return-value]

    def after(self, moment: Instant) -> int:
        """How many rows are later than `moment`."""
        if self.ordered:
            return len(self.times) - int(np.searchsorted(self.times.to_numpy(), moment, side="right"))
        return int((self.times > moment).sum())


@dataclass(frozen=True)
class Whole:
    """All rows, once they have been seen: how many, how many of them newer than the last good version, and that version."""

    rows: int
    new: int
    before: LastGood | None


def common(allowed: Sequence[pl.Series]) -> pl.Series:
    """The values that each of them holds."""
    first, *others = allowed
    for other in others:
        first = first.filter(first.is_in(other.implode()))
    return first


def outside(value: pl.Expr, known: pl.Series) -> pl.Expr:
    """Where a value is none of `known`, nulls included. Of text the hashes are compared: that takes a quarter of the time, and lets one
    value in 2^64 pass.
    """
    if known.dtype == pl.String:
        return ~value.hash().is_in(known.to_frame("known").select(pl.col("known").hash().implode()).to_series())
    return ~value.is_in(known.implode()).fill_null(value=False)


class Rule(Protocol):
    """One rule of a contract over all batches."""

    def add(self, facts: Facts, batch: Batch) -> None:
        """Take in a batch: what the select told of it, and its rows, which are looked at only where something does not hold."""
        ...

    def findings(self, whole: Whole) -> Iterator[Finding]:
        """What does not hold, all in all."""
        ...


@dataclass
class Breaches:
    """The rows that break one rule so far: how many, the first with three different values, and the earliest of their times."""

    dataset: Dataset
    column: str
    count: int = 0
    since: Instant | None = None
    examples: list[Example] = field(default_factory=list)
    values: dict[str, int] = field(default_factory=dict)
    _seen: list[Any] = field(default_factory=list)

    @property
    def personal(self) -> bool:
        """What is said goes into the ledger, where a person's values could not be erased."""
        return self.column in self.dataset.identifying

    def take(self, batch: Batch, wrong: pl.Series, *, counted: bool = False) -> None:
        """The rows of a batch that `wrong` marks; `counted`: how many have each value is kept too."""
        rows = wrong.arg_true()
        if not len(rows):
            return
        self.count += len(rows)
        self.earlier(batch, rows)
        if self.personal:
            self.rows((rows.head(EXAMPLES) + batch.start).to_list())
            return
        series = batch.frame[self.column][rows]
        if len(self.examples) < EXAMPLES:
            # at most three of the first six different values were there before
            firsts = pl.DataFrame({"value": series, "row": rows}).unique("value", maintain_order=True, keep="first").head(2 * EXAMPLES)
            for value, row in firsts.iter_rows():
                if len(self.examples) < EXAMPLES and value not in self._seen:
                    self._seen.append(value)
                    self.examples.append(Example(row=batch.start + row + 1, value=brief(value)))
        if counted:
            for value, count in series.cast(pl.String).alias("value").value_counts(sort=True).head(KEPT).iter_rows():
                if value in self.values or len(self.values) < KEPT:
                    self.values[value] = self.values.get(value, 0) + count

    def rows(self, places: Iterable[int]) -> None:
        """Rows, counted from 0, of which nothing else is shown; the first three are kept, in whatever order they come."""
        numbers = sorted({*(one.row for one in self.examples), *(place + 1 for place in places)})
        self.examples = [Example(row=number) for number in numbers[:EXAMPLES]]

    def earlier(self, batch: Batch, rows: pl.Series) -> None:
        """These rows of a batch break the rule: the earliest of their times counts."""
        if self.dataset.time:
            self.at(batch.frame[self.dataset.time][rows].to_frame("at").select(instants("at").min()).item())

    def at(self, moment: Instant | None) -> None:
        """A row of this time breaks the rule."""
        if moment is not None:
            self.since = moment if self.since is None else min(moment, self.since)

    def finding(self, rule: RuleName, severity: Severity, text: str, *, count: int, of: int, values: tuple[str, ...] = ()) -> Finding:
        """What is told of `count` of `of` rows that break a rule, with the examples; `values`: those that are named."""
        examples = tuple(self.examples)
        return Finding(rule=rule, severity=severity, text=text, column=self.column, count=count, of=of, examples=examples, values=values)

    def named(self) -> tuple[str, ...]:
        """The most frequent values, each with its count, as they are told."""
        ranked = sorted(self.values.items(), key=lambda item: (-item[1], item[0]))
        return tuple(f"{brief(value)} ({count:,})" for value, count in ranked[:NAMED])

    def listed(self) -> str:
        """The same as text, and how many more there are."""
        more = f", and {len(self.values) - NAMED:,} more" if len(self.values) > NAMED else ""
        return ", ".join(self.named()) + more

    def shown(self) -> str:
        """The examples as text."""
        told = [f"row {one.row:,}: {one.value}" if one.value else f"row {one.row:,}" for one in self.examples]
        return ", ".join([*told, NOT_SHOWN] if self.personal else told)

    def changed(self, whole: Whole, before: int | None) -> str:
        """What is different from the last good version, which had `before` such rows (None: it cannot be told)."""
        if whole.before is None or before is None:
            return ""
        since = f"; new since {rfc3339(self.since)[:10]}" if not before and self.since is not None else ""
        return f"; {before:,} in version {whole.before.version}{since}"
