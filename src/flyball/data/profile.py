"""Statistics of a data set version, chunk by chunk: what chunks say adds up."""

from __future__ import annotations

import math
from typing import Final

import polars as pl

from flyball.data.types import schema
from flyball.declare.data import Dataset
from flyball.records.data import ColumnStats
from flyball.records.models import FieldType

COUNTED: Final = 2**14
"""Distinct values of a column that are counted one by one; where there are more, their number is estimated."""

HELD: Final = 2**21
"""Hashes that are held for all columns together: of many columns, each gets less than `COUNTED`."""


def profile(dataset: Dataset, frame: pl.DataFrame) -> tuple[ColumnStats, ...]:
    """The statistics of a frame."""
    made = Profile(dataset)
    made.add(frame)
    return made.stats()


class Profile:
    """Nulls, distinct values (missing is none), and low, high and mean of numbers and bools, for every column.

    Of columns that say who a row is of (id, subject, personal ones) no value is told: what stands in the ledger cannot be erased.
    """

    def __init__(self, dataset: Dataset) -> None:
        self._types = schema(dataset)
        self._told = [name for name, kind in self._types.items() if kind in {"int", "float", "bool"} and name not in dataset.identifying]
        counted = max(1024, min(COUNTED, HELD // max(len(self._types), 1)))
        self._distinct = {name: Distinct(counted) for name in self._types}
        self._nulls = dict.fromkeys(self._types, 0)
        self._numbers: dict[str, list[tuple[int, float, float, float]]] = {name: [] for name in self._told}

    def add(self, frame: pl.DataFrame) -> None:
        """Some more rows."""
        wanted: list[pl.Expr] = []
        for name, seen in self._distinct.items():
            wanted += [pl.col(name).null_count().alias(f"{name}/nulls"), seen.of(pl.col(name)).implode().alias(f"{name}/distinct")]
        for name in self._told:
            number = pl.col(name).cast(pl.Float64)
            wanted += [number.min().alias(f"{name}/low"), number.max().alias(f"{name}/high"), number.mean().alias(f"{name}/mean")]
        facts = frame.select(wanted)
        for name, seen in self._distinct.items():
            self._nulls[name] += facts[f"{name}/nulls"][0]
            seen.add(facts[f"{name}/distinct"][0])
        for name, parts in self._numbers.items():
            count = frame.height - facts[f"{name}/nulls"][0]
            if count:
                mean = _mean(frame[name], facts[f"{name}/mean"][0])
                parts.append((count, facts[f"{name}/low"][0], facts[f"{name}/high"][0], mean))

    def stats(self) -> tuple[ColumnStats, ...]:
        """What was seen."""
        return tuple(self._column(name, kind) for name, kind in self._types.items())

    def _column(self, name: str, kind: FieldType) -> ColumnStats:
        distinct, estimated = self._distinct[name].count()
        parts = self._numbers.get(name)
        if not parts:
            return ColumnStats(name=name, dtype=kind, nulls=self._nulls[name], distinct=distinct, estimated=estimated)
        rows = sum(count for count, *_ in parts)
        return ColumnStats(
            name=name,
            dtype=kind,
            nulls=self._nulls[name],
            distinct=distinct,
            estimated=estimated,
            low=min(low for _, low, _, _ in parts),
            high=max(high for _, _, high, _ in parts),
            mean=parts[0][3] if len(parts) == 1 else math.fsum(mean * (count / rows) for count, _, _, mean in parts),
        )


def _mean(values: pl.Series, quick: float) -> float:
    """The mean, of numbers too large to be summed as well: an event holds finite numbers only."""
    if math.isfinite(quick):
        return quick
    return float((values.cast(pl.Float64) / values.count()).sum())


class Distinct:
    """How many values are distinct: exact up to `most`, else from how dense the `most` smallest hashes lie (error about 1/√most).

    Z. Bar-Yossef et al., "Counting distinct elements in a data stream", RANDOM 2002; the estimate is K. Beyer et al., SIGMOD 2007.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._least = pl.Series(dtype=pl.UInt64)
        self._new: list[pl.Series] = []
        self._waiting = 0
        self._full = False

    def of(self, column: pl.Expr) -> pl.Expr:
        """What `add` is to be given of a column. Missing values are none."""
        found = column.drop_nulls().hash(seed=0)
        return (found.filter(found < int(self._least[-1])) if self._full else found).unique()

    def add(self, hashes: pl.Series) -> None:
        """The hashes of some more values."""
        self._new.append(hashes)
        self._waiting += len(hashes)
        # sorting is what costs, so it is done once in a while
        if self._waiting > self._most:
            self._settle()

    def _settle(self) -> None:
        self._least = pl.concat([self._least, *(new.alias("") for new in self._new)]).unique().sort()
        self._new, self._waiting = [], 0
        if len(self._least) > self._most:
            self._least, self._full = self._least.head(self._most), True

    def count(self) -> tuple[int, bool]:
        """Their number, and whether it is an estimate."""
        self._settle()
        if not self._full:
            return len(self._least), False
        return round((self._most - 1) / (float(self._least[-1]) / 2**64)), True
