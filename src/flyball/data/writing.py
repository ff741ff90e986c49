"""Rows into the blob store, chunk by chunk, as they come: no more than a few chunks are held."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Final

import polars as pl

from flyball.clock import Instant
from flyball.data import manifest
from flyball.data.baseline import Baseline, Gathering
from flyball.data.chunks import cut, parquet
from flyball.data.profile import Profile
from flyball.data.types import epoch, schema
from flyball.declare.data import Dataset
from flyball.records.data import Chunk, ChunkColumn, ColumnStats, DatasetManifest
from flyball.store.blobs import Blobs

LOOKED_AT: Final = 2**16
"""Rows at least that are summed up at once: of fewer, every sum costs what it costs to begin one."""


class Written:
    """The rows of one look at a source, as they lie in the blob store. No manifest is written before `keep`: until then nothing names them."""

    def __init__(self, dataset: Dataset, frames: Iterable[pl.DataFrame], blobs: Blobs) -> None:
        """frames: as `source.read` gives them, in order of time. Raises Unavailable, and whatever reading them raises; nothing is left then."""
        self._blobs = blobs
        self._arrived = dataset.arrived
        self._profile = Profile(dataset)
        self._baseline = Gathering(dataset)
        self._new: dict[str, Instant] = {}
        self._unseen: list[pl.DataFrame] = []
        self._known: list[Instant] = []
        self._columns: list[str] = []
        chunks: list[Chunk] = []
        try:
            chunks.extend(self._chunk(frame, dataset.time) for frame in cut(frames, dataset.time))
            self._look()
        except BaseException:  # Ctrl-C too: what was written is of persons, and nothing would name it
            self.abandon()
            raise
        types = schema(dataset)
        columns = tuple(ChunkColumn(name=name, type=types[name]) for name in self._columns or types)
        self.manifest = DatasetManifest(columns=columns, chunks=tuple(chunks), time=dataset.time)
        self._data = manifest.write(self.manifest)
        self.content = hashlib.sha256(self._data).hexdigest()

    def _chunk(self, frame: pl.DataFrame, time: str) -> Chunk:
        self._columns = frame.columns
        first, last = epoch(frame, time) if time else (0, 0)
        self._known.append(max(last, epoch(frame, self._arrived)[1]) if self._arrived else last)
        self._unseen.append(frame)
        if sum(waiting.height for waiting in self._unseen) >= LOOKED_AT:
            self._look()
        data = parquet(frame)
        there = self._blobs.has(hashlib.sha256(data).hexdigest())
        content = self._blobs.put(data)
        if not there and (touched := self._blobs.touched(content)) is not None:
            self._new[content] = touched.at
        return Chunk(content=content, rows=frame.height, first=first, last=last)

    def _look(self) -> None:
        if self._unseen:
            frame = pl.concat(self._unseen, rechunk=True)
            self._profile.add(frame)
            self._baseline.add(frame)
            self._unseen = []

    @property
    def rows(self) -> int:
        """How many."""
        return sum(chunk.rows for chunk in self.manifest.chunks)

    @property
    def span(self) -> tuple[Instant, Instant]:
        """The times of the earliest and latest row; 0 and 0 where there is none."""
        timed = [chunk for chunk in self.manifest.chunks if chunk.first or chunk.last]
        return (min((chunk.first for chunk in timed), default=0), max((chunk.last for chunk in timed), default=0))

    @property
    def as_of(self) -> Instant:
        """The latest moment at which a row was known: the greatest of arrival and time; 0 where rows have neither."""
        return max(self._known, default=0)

    def stats(self) -> tuple[ColumnStats, ...]:
        """The statistics of every column."""
        return self._profile.stats()

    def baseline(self) -> Baseline:
        """What the columns held, to compare the next version with."""
        return self._baseline.baseline()

    def keep(self) -> None:
        """Write the manifest. Raises Unavailable."""
        self._blobs.put(self._data)

    def abandon(self) -> None:
        """Remove the chunks that were not there before, unless somebody else has put them meanwhile."""
        for content, at in self._new.items():
            self._blobs.remove_idle(content, at + 1)
        self._new.clear()
