"""What a version's answers were worth on its hold-out, as counts: from them its performance is estimated where no label tells it.

Made once, in the training job; it holds counts and effects of cells, never a row. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from flyball.declare.metrics import CLASSES
from flyball.evaluation.answers import Answers
from flyball.records.evidence import Bins
from flyball.records.unlabelled import ErrorColumn, ErrorModel, Expected
from flyball.stats import cells, errormodel, scores
from flyball.stats.logspace import Floats

FEWEST = 1_000
"""Labelled rows of a hold-out, below which no error model is made; of scores, the estimate itself says how many it needs."""

MASS = 0.03
"""Share of the reference that a group of cells has at least, and `LEAST` rows."""
LEAST = 25

_DIGITS = 6
Codes = NDArray[np.int64]


def expected(found: Answers, bins: Sequence[Bins], columns: pl.DataFrame) -> Expected:
    """From the candidate's answers to the hold-out, the reference of drift, and the watched columns of the same rows (with `prediction`)."""
    if found.task == "binary":
        return _scores(found)
    if found.task in CLASSES:
        return Expected(why="performance without labels is estimated for two classes and for numbers, and this model knows several classes")
    if found.task == "ranking":
        return Expected(why="the order of a list is not estimated without labels")
    return _errors(np.abs(found.y - found.value), bins, columns)


def _scores(found: Answers) -> Expected:
    if found.score is None or not np.all((found.score >= 0) & (found.score <= 1)):
        return Expected(why="the model gives no scores, or not of every row")
    known = ~np.isnan(found.y)
    place = 2 * found.value[known].astype(np.int64) + found.y[known].astype(np.int64)
    counts: dict[int, list[int]] = {}
    for cell, kind, n in zip(*_tally(scores.cells_of(found.score[known]), place), strict=True):
        counts.setdefault(cell, [0, 0, 0, 0])[kind] = n
    return Expected(scores={cell: (four[0], four[1], four[2], four[3]) for cell, four in sorted(counts.items())})


def _tally(first: Codes, second: Codes) -> tuple[list[int], list[int], list[int]]:
    pairs, counts = np.unique(np.stack([first, second]), axis=1, return_counts=True)
    return pairs[0].tolist(), pairs[1].tolist(), counts.tolist()


def _errors(error: Floats, bins: Sequence[Bins], columns: pl.DataFrame) -> Expected:
    known = np.isfinite(error)
    if known.sum() < FEWEST:
        return Expected(why=f"the hold-out has {int(known.sum()):,} rows with an error, and {FEWEST:,} are needed")
    places = {own.column: places_of(own, columns[own.column])[known] for own in bins if own.column in columns.columns}
    groups = {own.column: groups_of(own, places[own.column]) for own in bins if own.column in places}
    codes = {name: groups[name][place] for name, place in places.items()}
    names = errormodel.telling(error[known], codes) or tuple(name for name in ("prediction",) if name in codes)
    if not names:
        return Expected(why="no column of the hold-out is watched")
    sizes = [int(groups[name].max()) + 1 for name in names]
    fitted = errormodel.fit(error[known], [codes[name] for name in names], sizes)
    return Expected(
        errors=ErrorModel(
            columns=tuple(
                ErrorColumn(column=name, group_of=tuple(groups[name].tolist()), groups=size)
                for name, size in zip(names, sizes, strict=True)
            ),
            effects=_short(fitted.effects),
            covariance=tuple(_short(row) for row in fitted.covariance),
            squares=_short(fitted.squares),
            n=int(known.sum()),
            mean=float(error[known].mean()),
        )
    )


def _short(values: Floats) -> tuple[float, ...]:
    return tuple(float(f"{value:.{_DIGITS}g}") for value in values)


def places_of(bins: Bins, series: pl.Series) -> Codes:
    """The cell of each value; what is null, or no number where numbers are expected, has the one after the last."""
    last = len(bins.counts)
    if bins.kind == "numeric":
        if series.dtype.is_temporal():
            series = series.dt.epoch("us") if isinstance(series.dtype, pl.Datetime) or series.dtype == pl.Date else series.to_physical()
        values = series.cast(pl.Float64, strict=False).fill_null(float("nan")).to_numpy()
        found: Codes = np.where(np.isnan(values), last, np.searchsorted(bins.edges, values, side="left")).astype(np.int64)
        return found
    own = {value: index for index, value in enumerate(bins.values)}
    texts = series.cast(pl.String, strict=False)
    cell: Mapping[str, int] = {
        value: own.get(value, len(own) + cells.value_hash(value) % cells.BUCKETS) for value in texts.drop_nulls().unique().to_list()
    }
    return np.array([last if value is None else cell[value] for value in texts.to_list()], dtype=np.int64)


def groups_of(bins: Bins, places: Codes) -> Codes:
    """The group of each cell, and of nulls: runs of neighbouring cells of numbers, values of a text column with all small ones together.

    A group has 3% of these rows and 25 of them; nulls are one of their own where they have as many, else with the first.
    """
    rows = np.bincount(places, minlength=len(bins.counts) + 1)
    least = max(MASS * places.size, LEAST)
    own, nulls = rows[:-1], rows[-1]
    groups = _runs(own, least) if bins.kind == "numeric" else _large(own, least)
    last = int(groups.max(initial=-1)) + 1 if nulls >= least else 0
    return np.append(groups, last)


def _runs(rows: Codes, least: float) -> Codes:
    groups = np.zeros(rows.size, dtype=np.int64)
    group, run = 0, 0
    for place, count in enumerate(rows.tolist()):
        groups[place] = group
        run += count
        if run >= least:
            group, run = group + 1, 0
    # a rest too small joins the last
    return np.minimum(groups, max(group - 1, 0)) if run < least else groups


def _large(rows: Codes, least: float) -> Codes:
    large = rows >= least
    return np.where(large, np.cumsum(large), 0) if not large.all() else np.cumsum(large) - 1
