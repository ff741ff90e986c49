"""Proof on a sample that a transform is row by row: the whole frame and each row alone must give the same values.

A transform that is not (a mean over the frame, a rank, a shift) has one value in training and another for the single row that a
caller sends.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final

import numpy as np
import polars as pl

from flyball.data.types import DTYPES, micros
from flyball.declare.columns import Column
from flyball.declare.model import Model
from flyball.declare.views import FeatureView
from flyball.errors import BadInput, Problem
from flyball.features import transforms
from flyball.features.fields import is_own, request_fields
from flyball.features.keys import asked_keys
from flyball.features.windows import prepare

SAMPLE: Final = 64
"""Rows at most on which something is proved."""


def prove(model: Model, frame: pl.DataFrame) -> list[Problem]:
    """Compare on up to 64 rows spread over `frame` (rows of the model's data set), and on rows made of their values. One Problem for each
    transform that differs.

    Values of views over other data sets are made up: they only have to differ from row to row. A transform that cannot be computed
    is a Problem too, and so is a function that adds, drops, reorders or changes rows.
    """
    if not model.transforms or not frame.height:
        return []
    where = f'Model "{model.name}"'
    rows = _rows(model, frame)
    try:
        if not isinstance(model.transforms, Mapping):
            _unchanged(model, rows)
        names = transforms.names(model)
        found = _differing(model, where, rows, names)
    except BadInput as error:
        return [Problem(where, error.what, error.why, error.fix)]
    except pl.exceptions.PolarsError as error:
        return [Problem(where, "a transform gives other types for one row than for a frame", why=str(error))]
    for made in made_up(rows, dict(request_fields(model))):
        # real values in a row that never was may be more than a function can take: then they prove nothing
        with suppress(BadInput, pl.exceptions.PolarsError):
            found = {**_differing(model, where, made, names), **found}
    return [found[name] for name in names if name in found]


def _differing(model: Model, where: str, rows: pl.DataFrame, names: list[str]) -> dict[str, Problem]:
    """The transforms that give other values for the whole than row by row."""
    whole = transforms.apply(model, rows)
    alone = pl.concat([transforms.apply(model, rows.slice(place, 1)) for place in range(rows.height)])
    found = ((name, _compare(where, name, whole[name], alone[name])) for name in names)
    return {name: problem for name, problem in found if problem is not None}


def _unchanged(model: Model, rows: pl.DataFrame) -> None:
    """Raise BadInput where a function gives a column of its input back with other values: as after a sort, a sample or a filling in."""
    rows = transforms.seen(model, rows)
    made = transforms.called(model, rows)
    for name in rows.columns:
        if name not in made.columns:
            continue
        same = made[name].cast(rows[name].dtype, strict=False).eq_missing(rows[name])
        if not same.all():
            place = int((~same).arg_true()[0])
            raise BadInput(
                f'{transforms.where_of(model)} changes "{name}"',
                why=f"row {place} of the sample has {rows[name][place]!r}, and comes back with {made[name][place]!r}; {int((~same).sum())} rows differ",
                fix="add columns, and leave rows, their order and the columns that are there as they are",
            )


def made_up(rows: pl.DataFrame, declared: Mapping[str, Column]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Rows of the same columns that look for what depends on others: real values that repeat, and numbers that never do with nulls among them."""
    mixed = _mixed(rows)
    return mixed, _varied(mixed, declared)


def sampled(frame: pl.DataFrame) -> pl.DataFrame:
    """Up to SAMPLE rows of a frame that has some, spread over it, the first and the last among them."""
    return frame[np.unique(np.linspace(0, frame.height - 1, min(SAMPLE, frame.height)).astype(np.int64))]


def agree(whole: pl.Series, alone: pl.Series) -> pl.Series:
    """Where two columns of one type hold the same, null and null too: vectorised and single-row arithmetic may differ in the last bit."""
    same = whole.eq_missing(alone)
    if whole.dtype.is_float():
        same |= ((whole - alone).abs() <= 1e-12 * whole.abs().clip(lower_bound=1.0)).fill_null(value=False)
    return same


def _mixed(rows: pl.DataFrame) -> pl.DataFrame:
    """The same values in other rows, each column's for itself and most of them more than once: what groups rows finds groups."""
    chance = np.random.default_rng(0)
    few = max(2, rows.height // 4)
    return pl.DataFrame(
        [column.gather(chance.choice(chance.permutation(rows.height)[:few], rows.height)) for column in rows.iter_columns()]
    )


def _varied(rows: pl.DataFrame, declared: Mapping[str, Column]) -> pl.DataFrame:
    """The same, but every number differs from row to row, in no order, and what may be missing is missing here and there."""
    chance = np.random.default_rng(1)
    made = []
    for column in rows.iter_columns():
        item = declared.get(column.name)
        series = column if item is not None and item.one_of else _spread(column, item.between if item is not None else None, chance)
        if item is None or item.nulls > 0:
            series = series.scatter(chance.choice(rows.height, max(1, rows.height // 8), replace=False), None)
        made.append(series)
    return pl.DataFrame(made)


def _spread(column: pl.Series, between: tuple[float, float] | None, chance: np.random.Generator) -> pl.Series:
    """Other numbers within the declared range, else around those that are there; what is no number is shuffled."""
    n = len(column)
    if not column.dtype.is_numeric():
        return column.gather(chance.permutation(n))
    seen = column.cast(pl.Float64).drop_nulls().drop_nans()
    low, high = between if between is not None else (float(seen.min() or 0.0) - 1, float(seen.max() or 0.0) + 1)  # type: ignore[arg-type]
    most = 2.0**62 if column.dtype.is_integer() else 1e300
    numbers = chance.permutation(np.linspace(max(low, -most), min(high, most), n))
    return pl.Series(column.name, np.round(numbers) if column.dtype.is_integer() else numbers).cast(column.dtype)


def _rows(model: Model, frame: pl.DataFrame) -> pl.DataFrame:
    """Request fields and view values of the sample, as a transform meets them."""
    sample = sampled(frame)
    rows = sample.select(pl.col(name).cast(DTYPES[item.type]) for name, item in request_fields(model))
    for view in model.features:
        rows = rows.hstack(_values(model, view, frame, sample))
    return rows


def _values(model: Model, view: FeatureView, frame: pl.DataFrame, sample: pl.DataFrame) -> pl.DataFrame:
    time = model.data.time
    if is_own(model, view) and time and time in frame.columns:
        times = micros(sample[time])
        asked = pl.DataFrame({"row_time": times, "moment": times - int(model.framing.horizon)})
        if (keys := asked_keys(view, sample)) is not None:
            asked = asked.with_columns(keys.alias("key"))
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
    same = agree(whole, alone)
    if same.all():
        return None
    row = int((~same).arg_true()[0])
    return Problem(
        where,
        f'transform "{name}" is not row by row',
        why=f"a row of the sample gives {whole[row]!r} within the frame and {alone[row]!r} alone; {int((~same).sum())} of {len(same)} rows differ",
        fix="compute it from the row's own columns; what needs other rows belongs in a feature view's window",
    )
