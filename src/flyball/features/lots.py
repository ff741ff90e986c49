"""A row's lot: a number in [0, 1) that decides on which side of a split it stands, in every run and on every machine.

It is drawn from what the row is (its group, its id, else its contents without the label), never from where it lies or when it is asked for:
so a champion and its successors hold out the same rows, also of data that have grown, and equal rows stand on one side.
"""

from __future__ import annotations

import hashlib

import numpy as np
import numpy.typing as npt
import polars as pl

from flyball.declare.model import Model

LOT = "__lot"
"""The column of training rows that holds it."""

Words = npt.NDArray[np.uint64]
_MIXED = (np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))
_NULL = np.uint64(0x7FF8F1B9)
_BITS = 53


def lots(model: Model, frame: pl.DataFrame) -> pl.Series:
    """The lot of each row of `frame`, which has the columns of the model's data set."""
    mixed = np.zeros(frame.height, dtype=np.uint64)
    for name in _columns(model):
        mixed = _mix(mixed ^ _words(frame[name]))
    return pl.Series(LOT, (mixed >> np.uint64(64 - _BITS)).astype(np.float64) / 2.0**_BITS)


def _columns(model: Model) -> list[str]:
    if model.train is not None and model.train.split == "group":
        return [model.group]
    # a label that is corrected moves no row
    return [model.data.id] if model.data.id else sorted(name for name in model.data.columns if name != model.label_column)


def _words(series: pl.Series) -> Words:
    """Each value as 64 bits: equal numbers alike whatever their type, text by BLAKE2b."""
    if series.dtype.is_temporal():
        series = series.to_physical()
    if series.dtype.is_numeric() or series.dtype == pl.Boolean:
        numbers = series.cast(pl.Float64).to_numpy() + 0.0  # −0 is 0
        words = np.ascontiguousarray(numbers).view(np.uint64)
        return np.where(np.isnan(numbers), _NULL, words)
    texts = series.cast(pl.String)
    known = texts.drop_nulls().unique()
    if not len(known):
        return np.full(len(series), _NULL, dtype=np.uint64)
    hashed = [int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()) for text in known.to_list()]
    found: Words = (
        texts.replace_strict(known, pl.Series(hashed, dtype=pl.UInt64), default=None, return_dtype=pl.UInt64).fill_null(_NULL).to_numpy()
    )
    return found


def _mix(words: Words) -> Words:
    """The finaliser of SplitMix64 (Steele, Lea and Flood, 2014), wrapping around."""
    one, two, three = _MIXED
    words = words + one
    words = (words ^ (words >> np.uint64(30))) * two
    words = (words ^ (words >> np.uint64(27))) * three
    return words ^ (words >> np.uint64(31))
