"""Values of a view at moments, from what is kept online: bit for bit those that the offline engine gives.

A reader asks for all parts of the entities it needs at once, and for nothing else.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import polars as pl

from flyball.clock import FARTHEST
from flyball.declare.views import FeatureView
from flyball.features import exact
from flyball.features.keys import alike, key_type
from flyball.features.online.form import ALONE, ARRIVED, TIME, VALUES, Row, Tile, Totals, entities, typed, unpack_rows, unpack_tile
from flyball.features.online.kept import not_kept
from flyball.features.online.plan import HEAD, Aggregate, Plan, plan
from flyball.store.online import Part

Fetch: TypeAlias = Callable[[str, Sequence[bytes]], list[Part]]
"""(name of the view in the store, entities) → every part of them."""


class OnlineView:
    """A view's values online; the same question as `windows.Prepared` answers. `kept_from`: the earliest moment that can be asked about, µs."""

    def __init__(self, view: FeatureView, fetch: Fetch) -> None:
        self.view = view
        self.plan = plan(view)
        self.kept_from = -FARTHEST
        self._fetch = fetch
        self._key = key_type(view)

    def values(self, moments: pl.DataFrame) -> pl.DataFrame:
        """The view's features for each row of `moments`: `row_time` and `moment` (i64 µs) and, for a view with an entity, `key`.

        Raises Unavailable where the store is; NotKept for a moment so long ago that its rows are not kept any more.
        """
        moment = moments["moment"].to_list()
        bounds = [min(at, time - 1) for at, time in zip(moment, moments["row_time"].to_list(), strict=True)]
        keys: Sequence[bytes | None] = [ALONE] * len(moment) if self._key is None else entities(alike(moments["key"], self._key))
        found = self.rows(keys, moment, bounds)
        columns = list(zip(*found, strict=True)) if found else [()] * len(self.plan.dtypes)
        return pl.DataFrame(
            [typed(name, list(column), dtype) for (name, dtype), column in zip(self.plan.dtypes.items(), columns, strict=True)]
        )

    def rows(self, keys: Sequence[bytes | None], moments: Sequence[int], bounds: Sequence[int]) -> list[Sequence[Any]]:
        """The same for keys as `form.entity` makes them (None: nobody): one row of plain values for each, in order of the view's features.

        bounds: the newest instant at which a row may be known that the moment sees.
        """
        made = self.plan
        if moments and min(moments) < self.kept_from:
            raise not_kept(self.view.name, min(moments), self.kept_from)
        parts = self._fetch(made.store_name, [key for key in keys if key is not None])
        if not made.aggregates:
            bodies: dict[bytes | None, bytes] = {entity: body for entity, _, body in parts}
            return [_newest(made, bodies.get(key), moment, bound) for key, moment, bound in zip(keys, moments, bounds, strict=True)]
        # parts that no window of these moments reaches are not even unpacked
        low, high = ((min(moments) - made.reach) // made.width, max(moments) // made.width) if moments else (0, 0)
        heads: dict[bytes, bytes] = {}
        tiles: dict[bytes, list[tuple[int, Tile]]] = {}
        for entity, number, body in parts:
            if number == HEAD:
                heads[entity] = body
            elif low <= number <= high:
                tiles.setdefault(entity, []).append((number, unpack_tile(body)))
        own = {entity: _Tiles(made, each) for entity, each in tiles.items()}
        nothing = _Tiles(made, [])
        return [
            self._both(heads.get(key), own.get(key, nothing), moment, bound)
            if key is not None
            else self._both(None, nothing, moment, bound)
            for key, moment, bound in zip(keys, moments, bounds, strict=True)
        ]

    def _both(self, head: bytes | None, tiles: _Tiles, moment: int, bound: int) -> Sequence[Any]:
        made = self.plan
        row = _newest(made, head, moment, bound) if made.newest else ()
        values = {item.name: row[item.place] for item in made.newest}
        for item in made.aggregates:
            values[item.name] = tiles.value(item, moment, bound)
        return [values[name] for name in made.dtypes]


def _newest(made: Plan, body: bytes | None, moment: int, bound: int) -> Sequence[Any]:
    """The features of the newest row that is known by `bound`, without those that are older than the TTL."""
    if body is None:
        return (None,) * len(made.newest)
    rows = unpack_rows(body)
    if len(made.delays) == 1:
        row = _visible(rows, made.delays[0], bound)
        if row is None or (made.ttl is not None and moment - row[TIME] > made.ttl):
            return (None,) * len(made.newest)
        return row[VALUES:]
    seen = {delay: _visible(rows, delay, bound) for delay in made.delays}
    out = []
    for item in made.newest:
        row = seen[item.delay]
        stale = row is None or (made.ttl is not None and moment - row[TIME] > made.ttl)
        out.append(None if row is None or stale else row[VALUES + item.place])
    return out


def _visible(rows: list[Row], delay: int, bound: int) -> Row | None:
    for row in reversed(rows):
        if row[ARRIVED] <= bound and row[TIME] + delay <= bound:
            return row
    return None


class _Tiles:
    """An entity's tiles, laid out once for all features and moments of a batch."""

    def __init__(self, made: Plan, tiles: list[tuple[int, Tile]]) -> None:
        self._plan = made
        self._summed = [(number, tile) for number, tile in tiles if tile.totals is not None]
        rows = [row for _, tile in tiles if tile.totals is None for row in unpack_rows(tile.rows)]
        self._columns: list[Sequence[Any]] = list(zip(*rows, strict=True)) if rows else [()] * (VALUES + len(made.streams))
        self._known = [self._latest(stream.delay) for stream in made.streams]
        self._opened: dict[int, list[Row]] = {}

    def _latest(self, delay: int) -> int:
        """When the last of the rows that lie open is known."""
        times, arrived = self._columns[TIME], self._columns[ARRIVED]
        return max(*arrived, times[-1] + delay) if times else 0

    def value(self, item: Aggregate, moment: int, bound: int) -> Any:
        """One aggregate at one moment."""
        end = moment - item.ago
        found = self._found(item, end - item.span, end, bound)
        newest = found.newest
        if item.expires and newest is not None and self._plan.ttl is not None and end - newest[TIME] > self._plan.ttl:
            return None
        if item.how == "count":
            return found.count
        if item.how == "last":
            return None if newest is None else newest[VALUES]
        if item.how == "distinct":
            return len(set(found.values).union(*(each.distinct for each in found.totals)))
        if item.how == "sum":
            return found.sum()
        if not found.count:
            return None
        if item.how == "mean":
            return found.sum() / found.count
        ends = [*found.values, *((each.low if item.how == "min" else each.high) for each in found.totals)]
        return min(ends) if item.how == "min" else max(ends)

    def _found(self, item: Aggregate, after: int, end: int, bound: int) -> _Found:
        """What lies in (after, end] and is known by `bound`: values one by one, and summaries of whole tiles."""
        place, delay = VALUES + item.place, self._plan.streams[item.place].delay
        times, arrived, places, column = self._columns[TIME], self._columns[ARRIVED], self._columns[2], self._columns[place]
        low, high = bisect_right(times, after), bisect_right(times, end)
        if self._known[item.place] <= bound:
            at = [number for number in range(low, high) if column[number] is not None]
        else:
            at = [
                number
                for number in range(low, high)
                if column[number] is not None and arrived[number] <= bound and times[number] + delay <= bound
            ]
        found = _Found([column[number] for number in at], [], None)
        if at:
            last = at[-1]
            found.newest = [times[last], arrived[last], places[last], column[last]]
        width = self._plan.width
        for number, tile in self._summed:
            first, beyond = number * width, (number + 1) * width
            if beyond <= after + 1 or first > end:
                continue
            assert tile.totals is not None
            totals = tile.totals[item.place]
            if first > after and beyond - 1 <= end and totals.known <= bound:
                found.add(totals)
            else:
                found.look(self._rows(number, tile), place, delay, after, end, bound)
        return found

    def _rows(self, number: int, tile: Tile) -> list[Row]:
        rows = self._opened.get(number)
        if rows is None:
            rows = self._opened[number] = unpack_rows(tile.rows)
        return rows


class _Found:
    """Values of a window, one by one and as summaries. `newest`: [time, arrived, place, value] of the newest."""

    __slots__ = ("newest", "totals", "values")

    def __init__(self, values: list[Any], totals: list[Totals], newest: Row | None) -> None:
        self.values = values
        self.totals = totals
        self.newest = newest

    @property
    def count(self) -> int:
        """How many rows."""
        return len(self.values) + sum(each.count for each in self.totals)

    def add(self, totals: Totals) -> None:
        """A whole tile."""
        if totals.count:
            self.totals.append(totals)
            self._meet(totals.newest)

    def look(self, rows: list[Row], place: int, delay: int, after: int, end: int, bound: int) -> None:
        """A part of a tile, or one of which not all is known."""
        some = [
            row
            for row in rows
            if after < row[TIME] <= end and row[place] is not None and row[ARRIVED] <= bound and row[TIME] + delay <= bound
        ]
        if some:
            self.values += [row[place] for row in some]
            last = some[-1]
            self._meet([*last[:VALUES], last[place]])

    def sum(self) -> float:
        """The exactly rounded sum."""
        if not self.totals:
            return exact.fsum(self.values)
        return exact.value(exact.of(self.values) + sum(exact.unpack(each.total) for each in self.totals))

    def _meet(self, row: Row) -> None:
        if self.newest is None or row[:VALUES] > self.newest[:VALUES]:
            self.newest = row
