"""Whether rows were only added between two versions: what they share is not read, and of the rest no more at once than lies at one time."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from flyball.data.manifest import only_in, read
from flyball.data.types import instants
from flyball.records.data import Chunk, DatasetManifest
from flyball.store.blobs import Blobs


def only_added(before: DatasetManifest, after: DatasetManifest, time: str, blobs: Blobs) -> bool:
    """Whether every row of `before` is in `after`, as often as it was. Both have the same columns. Raises NotFound, Corrupt."""
    columns = [column.name for column in before.columns]
    pool = _Pool(sorted(only_in(after.chunks, before.chunks), key=lambda chunk: chunk.first), columns, time, blobs)
    return all(pool.has(chunk) for chunk in sorted(only_in(before.chunks, after.chunks), key=lambda chunk: chunk.first))


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
    return True


class _Pool:
    """The rows of chunks, counted by hash, as far as rows of their times were asked for; what was found is taken out."""

    def __init__(self, chunks: Sequence[Chunk], columns: list[str], time: str, blobs: Blobs) -> None:
        self._left = list(chunks)
        self._columns, self._time, self._blobs = columns, time, blobs
        self._rows = pl.DataFrame(schema={"row": pl.UInt64, "at": pl.Int64, "count": pl.Int64})

    def has(self, chunk: Chunk) -> bool:
        """Whether all rows of a chunk are there. Chunks are asked for in order of their first time."""
        loaded = [self._rows.filter(pl.col("at") >= chunk.first) if self._time else self._rows]
        while self._left and self._left[0].first <= chunk.last:
            loaded.append(self._counted(self._left.pop(0)))
        self._rows = pl.concat(loaded)
        wanted = self._counted(chunk).with_columns(-pl.col("count"))
        self._rows = pl.concat([self._rows, wanted]).group_by("row").agg(pl.col("at").max(), pl.col("count").sum())
        return bool((self._rows["count"] >= 0).all())

    def _counted(self, chunk: Chunk) -> pl.DataFrame:
        frame = read(chunk.content, self._blobs).select(self._columns)
        at = frame.select(instants(self._time).fill_null(2**62)).to_series() if self._time else pl.repeat(0, frame.height, eager=True)
        counted = pl.DataFrame({"row": frame.hash_rows(seed=0), "at": at.cast(pl.Int64)})
        return counted.group_by("row").agg(pl.col("at").max(), pl.len().cast(pl.Int64).alias("count"))
