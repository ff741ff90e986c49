"""What a feature reads of its view's rows: a column or an expression, computed once for each row, and when that is known.

An expression is computed on the rows of the data set and then joined; it sees the columns that are declared. NaN is null.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from flyball.clock import Span
from flyball.declare.views import Feature, FeatureView, RowFeature, WindowFeature
from flyball.errors import BadInput
from flyball.features.expressions import expression, roots


def columns_of(feature: Feature) -> list[str]:
    """The columns that a feature reads, each once: its own, and those of its expression or `where`."""
    if isinstance(feature, RowFeature):
        return roots(feature.value)
    named = [feature.column] if feature.column else []
    return list(dict.fromkeys(named + ([] if feature.where is None else roots(feature.where))))


def needed(view: FeatureView) -> list[str]:
    """The columns of its data set that a view reads, in the data set's order."""
    data = view.data
    named = {name for feature in view.features.values() for name in columns_of(feature)} | {data.time, data.arrived, *view.entity}
    return [name for name in data.names if name in named]


def reach(view: FeatureView) -> Span | None:
    """How far before a moment the rows lie that its values may rest on; None: as far as there are rows. A value of the newest row reaches as
    far as `ttl`.
    """
    spans = []
    for feature in view.features.values():
        if isinstance(feature, WindowFeature):
            spans.append(feature.window.span + feature.window.ago)
        elif view.ttl is None:
            return None
        else:
            spans.append(view.ttl)
    return Span(max(spans))


def delay(view: FeatureView, feature: Feature) -> int:
    """How long after a row's time all columns that a feature reads are known, µs; never below 0."""
    declared = (view.data.columns.get(name) for name in columns_of(feature))
    return max([0, *(int(column.known_after) for column in declared if column is not None)])


def read(view: FeatureView, name: str, value: Any, rows: pl.DataFrame) -> pl.Series:
    """A column or an expression, one value a row in their order. Raises BadInput if it cannot be computed or gives other rows."""
    made = _evaluate(view, name, value, rows)
    return made.fill_nan(None) if made.dtype.is_float() and made.is_nan().any() else made


def masked(view: FeatureView, name: str, where: Any, rows: pl.DataFrame) -> npt.NDArray[np.bool_]:
    """Where a condition holds: true, not null. Raises BadInput if it cannot be computed, gives other rows, or is no condition."""
    made = _evaluate(view, name, where, rows)
    if made.dtype != pl.Boolean:
        raise BadInput(
            f'view "{view.name}": where= of feature "{name}" is {made.dtype}',
            why="rows count where it is true",
            fix='write where=pl.col("amount") > 0',
        )
    return made.fill_null(value=False).to_numpy()


def _evaluate(view: FeatureView, name: str, value: Any, rows: pl.DataFrame) -> pl.Series:
    place = f'view "{view.name}": feature "{name}"'
    seen = [column for column in view.data.names if column in rows.columns]
    if isinstance(value, str):
        if value not in seen:
            raise BadInput(
                f'{place} reads "{value}", which the rows of data set "{view.data.name}" do not have', fix=f"columns: {', '.join(seen)}"
            )
        return rows[value]
    try:
        made = rows.select(seen).select(expression(value).alias(name)).to_series()
    except Exception as error:  # an expression may run code of the user's: whatever it raises is theirs to read
        raise BadInput(
            f"{place} cannot be computed: {type(error).__name__}",
            why=(str(error).splitlines() or [""])[0],
            fix=f'write it with Polars expressions on columns of data set "{view.data.name}"',
        ) from error
    if len(made) != rows.height:
        if not roots(value):  # a literal is the same for every row
            return made.new_from_index(0, rows.height)
        raise BadInput(
            f"{place} gave {len(made)} rows for {rows.height}",
            why="a feature is computed row by row",
            fix="what needs other rows is a window's",
        )
    return made
