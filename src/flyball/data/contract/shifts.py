"""Rules against the last good version: values that it never had, and mass that has moved to other values.

A share is told less what chance alone gives, and only with evidence (docs/statistics.md §2): few rows say nothing. Unseen values are
looked for among all rows and among those newer than the version, where they show first; the shift is of all rows, since the newest
few differ from a year's by the time of day alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np
import polars as pl

from flyball.data.baseline import ColumnBaseline, counted, numbers
from flyball.data.contract.rule import Batch, Breaches, Facts, Whole
from flyball.declare.columns import Column
from flyball.declare.data import Dataset
from flyball.records.data import Finding
from flyball.records.evidence import Bins
from flyball.stats import cells
from flyball.stats.cells import Counts
from flyball.stats.drift import share_p

UNSEEN: Final = 0.01
"""From this share of rows on unseen values are told where nothing is declared."""

SHIFT: Final = 0.20
"""From this share on moved mass is told where nothing is declared."""

EVIDENCE: Final = 0.01
"""The largest p at which unseen values are more than the baseline's own rare ones let expect."""

CERTAIN: Final = 1e-4
"""By this chance at most a shift is told that is none."""


class Unseen:
    """No greater share of rows than may be has a value that the last good version never had."""

    def __init__(self, dataset: Dataset, name: str, column: Column, before: ColumnBaseline, last: int) -> None:
        """last: the newest time of the version; rows after it are new."""
        self.name, self._column, self._before, self._last = name, column, before, last
        self.allowed = _typed(before.known, column) if before.known else None
        self._hashes = frozenset(before.bins.known)
        self._found = Breaches(dataset, name)
        self._new = 0

    def add(self, facts: Facts, batch: Batch) -> None:
        """Take in a batch."""
        values = batch.frame[self.name]
        if self.allowed is not None:
            if facts[f"{self.name}/others"] <= facts[f"{self.name}/null"]:
                return
            wrong = ~values.is_in(self.allowed.implode())
        else:
            strangers = [value for value in counted(values) if cells.value_hash(value) not in self._hashes]
            wrong = values.cast(pl.String).is_in(strangers)
        wrong = (wrong & values.is_not_null()).fill_null(value=False)
        self._found.take(batch, wrong, counted=True)
        if self._last:
            self._new += int((wrong & (batch.times > self._last)).sum())

    def findings(self, whole: Whole) -> Iterator[Finding]:
        """Unseen values, by name."""
        found, declared = self._found, self._column.unseen
        if not found.count or whole.before is None:
            return
        of_all, of_new = self._share(found.count, whole.rows), self._share(self._new, whole.new)
        most = UNSEEN if declared is None else declared
        broken = [
            share > most or (share == most and declared is None)
            for share in (of_all if declared is None else found.count / whole.rows, of_new)
        ]
        if not any(broken):
            return
        count, of, rows = (self._new, whole.new, "new rows") if of_new > of_all else (found.count, whole.rows, "rows")
        text = f"{self.name}: {count:,} of {of:,} {rows} have a value that was never there: {found.listed()}{found.changed(whole, 0)}"
        yield found.finding(
            "unseen", "warn" if declared is None else self._column.on_breach, text, count=count, of=of, values=found.named()
        )

    def _share(self, count: int, rows: int) -> float:
        """The share beyond the one that the baseline's own rare values let expect (Good–Turing); 0 without evidence."""
        bins = self._before.bins
        known = bins.n - bins.nulls
        if not count or not known:
            return 0.0
        phi = 1 + 2 * bins.twice / bins.once if bins.once else 1.0
        if share_p(count, rows, bins.once, known, phi) > EVIDENCE:
            return 0.0
        return max(0.0, count / rows - bins.once / known)


def _typed(known: tuple[str, ...], column: Column) -> pl.Series:
    return pl.Series(known, dtype=pl.String).cast(pl.Int64) if column.type == "int" else pl.Series(known, dtype=pl.String)


class Shift:
    """No greater share of a column's values than may be has moved to others: half the sum of the differences of all cells' shares."""

    def __init__(self, name: str, column: Column, before: ColumnBaseline) -> None:
        self._name, self._column, self._bins = name, column, before.bins
        self._edges, self._theirs = _tenths(before.bins)

    def finding(self, sampled: pl.Series, whole: Whole) -> Finding | None:
        """What has moved, of the sampled rows against the baseline; None where it is nothing that counts."""
        bins, declared = self._bins, self._column.shift
        edges, theirs = self._edges, self._theirs
        if bins.kind == "numeric":
            ours = cells.assign_numeric(edges, numbers(sampled)).cells
        else:
            values = counted(sampled)
            totals = np.fromiter(values.values(), np.int64, len(values))
            ours = cells.assign_categorical(bins.values, (), list(values), totals).cells
        n, known = int(ours.sum()), int(theirs.sum())
        moved = beyond_chance(ours, theirs)
        if whole.before is None or moved is None or not (moved > declared if declared is not None else moved >= SHIFT):
            return None
        gained = ours / n - theirs / known
        cell = int(np.argmax(gained))
        name = cells.cell_name(Bins(column=bins.column, kind=bins.kind, edges=tuple(edges), values=bins.values), cell)
        text = (
            f"{self._name}: {moved:.0%} of the values have moved since version {whole.before.version}, most of them to {name}"
            f" ({theirs[cell] / known:.0%} → {ours[cell] / n:.0%})"
        )
        return Finding(
            rule="shift",
            severity="warn" if declared is None else self._column.on_breach,
            text=text,
            column=self._name,
            count=round(moved * whole.rows),
            of=whole.rows,
        )


def _tenths(bins: Bins) -> tuple[list[float], Counts]:
    """The test cells of a column: of numbers, runs of bins that hold about a tenth each, as their inner edges; and the reference's counts."""
    counts = np.asarray(bins.counts, dtype=np.int64)
    if bins.kind == "categorical":
        return [], counts
    labels = cells.merge_bins(counts)
    ends = np.flatnonzero(labels[1:] != labels[:-1])
    starts = np.concatenate(([0], ends + 1))
    return [bins.edges[end] for end in ends], np.add.reduceat(counts, starts)


def beyond_chance(ours: Counts, theirs: Counts) -> float | None:
    """The total variation between two rows of counts, less its mean where nothing has moved; None where chance may explain it.

    By McDiarmid's inequality the distance exceeds its mean by t with a chance of exp(−2t²/(1/n + 1/N)) at most.
    """
    n, known = int(ours.sum()), int(theirs.sum())
    if not n or not known:
        return None
    each = 1 / n + 1 / known
    pooled = (ours + theirs) / (n + known)
    mean = 0.5 * float(np.sqrt(2 / np.pi * pooled * (1 - pooled) * each).sum())
    moved = 0.5 * float(np.abs(ours / n - theirs / known).sum()) - mean
    return moved if moved > float(np.sqrt(-np.log(CERTAIN) * each / 2)) else None
