"""Which rows two versions do not share: chunks that both have are not read, and of the others no more at once than lies at one time.

A row counts as often as it is there. Two rows are the same where a hash of 64 bits over the compared columns is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from itertools import pairwise
from tempfile import TemporaryFile
from typing import IO, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from flyball.data.manifest import manifest, nothing, only_in, read
from flyball.data.types import instants
from flyball.records.data import Chunk, DatasetManifest
from flyball.store.blobs import Blobs

NEVER = 2**62
"""The time of a row that has none: it is settled at the end."""

HELD = 2**22
"""Rows of which the hashes are held at once, of each side, where there is no time."""

EXAMPLES = 3
"""Rows of which the place is told."""

_POOL = {"row": pl.UInt64, "at": pl.Int64, "count": pl.Int64, "chunk": pl.String, "place": pl.Int64}


class Unshared(NamedTuple):
    """Rows of one side alone: how many, and where the first of them lie (chunk, place)."""

    rows: int
    places: tuple[tuple[str, int], ...]


class Settled(NamedTuple):
    """What is known of a stretch of time: rows that went, and rows that came."""

    removed: Unshared
    added: Unshared


def unshared(before: DatasetManifest, after: DatasetManifest, columns: Sequence[str], blobs: Blobs) -> Iterator[Settled]:
    """The rows that one version has and the other has not, stretch by stretch of time. Raises NotFound, Corrupt.

    columns: those that are compared; both versions have them. Where they are all columns of both, chunks that both have are passed over.
    """
    old, new = before.chunks, after.chunks
    if [column.name for column in before.columns] == [column.name for column in after.columns] == [*columns]:
        old, new = only_in(before.chunks, after.chunks), only_in(after.chunks, before.chunks)
    time = before.time if before.time == after.time and before.time in columns else ""
    # without a common time all rows are one stretch
    signed = [(-1, chunk) for chunk in old] + [(1, chunk) for chunk in new]
    left = sorted(signed, key=lambda each: each[1].first) if time else signed
    pool = pl.DataFrame(schema=_POOL)
    while left:
        sign, chunk = left.pop(0)
        pool = pl.concat([pool, _counted(chunk, sign, columns, time, blobs)])
        if left and (not time or left[0][1].first <= chunk.first):
            continue
        pool = pool.group_by("row", maintain_order=True).agg(
            pl.col("at").max(), pl.col("count").sum(), pl.col("chunk").last(), pl.col("place").last()
        )
        done = pl.lit(value=True) if not left else pl.col("at") < left[0][1].first
        ready = pool.filter(done & (pl.col("count") != 0))
        pool = pool.filter(~done & (pl.col("count") != 0))
        if ready.height:
            yield Settled(removed=_sum(ready.filter(pl.col("count") < 0)), added=_sum(ready.filter(pl.col("count") > 0)))


class Apart(NamedTuple):
    """The rows of the chunks that only one of two versions has, in their order, and how many rows the later version has in all."""

    before: pl.DataFrame
    after: pl.DataFrame
    rows: int


def apart(before: str, after: str, columns: Sequence[str], time: str, most: int, blobs: Blobs) -> Apart | None:
    """What lies in the chunks that two contents do not share, in these columns. Raises NotFound, Corrupt.

    None where more than `most` rows were added, or rows went; where either is not in order of `time`, or a column is missing or of another type;
    and where the rows of a chunk that both have stand among others of the same time: in which order all of them are would not be told.
    """
    one, other = manifest(before, blobs), manifest(after, blobs)
    types = _types(one, columns)
    if one.time != time or other.time != time or None in types or types != _types(other, columns):
        return None
    old, new = only_in(one.chunks, other.chunks), only_in(other.chunks, one.chunks)
    more = sum(chunk.rows for chunk in new) - sum(chunk.rows for chunk in old)
    shared, still = _shared(one.chunks, old), _shared(other.chunks, new)
    if not 0 <= more <= most or shared is None or shared != still:
        return None
    gone, came = (
        pl.concat([nothing(found, columns), *(read(chunk.content, blobs, columns).select(columns) for chunk in chunks)])
        for found, chunks in ((one, old), (other, new))
    )
    return Apart(gone, came, sum(chunk.rows for chunk in other.chunks))


def _types(found: DatasetManifest, columns: Sequence[str]) -> list[str | None]:
    types = {column.name: column.type for column in found.columns}
    return [types.get(name) for name in columns]


def _shared(chunks: Sequence[Chunk], own: Sequence[Chunk]) -> list[str] | None:
    """The chunks but for `own`; None where one follows a chunk of these at a time that both have."""
    mine = {id(chunk) for chunk in own}
    if any(id(one) in mine and id(other) not in mine and other.first <= one.last for one, other in pairwise(chunks)):
        return None
    return [chunk.content for chunk in chunks if id(chunk) not in mine]


def only_added(before: DatasetManifest, after: DatasetManifest, blobs: Blobs) -> bool:
    """Whether every row of `before` is in `after`, as often as it was. Both have the same columns. Raises NotFound, Corrupt."""
    columns = [column.name for column in before.columns]
    if not before.time or before.time != after.time:
        # no stretch of time ends before the last row
        return _contained(only_in(before.chunks, after.chunks), only_in(after.chunks, before.chunks), columns, blobs)
    return all(not settled.removed.rows for settled in unshared(before, after, columns, blobs))


def _contained(old: Sequence[Chunk], new: Sequence[Chunk], columns: Sequence[str], blobs: Blobs) -> bool:
    """Whether every row of some chunks is in others, as often. Their hashes lie on the disk, and are compared a part of all hashes at a time."""
    parts = -(-max(sum(chunk.rows for chunk in chunks) for chunks in (old, new)) // HELD)
    with ExitStack() as opened:
        sides = [[opened.enter_context(TemporaryFile()) for _ in range(parts)] for _ in range(2)]
        for chunks, files in zip((old, new), sides, strict=True):
            for chunk in chunks:
                hashes = read(chunk.content, blobs, columns).select(columns).hash_rows(seed=0).to_numpy()
                for part, file in enumerate(files):
                    file.write(hashes[hashes % parts == part].tobytes())
        return all(_within(_hashes(before), _hashes(after)) for before, after in zip(*sides, strict=True))


def _hashes(file: IO[bytes]) -> NDArray[np.uint64]:
    file.seek(0)
    return np.frombuffer(file.read(), np.uint64)


def _within(before: NDArray[np.uint64], after: NDArray[np.uint64]) -> bool:
    """Whether every value is there, as often as before."""
    values, counts = np.unique(before, return_counts=True)
    there, often = np.unique(after, return_counts=True)
    if not len(values) or len(values) > len(there):
        return not len(values)
    at = np.minimum(np.searchsorted(there, values), len(there) - 1)
    return bool(((there[at] == values) & (often[at] >= counts)).all())


def same_rows(one: DatasetManifest, other: DatasetManifest, blobs: Blobs) -> bool:
    """Whether two manifests hold the same rows in the same order, however they are cut. Raises NotFound, Corrupt."""
    if one.columns != other.columns or sum(chunk.rows for chunk in one.chunks) != sum(chunk.rows for chunk in other.chunks):
        return False
    mine, theirs = list(one.chunks), list(other.chunks)
    left = right = pl.DataFrame()
    while mine or theirs:
        if not left.height and not right.height and mine and theirs and mine[0].content == theirs[0].content:
            del mine[0], theirs[0]
            continue
        left = read(mine.pop(0).content, blobs) if not left.height else left
        right = read(theirs.pop(0).content, blobs) if not right.height else right
        size = min(left.height, right.height)
        if not left.head(size).equals(right.head(size)):
            return False
        left, right = left.slice(size), right.slice(size)
    return left.equals(right)


def _counted(chunk: Chunk, sign: int, columns: Sequence[str], time: str, blobs: Blobs) -> pl.DataFrame:
    frame = read(chunk.content, blobs, columns).select(columns)
    at = frame.select(instants(time).fill_null(NEVER)).to_series() if time else pl.repeat(0, frame.height, dtype=pl.Int64, eager=True)
    return pl.DataFrame({"row": frame.hash_rows(seed=0), "at": at}).select(
        "row",
        pl.col("at").cast(pl.Int64),
        pl.lit(sign, dtype=pl.Int64).alias("count"),
        pl.lit(chunk.content).alias("chunk"),
        pl.int_range(pl.len(), dtype=pl.Int64).alias("place"),
    )


def _sum(found: pl.DataFrame) -> Unshared:
    count = int(found["count"].abs().sum())
    places = found.head(EXAMPLES).select("chunk", "place").rows()
    return Unshared(count, tuple(places))
