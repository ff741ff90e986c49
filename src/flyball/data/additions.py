"""Which rows two versions do not share: chunks that both have are not read, and of the others no more at once than lies at one time.

A row counts as often as it is there. Two rows are the same where a hash of 64 bits over the compared columns is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import polars as pl

from flyball.data.manifest import only_in, read
from flyball.data.types import instants
from flyball.records.data import Chunk, DatasetManifest
from flyball.store.blobs import Blobs

NEVER = 2**62
"""The time of a row that has none: it is settled at the end."""


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


def only_added(before: DatasetManifest, after: DatasetManifest, blobs: Blobs) -> bool:
    """Whether every row of `before` is in `after`, as often as it was. Both have the same columns. Raises NotFound, Corrupt."""
    columns = [column.name for column in before.columns]
    return all(not settled.removed.rows for settled in unshared(before, after, columns, blobs))


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


_POOL = {"row": pl.UInt64, "at": pl.Int64, "count": pl.Int64, "chunk": pl.String, "place": pl.Int64}


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


EXAMPLES = 3
"""Rows of which the place is told."""
