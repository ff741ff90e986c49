"""Proof on a sample that a transform is row by row: the whole frame and each row alone must give the same values.

A transform that is not (a mean over the frame, a rank, a shift) has one value in training and another for the single row that a
caller sends.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import polars as pl

from flyball.data.types import DTYPES, instants
from flyball.declare.model import Model
from flyball.declare.views import FeatureView
from flyball.errors import BadInput, Problem
from flyball.features import transforms
from flyball.features.fields import request_fields
from flyball.features.windows import prepare

SAMPLE: Final = 64


def prove(model: Model, frame: pl.DataFrame) -> list[Problem]:
    """Compare on up to 64 rows spread over `frame` (rows of the model's data set). One Problem for each transform that differs.

    Values of views over other data sets are made up: they only have to differ from row to row. A transform that cannot be computed
    is a Problem too.
    """
    if not model.transforms or not frame.height:
        return []
    where = f'Model "{model.name}"'
    rows = _rows(model, frame)
    try:
        whole = transforms.apply(model, rows)
        alone = pl.concat([transforms.apply(model, rows.slice(place, 1)) for place in range(rows.height)])
        names = transforms.names(model)
    except BadInput as error:
        return [Problem(where, error.what, error.why, error.fix)]
    except pl.exceptions.PolarsError as error:
        return [Problem(where, "a transform gives other types for one row than for a frame", why=str(error))]
    return [problem for name in names if (problem := _compare(where, name, whole[name], alone[name])) is not None]


def _rows(model: Model, frame: pl.DataFrame) -> pl.DataFrame:
    """Request fields and view values of the sample, as a transform meets them."""
    places = np.unique(np.linspace(0, frame.height - 1, min(SAMPLE, frame.height)).astype(np.int64))
    sample = frame[places]
    rows = sample.select(pl.col(name).cast(DTYPES[item.type]) for name, item in request_fields(model))
    for view in model.features:
        rows = rows.hstack(_values(model, view, frame, sample))
    return rows


def _values(model: Model, view: FeatureView, frame: pl.DataFrame, sample: pl.DataFrame) -> pl.DataFrame:
    data = model.data
    if view.data.name == data.name and data.time and data.time in frame.columns:
        times = sample.select(instants(data.time)).to_series()
        asked = pl.DataFrame({"row_time": times, "moment": times - int(model.framing.horizon)})
        if view.entity is not None:
            asked = asked.with_columns(sample[view.key].alias("key"))
        return prepare(view, frame).values(asked)
    made = np.arange(sample.height)
    columns: dict[str, Any] = {}
    for name in view.features:
        dtype = transforms.value_type(view, name)
        values = pl.Series(made % 2 == 0) if dtype == pl.Boolean else pl.Series(made)
        columns[name] = values.cast(dtype)
    return pl.DataFrame(columns)


def _compare(where: str, name: str, whole: pl.Series, alone: pl.Series) -> Problem | None:
    if whole.dtype != alone.dtype:
        return Problem(where, f'transform "{name}" gives {whole.dtype} for a frame and {alone.dtype} for one row')
    same = whole.eq_missing(alone)
    if whole.dtype.is_float():
        # vectorised and single-row arithmetic may differ in the last bit
        same |= ((whole - alone).abs() <= 1e-12 * whole.abs().clip(lower_bound=1.0)).fill_null(value=False)
    if same.all():
        return None
    row = int((~same).arg_true()[0])
    return Problem(
        where,
        f'transform "{name}" is not row by row',
        why=f"a row of the sample gives {whole[row]!r} within the frame and {alone[row]!r} alone; {int((~same).sum())} of {len(same)} rows differ",
        fix="compute it from the row's own columns; what needs other rows belongs in a feature view's window",
    )
