"""Metrics in every value of a column, from counts: one group-by a column, whatever the number of metrics.

Intervals are Wilson's on counts and t on means, two-sided 95%; with rows that share an entity, t over the clusters, value by value.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl

from flyball.declare.metrics import CLASSES, RANKED
from flyball.errors import BadInput
from flyball.evaluation.answers import Answers, Label, answers
from flyball.evaluation.counts_metrics import from_counts, mean_of_sums
from flyball.evaluation.metrics import estimate, known
from flyball.evaluation.rows import row_values
from flyball.evaluation.values import MOST_VALUES, text_of
from flyball.records.estimates import Estimate
from flyball.records.evidence import Quality

COUNTS = {"binary": ("accuracy", "precision", "recall", "f1", "positive_rate"), "multiclass": ("accuracy",)}
"""What one group-by gives for tasks with classes; numbers get mae and rmse."""

_SUMS = ("mae", "rmse")
_QUALITY = ("labelled", "correct", "tp", "fp", "fn", "tn", "loss", "loss_sq", "abs_error", "sq_error", "quad_error")


def _cells(found: Answers, names: Sequence[str]) -> pl.DataFrame:
    """The summands of every row that `names` need."""
    if found.task == "binary":
        # one small code a row: cheaper to group by than four flags to add up
        columns: dict[str, pl.Series] = {"__cell": pl.Series((2 * found.y + (found.value == 1)).astype(np.uint8))}
    elif found.task in CLASSES:
        columns = {"correct": pl.Series(found.correct)}
    else:
        # a prediction that is not finite makes its slice's sums so, and from_counts says it in words
        with np.errstate(invalid="ignore"):
            error = found.value - found.y
        columns = {"abs_error": pl.Series(np.abs(error)), "sq_error": pl.Series(error**2), "quad_error": pl.Series(error**4)}
    for name in names:
        if name in ("log_loss", "brier"):
            rows = row_values(name, found)
            if not rows.why:
                columns[f"__{name}"] = pl.Series(rows.values)
                columns[f"__{name}_sq"] = pl.Series(rows.values**2)
    return pl.DataFrame(columns)


def _grouped(column: pl.Series, cells: pl.DataFrame) -> pl.DataFrame:
    """One row a value of `column`: `__value`, `labelled`, and the sums (binary: tp, fp, fn, tn)."""
    frame = cells.with_columns(column.alias("__value"))
    sums = [pl.col(name).sum() for name in cells.columns if name != "__cell"]
    if "__cell" not in cells.columns:
        return frame.group_by("__value").agg(pl.len().alias("labelled"), *sums)
    parts = frame.group_by("__value", "__cell").agg(pl.len().alias("labelled"), *sums)
    kinds = [pl.col("labelled").filter(pl.col("__cell") == cell).sum().alias(name) for cell, name in enumerate(("tn", "fp", "fn", "tp"))]
    return (
        parts.group_by("__value").agg(*kinds, *sums, pl.col("labelled").sum()).with_columns((pl.col("tp") + pl.col("tn")).alias("correct"))
    )


def _estimates(row: dict[str, float | int | None], names: Sequence[str]) -> dict[str, Estimate]:
    counts = {name: row[name] for name in _QUALITY if name in row}
    whole = {name: int(value or 0) if name in ("labelled", "correct", "tp", "fp", "fn", "tn") else value for name, value in counts.items()}
    base = Quality(model="", version="", role="champion", slice="", minute=0, **whole)  # type: ignore[arg-type]
    out: dict[str, Estimate] = {}
    for name in names:
        if f"__{name}" in row:
            out[name] = mean_of_sums(float(row[f"__{name}"] or 0.0), float(row[f"__{name}_sq"] or 0.0), base.labelled)
        elif name in (*COUNTS["binary"], *_SUMS):
            out[name] = from_counts(name, base)
    return out


def _apart(column: pl.Series, kept: pl.Series, found: Answers, names: Sequence[str]) -> dict[object, dict[str, Estimate]]:
    """Metrics that are no sums, one `kept` value of the column after the other."""
    if not names:
        return {}
    rows_of = (
        pl.DataFrame({"value": column}).with_row_index("row").join(pl.DataFrame({"value": kept}), on="value", how="semi", nulls_equal=True)
    )
    parts = rows_of.group_by("value").agg("row")
    return {
        value: {name: estimate(name, part) for name in names}
        for value, rows in zip(parts["value"], parts["row"], strict=True)
        if (part := found.take(np.asarray(rows.to_numpy(), dtype=np.int64))).n
    }


def by_slice(
    task: str,
    frame: pl.DataFrame,
    columns: Sequence[str],
    names: Sequence[str] | None = None,
    *,
    classes: Sequence[Label] = (),
    group: str = "",
) -> dict[str, dict[str, Estimate]]:
    """Metrics in every value of each of `columns`, keyed `column=value` (`null` for nulls), values in order.

    `frame`: columns y, value, score and `columns`. `names` None: those that counts give, without scores. Metrics that counts cannot give (AUC, r2)
    are computed value by value, which takes longer; with a `group`, the column of the entity that rows share, all are. Of a column with many values the 200 most frequent are kept. Raises BadInput for a missing column or an unknown metric.
    """
    if names is None:
        names = RANKED if task == "ranking" else COUNTS.get(task, _SUMS)
    known(task, names)
    frame = frame.filter(pl.col("y").is_not_null())
    found = answers(task, frame, classes=classes, group=group)
    cells = _cells(found, names)
    singles = [name for name in names if group or name not in (*COUNTS["binary"], *_SUMS, "log_loss", "brier")]
    summed = [name for name in names if name not in singles]
    out: dict[str, dict[str, Estimate]] = {}
    for column in columns:
        if column not in frame.columns:
            raise BadInput(f'the evaluation frame has no slice "{column}"', fix=f"it has {', '.join(frame.columns)}")
        table = _grouped(frame[column], cells)
        if table.height > MOST_VALUES:
            table = table.top_k(MOST_VALUES, by="labelled")
        apart = _apart(frame[column], table["__value"], found, singles)
        for row in table.sort("__value", nulls_last=True).iter_rows(named=True):
            value = row["__value"]
            measured = _estimates(row, summed) | apart.get(value, {})
            out[f"{column}={text_of(value)}"] = {name: measured[name] for name in names if name in measured}
    return out
