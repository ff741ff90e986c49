"""Whose a row is: the keys of a view's entities, as its rows have them and as a model's rows ask for them.

A view with one entity column has that column's values for keys. Several columns make one text of their values, each behind its length, so
that no two entities share one; it is null where any of them is. Null and NaN are nobody, and 0.0 and −0.0 are one.
"""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from flyball.data.types import DTYPES, schema
from flyball.declare.views import FeatureView


def key_type(view: FeatureView) -> pl.DataType | None:
    """The type of a view's keys; None where it has no entity."""
    if len(view.entity) > 1:
        return pl.String()
    return DTYPES[schema(view.data)[view.entity[0]]] if view.entity else None


def row_keys(view: FeatureView, rows: pl.DataFrame) -> pl.Series | None:
    """The key of each of a view's rows, null for nobody's; None where the view has no entity."""
    if not view.entity:
        return None
    return clean(rows[view.entity[0]]) if len(view.entity) == 1 else _joined(view, [rows[name] for name in view.entity])


def asked_keys(view: FeatureView, rows: pl.DataFrame) -> pl.Series | None:
    """What the rows of a model look the view up by, in its columns `view.key`; None where the view has no entity.

    One key is as the model has it: `alike` makes it the view's. Several are put together of values in the types of the view's columns.
    """
    if not view.entity:
        return None
    if len(view.entity) == 1:
        return rows[view.key[0]]
    return _joined(view, [rows[name] for name in view.key])


def clean(keys: pl.Series) -> pl.Series:
    """Keys as they are compared: NaN is no key, and 0.0 and −0.0 are one."""
    # Polars leaves out an addition of 0.0; NumPy adds, and −0.0 is gone
    return pl.Series(keys.name, keys.to_numpy() + 0.0, dtype=keys.dtype, nan_to_null=True) if keys.dtype.is_float() else keys


def alike(keys: pl.Series, dtype: pl.DataType) -> pl.Series:
    """Keys in the type of the view's; null where a key is another value there (1.5 is no int)."""
    if keys.dtype == dtype:
        return keys
    made = keys.cast(dtype, strict=False)
    return made.zip_with((made.cast(keys.dtype, strict=False) == keys).fill_null(value=False), pl.Series([None], dtype=dtype))


def _joined(view: FeatureView, columns: Sequence[pl.Series]) -> pl.Series:
    types = schema(view.data)
    own = [alike(clean(column), DTYPES[types[name]]) for column, name in zip(columns, view.entity, strict=True)]
    texts = [(column.to_physical() if column.dtype.is_temporal() else column).cast(pl.String) for column in own]
    frame = pl.DataFrame([text.alias(str(place)) for place, text in enumerate(texts)])
    parts = [part for name in frame.columns for part in (pl.col(name).str.len_bytes().cast(pl.String), pl.lit(":"), pl.col(name))]
    return frame.select(pl.concat_str(parts).alias("key")).to_series()
