"""The reference of drift: fixed cells of each column with the reference's counts, made once, in the training job.

Afterwards only counts in these cells are kept. `count_column` and `bin_frame` put served rows into them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec
import numpy as np
import polars as pl
from numpy.typing import NDArray

from flyball.errors import BadInput
from flyball.evaluation.counts_groups import coded
from flyball.evaluation.placing import Places, known_of, numbers, placed, texts_of
from flyball.evaluation.sliced import Part, Parts, layout_of, parts_of
from flyball.records.evidence import Bins, InputCounts
from flyball.stats import cells, drift

WEEK = 7 * 86_400_000_000
DAY = 86_400_000_000

LONGEST = 26
"""At most so many weeks teach how much weeks differ, the newest ones."""

FAST_ROWS = 1_000
FAST_WINDOWS = 64

OF_A_WEEKDAY = 8
"""Of each day of the week there have to be so many whole days, or days are not compared with days."""


class Cut(NamedTuple):
    """Each row's slow window, fast window and whole day (−1: in none) of a reference, and the number of its distinct days."""

    slow: Places
    fast: Places
    day: Places
    days: int


def reference(
    frame: pl.DataFrame, columns: Sequence[str], *, windows: int = 8, time: str | None = "__time", slices: Mapping[str, str] | None = None
) -> tuple[Bins, ...]:
    """The cells of `columns` of `frame`, with counts of the whole, of its own windows, and of the values of slices.

    Numbers (and times, as microseconds) get numeric cells, text and booleans categorical ones. `time` (a column of microseconds or Datetime;
    None or absent: no order) cuts the reference into weeks, or into `windows` consecutive blocks where there are fewer weeks. `slices`
    maps the names of slices to the columns that hold them. Raises BadInput for a column that is not in the frame or is neither number, text,
    boolean nor time.
    """
    cut = _windows_of(_stamps(frame, time), windows)
    parts = parts_of(frame, slices or {}, len(columns))
    return tuple(own for column in columns for own in _bins(frame, column, cut, parts))


def count_column(bins: Bins, series: pl.Series) -> cells.CellCounts:
    """Count a column's values in its fixed cells. A value that is no number where numbers are expected counts as null."""
    if bins.kind == "numeric":
        return cells.assign_numeric(bins.edges, numbers(series))
    counted = texts_of(series).drop_nulls().value_counts(name="n")
    return cells.assign_categorical(
        bins.values, known_of(bins.known), counted[:, 0].to_list(), counted["n"].to_numpy().astype(np.int64), nulls=series.null_count()
    )


def bin_frame(bins: Sequence[Bins], frame: pl.DataFrame, *, model: str = "", slices: Sequence[pl.Series] = ()) -> tuple[InputCounts, ...]:
    """Counts of every column that has a reference and is in the frame: of the whole, and in each value of `slices` (texts as `day=6`, one a row)."""
    found = [counted(own, frame[own.column], model=model) for own in bins if not own.slice and own.column in frame.columns]
    if slices:
        layout, whole = layout_of(bins), Parts.whole(frame.height)
        grouped = layout.grouped([coded(series) for series in slices], whole)
        for own in layout.wholes if grouped else ():
            if own.column in frame.columns:
                found += layout.counted(own, placed(own, frame[own.column]).cells, grouped, whole, model)[0][0]
    return tuple(found)


def counted(bins: Bins, series: pl.Series, *, model: str = "") -> InputCounts:
    """`count_column`, as the record that stages exchange."""
    found = count_column(bins, series)
    return InputCounts(
        model=model,
        column=bins.column,
        n=found.n,
        nulls=found.nulls,
        cells=tuple(found.cells.tolist()),
        unseen=found.unseen,
        unseen_n=found.unseen_n,
    )


def _stamps(frame: pl.DataFrame, time: str | None) -> NDArray[np.int64] | None:
    if time is None or time not in frame.columns or frame.is_empty() or frame[time].null_count():
        return None
    series = frame[time]
    values: NDArray[np.int64] = (series.dt.epoch("us") if series.dtype.is_temporal() else series.cast(pl.Int64)).to_numpy()
    return values


