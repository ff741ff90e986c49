"""Statistics of a data set version, one pass over the frame."""

from __future__ import annotations

import math

import polars as pl

from flyball.data.types import schema
from flyball.declare.data import Dataset
from flyball.records.data import ColumnStats


def profile(dataset: Dataset, frame: pl.DataFrame) -> tuple[ColumnStats, ...]:
    """Nulls, distinct values (missing is none), and low, high and mean of numbers and bools, for every column of `frame`.

    Of columns that say who a row is of (id, subject, personal ones) no value is told: what stands in the ledger cannot be erased.
    """
    types = schema(dataset)
    wanted: list[pl.Expr] = []
    for name, type_ in types.items():
        value = pl.col(name)
        wanted += [value.null_count().alias(f"{name}/nulls"), value.drop_nulls().n_unique().alias(f"{name}/distinct")]
        if type_ in {"int", "float", "bool"} and name not in dataset.identifying:
            number = value.cast(pl.Float64)
            wanted += [number.min().alias(f"{name}/low"), number.max().alias(f"{name}/high"), number.mean().alias(f"{name}/mean")]
    facts = frame.select(wanted).row(0, named=True)
    return tuple(
        ColumnStats(
            name=name,
            dtype=type_,
            nulls=facts[f"{name}/nulls"],
            distinct=facts[f"{name}/distinct"],
            low=facts.get(f"{name}/low"),
            high=facts.get(f"{name}/high"),
            mean=_mean(frame[name], facts.get(f"{name}/mean")),
        )
        for name, type_ in types.items()
    )


def _mean(values: pl.Series, quick: float | None) -> float | None:
    """The mean, of numbers too large to be summed as well: an event holds finite numbers only."""
    if quick is None or math.isfinite(quick):
        return quick
    return float((values.cast(pl.Float64) / values.count()).sum())
