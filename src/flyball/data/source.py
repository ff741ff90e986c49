"""Reading a data set from its source: declared columns only, in declared order, of exactly the declared types.

A source that cannot be read raises BadInput with every problem in it. Reading never changes a source and never waits for one: a file
that somebody is writing is refused, or read, as it stands now, and looked at again when its mark changes.
"""

from __future__ import annotations

import difflib
import hashlib
import json
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl
from polars.exceptions import PolarsError

from flyball.data.arrow import parquet_frame, parquet_table, to_frame
from flyball.data.cells import cells, implausible, mistyped, rows_of
from flyball.data.files import absent, csv_body
from flyball.data.text import as_text, missing, parsed, quick
from flyball.data.types import DTYPES, schema
from flyball.declare.data import Dataset
from flyball.errors import BadInput, Problem
from flyball.records.models import FieldType

_PARQUET = {".parquet", ".pq"}


def read(dataset: Dataset, root: Path) -> pl.DataFrame:
    """Read all rows of `dataset`, in order of time (rows of one time stay in the source's order).

    A path or glob of CSV or Parquet files is taken from `root`; a frame, or a callable that returns one, works within this process.
    Columns are those of `data.types.schema`, times naive UTC microseconds, NaN is null. Raises BadInput listing every problem.
    """
    problems: list[Problem] = []
    frames: list[pl.DataFrame] = []
    if isinstance(dataset.source, str):
        found = paths(dataset, root)
        frames = _alike(dataset, found)
        for path in found if not frames else ():
            frames += _file(dataset, path, _shown(path, root), problems)
    else:
        frames += _typed(dataset, _in_process(dataset), f'data set "{dataset.name}"', problems)
    if problems:
        raise BadInput(f'data set "{dataset.name}" cannot be read', problems=tuple(problems))
    frame = pl.concat(frames)
    if not frame.height:
        raise BadInput(f'data set "{dataset.name}" has no rows', why="its source holds a header and nothing below it")
    return frame.sort(dataset.time, maintain_order=True) if dataset.time else frame


def mark(dataset: Dataset, root: Path) -> str:
    """Say which bytes the source holds and under which contract they are read, without reading them: 32 hex digits.

    Paths, sizes and times of change stand for files' bytes. A source that is not there has a mark too.
    """
    seen: list[Any] = [_contract(dataset)]
    if isinstance(dataset.source, str):
        try:
            found = paths(dataset, root)
        except BadInput:
            found = []
        for path in found:
            try:
                stat = path.stat()
            except OSError as error:
                seen.append([str(path), error.errno])
            else:
                seen.append([str(path), stat.st_size, stat.st_mtime_ns, stat.st_mode])
    else:
        try:
            frame = _in_process(dataset)
        except BadInput as error:
            seen.append(error.what)
            return _digest(seen)
        seen.append([frame.columns, frame.height, str(frame.hash_rows().to_frame().sum().row(0)) if frame.height else ""])
    return _digest(seen)


def _digest(seen: list[Any]) -> str:
    return hashlib.sha256(json.dumps(seen, default=str).encode()).hexdigest()[:32]


def paths(dataset: Dataset, root: Path) -> list[Path]:
    """The files of a path or glob, sorted. Raises BadInput if there are none, or the source is not a file."""
    text = str(dataset.source)
    if "://" in text:
        raise BadInput(
            f'data set "{dataset.name}" is read from {text.split("://", maxsplit=1)[0]}://',
            why="only paths and globs of CSV or Parquet files are read so far",
            fix="write the rows to files, and name them in source=",
        )
    whole = Path(text) if Path(text).is_absolute() else root / text
    if not any(character in text for character in "*?["):
        if _exists(whole, dataset):
            return [whole]
        near = difflib.get_close_matches(whole.name, _names(whole.parent), n=1, cutoff=0.5)
        guess = f'did you mean "{near[0]}"? ' if near else ""
        raise BadInput(
            f'data set "{dataset.name}": {text} does not exist',
            why=f"it was looked for as {whole}",
            fix=f"{guess}put the file there, or change source=",
        )
    base = Path(whole.anchor)
    found = sorted(base.glob(str(whole.relative_to(base))))
    if not found:
        raise BadInput(f'data set "{dataset.name}": no file matches {text}', why=f"it was looked for under {root}", fix="change source=")
    return found


def _exists(path: Path, dataset: Dataset) -> bool:
    try:
        return path.exists()
    except OSError as error:
        raise BadInput(
            f'data set "{dataset.name}": {path} cannot be looked for',
            why=str(error.strerror),
            fix="let the user who runs flyball enter the folder",
        ) from error


def _names(folder: Path) -> Iterable[str]:
    try:
        return [item.name for item in folder.iterdir()]
    except OSError:
        return []


def _shown(path: Path, root: Path) -> str:
    return str(path.relative_to(root)) if path.is_relative_to(root) else str(path)


def _contract(dataset: Dataset) -> list[Any]:
    """What decides how bytes become rows: at another contract the same bytes are looked at again."""
    rules = [
        [name, item.type, item.between, item.one_of, item.nulls, int(item.known_after), item.on_breach]
        for name, item in dataset.columns.items()
    ]
    roles = [dataset.time, dataset.arrived, dataset.id, dataset.subject]
    return [dataset.name, roles, rules, dataset.min_rows, dataset.unique]


