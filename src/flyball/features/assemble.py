"""Frames for fit and frames for predict, made by one inner function: what a version was fitted on is what it is served.

A row's features come from three places, in this order: its inputs (declared columns known at the moment of prediction), the values of
its views at that moment, and its transforms. Nothing here reads a clock or a file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import polars as pl

from flyball.clock import Instant
from flyball.data.types import DTYPES, empty, instants
from flyball.declare.model import Model
from flyball.declare.rules_columns import ranked
from flyball.declare.views import FeatureView
from flyball.errors import BadInput
from flyball.features import transforms
from flyball.features.direct import MOST_ROWS, Columns, Direct
from flyball.features.fields import gap_columns, inputs, is_own, request_fields, slices, view_features, watched
from flyball.features.keys import asked_keys
from flyball.features.labels import label_data, labels
from flyball.features.lots import LOT, lots
from flyball.features.order import Ints
from flyball.features.windows import Lookup, prepare

History = pl.DataFrame | Mapping[str, pl.DataFrame] | None


KNOWN = "__known"
"""When a row's label was known, in training rows of a data set that says when rows arrive."""

SENT = "__sent_"
"""Before the name of a watched column that callers send and that is no feature."""


@dataclass(frozen=True)
class PreparedHistory:
    """What answers for each of a model's views, in order: its rows, sorted once (`prepare_history`), or a store that keeps its values."""

    views: tuple[Lookup, ...]


def prepare_history(model: Model, history: History) -> PreparedHistory:
    """Sort the rows that the model's views look at. A frame stands for the model's own data set; a mapping goes by data set name."""
    frames = {model.data.name: history} if isinstance(history, pl.DataFrame) else history or {}
    prepared = []
    for view in model.features:
        frame = frames.get(view.data.name)
        prepared.append(prepare(view, empty(view.data) if frame is None else frame))
    return PreparedHistory(tuple(prepared))


class Served(NamedTuple):
    """What requests come to: the features that the model gets, and the values of its views as they were before any transform."""

    features: pl.DataFrame
    views: pl.DataFrame


_KEPT = 128


@dataclass(frozen=True)
class _Plan:
    """What is asked of a model on every request, worked out once. `enums`: text features with a closed set of values."""

    fields: tuple[tuple[str, pl.DataType], ...]
    features: list[str]
    enums: dict[str, pl.Enum]


@lru_cache(maxsize=128)
def _plan(model: Model) -> _Plan:
    fields = tuple((name, DTYPES[item.type]) for name, item in request_fields(model))
    names = [*inputs(model), *view_features(model), *transforms.names(model)]
    enums = {}
    for name in names:
        item = model.data.columns.get(name)
        if item is not None and item.type == "str" and item.one_of:
            enums[name] = pl.Enum([str(value) for value in item.one_of])
    return _Plan(fields, names, enums)


def _features(model: Model, rows: pl.DataFrame, times: Ints, history: PreparedHistory) -> Served:
    """The one way to features. `rows` holds the request fields, `times` each row's T (i64 µs); rows keep their number and order.

    Columns are moved as series: on one row, a Polars query costs more than everything in it.
    """
    plan = _plan(model)
    views = pl.DataFrame()
    for view, prepared in zip(model.features, history.views, strict=True):
        views = _beside(views, prepared.values(moments(model, view, times, rows)))
    if 0 < rows.height <= MOST_ROWS and not plan.enums and (made := _of_few(model, plan, rows, views)) is not None:
        return Served(made, views)
    frame = pl.DataFrame([_typed(rows[name], dtype) for name, dtype in plan.fields])
    frame = transforms.apply(model, _beside(frame, views))
    # an estimator that takes its categories "from_dtype" finds them in an enumeration
    features = pl.DataFrame([_typed(frame[name], plan.enums[name]) if name in plan.enums else frame[name] for name in plan.features])
    return Served(features, views)


class _Few(NamedTuple):
    """How features are made of a few rows with these columns. `columns` None: as of many."""

    names: list[str]
    kinds: list[type[pl.DataType]]
    made: Direct | None
    columns: Columns | None


