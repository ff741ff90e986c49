"""Rows and matured labels as counts of drift: in the cells of the reference, by slice, cut so that no count spans two windows. Pure."""

from __future__ import annotations

from itertools import pairwise

import msgspec
import numpy as np
import polars as pl
from numpy.typing import NDArray

from flyball.evaluation.counts_columns import held
from flyball.evaluation.reference import DAY, FAST_ROWS, WEEK, bin_frame
from flyball.evaluation.sliced import texts
from flyball.records.evidence import Bins, InputCounts, Watch

LABEL = "label"
"""The column under which the labels of matured rows are counted."""

_SLICE = "slice:"


def inputs(answered: pl.DataFrame, watch: Watch, before: int) -> tuple[tuple[InputCounts, ...], int]:
    """Counts of what the champion answered, rows in order of time, and how many rows there were by then. before: how many there were."""
    rows = answered.select("at", *(pl.col(held(name)).alias(f"{_SLICE}{name}") for name in watch.slices if held(name) in answered.columns))
    kept = {own.column: held(own.column) for own in watch.bins if held(own.column) in answered.columns} | {"prediction": "value"}
    slices = [texts(rows[f"{_SLICE}{name}"], name) for name in watch.slices if f"{_SLICE}{name}" in rows.columns]
    columns = answered.select(pl.col(column).alias(name) for name, column in kept.items())
    return _counted(columns, rows["at"].to_numpy(), slices, watch.bins, watch, before), before + answered.height


def labels_of(matured: pl.DataFrame, watch: Watch, before: int) -> tuple[tuple[InputCounts, ...], int]:
    """The same of the labels of the champion's matured rows, at the time they matured: labels that take a month are not late.

    Only for who knows that no input has that name: the reference would be the input's.
    """
    own = tuple(bins for bins in watch.bins if bins.column == LABEL)
    if matured.is_empty() or not own:
        return (), before
    known = matured.filter((pl.col("role") == "champion") & pl.col("label").is_not_null())
    if known.is_empty():
        return (), before
    slices = [texts(known[f"{_SLICE}{name}"], name) for name in watch.slices if f"{_SLICE}{name}" in known.columns]
    columns = known.select(pl.col("label").alias(LABEL))
    return _counted(columns, known["mature_at"].to_numpy(), slices, own, watch, before), before + known.height


def _counted(
    columns: pl.DataFrame, times: NDArray[np.int64], slices: list[pl.Series], bins: tuple[Bins, ...], watch: Watch, before: int
) -> tuple[InputCounts, ...]:
    weeks = times * 0 if not watch.origin else watch.origin + (times - watch.origin) // WEEK * WEEK
    days = times // DAY * DAY if watch.daily else times * 0
    changes = np.flatnonzero((weeks[1:] != weeks[:-1]) | (days[1:] != days[:-1])) + 1
    # cut at every thousandth row as well, wherever it falls: then windows of so many rows are the same however time was cut
    first = FAST_ROWS - before % FAST_ROWS
    cuts = sorted({0, *changes.tolist(), *range(first, len(times), FAST_ROWS), len(times)})
    found: list[InputCounts] = []
    for start, end in pairwise(cuts):
        part = bin_frame(bins, columns[start:end], model=watch.model, slices=[series[start:end] for series in slices])
        week, day = int(weeks[start]), int(days[start])
        found += [msgspec.structs.replace(counts, week=week, day=day) for counts in part] if week or day else part
    return tuple(found)
