"""How well live lists were ordered, as sums: a list is a request of a ranking, and it is judged when its items are. Pure.

A list counts once every one of its items has a label: where labels come for what was clicked alone, the others would be missing, and not unwanted. One
without a relevant item says nothing, and is counted apart, as on the hold-out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import msgspec
import numpy as np
import polars as pl

from flyball.declare.metrics import at_k
from flyball.evaluation import ranking
from flyball.evaluation.counts_columns import ATTRIBUTE, LIST, SLICE
from flyball.evaluation.counts_quality import MINUTE, slice_names
from flyball.records.evidence import Quality, Ranked, Watch

_WHERE = ("version", "role", "minute")


class _Place(NamedTuple):
    version: str
    role: str
    minute: int
    slice: str


def with_lists(found: Iterable[Quality], matured: pl.DataFrame, watch: Watch) -> tuple[Quality, ...]:
    """The sums of matured rows with those of the lists that they make. A list has a slice where all of its items have the same value."""
    if watch.task != "ranking" or not watch.ranked or matured.is_empty() or LIST not in matured.columns:
        return tuple(found)
    sums = _sums(matured, watch)
    return tuple(msgspec.structs.replace(one, ranked=sums.get(_Place(one.version, one.role, one.minute, one.slice), {})) for one in found)


def _sums(matured: pl.DataFrame, watch: Watch) -> Mapping[_Place, dict[str, Ranked]]:
    rows = _whole(matured.filter(pl.col(LIST).is_not_null()).with_columns(minute=pl.col("mature_at") // MINUTE))
    if rows.is_empty():
        return {}
    lists = rows.group_by("_list").agg(pl.col(*_WHERE).first(), *(_shared(column) for column, _ in _slices(rows))).sort("_list")
    told = lists.with_columns(pl.Series(name, values, dtype=pl.Float64) for name, values in _values(rows, watch).items())
    found: dict[_Place, dict[str, Ranked]] = {}
    for column, name in (("", ""), *_slices(rows)):
        part = told if not column else told.filter(pl.col(column).is_not_null())
        key = pl.lit("").alias("slice") if not column else (pl.lit(f"{name}=") + pl.col(column)).alias("slice")
        for metric in watch.ranked:
            each = pl.col(metric)
            grouped = (
                part.with_columns(key)
                .group_by(*_WHERE, "slice")
                .agg(n=each.count(), total=each.sum(), squares=(each**2).sum(), empty=each.null_count())
            )
            for row in grouped.iter_rows(named=True):
                place = _Place(row["version"], row["role"], row["minute"], row["slice"])
                found.setdefault(place, {})[metric] = Ranked(row["n"], row["total"], row["squares"], row["empty"])
    return found


def _whole(rows: pl.DataFrame) -> pl.DataFrame:
    """The rows of lists all of whose items have a label and a finite answer, with the number of the list, ascending from 0. One that two versions ordered is two."""
    usable = (
        pl.col("label").is_not_null()
        & pl.col("label").cast(pl.Float64, strict=False).is_finite()
        & pl.col("value").cast(pl.Float64, strict=False).is_finite()
    )
    by = [LIST, "version", "role", "mature_at"]
    return rows.filter(usable.fill_null(value=False).all().over(by)).with_columns(_list=pl.struct(by).rank("dense").cast(pl.Int64) - 1)


def _slices(rows: pl.DataFrame) -> list[tuple[str, str]]:
    names = [(SLICE + name, name) for name in slice_names(rows)]
    return names + [(name, name.removeprefix(ATTRIBUTE)) for name in rows.columns if name.startswith(ATTRIBUTE)]


def _shared(column: str) -> pl.Expr:
    """The value that all items have; null where they differ."""
    return pl.when(pl.col(column).n_unique() == 1).then(pl.col(column).first()).alias(column)


def _values(rows: pl.DataFrame, watch: Watch) -> dict[str, list[float | None]]:
    """Of each list, in order, what each metric comes to; None without a relevant item."""
    y, score = (rows[name].cast(pl.Float64).to_numpy() for name in ("label", "value"))
    lists = rows["_list"].to_numpy()
    found: dict[str, list[float | None]] = {}
    for name in watch.ranked:
        asked = at_k(name)
        if asked is not None:
            values = ranking.of_lists(*asked, y=np.maximum(y, 0.0), score=score, lists=lists).values
            found[name] = [float(value) if np.isfinite(value) else None for value in values]
    return found
