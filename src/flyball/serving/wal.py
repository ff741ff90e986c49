"""The prediction log: one segment file after another for each gateway, `log/g0/000017.wal`, frames only ever appended.

It exists so that an answered request is on record whatever is killed next. A segment is the magic, a header frame and frames
`u32 length | u32 crc32 | msgpack`, little-endian. A reader stops at the first frame that is cut short or fails its CRC: what
follows was never acknowledged. Nothing here decides anything, and nothing is rewritten: a restarted gateway opens the next number.
"""

from __future__ import annotations

import errno
import os
import struct
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal, NamedTuple
from zlib import crc32

import msgspec

from flyball.clock import Instant
from flyball.errors import Corrupt
from flyball.records.base import Record
from flyball.serving.vectors import Vectors, Views, mark_of

Kind = Literal["answer", "shadow", "shadow_dropped", "refused", "label", "gap", "signature", "views"]

MAGIC = b"flybwal\x02"
"""The last byte is the format's version: another version is another magic."""

_READ = (MAGIC, b"flybwal\x01")
"""What a reader knows. In version 1 there were no vectors; all else is the same."""

RESERVE_BYTES = 64 << 20
"""Held back on disk so that a full disk is noticed while there is still room to write the last answers."""

SEGMENT_BYTES = 64 << 20
SEGMENT_S = 3600.0
"""A segment is closed at this size or age, so that the sealer has finished files to work on."""

CLOCK_STEP_NS = 1_000_000_000
"""A segment tells the wall time of its records by the two clocks at its opening. Where these have moved apart by more than this (the machine slept, or
its clock was set), the next one is begun."""

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS)
_PREFIX = struct.Struct("<II")
_LARGEST_FRAME = 256 << 20
_encoder = msgspec.msgpack.Encoder()
_encode = _encoder.encode
_header_decoder: msgspec.msgpack.Decoder[Header]
_record_decoder: msgspec.msgpack.Decoder[LogRecord]


class Header(Record, frozen=True):
    """The first frame of a segment. The two clocks at opening turn a record's monotonic nanoseconds into wall time."""

    gateway: str
    number: int
    wall_ns: int
    monotonic_ns: int


class LogRecord(msgspec.Struct, array_like=True):
    """One frame. `read` fills `at`, the wall-clock instant (µs) of `picked_ns`; it is not stored.

    - answer: the arm `version` (`model@1.2.3`) answered, or failed to (`status` "error", no output).
    - shadow: the same for a version whose answer nobody saw; it has the request id of the answer it accompanies.
    - shadow_dropped: a shadow's queue was full; no input, no output, `rows` says how many.
    - refused: the request never reached a worker, or was about a moment that nobody keeps; `marks["why"]` is the error's code, `version` is the model's name.
    - label: `request_id` is the row it belongs to, `output` is `[[value]]`, `version` the model's name, `marks["t"]` the label's time.
    - gap: `rows` records could not be written before this one.
    - signature: `input[0]` are the field names, in order, of the rows of `version`; stands before that version's first record.
    - views: `input` are the views (one `vectors.TakenUp` each, as a list) that `vectors` with the mark `request_id` are of; stands before
      the first of these.

    `input` has one list a row, values in signature order (time fields as integer µs). `output` has one `[value, score]` a row;
    `score` is a probability for binary tasks, a list of probabilities in class order for multiclass, else None.
    `key_hash` is empty when the caller gave no key: the unit is then the request id.

    `marks`: `ro` and `w`, the rollout id and the weight (basis points) the challenger had, when one was active · `ids`, the
    rows' ids where they are not the request id (one row) or `request_id/0`, `request_id/1`, … · `t`, the rows' times (µs) where
    the caller gave them · `cv`, one a row, {field: "imputed" or "marked"} for values that break their contract (None: the row holds it), or
    of a refused request one {field: "refused"} · `br`, of a refused request how it broke its contract, as in "missing amount" (breaches.py) · `why`, an error's text · `fb`: "champion" when this arm stood in for a challenger that failed (this
    key was *not* assigned to it: leave it out of the arm's units), "value" when the declared fallback was answered. A request that
    names its version itself (`@1.2.0`), or that came while a worker of the route was starting, has no `ro`: it says nothing about the rollout.

    `vectors` are what the model's views gave for the rows of an answer or a shadow; None for a model without views, and where nothing was
    answered. The keys are in `input`: the fields that look the views up.
    """

    kind: Kind
    request_id: str
    picked_ns: int
    answered_ns: int
    epoch: int
    version: str
    role: str
    key_hash: str
    status: str
    rows: int
    input: list[list[Any]] | None
    output: list[list[Any]] | None
    marks: dict[str, Any] | None
    vectors: Vectors | None = None
    at: Instant = 0

    def row_ids(self) -> list[str]:
        """The id of each row: what a label names."""
        if self.marks and "ids" in self.marks:
            return list(self.marks["ids"])
        return [self.request_id] if self.rows == 1 else [f"{self.request_id}/{row}" for row in range(self.rows)]


