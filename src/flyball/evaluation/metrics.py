"""Metrics with intervals: Wilson on counts, DeLong for AUC, t for means, a seeded bootstrap for the rest.

With rows that share an entity every interval is a t interval over the clusters instead. None is narrower than what rows unseen leave open
(`stats/unseen.py`).
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import polars as pl

from flyball.declare.metrics import metric_info, metric_names, recall_at_share
from flyball.errors import BadInput
from flyball.evaluation import spreads
from flyball.evaluation.answers import Answers, Label, answers
from flyball.evaluation.rows import MOST_ERROR, NOT_ASKED, RowValues, errors, row_values, unit_of
from flyball.records.estimates import Estimate
from flyball.stats import unseen
from flyball.stats.intervals import Interval, bootstrap, wilson
from flyball.stats.logspace import Floats

COUNTED = ("accuracy", "precision", "recall", "false_positive_rate", "positive_rate")
DRAWS = 400
"""Resamples of a bootstrap; its seed is fixed, so the same rows give the same interval."""


def known(task: str, names: Iterable[str]) -> None:
    """Raise BadInput for the first name that is no metric of `task`, with a near name."""
    for name in names:
        info = metric_info(name)
        if info is not None and task in info.tasks:
            continue
        near = difflib.get_close_matches(name, metric_names(task), 1)
        raise BadInput(
            f'"{name}" is not a metric of a {task} task' if info else f'there is no metric "{name}"',
            fix=f'did you mean "{near[0]}"?' if near else f"choose from {', '.join(metric_names(task))}",
        )


def from_interval(value: float, interval: Interval, n: int, why: str = "") -> Estimate:
    """An Estimate; ends that are not finite become None."""
    low, high = (float(end) if math.isfinite(end) else None for end in interval)
    return Estimate(value=float(value), low=low, high=high, n=n, why=why)


def _f1(sums: Floats) -> Floats:
    with np.errstate(invalid="ignore", divide="ignore"):
        return sums[:, 0] / sums[:, 1]


def _r2(sums: Floats) -> Floats:
    with np.errstate(invalid="ignore", divide="ignore"):
        return 1 - sums[:, 0] / (sums[:, 2] - sums[:, 1] ** 2 / sums[:, 3])


def _resampled(name: str, found: Answers, level: float) -> Interval:
    if name == "f1":
        sums: Floats = np.column_stack([2 * found.y * found.value, found.y + found.value])
        return bootstrap(sums, _f1, draws=DRAWS, level=level)
    # sums of squares about the mean: the raw ones would lose the digits that matter
    unit = unit_of(found.y)
    y = found.y / unit
    y = y - y.mean()
    # no square may leave the floating-point range in a sum of them
    error = np.clip(errors(found) / unit, -math.sqrt(MOST_ERROR), math.sqrt(MOST_ERROR))
    rows: Floats = np.column_stack([error**2, y, y**2, np.ones(found.n)])
    return bootstrap(rows, _r2, draws=DRAWS, level=level)


def _interval(name: str, found: Answers, rows: RowValues, level: float) -> Interval:
    if found.groups is None and name in COUNTED:
        return wilson(round(float(rows.values.mean()) * rows.denominator), rows.denominator, level)
    if found.groups is None and name == "rmse":
        error = errors(found)
        unit = unit_of(error)
        wrong, value = rows.wrong / unit, float(rows.values.mean()) / unit
        squared = RowValues((error / unit) ** 2, found.n, wrong=2 * wrong * value or wrong**2)
        low, high = unseen.interval(*spreads.of("", found, squared), level)
        return Interval(unit * math.sqrt(max(0.0, low)), unit * math.sqrt(high))
    ends = unseen.interval(*spreads.of(name, found, rows), level)
    if found.groups is not None or name not in ("f1", "r2"):
        return ends
    # a resample cannot draw what the sample does not have
    drawn = _resampled(name, found, level)
    return Interval(min(drawn.low, ends.low), max(drawn.high, ends.high))


def _clip(name: str, interval: Interval) -> Interval:
    info = metric_info(name)
    low = max(0.0, interval.low) if name != "r2" else interval.low
    return Interval(low, min(1.0, interval.high) if info is not None and info.bounded else interval.high)


def estimate(name: str, found: Answers, level: float = 0.95) -> Estimate:
    """One metric of one model, with its two-sided interval at `level` (an end at .90 is the one-sided bound at .95).

    `value` is None, with the reason in `why`, where the metric is not defined on these rows.
    """
    info = metric_info(name)
    if info is not None and info.source == "traffic":
        return Estimate(value=None, why="measured on live traffic, not on labelled rows")
    rows = row_values(name, found)
    if rows.why:
        return Estimate(value=None, n=found.n, why=rows.why)
    value = float(rows.values.mean())
    if name in COUNTED or recall_at_share(name) is not None:
        # the count over its denominator, to the last bit: a check at exactly that number must hold; equal scores share a place of the top
        value = round(value * rows.denominator, 9) / rows.denominator
    low, high = _clip(name, _interval(name, found, rows, level))
    # a bootstrap of next to no rows may miss what it was made from
    n = rows.denominator if found.lists is not None else found.n
    return from_interval(value, Interval(min(low, value), max(high, value)), n, rows.note)


def measure(
    task: str,
    frame: pl.DataFrame,
    names: Sequence[str] | None = None,
    *,
    classes: Sequence[Label] = (),
    group: str = "",
    costs: Mapping[str, float] | None = None,
) -> dict[str, Estimate]:
    """Metrics of the columns `y`, `value`, `score` with two-sided 95% intervals, in the order of `names`.

    `names` None: every metric of the task that these rows can give. `classes`, `group`, `costs`: see `answers.answers`. Raises BadInput for a metric
    that the task does not have and for missing columns.
    """
    if names is not None:
        known(task, names)
    found = answers(task, frame, classes=classes, group=group, costs=costs)
    measured = {name: estimate(name, found) for name in (metric_names(task) if names is None else names)}
    return measured if names is not None else {name: each for name, each in measured.items() if each.why not in NOT_ASKED}
