"""Text to typed columns: strict, and every cell that cannot be read is found.

Polars reads numbers as it parses the file, which is several times as fast; where it stumbles, or a cell is not plainly a number, the
columns are read as text and looked at cell by cell.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Final

import polars as pl
from polars.exceptions import PolarsError

from flyball.data.types import DTYPES
from flyball.records.models import FieldType

NOTHING: Final = ("", "NA", "N/A", "NaN", "nan", "null", "NULL", "None")
"""What stands for a missing value in a column that is not text. In a text column only an empty, unquoted cell is missing."""

_ISO: Final = "%Y-%m-%dT%H:%M:%S%.f"


def parsed(name: str, type_: FieldType) -> pl.Expr:
    """The text column `name` as `type_`; a cell that cannot be read becomes null (see `missing` for those that may be)."""
    raw = pl.col(name)
    if type_ == "str":
        return raw
    cell = raw.str.strip_chars()
    if type_ == "time":
        return _moment(cell)
    if type_ == "bool":
        word = cell.str.to_lowercase()
        return pl.when(word.is_in(["true", "1"])).then(pl.lit(value=True)).when(word.is_in(["false", "0"])).then(pl.lit(value=False))
    number = cell.cast(DTYPES[type_], strict=False)
    return pl.when(number.is_finite()).then(number) if type_ == "float" else number


def missing(name: str, type_: FieldType) -> pl.Expr:
    """Where the text column `name` says that there is no value."""
    raw = pl.col(name)
    return raw.is_null() if type_ == "str" else raw.is_null() | raw.str.strip_chars().is_in(NOTHING)


def _moment(cell: pl.Expr) -> pl.Expr:
    """ISO 8601: a date, or date and time with `T` or a blank, fractions and offset as you like. No offset means UTC."""
    plain = cell.str.to_datetime(_ISO, time_unit="us", strict=False)
    full = (
        cell.str.replace(r"^(\d{4}-\d\d-\d\d) ", "${1}T")
        .str.replace(r"^(\d{4}-\d\d-\d\d)$", "${1}T00:00:00")
        .str.replace(r"T(\d\d:\d\d)($|[Zz+-])", "T${1}:00${2}")
        .str.replace(r"[Zz]$", "+0000")
        .str.replace(r"([+-]\d\d):?(\d\d)$", "${1}${2}")
        .str.replace(r"(T[\d:.]+)$", "${1}+0000")
    )
    zoned = full.str.to_datetime(f"{_ISO}%z", time_unit="us", strict=False, time_zone="UTC")
    return pl.coalesce(plain, zoned.dt.replace_time_zone(None))


def quick(body: bytes, types: Mapping[str, FieldType]) -> pl.DataFrame | None:
    """The columns of a sound CSV with every cell as declared; None where a closer look is needed."""
    first: dict[str, pl.DataType] = {name: DTYPES["str" if type_ == "time" else type_] for name, type_ in types.items()}
    try:
        frame = pl.read_csv(io.BytesIO(body), columns=list(types), schema_overrides=first).select(list(types))
    except PolarsError:
        return None
    floats = [name for name, type_ in types.items() if type_ == "float"]
    frame = frame.with_columns(pl.col(floats).fill_nan(None))
    if any(frame[name].is_infinite().any() for name in floats):
        return None
    for name in (name for name, type_ in types.items() if type_ == "time"):
        moments = frame.select(pl.col(name).str.to_datetime(_ISO, time_unit="us", strict=False)).to_series()
        if moments.null_count() > frame[name].null_count():  # other ways of writing a time take several passes
            moments = frame.select(parsed(name, "time")).to_series()
        if moments.null_count() > frame[name].null_count():
            return None
        frame = frame.with_columns(moments.alias(name))
    return frame


def as_text(body: bytes, names: list[str]) -> pl.DataFrame:
    """The columns as they are written. Raises PolarsError."""
    return pl.read_csv(io.BytesIO(body), columns=names, infer_schema=False).select(names)
