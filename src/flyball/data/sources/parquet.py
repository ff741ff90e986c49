"""Parquet by way of Arrow, whose reader answers a damaged file with an error; a file is read a part at a time.

Polars' own reader is faster, and a flipped byte may end it in a panic that no `except` may rely on. Parquet has no checksum unless its
writer adds one; where there is none, what the file says of its columns (their least, their greatest) is held against what was read.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import polars as pl

from flyball.data.sources.footer import LARGEST, extremes
from flyball.data.sources.typed import Types, found_once, typed
from flyball.data.sources.wrong import Wrong
from flyball.errors import Problem
from flyball.records.models import FieldType

ROWS: Final = 128 * 1024
"""Rows of a batch; smaller files of one schema are put together up to that."""

_WHOLE = "write it to another name and rename it when it is whole; it is read again as soon as it changes"


class _Piece(NamedTuple):
    """Rows of one file, and the number of its rows before them."""

    table: Any
    shown: str
    first: int


def batches(files: Sequence[tuple[Path, str]], types: Types, wrong: Wrong) -> Iterator[tuple[pl.DataFrame, str, int]]:
    """Batches of the declared columns of many files, with the file each begins in and its first row there; faults are noted in `wrong`.

    A column that is not of the kind it has in an earlier file is noted with both.
    """
    waiting: list[_Piece] = []
    seen: dict[str, tuple[Any, str]] = {}
    for path, shown in files:
        for piece in tables(path, shown, list(types), wrong):
            if piece.first == 0:
                _changed(piece, seen, types, wrong)
            rows = sum(each.table.num_rows for each in waiting)
            if waiting and (rows + piece.table.num_rows > ROWS or waiting[0].table.schema != piece.table.schema):
                yield from _together(waiting, types, wrong)
                waiting = []
            waiting.append(piece)
    if waiting:
        yield from _together(waiting, types, wrong)


def _changed(piece: _Piece, seen: dict[str, tuple[Any, str]], types: Types, wrong: Wrong) -> None:
    """Note the columns that this file has as another kind than the files before it, where one of the two cannot be what is declared."""
    for field in piece.table.schema:
        kind, before = seen.setdefault(field.name, (field.type, piece.shown))
        fits = [_fits(each, types[field.name]) for each in (kind, field.type)]
        if kind != field.type and not all(fits):
            what = f'column "{field.name}" changes from file to file'
            why = f"{before} says {kind}, {piece.shown} says {field.type}"
            wrong.add(Problem(piece.shown, what, why=why, fix="write all files of the source with one schema"))


def _fits(kind: Any, type_: FieldType) -> bool:
    """Whether a column of this kind may hold what is declared."""
    import pyarrow as pa

    empty = pa.table({"x": pa.array([], kind)})
    unsure = Wrong()
    return typed(to_frame([empty]), {"x": type_}, "", unsure) is not None


def _together(pieces: list[_Piece], types: Types, wrong: Wrong) -> Iterator[tuple[pl.DataFrame, str, int]]:
    """Pieces of one schema as one frame; where something in it is not as declared, each alone, so that its file is named."""
    if len(pieces) > 1:
        unsure = Wrong()
        whole = typed(to_frame([piece.table for piece in pieces]), types, "", unsure)
        if whole is not None:
            yield whole, pieces[0].shown, pieces[0].first
            return
    for piece in pieces:
        made = typed(to_frame([piece.table]), types, piece.shown, wrong, piece.first)
        if made is not None:
            yield made, piece.shown, piece.first


def tables(path: Path, shown: str, wanted: list[str], wrong: Wrong) -> Iterator[_Piece]:
    """The wanted columns of a file as Arrow tables of plain columns in the order of `wanted`; its faults are noted.

    Whether the file is damaged is known at its end.
    """
    try:
        with path.open("rb") as file:
            tail = _tail(file)
            if not tail:
                wrong.broken(Problem(shown, "the file is empty", fix="write it to another name and rename it when it is whole"))
                return
        yield from _whole(path, tail, shown, wanted, wrong)
    except OSError as error:
        wrong.cannot_open(shown, error)


def _whole(path: Path, tail: bytes, shown: str, wanted: list[str], wrong: Wrong) -> Iterator[_Piece]:
    read = _Read(extremes(tail))
    try:
        for table in _read(path, shown, wanted, wrong, read):
            yield _Piece(table, shown, read.rows - table.num_rows)
    except Exception as error:  # noqa: BLE001 - a damaged file breaks its reader in more ways than are documented
        why = "it asks for more memory than there is" if isinstance(error, MemoryError) else (str(error).splitlines() or [""])[0]
        wrong.broken(Problem(shown, "the file is not whole Parquet", why=why[:200] or type(error).__name__, fix=_WHOLE))
        return
    again = "write it again; it is read again as soon as it changes"
    for why in read.contradictions(wrong.hidden):
        wrong.broken(Problem(shown, "the file is damaged", why=why, fix=again))


def _tail(file: Any) -> bytes:
    """The end of a file, as far as its footer goes; all of it where it is too small to have one."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - 8))
    length = int.from_bytes(file.read(4), "little")
    file.seek(max(0, size - 8 - min(length, LARGEST)))
    found: bytes = file.read()
    file.seek(0)
    return found


