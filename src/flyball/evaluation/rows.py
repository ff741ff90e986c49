"""Every metric as a mean over rows: values whose mean is the metric and whose spread gives its variance (the influence function).

This one form serves single intervals, paired tests with any margin, and rows that share an entity.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from flyball.declare.costs import priced
from flyball.declare.metrics import at_k, recall_at_share
from flyball.evaluation import ranking
from flyball.evaluation.answers import Answers
from flyball.stats import delong
from flyball.stats.calibration import reliability
from flyball.stats.logspace import Floats

TINY = 1e-15
"""Scores are kept this far from 0 and 1 before their logarithm is taken."""

CALIBRATION = "calibration_error"
MOST_ERROR = 1e300
"""The largest error of a number, and the most that a row may lose: no mean of such rows is beyond the floating-point range."""

SCORED = ("roc_auc", "log_loss", "brier", CALIBRATION)


NOT_ASKED = ("there are no scores", "no costs are declared", "it is a gap between groups")
"""Why a metric is none of a model's: it gives no scores, or its declaration does not say what the metric needs."""


NOT_FINITE = "a label or a prediction is missing or not finite"


class RowValues(NamedTuple):
    """`values`: shape (n,), empty where the metric is not defined and `why` says the reason; `denominator`: rows (of a ranking: lists) the metric
    divides by. `note`: what a reader of the number should know, such as what was left out. `wrong`: what a row that goes wrong costs, in the
    metric's units: 1 of a share, of a loss what a row loses here (the root of the mean square), of a score at least what tossing a coin loses.
    `among`: shape (n,), how much each row is of what the metric divides by; None: all are alike.
    """

    values: Floats
    denominator: int
    why: str = ""
    note: str = ""
    wrong: float = 1.0
    among: Floats | None = None


class Counted(NamedTuple):
    """A share as its rows: `hits` 1.0 or 0.0 and `among` 1.0 for the rows that it divides by, shapes (n,). Two versions have the same `among`."""

    hits: Floats
    among: Floats
    what: str

    @property
    def kept(self) -> Floats:
        """The hits of those rows alone."""
        rows: Floats = self.hits[self.among == 1]
        return rows


def counted(name: str, answers: Answers) -> Counted | None:
    """A share of rows that the truth alone picks, such as recall of the positives; None for every other metric."""
    y = answers.y
    if name == "accuracy" and answers.task in ("binary", "multiclass"):
        return Counted(answers.correct, np.ones(answers.n), "rows")
    if answers.task != "binary":
        return None
    called = (answers.value == 1).astype(np.float64)
    if name == "positive_rate":
        return Counted(called, np.ones(answers.n), "rows")
    if name == "recall":
        return Counted(called, y, "positive rows")
    return Counted(called, 1 - y, "negative rows") if name == "false_positive_rate" else None


def _undefined(why: str, denominator: int = 0) -> RowValues:
    return RowValues(np.empty(0), denominator, why)


def _ratio(top: Floats, bottom: Floats, what: str) -> RowValues:
    """The ratio of two sums, linearised at its value."""
    total = float(bottom.sum())
    if total == 0:
        return _undefined(f"there are no {what}")
    value = float(top.sum()) / total
    return RowValues(value + (top - value * bottom) * (top.size / total), round(total), among=bottom)


def in_top(score: Floats, share: float) -> Floats:
    """1.0 for the `share` of rows with the highest scores (at least one row), else 0.0; rows with equal scores at the cut share what places are left.

    >>> in_top(np.array([0.9, 0.5, 0.5, 0.1]), 0.5).tolist()
    [1.0, 0.5, 0.5, 0.0]
    """
    kept = _places(score.size, share)
    cut = np.partition(score, score.size - kept)[score.size - kept]
    above, tied = score > cut, score == cut
    return np.where(tied, (kept - int(above.sum())) / int(tied.sum()), above)


def _places(n: int, share: float) -> int:
    return max(1, int(share * n + 0.5))


def _recall_of_top(y: Floats, score: Floats, share: float) -> RowValues:
    """Recall of the `share` of rows with the highest scores. The cut moves with the sample: a row above it takes a place from one at it, which is
    positive as often as rows near the cut are.
    """
    positives = float(y.sum())
    if positives == 0:
        return _undefined("there are no positive rows")
    top = in_top(score, share)
    value = float(top @ y) / positives
    influence = top * y - value * y - _positive_at_the_cut(y, score, share) * (top - top.mean())
    return RowValues(value + influence * (y.size / positives), round(positives), among=y)


