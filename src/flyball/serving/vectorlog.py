"""Reads what views gave out of the prediction log, sealed segments and open ones alike, each row once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from flyball.clock import Instant
from flyball.errors import Corrupt
from flyball.records.serving import SegmentRow
from flyball.serving import wal
from flyball.serving.vectors import TakenUp, taken_up

_AT_ONCE = 8 << 20
"""Bytes of the log that are taken into memory at once."""


class LoggedVector(NamedTuple):
    """One row that was answered with the help of views. `row` is its id, `at` when it was predicted, `fields` its request by name (times: µs).

    `values` are those of the features of `views`, one view after another, as of `moment`.
    """

    version: str
    row: str
    at: Instant
    moment: Instant
    fields: dict[str, Any]
    views: list[TakenUp]
    values: list[Any]


@dataclass
class _Reader:
    """What the records of one segment need to be understood: they come before those that need them."""

    names: dict[str, tuple[str, ...]] = field(default_factory=dict)
    views: dict[str, list[TakenUp]] = field(default_factory=dict)
    offset: int = 0
    count: int = 0

    def rows(self, records: Iterable[wal.LogRecord], after: Instant) -> Iterator[LoggedVector]:
        """The rows with vectors, of those that were picked after `after`."""
        for record in records:
            self.count += 1
            if record.kind == "signature" and record.input:
                self.names[record.version] = tuple(record.input[0])
            elif record.kind == "views":
                self.views[record.request_id] = taken_up(record.input)
            elif record.vectors is not None and record.at > after:
                yield from self._of(record)

    def _of(self, record: wal.LogRecord) -> Iterator[LoggedVector]:
        vectors, names = record.vectors, self.names.get(record.version, ())
        assert vectors is not None
        views = self.views.get(vectors.mark, [])
        for row, fields, moment, values in zip(record.row_ids(), record.input or (), vectors.moments, vectors.values, strict=False):
            yield LoggedVector(record.version, row, record.at, moment, dict(zip(names, fields, strict=False)), views, values)


class VectorLog:
    """The log of one project. Each call of `read` goes on where the last one ended, also with requests that were picked long before they
    were answered.
    """

    def __init__(
        self, log: Path, sealed: Callable[[], Iterable[SegmentRow]], unsealed: Callable[[SegmentRow], list[wal.LogRecord]]
    ) -> None:
        """sealed: the segments that became Parquet; unsealed: the records of one."""
        self._log = log
        self._sealed = sealed
        self._unsealed = unsealed
        self._open: dict[tuple[str, int], _Reader] = {}
        self._done: set[tuple[str, int]] = set()
        self._begin: Instant | None = None

    def read(self, after: Instant) -> Iterator[LoggedVector]:
        """Rows that were not read yet; of those that were there at the first call, the ones picked after its `after`.

        A file that is no segment is left out. Raises NotFound, Corrupt.
        """
        begin = self._begin = after if self._begin is None else self._begin
        files: set[tuple[str, int]] = set()
        for file in wal.segments(self._log):
            key = (file.gateway, file.number)
            if key in self._done:
                continue
            reader = self._open.setdefault(key, _Reader())
            # one that was sealed since it was listed is read as such; one that is no segment is for somebody else to look at
            with suppress(FileNotFoundError, Corrupt):
                yield from self._tail(file.path, reader, begin)
                files.add(key)
        for row in self._sealed():
            key = (row.gateway, row.number)
            if key in files or key in self._done:
                continue
            reader = self._open.pop(key, _Reader())
            self._done.add(key)
            if row.last > begin:
                # what was read of its file is not read again
                yield from reader.rows(self._unsealed(row)[reader.count :], begin)

    def _tail(self, path: Path, reader: _Reader, after: Instant) -> Iterator[LoggedVector]:
        while True:
            records, end = wal.read(path, reader.offset, limit=_AT_ONCE)
            if not records:
                return
            reader.offset = end
            yield from reader.rows(records, after)
