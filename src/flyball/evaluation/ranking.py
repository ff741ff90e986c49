"""How good lists are ordered: NDCG and recall of the first K items of each list.

Items with equal scores have no order: each gets the mean of what their places are worth (McSherry & Najork 2008), so no order of rows makes a
model look better than it is, and a constant is worth what a shuffled list is worth. Gain is the label itself, discount 1/log₂(place + 1)
(Järvelin & Kekäläinen 2002): the same numbers as `sklearn.metrics.ndcg_score`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from flyball.stats.logspace import Floats

Rows = npt.NDArray[np.int64]


class Lists(NamedTuple):
    """`values` [lists]: NaN for a list without a relevant item (label > 0); `sizes` [lists]: items in each; `list_of` [n]: each row's place among them."""

    values: Floats
    sizes: Rows
    list_of: Rows


def of_lists(kind: str, k: int, *, y: Floats, score: Floats, lists: Rows) -> Lists:
    """`kind` ("ndcg" or "recall") at `k` of every list. `y` ≥ 0, `score` (higher is better), `lists`: shapes (n,), all finite; `lists` numbers them.

    >>> of_lists("ndcg", 10, y=np.array([0.0, 1.0]), score=np.array([2.0, 1.0]), lists=np.array([7, 7])).values.round(4)
    array([0.6309])
    >>> of_lists("recall", 1, y=np.array([0.0, 1.0]), score=np.array([1.0, 1.0]), lists=np.array([7, 7])).values
    array([0.5])
    """
    _, list_of = np.unique(lists, return_inverse=True)
    sizes = np.bincount(list_of).astype(np.int64)
    gain = y if kind == "ndcg" else (y > 0).astype(np.float64)
    found = _gained(gain, score, list_of, sizes, _worth(kind, k))
    best = np.bincount(list_of, weights=gain).astype(np.float64)
    if kind == "ndcg":
        best = _gained(gain, gain, list_of, sizes, _worth(kind, k))
    with np.errstate(invalid="ignore", divide="ignore"):
        values = np.where(best > 0, found / best, np.nan)
    return Lists(values, sizes, list_of.astype(np.int64))


class _Worth(NamedTuple):
    discounted: bool
    k: int

    def of(self, places: Rows) -> Floats:
        """What an item at these places (0 is the first) counts."""
        worth = 1.0 / np.log2(places + 2.0) if self.discounted else np.ones(places.size)
        return np.where(places < self.k, worth, 0.0)


def _worth(kind: str, k: int) -> _Worth:
    return _Worth(kind == "ndcg", k)


def _gained(gain: Floats, score: Floats, list_of: Rows, sizes: Rows, worth: _Worth) -> Floats:
    """The sum, in each list, of gain times what the item's place is worth; equal scores share their places."""
    order = np.lexsort((-score, list_of))
    lists, scores = list_of[order], score[order]
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    value = worth.of(np.arange(lists.size) - starts[lists])
    new = np.ones(lists.size, dtype=bool)
    new[1:] = (lists[1:] != lists[:-1]) | (scores[1:] != scores[:-1])
    tie = np.cumsum(new) - 1
    shared = np.bincount(tie, weights=value) / np.bincount(tie)
    return np.bincount(lists, weights=gain[order] * shared[tie], minlength=sizes.size).astype(np.float64)
