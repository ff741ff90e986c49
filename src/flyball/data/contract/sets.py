"""Rules on all rows together: how many there are, that each has a time, that keys are unique, and that values are found elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import numpy as np
import polars as pl
from numpy.typing import NDArray

from flyball.data.contract.rule import EXAMPLES, Batch, Breaches, Facts, Whole
from flyball.declare.data import Dataset, ForeignKey
from flyball.records.data import Example, Finding

Again = Callable[[], Iterable[pl.DataFrame]]
"""The batches once more, in the same order."""

Hashes = NDArray[np.uint64]


class MinRows:
    """There are at least so many rows."""

    def __init__(self, dataset: Dataset) -> None:
        self._dataset = dataset

    def add(self, facts: Facts, batch: Batch) -> None:
        """Nothing to keep."""

    def findings(self, whole: Whole) -> Iterator[Finding]:
        """Too few rows."""
        if whole.rows < self._dataset.min_rows:
            before = f"; {whole.before.rows:,} in version {whole.before.version}" if whole.before is not None else ""
            text = f"{whole.rows:,} rows, at least {self._dataset.min_rows:,} are required{before}"
            yield Finding(rule="min_rows", severity=self._dataset.on_breach, text=text, count=whole.rows, of=self._dataset.min_rows)


class Timed:
    """Every row has a time. It always blocks: without its time a row can be put nowhere."""

    def __init__(self, dataset: Dataset) -> None:
        self._found = Breaches(dataset, dataset.time)

    def add(self, facts: Facts, batch: Batch) -> None:
        """Take in a batch."""
        if facts[f"{self._found.column}/null"]:
            rows = batch.frame[self._found.column].is_null().arg_true()
            self._found.count += len(rows)
            self._found.rows((rows.head(EXAMPLES) + batch.start).to_list())

    def findings(self, whole: Whole) -> Iterator[Finding]:
        """Rows without a time."""
        found = self._found
        if found.count:
            text = f"{found.column}: {found.count:,} of {whole.rows:,} rows have no time ({found.shown()})"
            yield found.finding("time", "block", text, count=found.count, of=whole.rows)


class Unique:
    """No two rows have the same key. 8 bytes of each row's key are kept; only where two are alike are the keys themselves looked at."""

    def __init__(self, dataset: Dataset, again: Again | None) -> None:
        """again: gives all batches once more; without it only the keys of a single batch can be looked at, and two different keys of several
        batches count as one by a chance of 1 in 2^64 for each pair.
        """
        self._dataset, self._again = dataset, again
        self._hashes: list[Hashes] = []
        self._only: pl.DataFrame | None = None

    def add(self, facts: Facts, batch: Batch) -> None:  # noqa: ARG002 - one of the rules' common form
        """Take in a batch."""
        keys = batch.frame.select(self._dataset.unique)
        self._only = None if self._hashes else keys
        self._hashes.append((keys.hash_rows() if keys.width > 1 else keys.to_series().hash()).to_numpy())

    def findings(self, whole: Whole) -> Iterator[Finding]:
        """Rows whose key an earlier row has."""
        repeats = self._repeats()
        if repeats:
            name = ", ".join(self._dataset.unique)
            shown = ", ".join(f"row {row + 1:,} repeats row {first + 1:,}" for row, first in repeats[:EXAMPLES])
            yield Finding(
                rule="unique",
                severity=self._dataset.on_breach,
                text=f"{name}: must be unique, {len(repeats):,} of {whole.rows:,} rows repeat another ({shown})",
                column=name,
                count=len(repeats),
                of=whole.rows,
                examples=tuple(Example(row=row + 1) for row, _ in repeats[:EXAMPLES]),
            )

    def _repeats(self) -> list[tuple[int, int]]:
        """Rows that repeat the key of an earlier one, and the first that had it, counted from 0."""
        hashes = self._hashes[0] if len(self._hashes) == 1 else np.concatenate([np.empty(0, np.uint64), *self._hashes])
        rows = pl.Series(_alike(hashes), dtype=pl.UInt32)
        if not len(rows):
            return []
        keys = self._keys(rows, len(hashes))
        table = (keys if keys is not None else pl.DataFrame({"key": hashes[rows.to_numpy()]})).with_columns(rows.alias("row of the source"))
        names = [name for name in table.columns if name != "row of the source"]
        first = pl.col("row of the source").min().over(names).alias("first of its key")
        found = table.select("row of the source", first).filter(pl.col("row of the source") != pl.col("first of its key"))
        return [(int(row), int(first)) for row, first in found.sort("row of the source").iter_rows()]

    def _keys(self, rows: pl.Series, count: int) -> pl.DataFrame | None:
        """The keys of rows; None where they are gone."""
        if self._only is not None:
            return self._only[rows]
        if self._again is None:
            return None
        start, found = 0, []
        for frame in self._again():
            inside = rows.filter((rows >= start) & (rows < start + frame.height)) - start
            found.append(frame.select(self._dataset.unique)[inside])
            start += frame.height
        # another source by now: what was seen counts
        return pl.concat(found) if start == count else None


def _alike(hashes: Hashes) -> NDArray[np.int64]:
    """The rows whose hash another row has too, in order.

    Half of the bits are sorted, in half of the time; where those are alike, a few rows are looked at with all.
    """
    half = hashes.view(np.uint32)[1::2]
    ordered = np.sort(half)
    twice = ordered[1:][ordered[1:] == ordered[:-1]]
    marked = np.zeros(1 << 16, dtype=bool)
    marked[twice >> np.uint32(16)] = True
    rows = np.flatnonzero(marked.take(half >> np.uint32(16)))
    _, where, counts = np.unique(hashes[rows], return_inverse=True, return_counts=True)
    found: NDArray[np.int64] = rows[counts[where] > 1]
    return found


class References:
    """Every value of a column is found in a column of another data set. Missing values are found everywhere."""

    def __init__(self, dataset: Dataset, name: str, key: ForeignKey, known: pl.Series | None) -> None:
        """known: the values that there are; None: nobody knows them yet."""
        self._dataset, self.name, self._key = dataset, name, key
        self.allowed = None if known is None else known.drop_nulls().unique()
        self._found = Breaches(dataset, name)

    def add(self, facts: Facts, batch: Batch) -> None:
        """Take in a batch."""
        if self.allowed is not None and facts[f"{self.name}/others"] > facts[f"{self.name}/null"]:
            values = batch.frame[self.name]
            self._found.take(batch, ~values.is_in(self.allowed.implode()) & values.is_not_null(), counted=True)

    def findings(self, whole: Whole) -> Iterator[Finding]:
        """Values that are found nowhere, the most frequent ones by name."""
        place = f"{self._key.data.name}.{self._key.column}"
        found = self._found
        if self.allowed is None:
            text = f"{self.name}: nothing is known of {place}, where its values must be found"
            yield Finding(rule="references", severity=self._dataset.on_breach, text=text, column=self.name, of=whole.rows)
        elif found.count:
            told = f": {found.listed()}" if found.values else ""
            text = f"{self.name}: {found.count:,} of {whole.rows:,} values are not in {place}{told} ({found.shown()})"
            yield found.finding("references", self._dataset.on_breach, text, count=found.count, of=whole.rows, values=found.named())