_header_decoder = msgspec.msgpack.Decoder(Header)
_record_decoder = msgspec.msgpack.Decoder(LogRecord)


def frame(
    kind: Kind,
    request_id: str,
    *,
    picked_ns: int = 0,
    answered_ns: int = 0,
    epoch: int = 0,
    version: str = "",
    role: str = "",
    key_hash: str = "",
    status: str = "ok",
    rows: int = 0,
    packed_input: bytes | None = None,
    packed_output: bytes | None = None,
    marks: dict[str, Any] | None = None,
    packed_vectors: bytes = b"",
) -> bytes:
    """One frame, ready to append. What is `packed_…` is msgpack already and is copied as it is."""
    fields = (
        kind,
        request_id,
        picked_ns,
        answered_ns,
        epoch,
        version,
        role,
        key_hash,
        status,
        rows,
        None if packed_input is None else msgspec.Raw(packed_input),
        None if packed_output is None else msgspec.Raw(packed_output),
        marks,
    )
    # without views there is nothing to say of them, not even that
    body = _encode((*fields, msgspec.Raw(packed_vectors)) if packed_vectors else fields)
    return _PREFIX.pack(len(body), crc32(body)) + body


def signature_frame(version: str, names: Sequence[str]) -> bytes:
    """The frame that makes the rows of `version` readable without anything else."""
    return frame("signature", "", version=version, rows=1, packed_input=_encode([list(names)]))


def views_frame(views: Views) -> bytes:
    """The frame that makes the vectors with this mark readable without anything else."""
    return frame("views", views.mark, packed_input=views.packed)


def label_frame(model: str, request_id: str, value: object, at: Instant, *, now_ns: int, attributes: dict[str, Any] | None = None) -> bytes:
    """A label for one row. `at` is the label's own time, `now_ns` the monotonic clock at its arrival."""
    marks: dict[str, Any] = {"t": at, "a": attributes} if attributes else {"t": at}
    return frame(
        "label", request_id, picked_ns=now_ns, answered_ns=now_ns, version=model, rows=1, packed_output=_encode([[value]]), marks=marks
    )


def sound(data: bytes, start: int = 0) -> list[int]:
    """Where each of the whole, sound frames from `start` on ends."""
    unpack, position, last = _PREFIX.unpack_from, start, len(data) - 8
    ends: list[int] = []
    # all that a busy log is read by passes here, frame by frame: a copy of a frame costs less than a view of it
    while position <= last:
        length, check = unpack(data, position)
        begin = position + 8
        position = begin + length
        if crc32(data[begin:position]) != check:
            break
        ends.append(position)
    if ends and ends[-1] > len(data):
        # the checksum of a part of it is as good as that of the whole by chance
        ends.pop()
    return ends


def read_header(path: Path) -> tuple[Header, int] | None:
    """The segment's header and the offset of its first record; None while the header is not whole. Raises Corrupt."""
    with path.open("rb") as file:
        data = file.read(4096)
    if len(data) < len(MAGIC):
        return None
    if not data.startswith(_READ):
        raise Corrupt(
            f"{path.name} is not a prediction log segment of this version", why=f"it starts with {data[:8]!r}", fix="move it away"
        )
    begin = len(MAGIC)
    ends = sound(data[: begin + _first_length(data[begin:])], begin)
    return (_header_decoder.decode(data[begin + 8 : ends[0]]), ends[0]) if ends else None


class Stretch(NamedTuple):
    """Sound frames one after the other from the beginning of `data`, where each ends, what takes their monotonic to wall nanoseconds, and the offset
    after the last of them in their file.
    """

    data: bytes
    ends: list[int]
    shift_ns: int
    after: int

    def bodies(self, places: Iterable[int] | None = None) -> Iterator[memoryview]:
        """The bodies of the frames with these numbers, or of all."""
        view, ends = memoryview(self.data), self.ends
        for place in range(len(ends)) if places is None else places:
            yield view[(ends[place - 1] if place else 0) + 8 : ends[place]]

    def records(self, places: Iterable[int] | None = None) -> list[LogRecord]:
        """The same, decoded."""
        return [record(body, self.shift_ns) for body in self.bodies(places)]


