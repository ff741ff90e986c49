"""Rows that are cut into parts as counts in cells, part by part: one pass over a column serves all parts, and all values of slices. Pure.

It says of each part what `reference.bin_frame` says of its rows; that one is for many rows at once, of which no part is asked for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain

import polars as pl

from flyball.evaluation.counts_groups import Coded
from flyball.evaluation.placing import Placed, placed
from flyball.evaluation.sliced import Codes, Parts, layout_of, tabled
from flyball.records.evidence import Bins, InputCounts
from flyball.stats.cells import named

AT_ONCE = 64
"""Parts in one pass, at most: a table of all cells by part and slice is held at once."""


def bin_parts(
    bins: Sequence[Bins], frame: pl.DataFrame, parts: Parts, *, model: str = "", slices: Sequence[Coded] = ()
) -> list[InputCounts]:
    """Counts of every column that has a reference and is in the frame, one part after the other: of the whole, then in each value of `slices`
    (named as `day=6`, one a row).
    """
    wholes: list[list[InputCounts]] = [[] for _ in parts.sizes]
    sliced: list[list[InputCounts]] = [[] for _ in parts.sizes]
    layout = layout_of(bins)
    grouped = layout.grouped(slices, parts)
    for own in layout.wholes:
        if own.column not in frame.columns:
            continue
        found = placed(own, frame[own.column])
        by_value, table = layout.counted(own, found.cells, grouped, parts, model)
        if table is None:
            table = tabled(parts.of, found.cells, len(parts.sizes), len(own.counts) + 1)
        for mine, counts in zip(wholes, _counted(own, table, _unseen(frame[own.column], found, parts), parts, model), strict=True):
            mine.append(counts)
        for mine, some in zip(sliced, by_value, strict=True):
            mine += some
    return list(chain.from_iterable(chain.from_iterable(zip(wholes, sliced, strict=True))))


def _counted(bins: Bins, grid: Codes, unseen: Mapping[int, dict[str, int]], parts: Parts, model: str) -> list[InputCounts]:
    """Counts of one column, of each part. `grid`: nulls and cells of each part."""
    rows = zip(parts.sizes, grid[:, 0].tolist(), grid[:, 1:].tolist(), parts.times, strict=True)
    return [
        InputCounts(
            model=model,
            column=bins.column,
            n=n,
            nulls=nulls,
            cells=tuple(row),
            unseen=named(unseen[part]) if part in unseen else {},
            unseen_n=sum(unseen[part].values()) if part in unseen else 0,
            week=week,
            day=day,
        )
        for part, (n, nulls, row, (week, day)) in enumerate(rows)
    ]


def _unseen(series: pl.Series, found: Placed, parts: Parts) -> dict[int, dict[str, int]]:
    """How often each value that the reference never had is there, by part: nearly always none."""
    told: dict[int, dict[str, int]] = {}
    if found.unseen.size:
        values = series.gather(found.unseen).cast(pl.String, strict=False).str.slice(0, 80).to_list()
        for part, value in zip(parts.of[found.unseen].tolist(), values, strict=True):
            own = told.setdefault(part, {})
            own[value] = own.get(value, 0) + 1
    return told
