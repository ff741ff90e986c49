"""Can a classifier tell the rows of one time from those of another? It sees what columns do together, which no test of one column does.

Source: Lopez-Paz & Oquab 2017 (classifier two-sample tests); the interval is DeLong's (docs/statistics.md §2).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import polars as pl

from flyball.records.estimates import Estimate
from flyball.stats.delong import auc
from flyball.training.simpler import Floats, encoded

SIDE = 5_000
"""Rows of each side (docs/statistics.md §2)."""

FOLDS = 5
NAMED = 5
TELLS = 0.55
"""From which AUC by itself a column is named."""

_ROUNDS = 50
_Z = 1.959963984540054


def told_apart(then: pl.DataFrame, now: pl.DataFrame, generator: np.random.Generator) -> Estimate:
    """AUC of a booster that was fitted on four fifths and asked the rest, each fifth once; its interval by DeLong."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    X, _ = encoded(pl.concat([then, now], how="vertical_relaxed"), now.head(0))
    n = then.height + now.height
    if not X.shape[1]:
        return Estimate(value=0.5, low=0.5, high=0.5, n=n, why="every feature is one and the same value on both sides")
    y = np.repeat([0, 1], [then.height, now.height])
    fold = generator.permutation(n) % FOLDS
    score = np.zeros(n)
    for part in range(FOLDS):
        learn, ask = fold != part, fold == part
        fitted = HistGradientBoostingClassifier(max_iter=_ROUNDS, early_stopping=False, random_state=0).fit(X[learn], y[learn])
        score[ask] = fitted.predict_proba(X[ask])[:, 1]
    found = auc(y == 1, score)
    return Estimate(value=found.value, low=max(0.0, found.value - _Z * found.se), high=min(1.0, found.value + _Z * found.se), n=n)


def telling(then: pl.DataFrame, now: pl.DataFrame) -> dict[str, float]:
    """The columns that tell the sides apart by themselves, the clearest first, with the AUC of each."""
    found = {name: _alone(then.select(name), now.select(name)) for name in then.columns}
    named = sorted(((value, name) for name, value in found.items() if value >= TELLS), reverse=True)
    return {name: value for value, name in named[:NAMED]}


def _alone(then: pl.DataFrame, now: pl.DataFrame) -> float:
    """The best AUC of the numbers that stand for a column; what is missing counts as below every number."""
    both = pl.concat([then, now], how="vertical_relaxed")
    numbers, _ = encoded(both, both.head(0))
    flags = np.repeat([False, True], [then.height, now.height])
    found = [_turned(flags, column) for column in numbers.T]
    missing = both.to_series().is_null().to_numpy()
    return max([*found, _turned(flags, missing.astype(np.float64))] if missing.any() else found, default=0.5)


def _turned(flags: npt.NDArray[np.bool_], column: Floats) -> float:
    value = auc(flags, np.nan_to_num(column, nan=-np.finfo(np.float64).max)).value
    return max(value, 1 - value)