def stretch(path: Path, offset: int = 0, *, limit: int = 64 << 20) -> Stretch:
    """Every sound frame from `offset` on, not decoded; at most about `limit` bytes a call.

    Stops at the first torn frame or bad CRC, so it may be called on a file that is being written. Raises Corrupt when the
    file is not a segment at all.
    """
    found = read_header(path)
    if found is None:
        return Stretch(b"", [], 0, 0)
    header, first = found
    start = max(offset, first)
    with path.open("rb") as file:
        file.seek(start)
        data = file.read(limit)
        if len(data) == limit and (more := _first_length(data)) > limit:
            data += file.read(more - limit)
    ends = sound(data)
    return Stretch(data, ends, header.wall_ns - header.monotonic_ns, start + (ends[-1] if ends else 0))


def record(body: memoryview, shift_ns: int) -> LogRecord:
    """A frame as a record."""
    found = _record_decoder.decode(body)
    found.at = (found.picked_ns + shift_ns) // 1000
    return found


def read(path: Path, offset: int = 0, *, limit: int = 64 << 20) -> tuple[list[LogRecord], int]:
    """Every sound record of a `stretch`, and the offset after the last of them."""
    found = stretch(path, offset, limit=limit)
    return found.records(), found.after


def _first_length(data: bytes) -> int:
    """Bytes of the first frame, its prefix included: a single frame may be larger than the limit."""
    return min(int(_PREFIX.unpack_from(data)[0]), _LARGEST_FRAME) + 8 if len(data) >= 8 else 0


def signatures(path: Path) -> dict[str, tuple[str, ...]]:
    """The field names of every version in a segment: for a reader that starts in its middle."""
    found: dict[str, tuple[str, ...]] = {}
    offset = 0
    while True:
        records, after = read(path, offset)
        for record in records:
            if record.kind == "signature" and record.input:
                found[record.version] = tuple(record.input[0])
        if after == offset or not records:
            return found
        offset = after


class SegmentFile(NamedTuple):
    """A segment on disk. `number` orders the segments of one gateway."""

    gateway: str
    number: int
    path: Path


def segments(log: Path) -> list[SegmentFile]:
    """Every segment file under `.flyball/log`, by gateway and number."""
    found: list[SegmentFile] = []
    # asked of every second: a glob takes four times as long
    with suppress(FileNotFoundError), os.scandir(log) as folders:
        for folder in folders:
            with suppress(FileNotFoundError, NotADirectoryError), os.scandir(folder.path) as files:
                names = ((file.name.removesuffix(".wal"), file) for file in files if file.name.endswith(".wal"))
                found += [SegmentFile(folder.name, int(name), log / folder.name / file.name) for name, file in names if name.isdigit()]
    return sorted(found)


def sizes(log: Path) -> dict[tuple[str, int], tuple[str, int]]:
    """Every segment file under `.flyball/log`, by gateway and number: its name there, as in `g0/000017.wal`, and its bytes."""
    found: dict[tuple[str, int], tuple[str, int]] = {}
    # asked of every second, mostly for nothing: no path is made of a name, and nothing is raised for what is no folder
    for folder in _entries(log):
        for file in _entries(folder.path) if folder.is_dir() else ():
            number = file.name.removesuffix(".wal")
            if number != file.name and number.isdigit():
                try:
                    found[folder.name, int(number)] = f"{folder.name}/{file.name}", file.stat().st_size
                except FileNotFoundError:
                    continue
    return found


