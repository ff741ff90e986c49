"""The plain frames of the log as columns: answers and shadows of one row each, and labels, which are nearly all that a busy gateway writes.

A frame's fields are decoded without its rows, and the rows of many frames are read together, field by field, as arrays: a tenth of what it costs to
make an object of every value. What is not plain, in whatever way, is handed back as records (`wal.LogRecord`); nothing is left out here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import msgspec
import numpy as np
import polars as pl
from numpy.typing import NDArray

from flyball.serving import wal

_NIL = b"\xc0"
_TIMED = b"\x81\xa1t"
"""How the marks of a label begin that has a time and nothing else."""

_LONGEST_TIMED = len(_TIMED) + 9

Bytes = NDArray[np.uint8]
Places = NDArray[np.int64]


class _Frame(msgspec.Struct, array_like=True, gc=False):
    """A frame whose rows are left as they are packed."""

    kind: str
    request_id: str
    picked_ns: int
    answered_ns: int
    epoch: int
    version: str
    role: str
    key_hash: str
    status: str
    rows: int
    input: msgspec.Raw
    output: msgspec.Raw
    marks: msgspec.Raw


_decode = msgspec.msgpack.Decoder(_Frame).decode
_marks = msgspec.msgpack.Decoder(dict[str, object]).decode


class Split(NamedTuple):
    """The rollout that marks name, and the weight it had."""

    rollout: str
    weight: int


@dataclass
class Group:
    """Frames that differ in their request alone. `split` is None for labels, whose `version` is the model's name."""

    version: str
    role: str
    split: Split | None
    frames: list[_Frame] = field(default_factory=list)
    bodies: list[memoryview] = field(default_factory=list)

    def ids(self) -> pl.Series:
        """The request of each."""
        return pl.Series("request_id", [frame.request_id for frame in self.frames], dtype=pl.String)

    def keys(self) -> pl.Series:
        """The hash of each caller's key, null without one."""
        return pl.Series("key", [frame.key_hash or None for frame in self.frames], dtype=pl.String)

    def at(self, shift_ns: int) -> pl.Series:
        """When each was picked, in wall time (µs)."""
        picked = np.array([frame.picked_ns for frame in self.frames], dtype=np.int64)
        return pl.Series("at", (picked + shift_ns) // 1000)

    def latency_us(self) -> pl.Series:
        """How long each took."""
        took = np.array([frame.answered_ns - frame.picked_ns for frame in self.frames], dtype=np.int64)
        return pl.Series("latency_us", np.maximum(took // 1000, 0))

    def inputs(self) -> list[pl.Series] | None:
        """A series a field, in the signature's order; None where that is not so simple."""
        return columns([frame.input for frame in self.frames])

    def outputs(self) -> list[pl.Series] | None:
        """Values, and scores where there are any; None where that is not so simple."""
        return columns([frame.output for frame in self.frames])


def split(bodies: Sequence[memoryview]) -> tuple[list[Group], list[Group], list[memoryview]]:
    """Frames as groups of answers and of labels, and all that is not plain, in its order."""
    answers: dict[tuple[str, str, bytes], Group | None] = {}
    labels: dict[str, Group] = {}
    rest: list[memoryview] = []
    for body in bodies:
        frame = _decode(body)
        group: Group | None = None
        if frame.rows == 1 and frame.status == "ok":
            if frame.kind in ("answer", "shadow"):
                key = frame.version, frame.role, bytes(frame.marks)
                if key not in answers:
                    found = _split_of(key[2])
                    answers[key] = Group(frame.version, frame.role, found) if found is not None else None
                group = answers[key]
            elif frame.kind == "label" and _timed(bytes(frame.marks)):
                group = labels.get(frame.version) or labels.setdefault(frame.version, Group(frame.version, "", None))
        if group is None:
            rest.append(body)
        else:
            group.frames.append(frame)
            group.bodies.append(body)
    return [group for group in answers.values() if group is not None], list(labels.values()), rest


def _timed(marks: bytes) -> bool:
    return marks == _NIL or (len(marks) <= _LONGEST_TIMED and marks.startswith(_TIMED))


def _split_of(marks: bytes) -> Split | None:
    """What marks say of a rollout; None where they say anything else."""
    if marks == _NIL:
        return Split("", 0)
    found = _marks(marks)
    if not found.keys() <= {"ro", "w"}:
        return None
    rollout, weight = found.get("ro", ""), found.get("w", 0)
    return Split(rollout, weight) if isinstance(rollout, str) and isinstance(weight, int) else None


_F64, _F32, _NIL_KIND, _FALSE, _TRUE, _TEXT, _TEXT8, _FIX, _NEGATIVE = range(9)
_UNSIGNED, _SIGNED, _OTHER = 9, 13, 255


def _kinds() -> Bytes:
    found = np.full(256, _OTHER, dtype=np.uint8)
    found[:0x80], found[0xE0:], found[0xA0:0xC0] = _FIX, _NEGATIVE, _TEXT
    found[0xC0], found[0xC2], found[0xC3], found[0xCA], found[0xCB], found[0xD9] = _NIL_KIND, _FALSE, _TRUE, _F32, _F64, _TEXT8
    # one, two, four and eight bytes
    found[0xCC:0xD0], found[0xD0:0xD4] = range(_UNSIGNED, _UNSIGNED + 4), range(_SIGNED, _SIGNED + 4)
    return found


_KIND = _kinds()
_PADDING = bytes(9)


def columns(rows: Sequence[msgspec.Raw]) -> list[pl.Series] | None:
    """Packed rows `[[a, b, …]]`, each with the same fields, as a series a field: numbers, booleans or text, with nulls.

    None where rows differ in length, or a field holds anything else or of several sorts.
    """
    packed = b"".join(rows)
    buffer = np.frombuffer(packed + _PADDING, dtype=np.uint8)
    ends = np.cumsum(np.array([memoryview(row).nbytes for row in rows], dtype=np.int64))
    places = np.concatenate(([0], ends[:-1]))
    width = int(buffer[1]) & 0x0F
    if buffer[0] != 0x91:
        return None
    if buffer[1] == 0xDC:
        width, head = int(buffer[2]) << 8 | int(buffer[3]), 4
    elif buffer[1] & 0xF0 == 0x90:
        head = 2
    else:
        return None
    if any(bool((buffer[places + byte] != buffer[byte]).any()) for byte in range(head)):
        return None
    places = places + head
    found: list[pl.Series] = []
    for _ in range(width):
        read = _field(packed, buffer, places)
        if read is None:
            return None
        found.append(read[0])
        places = read[1]
    return found if bool((places == ends).all()) else None


def _field(packed: bytes, buffer: Bytes, places: Places) -> tuple[pl.Series, Places] | None:
    """The values at `places`, and the places after them."""
    tags = buffer[places]
    if bool((tags == 0xCB).all()):
        return pl.Series(_wide(buffer, ">f8")[places + 1].astype(np.float64)), places + 9
    kinds = _KIND[tags]
    there = np.bincount(kinds, minlength=256)
    nulls = int(there[_NIL_KIND])
    texts = int(there[_TEXT] + there[_TEXT8])
    if texts + nulls == places.size and texts:
        return _text(packed, buffer, places, tags, kinds)
    if nulls == places.size:
        return pl.Series([None]).new_from_index(0, nulls), places + 1
    if int(there[_FALSE] + there[_TRUE]) + nulls == places.size:
        return _nulled(pl.Series(kinds == _TRUE), kinds, nulls), places + 1
    if there[17:].any() or texts or there[_FALSE] or there[_TRUE]:
        return None
    return _numbers(buffer, places, kinds, nulls)


def _wide(buffer: Bytes, kind: str) -> np.ndarray:
    """Every place of the buffer read as a number of eight bytes."""
    return np.ndarray(shape=(buffer.size - 7,), dtype=kind, buffer=buffer, strides=(1,))


def _text(packed: bytes, buffer: Bytes, places: Places, tags: Bytes, kinds: Bytes) -> tuple[pl.Series, Places]:
    long = kinds == _TEXT8
    starts = places + 1 + long
    sizes = np.where(long, buffer[places + 1], tags & 0x1F).astype(np.int64)
    null = kinds == _NIL_KIND
    sizes[null] = 0
    ends = starts + sizes
    spans = zip(starts.tolist(), ends.tolist(), strict=True)
    values: list[str | None]
    if packed.isascii():
        # what is not text is no ASCII, so this is rare, and then so much the quicker
        whole = packed.decode("ascii")
        values = [whole[start:end] for start, end in spans]
    else:
        values = [str(packed[start:end], "utf-8") for start, end in spans]
    if null.any():
        values = [None if gone else value for value, gone in zip(values, null.tolist(), strict=True)]
    return pl.Series(values, dtype=pl.String), ends


def _numbers(buffer: Bytes, places: Places, kinds: Bytes, nulls: int) -> tuple[pl.Series, Places] | None:
    whole = np.zeros(places.size, dtype=np.int64)
    sizes = np.ones(places.size, dtype=np.int64)
    fractions: NDArray[np.float64] | None = None
    words = _wide(buffer, ">u8")
    for kind in np.unique(kinds).tolist():
        mask = kinds == kind
        own = places[mask]
        if kind == _FIX:
            whole[mask] = buffer[own]
        elif kind == _NEGATIVE:
            whole[mask] = buffer[own].astype(np.int8)
        elif kind in (_F64, _F32):
            wide = 8 if kind == _F64 else 4
            fractions = np.full(places.size, np.nan) if fractions is None else fractions
            bits = words[own + 1] >> np.uint64(64 - 8 * wide)
            fractions[mask] = bits.astype(np.uint64).view(np.float64) if wide == 8 else bits.astype(np.uint32).view(np.float32)
            sizes[mask] = 1 + wide
        elif kind != _NIL_KIND:
            wide = 1 << (kind - (_SIGNED if kind >= _SIGNED else _UNSIGNED))
            bits = words[own + 1].astype(np.uint64) >> np.uint64(64 - 8 * wide)
            if kind == _UNSIGNED + 3 and bool((bits >> np.uint64(63)).any()):
                return None
            whole[mask] = bits.astype(f"u{wide}").view(f"i{wide}") if kind >= _SIGNED else bits
            sizes[mask] = 1 + wide
    if fractions is None:
        return _nulled(pl.Series(whole), kinds, nulls), places + sizes
    rounded = ~np.isin(kinds, (_F64, _F32, _NIL_KIND))
    fractions[rounded] = whole[rounded]
    return _nulled(pl.Series(fractions), kinds, nulls), places + sizes


def _nulled(series: pl.Series, kinds: Bytes, nulls: int) -> pl.Series:
    return series.set(pl.Series(kinds == _NIL_KIND), None) if nulls else series


def records(bodies: Iterable[memoryview], shift_ns: int) -> list[wal.LogRecord]:
    """Frames as records."""
    return [wal.record(body, shift_ns) for body in bodies]
