"""Rules on times: none without rows for too long, none behind an earlier row of the source, none in the future."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from flyball.clock import Instant, Span, rfc3339
from flyball.data.contract.rule import EXAMPLES, Batch, Breaches, Facts, Whole
from flyball.declare.data import Dataset
from flyball.records.data import Finding, Severity

DAY: Final = 86_400_000_000
"""Times that lie more than this ahead are told where nothing is declared: a clock or a time zone is wrong."""

_PART: Final = 65_536
"""Times that are looked at at once: as many as fit into a processor's own memory."""

Times = NDArray[np.int64]


class Gap:
    """No two neighbours in time lie farther apart than `gap`.

    Kept are the stretches of time without a gap, each as its first and its last time: rows may come in any order.
    """

    def __init__(self, dataset: Dataset, gap: Span) -> None:
        self._dataset, self._gap = dataset, int(gap)
        self._starts = self._ends = np.empty(0, np.int64)
        self._rows = 0

    def add(self, facts: Facts, batch: Batch) -> None:  # noqa: ARG002 - one of the rules' common form
        """Take in a batch."""
        times = batch.times.to_numpy() if batch.ordered else np.sort(batch.times.drop_nulls().to_numpy())
        self._rows += len(times)
        if not len(times):
            return
        cut = np.concatenate([at + np.flatnonzero(np.diff(times[at : at + _PART + 1]) > self._gap) for at in range(0, len(times), _PART)])
        starts, ends = times[np.concatenate(([0], cut + 1))], times[np.concatenate((cut, [len(times) - 1]))]
        self._starts, self._ends = _merged(np.concatenate((self._starts, starts)), np.concatenate((self._ends, ends)), self._gap)

    def findings(self, whole: Whole) -> Iterator[Finding]:  # noqa: ARG002 - one of the rules' common form
        """The gaps that are too long, the longest first."""
        lengths = self._starts[1:] - self._ends[:-1]
        if not len(lengths):
            return
        longest = np.argsort(-lengths, kind="stable")[:EXAMPLES]
        told = [f"{rfc3339(int(self._ends[place]))} to {rfc3339(int(self._starts[place + 1]))}" for place in longest]
        limit, most = Span(self._gap), Span(int(lengths.max()))
        text = (
            f"{self._dataset.time}: {len(lengths):,} of {max(self._rows - 1, 1):,} steps are longer than {limit}, the longest {most.brief}"
            f" ({', '.join(told)})"
        )
        yield Finding(
            rule="gap",
            severity=self._dataset.on_breach,
            text=text,
            column=self._dataset.time,
            count=len(lengths),
            of=max(self._rows - 1, 1),
        )


def _merged(starts: Times, ends: Times, gap: int) -> tuple[Times, Times]:
    """Stretches of time, those that lie at most `gap` apart as one."""
    order = np.argsort(starts, kind="stable")
    starts, ends = starts[order], np.maximum.accumulate(ends[order])
    cut = np.flatnonzero(starts[1:] - ends[:-1] > gap)
    return starts[np.concatenate(([0], cut + 1))], ends[np.concatenate((cut, [len(ends) - 1]))]


class Disorder:
    """No row's time lies farther than `disorder` behind that of an earlier row of the source: a clock that went back."""

    def __init__(self, dataset: Dataset, disorder: Span) -> None:
        self._dataset, self._limit = dataset, int(disorder)
        self._found = Breaches(dataset, dataset.time)
        self._newest: Instant | None = None
        self._most = 0

    def add(self, facts: Facts, batch: Batch) -> None:  # noqa: ARG002 - one of the rules' common form
        """Take in a batch."""
        times = batch.times
        if batch.ordered and (not len(times) or self._newest is None or times[0] >= self._newest):
            self._newest = batch.newest if len(times) else self._newest
            return
        newest = times.cum_max().forward_fill()
        if self._newest is not None:
            newest = pl.select(pl.max_horizontal(newest, pl.lit(self._newest))).to_series()
        behind = newest - times
        self._most = max(self._most, int(behind.max() or 0))  # type: ignore[arg-type]
        self._found.take(batch, (behind > self._limit).fill_null(value=False))
        last = newest.max()
        self._newest = last if isinstance(last, int) else self._newest

    def findings(self, whole: Whole) -> Iterator[Finding]:
        """Rows that lie too far behind."""
        found = self._found
        if found.count:
            text = (
                f"{found.column}: {found.count:,} of {whole.rows:,} rows lie more than {Span(self._limit)} behind an earlier row of the source,"
                f" at most {Span(self._most).brief} ({found.shown()})"
            )
            yield found.finding("disorder", self._dataset.on_breach, text, count=found.count, of=whole.rows)


class Ahead:
    """No time lies farther than `ahead` beyond now. Where nothing is declared, more than a day is told."""

    def __init__(self, dataset: Dataset, now: Instant) -> None:
        self._dataset, self._limit = dataset, DAY if dataset.ahead is None else int(dataset.ahead)
        self._severity: Severity = "warn" if dataset.ahead is None else dataset.on_breach
        self._now = now
        self._found = Breaches(dataset, dataset.time)

    def add(self, facts: Facts, batch: Batch) -> None:  # noqa: ARG002 - one of the rules' common form
        """Take in a batch."""
        last = self._now + self._limit
        if batch.newest is not None and batch.newest > last:
            self._found.take(batch, (batch.times > last).fill_null(value=False))

    def findings(self, whole: Whole) -> Iterator[Finding]:
        """Times in the future."""
        found = self._found
        if found.count:
            text = (
                f"{found.column}: {found.count:,} of {whole.rows:,} rows lie more than {Span(self._limit)} ahead of now, {rfc3339(self._now)}"
                f" ({found.shown()})"
            )
            yield found.finding("ahead", self._severity, text, count=found.count, of=whole.rows)
