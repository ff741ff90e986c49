"""The files of a path or a glob, and what their folders say of every row in them (`day=2026-01-01/`)."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import unquote

import polars as pl

from flyball.data.cells import brief
from flyball.data.sources import delimited, jsonlines, parquet
from flyball.data.sources.text import missing, parsed
from flyball.data.sources.typed import Types, distant, keys
from flyball.data.sources.wrong import Wrong
from flyball.data.types import DTYPES, schema
from flyball.declare.data import Dataset
from flyball.errors import BadInput, Problem

_ABSENT: Final = "__HIVE_DEFAULT_PARTITION__"
"""What a folder is called whose rows have no value."""

_PARQUET = frozenset({".parquet", ".pq"})
_LINES = frozenset({".jsonl", ".ndjson"})
KINDS: Final = (".csv", ".parquet", ".jsonl")


class Part(NamedTuple):
    """A file, how it is called, and the columns that its folders name, as text."""

    path: Path
    shown: str
    folders: dict[str, str]


def paths(dataset: Dataset, root: Path) -> list[Path]:
    """The files of a path, a glob or a folder of partitions, sorted. Raises BadInput if there are none, or the source lies elsewhere."""
    text = str(dataset.source)
    if "://" in text:
        raise BadInput(
            f'data set "{dataset.name}" is read from {text.split("://", maxsplit=1)[0]}://',
            why="object stores and streams are not read yet",
            fix="write the rows to files and name them in source=, query a database with fb.sql, or push them: push://",
        )
    whole = Path(text) if Path(text).is_absolute() else root / text
    if not any(character in text for character in "*?[") or _is_there(whole):
        if not _exists(whole, dataset):
            raise _nowhere(dataset, text, whole)
        if not _partitioned(whole):
            return [whole]
        found = _below(whole)
    else:
        base, pattern = (Path(whole.anchor), str(whole.relative_to(whole.anchor))) if Path(text).is_absolute() else (root, text)
        found = sorted(path for path in base.glob(pattern) if not _is_hidden(path.relative_to(base), Path(pattern)))
    if not found:
        raise BadInput(f'data set "{dataset.name}": no file matches {text}', why=f"it was looked for under {root}", fix="change source=")
    return found


def parts(dataset: Dataset, root: Path) -> list[Part]:
    """The same, each with what its folders say."""
    return [Part(path, name := shown(path, root), _folders(Path(name), dataset)) for path in paths(dataset, root)]


def shown(path: Path, root: Path) -> str:
    """A file as it is called in messages."""
    return str(path.relative_to(root)) if path.is_relative_to(root) else str(path)


def marks(dataset: Dataset, root: Path) -> Iterator[list[object]]:
    """Which bytes the files hold, without reading them: paths, sizes and times of change."""
    try:
        found = paths(dataset, root)
    except BadInput:
        return
    for path in found:
        try:
            stat = path.stat()
        except OSError as error:
            yield [str(path), error.errno]
        else:
            yield [str(path), stat.st_size, stat.st_mtime_ns, stat.st_mode]


def batches(dataset: Dataset, root: Path, wrong: Wrong, without: frozenset[str] = frozenset()) -> Iterator[pl.DataFrame]:
    """The rows of all files but those `without`, in the order of their paths. Raises BadInput where there are none; all else is noted in `wrong`."""
    types = schema(dataset)
    for made, part, first in _raw([part for part in parts(dataset, root) if part.shown not in without], types, wrong):
        frame = _with_folders(made, part, types, wrong)
        if frame is not None:
            keys(dataset, frame, part.shown, wrong, first)
            yield frame


def _raw(found: list[Part], types: Types, wrong: Wrong) -> Iterator[tuple[pl.DataFrame, Part, int]]:
    """Batches of the columns that stand in the files, the file each begins in, and its first row there."""
    together: list[Part] = []
    for part in found:
        # small files of one kind are read together: what each costs is not in its rows
        if part.path.suffix.lower() in _PARQUET and not part.folders:
            together.append(part)
            continue
        yield from _one(part, types, wrong)
    if together:
        files = [(part.path, part.shown) for part in together]
        by_name = {part.shown: part for part in together}
        for frame, name, first in parquet.batches(files, types, wrong):
            yield frame, by_name[name], first


def _one(part: Part, types: Types, wrong: Wrong) -> Iterator[tuple[pl.DataFrame, Part, int]]:
    own = {name: type_ for name, type_ in types.items() if name not in part.folders}
    kind = part.path.suffix.lower()
    first = 0
    try:
        for frame in _read(kind, part, own, wrong):
            yield frame, part, first
            first += frame.height
    except OSError as error:
        wrong.cannot_open(part.shown, error)


def _read(kind: str, part: Part, types: Types, wrong: Wrong) -> Iterator[pl.DataFrame]:
    if kind == ".csv":
        yield from delimited.batches(part.path, part.shown, types, wrong)
    elif kind in _LINES:
        yield from jsonlines.batches(part.path, part.shown, types, wrong)
    elif kind in _PARQUET:
        yield from (frame for frame, _, _ in parquet.batches([(part.path, part.shown)], types, wrong))
    elif part.path.is_dir():
        wrong.add(Problem(part.shown, "is a folder without Parquet files", fix=f"name its files, such as {part.shown.rstrip('/')}/*.csv"))
    else:
        wrong.add(Problem(part.shown, f'"{part.path.suffix}" files are not read', fix=f"use {', '.join(KINDS)}"))


def _with_folders(frame: pl.DataFrame, part: Part, types: Types, wrong: Wrong) -> pl.DataFrame | None:
    """The rows with the columns that the folders name, in declared order."""
    if not part.folders:
        return frame
    values = [_constant(name, text, types, part.shown, wrong) for name, text in part.folders.items()]
    whole = [value for value in values if value is not None]
    if len(whole) < len(values):
        return None
    return frame.with_columns(*whole).select(list(types))


def _constant(name: str, text: str, types: Types, shown: str, wrong: Wrong) -> pl.Expr | None:
    """What a folder says of a column, as a value of its type."""
    type_ = types[name]
    cell = pl.DataFrame({name: [None if text == _ABSENT else text]}, schema={name: pl.String})
    made = cell.select(parsed(name, type_)).to_series()
    if (made.is_null() & ~cell.select(missing(name, type_)).to_series()).any():
        what = f'the folder "{name}={"…" if name in wrong.hidden else brief(text)}" names no {type_}'
        wrong.add(
            Problem(shown, what, why=f'column "{name}" is declared {type_}', fix="rename the folder, or declare the column as what it says")
        )
        return None
    if type_ == "time" and distant(name, made, shown, wrong, 0):
        return None
    return pl.lit(made.item(), dtype=DTYPES[type_]).alias(name)


def _folders(path: Path, dataset: Dataset) -> dict[str, str]:
    """The declared columns that folders on the way from the project to a file name; the nearest one counts."""
    names = dataset.names
    return {name: value for name, value in folders(path).items() if name in names}


def folders(path: Path) -> dict[str, str]:
    """Every column that folders on the way to a file name (`day=2026-01-01/`), with its value as text."""
    pairs = (folder.partition("=") for folder in path.parts[:-1])
    return {unquote(name): unquote(value) for name, sign, value in pairs if sign and name}


def _partitioned(path: Path) -> bool:
    """Whether this is a folder whose own folders name values."""
    try:
        return path.is_dir() and any("=" in item.name and item.is_dir() for item in path.iterdir())
    except OSError:
        return False


def _below(folder: Path) -> list[Path]:
    """The files in a folder of partitions; what writers leave beside them (`_SUCCESS`, `.crc`) is none."""
    known = {*_PARQUET, *_LINES, ".csv"}
    found = (path for path in folder.rglob("*") if path.suffix.lower() in known and path.name[0] not in "._" and path.is_file())
    return sorted(path for path in found if not _is_hidden(path.relative_to(folder), Path("*")))


def _is_hidden(path: Path, pattern: Path) -> bool:
    """Whether a wildcard has found what is none of the data: what begins with a dot (`.ipynb_checkpoints`), and folders of writers that are not
    done (`_temporary`). What the pattern spells out is meant.
    """
    wild = [part for part in pattern.parts if any(sign in part for sign in "*?[")]
    if any(part.startswith((".", "_")) for part in wild):
        return False
    beside = {part for part in path.parts if part.startswith(".")}
    unfinished = {folder for folder in path.parts[:-1] if folder.startswith("_") and "=" not in folder}
    return bool((beside | unfinished) - {*pattern.parts, ".."})


def _is_there(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:
        return False


def _nowhere(dataset: Dataset, text: str, whole: Path) -> BadInput:
    near = difflib.get_close_matches(whole.name, _names(whole.parent), n=1, cutoff=0.5)
    guess = f'did you mean "{near[0]}"? ' if near else ""
    return BadInput(
        f'data set "{dataset.name}": {text} does not exist',
        why=f"it was looked for as {whole}",
        fix=f"{guess}put the file there, or change source=",
    )


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