def _windows_of(stamps: NDArray[np.int64] | None, windows: int) -> Cut | None:
    """The windows of rows with these times. None: no order of time, or too few rows."""
    if stamps is None or stamps.size < 2 * windows:
        return None
    order = np.argsort(stamps, kind="stable")
    n, days = stamps.size, int(np.unique(stamps // DAY).size)
    rank = np.empty(n, dtype=np.int64)
    rank[order] = np.arange(n)
    blocks: Places = rank * windows // n
    last, first = int(stamps.max()), int(stamps.min())
    # the newest row's own interval belongs to its week
    weeks = min(LONGEST, (last - first + (last - first) // (n - 1)) // WEEK)
    slow = blocks
    if weeks >= windows:
        # weeks are counted back from the newest row, so the last one is whole
        slow = (last - stamps) // WEEK
        slow = np.where(slow < weeks, slow, -1)
    fast = blocks
    if n >= windows * FAST_ROWS:
        whole = n // FAST_ROWS
        block = rank // FAST_ROWS
        kept = np.full(whole + 1, -1, dtype=np.int64)
        chosen = np.unique(np.linspace(0, whole - 1, min(whole, FAST_WINDOWS)).astype(np.int64))
        kept[chosen] = np.arange(chosen.size)
        fast = kept[block]
    return Cut(slow, fast, _whole_days(stamps, last, first), days)


def _whole_days(stamps: NDArray[np.int64], last: int, first: int) -> Places:
    """Each row's day since 1970, of the newest days that are whole; −1 elsewhere, and everywhere where one weekday has too few."""
    day = stamps // DAY
    inside = (day > max(first // DAY, last // DAY - 7 * LONGEST - 1)) & (day < last // DAY)
    weekdays = np.bincount(np.unique(day[inside]) % 7, minlength=7)
    return np.where(inside, day, -1) if weekdays.min() >= OF_A_WEEKDAY else np.full(day.size, -1, dtype=np.int64)


def _bins(frame: pl.DataFrame, column: str, cut: Cut | None, parts: Sequence[Part]) -> list[Bins]:
    if column not in frame.columns:
        raise BadInput(f'column "{column}" is not in the reference', fix=f"columns: {', '.join(frame.columns[:20])}")
    series = frame[column]
    if series.dtype.is_numeric() or series.dtype.is_temporal():
        bins, places, codes = _numeric(numbers(series), column)
    elif series.dtype in (pl.String, pl.Boolean, pl.Categorical, pl.Enum):
        bins, places, codes = _categorical(texts_of(series), column)
    else:
        raise BadInput(f'column "{column}" is {series.dtype}: drift is watched in numbers, text, booleans and times')
    bins = msgspec.structs.replace(bins, days=cut.days if cut else 0)
    whole = bins if cut is None else _with_windows(bins, places, codes, cut)
    # every row of a slice has the same value of the slice itself
    return [whole, *(_part(bins, places[part.rows], cut, part) for part in parts if part.column != column)]


def _numeric(values: NDArray[np.float64], column: str) -> tuple[Bins, Places, Places]:
    """Bins, and each row's cell (−1: null) and number of its value (numbers are not told apart: 0)."""
    edges = cells.numeric_edges(values)
    counts = cells.assign_numeric(edges, values)
    bins = Bins(
        column=column, kind="numeric", edges=tuple(edges.tolist()), counts=tuple(counts.cells.tolist()), nulls=counts.nulls, n=counts.n
    )
    places = np.where(np.isnan(values), -1, np.searchsorted(edges, values, side="left")).astype(np.int64)
    return bins, places, np.zeros(values.size, dtype=np.int64)


def _categorical(series: pl.Series, column: str) -> tuple[Bins, Places, Places]:
    table = series.drop_nulls().value_counts(name="n").sort("value")
    values, counts = table[:, 0].to_list(), table["n"].to_numpy().astype(np.int64)
    own, known = cells.own_values(values, counts), cells.known_hashes(values)
    found = cells.assign_categorical(own, known, values, counts, nulls=series.null_count())
    bins = Bins(
        column=column,
        kind="categorical",
        values=own,
        known=known,
        counts=tuple(found.cells.tolist()),
        nulls=found.nulls,
        n=found.n,
        once=int((counts == 1).sum()),
        twice=int((counts == 2).sum()),
    )
    place = {value: index for index, value in enumerate(own)}
    cell_of = np.array([place.get(value, len(own) + cells.value_hash(value) % cells.BUCKETS) for value in values] or [0], dtype=np.int64)
    codes = series.replace_strict(values, list(range(len(values))), default=-1, return_dtype=pl.Int64).fill_null(-1).to_numpy()
    places = np.where(codes < 0, -1, cell_of[codes]).astype(np.int64)
    return bins, places, codes


def _with_windows(bins: Bins, places: Places, codes: Places, cut: Cut) -> Bins:
    bins = msgspec.structs.replace(
        bins,
        windows=tuple(tuple(row) for row in _window_counts(bins, places, codes, cut.slow).tolist()),
        fast=_told(bins, _window_counts(bins, places, codes, cut.fast), FAST_ROWS),
    )
    numbers = np.unique(cut.day[cut.day >= 0])
    if not numbers.size:
        return bins
    order = np.where(cut.day < 0, -1, np.searchsorted(numbers, cut.day))
    daily = _window_counts(bins, places, codes, order)
    weekday = numbers % 7
    return msgspec.structs.replace(
        bins,
        weekdays=tuple(tuple(daily[weekday == slot].sum(axis=0).tolist()) for slot in range(7)),
        daily=_told(bins, daily, int(np.median(daily[:, -1])), weekday.tolist()),
    )


def _part(bins: Bins, places: Places, cut: Cut | None, part: Part) -> Bins:
    """The rows of one value of a slice, in the cells of the whole. That a value is new is told of the whole alone."""
    own = msgspec.structs.replace(
        bins,
        values=(),
        edges=(),
        known=(),
        once=0,
        twice=0,
        slice=part.name,
        counts=tuple(np.bincount(places[places >= 0], minlength=len(bins.counts)).tolist()),
        nulls=int((places < 0).sum()),
        n=len(places),
    )
    if cut is None:
        return own
    nobody = np.zeros(len(places), dtype=np.int64)
    slow, fast = (_window_counts(own, places, nobody, window[part.rows]) for window in (cut.slow, cut.fast))
    return msgspec.structs.replace(
        own,
        spread=_told(own, slow, int(np.median(slow[:, -1]))),
        fast=_told(own, fast, max(1, round(FAST_ROWS * len(places) / bins.n))),
    )


def _told(bins: Bins, windows: NDArray[np.int64], rows: int, slots: Sequence[int] | None = None) -> tuple[float, ...]:
    """What is kept of the spread between windows of about so many rows: τ of cells, nulls and unseen values, and as how many independent windows they count."""
    taus = drift.spreads(bins, drift.pooled_cells(bins, rows), windows, slots)
    return (*(spread.tau for spread in taus), float(taus[0].windows))


def _window_counts(bins: Bins, places: Places, codes: Places, window: Places) -> NDArray[np.int64]:
    """Counts (windows, cells + 3): cells, nulls, rows with a value that no other window has, rows."""
    inside = window >= 0
    count, width = int(window.max(initial=0)) + 1, len(bins.counts)
    present = inside & (places >= 0)
    grid = np.bincount(window[present] * width + places[present], minlength=count * width).reshape(count, width)
    rows = np.bincount(window[inside], minlength=count)
    nulls = rows - grid.sum(axis=1)
    unseen = np.zeros(count, dtype=np.int64)
    if bins.kind == "categorical" and present.any():
        kinds = int(codes.max()) + 1
        # a value's first and last window agree when nothing else has it, rows outside the windows (−1) included
        placed = places >= 0
        low, high = np.full(kinds, count), np.full(kinds, -2)
        np.minimum.at(low, codes[placed], window[placed])
        np.maximum.at(high, codes[placed], window[placed])
        alone = present.copy()
        alone[present] = (low == high)[codes[present]]
        unseen = np.bincount(window[alone], minlength=count)
    return np.column_stack([grid, nulls, unseen, rows]).astype(np.int64)
