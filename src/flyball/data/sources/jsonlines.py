"""JSON Lines, read in blocks: Arrow's strict reader first, and line by line where it stumbles, so that every wrong value is named."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Final

import polars as pl

from flyball.data.cells import quoted
from flyball.data.sources.delimited import BLOCK, LONGEST, strict, unmarked
from flyball.data.sources.typed import Types, absent, implausible, mistakes
from flyball.data.sources.wrong import Wrong
from flyball.data.types import DTYPES
from flyball.errors import Problem
from flyball.records.models import FieldType

_WHOLE: Final = 2**63


def batches(path: Path, shown: str, types: Types, wrong: Wrong) -> Iterator[pl.DataFrame]:
    """The declared columns of a file, a block at a time. Raises OSError; all else is noted in `wrong`."""
    with path.open("rb") as file:
        yield from blocks(iter(partial(file.read, BLOCK), b""), shown, types, wrong)


def blocks(parts: Iterator[bytes], shown: str, types: Types, wrong: Wrong, *, sparse: bool = False) -> Iterator[pl.DataFrame]:
    """The same of bytes, however they are cut. A column that no line has is missing; where one line lacks it, its value is.

    sparse: a column that no line has is one without values, and there may be no line at all.
    """
    line, rows, unseen, known = 1, 0, set(types), set[str]()
    for block in _lines(unmarked(parts), wrong, shown):
        try:
            block.decode("utf-8")
        except UnicodeDecodeError as error:
            place = line + block[: error.start].count(b"\n")
            wrong.add(Problem(f"{shown}:{place}", "the file is not UTF-8", why=error.reason, fix="save it as UTF-8"))
            return
        frame = _quick(block, types)
        if frame is None:
            frame = _slow(block, line, shown, types, wrong, known)
        known.update(() if known else _names(block))
        unseen = {name for name in unseen if f'"{name}"'.encode() not in block and json.dumps(name).encode() not in block}
        line += block.count(b"\n")
        if frame is None or not frame.height:
            continue
        implausible(frame, types, shown, wrong, rows)
        rows += frame.height
        yield frame
    if line == 1 and not rows and not wrong and not sparse:
        wrong.add(Problem(shown, "the file is empty", fix="write at least one row"))
    for name in types:
        if rows and name in unseen and not sparse:
            wrong.add(absent(shown, name, sorted(known)))


def _lines(parts: Iterator[bytes], wrong: Wrong, shown: str) -> Iterator[bytes]:
    """The same bytes, cut where a line ends: no value has the end of one within."""
    rest: list[bytes] = []
    size = 0
    for part in parts:
        cut = part.rfind(b"\n") + 1
        if cut:
            yield b"".join((*rest, part[:cut]))
            rest, size = [], 0
        rest.append(part[cut:])
        size += len(part) - cut
        if size > LONGEST:
            wrong.add(
                Problem(shown, "the file is not JSON Lines", why=f"a line has more than {LONGEST >> 20} MB", fix="write one object a line")
            )
            return
    if size:
        yield b"".join(rest)


def _names(block: bytes) -> list[str]:
    """The names in the first line: what a missing column is told beside."""
    try:
        first = json.loads(block.partition(b"\n")[0] or b"{}")
    except (ValueError, RecursionError):
        return []
    return list(first) if isinstance(first, dict) else []


def _quick(block: bytes, types: Types) -> pl.DataFrame | None:
    """The columns of a sound block; None where a closer look is needed."""
    import pyarrow as pa
    import pyarrow.json as pj

    kinds = {"int": pa.int64(), "float": pa.float64(), "bool": pa.bool_(), "str": pa.string(), "time": pa.string()}
    fields = pa.schema([(name, kinds[type_]) for name, type_ in types.items()])
    options = pj.ParseOptions(explicit_schema=fields, newlines_in_values=False, unexpected_field_behavior="ignore")
    try:
        table = pj.read_json(pa.BufferReader(block), pj.ReadOptions(use_threads=False, block_size=len(block) + 1), options)
    except pa.ArrowException:
        return None
    frame = pl.DataFrame([pl.Series(name, pl.from_arrow(table.column(name))) for name in types])
    floats = [pl.col(name).is_finite().all() for name, type_ in types.items() if type_ == "float"]
    if floats and not all(frame.select(floats).row(0)):
        return None  # NaN and Infinity are no JSON, and Arrow takes them
    if not any(type_ == "time" for type_ in types.values()):
        return frame
    unsure = Wrong()
    times: Types = {name: type_ for name, type_ in types.items() if type_ == "time"}
    made = strict(frame.select(list(times)), times, "", unsure, 0)
    return None if unsure else frame.with_columns(made).select(list(types))


def _slow(block: bytes, line: int, shown: str, types: Types, wrong: Wrong, known: set[str]) -> pl.DataFrame | None:
    """Line by line: every line that is no object, and every value that is not what its column is declared to hold, is noted."""
    columns: dict[str, list[Any]] = {name: [] for name in types}
    for place, text in enumerate(block.split(b"\n"), line):
        if text.strip():
            row = _object(text, f"{shown}:{place}", shown, place, wrong)
            known.update(row or ())
            for name, type_ in types.items() if row is not None else ():
                columns[name].append(_value(row.get(name), name, type_, shown, place, wrong) if row else None)
    return pl.DataFrame({name: pl.Series(name, values, dtype=DTYPES[types[name]]) for name, values in columns.items()})


def _object(text: bytes, where: str, shown: str, line: int, wrong: Wrong) -> dict[str, Any] | None:
    try:
        found = json.loads(text, object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        why = str(error)[:200]
        wrong.note(
            ("json", shown),
            [line],
            1,
            lambda lines, count: Problem(
                where, "the line is not a JSON object" + _more(lines, count), why=why, fix="write one object a line, in UTF-8"
            ),
        )
        return None
    if not isinstance(found, dict):
        kind = "a list" if isinstance(found, list) else "one value"
        wrong.add(Problem(where, "the line is not a JSON object", why=f"it is {kind}", fix="write one object a line"))
        return None
    return found


def _more(lines: list[int], count: int) -> str:
    return f"; lines {', '.join(f'{line:,}' for line in lines)} of {count:,} such lines" if count > 1 else ""


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f'"{twice[:40]}" stands twice in it')
    return made


def value_of(raw: Any, type_: FieldType) -> Any:
    """A JSON value as one of the type; None is missing. Raises ValueError for what is none.

    Numbers are finite; text, true and false stand for no number. A time is text in ISO 8601, with microseconds at most.
    """
    if raw is None:
        return None
    if type_ == "str" and isinstance(raw, str):
        raw.encode()  # half of a surrogate pair is no text
        return raw
    if type_ == "bool" and isinstance(raw, bool):
        return raw
    if type_ == "time" and isinstance(raw, str):
        at = datetime.fromisoformat(raw.strip())
        return at.astimezone(UTC).replace(tzinfo=None) if at.tzinfo is not None else at
    number = isinstance(raw, int | float) and not isinstance(raw, bool) and math.isfinite(raw)
    if type_ == "float" and number:
        return float(raw)
    if type_ == "int" and number and raw == int(raw) and -_WHOLE <= raw < _WHOLE:
        return int(raw)
    raise ValueError(f"{_shown(raw)} is not {type_}")


def _value(raw: Any, name: str, type_: FieldType, shown: str, line: int, wrong: Wrong) -> Any:
    try:
        return value_of(raw, type_)
    except (ValueError, OverflowError):
        told = f"line {line:,}" if name in wrong.hidden else f"line {line:,}: {_shown(raw)}"
        mistakes(name, type_, [told], 1, shown, wrong)
        return None


def _shown(raw: Any) -> str:
    return quoted(raw if isinstance(raw, str) else json.dumps(raw))
