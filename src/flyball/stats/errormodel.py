"""How large a model's absolute error should be on rows whose labels nobody knows yet: an additive model of |error| over fixed cells of columns.

The mean of a sum of effects needs no more than how the window's rows fall into the cells of each column, so counts are enough and no row is kept. A
model fitted on rows would also see what two columns do together; it would need the reference's rows for as long as the version answers, and
these may be a person's. The assumption is that of every such estimate: what a cell meant for the error on the reference, it means now.
Pure NumPy, no randomness: the interval is the sandwich's, which the Poisson bootstrap tends to.

Sources: White 1980 (sandwich); NannyML's documentation (direct loss estimation), which fits a booster to rows.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from flyball.stats.logspace import Floats

Codes = NDArray[np.int64]

MOST_COLUMNS = 3
"""So many columns at most, the most telling ones."""

LEAST_GAIN = 0.01
"""A column that explains less than this share of the variance of |error|, beside those before it, is left out."""

RIDGE = 1.0
"""Rows at the overall mean that each cell begins with."""

_Z = 1.959963984540054


class Fitted(NamedTuple):
    """`effects` (1 + cells of all columns,): the mean, then each column's cells; `covariance` of them; `squares`: as `effects`, of the squared residual."""

    effects: Floats
    covariance: Floats
    squares: Floats


class Expected(NamedTuple):
    """The mean absolute error to be expected of a window's rows, and the standard deviation of what will be measured about it."""

    value: float
    sd: float

    @property
    def low(self) -> float:
        """The lower end of the 95% interval, not below 0."""
        return max(0.0, self.value - _Z * self.sd)

    @property
    def high(self) -> float:
        """The upper end."""
        return self.value + _Z * self.sd


def telling(error: Floats, codes: Mapping[str, Codes]) -> tuple[str, ...]:
    """Up to `MOST_COLUMNS` columns by how much of the variance of |error| (n,) their cells (n,) explain, each beside those before it.

    >>> error = np.array([1.0, 1.0, 3.0, 3.0] * 25)
    >>> telling(error, {"a": np.array([0, 0, 1, 1] * 25), "b": np.array([0, 1, 0, 1] * 25)})
    ('a',)
    """
    chosen: list[str] = []
    if not error.size:
        return ()
    total, left = float(np.var(error)), error - error.mean()
    while total > 0 and len(chosen) < MOST_COLUMNS:
        gains = {name: _explained(left, cells) / total for name, cells in codes.items() if name not in chosen}
        best = max(gains, key=gains.__getitem__, default="")
        if not best or gains[best] < LEAST_GAIN:
            break
        chosen.append(best)
        effects = fit(error, [codes[name] for name in chosen]).effects
        left = error - effects[0] - _design([codes[name] for name in chosen]) @ effects[1:]
    return tuple(chosen)


def _explained(values: Floats, cells: Codes) -> float:
    """The variance (of zero-mean values) between cells, less what as many cells explain by chance."""
    rows = np.bincount(cells)
    used = rows > 0
    means = np.bincount(cells, weights=values)[used] / rows[used]
    between = float(np.sum(rows[used] * (means - values.mean()) ** 2)) / values.size
    chance = (int(used.sum()) - 1) / max(values.size - 1, 1) * float(np.var(values))
    return between - chance


def fit(error: Floats, codes: Sequence[Codes], sizes: Sequence[int] | None = None) -> Fitted:
    """The additive model of |error| (n,) by the cells (n,) of each column; `sizes`: how many cells each has (None: as many as occur).

    Raises ValueError without rows, and for errors that are not finite.
    """
    if not error.size or not np.all(np.isfinite(error)):
        raise ValueError("an error model needs rows, and errors that are finite")
    # about the mean, which is fixed: a cell of few rows is near it, and one of none is at it
    X, centre = _design(codes, sizes), float(error.mean())
    inverse = np.linalg.inv(X.T @ X + RIDGE * np.eye(X.shape[1]))
    effects = inverse @ (X.T @ (error - centre))
    square = (error - centre - X @ effects) ** 2
    return Fitted(
        effects=np.concatenate([[centre], effects]),
        covariance=np.pad(inverse @ (X.T * square) @ X @ inverse, (1, 0)),
        squares=np.concatenate([[square.mean()], inverse @ (X.T @ (square - square.mean()))]),
    )


def _design(codes: Sequence[Codes], sizes: Sequence[int] | None = None) -> Floats:
    """A column of 0 and 1 for each cell (n, cells of all columns)."""
    widths = sizes if sizes is not None else [int(cells.max(initial=-1)) + 1 for cells in codes]
    return np.hstack([np.eye(width)[cells] for cells, width in zip(codes, widths, strict=True)])


def expect(fitted: Fitted, counts: Sequence[Floats | Codes]) -> Expected:
    """What to expect of a window with these counts of rows in each column's cells. Raises ValueError for a window without rows.

    >>> found = fit(np.array([1.0, 1.0, 3.0, 3.0] * 250), [np.array([0, 0, 1, 1] * 250)])
    >>> round(expect(found, [np.array([0, 200])]).value, 1)
    3.0
    """
    n = float(counts[0].sum()) if counts else 0.0
    if n <= 0:
        raise ValueError("a window without rows has no error")
    at = np.concatenate([np.ones(1), *(np.asarray(cells, dtype=np.float64) / n for cells in counts)])
    rows = max(float(at @ fitted.squares), 0.0) / n
    return Expected(max(float(at @ fitted.effects), 0.0), math.sqrt(max(float(at @ fitted.covariance @ at), 0.0) + rows))
