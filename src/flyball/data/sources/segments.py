"""Rows that callers sent, kept until a version of their data set holds them: append-only segments, on the disk before anybody is answered.

A segment `000000000001.rows` is named by its first row. It is a header, then frames `u32 length | u32 crc32 | payload`, a frame for each request:
`u64 first row | u64 last row | i64 when (µs) | u16 length of the command's id | the id | a JSON object a row, one a line`. What a process
that was killed has left at the end of a segment is cut off before anything is written after it; a reader stops before it. A frame that is
damaged and has others behind it is no such end: nothing is read beyond it, and nothing is cut off.
"""

from __future__ import annotations

import fcntl
import json
import os
import struct
import threading
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, NamedTuple

from flyball.clock import Instant
from flyball.errors import Corrupt, kind_of
from flyball.store.durable import sync_folder

LARGEST: Final = 16 << 20
"""Bytes after which a segment is followed by another."""

_MAGIC: Final = b"flyball-rows-1\n"
_FRAME: Final = struct.Struct("<II")
_HEAD: Final = struct.Struct("<QQqH")


Seen = tuple[str, int, int, int]
"""A segment, its inode, its size, and when it was written last."""


class Frame(NamedTuple):
    """The rows of one request, as JSON Lines: rows `first` to `last` of all that was ever sent. Erased ones are no longer among the lines."""

    first: int
    last: int
    at: Instant
    command: str
    lines: bytes


class Segments:
    """The segments of one data set. Threads share one; processes may have one each."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._left: Seen | None = None
        """How this process left the newest segment: what is otherwise was written by another one and is read through."""
        self._ended: tuple[Seen | None, int] = None, 0
        self._last = 0
        self._end = 0
        self._commands: dict[str, int] = {}

    def append(self, rows: Sequence[bytes], at: Instant, command: str, *, after: int = 0) -> int:
        """Keep rows, each a JSON object; the number of the last one, which is above `after`. They are on the disk when this returns.

        A command that was carried out before changes nothing. Raises Unavailable where the disk does not take them, Corrupt.
        """
        try:
            with self._alone():
                self._look()
                if command in self._commands:
                    return self._commands[command]
                first = max(self._last, after) + 1
                last = first + len(rows) - 1
                self._write(Frame(first, last, at, command, b"".join(row + b"\n" for row in rows)))
                self._last = self._commands[command] = last
                return last
        except OSError as error:
            self._left = None
            why = error.strerror or str(error)
            raise kind_of(error)(
                f"the rows cannot be kept in {self._folder}", why=why, fix="check the disk, then send them again", retry_after=5
            ) from error

    def end(self) -> int:
        """The number of the newest row; 0 where none was ever sent. Raises Corrupt."""
        newest = self._paths()[-1:]
        if not newest:
            return 0
        seen = _seen(newest[0])
        if self._ended[0] != seen:
            self._ended = seen, max((frame.last for frame in _frames(newest[0])), default=int(newest[0].stem) - 1)
        return self._ended[1]

    def since(self, cursor: int, until: int | None = None) -> Iterator[Frame]:
        """The requests after row `cursor`, in the order in which they came, up to row `until`. Raises Corrupt."""
        paths = self._paths()
        for place, path in enumerate(paths):
            if place + 1 < len(paths) and int(paths[place + 1].stem) <= cursor + 1:
                continue
            for frame in _frames(path):
                if until is not None and frame.last > until:
                    return
                if frame.last > cursor:
                    yield frame

    def rows(self, cursor: int) -> Iterator[dict[str, Any]]:
        """The rows after row `cursor`, as they were kept. Raises Corrupt."""
        return (row for frame in self.since(cursor) for row in _rows(frame))

    def first(self) -> int:
        """The number of the oldest row that is still kept here; one more than the newest where none is."""
        paths = self._paths()
        return int(paths[0].stem) if paths else 1

    def drop(self, through: int) -> int:
        """Remove the segments whose rows all lie before `through` or at it, but for the newest, which numbers go on from; how many."""
        if not self._paths()[1:]:
            return 0
        with self._alone():
            gone = [path for path, after in pairwise(self._paths()) if int(after.stem) <= through + 1]
            for path in gone:
                path.unlink(missing_ok=True)
        return len(gone)

    def erase(self, wanted: Callable[[dict[str, Any], Instant], bool]) -> int:
        """Write every segment anew without the rows that `wanted` says; how many went. Numbers stay as they are. Raises Corrupt."""
        with self._alone():
            for left in self._folder.glob("*.tmp"):  # an erasure that was killed left rows of others there
                left.unlink(missing_ok=True)
            gone = sum(self._without(path, wanted) for path in self._paths())
            self._left = None
        return gone

    def count(self, wanted: Callable[[dict[str, Any], Instant], bool]) -> int:
        """How many rows `erase` would take out."""
        return sum(1 for path in self._paths() for frame in _frames(path) for row in _rows(frame) if wanted(row, frame.at))

    def _without(self, path: Path, wanted: Callable[[dict[str, Any], Instant], bool]) -> int:
        gone, kept = 0, [_MAGIC]
        for frame in _frames(path):
            left = [line for line in frame.lines.splitlines() if not wanted(json.loads(line), frame.at)]
            gone += frame.lines.count(b"\n") - len(left)
            kept.append(_encoded(frame._replace(lines=b"".join(line + b"\n" for line in left))))
        if gone:
            temporary = path.with_suffix(f".{os.getpid()}.tmp")
            with temporary.open("wb") as file:
                file.write(b"".join(kept))
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
            sync_folder(self._folder)
        return gone

    def _paths(self) -> list[Path]:
        return sorted(self._folder.glob("*.rows"))

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """No other thread and no other process writes meanwhile."""
        self._folder.mkdir(parents=True, exist_ok=True)
        with self._lock, (self._folder / "lock").open("ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _look(self) -> None:
        """Know the newest row and the commands that are kept, whoever wrote them."""
        newest = self._paths()[-1:]
        if self._left is not None and newest and _seen(newest[0]) == self._left:
            return
        self._left, self._commands, self._last = None, {}, int(newest[0].stem) - 1 if newest else 0
        for path in self._paths():
            self._end = 0
            for frame, self._end in _placed(path):
                self._commands[frame.command] = self._last = frame.last

    def _write(self, frame: Frame) -> None:
        paths = self._paths()
        new = not paths or self._end >= LARGEST
        path = self._folder / f"{frame.first:012}.rows" if new else paths[-1]
        end = 0 if new else self._end
        encoded = _encoded(frame)
        with path.open("r+b" if path.exists() else "w+b") as file:
            file.truncate(end)
            file.seek(end)
            try:
                file.write((b"" if end else _MAGIC) + encoded)
                file.flush()
                os.fsync(file.fileno())
            except OSError:
                file.truncate(end)
                raise
        if new:
            sync_folder(self._folder)
            oldest = int(paths[0].stem) if paths else 1
            # a command is known as long as its rows are
            self._commands = {command: last for command, last in self._commands.items() if last >= oldest}
        self._left, self._end = _seen(path), (end or len(_MAGIC)) + len(encoded)


def _seen(path: Path) -> Seen:
    stat = path.stat()
    return path.name, stat.st_ino, stat.st_size, stat.st_mtime_ns


def _encoded(frame: Frame) -> bytes:
    name = frame.command.encode()
    payload = _HEAD.pack(frame.first, frame.last, frame.at, len(name)) + name + frame.lines
    return _FRAME.pack(len(payload), zlib.crc32(payload)) + payload


def _frames(path: Path) -> Iterator[Frame]:
    """The whole frames of a segment; none of one that is gone."""
    return (frame for frame, _ in _placed(path))


def _placed(path: Path) -> Iterator[tuple[Frame, int]]:
    """The whole frames of a segment, and where each ends. Raises Corrupt at a damaged one that has something behind it."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return
    if not data.startswith(_MAGIC[: len(data)]):
        raise _damaged(path, 0)
    place = len(_MAGIC)
    while (payload := _payload(data, place)) is not None:
        place += _FRAME.size + len(payload)
        first, last, at, size = _HEAD.unpack_from(payload)
        name, lines = payload[_HEAD.size : _HEAD.size + size], payload[_HEAD.size + size :]
        yield Frame(first, last, at, name.decode(), lines), place
    if _goes_on(data, place):
        raise _damaged(path, place)


