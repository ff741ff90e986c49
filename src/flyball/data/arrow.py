"""Parquet to a frame by way of Arrow, whose reader answers a damaged file with an error.

Polars' own reader is faster, and a flipped byte may end it in a panic that no `except` may rely on. Parquet has no checksum unless its
writer adds one; where there is none, what the file says of its columns (their least, their greatest) is held against what was read.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import polars as pl

from flyball.data.files import absent
from flyball.data.footer import extremes
from flyball.errors import Problem

_WHOLE = "write it to another name and rename it when it is whole; it is read again as soon as it changes"


def parquet_frame(data: bytes, shown: str, wanted: list[str], problems: list[Problem]) -> pl.DataFrame | None:
    """The wanted columns of a Parquet file. Adds to `problems` what it lacks, what is no plain column, and where it is damaged."""
    table = parquet_table(data, shown, wanted, problems)
    return None if table is None else to_frame([table])


def parquet_table(data: bytes, shown: str, wanted: list[str], problems: list[Problem]) -> Any:
    """As `parquet_frame`, an Arrow table of plain columns in the order of `wanted`."""
    if not data:
        problems.append(Problem(shown, "the file is empty", fix="write it to another name and rename it when it is whole"))
        return None
    before = len(problems)
    try:
        table, rows = _read(data, shown, wanted, problems)
    except Exception as error:  # noqa: BLE001 - a damaged file breaks its reader in more ways than are documented
        why = "it asks for more memory than there is" if isinstance(error, MemoryError) else (str(error).splitlines() or [""])[0]
        problems.append(Problem(shown, "the file is not whole Parquet", why=why[:200] or type(error).__name__, fix=_WHOLE))
    if len(problems) > before:
        return None
    again = "write it again; it is read again as soon as it changes"
    problems += [Problem(shown, "the file is damaged", why=why, fix=again) for why in _contradictions(data, rows, table)]
    return table if len(problems) == before else None


def to_frame(tables: list[Any]) -> pl.DataFrame:
    """The rows of tables that `parquet_table` gave, all of one schema, as one frame."""
    import pyarrow as pa

    whole = pa.concat_tables(tables)
    return pl.DataFrame([pl.Series(name, pl.from_arrow(whole.column(place))) for place, name in enumerate(whole.column_names)])


def _read(data: bytes, shown: str, wanted: list[str], problems: list[Problem]) -> tuple[Any, int]:
    """The table, and the rows that the file says it has; what it says of its columns forbids to read it is added to `problems`."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    file = pq.ParquetFile(pa.BufferReader(data), page_checksum_verification=True)
    fields = file.schema_arrow
    before = len(problems)
    names = list(fields.names)
    problems += [absent(shown, name, names) for name in wanted if name not in names]
    twice = [name for name in wanted if names.count(name) > 1]
    problems += [Problem(shown, f'column "{name}" is there twice', fix="rename or drop one of them") for name in twice]
    for name in wanted:
        if names.count(name) == 1 and not _plain(kind := fields.field(name).type):
            fix = "write it as whole numbers, floats, bools, text or times, one value a row, or leave it out of the declaration"
            problems.append(Problem(shown, f'column "{name}" cannot be read', why=f"the file says {kind}"[:200], fix=fix))
    if len(problems) > before:
        return None, 0
    table = file.read(columns=wanted)
    table.validate(full=True)
    return pa.table([_decoded(table.column(name)) for name in wanted], names=wanted), file.metadata.num_rows


def _plain(kind: Any) -> bool:
    """Whether a column of this type holds one number, bool, text or time a row."""
    import pyarrow as pa

    is_ = pa.types
    if is_.is_dictionary(kind):
        return _plain(kind.value_type) and not is_.is_dictionary(kind.value_type)
    tests = (is_.is_integer, is_.is_floating, is_.is_boolean, _is_text, is_.is_timestamp, is_.is_date)
    return any(test(kind) for test in (*tests, is_.is_decimal128, is_.is_null))


def _is_text(kind: Any) -> bool:
    """Whether a type is text, in whichever of its layouts a writer keeps it."""
    import pyarrow as pa

    return any(test(kind) for test in (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view))


def _decoded(column: Any) -> Any:
    """A column without its dictionary and its time zone: the moments of a zoned column are UTC already, whatever its zone is called."""
    import pyarrow as pa

    plain = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    if _is_text(plain):
        plain = pa.large_string()
    if plain != column.type:
        column = column.cast(plain)
    if pa.types.is_timestamp(column.type) and column.type.tz is not None:
        column = column.cast(pa.timestamp(column.type.unit))
    return column


def _contradictions(data: bytes, rows: int, table: Any) -> Iterator[str]:
    """Where the rows that were read are not those that the file says it holds."""
    if table.num_columns and table.num_rows != rows:
        yield f"it says that it has {rows:,} rows, and holds {table.num_rows:,}"
        return
    said = extremes(data)
    for name in table.column_names:
        if name in said and (read := _extremes(table.column(name))) is not None and read != said[name]:
            yield f'column "{name}" lies from {read[0]} to {read[1]}, and the file says from {said[name][0]} to {said[name][1]}'


def _extremes(column: Any) -> tuple[Any, Any] | None:
    """The least and the greatest as a file would write them; None where they cannot be told, as among NaN."""
    import pyarrow as pa
    import pyarrow.compute as pc

    is_ = pa.types
    if is_.is_timestamp(column.type) or is_.is_int64(column.type):
        column = column.cast(pa.int64())
    elif is_.is_date32(column.type) or is_.is_int32(column.type):
        column = column.cast(pa.int32())
    elif not (is_.is_float32(column.type) or is_.is_float64(column.type)) or pc.any(pc.is_nan(column)).as_py():
        return None
    found = pc.min_max(column)
    return None if found["min"].as_py() is None else (found["min"].as_py(), found["max"].as_py())
