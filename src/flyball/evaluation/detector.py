"""What the sequential detector of live losses needs from a hold-out: each row's loss in [0, 1], its cap, and m₀ (docs/statistics.md §3)."""

from __future__ import annotations

import math

import numpy as np
import polars as pl

from flyball.declare.metrics import CLASSES
from flyball.evaluation.answers import answers
from flyball.stats import clusters
from flyball.stats.intervals import Z_ONE_SIDED, t_interval, wilson_bound
from flyball.stats.swings import swing

CAP_QUANTILE = 0.999
"""Absolute errors beyond this quantile of the hold-out count as the cap."""


def loss_bound(task: str, frame: pl.DataFrame, *, group: str = "") -> tuple[float, float]:
    """(m₀, cap) of a hold-out with columns `y` and `value`: m₀ in (0, 1] is a one-sided 95% upper bound of the mean loss.

    Classes: Wilson's bound of the error, cap 1. Numbers: cap = 99.9% quantile of |value − y| in the label's units, m₀ = mean + 1.645 standard
    errors of the clipped loss. `group`: column of the entity that rows share; then t over the clusters, and never below Wilson's. No labelled
    rows, and rankings, give (1, 1): a detector that cannot alarm. Raises BadInput for missing columns.
    """
    found = answers(task, frame, group=group)
    # what one item's score is off says nothing of how a list is ordered
    if found.n == 0 or task == "ranking":
        return 1.0, 1.0
    if task in CLASSES:
        bound = wilson_bound(found.n - float(found.correct.sum()), found.n, "upper")
        return (bound if found.groups is None else min(1.0, max(bound, _upper(clusters.mean(1 - found.correct, found.groups))))), 1.0
    with np.errstate(invalid="ignore"):
        error = np.abs(found.value - found.y)
    finite = np.isfinite(error)
    cap = float(np.quantile(error[finite], CAP_QUANTILE, method="inverted_cdf")) if finite.any() else 0.0
    if cap <= 0:
        return 1.0, 1.0
    # a missing prediction costs as much as the worst
    spread = clusters.mean(np.minimum(np.where(finite, error, cap) / cap, 1.0), found.groups)
    bound = spread.value + Z_ONE_SIDED * spread.se if found.groups is None else _upper(spread)
    return (min(1.0, bound) if math.isfinite(bound) else 1.0), cap


def page_bound(task: str, frame: pl.DataFrame, *, bound: float, cap: float) -> tuple[float, float]:
    """(m₀, φ) of the detector that wakes people: φ says how much more than by chance the losses of the hold-out's hours and days differ (`stats.swings`), and
    m₀ = mean + (bound − mean) √φ.

    `frame`: `y`, `value` and `__time` (µs); `bound`, `cap`: as `loss_bound` gave them. (bound, 1) without a time, and where there is no loss.
    """
    if "__time" not in frame.columns or task == "ranking" or bound >= 1:
        return bound, 1.0
    frame = frame.filter(pl.col("y").is_not_null())
    found = answers(task, frame)
    with np.errstate(invalid="ignore"):
        losses = 1 - found.correct if task in CLASSES else np.minimum(np.abs(found.value - found.y) / cap, 1.0)
    losses = np.where(np.isfinite(losses), losses, 1.0)
    phi, mean = swing(losses, frame["__time"].cast(pl.Int64).to_numpy()), float(np.mean(losses))
    return min(1.0, mean + max(bound - mean, 0.0) * math.sqrt(phi)), phi


def _upper(found: clusters.Mean) -> float:
    """The one-sided 95% upper bound of a mean over clusters; infinite where there are fewer than two."""
    return t_interval(found.value, found.se, found.df, 0.90).high