def _payload(data: bytes, place: int) -> bytes | None:
    """What the frame at a place holds; None where no whole one is."""
    if place + _FRAME.size > len(data):
        return None
    length, check = _FRAME.unpack_from(data, place)
    payload = data[place + _FRAME.size : place + _FRAME.size + length]
    return payload if len(payload) >= max(length, _HEAD.size) and zlib.crc32(payload) == check else None


def _goes_on(data: bytes, place: int) -> bool:
    """Whether something was written behind what is no whole frame. What a killed process left is the end, and after a power cut may be zeros."""
    if len(data) < place + _FRAME.size + _HEAD.size or not any(data[place:]):
        return False
    length, _ = _FRAME.unpack_from(data, place)
    if place + _FRAME.size + length < len(data):
        return True
    # its length may be what is damaged: then the next request follows on its last row
    _, last, _, _ = _HEAD.unpack_from(data, place + _FRAME.size)
    after = data.find(struct.pack("<Q", min(last + 1, 2**64 - 1)), place + _FRAME.size + _HEAD.size)
    return after >= 0 and _payload(data, after - _FRAME.size) is not None


def _damaged(path: Path, place: int) -> Corrupt:
    return Corrupt(
        f"{path} is damaged at byte {place:,}",
        why="rows that were sent lie there and behind it, and are not what was written",
        fix="restore the file from a backup; or move it away: what no version holds of it is lost then",
    )


def _rows(frame: Frame) -> Iterator[dict[str, Any]]:
    return (json.loads(line) for line in frame.lines.splitlines())
