"""Values of msgpack as they lie in a buffer, read as columns: each field of many rows at once, as arrays. Nothing is left out: what is of several sorts
is told, and left to whoever decodes it one by one.
"""

from __future__ import annotations

from typing import NamedTuple, cast

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
_LONG_TEXT, _U64, _DOUBLE = 0xD9, 0xCF, 0xCB
_WIDE = np.full(256, -1, dtype=np.int64)
_WIDE[:0x80], _WIDE[0xCC:0xD0] = 0, (1, 2, 4, 8)
"""Bytes after the first one, of a whole number that is not negative."""
_TEXT_SIZE = np.where(_KIND == _TEXT, np.arange(256) & 0x1F, 0)
"""Bytes after the first one, of a text that says so there."""

_LONGEST_TEXT = 255
_PADDING = bytes(_LONGEST_TEXT + 9)
"""What may be read beyond the last value."""

_TOGETHER = 16
"""Fields of eight bytes that are read at once, at most."""

_WITHIN = 12
"""Texts up to so many bytes are held by a view of them, which has 16: their length in the first four."""

_FIRST_KEPT = np.array([((1 << 8 * min(size, 4)) - 1) << 32 for size in range(_WITHIN + 1)], dtype=np.uint64)
_REST_KEPT = np.array([(1 << 8 * max(size - 4, 0)) - 1 for size in range(_WITHIN + 1)], dtype=np.uint64)
"""By a text's length, which bits of the two halves of its view are its own: its first four bytes, behind the length, and the eight after these."""

_NOT_ASCII, _HALF = np.uint64(0x8080_8080_8080_8080), np.uint64(32)

_SHORT = 64
"""Longer ones up to so many bytes are copied side by side, and then closed up."""


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


class Ahead:
    """The bytes that follow from `places` (n,) on, side by side: values that begin alike in all rows lie at one distance in each, and are read at once."""

    def __init__(self, packed: Packed, places: Places, width: int) -> None:
        self._bytes = _wide(packed, width)[places].view(np.uint8).reshape(-1, width)
        self.passed = 0
        """Bytes that were read."""

    def text(self) -> int | None:
        """Go on behind a text and return its bytes; None where the next value is no short one, or of several lengths."""
        tag = self._tag(0)
        if tag is None or _KIND[tag] != _TEXT:
            return None
        size = int(_TEXT_SIZE[tag])
        self.passed += 1 + size
        return size

    def fractions(self) -> NDArray[np.float64] | None:
        """Go on behind fractions of eight bytes and return them; None where the next values are anything else."""
        if self._tag(8) != _DOUBLE:
            return None
        found = self._words().view(np.float64)
        self.passed += 9
        return found

    def whole(self) -> Places | None:
        """Go on behind whole numbers that are not negative and return them; None where the next values are anything else, or of several sizes."""
        tag = self._tag(8)
        if tag == _U64 and int((found := self._words().view(np.int64)).min()) >= 0:
            self.passed += 9
            return found
        if tag is None or tag >= 0x80:
            return None
        self.passed += 1
        return np.full(self._bytes.shape[0], tag, dtype=np.int64)

    def _tag(self, more: int) -> int | None:
        """The first byte of the next value; None where rows differ in it, or so many more bytes are not here."""
        if self.passed + more >= self._bytes.shape[1] or not len(self._bytes):
            return None
        column = self._bytes[:, self.passed]
        return int(column[0]) if bool((column == column[0]).all()) else None

    def _words(self) -> Words:
        """The eight bytes after the next one, as a number."""
        rows, width = self._bytes.shape
        return np.ndarray(shape=(rows,), dtype=">u8", buffer=self._bytes, offset=self.passed + 1, strides=(width,)).astype(np.uint64)


def fields(packed: Packed, places: Places) -> tuple[list[pl.Series], Places] | None:
    """The rows `[[a, b, …]]` at `places`, one at least, each with the same fields, as a series a field (numbers, booleans or text, with nulls), and the
    places after them. None where rows differ in length, or a field holds anything else or of several sorts.
    """
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
    while len(found) < width:
        several = _fractions(buffer, int(places[0]), min(width - len(found), _TOGETHER))
        if several > 1 and (read := _together(packed, places, several))[0]:
            found += read[0]
            places = read[1]
        elif (alone := _field(packed, places)) is not None:
            found.append(alone[0])
            places = alone[1]
        else:
            return None
    return found, places


