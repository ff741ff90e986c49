"""A person's rows in stored contents: found, shown, and taken out. It writes new blobs and removes none.

Needs the memory of one chunk at a time. A chunk that several versions share is looked through once, and written without the person once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import msgspec
import polars as pl

from flyball.data import manifest
from flyball.data.chunks import parquet
from flyball.data.subjects import texts
from flyball.data.types import epoch
from flyball.records.data import Chunk, DatasetManifest
from flyball.store.blobs import Blobs

Keep = Callable[[bytes], str]
"""Stores bytes and gives their name; a rehearsal only names them."""


class Rest(NamedTuple):
    """What is left of a content without a person: its name, and how many rows went."""

    content: str
    rows: int


class Person:
    """One person in the chunks of any number of contents."""

    def __init__(self, subject: str, blobs: Blobs) -> None:
        self._subject, self._blobs = subject, blobs
        self._manifests: dict[str, DatasetManifest] = {}
        self._counted: dict[tuple[str, str], int] = {}
        self._left: dict[tuple[str, tuple[str, ...], str], tuple[Chunk | None, int]] = {}

    def count(self, content: str, column: str) -> int:
        """How many rows of theirs a content holds; 0 where it has no such column. Raises NotFound, Corrupt."""
        found = self._manifest(content)
        return sum(self._count(chunk.content, column) for chunk in found.chunks) if _has(found, column) else 0

    def rows(self, content: str, column: str) -> pl.DataFrame:
        """Their rows. Raises NotFound, Corrupt."""
        found = self._manifest(content)
        return pl.concat([manifest.nothing(found), *self._rows(found, column)])

    def rest(self, content: str, columns: Sequence[str], keep: Keep) -> Rest:
        """A content without the rows that name them in any of these columns. Chunks without such rows stay what they are, and end where
        they ended. Raises NotFound, Corrupt.
        """
        found = self._manifest(content)
        own = tuple(column for column in columns if _has(found, column))
        left = [self._without(chunk, own, found.time, keep) for chunk in found.chunks]
        made = msgspec.structs.replace(found, chunks=tuple(chunk for chunk, _ in left if chunk is not None))
        return Rest(keep(manifest.write(made)), sum(gone for _, gone in left))

    def _manifest(self, content: str) -> DatasetManifest:
        if content not in self._manifests:
            self._manifests[content] = manifest.manifest(content, self._blobs)
        return self._manifests[content]

    def _count(self, chunk: str, column: str) -> int:
        if (chunk, column) not in self._counted:
            self._counted[chunk, column] = int(self._is_theirs(manifest.read(chunk, self._blobs, [column]), column).sum())
        return self._counted[chunk, column]

    def _rows(self, found: DatasetManifest, column: str) -> Iterator[pl.DataFrame]:
        for chunk in found.chunks if _has(found, column) else ():
            if self._count(chunk.content, column):
                frame = manifest.read(chunk.content, self._blobs)
                yield frame.filter(self._is_theirs(frame, column))

    def _without(self, chunk: Chunk, columns: tuple[str, ...], time: str, keep: Keep) -> tuple[Chunk | None, int]:
        """What is left of a chunk (None: nothing), and how many rows went."""
        place = chunk.content, columns, time
        if place not in self._left:
            if not any(self._count(chunk.content, column) for column in columns):
                return chunk, 0
            frame = left = manifest.read(chunk.content, self._blobs)
            for column in columns:
                left = left.filter(~self._is_theirs(left, column))
            self._left[place] = self._kept(left, time, keep), frame.height - left.height
        return self._left[place]

    def _kept(self, left: pl.DataFrame, time: str, keep: Keep) -> Chunk | None:
        first, last = epoch(left, time) if time else (0, 0)
        return Chunk(content=keep(parquet(left)), rows=left.height, first=first, last=last) if left.height else None

    def _is_theirs(self, frame: pl.DataFrame, column: str) -> pl.Series:
        return (texts(frame, column) == self._subject).fill_null(value=False)


def _has(found: DatasetManifest, column: str) -> bool:
    return any(each.name == column for each in found.columns)


def name_only(data: bytes) -> str:
    """Names bytes and stores nothing: for a rehearsal."""
    return hashlib.sha256(data).hexdigest()
