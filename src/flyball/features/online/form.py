"""The bytes of entities, heads and tiles: msgpack. A row is `[time, arrived, place, value, …]`, times in µs, in order of the first three.

`place` is the row's place in the order in which the data set's rows were taken up: it settles ties, and tells a row that comes twice.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Any, TypeAlias

import msgspec
import polars as pl

from flyball.features.keys import clean

Row: TypeAlias = list[Any]

TIME, ARRIVED, PLACE, VALUES = 0, 1, 2, 3


class Totals(msgspec.Struct, array_like=True, gc=False):
    """What a tile's rows come to in one stream: those that have a value there. `known`: when the last of them is; `newest`: the last row."""

    count: int
    known: int = 0
    total: bytes = b""
    low: float = 0.0
    high: float = 0.0
    newest: Row = []
    distinct: list[Any] = []


class Tile(msgspec.Struct, array_like=True, gc=False):
    """Rows (packed), and what they come to in each stream where there are many."""

    rows: msgspec.Raw
    totals: list[Totals] | None = None


pack = msgspec.msgpack.Encoder().encode
unpack_rows = msgspec.msgpack.Decoder(list[Row]).decode
unpack_tile = msgspec.msgpack.Decoder(Tile).decode

ALONE = b""
"""The entity of a view that has none: one series."""


LONGEST = 512
"""Bytes of a key that is kept as it is: an index of PostgreSQL takes no more than some 2,700."""


def entity(value: Any) -> bytes:
    """An entity's key in the store: packed; of a long one a hash, behind a byte that nothing packed begins with."""
    packed = pack(value)
    return packed if len(packed) <= LONGEST else b"\xc1" + blake2b(packed, digest_size=32).digest()


def entities(keys: pl.Series) -> list[bytes | None]:
    """The keys of a column's values; None for null and NaN, which are nobody."""
    return [None if value is None else entity(value) for value in plain(clean(keys)).to_list()]


def plain(values: pl.Series) -> pl.Series:
    """Values as they are packed: times as whole numbers, categories as their names."""
    if values.dtype.is_temporal():
        return values.to_physical().cast(pl.Int64)
    return values.cast(pl.String) if values.dtype in (pl.Categorical, pl.Enum) else values


def typed(name: str, values: list[Any], dtype: pl.DataType) -> pl.Series:
    """A column of what `plain` made plain."""
    if dtype.is_temporal():
        return pl.Series(name, values, dtype=pl.Int64).cast(dtype)
    return pl.Series(name, values, dtype=dtype)
