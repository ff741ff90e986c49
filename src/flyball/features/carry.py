"""Which rows of a view later moments may still look at, so that a view is looked up piece by piece of time, older rows let go."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from flyball.data.types import arrivals, instants
from flyball.declare.views import FeatureView, RowFeature, WindowFeature
from flyball.features.keys import row_keys
from flyball.features.reading import delay

_TIME, _ARRIVED = "__time", "__arrived"


def carried(view: FeatureView, rows: pl.DataFrame, moment: int) -> pl.DataFrame:
    """Those of `rows` that make a difference to any moment from `moment` (i64 µs) on, in their order.

    Windows look at rows within their reach. Of the rows that are known by then the newest of each entity hides the others; those that
    become known later may still be the newest.
    """
    marked = rows.with_columns(instants(view.data.time).alias(_TIME), arrivals(view.data).alias(_ARRIVED)).with_row_index("__place")
    marked = marked.filter(pl.col(_TIME).is_not_null())
    keep = []
    windows = [feature.window for feature in view.features.values() if isinstance(feature, WindowFeature)]
    if windows:
        reach = max(int(window.span) + int(window.ago) for window in windows)
        keep.append(marked.filter(pl.col(_TIME) > moment - reach)["__place"])
    newest = {delay(view, feature) for feature in view.features.values() if isinstance(feature, RowFeature)}
    fresh = marked if view.ttl is None else marked.filter(pl.col(_TIME) >= moment - int(view.ttl))
    for late in newest:
        known = pl.max_horizontal(pl.col(_ARRIVED), pl.col(_TIME) + late)
        # in a model's own stream what is seen is known before the moment itself
        keep.append(fresh.filter(known >= moment)["__place"])
        keep.append(_newest(view, fresh.filter(known < moment)))
    return rows[_union(keep)]


def _newest(view: FeatureView, rows: pl.DataFrame) -> pl.Series:
    """The place of each entity's newest row."""
    ordered = rows.sort(_TIME, _ARRIVED, "__place")
    keys = row_keys(view, ordered)
    if keys is None:
        return ordered["__place"].tail(1)
    keyed = ordered.with_columns(keys.alias("__key")).filter(pl.col("__key").is_not_null())
    return keyed.unique("__key", keep="last")["__place"]


def _union(places: Sequence[pl.Series]) -> pl.Series:
    return pl.concat(places).unique().sort() if places else pl.Series([], dtype=pl.UInt32)
