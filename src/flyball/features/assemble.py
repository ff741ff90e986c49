"""Frames for fit and frames for predict, made by one inner function: what a version was fitted on is what it is served.

A row's features come from three places, in this order: its inputs (declared columns known at the moment of prediction), the values of
its views at that moment, and its transforms. Nothing here reads a clock or a file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from flyball.clock import Instant, Span
from flyball.data.types import DTYPES, column, instants, schema
from flyball.declare.data import Column, Dataset, FeatureView
from flyball.declare.model import Model
from flyball.errors import BadInput, DeclarationError
from flyball.features import transforms
from flyball.features.expressions import expression, roots
from flyball.features.windows import Prepared, prepare
from flyball.records.models import Field, Signature

History = pl.DataFrame | Mapping[str, pl.DataFrame] | None


@dataclass(frozen=True)
class PreparedHistory:
    """The rows that a model's windows look at, sorted once (None: a view without rows). Make it with `prepare_history`."""

    views: tuple[Prepared, ...]


def label_column(model: Model) -> str:
    """The label's column in the model's own data set. Raises DeclarationError for a label that arrives in another one."""
    if isinstance(model.label, str):
        return model.label
    raise DeclarationError(
        f'model "{model.name}" takes its label from data set "{model.label.source.name}"',
        why="labels from another data set are not joined yet",
        fix="bring the label into the model's own data set as a column with known_after=",
    )


def inputs(model: Model) -> list[str]:
    """The data set's columns that `fit` sees: those named by `inputs=`, else every one known at T − horizon without a role."""
    if model.inputs is not None:
        return list(model.inputs)
    data = model.data
    roles = {data.time, data.arrived, data.id, data.subject, model.weight, model.group, model.item}
    roles |= {model.label_column, *(view.key for view in model.features)}
    return [name for name, item in data.columns.items() if name not in roles and _usable(item) and _known(model, item)]


def _usable(item: Column) -> bool:
    return not item.personal and not item.protected


def _known(model: Model, item: Column) -> bool:
    return int(item.known_after) <= -int(model.framing.horizon)


def _own(model: Model, view: FeatureView) -> bool:
    return view.data.name == model.data.name


def view_features(model: Model) -> list[str]:
    """The names of every view's values, in order."""
    return [name for view in model.features for name in view.features]


def request_fields(model: Model) -> list[tuple[str, Column]]:
    """What a caller sends: inputs, entity keys, and the columns that transforms and slices read, in that order, each once.

    Raises DeclarationError if a transform reads what is not known at the moment of prediction.
    """
    names = inputs(model) + [view.key for view in model.features if view.key]
    made = {*view_features(model), *transforms.names(model)}
    for name, value in transforms.expressions(model).items():
        for root in roots(value):
            if root in made:
                continue
            if not _known(model, column(model.data, root)):
                raise DeclarationError(
                    f'model "{model.name}": transform "{name}" reads "{root}", which is not known at the moment of prediction',
                    why=f"known_after is {column(model.data, root).known_after}, the horizon {model.framing.horizon}",
                    fix="read it through a feature view's window",
                )
            names.append(root)
    for value in slices(model).values():
        names += [root for root in roots(value) if root in schema(model.data) and _known(model, column(model.data, root))]
    return [(name, column(model.data, name)) for name in dict.fromkeys(names) if name not in {model.data.time, model.data.arrived}]


def slices(model: Model) -> dict[str, pl.Expr]:
    """The model's slices as expressions, by name."""
    return {part.name: expression(part.name if part.expression is None else part.expression) for part in model.slices}


def signature(model: Model, classes: Sequence[int | str | bool] = ()) -> Signature:
    """What a version of the model takes and gives."""
    fields = []
    for name, item in request_fields(model):
        low, high = item.between or (None, None)
        fields.append(
            Field(
                name=name,
                type=item.type,
                nullable=item.nulls > 0,
                low=None if low is None else float(low),
                high=None if high is None else float(high),
                one_of=tuple(item.one_of) if item.one_of else None,
            )
        )
    return Signature(task=model.task, fields=tuple(fields), classes=tuple(classes))


def history_span(model: Model) -> Span:
    """How far back from the newest row of its data sets the windows of a request may reach."""
    spans = [int(item.window.span) + int(item.window.ago) for view in model.features for item in view.features.values()]
    return Span(max(spans) + int(model.framing.horizon)) if spans else Span(0)


def prepare_history(model: Model, history: History) -> PreparedHistory:
    """Sort the rows that the model's views look at. A frame stands for the model's own data set; a mapping goes by data set name."""
    frames = {model.data.name: history} if isinstance(history, pl.DataFrame) else history or {}
    prepared = []
    for view in model.features:
        frame = frames.get(view.data.name)
        empty = pl.DataFrame(schema={name: DTYPES[type_] for name, type_ in schema(view.data).items()})
        prepared.append(prepare(view, empty if frame is None else frame))
    return PreparedHistory(tuple(prepared))


