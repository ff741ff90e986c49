"""Reads what views gave out of the prediction log, sealed segments and open ones alike, each row once."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from flyball.clock import FARTHEST, Instant
from flyball.errors import Corrupt
from flyball.records.serving import SegmentRow
from flyball.serving import wal
from flyball.serving.vectors import TakenUp, taken_up

_AT_ONCE = 8 << 20
"""Bytes of the log that are taken into memory at once."""


@dataclass(eq=False)
class Heading:
    """The views of a worker as it knew them, and as it knew them next, where it has gone on since."""

    views: list[TakenUp]
    after: Heading | None = None


class LoggedVector(NamedTuple):
    """One row that was answered with the help of views. `row` is its id, `at` when it was predicted, `fields` its request by name (times: µs).

    `values` are those of the features of the heading's views, one view after another, as of `moment`. `again`: whoever resumed the log had read it.
    """

    version: str
    row: str
    at: Instant
    moment: Instant
    fields: dict[str, Any]
    heading: Heading
    values: list[Any]
    again: bool = False


_NO_HEADING = Heading([])


class _Headings:
    """The newest heading of each set of views, as one gateway has heard of it: of its segments, one after another."""

    def __init__(self) -> None:
        self._newest: dict[tuple[tuple[str, str], ...], Heading] = {}

    def told(self, views: list[TakenUp]) -> Heading:
        """The heading of these views, that the former one leads to."""
        own = tuple((view.view, view.digest) for view in views)
        before = self._newest.get(own)
        if before is not None and before.views == views:
            return before
        heading = self._newest[own] = Heading(views)
        if before is not None:
            before.after = heading
        return heading


@dataclass
class _Reader:
    """What the records of one segment need to be understood: they come before those that need them."""

    headings: _Headings
    names: dict[str, tuple[str, ...]] = field(default_factory=dict)
    views: dict[str, Heading] = field(default_factory=dict)
    offset: int = 0
    count: int = 0
    known: int = 0
    """How many of its records somebody had read before."""

    def rows(self, records: Iterable[wal.LogRecord], after: Instant) -> Iterator[LoggedVector]:
        """The rows with vectors, of those that were picked after `after`."""
        for record in records:
            self.count += 1
            if record.kind == "signature" and record.input:
                self.names[record.version] = tuple(record.input[0])
            elif record.kind == "views":
                self.views[record.request_id] = self.headings.told(taken_up(record.input))
            elif record.vectors is not None and record.at > after:
                yield from self._of(record)

    def _of(self, record: wal.LogRecord) -> Iterator[LoggedVector]:
        vectors, names = record.vectors, self.names.get(record.version, ())
        assert vectors is not None
        heading = self.views.get(vectors.mark, _NO_HEADING)
        again = self.count <= self.known
        for row, fields, moment, values in zip(record.row_ids(), record.input or (), vectors.moments, vectors.values, strict=False):
            yield LoggedVector(record.version, row, record.at, moment, dict(zip(names, fields, strict=False)), heading, values, again)


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
        self._done: dict[tuple[str, int], tuple[int, Instant]] = {}
        self._known: dict[tuple[str, int], int] = {}
        self._headings: dict[str, _Headings] = {}
        self._begin: Instant | None = None

    def resume(self, position: Mapping[str, int]) -> None:
        """Mark the rows before a position that `position` once gave as read; `read` gives them again, marked so."""
        for name, count in position.items():
            gateway, _, number = name.rpartition("/")
            self._known[gateway, int(number)] = count

    def position(self, after: Instant) -> dict[str, int]:
        """How many records of each segment were read, of those that may have rows from after that moment."""
        counts = {key: reader.count for key, reader in self._open.items()}
        counts |= {key: count for key, (count, last) in self._done.items() if last > after}
        return {f"{gateway}/{number}": count for (gateway, number), count in sorted(counts.items())}

    def read(self, after: Instant) -> Iterator[LoggedVector]:
        """Rows that were not read yet; of those that were there at the first call, the ones picked after its `after`.

        A file that is no segment is left out. Raises NotFound, Corrupt.
        """
        # whatever was not there yet at the end of the first call is new, by whichever clock
        begin = self._begin = after if self._begin is None else self._begin
        files = {(file.gateway, file.number): file.path for file in wal.segments(self._log)}
        # older ones first: what a gateway's views were leads to what they were next
        yield from self._unread(begin, but=files.keys())
        gone: set[tuple[str, int]] = set()
        for key, path in files.items():
            try:
                yield from self._tail(path, self._reader(key), begin)
            except FileNotFoundError:
                # sealed since it was listed
                gone.add(key)
            except Corrupt:
                # for somebody else to look at
                continue
        if gone:
            yield from self._unread(begin, but=files.keys() - gone)
        self._begin = -FARTHEST

    def _unread(self, begin: Instant, but: Collection[tuple[str, int]]) -> Iterator[LoggedVector]:
        """The sealed segments that were not read to their end."""
        for row in self._sealed():
            key = (row.gateway, row.number)
            if key in but or key in self._done:
                continue
            reader = self._reader(key)
            # one that cannot be read fails this once
            self._done[key] = max(reader.count, reader.known), row.last
            del self._open[key]
            if row.last > begin:
                # what was read of its file is not read again
                yield from reader.rows(self._unsealed(row)[reader.count :], begin)
                self._done[key] = reader.count, row.last

    def _reader(self, key: tuple[str, int]) -> _Reader:
        if key not in self._open:
            self._open[key] = _Reader(self._headings.setdefault(key[0], _Headings()), known=self._known.get(key, 0))
        return self._open[key]

    def _tail(self, path: Path, reader: _Reader, after: Instant) -> Iterator[LoggedVector]:
        while True:
            records, end = wal.read(path, reader.offset, limit=_AT_ONCE)
            if not records:
                return
            reader.offset = end
            yield from reader.rows(records, after)
