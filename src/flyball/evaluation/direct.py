"""Steps on one column that do not go through Polars' query engine: it takes 60 µs for each of them, however few rows there are, and a look at a model
takes a dozen. Pure.
"""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray

Flags = NDArray[np.bool_]
Words = NDArray[np.uint64]


def hashes(column: pl.Series) -> NDArray[np.uint64]:
    """The hash of each value, shape (n,): what `Series.hash` says."""
    return column.to_frame().hash_rows().to_numpy()


def known(column: pl.Series) -> Flags:
    """Which values are no nulls, shape (n,)."""
    if not column.null_count():
        return np.ones(len(column), dtype=np.bool_)
    there: Flags = column.to_arrow().is_valid().to_numpy(zero_copy_only=False)
    return there


def rows_at(frame: pl.DataFrame, places: NDArray[np.int64]) -> pl.DataFrame:
    """The rows of a frame at `places` (k,), each below 2³²."""
    return frame[pl.Series(places.astype(np.uint32))]


def views(column: pl.Series) -> Words:
    """Texts as the views that Arrow keeps of them, shape (n, 2): the length in four bytes, and behind it the bytes of a text that has no more than twelve
    (then zeros), else four of them and where it lies.
    """
    held = column.to_arrow(compat_level=pl.CompatLevel.newest())
    return np.frombuffer(held.buffers()[1], dtype="<u8", count=2 * len(column), offset=16 * held.offset).reshape(-1, 2)


LENGTH = np.uint64(0xFFFF_FFFF)
"""The bits of a view's first half that are its length."""


def shortened(column: pl.Series, most: int) -> pl.Series:
    """Texts cut after so many characters."""
    longest = int((views(column)[:, 0] & LENGTH).max(initial=0)) if len(column) else 0
    return column.str.slice(0, most) if longest > most else column