def _features(model: Model, rows: pl.DataFrame, times: np.ndarray, history: PreparedHistory) -> pl.DataFrame:
    """The one way to features. `rows` holds the request fields, `times` each row's T (i64 µs); rows keep their number and order."""
    moment = times - int(model.framing.horizon)
    frame = rows
    for view, prepared in zip(model.features, history.views, strict=True):
        # another data set's row at the very moment is known; only rows of the same stream might be the row itself
        row_time = times if _own(model, view) else moment + 1
        asked = pl.DataFrame({"row_time": row_time, "moment": moment})
        if view.entity is not None:
            asked = asked.with_columns(rows[view.key].alias("key"))
        frame = frame.hstack(prepared.values(asked))
    frame = transforms.apply(model, frame)
    return frame.select(_dressed(model, name) for name in [*inputs(model), *view_features(model), *transforms.names(model)])


def _dressed(model: Model, name: str) -> pl.Expr:
    """Text with a closed set of values is given to fit as an enumeration, so that "from_dtype" in an estimator finds its categories."""
    item = model.data.columns.get(name)
    if item is None or item.type != "str" or not item.one_of:
        return pl.col(name)
    return pl.col(name).cast(pl.Enum([str(value) for value in item.one_of]), strict=False)


def feature_columns(model: Model) -> list[str]:
    """The names of the columns that `fit` and `predict` get, in order."""
    return [*inputs(model), *view_features(model), *transforms.names(model)]


def serving_rows(model: Model, rows: pl.DataFrame, times: Sequence[Instant], history: History | PreparedHistory = None) -> pl.DataFrame:
    """The feature columns of requests, in order.

    `rows` has the request fields; `times` is each row's T: the time that is predicted, whose moment of prediction is T − horizon (a
    caller who asks "from now" has T = now + horizon). `history` is the tail of the data sets, at least `history_span` long.
    """
    fields = request_fields(model)
    typed = rows.select(pl.col(name).cast(DTYPES[item.type]) for name, item in fields) if fields else rows
    prepared = history if isinstance(history, PreparedHistory) else prepare_history(model, history)
    return _features(model, typed, np.asarray(times, dtype=np.int64), prepared)


def training_rows(model: Model, frames: Mapping[str, pl.DataFrame], *, as_of: Instant, since: Instant | None = None) -> pl.DataFrame:
    """Every row whose label was known by `as_of`, from `since` on, in order of time.

    Columns: `__time` (i64 µs; the row's place where the data set has no time), `__y`, `__id`, `__weight`, `__group` and `__key` where
    the model has them, `__slice_NAME` for every slice, and the feature columns. `frames` maps data set names to frames
    as `data.source.read` gives them. Raises BadInput if a data set is missing.
    """
    data = model.data
    absent = [view.data.name for view in model.features if view.data.name not in frames]
    if data.name not in frames or absent:
        raise BadInput(f'no rows of data set "{absent[0] if absent else data.name}"', why=f'model "{model.name}" is made from it')
    rows = _known_rows(model, frames[data.name], as_of, since)
    history = prepare_history(model, frames)
    built = _features(model, rows, rows["__time"].to_numpy(), history)
    return pl.concat([_about(model, rows.hstack(built.drop(rows.columns, strict=False))), built], how="horizontal")


def _known_rows(model: Model, frame: pl.DataFrame, as_of: Instant, since: Instant | None) -> pl.DataFrame:
    data, label = model.data, label_column(model)
    delay = int(column(data, label).known_after)
    time = instants(data.time) if data.time else pl.int_range(pl.len(), dtype=pl.Int64)
    known = pl.col("__time") + delay
    if data.arrived:
        known = pl.max_horizontal(known, instants(data.arrived))
    rows = frame.with_columns(time.alias("__time")).filter(pl.col("__time").is_not_null() & pl.col(label).is_not_null() & (known <= as_of))
    if since is not None and data.time:
        rows = rows.filter(pl.col("__time") >= since)
    return rows.sort("__time", maintain_order=True)


def _about(model: Model, frame: pl.DataFrame) -> pl.DataFrame:
    """The columns that are not features: what the row is, what it weighs, where it belongs."""
    out = [pl.col("__time"), pl.col(label_column(model)).alias("__y")]
    if model.data.id:
        out.append(pl.col(model.data.id).cast(pl.String).alias("__id"))
    if model.weight:
        out.append(pl.col(model.weight).cast(pl.Float64).alias("__weight"))
    if model.group:
        out.append(pl.col(model.group).alias("__group"))
    if key := key_column(model):
        out.append(pl.col(key).cast(pl.String).alias("__key"))
    return frame.select(out + [value.alias(f"__slice_{name}") for name, value in slices(model).items()])


def key_column(model: Model) -> str:
    """The column whose value keeps a caller in one arm: the rollout's `sticky`, else the first view's entity key."""
    if model.rollout.sticky:
        return model.rollout.sticky
    return next((view.key for view in model.features if view.key), "")


def own_data(model: Model) -> list[Dataset]:
    """The data sets the model is made from, its own first, each once."""
    sets = {model.data.name: model.data} | {view.data.name: view.data for view in model.features}
    return list(sets.values())
