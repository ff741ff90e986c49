"""Columns that have types already to the declared ones, where no value is changed by it; what would be is told cell by cell."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

import polars as pl
from polars.exceptions import PolarsError

from flyball.data.cells import brief, far, mistyped, spots, too_far
from flyball.data.sources.wrong import Wrong
from flyball.data.types import DTYPES
from flyball.declare.data import Dataset
from flyball.errors import Problem
from flyball.records.models import FieldType

Types = dict[str, FieldType]


def absent(shown: str, name: str, columns: list[str]) -> Problem:
    """The problem of a declared column that a source does not have, with the nearest name it has."""
    near = difflib.get_close_matches(name, columns, n=1, cutoff=0.6)
    guess = f'did you mean "{near[0]}"? ' if near else ""
    listed = ", ".join(brief(each) for each in columns[:12])
    return Problem(shown, f'column "{name}" is missing', why="it is declared", fix=f"{guess}columns: {listed}")


def found_once(wanted: Iterable[str], columns: list[str], shown: str, wrong: Wrong, *, fix: str) -> list[str]:
    """Those of the wanted columns that a source has once; the others are noted. fix: for one that is there twice."""
    once = []
    for name in wanted:
        if name not in columns:
            wrong.add(absent(shown, name, columns))
        elif columns.count(name) > 1:
            wrong.add(Problem(shown, f'column "{name}" is there twice', fix=fix))
        else:
            once.append(name)
    return once


def typed(frame: pl.DataFrame, types: Types, shown: str, wrong: Wrong, first: int = 0) -> pl.DataFrame | None:
    """The declared columns of a frame whose first row is row `first` + 1 of what `shown` names; None where some cannot be had."""
    lost = [name for name in types if name not in frame.columns]
    for name in lost:
        wrong.add(absent(shown, name, frame.columns))
    made = [_series(frame[name], type_, shown, wrong, first) for name, type_ in types.items() if name not in lost]
    whole = [series for series in made if series is not None]
    return pl.DataFrame(whole) if len(whole) == len(types) else None


def keys(dataset: Dataset, frame: pl.DataFrame, shown: str, wrong: Wrong, first: int = 0) -> None:
    """Note rows whose id is missing: nothing can be said of them, and no label would find them."""
    name = dataset.id
    if not name or name in dataset.columns or not frame[name].null_count():
        return  # a declared column says itself how many of its values may be missing
    nulls = frame[name].is_null()

    def tell(told: list[str], count: int) -> Problem:
        more = f" (the first of {count:,})" if count > len(told) else ""
        return Problem(shown, f'"{name}" is missing', why=f"{', '.join(told)}{more}", fix="give every row its id; NaN is none")

    wrong.note(("key", shown, name), spots(frame[name], nulls, first, hidden=True), int(nulls.sum()), tell)


def cells(name: str, type_: FieldType, series: pl.Series, mask: pl.Series, shown: str, wrong: Wrong, first: int) -> None:
    """Note the cells that a mask marks as none of what their column is declared to hold."""
    mistakes(name, type_, spots(series, mask, first, hidden=name in wrong.hidden), int(mask.sum()), shown, wrong)


def mistakes(name: str, type_: FieldType, spots: list[str], count: int, shown: str, wrong: Wrong) -> None:
    """Note `count` cells that are none of what their column is declared to hold; `spots` says of the first of them where and what they are."""
    wrong.note(("type", shown, name), spots, count, lambda told, count: mistyped(shown, name, type_, ", ".join(told), count))


def implausible(frame: pl.DataFrame, types: Types, shown: str, wrong: Wrong, first: int) -> None:
    """Note the times of a typed frame that lie too far from 1970. first: as `typed` has it."""
    for name, type_ in types.items():
        if type_ == "time":
            distant(name, frame[name], shown, wrong, first)


def distant(name: str, series: pl.Series, shown: str, wrong: Wrong, first: int) -> bool:
    """Whether some times lie too far from 1970; they are noted."""
    mask = far(series)
    count = int(mask.sum())
    if count:
        row = first + (mask.arg_max() or 0) + 1
        told = spots(series, mask, first, hidden=name in wrong.hidden)
        wrong.note(("far", shown, name), told, count, lambda told, count: too_far(shown, name, row, ", ".join(told), count))
    return count > 0


def _series(series: pl.Series, type_: FieldType, shown: str, wrong: Wrong, first: int) -> pl.Series | None:
    name, dtype, want = series.name, series.dtype, DTYPES[type_]
    if not _may_be(dtype, type_):
        kind = f"{dtype}" if dtype == pl.Object else f"the file says {dtype}"
        wrong.note(("kind", shown, name), [], 0, lambda *_: mistyped(shown, name, type_, kind[:200]))
        return None
    if isinstance(dtype, pl.Datetime | pl.Date) and distant(name, series, shown, wrong, first):
        return None
    if isinstance(dtype, pl.Datetime) and dtype.time_zone is not None:
        series = series.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
    if dtype.is_float():
        series = series.fill_nan(None)
    try:
        made = series.cast(want, strict=False)
    except PolarsError as error:
        why = "" if name in wrong.hidden else str(error)[:200]
        wrong.note(("kind", shown, name), [], 0, lambda *_: mistyped(shown, name, type_, why))
        return None
    lost = made.is_null() & series.is_not_null()
    if type_ == "float":
        lost |= made.is_infinite().fill_null(value=False)
    elif type_ == "int" and not dtype.is_integer() and dtype != pl.Null:
        lost |= (made != series).fill_null(value=False)
    if lost.any():
        cells(name, type_, series, lost, shown, wrong, first)
        return None
    return made


def _may_be(dtype: pl.DataType, type_: FieldType) -> bool:
    """Whether a column of this kind can hold what is declared, each value as it is."""
    if dtype in {pl.Null, DTYPES[type_]}:
        return True
    if type_ in ("int", "float"):
        return dtype.is_numeric()
    if type_ == "str":
        return dtype in (pl.Categorical, pl.Enum)
    return type_ == "time" and dtype in (pl.Datetime, pl.Date)
