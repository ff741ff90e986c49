"""Rows and matured labels as counts of drift: in the cells of the reference, by slice, cut so that no count spans two windows. Pure."""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray

from flyball.evaluation.counts_cells import AT_ONCE, bin_parts
from flyball.evaluation.counts_columns import held
from flyball.evaluation.counts_groups import Coded
from flyball.evaluation.reference import DAY, FAST_ROWS, WEEK
from flyball.evaluation.sliced import Parts, coded_texts
from flyball.records.evidence import InputCounts, Watch

LABEL = "label"
"""The column under which the labels of matured rows are counted."""

_SLICE = "slice:"


def inputs(answered: pl.DataFrame, watch: Watch, before: int) -> tuple[tuple[InputCounts, ...], int]:
    """Counts of what the champion answered, rows in order of time, and how many rows there were by then. before: how many there were."""
    kept = {own.column: held(own.column) for own in watch.bins if held(own.column) in answered.columns} | {"prediction": "value"}
    slices = [coded_texts(answered[held(name)], name) for name in watch.slices if held(name) in answered.columns]
    columns = pl.DataFrame([answered[column].alias(name) for name, column in kept.items()])
    return _counted(columns, answered["at"].to_numpy(), slices, watch, before), before + answered.height


def labels_of(matured: pl.DataFrame, watch: Watch, before: int) -> tuple[tuple[InputCounts, ...], int]:
    """The same of the labels of the champion's matured rows, at the time they matured: labels that take a month are not late.

    Only for who knows that no input has that name: the reference would be the input's.
    """
    if matured.is_empty() or all(bins.column != LABEL for bins in watch.bins):
        return (), before
    known = matured.filter((pl.col("role") == "champion") & pl.col("label").is_not_null())
    if known.is_empty():
        return (), before
    slices = [coded_texts(known[f"{_SLICE}{name}"], name) for name in watch.slices if f"{_SLICE}{name}" in known.columns]
    columns = known.select(pl.col("label").alias(LABEL))
    return _counted(columns, known["mature_at"].to_numpy(), slices, watch, before), before + known.height


def _counted(columns: pl.DataFrame, times: NDArray[np.int64], slices: list[Coded], watch: Watch, before: int) -> tuple[InputCounts, ...]:
    weeks = times * 0 if not watch.origin else watch.origin + (times - watch.origin) // WEEK * WEEK
    days = times // DAY * DAY if watch.daily else times * 0
    changes = np.flatnonzero((weeks[1:] != weeks[:-1]) | (days[1:] != days[:-1])) + 1
    # cut at every thousandth row as well, wherever it falls: then windows of so many rows are the same however time was cut
    first = FAST_ROWS - before % FAST_ROWS
    cuts = sorted({0, *changes.tolist(), *range(first, len(times), FAST_ROWS), len(times)})
    found: list[InputCounts] = []
    for place in range(0, len(cuts) - 1, AT_ONCE):
        some = cuts[place : place + AT_ONCE + 1]
        sizes = np.diff(some)
        parts = Parts(
            np.repeat(np.arange(sizes.size), sizes), sizes.tolist(), [(int(weeks[start]), int(days[start])) for start in some[:-1]]
        )
        rows = slice(some[0], some[-1])
        found += bin_parts(
            watch.bins, columns[rows], parts, model=watch.model, slices=[Coded(each.codes[rows], each.values) for each in slices]
        )
    return tuple(found)
