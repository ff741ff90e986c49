"""The manifest of a data set version in the blob store: its chunks, what two versions share, and their removal."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress

import msgspec
import polars as pl
from polars.exceptions import PolarsError

from flyball.data.types import DTYPES
from flyball.errors import Corrupt, NotFound
from flyball.ledger.canonical import canonical
from flyball.ledger.references import PARQUET
from flyball.records import codec
from flyball.records.data import Chunk, DatasetManifest
from flyball.store.blobs import Blobs

FORMAT = 1
"""Of a manifest. No other one is read."""


def write(manifest: DatasetManifest) -> bytes:
    """The canonical bytes of a manifest, whose SHA-256 is the content of a version."""
    return canonical(manifest)


def manifest(content: str, blobs: Blobs) -> DatasetManifest:
    """What lies under a content. Raises NotFound, Corrupt."""
    data = blobs.get(content)
    try:
        found = codec.decode(data, DatasetManifest)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise _no_data_set(content, str(error)) from error
    if found.format != FORMAT:
        raise _no_data_set(content, f"its format is {found.format}, and this flyball knows {FORMAT} alone")
    return found


def _no_data_set(content: str, why: str) -> Corrupt:
    return Corrupt(f"blob {content} is not a data set", why=why, fix="restore it from a backup")


def read(chunk: str, blobs: Blobs, columns: Sequence[str] | None = None) -> pl.DataFrame:
    """The rows of a chunk, or some of its columns; the bytes are checked. Raises NotFound, Corrupt."""
    try:
        return pl.read_parquet(io.BytesIO(blobs.get(chunk)), columns=None if columns is None else [*columns])
    except PolarsError as error:
        raise Corrupt(f"blob {chunk} is not a chunk", why=str(error).splitlines()[0], fix="restore it from a backup") from error


def nothing(found: DatasetManifest, columns: Sequence[str] | None = None) -> pl.DataFrame:
    """No row of it."""
    types = {column.name: DTYPES[column.type] for column in found.columns}
    return pl.DataFrame(schema=types if columns is None else {name: types[name] for name in columns})


def only_in(chunks: Iterable[Chunk], others: Iterable[Chunk]) -> tuple[Chunk, ...]:
    """The chunks that are not among the others, as often as they are not, in their order. What both have needs no reading."""
    left = Counter(chunk.content for chunk in others)
    found: list[Chunk] = []
    for chunk in chunks:
        if left[chunk.content]:
            left[chunk.content] -= 1
        else:
            found.append(chunk)
    return tuple(found)


def names(content: str, blobs: Blobs) -> frozenset[str]:
    """The chunks of a content; none where it is gone, cannot be read, or is a segment's."""
    with suppress(NotFound, Corrupt):
        with blobs.path(content).open("rb") as file:
            if file.read(len(PARQUET)) == PARQUET:
                return frozenset()
        return frozenset(chunk.content for chunk in manifest(content, blobs).chunks)
    return frozenset()


def drop(contents: Iterable[str], kept: Iterable[str], blobs: Blobs) -> int:
    """Remove contents with their chunks, but for chunks of the `kept` contents; how many blobs. The manifest goes last: a kill is done again."""
    there = [content for content in contents if blobs.has(content)]
    if not there:
        return 0
    needed = frozenset[str]().union(*(names(content, blobs) for content in kept))
    return sum(blobs.remove(each) for each in _in_turn(there, needed, blobs))


def _in_turn(contents: Iterable[str], needed: frozenset[str], blobs: Blobs) -> Iterator[str]:
    for content in contents:
        yield from sorted(names(content, blobs) - needed)
        yield content