def _alike(dataset: Dataset, files: list[Path]) -> list[pl.DataFrame]:
    """All rows of many whole Parquet files of one schema, in one read; nothing where that is not what they are, and each is then read alone.

    A source that an upstream job adds to by the minute has thousands of files: read one by one, what each costs is not in its rows.
    """
    if len(files) < 2 or any(path.suffix.lower() not in _PARQUET for path in files):
        return []
    problems: list[Problem] = []
    tables: list[Any] = []
    for path in files:
        try:
            table = parquet_table(path.read_bytes(), path.name, list(schema(dataset)), problems)
        except OSError:
            return []
        if table is None or (tables and table.schema != tables[0].schema):
            return []
        tables.append(table)
    made = _typed(dataset, to_frame(tables), dataset.name, problems)
    return [] if problems else made


def _file(dataset: Dataset, path: Path, shown: str, problems: list[Problem]) -> list[pl.DataFrame]:
    kind = path.suffix.lower()
    if kind != ".csv" and kind not in _PARQUET:
        problems.append(Problem(shown, f'"{path.suffix}" files are not read', fix="use .csv or .parquet"))
        return []
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        problems.append(Problem(shown, "the file is gone", why="it was there a moment ago", fix="it is looked for again"))
        return []
    except OSError as error:
        fix = "let the user who runs flyball read it" if isinstance(error, PermissionError) else "make it a readable file"
        problems.append(Problem(shown, "the file cannot be opened", why=str(error.strerror), fix=fix))
        return []
    if kind == ".csv":
        body = csv_body(data, shown, list(schema(dataset)), problems)
        return [] if body is None else _text(dataset, body, shown, problems)
    frame = parquet_frame(data, shown, list(schema(dataset)), problems)
    return [] if frame is None else _typed(dataset, frame, shown, problems)


def _text(dataset: Dataset, body: bytes, shown: str, problems: list[Problem]) -> list[pl.DataFrame]:
    """Cells of a CSV to their types; names the first cells that do not fit."""
    types = schema(dataset)
    made = quick(body, types)
    if made is None:
        try:
            frame = as_text(body, list(types))
        except PolarsError as error:
            problems.append(Problem(shown, "the file is not CSV", why=str(error).splitlines()[0]))
            return []
        made = frame.select(parsed(name, type_).alias(name) for name, type_ in types.items())
        for name, type_ in types.items():
            lost = made[name].is_null() & ~frame.select(missing(name, type_)).to_series()
            if lost.any():
                problems.append(mistyped(shown, name, type_, _cells(dataset, frame[name], lost), int(lost.sum())))
    for name in (name for name, type_ in types.items() if type_ == "time"):
        problems += implausible(made[name], shown, partial(_cells, dataset))
    return [made]


def _in_process(dataset: Dataset) -> pl.DataFrame:
    source = dataset.source
    if callable(source):
        try:
            source = source()
        except Exception as error:  # the user's own code runs here: whatever it raises is theirs to read
            raise BadInput(
                f'data set "{dataset.name}": its source raised {type(error).__name__}: {error}', fix="correct the function, or name a file"
            ) from error
    if isinstance(source, pl.DataFrame):
        return source
    raise BadInput(
        f'data set "{dataset.name}" cannot be read here: its source is {type(source).__name__}',
        why="a path or glob, a pl.DataFrame, or a callable that returns one is read so far; frames and callables only in their own process",
        fix="write the rows to a CSV or Parquet file, and name it in source=",
    )


def _typed(dataset: Dataset, frame: pl.DataFrame, shown: str, problems: list[Problem]) -> list[pl.DataFrame]:
    """Columns that have types already to the declared ones, where no value is changed by it."""
    types = schema(dataset)
    lost = [name for name in types if name not in frame.columns]
    problems += [absent(shown, name, frame.columns) for name in lost]
    made: list[pl.Series] = []
    for name, type_ in types.items():
        if name not in lost and (series := _series(dataset, frame[name], type_, shown, problems)) is not None:
            made.append(series)
    return [pl.DataFrame(made)] if len(made) == len(types) else []


def _cells(dataset: Dataset, series: pl.Series, wrong: pl.Series) -> str:
    """Cells as they are told; of a column that says who a row is of, only where they stand: what is told goes into the ledger."""
    return rows_of(wrong) if series.name in dataset.identifying else cells(series, wrong)


def _series(dataset: Dataset, series: pl.Series, type_: FieldType, shown: str, problems: list[Problem]) -> pl.Series | None:
    dtype, want = series.dtype, DTYPES[type_]
    if dtype in {pl.Null, want}:
        good = True
    elif type_ in ("int", "float"):
        good = dtype.is_numeric()
    elif type_ == "str":
        good = dtype in (pl.Categorical, pl.Enum)
    else:
        good = type_ == "time" and dtype in (pl.Datetime, pl.Date)
    if not good:
        problems.append(mistyped(shown, series.name, type_, f"the file says {dtype}"))
        return None
    if isinstance(dtype, pl.Datetime | pl.Date) and (far := implausible(series, shown, partial(_cells, dataset))):
        problems += far
        return None
    if isinstance(dtype, pl.Datetime) and dtype.time_zone is not None:
        series = series.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
    if dtype.is_float():
        series = series.fill_nan(None)
    try:
        made = series.cast(want, strict=False)
    except PolarsError as error:
        problems.append(mistyped(shown, series.name, type_, "" if series.name in dataset.identifying else str(error)))
        return None
    wrong = made.is_null() & series.is_not_null()
    if type_ == "float":
        wrong |= made.is_infinite().fill_null(value=False)
    elif type_ == "int" and not dtype.is_integer() and dtype != pl.Null:
        wrong |= (made != series).fill_null(value=False)
    if wrong.any():
        problems.append(mistyped(shown, series.name, type_, _cells(dataset, series, wrong), int(wrong.sum())))
        return None
    return made
