"""A person's rows in stored contents: found, shown, and taken out. It writes new blobs and removes none.

Needs the memory of one version at a time; looking for a person reads one column.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import NamedTuple

import polars as pl
from polars.exceptions import PolarsError

from flyball.data.commit import load_content, parquet
from flyball.data.subjects import texts
from flyball.errors import Corrupt
from flyball.store.blobs import Blobs


class Rest(NamedTuple):
    """What is left of a content without a person: its bytes, their name, and how many rows went."""

    data: bytes
    content: str
    rows: int


def count(content: str, column: str, subject: str, blobs: Blobs) -> int:
    """How many rows of a person a content holds; 0 where it has no such column. Raises NotFound, Corrupt."""
    path = blobs.path(content)
    try:
        if column not in pl.read_parquet_schema(path):
            return 0
        return int((texts(pl.read_parquet(path, columns=[column]), column) == subject).sum())
    except PolarsError as error:
        raise Corrupt(f"blob {content} is not a data set", why=str(error).splitlines()[0], fix="restore it from a backup") from error


def rows(content: str, column: str, subject: str, blobs: Blobs) -> pl.DataFrame:
    """The rows of a person. Raises NotFound, Corrupt."""
    frame = load_content(content, blobs)
    return frame.filter(texts(frame, column) == subject) if column in frame.columns else frame.clear()


def rest(content: str, columns: Sequence[str], subject: str, blobs: Blobs) -> Rest:
    """A content without the rows that name a person in any of these columns, as `commit` would write it. Raises NotFound, Corrupt."""
    frame = left = load_content(content, blobs)
    for column in columns:
        left = left.filter((texts(left, column) != subject).fill_null(value=True))
    return named(parquet(left), frame.height - left.height)


def named(data: bytes, gone: int) -> Rest:
    """Bytes under their name."""
    return Rest(data, hashlib.sha256(data).hexdigest(), gone)


Keep = Callable[[bytes], str]
"""Stores bytes and gives their name; a rehearsal only names them."""
