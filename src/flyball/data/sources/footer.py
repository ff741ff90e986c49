"""What a Parquet file says of its own columns: their least and greatest value, from the footer.

Read here in plain Python because Arrow's accessors of a damaged footer may end the process: no exception of C++ passes through them.
Thrift's compact protocol is the form; a footer that is not in it says nothing.
"""

from __future__ import annotations

import struct
from typing import Any, Final

LARGEST: Final = 2**20
"""Bytes of a footer that is looked through; one that is larger says nothing, rather than to cost seconds at each look."""

_GROUPS, _COLUMNS, _META, _TYPE, _PATH, _STATISTICS = 4, 1, 3, 1, 3, 12
_FORMS: Final = {1: "<i", 2: "<q", 4: "<f", 5: "<d"}
"""Physical types that are numbers, and how a number is written."""


def extremes(data: bytes) -> dict[str, tuple[float, float]]:
    """The least and greatest value of each column of numbers, where all row groups say so. Whole numbers are signed, and stay whole."""
    length = int.from_bytes(data[-8:-4], "little")
    if length > min(LARGEST, len(data) - 8):
        return {}
    try:
        footer = _Reader(data[-8 - length : -8]).struct()
        groups = [[_chunk(column[_META]) for column in group[_COLUMNS]] for group in footer.get(_GROUPS, ())]
    except (LookupError, TypeError, ValueError, AttributeError, RecursionError, OverflowError, struct.error):
        return {}
    found: dict[str, tuple[float, float]] = {}
    for name in dict.fromkeys(name for group in groups for name, _ in group):
        parts = [part for group in groups for each, part in group if each == name]
        whole = [part for part in parts if part is not None]
        if len(whole) == len(parts) == len(groups):
            found[name] = (min(low for low, _ in whole), max(high for _, high in whole))
    return found


def _chunk(meta: dict[int, Any]) -> tuple[str, tuple[float, float] | None]:
    """A column's name and what its part of a row group says; None where that is nothing, or no number."""
    name = ".".join(part.decode() for part in meta[_PATH])
    said, form = meta.get(_STATISTICS, {}), _FORMS.get(meta[_TYPE])
    low, high = said.get(6, said.get(2)), said.get(5, said.get(1))
    if form is None or low is None or high is None:
        return name, None
    return name, (struct.unpack(form, low)[0], struct.unpack(form, high)[0])


class _Reader:
    """Thrift's compact protocol: a struct becomes a dict from field numbers, a list a list, text stays bytes."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.place = 0

    def struct(self) -> dict[int, Any]:
        found: dict[int, Any] = {}
        field = 0
        while header := self._byte():
            step, kind = header >> 4, header & 15
            field = field + step if step else self._signed()
            found[field] = kind == 1 if kind in {1, 2} else self._value(kind)
        return found

    def _value(self, kind: int) -> Any:
        if kind in {1, 2, 3}:
            return self._byte()
        if kind in {4, 5, 6}:
            return self._signed()
        if kind == 7:
            return self._bytes(8)
        if kind == 8:
            return self._bytes(self._varint())
        if kind in {9, 10}:
            header = self._byte()
            size = header >> 4 if header >> 4 < 15 else self._varint()
            return [self._value(header & 15) for _ in range(size)]
        if kind == 12:
            return self.struct()
        raise ValueError(kind)

    def _byte(self) -> int:
        self.place += 1
        return self.data[self.place - 1]

    def _bytes(self, size: int) -> bytes:
        if size > len(self.data) - self.place:
            raise ValueError(size)
        self.place += size
        return self.data[self.place - size : self.place]

    def _varint(self) -> int:
        value = shift = 0
        while True:
            byte = self._byte()
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    def _signed(self) -> int:
        value = self._varint()
        return (value >> 1) ^ -(value & 1)
