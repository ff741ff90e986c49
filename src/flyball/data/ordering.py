"""Rows in order of time, however many there are: what a source gives in order is passed on, what it does not is sorted on disk.

Rows of one time stay in the order in which they came. A missing time is before all others.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Final, TypeVar

import numpy as np
import polars as pl
from numpy.typing import NDArray

from flyball.data.sources.access import PREFIX
from flyball.data.types import instants

HELD: Final = 2**27
"""Bytes of rows that are held at once."""

BLOCK: Final = 2**14
"""Rows of a sorted run that are read back at once."""

_MISSING: Final = -(2**62)

T = TypeVar("T")
Read = Callable[[], Iterable[pl.DataFrame]]


class DisorderError(Exception):
    """A row came that is older than one that was passed on."""


def in_order(read: Read, time: str, use: Callable[[Iterator[pl.DataFrame]], T], *, scratch: Path | None = None, held: int = HELD) -> T:
    """What `use` makes of all rows of a source in order of time, in memory of a few times `held` bytes.

    read: gives the rows in the source's order, each time anew. A row that comes late by no more than `held` bytes is put in its place on the
    way. Where one comes later than that, `use` gets DisorderError, and then once more all rows, sorted on the disk (in a folder under
    `scratch`, which is gone afterwards): what it wrote so far must do no harm. time: empty where there is no order.
    """
    if not time:
        return use(iter(read()))
    try:
        return use(straight(read(), time, held))
    except DisorderError:
        if scratch is not None:
            scratch.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f"{PREFIX}sort-", dir=scratch) as folder:
            return use(sorted_by_time(read(), time, Path(folder), held))


def straight(frames: Iterable[pl.DataFrame], time: str, held: int = HELD) -> Iterator[pl.DataFrame]:
    """The rows in order of time. Raises DisorderError where one comes after `held` bytes of later ones."""
    waiting: list[pl.DataFrame] = []
    size, passed = 0, _MISSING
    for frame in frames:
        if not frame.height:
            continue
        if _keys(frame, time).min() < passed:
            raise DisorderError
        waiting.append(frame)
        size += int(frame.estimated_size())
        if size > held:
            rows = ordered(pl.concat(waiting), time)
            ready, rest = rows.head(rows.height // 2), rows.slice(rows.height // 2)
            if ready.height:
                passed = int(_keys(ready.tail(1), time)[0])
                yield ready
            waiting, size = [rest], int(rest.estimated_size())
    if waiting:
        yield ordered(pl.concat(waiting), time)


def ordered(frame: pl.DataFrame, time: str) -> pl.DataFrame:
    """The rows of a frame in order of time. time: empty where there is no order."""
    if not time:
        return frame
    keys = _keys(frame, time)
    return frame if bool((keys[1:] >= keys[:-1]).all()) else frame[np.argsort(keys, kind="stable")]


def sorted_by_time(frames: Iterable[pl.DataFrame], time: str, folder: Path, held: int = HELD) -> Iterator[pl.DataFrame]:
    """The rows in order of time: sorted runs of `held` bytes are written into `folder` and merged."""
    files: list[Path] = []
    waiting: list[pl.DataFrame] = []
    size = 0
    for frame in frames:
        waiting.append(frame)
        size += int(frame.estimated_size())
        if size > held:
            files.append(_written(ordered(pl.concat(waiting), time), folder / f"{len(files)}.arrow"))
            waiting, size = [], 0
    runs = [_Run(_blocks(file), time) for file in files]
    if waiting:
        runs.append(_Run(iter([ordered(pl.concat(waiting), time)]), time))
    yield from _merged(runs, time)


def _written(rows: pl.DataFrame, path: Path) -> Path:
    import pyarrow as pa

    table = rows.to_arrow()
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, table.schema, options=pa.ipc.IpcWriteOptions(compression="lz4")) as out:
        out.write_table(table, max_chunksize=BLOCK)
    return path


def _blocks(path: Path) -> Iterator[pl.DataFrame]:
    import pyarrow as pa

    with pa.OSFile(str(path), "rb") as file:
        reader = pa.ipc.open_file(file)
        for number in range(reader.num_record_batches):
            block: Any = pl.from_arrow(reader.get_batch(number))
            yield block


class _Run:
    """Sorted rows that are read block by block."""

    def __init__(self, blocks: Iterator[pl.DataFrame], time: str) -> None:
        self._blocks, self._time = blocks, time
        self.rows: pl.DataFrame | None = None
        self.keys: NDArray[np.int64] = np.empty(0, np.int64)
        self.more()

    def more(self) -> None:
        """The next block, where this one is used up."""
        while not len(self.keys) and (block := next(self._blocks, None)) is not None:
            self.rows, self.keys = block, _keys(block, self._time)

    def take(self, end: int) -> pl.DataFrame | None:
        """The first rows, before place `end` of this block."""
        if self.rows is None or not end:
            return None
        taken = self.rows.head(end)
        self.rows, self.keys = self.rows.slice(end), self.keys[end:]
        return taken


def _merged(runs: list[_Run], time: str) -> Iterator[pl.DataFrame]:
    """All rows of the runs; of one time, those of the first run first."""
    while live := [run for run in runs if len(run.keys)]:
        bound = min(int(run.keys[-1]) for run in live)
        # what is before the end of every block is there as a whole
        parts = [part for run in live if (part := run.take(int(np.searchsorted(run.keys, bound)))) is not None]
        if parts:
            yield parts[0] if len(parts) == 1 else ordered(pl.concat(parts), time)
        # rows of the time at which a block ends may go on in the next one
        for run in live:
            run.more()
            while len(run.keys) and run.keys[0] == bound:
                part = run.take(int(np.searchsorted(run.keys, bound, side="right")))
                if part is not None:
                    yield part
                run.more()


def _keys(frame: pl.DataFrame, time: str) -> NDArray[np.int64]:
    return frame.select(instants(time).fill_null(_MISSING)).to_series().to_numpy()
