"""Labels in columns, each at a place that a number names: a hundred bytes less a label than an object, and many are looked up in one step."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from flyball.clock import Instant

Hashes = NDArray[np.uint64]
Integers = NDArray[np.int64]
_FIRST = 1_024
NEVER = 2**62
"""The moment of a label that was never known."""


class Shelf:
    """Labels in order of arrival. A place names the same label until it is forgotten; `-1` is no place.

    Moments are those at which labels were known, and came; where the two differ, `came` is a column of its own.
    """

    def __init__(self) -> None:
        self._base = 0
        self._n = 0
        self._hashes = np.empty(_FIRST, dtype=np.uint64)
        self._moments = np.empty(_FIRST, dtype=np.int64)
        self._came: Integers | None = None
        self._values: NDArray[Any] = np.empty(_FIRST, dtype=np.float64)
        self._used = np.zeros(_FIRST, dtype=np.bool_)
        self._slices: dict[int, tuple[str, ...]] = {}

    @property
    def end(self) -> int:
        """The place after the last."""
        return self._base + self._n

    def hashes(self, start: int, end: int) -> Hashes:
        """The hashes of the ids of the labels from place `start` to before `end`."""
        return self._hashes[start - self._base : end - self._base]

    def add(
        self, hashes: Hashes, moments: Integers, values: pl.Series, slices: list[tuple[str, ...]] | None, came: Integers | None = None
    ) -> int:
        """Put labels at the end; the place of the first of them."""
        count = len(values)
        self._grow(count)
        if values.dtype == pl.String and self._values.dtype != object:
            self._values = self._values.astype(object)
        end = self._n + count
        self._hashes[self._n : end] = hashes
        self._moments[self._n : end] = moments
        if came is not None and self._came is None:
            self._came = self._moments.copy()
        if self._came is not None:
            self._came[self._n : end] = moments if came is None else came
        self._values[self._n : end] = values.to_numpy() if self._values.dtype != object else values.to_list()
        self._used[self._n : end] = False
        start = self._base + self._n
        if slices is not None:
            self._slices.update({start + place: each for place, each in enumerate(slices) if each})
        self._n = end
        return start

    def _grow(self, count: int) -> None:
        needed = self._n + count
        if needed > self._moments.size:
            size = max(needed, 2 * self._moments.size)
            self._hashes, self._moments = _longer(self._hashes, size), _longer(self._moments, size)
            self._values, self._used = _longer(self._values, size), _longer(self._used, size)
            self._came = None if self._came is None else _longer(self._came, size)

    def moment(self, place: int) -> Instant:
        """When a label was known."""
        return int(self._moments[place - self._base])

    def came(self, place: int) -> Instant:
        """When it came."""
        return int((self._moments if self._came is None else self._came)[place - self._base])

    def value(self, place: int) -> float | str:
        """What it says."""
        found: float | str = self._values[place - self._base]
        return found

    def moments(self, places: Integers) -> Integers:
        """When labels were known, shape (n,); `NEVER` for no place."""
        found: Integers = np.where(places >= 0, self._moments[np.maximum(places - self._base, 0)], NEVER)
        return found

    def values(self, places: Integers, dtype: Any) -> pl.Series:
        """What they say, as Float64 or String; null for no place, and for a label of the other kind."""
        found = self._values[np.maximum(places - self._base, 0)]
        if found.dtype == object or dtype == pl.String:
            told = [value if place >= 0 else None for value, place in zip(found.tolist(), places.tolist(), strict=True)]
            return pl.Series("label", told, dtype=dtype, strict=False)
        series = pl.Series("label", found.astype(np.float64))
        if (places >= 0).all():
            return series
        return series.set(pl.Series(places < 0), None)

    def slices(self, places: Integers) -> list[tuple[str, ...]] | None:
        """The slices that came with them; None where none came with any."""
        return [self.slices_of(place) for place in places.tolist()] if self._slices else None

    def slices_of(self, place: int) -> tuple[str, ...]:
        """The slices that came with one."""
        return self._slices.get(place, ())

    def use(self, places: Integers) -> None:
        """A row wanted these, or nobody is to be told that none did."""
        self._used[places - self._base] = True

    def unused(self, places: Integers) -> int:
        """How many of these no row wanted."""
        return int(np.count_nonzero(~self._used[places - self._base]))

    def forget(self, oldest: int) -> None:
        """Those below this place are asked for no more. They go once they are more than half."""
        gone = oldest - self._base
        if 2 * gone <= self._n or gone < _FIRST:
            return
        self._take(np.arange(gone, self._n))
        self._base = oldest
        if self._slices:
            self._slices = {place: each for place, each in self._slices.items() if place >= oldest}

    def taken(self, places: Integers) -> tuple[Shelf, int]:
        """A shelf of these labels alone, in this order, and the place of the first of them, which is after all places of this one."""
        other = Shelf()
        other.__dict__.update(self.__dict__)
        other._take(places - self._base)
        other._base = self.end
        other._slices = {other._base + at: self._slices[place] for at, place in enumerate(places.tolist()) if place in self._slices}
        return other, other._base

    def _take(self, rows: Integers) -> None:
        self._hashes, self._moments = self._hashes[rows], self._moments[rows]
        self._values, self._used = self._values[rows], self._used[rows]
        self._came = None if self._came is None else self._came[rows]
        self._n = rows.size


def _longer(column: NDArray[Any], size: int) -> NDArray[Any]:
    return np.concatenate([column, np.empty(size - column.size, dtype=column.dtype)])
