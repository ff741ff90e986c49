"""What children that are asked one thing have in common: they stand back, read their task from a file, and answer on standard output."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import polars as pl

from flyball.clock import Instant
from flyball.errors import FlyballError, Unavailable
from flyball.loop.children import FAILED, NOT_NOW, said_of
from flyball.loop.learning import log_records, segments
from flyball.records import codec
from flyball.records.base import Record
from flyball.records.serving import SegmentRow
from flyball.serving import wal
from flyball.serving.sealer import unseal
from flyball.store.blobs import Blobs, LocalBlobs

LONGEST_S = 1_200
"""When such a process ends in any case: whoever waits for it ends it long before, unless it was killed itself."""

NICER = 10
"""How much such a process stands back: those who answer requests go first."""


class Asked(Record, frozen=True):
    """A task; `blobs` is the folder of blobs."""

    blobs: str


Task = TypeVar("Task", bound=Asked)


def answer(
    arguments: Sequence[str],
    kind: type[Task],
    found: Callable[[Task, Blobs], Record],
    refused: Callable[[Task, FlyballError | pl.exceptions.PolarsError], Record],
) -> int:
    """Answer the task in the file that is the only argument; the exit code is 0 where an answer was written, else what was written is why there is none
    (`children.NOT_NOW`, `FAILED`). refused: what is answered where nothing is found.
    """
    os.nice(NICER)
    signal.alarm(LONGEST_S)
    code, told = 0, b""
    try:
        task = codec.decode(Path(arguments[0]).read_bytes(), kind)
        told = codec.encode(_answered(task, found, refused))
    except (Unavailable, OSError) as error:
        code, told = NOT_NOW, str(error).encode(errors="replace")
    except BaseException as error:  # noqa: BLE001 - whoever asks tells it; a panic of Polars is no Exception
        code, told = FAILED, said_of(error).encode(errors="replace")
    sys.stdout.buffer.write(told)
    return code


def _answered(
    task: Task, found: Callable[[Task, Blobs], Record], refused: Callable[[Task, FlyballError | pl.exceptions.PolarsError], Record]
) -> Record:
    try:
        return found(task, LocalBlobs(Path(task.blobs)))
    except (FlyballError, pl.exceptions.PolarsError) as error:
        return refused(task, error)


class Log(Record, frozen=True):
    """The prediction log, as a child is told of it: its `folder`; `sealed`: segments that became blobs; `listed`: its files (gateway, number) before
    it was looked what is sealed.
    """

    folder: str
    sealed: tuple[SegmentRow, ...] = ()
    listed: tuple[tuple[str, int], ...] = ()

    @classmethod
    def at(cls, folder: Path, sealed: Callable[[], Iterable[SegmentRow]], since: Instant) -> Log:
        """The log as it is now, from a moment on."""
        # before what is sealed is asked: what is sealed between the two is missed, and not passed over
        listed = tuple((file.gateway, file.number) for file in wal.segments(folder))
        return cls(folder=str(folder), sealed=tuple(row for row in sealed() if row.last >= since), listed=listed)

    def read(self, blobs: Blobs, since: Instant) -> Iterator[Iterable[wal.LogRecord]]:
        """Its records, a part at a time, oldest first within each gateway. Raises NotFound, Corrupt, Unavailable."""
        read = log_records(
            lambda: segments(Path(self.folder), self.listed), lambda: self.sealed, lambda row: unseal(blobs.get(row.parquet_sha256))
        )
        return read(since)