def _fractions(buffer: Bytes, place: int, most: int) -> int:
    """How many fractions follow one another in the row at `place`, at most so many."""
    return next((count for count in range(most) if buffer[place + 9 * count] != _DOUBLE), most)


def _together(packed: Packed, places: Places, most: int) -> tuple[list[pl.Series], Places]:
    """The next fractions, as far as all rows have them, at most so many, and the places after them."""
    ahead, found = Ahead(packed, places, 9 * most), []
    while (values := ahead.fractions()) is not None:
        found.append(pl.Series(values))
    return found, places + ahead.passed


def _field(packed: Packed, places: Places) -> tuple[pl.Series, Places] | None:
    """The values at `places`, and the places after them."""
    buffer = packed.buffer
    tags = buffer[places]
    if bool((tags == _DOUBLE).all()):
        return pl.Series(packed.words[places + 1].view(np.float64)), places + 9
    kinds = _KIND[tags]
    there = np.bincount(kinds, minlength=256)
    nulls = int(there[_NIL_KIND])
    written = int(there[_TEXT] + there[_TEXT8])
    if written + nulls == places.size and written:
        starts, sizes = spans(packed, places, tags)
        return _nulled(texts(packed, starts, sizes), kinds, nulls), starts + sizes
    if nulls == places.size:
        return pl.Series([None]).new_from_index(0, nulls), places + 1
    if int(there[_FALSE] + there[_TRUE]) + nulls == places.size:
        return _nulled(pl.Series(kinds == _TRUE), kinds, nulls), places + 1
    if there[17:].any() or written or there[_FALSE] or there[_TRUE]:
        return None
    return _numbers(packed, places, kinds, nulls)


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
    starts, sizes = places + 1, _TEXT_SIZE[tags]
    long = np.flatnonzero(tags == _LONG_TEXT)
    if long.size:
        sizes[long] = packed.buffer[starts[long]]
        starts[long] += 1
    return starts, sizes


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
    # what is read together is not checked for being text, unless it is ASCII
    found = None if widest > _SHORT else (_views if widest <= _WITHIN else _closed_up)(packed, starts, sizes, widest)
    return _one_by_one(packed, starts, sizes) if found is None else found


def _views(packed: Packed, starts: Places, sizes: Places, widest: int) -> pl.Series | None:
    """Short texts, each as a view that holds it."""
    import pyarrow as pa

    begun = _wide(packed, 8)[starts].view("<u8")
    rest = begun >> _HALF
    if widest > 8:
        rest |= _wide(packed, 8)[starts + 8].view("<u8") << _HALF
    rest &= _REST_KEPT[sizes]
    first = begun << _HALF
    first &= _FIRST_KEPT[sizes]
    if np.bitwise_or.reduce(first | rest) & _NOT_ASCII:
        return None
    found = np.empty((sizes.size, 2), dtype="<u8")
    found[:, 0], found[:, 1] = first | sizes.view(np.uint64), rest
    return cast("pl.Series", pl.from_arrow(pa.Array.from_buffers(pa.string_view(), sizes.size, [None, pa.py_buffer(found)])))


def _closed_up(packed: Packed, starts: Places, sizes: Places, widest: int) -> pl.Series | None:
    beside = _wide(packed, widest)[starts].view(np.uint8).reshape(-1, widest)
    close = beside.ravel() if bool((sizes == widest).all()) else beside[np.arange(widest) < sizes[:, None]]
    if bool((close & 0x80).any()):
        return None
    import pyarrow as pa

    ends = np.zeros(sizes.size + 1, dtype=np.int64)
    np.cumsum(sizes, out=ends[1:])
    found = pa.LargeStringArray.from_buffers(sizes.size, pa.py_buffer(ends), pa.py_buffer(np.ascontiguousarray(close)))
    return cast("pl.Series", pl.from_arrow(found))


def _wide(packed: Packed, width: int) -> NDArray[np.void]:
    """So many bytes from each place on."""
    return np.ndarray(shape=(packed.buffer.size - width + 1,), dtype=f"V{width}", buffer=packed.buffer, strides=(1,))


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
