"""Scores by label in fixed cells (`stats/scores.py`), and what follows from them: AUC, calibration, recall of the top share. Counts, not samples.

A cell keeps its negatives, its positives, and where in it the scores lay, summed in 256ths of its width in odds. So the mean score of a cell is known
to a ten-thousandth although the cell is 9% wide, and a model with a few distinct scores is not read as if they lay in the middles. Rows of one cell
are ties: AUC is DeLong's with these ties. All numbers are integers, so sums are exact in whatever order they are added. Pure NumPy.

Sources: DeLong, DeLong & Clarke-Pearson (1988); Naeini, Cooper & Hauskrecht (2015) for calibration.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterable
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from flyball.stats.calibration import BINS
from flyball.stats.clusters import Mean
from flyball.stats.logspace import Floats
from flyball.stats.scores import OUTERMOST, PER_DOUBLING

CELLS = 2 * OUTERMOST
PLACES = 256
"""So many places a cell has."""

Codes = NDArray[np.int64]


class Cells(NamedTuple):
    """Shapes (k,), by rising score, without empty cells: cell, rows of each label, and the sum of the rows' places in it."""

    cell: Codes
    negatives: Codes
    positives: Codes
    places: Codes

    @property
    def rows(self) -> Codes:
        """Rows of each cell."""
        return self.negatives + self.positives

    @property
    def score(self) -> Floats:
        """The mean score of each cell."""
        odds = np.exp2((self.cell + (self.places / self.rows + 0.5) / PLACES) / PER_DOUBLING)
        found: Floats = odds / (1 + odds)
        return found


def spots_of(scores: Floats) -> tuple[Codes, Codes]:
    """The cell of each score (n,) in [0, 1], counted from 0, and its place in it, 0 to 255.

    >>> spots_of(np.array([0.0, 0.5, 1.0]))
    (array([  0, 160, 319]), array([  0,   0, 255]))
    """
    with np.errstate(divide="ignore"):
        odds = PER_DOUBLING * (np.log2(scores) - np.log2(1 - scores)) + OUTERMOST
    spots = np.clip(odds * PLACES, 0, CELLS * PLACES - 1).astype(np.int64)
    return spots // PLACES, spots % PLACES


