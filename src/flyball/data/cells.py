"""Single cells of what was read: how they are shown, and what is said of those that cannot be what their column says."""

from __future__ import annotations

from typing import Final

import polars as pl

from flyball.clock import FARTHEST, rfc3339
from flyball.errors import Problem, escaped
from flyball.records.models import FieldType

SHOWN: Final = 3
"""Cells of a column that are shown."""

_DAY: Final = 86_400_000_000
_ARTICLES: Final[dict[FieldType, str]] = {
    "int": "an int",
    "float": "a finite float",
    "bool": "a bool",
    "str": "text",
    "time": "a time",
}


def brief(value: object, most: int = 40) -> str:
    """A value on one line: what cannot be printed is escaped, and what is long is cut."""
    text = escaped(str(value)[: most + 1])
    return text if len(text) <= most else f"{text[:most]}…"


def quoted(value: object) -> str:
    """A cell as it is shown: text in quotes."""
    return f'"{brief(value)}"' if isinstance(value, str) else brief(value)


def spots(series: pl.Series, wrong: pl.Series, first: int = 0, *, hidden: bool = False) -> list[str]:
    """The first cells that `wrong` marks, each with the row it stands in (the first of `series` is row `first` + 1), or that row alone."""
    places = wrong.arg_true().head(SHOWN).to_list()
    return [f"row {first + row + 1:,}" if hidden else f"row {first + row + 1:,}: {_cell(series, row)}" for row in places]


def mistyped(shown: str, name: str, type_: FieldType, why: str, count: int = 0) -> Problem:
    """The problem of a column that does not hold what it is declared to hold; `count` of its cells do not."""
    fixes = {"time": "write ISO 8601, such as 2026-05-01T00:30:00Z", "int": "write whole numbers, or declare the column float"}
    more = f" (the first of {count:,})" if count > SHOWN else ""
    fix = fixes.get(type_, "correct the values, or declare the column as what it holds") if count else _declare(name, type_)
    return Problem(shown, f'column "{name}" is not {_ARTICLES[type_]}', why=why + more, fix=fix)


def too_far(shown: str, name: str, row: int, told: str, count: int) -> Problem:
    """The problem of a column of times of which some lie farther from 1970 than an event can say; `row` (from 1) is the first of them."""
    more = f" (the first of {count:,})" if count > SHOWN else ""
    return Problem(
        shown,
        f'"{name}" in row {row:,} is no plausible time',
        why=f"{told}{more}; a time lies within 2^53 µs of 1970, from {_day(-FARTHEST)} to {_day(FARTHEST)}",
        fix="correct the times, and leave a cell empty where there is none; a damaged file is written again",
    )


def far(series: pl.Series) -> pl.Series:
    """Where a column of times or dates lies farther from 1970 than an event can say."""
    whole = series.to_physical().cast(pl.Int64)
    times, parts = _unit(series.dtype)
    limit = FARTHEST * parts // times
    return ((whole > limit) | (whole < -limit)).fill_null(value=False)


def _unit(dtype: pl.DataType) -> tuple[int, int]:
    """What one step of a time or date column is in microseconds, as a fraction."""
    return {"ns": (1, 1_000), "us": (1, 1), "ms": (1_000, 1)}[dtype.time_unit] if isinstance(dtype, pl.Datetime) else (_DAY, 1)


def _cell(series: pl.Series, row: int) -> str:
    if not isinstance(series.dtype, pl.Datetime | pl.Date):
        return quoted(series[row])
    times, parts = _unit(series.dtype)
    moment = int(series.to_physical()[row]) * times // parts
    try:
        return rfc3339(moment)
    except (ValueError, OverflowError, OSError):  # a year that no calendar of Python's has
        return f"{moment} µs from 1970"


def _day(moment: int) -> str:
    return rfc3339(moment)[:10]


def _declare(name: str, type_: FieldType) -> str:
    return f'declare "{name}" as what it holds, or write it as {type_}'
