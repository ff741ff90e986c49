"""Values of msgpack as they lie in a buffer, read as columns: each field of many rows at once, as arrays. Nothing is left out: what is of several sorts
is told, and left to whoever decodes it one by one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, cast

import msgspec
import numpy as np
import polars as pl
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]
Flags = NDArray[np.bool_]
Places = NDArray[np.int64]
Words = NDArray[np.uint64]

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
_LONG_TEXT, _U64 = 0xD9, 0xCF
_WIDE = np.full(256, -1, dtype=np.int64)
_WIDE[:0x80], _WIDE[0xCC:0xD0] = 0, (1, 2, 4, 8)
"""Bytes after the first one, of a whole number that is not negative."""
_LONGEST_TEXT = 255
_PADDING = bytes(_LONGEST_TEXT + 9)
"""What may be read beyond the last value."""

_SHORT = 64
"""Texts up to so many bytes are copied side by side, and then closed up."""


class _Eights:
    """The buffer as numbers of eight bytes, the most significant one first, one from each place on."""

    def __init__(self, buffer: Bytes) -> None:
        self._all: NDArray[np.uint64] = np.ndarray(shape=(buffer.size - 7,), dtype=">u8", buffer=buffer, strides=(1,))

    def __getitem__(self, places: Places) -> Words:
        return self._all[places].astype(np.uint64)


class Packed(NamedTuple):
    """Bytes, the same with room behind them as an array, and the eight bytes from each place on as a number."""

    data: bytes
    buffer: Bytes
    words: _Eights

    @classmethod
    def of(cls, data: bytes) -> Packed:
        """Make bytes ready to be read."""
        buffer = np.frombuffer(data + _PADDING, dtype=np.uint8)
        return cls(data, buffer, _Eights(buffer))


def columns(rows: Sequence[msgspec.Raw]) -> list[pl.Series] | None:
    """Packed rows `[[a, b, …]]`, each with the same fields, as a series a field: numbers, booleans or text, with nulls.

    None where rows differ in length, or a field holds anything else or of several sorts.
    """
    ends = np.cumsum([memoryview(row).nbytes for row in rows], dtype=np.int64)
    found = fields(Packed.of(b"".join(rows)), np.concatenate(([0], ends[:-1])))
    return found[0] if found is not None and bool((found[1] == ends).all()) else None


def fields(packed: Packed, places: Places) -> tuple[list[pl.Series], Places] | None:
    """The rows `[[a, b, …]]` at `places`, one at least, as `columns`, and the places after them."""
    buffer, first = packed.buffer, int(places[0])
    width = int(buffer[first + 1]) & 0x0F
    if buffer[first] != 0x91:
        return None
    if buffer[first + 1] == 0xDC:
        width, head = int(buffer[first + 2]) << 8 | int(buffer[first + 3]), 4
    elif buffer[first + 1] & 0xF0 == 0x90:
        head = 2
    else:
        return None
    if any(bool((buffer[places + byte] != buffer[first + byte]).any()) for byte in range(head)):
        return None
    places = places + head
    found: list[pl.Series] = []
    for _ in range(width):
        read = _field(packed, places)
        if read is None:
            return None
        found.append(read[0])
        places = read[1]
    return found, places


def _field(packed: Packed, places: Places) -> tuple[pl.Series, Places] | None:
    """The values at `places`, and the places after them."""
    buffer = packed.buffer
    tags = buffer[places]
    if bool((tags == 0xCB).all()):
        return pl.Series(packed.words[places + 1].view(np.float64)), places + 9
    kinds = _KIND[tags]
    there = np.bincount(kinds, minlength=256)
    nulls = int(there[_NIL_KIND])
    texts = int(there[_TEXT] + there[_TEXT8])
    if texts + nulls == places.size and texts:
        return _text(packed, places, tags, kinds)
    if nulls == places.size:
        return pl.Series([None]).new_from_index(0, nulls), places + 1
    if int(there[_FALSE] + there[_TRUE]) + nulls == places.size:
        return _nulled(pl.Series(kinds == _TRUE), kinds, nulls), places + 1
    if there[17:].any() or texts or there[_FALSE] or there[_TRUE]:
        return None
    return _numbers(packed, places, kinds, nulls)


def _text(packed: Packed, places: Places, tags: Bytes, kinds: Bytes) -> tuple[pl.Series, Places]:
    starts, sizes = spans(packed, places, tags)
    return _nulled(texts(packed, starts, sizes), kinds, int((kinds == _NIL_KIND).sum())), starts + sizes


def is_text(tags: Bytes) -> Flags:
    """Which of the values with these first bytes are texts, of up to 255 bytes."""
    found: Flags = np.ones(tags.size, dtype=np.bool_) if _is_one_length(tags) else (_KIND[tags] == _TEXT) | (tags == _LONG_TEXT)
    return found


def _is_one_length(tags: Bytes) -> bool:
    """Whether all of these are short texts of one length: nearly always so of most fields, and there is little left to do."""
    return bool(tags.size and _KIND[tags[0]] == _TEXT and (tags == tags[0]).all())


def spans(packed: Packed, places: Places, tags: Bytes) -> tuple[Places, Places]:
    """Where the texts at `places`, whose first bytes are `tags`, begin, and how many bytes each has; none for what is no text."""
    if _is_one_length(tags):
        return places + 1, np.full(places.size, tags[0] & 0x1F, dtype=np.int64)
    long = tags == _LONG_TEXT
    sizes = np.where(long, packed.buffer[places + 1], np.where(_KIND[tags] == _TEXT, tags & 0x1F, 0)).astype(np.int64)
    return places + 1 + long, sizes


def whole_numbers(packed: Packed, places: Places, tags: Bytes) -> tuple[Places, Places, Flags]:
    """The numbers at `places`, whose first bytes are `tags`, the places after them, and which of them are whole and not negative, below 2⁶³."""
    if tags.size and bool((tags == _U64).all()):
        eight = packed.words[places + 1]
        small = eight < np.uint64(1 << 63)
        return (eight if small.all() else np.where(small, eight, 0)).astype(np.int64), places + 9, small
    wide = _WIDE[tags]
    known = wide >= 0
    shift = ((8 - wide) * 8).astype(np.uint64) & np.uint64(63)
    found = np.where(wide > 0, packed.words[places + 1] >> shift, tags)
    known &= found < np.uint64(1 << 63)
    return np.where(known, found, 0).astype(np.int64), places + 1 + np.maximum(wide, 0), known


def texts(packed: Packed, starts: Places, sizes: Places) -> pl.Series:
    """The texts of `sizes` bytes from `starts` on."""
    widest = int(sizes.max(initial=0))
    if not widest or widest > _SHORT:
        return _one_by_one(packed, starts, sizes)
    wide = np.ndarray(shape=(packed.buffer.size - widest + 1,), dtype=f"V{widest}", buffer=packed.buffer, strides=(1,))
    beside = wide[starts].view(np.uint8).reshape(-1, widest)
    close = beside.ravel() if bool((sizes == widest).all()) else beside[np.arange(widest) < sizes[:, None]]
    if bool((close & 0x80).any()):
        # what is read so is not checked for being text
        return _one_by_one(packed, starts, sizes)
    import pyarrow as pa

    ends = np.zeros(sizes.size + 1, dtype=np.int64)
    np.cumsum(sizes, out=ends[1:])
    found = pa.LargeStringArray.from_buffers(sizes.size, pa.py_buffer(ends), pa.py_buffer(np.ascontiguousarray(close)))
    return cast("pl.Series", pl.from_arrow(found))


def _one_by_one(packed: Packed, starts: Places, sizes: Places) -> pl.Series:
    each = zip(starts.tolist(), (starts + sizes).tolist(), strict=True)
    return pl.Series([str(packed.data[start:end], "utf-8") for start, end in each], dtype=pl.String)


def _numbers(packed: Packed, places: Places, kinds: Bytes, nulls: int) -> tuple[pl.Series, Places] | None:
    whole = np.zeros(places.size, dtype=np.int64)
    sizes = np.ones(places.size, dtype=np.int64)
    fractions: NDArray[np.float64] | None = None
    buffer, words = packed.buffer, packed.words
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
            fractions[mask] = bits.view(np.float64) if wide == 8 else bits.astype(np.uint32).view(np.float32)
            sizes[mask] = 1 + wide
        elif kind != _NIL_KIND:
            wide = 1 << (kind - (_SIGNED if kind >= _SIGNED else _UNSIGNED))
            bits = words[own + 1] >> np.uint64(64 - 8 * wide)
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