def tabled(group: Codes, groups: int, cells: Codes, places: Codes, positive: NDArray[np.bool_]) -> list[bytes]:
    """The packed cells of each of `groups` groups; rows as arrays (n,), `group` in [0, groups)."""
    key = group * CELLS + cells
    if key.size * 8 > groups * CELLS:
        # a table of all cells costs less than to sort the rows
        kept = np.arange(groups * CELLS)
        code = key
    else:
        kept, code = np.unique(key, return_inverse=True)
    rows = np.bincount(code, minlength=kept.size)
    up = np.bincount(code[positive], minlength=kept.size)
    spot = np.bincount(code, weights=places, minlength=kept.size).astype(np.int64)
    filled = rows > 0
    kept, rows, up, spot = kept[filled], rows[filled], up[filled], spot[filled]
    ends = np.searchsorted(kept // CELLS, np.arange(groups + 1))
    return [
        pack(Cells(kept[low:high] % CELLS - OUTERMOST, rows[low:high] - up[low:high], up[low:high], spot[low:high]))
        for low, high in pairwise(ends.tolist())
    ]


def of(scores: Floats, positive: NDArray[np.bool_]) -> bytes:
    """The packed cells of rows: scores (n,) in [0, 1] and whether each was positive."""
    cells, places = spots_of(scores)
    return tabled(np.zeros(scores.size, dtype=np.int64), 1, cells, places, positive)[0]


def pack(found: Cells) -> bytes:
    """Cells in a few bytes each; no rows, no byte."""
    return zlib.compress(np.vstack(found).astype("<i8").tobytes(), 1) if found.cell.size else b""


def unpack(packed: bytes) -> Cells:
    """The same cells. Raises ValueError for what `pack` did not make."""
    return Cells(*(_table(packed) if packed else np.empty((4, 0), dtype=np.int64)))


def _table(packed: bytes) -> Codes:
    try:
        return np.frombuffer(zlib.decompress(packed), dtype="<i8").reshape(4, -1)
    except (zlib.error, ValueError) as problem:
        raise ValueError(f"these are no packed cells: {problem}") from None


def merged(parts: Iterable[bytes]) -> bytes:
    """The sum of packed cells.

    >>> one = of(np.array([0.2, 0.9]), np.array([False, True]))
    >>> int(unpack(merged([one, one])).rows.sum())
    4
    """
    given = [part for part in parts if part]
    if len(given) < 2:
        return given[0] if given else b""
    cell, *counts = np.concatenate([_table(part) for part in given], axis=1)
    total = [np.bincount(cell + OUTERMOST, weights=each, minlength=CELLS).astype(np.int64) for each in counts]
    kept = np.flatnonzero(total[0] + total[1])
    return pack(Cells(kept - OUTERMOST, *(each[kept] for each in total)))


def weighted(values: Floats, weights: Floats) -> Mean:
    """Mean of rows that come as values (k,) with how many rows have each (k,): as `clusters.mean` of the rows one by one."""
    n = float(weights.sum())
    centre = float(values @ weights) / n
    off = values - centre
    squares = float(weights @ (off * off))
    se = math.sqrt(squares / (n - 1) / n) if n > 1 else math.inf
    third = float(weights @ off**3) / squares / n if squares > 0 else 0.0
    return Mean(centre, se, n - 1, round(n), third)


def auc(found: Cells) -> Mean:
    """AUC, DeLong's standard error (infinite with fewer than two rows of a class) and the influence's third moment; both classes must be there.

    >>> scores, y = np.array([0.9, 0.4, 0.6, 0.1]), np.array([True, True, False, False])
    >>> auc(unpack(of(scores, y))).value
    0.75
    """
    up, down = found.positives.astype(np.float64), found.negatives.astype(np.float64)
    p, n = float(up.sum()), float(down.sum())
    of_up = (np.cumsum(down) - down / 2) / n
    of_down = 1 - (np.cumsum(up) - up / 2) / p
    value = float(up @ of_up) / p
    own, other = of_up - value, of_down - value
    if min(p, n) < 2:
        return Mean(value, math.inf, math.inf, round(p + n))
    se = math.sqrt(float(up @ own**2) / (p - 1) / p + float(down @ other**2) / (n - 1) / n)
    # influence of a row on the mean, as in `delong.influence`
    rows = np.concatenate([own * (p + n) / p, other * (p + n) / n])
    third = weighted(rows, np.concatenate([up, down])).third
    return Mean(value, se, math.inf, round(p + n), third)


def calibration(found: Cells) -> Mean:
    """Calibration error over ten bins of equal mass that are made of whole cells, at least one row; a mean of signed differences, as on rows.

    Bins are those of `calibration.reliability` with each row's cell for its score.
    """
    rows, score, place = found.rows, found.score, _bins(found)
    off = np.bincount(place, rows * score - found.positives)
    signs = np.sign(off)[place]
    values = np.concatenate([signs * score, signs * (score - 1)])
    return weighted(values, np.concatenate([found.negatives, found.positives]).astype(np.float64))


def _bins(found: Cells) -> Codes:
    """Which of ten bins of equal mass each cell is in: the cell in which a decile lies closes a bin."""
    run, total = np.cumsum(found.rows), int(found.rows.sum())
    closes = np.unique(np.searchsorted(run, np.ceil(np.arange(1, BINS) * total / BINS)))
    places: Codes = np.searchsorted(closes, np.arange(run.size))
    return places


def noise(found: Cells) -> float:
    """The calibration error that chance alone makes on average where scores are right: the mean of |N(0, σ²)| is σ√(2/π), bin by bin."""
    score, rows = found.score, found.rows
    spread = np.bincount(_bins(found), rows * score * (1 - score))
    return math.sqrt(2 / math.pi) * float(np.sqrt(spread).sum()) / int(rows.sum())


def root_mean_square(found: Cells) -> float:
    """Root of the mean squared difference of score and label."""
    off = found.negatives @ found.score**2 + found.positives @ (1 - found.score) ** 2
    return math.sqrt(float(off) / int(found.rows.sum()))


def recall_of_top(found: Cells, share: float) -> Mean:
    """Recall of the `share` of rows with the highest scores (at least one row, and one positive there must be); rows of the cell at the cut share
    what places are left. The spread is that of the influence: the cut moves with the sample.
    """
    rows, up = found.rows.astype(np.float64), found.positives.astype(np.float64)
    n, positives = float(rows.sum()), float(up.sum())
    kept = max(1, int(share * n + 0.5))
    above = np.cumsum(rows[::-1])[::-1] - rows
    top = np.clip((kept - above) / rows, 0.0, 1.0)
    value = float(top @ up) / positives
    # the share of positives among the rows next to the cut, a window that grows slower than the rows
    half = max(10, round(n**0.6) // 2)
    near = np.clip(np.minimum(above + rows, kept + half) - np.maximum(above, kept - half), 0.0, None)
    at_cut = float(near @ (up / rows)) / float(near.sum())
    slope = at_cut * (top - kept / n)
    influence = np.concatenate([top * 0 - slope, top - value - slope])
    spread = weighted(influence * (n / positives), np.concatenate([found.negatives, found.positives]).astype(np.float64))
    return spread._replace(value=value)
