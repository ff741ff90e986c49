"""A view's rows in order, and where a moment falls among them.

Rows are ordered by (entity, event time, arrival, place in the data set). They are not moved: `place` says where each lies in the frame.
Entity and time make one number, in which a million moments are found by one search.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt
import polars as pl

from flyball.declare.views import FeatureView
from flyball.errors import BadInput, DeclarationError

Ints: TypeAlias = npt.NDArray[np.int64]

FEW: Final = 64
"""Keys up to this many are looked up in a dictionary; more are joined."""
WIDEST: Final = 2**62
"""Entity and time together stay below this."""


class Axis:
    """Maps (entity, instant) to one number, in order of entity and then of instant."""

    def __init__(self, times: Ints, entities: int) -> None:
        """times: every instant that rows have; others fall between them, before or after."""
        self._first = int(times.min()) if len(times) else 0
        self._width = (int(times.max()) - self._first if len(times) else 0) + 3
        self._times: Ints | None = None
        if self._width * (entities + 1) >= WIDEST:
            # many entities over a long time: the rank of an instant among those that occur takes its place
            self._times = np.unique(times)
            self._width = len(self._times) + 2

    def at(self, entity: Ints, instant: Ints) -> Ints:
        """The number of each entity and instant, such that rows at or before the instant have it or a lower one."""
        if self._times is not None:
            return entity * self._width + np.searchsorted(self._times, instant, side="right")
        return entity * self._width + np.clip(instant - (self._first - 1), 0, self._width - 1)


@dataclass(frozen=True)
class Entities:
    """The entities of a view, numbered. `values` None: there is one series, number 0."""

    values: pl.Series | None
    numbers: dict[Any, int]

    def __len__(self) -> int:
        """How many there are."""
        return 1 if self.values is None else len(self.values)

    def find(self, keys: pl.Series | None, count: int) -> Ints:
        """The number of each of `count` keys; −1 for those that no row has, for null and for NaN."""
        if self.values is None:
            return np.zeros(count, dtype=np.int64)
        assert keys is not None
        asked = _alike(clean(keys), self.values.dtype)
        if len(asked) <= FEW:
            if not self.numbers and len(self.values):
                self.numbers.update({value: number for number, value in enumerate(self.values)})
            return np.array([self.numbers.get(key, -1) for key in asked], dtype=np.int64)
        return numbered(asked, self.values)


@dataclass(frozen=True)
class Ordered:
    """The rows that have a time and an entity, in order.

    The frame that was given had `rows` rows; `place[i]` is where row i lies in it; `entity` its number, `time` and `arrived` (its time where it does not say)
    in i64 µs; `at` its number on `axis`, ascending.
    """

    entities: Entities
    axis: Axis
    rows: int
    place: Ints
    entity: Ints
    time: Ints
    arrived: Ints
    at: Ints

    def upto(self, entity: Ints, instant: Ints) -> Ints:
        """How many rows lie before an entity's rows, or are the entity's and at or before the instant."""
        return np.searchsorted(self.at, self.axis.at(entity, instant), side="right").astype(np.int64, copy=False)


def order(view: FeatureView, rows: pl.DataFrame) -> Ordered:
    """Put a view's rows in order. Raises DeclarationError for a data set without time, BadInput where a column is missing."""
    data = view.data
    if not data.time:
        raise DeclarationError(f'view "{view.name}" needs a data set with a time', fix=f'give data set "{data.name}" a time= column')
    wanted = [name for name in (data.time, data.arrived, view.entity) if name]
    if lacking := [name for name in wanted if name not in rows.columns]:
        raise BadInput(f'view "{view.name}": the rows of data set "{data.name}" have no column "{lacking[0]}"')
    keys = clean(rows[view.entity]) if view.entity is not None else None
    time = _micros(rows[data.time])
    place = np.arange(rows.height)
    if time.null_count() or (keys is not None and keys.null_count()):
        kept = time.is_not_null() if keys is None else time.is_not_null() & keys.is_not_null()
        place = np.flatnonzero(kept.to_numpy())
        time, keys = time.filter(kept), None if keys is None else keys.filter(kept)
    stamps = time.to_numpy()
    arrived = stamps
    if data.arrived:
        said = _micros(rows[data.arrived])[place]
        arrived = said.zip_with(said.is_not_null(), time).to_numpy()
    entities = Entities(None if keys is None else keys.unique(maintain_order=True), {})
    entity = np.zeros(len(stamps), dtype=np.int64) if keys is None or entities.values is None else numbered(keys, entities.values)
    axis = Axis(stamps, len(entities))
    at = axis.at(entity, stamps)
    by = _sorted(at, arrived if data.arrived else None)
    return Ordered(entities, axis, rows.height, place[by], entity[by], stamps[by], arrived[by], at[by])


def clean(keys: pl.Series) -> pl.Series:
    """Keys as they are compared: NaN is no key, and 0.0 and −0.0 are one."""
    return (keys + 0.0).fill_nan(None) if keys.dtype.is_float() else keys


def _sorted(at: Ints, arrived: Ints | None) -> Ints:
    """The order of rows by `at`, then arrival (None: all alike), then place."""
    by = np.arange(len(at)) if (at[1:] >= at[:-1]).all() else np.argsort(at, kind="stable")
    ties = np.flatnonzero(at[by[1:]] == at[by[:-1]])
    if arrived is not None and len(ties):
        tied = np.union1d(ties, ties + 1)
        rows = by[tied]
        by[tied] = rows[np.lexsort((rows, arrived[rows], at[rows]))]
    return by


def _micros(series: pl.Series) -> pl.Series:
    return series.cast(pl.Datetime("us")).cast(pl.Int64)


def numbered(keys: pl.Series, values: pl.Series) -> Ints:
    """The place of each key among `values`; −1 where it is not there."""
    table = pl.DataFrame({"key": values, "number": np.arange(len(values))})
    found = keys.alias("key").to_frame().join(table, on="key", how="left", maintain_order="left")["number"]
    return found.fill_null(-1).to_numpy().astype(np.int64, copy=False)


def _alike(keys: pl.Series, dtype: pl.DataType) -> pl.Series:
    """Keys in the type of the view's; null where a key is another value there (1.5 is no int)."""
    if keys.dtype == dtype:
        return keys
    made = keys.cast(dtype, strict=False)
    return made.zip_with((made.cast(keys.dtype, strict=False) == keys).fill_null(value=False), pl.Series([None], dtype=dtype))
