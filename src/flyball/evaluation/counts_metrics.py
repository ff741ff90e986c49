"""Metrics of live rows from their additive counts, with 95% intervals: what `metrics.estimate` says of rows, without them. Pure.

Shares have Wilson's interval, AUC DeLong's, means of sums Student's t; what scores say is read from their cells (`stats/binned.py`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np

from flyball.declare.metrics import at_k, metric_info, recall_at_share
from flyball.evaluation.metrics import COUNTED, from_interval
from flyball.evaluation.rows import CALIBRATION, SCORED
from flyball.records.estimates import Estimate
from flyball.records.evidence import MOST, Quality
from flyball.stats import binned, unseen
from flyball.stats.clusters import Mean
from flyball.stats.intervals import Interval, t_interval, wilson

TOO_LARGE = "an answer is not finite, or an error is too large to be summed"
_NO_RATIO = "the metric divides by rows that did not occur"


def from_counts(name: str, quality: Quality, prices: Mapping[str, float] | None = None) -> Estimate:
    """A metric of live rows from their additive counts, with its 95% interval. `value` is None, with the reason, where counts cannot give it.

    `MetricInfo.counted` says which metrics counts can give. `prices`: what errors cost (`declare.costs.priced`).
    """
    n = quality.labelled
    info = metric_info(name)
    if info is None or not info.counted:
        return Estimate(value=None, n=n, why=f"{name} cannot be computed from counts")
    if n == 0:
        return Estimate(value=None, why="no matured row has a label yet")
    if at_k(name) is not None:
        return _ranked(name, quality)
    if name in COUNTED:
        count, total = _count_ratio(name, quality)
        if total == 0:
            return Estimate(value=None, n=n, why=_NO_RATIO)
        return from_interval(count / total, wilson(count, total), n)
    if name == "f1":
        return _f1(quality)
    if name == "cost_per_1000":
        return _cost(quality, prices or {})
    if name == "equalised_odds":
        return Estimate(value=None, n=n, why="it is a gap between groups")
    if name in SCORED or recall_at_share(name) is not None:
        return _scored(name, quality)
    return _numbers(name, quality)


def _ranked(name: str, quality: Quality) -> Estimate:
    """The mean over lists with a relevant item, all of whose items have a label."""
    found = quality.ranked.get(name)
    if found is None or not found.n:
        none = "no list has a label for each of its items"
        return Estimate(value=None, why=none if found is None or not found.empty else f"none of {found.empty:,} lists has a relevant item")
    estimate = mean_of_sums(found.total, found.squares, found.n)
    high = None if estimate.high is None else min(1.0, estimate.high)
    note = f"{found.empty:,} of {found.n + found.empty:,} lists have no relevant item and are left out" if found.empty else ""
    return Estimate(value=estimate.value, low=estimate.low, high=high, n=found.n, why=note)


def _count_ratio(name: str, quality: Quality) -> tuple[int, int]:
    if name == "accuracy":
        return quality.correct, quality.labelled
    if name == "precision":
        return quality.tp, quality.tp + quality.fp
    if name == "recall":
        return quality.tp, quality.tp + quality.fn
    if name == "false_positive_rate":
        return quality.fp, quality.fp + quality.tn
    return quality.tp + quality.fp, quality.tp + quality.fp + quality.fn + quality.tn


def _f1(quality: Quality) -> Estimate:
    tp, wrong = quality.tp, quality.fp + quality.fn
    if tp + wrong == 0:
        return Estimate(value=None, n=quality.labelled, why="there are no positive rows, called or true")
    # F1 = 2p/(1+p) rises with p = tp/(tp+fp+fn), so Wilson's ends of p are carried over
    low, high = wilson(tp, tp + wrong)
    return Estimate(value=2 * tp / (2 * tp + wrong), low=2 * low / (1 + low), high=2 * high / (1 + high), n=quality.labelled)


def mean_of_sums(total: float, squares: float, n: int, root: Callable[[float], float] = float) -> Estimate:
    """The mean of n rows from their sum and the sum of their squares, with its 95% t interval; `root` is taken of all three.

    Sums that have left the floating-point range say nothing, and a mean whose squares have has no interval.
    """
    if not abs(total) < MOST:
        return Estimate(value=None, n=n, why=TOO_LARGE)
    value = total / n
    if not squares < MOST:
        return Estimate(value=root(value), n=n, why="no interval: the errors are too large to be squared")
    if n < 2:
        return Estimate(value=root(value), n=n)
    se = math.sqrt(max(0.0, squares / n - value * value) / (n - 1))
    low, high = t_interval(value, se, n - 1)
    return from_interval(root(value), Interval(root(max(0.0, low)), root(high)), n)


def _scored(name: str, quality: Quality) -> Estimate:
    n = quality.scored
    if n == 0:
        return Estimate(value=None, n=quality.labelled, why="no labelled row has a score from 0 to 1")
    left = quality.labelled - n
    note = f"{left:,} labelled rows without a score from 0 to 1 are left out" if left else ""
    if name == "log_loss":
        return _noted(mean_of_sums(quality.log_loss, quality.log_loss_sq, n), note)
    cells = binned.unpack(quality.scores)
    if not cells.cell.size:
        return Estimate(value=None, n=n, why="scores are kept by label where there are two classes")
    if name == "brier":
        return _noted(mean_of_sums(quality.sq_score, quality.quad_score, n), note)
    if name == CALIBRATION:
        return _calibration(cells, n, note)
    positives = int(cells.positives.sum())
    rarer = min(positives, n - positives)
    share = recall_at_share(name)
    if share is not None and positives:
        return _share(binned.recall_of_top(cells, share), 1 / positives, n, note)
    if share is None and rarer:
        return _share(binned.auc(cells), 1 / rarer, n, note)
    return Estimate(value=None, n=n, why="there are no positive rows" if share is not None else "all rows are of one class")


def _share(mean: Mean, wrong: float, n: int, note: str) -> Estimate:
    """A share with its interval: `wrong` is what one row that nobody has seen moves it by."""
    low, high = unseen.interval(mean, unseen.Unseen(wrong, wrong))
    return from_interval(mean.value, Interval(max(0.0, low), min(1.0, high)), n, note)


def _calibration(cells: binned.Cells, n: int, note: str) -> Estimate:
    mean = binned.calibration(cells)
    wrong = max(binned.root_mean_square(cells), 0.5) / n
    low, high = unseen.interval(mean, unseen.Unseen(wrong, wrong))
    # of ten bins of scores that are right, chance makes an error: it is no evidence
    low -= binned.noise(cells)
    return from_interval(mean.value, Interval(max(0.0, low), min(1.0, high)), n, note)


def _noted(estimate: Estimate, note: str) -> Estimate:
    if not note or estimate.value is None:
        return estimate
    return Estimate(value=estimate.value, low=estimate.low, high=estimate.high, n=estimate.n, why=note)


def _cost(quality: Quality, prices: Mapping[str, float]) -> Estimate:
    """What 1,000 answers cost: the same prices as of rows (`rows.py`), by counts of errors, or by sums of them."""
    n = quality.labelled
    if not prices:
        return Estimate(value=None, n=n, why="no costs are declared")
    if "abs_error" in prices:
        absolute, square = prices["abs_error"], prices["sq_error"]
        total = absolute * quality.abs_error + (square * quality.sq_error if square else 0.0)
        # |e|³ is not summed: between its two neighbours it is no more than the root of their product (Cauchy-Schwarz)
        cubes = math.sqrt(quality.sq_error) * math.sqrt(quality.quad_error)
        squares = absolute**2 * quality.sq_error + (2 * absolute * square * cubes + square**2 * quality.quad_error if square else 0.0)
        if max(quality.abs_error, quality.sq_error if square else 0.0) >= MOST:
            return Estimate(value=None, n=n, why=TOO_LARGE)
        beyond = quality.sq_error >= MOST or (square and quality.quad_error >= MOST)
        return mean_of_sums(total, MOST if beyond else squares, n)
    counts = {"fp": quality.fp, "fn": quality.fn, "wrong": n - quality.correct}
    if "wrong" not in prices and quality.tp + quality.fp + quality.fn + quality.tn < n:
        return Estimate(value=None, n=n, why="not every answer and label is one of two known classes")
    dear = {kind: counts[kind] for kind in prices}
    values = np.array([0.0, *prices.values()])
    mean = binned.weighted(values, np.array([n - sum(dear.values()), *dear.values()], dtype=np.float64))
    wrong = max(prices.values()) / n
    low, high = unseen.interval(mean, unseen.Unseen(wrong, wrong))
    return from_interval(mean.value, Interval(max(0.0, low), high), n)


def _numbers(name: str, quality: Quality) -> Estimate:
    n = quality.labelled
    if name == "mae":
        return mean_of_sums(quality.abs_error, quality.sq_error, n)
    if name == "rmse":
        return mean_of_sums(quality.sq_error, quality.quad_error, n, math.sqrt)
    if name == "mape":
        if not quality.relative_n:
            return Estimate(value=None, n=n, why="there are no rows with a truth other than 0")
        return mean_of_sums(quality.relative, quality.relative_sq, quality.relative_n)
    if name == "r2":
        return _r2(quality)
    return Estimate(value=None, n=n, why=f"{name} is counted on traffic, not on labelled rows")


_DIGITS = 1e-8
"""Of sums of squares that differ by less than this share, too few digits of the difference are left."""


def _r2(quality: Quality) -> Estimate:
    n = quality.labelled
    if not max(quality.sq_error, quality.truth_sq, abs(quality.truth)) < MOST:
        return Estimate(value=None, n=n, why=TOO_LARGE)
    mean = quality.truth / n
    # the mean of equal numbers may be off by a last bit
    spread = quality.truth_sq / n - mean * mean
    if spread <= _DIGITS * quality.truth_sq / n:
        why = "the truth is the same in all rows, or differs too little from row to row to tell from sums"
        return Estimate(value=None, n=n, why=why)
    unexplained = quality.sq_error / n / spread
    ends = _r2_ends(quality, mean, spread, unexplained)
    value = 1 - unexplained
    if ends is None:
        return Estimate(value=value, n=n, why="no interval: the numbers are too large to be taken to the fourth power")
    return from_interval(value, Interval(ends.low, min(1.0, ends.high)), n)


def _r2_ends(quality: Quality, mean: float, spread: float, unexplained: float) -> Interval | None:
    """The t interval of the ratio of two means, e² over (y − ȳ)², linearised; None where a fourth power is beyond the floating-point range."""
    n = quality.labelled
    highest = (quality.quad_error, quality.truth_quad, abs(quality.truth_cube), abs(quality.sq_truth), quality.sq_truth_sq)
    if not max(highest) < MOST or mean * mean > MOST**0.5:
        return None
    if n < 2:
        return Interval(-math.inf, math.inf)
    raw = [quality.truth_cube / n, quality.truth_quad / n]
    # moments about the mean, from those about 0
    fourth = raw[1] - 4 * mean * raw[0] + 6 * mean**2 * quality.truth_sq / n - 3 * mean**4
    mixed = quality.sq_truth_sq / n - 2 * mean * quality.sq_truth / n + mean**2 * quality.sq_error / n
    variance = (quality.quad_error / n - 2 * unexplained * mixed + unexplained**2 * fourth) / spread**2
    lost = _DIGITS * (quality.truth_quad / n + mean**4) * max(1.0, unexplained**2) / spread**2
    if variance < lost:
        return None if variance < -lost or lost > 1e-6 else t_interval(1 - unexplained, 0.0, n - 1)
    return t_interval(1 - unexplained, math.sqrt(variance / (n - 1)), n - 1)