def _positive_at_the_cut(y: Floats, score: Floats, share: float) -> float:
    """The share of positives among the rows next to the cut, a window that grows slower than the rows (n^.6); equal scores count as one."""
    n, kept = y.size, _places(y.size, share)
    _, tie = np.unique(score, return_inverse=True)
    alike = np.bincount(tie, weights=y) / np.bincount(tie)
    order, half = np.argsort(-score, kind="stable"), max(10, round(n**0.6) // 2)
    return float(alike[tie[order[max(0, kept - half) : kept + half]]].mean())


def _losses(values: Floats, lost: Floats, least: float) -> RowValues:
    """A mean of losses: `lost` is what each row loses, and `least` what one does at the least that goes wrong, or, of numbers, where none loses anything."""
    return RowValues(values, values.size, wrong=_root_mean_square(lost) or least)


def _root_mean_square(values: Floats) -> float:
    unit = unit_of(values)
    scaled = values / unit
    return unit * float(np.sqrt(np.mean(scaled * scaled)))


def unit_of(values: Floats) -> float:
    """A power of two near the largest of the values: divided by it they have squares, whatever their size, and lose no digit. 1 where all are 0."""
    largest = float(np.max(np.abs(values)))
    return math.ldexp(1.0, min(1023, math.frexp(largest)[1])) if 0 < largest < math.inf else 1.0


def errors(answers: Answers) -> Floats:
    """Prediction less truth, both finite; an error beyond `MOST_ERROR` counts as that."""
    with np.errstate(over="ignore"):
        error: Floats = np.clip(answers.value - answers.y, -MOST_ERROR, MOST_ERROR)
    return error


def _scored(name: str, answers: Answers, score: Floats) -> RowValues:
    y = answers.y
    if name == "log_loss":
        happened = score if answers.task == "multiclass" else np.where(y == 1, score, 1 - score)
        lost = -np.log(np.clip(happened, TINY, 1 - TINY))
        return RowValues(lost, answers.n, wrong=max(_root_mean_square(lost), math.log(2)))
    if name == "brier":
        lost = (score - y) ** 2
        return RowValues(lost, answers.n, wrong=max(_root_mean_square(lost), 0.25))
    if name == CALIBRATION:
        table = reliability(y, score)
        return _calibration(answers, score, np.sign(table.score - table.positive)[table.bin_of])
    positives = int(y.sum())
    if positives in (0, answers.n):
        return _undefined("all rows are of one class")
    rarer = y if 2 * positives <= answers.n else 1 - y
    return RowValues(delong.influence(y == 1, score), min(positives, answers.n - positives), among=rarer)


def _calibration(answers: Answers, score: Floats, signs: Floats) -> RowValues:
    off = score - answers.y
    return RowValues(signs * off, answers.n, wrong=max(_root_mean_square(off), 0.5))


def least_values(name: str, answers: Answers) -> RowValues:
    """`row_values`, but of a calibration error what it is at least, on average: the value that may be subtracted from another, and no one else's.

    Signs that are chosen on the rows that are measured make of mere noise an error, the more the better the scores are. Here each half of the
    rows, or of the entities, has the signs of the other half's bins, so that noise adds nothing. The halves are drawn with a fixed seed.
    """
    if name != CALIBRATION or answers.score is None or answers.n == 0:
        return row_values(name, answers)
    off, bins = answers.score - answers.y, reliability(answers.y, answers.score).bin_of
    _, unit = np.unique(np.arange(answers.n) if answers.groups is None else answers.groups, return_inverse=True)
    half = (np.random.default_rng(0).permutation(int(unit.max()) + 1) % 2)[unit]
    sums = np.zeros((2, int(bins.max()) + 1))
    np.add.at(sums, (half, bins), off)
    return _calibration(answers, answers.score, np.sign(sums)[1 - half, bins])


def _classes(name: str, answers: Answers) -> RowValues:
    y, called = answers.y, (answers.value == 1).astype(np.float64)
    if name == "precision":
        return _ratio(called * y, called, "rows called positive")
    if name == "equalised_odds":
        return _undefined("it is a gap between groups")
    return _ratio(2 * called * y, called + y, "positive rows, called or true")


def _numbers(name: str, answers: Answers) -> RowValues:
    if not _finite(answers):
        return _undefined(NOT_FINITE)
    y, error = answers.y, errors(answers)
    if name == "mae":
        return _losses(np.abs(error), error, _deviation(y))
    if name == "mape":
        kept = (y != 0).astype(np.float64)
        lost = np.minimum(np.abs(error) / np.where(y == 0, 1.0, np.abs(y)) * kept, MOST_ERROR)
        typical = _root_mean_square(lost) * math.sqrt(y.size / max(1.0, float(kept.sum())))
        return _ratio(lost, kept, "rows with a truth other than 0")._replace(wrong=typical or 1.0)
    if name == "rmse":
        value = _root_mean_square(error)
        if not value:
            return _losses(error, error, _deviation(y))
        # (e² − v²)/2v and e²/2v, without squares that are beyond the floating-point range
        lost = error / value * error / 2
        return _losses(value + (lost - value / 2), lost, 0.0)
    unit = unit_of(y)
    spread = float((y / unit).std())
    # the mean of equal numbers may be off by a last bit
    if spread == 0 or y.min() == y.max():
        return _undefined("the truth is the same in all rows")
    squared = np.clip(error / unit / spread, -math.sqrt(MOST_ERROR), math.sqrt(MOST_ERROR)) ** 2
    deviation, unexplained = ((y / unit - (y / unit).mean()) / spread) ** 2, float(squared.mean())
    return _losses(1 - unexplained - (squared - unexplained * deviation), squared, 1.0)


def _deviation(y: Floats) -> float:
    """The standard deviation of finite numbers of any size."""
    unit = unit_of(y)
    return unit * float((y / unit).std())


def _finite(answers: Answers) -> bool:
    return bool(np.isfinite(answers.y).all() and np.isfinite(answers.value).all())


def _lists(name: str, answers: Answers) -> RowValues:
    """A mean over lists as values of their items: each list counts once, however long it is, and one that has nothing to find not at all."""
    asked = at_k(name)
    if asked is None or answers.lists is None:
        return _undefined("there are no lists")
    if not _finite(answers):
        return _undefined(NOT_FINITE)
    kind, k = asked
    found = ranking.of_lists(kind, k, y=answers.y, score=answers.value, lists=answers.lists)
    counted = np.isfinite(found.values)
    count, empty = int(counted.sum()), int((~counted).sum())
    if not count:
        return _undefined(f"none of {empty:,} lists has a relevant item")
    value = float(found.values[counted].mean())
    share = np.where(counted, found.values - value, 0.0) * (answers.n / count) / found.sizes
    note = f"{empty:,} of {count + empty:,} lists have no relevant item and are left out" if empty else ""
    return RowValues(value + share[found.list_of], count, note=note, among=(counted / found.sizes)[found.list_of])


def row_values(name: str, answers: Answers) -> RowValues:
    """Values of `name` (a metric of the answers' task) on every row; empty with a reason where it is not defined."""
    if answers.n == 0:
        return _undefined("there are no labelled rows")
    # infinities are told in words below, not in warnings
    with np.errstate(invalid="ignore", over="ignore"):
        rows = _row_values(name, answers)
    if not np.isfinite(rows.values).all():
        return _undefined(NOT_FINITE, rows.denominator)
    return rows


def _cost(answers: Answers) -> RowValues:
    """What each row costs, times 1,000: errors of each kind by what one costs; of several classes every error is a false positive."""
    prices = priced(answers.task, answers.costs)
    if not prices:
        return _undefined("no costs are declared")
    if answers.task in ("regression", "forecast"):
        if not _finite(answers):
            return _undefined(NOT_FINITE)
        error, spread = errors(answers), _deviation(answers.y)
        absolute, square = prices["abs_error"], prices["sq_error"]
        values = np.minimum(absolute * np.abs(error) + square * error * error, MOST_ERROR)
        return _losses(values, values, absolute * spread + square * spread * spread if square else absolute * spread)
    if answers.task == "binary":
        called, y = answers.value == 1, answers.y
        values = prices["fp"] * (called * (1 - y)) + prices["fn"] * (~called & (y == 1))
    else:
        values = prices["wrong"] * (1 - answers.correct)
    # the dearest error, which may be the one that nobody has seen yet
    return RowValues(values, answers.n, wrong=max(prices.values()))


def _row_values(name: str, answers: Answers) -> RowValues:
    if answers.task == "ranking":
        return _lists(name, answers)
    if name == "cost_per_1000":
        return _cost(answers)
    share = counted(name, answers)
    if share is not None:
        return RowValues(share.hits, answers.n) if share.among.all() else _ratio(share.hits * share.among, share.among, share.what)
    if name in SCORED or recall_at_share(name) is not None:
        if answers.score is None:
            return _undefined("there are no scores")
        top = recall_at_share(name)
        if top is not None:
            return _recall_of_top(answers.y, answers.score, top)
        return _scored(name, answers, answers.score)
    if answers.task in ("binary", "multiclass"):
        return _classes(name, answers)
    return _numbers(name, answers)
