"""Rows to try transforms and views on: from the data set's source, or made up from its contract where there is none yet."""

from __future__ import annotations

import random
from contextlib import suppress
from pathlib import Path
from typing import Any

import polars as pl

from flyball.data.source import read
from flyball.data.types import DTYPES, schema
from flyball.declare.columns import Column
from flyball.declare.data import Dataset
from flyball.declare.project import read_project
from flyball.errors import FlyballError
from flyball.loop.reading import reader_of
from flyball.settings import Settings

ROWS = 64
_START = 1_704_067_200_000_000  # 2024-01-01, so that calendars and windows have something to look at
_STEP = 1_800_000_000


def sample(data: Dataset, root: Path, *, from_data: bool) -> pl.DataFrame:
    """Rows of a data set, in the form `data.source.read` gives; made up if the source cannot be read (`check` says so)."""
    with suppress(FlyballError):
        if from_data:
            return read(data, reader_of(read_project(root), Settings()).access(None))
    return made_up(data)


def made_up(data: Dataset) -> pl.DataFrame:
    """64 rows that hold the contract, half an hour apart, the same every time."""
    chance = random.Random(0)  # noqa: S311 - made-up rows, no secret
    columns: dict[str, list[Any]] = {}
    for name, kind in schema(data).items():
        declared = data.columns.get(name)
        if kind == "time":
            columns[name] = [_START + _STEP * row for row in range(ROWS)]
        else:
            columns[name] = [_value(chance, kind, declared, row) for row in range(ROWS)]
    return pl.DataFrame(columns, schema={name: pl.Int64() if kind == "time" else DTYPES[kind] for name, kind in schema(data).items()}).cast(
        {name: DTYPES[kind] for name, kind in schema(data).items() if kind == "time"}
    )


def _value(chance: random.Random, kind: str, declared: Column | None, row: int) -> Any:
    if declared is not None and chance.random() < declared.nulls / 2:
        return None
    if declared is not None and declared.one_of:
        return chance.choice(declared.one_of)
    if kind == "bool":
        return chance.random() < 0.5
    if kind == "str":
        return f"made-{row % 7}"
    low, high = declared.between if declared is not None and declared.between else (-100.0, 100.0)
    if kind == "int":
        return chance.randint(*(min(max(int(end), -(2**63)), 2**63 - 1) for end in (low, high)))
    # two halves: a range may be longer than any number
    return chance.uniform(low / 2, high / 2) * 2
