"""A data set's contract, compiled to one Polars select; a second one looks up examples only where something does not hold."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import polars as pl

from flyball.clock import FARTHEST
from flyball.data.cells import brief
from flyball.declare.columns import Column, Value
from flyball.declare.data import Dataset

EXAMPLES = 3
_LONGER = 2 * FARTHEST + 1
"""Microseconds that no two times lie apart."""


@dataclass(frozen=True)
class Finding:
    """One rule that does not hold, and whether it stops the data (`block`) or is only said (`warn`)."""

    text: str
    severity: Literal["block", "warn"]


def violations(dataset: Dataset, frame: pl.DataFrame) -> tuple[str, ...]:
    """What stops `frame` (as `source.read` gives it) from being used: every rule, with counts and up to three values."""
    return tuple(found.text for found in findings(dataset, frame) if found.severity == "block")


def warnings(dataset: Dataset, frame: pl.DataFrame) -> tuple[str, ...]:
    """What does not hold of columns that are declared `on_breach="warn"`."""
    return tuple(found.text for found in findings(dataset, frame) if found.severity == "warn")


def findings(dataset: Dataset, frame: pl.DataFrame) -> list[Finding]:
    """Every rule that does not hold. A null counts only once the column's value is due: time + known_after ≤ the newest time."""
    facts: dict[str, Any] = frame.select(_measures(dataset)).row(0, named=True)
    found = [Finding(text, "block") for text in _whole(dataset, facts)]
    for name, column in dataset.columns.items():
        examples = _none if name in dataset.identifying else _examples
        found += [Finding(text, column.on_breach) for text in _of_column(name, column, frame, facts, examples)]
    return found


def _due(dataset: Dataset, column: Column) -> pl.Expr | None:
    """The rows whose value must be there by now; None: all of them."""
    if not dataset.time or column.known_after <= 0:
        return None
    time = pl.col(dataset.time)
    return time + pl.duration(microseconds=min(int(column.known_after), _LONGER)) <= time.max()


def _measures(dataset: Dataset) -> Iterator[pl.Expr]:
    yield pl.len().alias("rows")
    if dataset.time:
        yield pl.col(dataset.time).null_count().alias("time")
    if dataset.unique:
        key = pl.col(dataset.unique[0]) if len(dataset.unique) == 1 else pl.struct(dataset.unique)
        yield key.n_unique().alias("unique")
    for name, column in dataset.columns.items():
        value = pl.col(name)
        due = _due(dataset, column)
        yield (value.null_count() if due is None else (value.is_null() & due).sum()).alias(f"{name}/nulls")
        yield (pl.len() if due is None else due.sum()).alias(f"{name}/due")
        if column.between is not None:
            yield value.min().alias(f"{name}/low")
            yield value.max().alias(f"{name}/high")
        if column.one_of is not None:
            yield (~value.is_in(_options(column))).sum().alias(f"{name}/others")


def _whole(dataset: Dataset, facts: dict[str, Any]) -> Iterator[str]:
    rows = facts["rows"]
    if rows < dataset.min_rows:
        yield f"{rows:,} rows, at least {dataset.min_rows:,} are required"
    if dataset.time and facts["time"]:
        yield f"{dataset.time}: {facts['time']:,} of {rows:,} rows have no time"
    if dataset.unique and facts["unique"] < rows:
        yield f"{', '.join(dataset.unique)}: must be unique, {rows - facts['unique']:,} of {rows:,} rows repeat another"


def _of_column(
    name: str, column: Column, frame: pl.DataFrame, facts: dict[str, Any], examples: Callable[[pl.Series], str]
) -> Iterator[str]:
    nulls, due = facts[f"{name}/nulls"], facts[f"{name}/due"]
    if due and nulls > column.nulls * due:
        yield f"{name}: {nulls:,} of {due:,} values are missing, at most {100 * column.nulls:g}% may be"
    if column.between is not None:
        low, high = column.between
        least, most = facts[f"{name}/low"], facts[f"{name}/high"]
        if least is not None and (least < low or most > high):
            outside = frame[name].filter(~frame[name].is_between(low, high))
            yield f"{name}: {len(outside):,} of {frame.height:,} values are not between {low:g} and {high:g} ({examples(outside)})"
    if column.one_of is not None and facts[f"{name}/others"]:
        others = frame[name].filter(~frame[name].is_in(_options(column)))
        allowed = ", ".join(str(value) for value in column.one_of[:8]) + (", …" if len(column.one_of) > 8 else "")
        yield f"{name}: {len(others):,} of {frame.height:,} values are not one of {allowed} ({examples(others)})"


def _options(column: Column) -> list[Value]:
    """The allowed values that a column can hold: no 64 bits hold a greater whole number."""
    return [value for value in column.one_of or () if not isinstance(value, int) or -(2**63) <= value < 2**63]


def _none(_values: pl.Series) -> str:
    """What is said goes into the ledger, where a person's values could not be erased."""
    return "not shown: the column is personal"


def _examples(values: pl.Series) -> str:
    return ", ".join(brief(value) for value in values.unique(maintain_order=True).head(EXAMPLES))