_few: dict[Model, _Few] = {}


def _of_few(model: Model, plan: _Plan, rows: pl.DataFrame, views: pl.DataFrame) -> pl.DataFrame | None:
    """The features of a few rows, put together as Python's own values: a series costs more than what is in it. None: as of many."""
    names = rows.columns + views.columns
    kinds = [type(dtype) for dtype in (*rows.dtypes, *views.dtypes)]
    few = _few.get(model)
    if few is None or few.names != names or few.kinds != kinds:
        if len(_few) > _KEPT:
            _few.clear()
        few = _few[model] = _prepare_few(model, plan, rows, views)
    if few.made is None or few.columns is None:
        return None
    given = rows.rows() if not views.width else [one + other for one, other in zip(rows.rows(), views.rows(), strict=True)]
    made = few.made.rows(given)
    if made is None:
        return None
    first, *others = few.columns.of(made)
    return first.to_frame().hstack(others)


def _prepare_few(model: Model, plan: _Plan, rows: pl.DataFrame, views: pl.DataFrame) -> _Few:
    schema = {**rows.schema, **views.schema}
    made = None
    if all(schema.get(name) == dtype for name, dtype in plan.fields) and len(schema) == rows.width + views.width:
        made = transforms.without_query(model, schema)
    columns = made.columns(plan.features) if made is not None and plan.features else None
    return _Few(list(schema), [type(dtype) for dtype in schema.values()], made, columns)


def _beside(left: pl.DataFrame, right: pl.DataFrame) -> pl.DataFrame:
    """Both next to each other; a frame without columns has no height of its own."""
    return left.hstack(right) if left.width and right.width else left if left.width else right


def moments(model: Model, view: FeatureView, times: Ints, rows: pl.DataFrame) -> pl.DataFrame:
    """What one of the model's views is asked for rows with these times T (i64 µs), which have the columns `view.key`."""
    moment = times - int(model.framing.horizon)
    # another data set's row at the very moment is known; only rows of the same stream might be the row itself
    row_time = times if is_own(model, view) else moment + 1
    asked = {"row_time": pl.Series(row_time), "moment": pl.Series(moment)}
    if (keys := asked_keys(view, rows)) is not None:
        asked["key"] = keys
    return pl.DataFrame(asked)


def _typed(series: pl.Series, dtype: pl.DataType) -> pl.Series:
    return series if series.dtype == dtype else series.cast(dtype, strict=not isinstance(dtype, pl.Enum))


def feature_columns(model: Model) -> list[str]:
    """The names of the columns that `fit` and `predict` get, in order: inputs, views' values, transforms."""
    return list(_plan(model).features)


def served(model: Model, rows: pl.DataFrame, times: Sequence[Instant], history: History | PreparedHistory = None) -> Served:
    """The feature columns of requests, in order, and what the model's views gave for them.

    `rows` has the request fields; `times` is each row's T: the time that is predicted, whose moment of prediction is T − horizon (a
    caller who asks "from now" has T = now + horizon). `history` is the tail of the data sets: at least as much as the views reach back
    (`reading.reach`). Raises BadInput where a transform cannot be computed.
    """
    prepared = history if isinstance(history, PreparedHistory) else prepare_history(model, history)
    return _features(model, rows, np.asarray(times, dtype=np.int64), prepared)


def training_rows(model: Model, frames: Mapping[str, pl.DataFrame], *, as_of: Instant, since: Instant | None = None) -> pl.DataFrame:
    """Every row whose label was known by `as_of`, from `since` on, in order of time.

    Columns: `__time` (i64 µs; the row's place where the data set has no time), `__known` where rows say when they arrive, `__y`, `__id`,
    `__weight`, `__group`, `__item` and `__key` where the model has them, `__lot` (lots.py) where a share of
    the rows is held out, `__slice_NAME` for every slice and every column of a gate's gap,
    `__sent_NAME` for what is watched and only transforms or slices read, and the feature columns. `frames` maps data set names to frames
    as `data.source.read` gives them. Raises BadInput if a data set is missing.
    """
    for name in (model.data.name, *(view.data.name for view in model.features), label_data(model)):
        if name not in frames:
            raise BadInput(f'no rows of data set "{name}"', why=f'model "{model.name}" is made from it')
    rows = known_rows(model, frames[model.data.name], as_of, since)
    y = labels(model, rows, rows["__time"], frames)
    return labelled_rows(model, rows.filter(y.is_not_null()), y.drop_nulls(), prepare_history(model, frames))