def _entries(folder: Path | str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as found:
            return list(found)
    except FileNotFoundError:
        return []


class Writer:
    """Appends frames for one gateway. Only the gateway's event loop calls it, but for `sync`, which may run in a thread."""

    def __init__(self, log: Path, gateway: str, *, reserve_bytes: int = RESERVE_BYTES, segment_bytes: int = SEGMENT_BYTES) -> None:
        self._folder = log / gateway
        self._folder.mkdir(parents=True, exist_ok=True)
        self._gateway = gateway
        self._reserve = log / "reserve"
        self._reserve_bytes = reserve_bytes
        self._segment_bytes = segment_bytes
        self._fd = -1
        self._finished: list[int] = []
        self._lost = 0
        self._declared = 0
        self._known: set[str | bytes] = set()
        self._size, self._opened_s, self._path = 0, 0.0, self._folder
        self._shift_ns = 0
        self._hold_reserve()
        if not self._try_open() and self._give_up_reserve():
            self._try_open()

    @property
    def path(self) -> Path:
        """The segment being written."""
        return self._path

    def append(self, frames: Sequence[bytes]) -> bool:
        """Write all frames with one write(). False: the disk refuses and none of them is in the log (a gap frame will say so).

        Never raises: callers wait for what comes after it.
        """
        # what only says how to read records is said again, and nothing is missing without it
        records, self._declared = len(frames) - self._declared, 0
        if self._lost:
            frames = [frame("gap", "", picked_ns=time.monotonic_ns(), rows=self._lost, status="disk"), *frames]
        data = b"".join(frames) if len(frames) > 1 else frames[0]
        if not self._write(data) and not (self._give_up_reserve() and self._write(data)):
            self._lost += records
            self._known.clear()
            return False
        self._lost = 0
        if self._size >= self._segment_bytes or time.monotonic() - self._opened_s > SEGMENT_S:
            self.rotate()
        return True

    @property
    def is_whole(self) -> bool:
        """Whether all that came until now is in the log, or said to be missing."""
        return not self._lost

    def settle(self) -> None:
        """Say what could not be written, if anything, as soon as there is room for that: nobody may ask for a while.

        Begin the next segment where the wall clock was moved: what comes now would be told to have come before.
        """
        if self._lost:
            self.append([])
        if self._fd >= 0 and abs(time.time_ns() - time.monotonic_ns() - self._shift_ns) > CLOCK_STEP_NS:
            self.rotate()

    def knows(self, version: str) -> bool:
        """Whether this segment says what the rows of `version` mean; if not, the caller appends `signature_frame` first."""
        return version in self._known

    def declare(self, version: str, names: Sequence[str]) -> bytes:
        """The signature frame of a version that this segment does not know yet; it counts as known from here on."""
        self._known.add(version)
        self._declared += 1
        return signature_frame(version, names)

    def declare_views(self, packed_views: bytes) -> list[bytes]:
        """The frame of views that this segment does not know yet, as a worker packed them; none where it does. They count as known from here on."""
        if packed_views in self._known:
            return []
        self._known.add(packed_views)
        self._declared += 1
        return [views_frame(Views(mark_of(packed_views), packed_views))]

    def sync(self) -> None:
        """Bring what was written to the disk, and close the segments that are finished. Called each second."""
        while self._finished:
            finished = self._finished.pop()
            try:
                os.fdatasync(finished)
            finally:
                os.close(finished)
        current = self._fd
        if current >= 0:
            os.fdatasync(current)

    def rotate(self) -> None:
        """Open the next segment, if the disk lets us; else go on in this one. The next `sync` closes this one: that may take a while."""
        old = self._fd
        try:
            self._open_next()
        except OSError:
            self._opened_s = time.monotonic()
            return
        self._finished.append(old)

    def close(self) -> None:
        """Sync and close."""
        if self._fd >= 0:
            self._finished.append(self._fd)
            self._fd = -1
        self.sync()

    def _try_open(self) -> bool:
        """Open a segment, at most once a second while the disk refuses: without one a gateway still answers, and says so."""
        self._opened_s = time.monotonic()
        try:
            self._open_next()
        except OSError as problem:
            if problem.errno not in _NO_ROOM:
                raise
            return False
        return True

    def _write(self, data: bytes) -> bool:
        try:
            if self._fd < 0 and (time.monotonic() - self._opened_s < 1.0 or not self._try_open()):
                return False
            written = os.write(self._fd, data)
            if written != len(data):
                # half a frame would hide everything behind it from readers
                os.ftruncate(self._fd, self._size)
                return False
        except OSError:
            return False
        self._size += written
        return True

    def _open_next(self) -> None:
        number = max((int(path.stem) for path in self._folder.glob("*.wal") if path.stem.isdigit()), default=-1) + 1
        # a sealed segment is deleted, so the last number used is kept apart: a number never names two files
        mark = self._folder / "next"
        if mark.exists():
            number = max(number, int(mark.read_text() or "0"))
        path = self._folder / f"{number:06d}.wal"
        fd = os.open(path, os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_WRONLY | os.O_CLOEXEC, 0o644)
        header = Header(gateway=self._gateway, number=number, wall_ns=time.time_ns(), monotonic_ns=time.monotonic_ns())
        body = _encode(header)
        start = MAGIC + _PREFIX.pack(len(body), crc32(body)) + body
        try:
            os.write(fd, start)
            mark.write_text(str(number + 1))
        except OSError:
            os.close(fd)
            path.unlink()
            raise
        self._fd, self._path, self._size, self._opened_s = fd, path, len(start), time.monotonic()
        self._shift_ns = header.wall_ns - header.monotonic_ns
        self._known.clear()

    def _hold_reserve(self) -> None:
        """Set disk space aside; without room for it there is none to give up later, and that is all."""
        if not self._reserve_bytes or (self._reserve.exists() and self._reserve.stat().st_size >= self._reserve_bytes):
            return
        try:
            fd = os.open(self._reserve, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o600)
        except OSError:
            return
        try:
            os.posix_fallocate(fd, 0, self._reserve_bytes)
        except OSError:
            self._reserve.unlink(missing_ok=True)
        finally:
            os.close(fd)

    def _give_up_reserve(self) -> bool:
        try:
            self._reserve.unlink()
        except OSError:
            return False
        return True
