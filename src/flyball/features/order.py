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

from flyball.data.types import micros
from flyball.declare.views import FeatureView
from flyball.errors import BadInput, DeclarationError
from flyball.features.keys import alike, clean, row_keys

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


class Entities:
    """The entities of a view, numbered from 0."""

    def __init__(self, keys: pl.Series | None) -> None:
        """keys: those of the rows, without null; None: there is one series, number 0."""
        self._dtype = None if keys is None else keys.dtype
        self._values: pl.Series | None = None
        self._first: int | None = None
        self._numbers: dict[Any, int] = {}
        self.count = 1
        if keys is not None and not self._close(keys):
            self._values = keys.unique(maintain_order=True)
            self.count = len(self._values)

    def _close(self, keys: pl.Series) -> bool:
        """Take whole numbers that lie close together as they are: some of the numbers are then nobody's."""
        if not keys.dtype.is_integer() or not len(keys):
            return False
        low, high = int(keys.min()), int(keys.max())  # type: ignore[arg-type]  # of integers
        if high - low > 2 * len(keys) + FEW or not -(2**62) < low <= high < 2**62:
            return False
        self._first, self.count = low, high - low + 1
        return True

    def number(self, keys: pl.Series) -> Ints:
        """The numbers of keys of the rows' own type; −1 for those that no row has."""
        if self._first is not None:
            known = keys.cast(pl.Int64, strict=False)
            found = (known.fill_null(self._first - 1) if known.null_count() else known).to_numpy() - self._first
            return np.where((found >= 0) & (found < self.count), found, -1)
        assert self._values is not None
        return numbered(keys, self._values)

    def find(self, keys: pl.Series | None, count: int) -> Ints:
        """The number of each of `count` keys; −1 for those that no row has, for null and for NaN."""
        if self._dtype is None:
            return np.zeros(count, dtype=np.int64)
        assert keys is not None
        asked = alike(clean(keys), self._dtype)
        if len(asked) > FEW or self._values is None:
            return self.number(asked)
        if not self._numbers and len(self._values):
            self._numbers = {value: number for number, value in enumerate(self._values)}
        return np.array([self._numbers.get(key, -1) for key in asked], dtype=np.int64)


@dataclass(frozen=True)
class Ordered:
    """The rows that have a time and an entity, in order.

    The frame that was given had `rows` rows; `place[i]` is where row i lies in it; `entity` its number, `time` and `arrived` (its time where
    it does not say) in i64 µs; `at` its number on `axis`, ascending.
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
    wanted = [name for name in (data.time, data.arrived, *view.entity) if name]
    if lacking := [name for name in wanted if name not in rows.columns]:
        raise BadInput(f'view "{view.name}": the rows of data set "{data.name}" have no column "{lacking[0]}"')
    keys = row_keys(view, rows)
    time = micros(rows[data.time])
    said = micros(rows[data.arrived]) if data.arrived else None
    place = None
    if time.null_count() or (keys is not None and keys.null_count()):
        kept = time.is_not_null() if keys is None else time.is_not_null() & keys.is_not_null()
        place = np.flatnonzero(kept.to_numpy())
        time = time.filter(kept)
        keys, said = (None if each is None else each.filter(kept) for each in (keys, said))
    stamps = time.to_numpy()
    arrived = None if said is None else (said.zip_with(said.is_not_null(), time) if said.null_count() else said).to_numpy()
    entities = Entities(keys)
    number = np.zeros(len(stamps), dtype=np.int64) if keys is None else entities.number(keys)
    by = _sorted(number, stamps, arrived)
    axis = Axis(stamps, entities.count)
    entity, stamps = number[by], stamps[by]
    return Ordered(
        entities=entities,
        axis=axis,
        rows=rows.height,
        place=by if place is None else place[by],
        entity=entity,
        time=stamps,
        arrived=stamps if arrived is None else arrived[by],
        at=axis.at(entity, stamps),
    )


def by_number(numbers: Ints) -> Ints:
    """The order of small whole numbers ≥ −1, those that are alike as they stand: a pass for each 16 bits."""
    by: Ints | None = None
    for shift in range(0, max(1, int(numbers.max(initial=0)).bit_length() + 1), 16):
        digits = ((numbers + 1) >> shift).astype(np.uint16)
        by = np.argsort(digits, kind="stable") if by is None else by[np.argsort(digits[by], kind="stable")]
    assert by is not None
    return by


def _sorted(number: Ints, time: Ints, arrived: Ints | None) -> Ints:
    """The order of rows by entity, time, arrival (None: all alike), place."""
    if (time[1:] >= time[:-1]).all():
        by = by_number(number)
    else:
        # a data set's rows come in order of time: here somebody else's do not
        early = np.argsort(time, kind="stable")
        by = early[by_number(number[early])]
    if arrived is None or not len(by):
        return by
    entity, stamps = number[by], time[by]
    ties = np.flatnonzero((entity[1:] == entity[:-1]) & (stamps[1:] == stamps[:-1]))
    if len(ties):
        marked = np.zeros(len(by), dtype=np.bool_)
        marked[ties] = marked[ties + 1] = True
        rows = by[marked]
        by[marked] = rows[np.lexsort((rows, arrived[rows], time[rows], number[rows]))]
    return by


def numbered(keys: pl.Series, values: pl.Series) -> Ints:
    """The place of each key among `values`; −1 where it is not there."""
    table = pl.DataFrame({"key": values, "number": np.arange(len(values))})
    found = keys.alias("key").to_frame().join(table, on="key", how="left", maintain_order="left")["number"]
    return found.fill_null(-1).to_numpy().astype(np.int64, copy=False)
