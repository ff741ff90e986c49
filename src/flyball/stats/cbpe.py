"""How good a classifier is on rows whose labels nobody knows yet: its calibrated scores say how often it should be right.

An estimate under one assumption: a score means what it meant on the reference. Inputs may shift; what inputs mean (concept drift) may not, and
nothing here can see that it did. So it is always shown as an estimate, beside a domain classifier, and passes no gate.
Works on counts in the fixed cells of `stats/scores.py`. Pure NumPy; randomness is passed in.

Sources: NannyML's documentation (confidence-based performance estimation); Barlow et al. 1972 (isotonic regression by pooling adjacent violators).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from flyball.stats.logspace import Floats

Counts = NDArray[np.int64]

METRICS = ("accuracy", "precision", "recall", "f1", "positive_rate", "roc_auc")
"""What is estimated."""

DRAWS = 100
_Z = 1.959963984540054

FEWEST_ROWS, FEWEST_OF_A_CLASS, FEWEST_ANSWERS = 1_000, 100, 200
"""Rows of the reference and of each class of it, and rows of the window, below which nothing is estimated."""

MOST_ERROR = 0.03
"""The calibration error of the reference, out of fold, above which its scores are not believed."""

MOST_OUTSIDE = 0.05
"""The share of a window's scores outside the reference's range above which nothing is estimated."""

MOST_TOLD_APART = 0.75
"""The lower bound of the domain classifier's AUC above which the window is too far from the reference."""

_FOLDS, _BINS = 5, 10


class Scored(NamedTuple):
    """Rows with labels by score cell: `cells` (k,) ascending, `negatives` and `positives` (k,) counts."""

    cells: Counts
    negatives: Counts
    positives: Counts


class Answered(NamedTuple):
    """Rows without labels by score cell: `cells` (k,) ascending, `no` and `yes` (k,) counts of either decision."""

    cells: Counts
    no: Counts
    yes: Counts

    @property
    def n(self) -> int:
        """All rows."""
        return int(self.no.sum() + self.yes.sum())


class Estimated(NamedTuple):
    """A metric's estimate and its standard deviation over draws; `value` is NaN where it is not defined."""

    value: float
    sd: float

    @property
    def low(self) -> float:
        """The lower end of the 95% interval, not below 0."""
        return max(0.0, self.value - _Z * self.sd)

    @property
    def high(self) -> float:
        """The upper end, not above 1."""
        return min(1.0, self.value + _Z * self.sd)


def scored(counts: Mapping[int, tuple[int, int]]) -> Scored:
    """From {cell: (negatives, positives)}.

    >>> scored({3: (1, 2), -5: (4, 0)}).cells
    array([-5,  3])
    """
    return Scored(*_columns(counts))


def answered(counts: Mapping[int, tuple[int, int]]) -> Answered:
    """From {cell: (rows answered no, rows answered yes)}."""
    return Answered(*_columns(counts))


def _columns(counts: Mapping[int, tuple[int, int]]) -> tuple[Counts, Counts, Counts]:
    cells = sorted(counts)
    table = np.array([counts[cell] for cell in cells], dtype=np.int64).reshape(-1, 2)
    return np.array(cells, dtype=np.int64), table[:, 0], table[:, 1]


def isotonic(positives: Floats, rows: Floats) -> Floats:
    """The rising shares (k,) nearest to positives / rows, weighted by `rows` (k,) > 0, by pooling adjacent violators.

    >>> isotonic(np.array([1.0, 0.0, 3.0]), np.array([2.0, 2.0, 4.0]))
    array([0.25, 0.25, 0.75])
    """
    sums: list[float] = []
    weights: list[float] = []
    sizes: list[int] = []
    for positive, row in zip(positives.tolist(), rows.tolist(), strict=True):
        sums.append(positive)
        weights.append(row)
        sizes.append(1)
        while len(sums) > 1 and sums[-2] * weights[-1] >= sums[-1] * weights[-2]:
            positive, row, size = sums.pop(), weights.pop(), sizes.pop()
            sums[-1], weights[-1], sizes[-1] = sums[-1] + positive, weights[-1] + row, sizes[-1] + size
    return np.repeat(np.array(sums) / np.array(weights), sizes) if sums else np.empty(0)


def meaning(reference: Scored, cells: Counts) -> Floats:
    """c: the share of positives that a score in each of `cells` (k,) stands for, in [0, 1]; between cells of the reference by interpolation.

    Raises ValueError for a reference without rows.
    """
    rows = reference.negatives + reference.positives
    kept = rows > 0
    if not kept.any():
        raise ValueError("a reference without rows says nothing of a score")
    shares = isotonic(reference.positives[kept].astype(np.float64), rows[kept].astype(np.float64))
    found: Floats = np.clip(np.interp(cells, reference.cells[kept], shares), 0.0, 1.0)
    return found


def estimate(reference: Scored, window: Answered, rng: np.random.Generator) -> dict[str, Estimated]:
    """Every metric of `METRICS` on the window, with its standard deviation over 100 draws: the reference drawn again (Poisson weights of its rows),
    labels drawn by what the scores then mean. Raises ValueError as `meaning`, and for a window without rows.

    >>> reference = scored({-8: (900, 100), 8: (100, 900)})
    >>> found = estimate(reference, answered({-8: (500, 0), 8: (0, 500)}), np.random.default_rng(0))
    >>> round(found["accuracy"].value, 3), found["accuracy"].sd < 0.02
    (0.9, True)
    """
    if not window.n:
        raise ValueError("a window without rows has no performance")
    share = meaning(reference, window.cells)
    found = _metrics(window, window.no * share, window.yes * share)
    draws = [_drawn(reference, window, rng) for _ in range(DRAWS)]
    return {name: Estimated(value, _spread([draw[name] for draw in draws])) for name, value in found.items()}


