"""The columns a data set really has, in order, and their Polars types: one answer for reading, contracts and features."""

from __future__ import annotations

from typing import Final

import polars as pl

from flyball.clock import Instant
from flyball.declare.columns import Column
from flyball.declare.data import Dataset
from flyball.errors import DeclarationError
from flyball.records.models import FieldType

DTYPES: Final[dict[FieldType, pl.DataType]] = {
    "int": pl.Int64(),
    "float": pl.Float64(),
    "bool": pl.Boolean(),
    "str": pl.String(),
    "time": pl.Datetime("us"),
}
"""Times are naive UTC, whole microseconds."""


def schema(dataset: Dataset) -> dict[str, FieldType]:
    """Every column read and its type: the declared columns in order, then time, arrival, id and subject where they are not declared."""
    times = {dataset.time, dataset.arrived}
    return {name: "time" if name in times else dataset.columns[name].type if name in dataset.columns else "str" for name in dataset.names}


def empty(dataset: Dataset) -> pl.DataFrame:
    """No rows of a data set, in the columns of `schema`."""
    return pl.DataFrame(schema={name: DTYPES[type_] for name, type_ in schema(dataset).items()})


def instants(name: str) -> pl.Expr:
    """A time column as whole microseconds since 1970 (i64)."""
    return pl.col(name).cast(pl.Datetime("us")).cast(pl.Int64)


def arrivals(dataset: Dataset) -> pl.Expr:
    """When each row of a data set with times arrived (i64 µs): at its time where it does not say."""
    time = instants(dataset.time)
    return pl.coalesce(instants(dataset.arrived), time) if dataset.arrived else time


def micros(times: pl.Series) -> pl.Series:
    """Times as whole microseconds since 1970 (i64)."""
    return times.cast(pl.Datetime("us")).cast(pl.Int64)


def epoch(frame: pl.DataFrame, name: str) -> tuple[Instant, Instant]:
    """The earliest and latest moment of a time column; 0 and 0 of a frame without rows."""
    low, high = frame.select(instants(name).min().alias("low"), instants(name).max().alias("high")).row(0)
    return (low or 0, high or 0)


def column(dataset: Dataset, name: str) -> Column:
    """The declaration of a column, of an undeclared id, subject or time as well. Raises DeclarationError on any other name."""
    if name in dataset.columns:
        return dataset.columns[name]
    types = schema(dataset)
    if name not in types:
        raise DeclarationError(
            f'"{name}" is not a column of data set "{dataset.name}"',
            why="only declared columns are ever read",
            fix=f"columns: {', '.join(types)}",
        )
    return Column(types[name])
