"""The definition of a view's values, as plainly as it can be written: one moment, one feature and one row at a time.

Nothing here is shared with the code that it is held against.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import polars as pl

from flyball.declare.views import FeatureView, RowFeature, WindowFeature

Cell = Any
Row = dict[str, Cell]


@dataclass(frozen=True)
class Asked:
    """A row with time T that is predicted at M = T − horizon. `own`: its view looks at the stream that the row itself is of. i64 µs."""

    time: int
    key: Cell = None
    horizon: int = 0
    own: bool = True

    @property
    def moment(self) -> int:
        return self.time - self.horizon

    def sees(self, known: int) -> bool:
        return known <= self.moment and (known < self.time or not self.own)


def moments(asked: Sequence[Asked], key: pl.DataType | None = None) -> pl.DataFrame:
    """As a `Lookup` is asked; `key` is the type of the keys, None where there are none."""
    frame = pl.DataFrame(
        {"row_time": [each.time if each.own else each.moment + 1 for each in asked], "moment": [each.moment for each in asked]},
        schema={"row_time": pl.Int64, "moment": pl.Int64},
    )
    return frame if key is None else frame.with_columns(pl.Series("key", [each.key for each in asked], dtype=key))


def replay(view: FeatureView, frame: pl.DataFrame, asked: Sequence[Asked]) -> list[dict[str, Cell]]:
    """The view's features for each of `asked`, of the rows of its data set in the order in which they lie there."""
    rows = [with_features(view, frame, place) for place in range(frame.height)]
    return [{name: one(view, name, rows, each) for name in view.features} for each in asked]


def one(view: FeatureView, name: str, rows: list[Row], asked: Asked) -> Cell:
    """The value of one feature at one moment."""
    feature, data = view.features[name], view.data
    seen: list[tuple[int, int, int, Cell]] = []
    for place, row in enumerate(rows):
        time = micros(row[data.time])
        if time is None or not same_entity([row[name] for name in view.entity], asked.key):
            continue
        arrived = micros(row[data.arrived]) if data.arrived else None
        known = max([time, time if arrived is None else arrived, *(time + after(view, column) for column in reads(feature))])
        if not asked.sees(known):
            continue
        if isinstance(feature, WindowFeature):
            end = asked.moment - int(feature.window.ago)
            inside = end - int(feature.window.span) < time <= end
            if not inside or row[f"where {name}"] is not True or missing(row[f"value {name}"]):
                continue
        seen.append((time, time if arrived is None else arrived, place, row[f"value {name}"]))
    seen.sort(key=lambda item: item[:3])
    end = asked.moment - (int(feature.window.ago) if isinstance(feature, WindowFeature) else 0)
    if seen and view.ttl is not None and end - seen[-1][0] > int(view.ttl):
        return None
    values = [item[3] for item in seen]
    if isinstance(feature, RowFeature):
        return None if not values or missing(values[-1]) else values[-1]
    return aggregate(feature.how, values)


def aggregate(how: str, values: list[Cell]) -> Cell:
    if how == "count":
        return len(values)
    if how == "distinct":
        return len(set(values))
    if how == "sum":
        return math.fsum(values)
    if not values:
        return None
    if how == "mean":
        return math.fsum(values) / len(values)
    if how == "last":
        return values[-1]
    # of two zeros either may be met first: the sign of a zero is dropped
    return float(min(values) if how == "min" else max(values)) + 0.0


def reads(feature: WindowFeature | RowFeature) -> list[str]:
    parts = [feature.value] if isinstance(feature, RowFeature) else [part for part in (feature.column, feature.where) if part is not None]
    return [name for part in parts for name in ([part] if isinstance(part, str) else part.meta.root_names()) if name]


def after(view: FeatureView, column: str) -> int:
    declared = view.data.columns.get(column)
    return 0 if declared is None else int(declared.known_after)


def with_features(view: FeatureView, frame: pl.DataFrame, place: int) -> Row:
    """A row, with what each feature makes of it alone."""
    alone = frame.slice(place, 1)
    parts: dict[str, Any] = {}
    for name, feature in view.features.items():
        value, where = (feature.value, None) if isinstance(feature, RowFeature) else (feature.column, feature.where)
        counting = isinstance(value, str) and not value
        parts[f"value {name}"] = pl.lit(1) if counting else expression(value)
        parts[f"where {name}"] = pl.lit(value=True) if where is None else expression(where)
    return alone.with_columns(**parts).row(0, named=True)


def expression(value: Any) -> pl.Expr:
    return pl.col(value) if isinstance(value, str) else value


def micros(time: Cell) -> int | None:
    if time is None or isinstance(time, int):
        return time
    return (time.replace(tzinfo=None) - datetime(1970, 1, 1)) // timedelta(microseconds=1)


def missing(value: Cell) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def same_entity(own: list[Cell], key: Cell) -> bool:
    wanted = key if isinstance(key, tuple) else (key,) if own else ()
    return all(not missing(one) and not missing(other) and one == other for one, other in zip(own, wanted, strict=True))


def assert_same(got: pl.DataFrame, wanted: Sequence[dict[str, Cell]]) -> None:
    """Every value is the wanted one, bit for bit, and none is missing or there besides."""
    assert got.height == len(wanted)
    for name in got.columns:
        for place, (made, hand) in enumerate(zip(got[name].to_list(), [row[name] for row in wanted], strict=True)):
            assert type(made) is type(hand), (name, place, made, hand)
            assert made.hex() == hand.hex() if isinstance(made, float) else made == hand, (name, place, made, hand)