def _drawn(reference: Scored, window: Answered, rng: np.random.Generator) -> dict[str, float]:
    again = Scored(reference.cells, rng.poisson(reference.negatives), rng.poisson(reference.positives))
    if not again.negatives.sum() + again.positives.sum():
        return dict.fromkeys(METRICS, math.nan)
    share = meaning(again, window.cells)
    return _metrics(window, rng.binomial(window.no, share), rng.binomial(window.yes, share))


def _spread(values: list[float]) -> float:
    defined = np.array([value for value in values if not math.isnan(value)])
    return float(defined.std(ddof=1)) if defined.size > 1 else math.inf


def _metrics(window: Answered, in_no: Floats | Counts, in_yes: Floats | Counts) -> dict[str, float]:
    """Metrics from the positives (k,) among rows of either decision."""
    fn, tp = float(in_no.sum()), float(in_yes.sum())
    tn, fp = float(window.no.sum()) - fn, float(window.yes.sum()) - tp
    return {
        "accuracy": _ratio(tp + tn, tp + fp + fn + tn),
        "precision": _ratio(tp, tp + fp),
        "recall": _ratio(tp, tp + fn),
        "f1": _ratio(2 * tp, 2 * tp + fp + fn),
        "positive_rate": _ratio(tp + fp, tp + fp + fn + tn),
        "roc_auc": area(window.no + window.yes - in_no - in_yes, in_no + in_yes),
    }


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole > 0 else math.nan


def area(negatives: Floats | Counts, positives: Floats | Counts) -> float:
    """AUC from the mass (k,) of either class by rising score; ties count half. NaN without one of the classes.

    >>> area(np.array([2.0, 1.0]), np.array([1.0, 2.0])).__round__(3)
    0.667
    """
    above = positives.sum() - np.cumsum(positives)
    return _ratio(float(np.sum(negatives * (above + positives / 2))), float(negatives.sum()) * float(positives.sum()))


def calibration_error(reference: Scored, rng: np.random.Generator) -> float:
    """The calibration error of c out of fold: five parts, each told by the other four; ten bins of equal mass.

    Of each bin the gap |ȳ − p̄| counts with the sign that it has in the rows of the other half of the parts: that which noise alone would add (.03
    at 1,000 rows) is nothing on average, and a gap that is there is there in both halves. Not below 0.
    """
    parts = [_parts(counts, rng) for counts in (reference.negatives, reference.positives)]
    rows: list[NDArray[np.float64]] = []
    for fold in range(_FOLDS):
        negatives, positives = parts[0][fold], parts[1][fold]
        rest = Scored(reference.cells, reference.negatives - negatives, reference.positives - positives)
        if not (rest.negatives.sum() + rest.positives.sum()):
            continue
        half = rng.integers(0, 2, reference.cells.size) if fold == _FOLDS - 1 else np.full(reference.cells.size, fold % 2)
        rows.append(np.column_stack([meaning(rest, reference.cells), negatives + positives, positives, half]))
    table = np.concatenate(rows) if rows else np.empty((0, 4))
    table = table[table[:, 1] > 0]
    if not table.size:
        return 1.0
    table = table[np.argsort(table[:, 0], kind="stable")]
    mass = np.cumsum(table[:, 1]) - table[:, 1] / 2
    place = np.minimum((mass * _BINS / table[:, 1].sum()).astype(np.int64), _BINS - 1)
    gaps = np.zeros((2, _BINS))
    np.add.at(gaps, (table[:, 3].astype(np.int64), place), table[:, 2] - table[:, 0] * table[:, 1])
    return max(0.0, float(np.sum(gaps[0] * np.sign(gaps[1]) + gaps[1] * np.sign(gaps[0])) / table[:, 1].sum()))


def _parts(counts: Counts, rng: np.random.Generator) -> list[Counts]:
    """The counts (k,) dealt to five parts at random."""
    dealt = rng.multinomial(counts, [1 / _FOLDS] * _FOLDS)
    return [dealt[:, fold] for fold in range(_FOLDS)]


def outside(reference: Scored, window: Answered) -> float:
    """The share of the window's rows whose score lies below or above all of the reference."""
    there = reference.cells[(reference.negatives + reference.positives) > 0]
    if not there.size or not window.n:
        return 1.0
    beyond = (window.cells < there.min()) | (window.cells > there.max())
    return float((window.no + window.yes)[beyond].sum() / window.n)


def refusal(reference: Scored, window: Answered, rng: np.random.Generator) -> str:
    """Why nothing can be estimated of the window; empty where it can."""
    n, of_class = int(reference.negatives.sum() + reference.positives.sum()), (reference.negatives.sum(), reference.positives.sum())
    if n < FEWEST_ROWS:
        return f"the reference has {n:,} rows with a label and a score, and {FEWEST_ROWS:,} are needed"
    if min(of_class) < FEWEST_OF_A_CLASS:
        return f"the reference has {min(of_class):,} rows of one class, and {FEWEST_OF_A_CLASS} of each are needed"
    if window.n < FEWEST_ANSWERS:
        return f"the window has {window.n:,} answers with a score, and {FEWEST_ANSWERS} are needed"
    if (error := calibration_error(reference, rng)) > MOST_ERROR:
        return f"the scores are off by {error:.3f} on the reference, out of fold, and {MOST_ERROR} is the most"
    if (beyond := outside(reference, window)) > MOST_OUTSIDE:
        return f"{100 * beyond:.3g}% of the scores lie outside of what the reference had, and {100 * MOST_OUTSIDE:.0f}% is the most"
    return ""
