"""What the champion answered, labelled or not, by the day of prediction, and what became of the same rows: the counts that estimates rest on. Pure."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
import numpy as np
import numpy.typing as npt
import polars as pl

from flyball.evaluation.counts_columns import held
from flyball.evaluation.reference import count_column
from flyball.records.evidence import Watch
from flyball.records.unlabelled import AnsweredDay
from flyball.stats.scores import OUTERMOST, cells_of

DAY = 86_400_000_000

_SUMS = ("n", "nulls", "matured", "labelled", "tp", "fp", "fn", "tn", "abs_error", "sq_error")


def answered(rows: pl.DataFrame, watch: Watch) -> list[AnsweredDay]:
    """The champion's answers among scored rows, one record a version and day."""
    if not watch.estimated or rows.is_empty():
        return []
    given = rows.filter((pl.col("role") == "champion") & (pl.col("status") == "ok") & pl.col("value").is_not_null())
    return [_scored(version, day, part, watch) for version, day, part in _by_day(given)]


def _by_day(rows: pl.DataFrame) -> Iterable[tuple[str, int, pl.DataFrame]]:
    if rows.is_empty():
        return
    day, version = rows["at"] // DAY, rows["version"]
    if day.min() == day.max() and version.min() == version.max():
        # as nearly always, live
        yield str(version[0]), int(day[0]), rows
        return
    for (version, day), part in rows.group_by("version", (pl.col("at") // DAY).alias("day"), maintain_order=True):
        yield str(version), int(day), part


def _scored(version: str, day: int, rows: pl.DataFrame, watch: Watch) -> AnsweredDay:
    found = AnsweredDay(version=version, day=day, model=watch.model, n=rows.height)
    if watch.task == "binary":
        score = rows["score"].fill_null(float("nan")).to_numpy()
        usable = (score >= 0) & (score <= 1)
        yes = _said(rows["value"], watch)[usable]
        counts: dict[int, list[int]] = {}
        sums = np.bincount(2 * (cells_of(score[usable]) + OUTERMOST) + yes)
        for place in np.flatnonzero(sums).tolist():
            counts.setdefault(place // 2 - OUTERMOST, [0, 0])[place % 2] = int(sums[place])
        return msgspec.structs.replace(
            found, nulls=int(rows.height - np.count_nonzero(usable)), scores={cell: (pair[0], pair[1]) for cell, pair in counts.items()}
        )
    columns: dict[str, tuple[int, ...]] = {}
    for bins in watch.bins:
        name = "value" if bins.column == "prediction" else held(bins.column)
        if bins.column in watch.telling and name in rows.columns:
            counted = count_column(bins, rows[name])
            columns[bins.column] = (*counted.cells.tolist(), counted.nulls)
    return msgspec.structs.replace(found, columns=columns)


def _said(values: pl.Series, watch: Watch) -> npt.NDArray[np.bool_]:
    kind = pl.String if isinstance(watch.positive, str) else pl.Float64
    # without a query: there is a batch of few rows a second
    same: npt.NDArray[np.bool_] = (values.cast(kind, strict=False) == watch.positive).fill_null(value=False).to_numpy()
    return same


def _positive(name: str, watch: Watch) -> pl.Expr:
    """Whether a value is the positive class; False for null."""
    if isinstance(watch.positive, str):
        return (pl.col(name).cast(pl.String) == watch.positive).fill_null(value=False)
    return (pl.col(name).cast(pl.Float64, strict=False) == watch.positive).fill_null(value=False)


def became(matured: pl.DataFrame, watch: Watch) -> list[AnsweredDay]:
    """What became of rows that have matured (`counts_quality.with_losses`), by the day on which they were answered."""
    if not watch.estimated or matured.is_empty():
        return []
    right = pl.col("label").is_not_null()
    sums: dict[str, pl.Expr] = {"matured": pl.len(), "labelled": right.sum()}
    if watch.task == "binary":
        said, true = _positive("value", watch), _positive("label", watch)
        for name, kind in (("tp", said & true), ("fp", said & ~true), ("fn", ~said & true), ("tn", ~said & ~true)):
            sums[name] = (right & kind).sum()
    elif matured["value"].dtype == pl.Float64:
        error = (pl.col("value") - pl.col("label")).abs().fill_nan(None)
        sums |= {"abs_error": error.sum(), "sq_error": (error**2).sum()}
    grouped = (
        matured.filter(pl.col("role") == "champion")
        .group_by("version", (pl.col("at") // DAY).alias("day"))
        .agg(**sums)
        .sort("version", "day")
    )
    return [AnsweredDay(model=watch.model, **row) for row in grouped.iter_rows(named=True)]


def add(left: AnsweredDay, right: AnsweredDay) -> AnsweredDay:
    """The sum of two counts; version and day are the first's. Counts of a column in other cells (another reference) replace what was there."""
    scores = dict(left.scores)
    for cell, (no, yes) in right.scores.items():
        known = scores.get(cell, (0, 0))
        scores[cell] = (known[0] + no, known[1] + yes)
    columns = dict(left.columns)
    for name, counts in right.columns.items():
        before = columns.get(name, ())
        columns[name] = tuple(map(int.__add__, before, counts)) if len(before) == len(counts) else counts
    sums = {name: getattr(left, name) + getattr(right, name) for name in _SUMS}
    return msgspec.structs.replace(left, scores=scores, columns=columns, **sums)


def joined(parts: Iterable[AnsweredDay]) -> tuple[AnsweredDay, ...]:
    """One record a version and day, in order."""
    found: dict[tuple[str, int], AnsweredDay] = {}
    for part in parts:
        place = (part.version, part.day)
        found[place] = add(found[place], part) if place in found else part
    return tuple(found[place] for place in sorted(found))