class _Read:
    """What was read of a file so far, to be held against what it says of itself."""

    def __init__(self, said: dict[str, tuple[float, float]]) -> None:
        self.rows = 0
        self.promised = 0
        self._said = said
        self._seen: dict[str, tuple[Any, Any] | None] = {}

    def add(self, table: Any) -> None:
        """A part of its rows."""
        self.rows += table.num_rows
        for name in table.column_names:
            if name in self._said and self._seen.get(name, ()) is not None:
                found = _extremes(table.column(name))
                before = self._seen.get(name)
                if found is _NONE:
                    continue  # a part without a value says nothing
                merged = found and before and (min(before[0], found[0]), max(before[1], found[1]))
                self._seen[name] = merged if before else found

    def contradictions(self, hidden: frozenset[str]) -> Iterator[str]:
        """Where the rows that were read are not those that the file says it holds. `hidden`: columns whose values are not told."""
        if self.rows != self.promised:
            yield f"it says that it has {self.promised:,} rows, and holds {self.rows:,}"
            return
        for name, read in self._seen.items():
            said = self._said[name]
            if read is not None and read != said and name in hidden:
                yield f'column "{name}" has another least or greatest value than the file says'
            elif read is not None and read != said:
                yield f'column "{name}" lies from {read[0]} to {read[1]}, and the file says from {said[0]} to {said[1]}'


def to_frame(tables: list[Any]) -> pl.DataFrame:
    """The rows of tables of plain columns, all of one schema, as one frame."""
    import pyarrow as pa

    whole = pa.concat_tables(tables)
    return pl.DataFrame([pl.Series(name, pl.from_arrow(whole.column(place))) for place, name in enumerate(whole.column_names)])


def _read(path: Path, shown: str, wanted: list[str], wrong: Wrong, read: _Read) -> Iterator[Any]:
    """The parts of a file; what it says of its columns that forbids to read it is noted."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    file = pq.ParquetFile(pa.OSFile(str(path)), page_checksum_verification=True, pre_buffer=False)
    fields = file.schema_arrow
    names = list(fields.names)
    once = found_once(wanted, names, shown, wrong, fix="rename or drop one of them")
    nested = [name for name in once if not _plain(fields.field(name).type)]
    for name in nested:
        fix = "write it as whole numbers, floats, bools, text or times, one value a row, or leave it out of the declaration"
        wrong.add(Problem(shown, f'column "{name}" cannot be read', why=f"the file says {fields.field(name).type}"[:200], fix=fix))
    if nested or len(once) < len(wanted):
        return
    read.promised = file.metadata.num_rows
    for batch in file.iter_batches(batch_size=ROWS, columns=wanted):
        batch.validate(full=True)
        part = pa.Table.from_batches([batch])
        table = pa.table([_decoded(part.column(name)) for name in wanted], names=wanted)
        read.add(table)
        yield table


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


_NONE: Final = ("none", "none")
"""The extremes of a column without a value."""


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
    return _NONE if found["min"].as_py() is None else (found["min"].as_py(), found["max"].as_py())
