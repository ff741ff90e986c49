"""Labels: a column of the model's own data set, or values that arrive in another one and are joined to its rows."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from flyball.clock import Span
from flyball.declare.model import Label, Model
from flyball.declare.views import FeatureView, Window
from flyball.errors import DeclarationError
from flyball.features.windows import prepare


def label_data(model: Model) -> str:
    """The data set that the label arrives in."""
    return model.label.source.name if isinstance(model.label, Label) else model.data.name


def label_view(model: Model) -> FeatureView | None:
    """What gives the labels that arrive in another data set; None where they are a column of the model's own.

    It is asked as `label_moments` says. Raises DeclarationError for data sets without time.
    """
    label = model.label
    if not isinstance(label, Label):
        return None
    for data in (model.data, label.source):
        if not data.time:
            raise DeclarationError(
                f'model "{model.name}": a label from another data set needs times',
                why=f'it is looked for within {label.within} of a row, and data set "{data.name}" has no time',
                fix=f'give data set "{data.name}" a time= column',
            )
    # a row of the stream itself is no label of its own
    span = Span(label.within + (0 if label.source.name == model.data.name else 1))
    return FeatureView("labels", label.source, entity=label.on, features={"label": Window(span).last(label.column)})


def label_moments(model: Model, rows: pl.DataFrame, times: pl.Series) -> pl.DataFrame:
    """When the labels of rows with these times (i64 µs) are settled, as a `Lookup` is asked."""
    assert isinstance(model.label, Label)
    settled = times + int(model.label.within)
    return pl.DataFrame({"row_time": settled + 1, "moment": settled, "key": rows[model.label.on]})


def settled(model: Model, found: pl.Series) -> pl.Series:
    """The labels that `label_view` found, and where it found none, what silence means."""
    assert isinstance(model.label, Label)
    label = model.label
    return found if label.missing is None else found.zip_with(found.is_not_null(), _silence(model, label, found.dtype))


def labels(model: Model, rows: pl.DataFrame, times: pl.Series, frames: Mapping[str, pl.DataFrame]) -> pl.Series:
    """The label of each of `rows` (of the model's data set), null where it has none. `times`: each row's T, i64 µs.

    A label from another data set is the value of its newest row with the same `on` and T ≤ time ≤ T + within, as known by
    T + within: it is settled then, and nothing that comes later changes it. Where there is none it is `missing`.
    Raises DeclarationError for data sets without time.
    """
    view = label_view(model)
    if view is None:
        return rows[model.label_column]
    return settled(model, prepare(view, frames[view.data.name]).values(label_moments(model, rows, times))["label"])


def _silence(model: Model, label: Label, dtype: pl.DataType) -> pl.Series:
    """What no label means, as a value of the label's column."""
    missing = label.missing
    fits = {bool: dtype == pl.Boolean, int: dtype.is_integer() or dtype.is_float(), float: dtype.is_float(), str: dtype == pl.String}
    if not fits[type(missing)]:
        raise DeclarationError(
            f'model "{model.name}": missing={missing!r} is no label',
            why=f'column "{label.column}" of data set "{label.source.name}" holds {dtype}',
            fix="write a value of the column's type",
        )
    return pl.Series([missing], dtype=dtype)
