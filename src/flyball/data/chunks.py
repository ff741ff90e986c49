"""Where the rows of a data set are cut into chunks: decided by the rows themselves, whatever was cut before them. Pure.

A cut is looked for among the rows that would make a chunk of `LEAST` to `MOST` bytes: before the row whose time has the least hash, so that
rows of one time stay together; where that is no new time, before the row with the least hash. An added, changed or missing row moves a cut only
where it is the least itself, or pushes the least out of the window, so all other chunks stay what they were. (Content-defined chunking by local
minima: N. Bjørner, A. Blass, Y. Gurevich, "Content-dependent chunking for differential compression, the local maximum approach", 2010.)
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from flyball.data.types import instants

MOST: Final = 2**21
"""Bytes of a chunk at most, unless a single row has more: 8 for each cell, and what a text is long."""

LEAST: Final = MOST // 4
"""Bytes before which no chunk ends, but the last."""

STEP: Final = 2**16
"""Rows that are looked at in one go."""

Hashes = NDArray[np.uint64]
Sizes = NDArray[np.int64]


def cut(frames: Iterable[pl.DataFrame], time: str) -> Iterator[pl.DataFrame]:
    """The rows of `frames`, in their order, as chunks: the same ones however the frames were cut. At most two chunks and a step are held.

    time: the column whose values stay together; empty: none.
    """
    rest = _Rest(time)
    for frame in frames:
        for step in frame.iter_slices(STEP):
            if step.height:
                rest.add(step)
                yield from rest.full()
    if rest.frame is not None and rest.frame.height:
        yield rest.frame


class _Rest:
    """The rows after the last cut; for each the bytes up to its end, and the hash of its time where it is the first row of that time."""

    def __init__(self, time: str) -> None:
        self._time = time
        self._last: int | None = None
        self._ends: Sizes = np.empty(0, np.int64)
        self._hashes: Hashes = np.empty(0, np.uint64)
        self.frame: pl.DataFrame | None = None

    def add(self, step: pl.DataFrame) -> None:
        before = int(self._ends[-1]) if len(self._ends) else 0
        self.frame = step if self.frame is None or not self.frame.height else pl.concat([self.frame, step])
        self._ends = np.concatenate([self._ends, before + np.cumsum(_sizes(step))])
        if self._time:
            self._hashes = np.concatenate([self._hashes, self._starts(step)])

    def _starts(self, step: pl.DataFrame) -> Hashes:
        times = step.select(instants(self._time).fill_null(0)).to_series().to_numpy()
        new = np.empty(len(times), bool)
        new[0] = self._last is None or times[0] != self._last
        np.not_equal(times[1:], times[:-1], out=new[1:])
        self._last = int(times[-1])
        return np.where(new, mixed(times.astype(np.uint64)), NEVER)

    def full(self) -> Iterator[pl.DataFrame]:
        """The chunks that are decided by now."""
        while self.frame is not None and len(self._ends) and self._ends[-1] > MOST:
            at = self._cut(self.frame)
            yield self.frame.head(at)
            self.frame = self.frame.slice(at)
            self._ends = self._ends[at:] - self._ends[at - 1]
            self._hashes = self._hashes[at:]

    def _cut(self, frame: pl.DataFrame) -> int:
        """How many rows the first chunk has: those before row `first` to `last` may be it."""
        first = max(int(np.searchsorted(self._ends, LEAST)) + 1, 1)
        last = max(int(np.searchsorted(self._ends, MOST, side="right")), 1)
        if first >= last:
            return last
        if self._time:
            window = self._hashes[first : last + 1]
            place = int(window.argmin())
            if window[place] != NEVER:
                return first + place
        return first + int(frame.slice(first, last + 1 - first).hash_rows(seed=0).to_numpy().argmin())


NEVER: Final = np.uint64(2**64 - 1)
"""The hash of a row that does not begin a time."""


def mixed(values: Hashes) -> Hashes:
    """Whole numbers spread over 64 bits, and none to NEVER (SplitMix64's finaliser; G. Steele, D. Lea, C. Flood, OOPSLA 2014)."""
    values = (values + np.uint64(0x9E3779B97F4A7C15)) & NEVER
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.minimum(values ^ (values >> np.uint64(31)), NEVER - np.uint64(1))


def _sizes(step: pl.DataFrame) -> Sizes:
    """Bytes of each row, whatever its columns are stored in."""
    texts = [pl.col(name).str.len_bytes().fill_null(0).cast(pl.Int64) for name, kind in step.schema.items() if kind == pl.String]
    cells = 8 * step.width
    if not texts:
        return np.full(step.height, cells, np.int64)
    return step.select(pl.sum_horizontal(texts) + cells).to_series().to_numpy()


def parquet(frame: pl.DataFrame) -> bytes:
    """The canonical bytes of some rows: one row group, fixed compression, no metadata of who wrote it when."""
    out = io.BytesIO()
    frame.rechunk().write_parquet(out, compression="zstd", compression_level=1, row_group_size=max(frame.height, 1), statistics=True)
    return out.getvalue()