def labelled_rows(model: Model, rows: pl.DataFrame, y: pl.Series, history: PreparedHistory) -> pl.DataFrame:
    """As `training_rows`, of rows as `known_rows` gives them and the label of each, none of which is null."""
    rows = rows.with_columns(y.alias("__y"))
    built = _features(model, rows, rows["__time"].to_numpy(), history).features
    sent = [pl.col(name).alias(f"{SENT}{name}") for name in watched(model) if name not in built.columns]
    return _about(model, rows.hstack(built.drop(rows.columns, strict=False))).hstack(rows.select(sent)).hstack(built)


def watched_columns(model: Model, frame: pl.DataFrame) -> list[pl.Expr]:
    """The columns of `training_rows` whose drift is watched, as callers name them; without those that hold no value at all."""
    places = {name: name if name in frame.columns else f"{SENT}{name}" for name in watched(model)}
    return [pl.col(place).alias(name) for name, place in places.items() if frame.schema.get(place, pl.Null) != pl.Null]


def known_rows(model: Model, frame: pl.DataFrame, as_of: Instant, since: Instant | None = None) -> pl.DataFrame:
    """Rows of the model's data set whose label was settled by `as_of`, with `__time` and `__known`, in order of time."""
    data = model.data
    time = instants(data.time) if data.time else pl.int_range(pl.len(), dtype=pl.Int64)
    if not data.time and model.task == "ranking":
        # a list has one place: that of its first row
        time = time.min().over(model.group)
    # what has no time is known as soon as it is there
    known = pl.col("__time") + int(model.label_delay) if data.time else pl.lit(0, pl.Int64)
    if data.arrived:
        known = pl.max_horizontal(known, instants(data.arrived))
    if data.arrived and model.task == "ranking":
        # a list is known as a whole: its last item may arrive after the others
        known = known.max().over("__time", pl.col(model.group))
    rows = frame.with_columns(time.alias("__time")).with_columns(known.alias(KNOWN))
    rows = rows.filter(pl.col("__time").is_not_null() & (pl.col(KNOWN) <= as_of))
    if since is not None and data.time:
        rows = rows.filter(pl.col("__time") >= since)
    return rows.sort("__time", maintain_order=True)


def _about(model: Model, frame: pl.DataFrame) -> pl.DataFrame:
    """The columns that are not features: what the row is, what it weighs, where it belongs."""
    out = [pl.col("__time"), pl.col("__y")]
    if model.data.arrived:
        out.append(pl.col(KNOWN))
    if model.data.id:
        out.append(pl.col(model.data.id).cast(pl.String).alias("__id"))
    if model.weight:
        out.append(pl.col(model.weight).cast(pl.Float64).alias("__weight"))
    if model.group:
        out.append(pl.col(model.group).alias("__group"))
    out += [pl.col(name).alias("__item") for name in ranked(model)]
    if key := key_column(model):
        out.append(pl.col(key).cast(pl.String).alias("__key"))
    if model.train is not None and model.train.by_share:
        out.append(pl.lit(lots(model, frame)).alias(LOT))
    parts = {name: pl.col(name) for name in gap_columns(model)} | slices(model)
    return frame.select(out + [value.alias(f"__slice_{name}") for name, value in parts.items()])


def key_column(model: Model) -> str:
    """The column whose value keeps a caller in one arm: the rollout's `sticky`, else the first column of the first view's key."""
    if model.rollout.sticky:
        return model.rollout.sticky
    return next((view.key[0] for view in model.features if view.key), "")
