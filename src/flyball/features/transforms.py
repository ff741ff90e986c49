"""Row-wise columns on top of inputs and views: named expressions, or one function from frame to frame."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from polars.exceptions import PolarsError

from flyball.data.forms import Form, asks_pandas, first_for, polars_of
from flyball.data.types import DTYPES, empty, schema
from flyball.declare.live import shown
from flyball.declare.model import Model
from flyball.declare.views import FeatureView, RowFeature
from flyball.errors import BadInput, DeclarationError
from flyball.features.direct import MOST_ROWS, Direct, direct
from flyball.features.expressions import expression, roots
from flyball.features.fields import expressions, request_fields, view_features


def apply(model: Model, frame: pl.DataFrame) -> pl.DataFrame:
    """Add the transforms' columns to `frame`. A later expression may read an earlier one.

    Raises BadInput if an expression cannot be computed, or the function loses, adds or replaces what it must not.
    """
    if not isinstance(model.transforms, Mapping):
        return _call(model, frame)
    if model.transforms and 0 < frame.height <= MOST_ROWS and (made := _directly(model, frame)) is not None:
        return made
    for layer in _layers(model):
        try:
            frame = frame.with_columns(**layer)
        except PolarsError as error:
            raise BadInput(
                f'model "{model.name}": a transform cannot be computed ({", ".join(layer)})',
                why=str(error),
                fix="a transform reads inputs, views' features and earlier transforms",
            ) from error
    return frame


def _directly(model: Model, frame: pl.DataFrame) -> pl.DataFrame | None:
    """The same of a few rows, without a query; None where an expression is left to Polars."""
    names, kinds = frame.columns, [type(dtype) for dtype in frame.dtypes]
    prepared = _prepared.get(model)
    if prepared is None or prepared.names != names or prepared.kinds != kinds:
        made = without_query(model, frame.schema)
        if len(_prepared) > _KEPT:
            _prepared.clear()
        prepared = _prepared[model] = _Prepared(names, kinds, made)
    return None if prepared.made is None else prepared.made.add(frame)


def without_query(model: Model, schema: Mapping[str, pl.DataType]) -> Direct | None:
    """The transforms as plain functions of rows of this schema; None where they are a function, or one of them is left to Polars."""
    return direct(schema, expressions(model), _layers(model)) if isinstance(model.transforms, Mapping) else None


class _Prepared(NamedTuple):
    """What a model's expressions came to for frames of these columns."""

    names: list[str]
    kinds: list[type[pl.DataType]]
    made: Direct | None


_KEPT = 128
_prepared: dict[Model, _Prepared] = {}


def names(model: Model) -> list[str]:
    """The columns that the transforms add. A function is called once on a frame without rows to learn them."""
    if isinstance(model.transforms, Mapping):
        return list(model.transforms)
    columns = {name: DTYPES[item.type] for name, item in request_fields(model)}
    columns |= {name: value_type(view, name) for view in model.features for name in view.features}
    return [name for name in _call(model, pl.DataFrame(schema=columns)).columns if name not in columns]


def value_type(view: FeatureView, name: str) -> pl.DataType:
    """The Polars type of one of a view's features."""
    item = view.features[name]
    if isinstance(item, RowFeature):
        return empty(view.data).select(expression(item.value)).dtypes[0]
    if item.how in {"count", "distinct"}:
        return pl.Int64()
    return DTYPES[schema(view.data)[item.column]] if item.how == "last" else pl.Float64()


@lru_cache(maxsize=128)
def _layers(model: Model) -> list[dict[str, pl.Expr]]:
    """Expressions in as few steps as their reading of one another allows."""
    layers: list[dict[str, pl.Expr]] = []
    depth: dict[str, int] = {}
    for name, value in expressions(model).items():
        level = max((depth[root] + 1 for root in roots(value) if root in depth), default=0)
        depth[name] = level
        while len(layers) <= level:
            layers.append({})
        layers[level][name] = value
    return layers


def _call(model: Model, frame: pl.DataFrame) -> pl.DataFrame:
    """What the function adds. It takes a frame in the form that it names, and gives one of Polars or pandas, or an array for an array."""
    given = seen(model, frame)
    made = called(model, given)
    added = [name for name in made.columns if name not in given.columns]
    hidden = [name for name in added if name in frame.columns]
    if hidden:
        raise BadInput(
            f'{where_of(model)} adds "{hidden[0]}", which is a column of the request',
            why="transforms add columns and replace none",
            fix="give it a name of its own",
        )
    return frame.hstack(made.select(added))


def seen(model: Model, frame: pl.DataFrame) -> pl.DataFrame:
    """What a function may see of a frame: what callers send for keys and slices may be personal or protected, and it never sees that."""
    return frame.select(*shown(model), *view_features(model))


def where_of(model: Model) -> str:
    """How the function of a model's transforms is called in messages."""
    return f'model "{model.name}": transform {getattr(model.transforms, "__name__", "function")}'


def called(model: Model, frame: pl.DataFrame) -> pl.DataFrame:
    """All that the function gives for `frame`. Raises BadInput where it raises or that is not one row for each row, DeclarationError where the
    declaration was decoded and has no code.
    """
    function: Any = model.transforms
    name = getattr(function, "__name__", "function")
    where = where_of(model)
    if not callable(function):
        raise DeclarationError(
            f"{where} is a reference to code", why="a decoded declaration cannot run code", fix="load the model from its files"
        )
    form, floats = _form(model)
    # pandas has no missing whole numbers: columns that may miss some are floats to it, always
    cast = [pl.col(name).cast(pl.Float64) for name in floats if frame.schema.get(name) == pl.Int64]
    given = form(frame.with_columns(cast) if cast else frame)
    try:
        gave = function(given)
    except Exception as error:  # the user's own code runs here: whatever it raises is theirs to read
        raise BadInput(
            f"{where} raised {type(error).__name__}: {error}",
            why=f"it was given {frame.height} rows",
            fix="it takes a frame of any number of rows, none included",
        ) from error
    try:
        made = _named(gave, name) if isinstance(gave, np.ndarray) else polars_of(gave)
    except (PolarsError, ValueError, TypeError) as error:
        raise BadInput(
            f"{where} gave a frame that cannot be read", why=(str(error).splitlines() or [""])[0], fix="keep one type a column"
        ) from error
    if made is None or made.height != frame.height:
        got = f"{made.height} rows" if made is not None else type(gave).__name__
        raise BadInput(
            f"{where} gave {got} for a frame of {frame.height} rows",
            why="a transform is row by row: it neither adds nor drops rows",
            fix="return a frame of the same height",
        )
    return made


@lru_cache(maxsize=128)
def _form(model: Model) -> tuple[Form, tuple[str, ...]]:
    """The form that the function wants its frame in, and the columns that may miss a value where that is pandas."""
    if not asks_pandas(model.transforms):
        return first_for(model.transforms), ()
    sent = (name for name, item in request_fields(model) if item.nulls > 0)
    return first_for(model.transforms), (*sent, *(name for view in model.features for name in view.features))


def _named(values: np.ndarray[Any, Any], name: str) -> pl.DataFrame:
    """An array as columns named after the function: `name`, or `name_0`, `name_1`, …"""
    if values.ndim == 1:
        return pl.DataFrame([pl.Series(name, values)])
    return pl.DataFrame([pl.Series(f"{name}_{place}", column) for place, column in enumerate(values.T)])
