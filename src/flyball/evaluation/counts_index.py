"""Which label is of which request: sorted runs of hashes that double in size, so that many are looked up in one step, and each takes sixteen bytes.

Ids are known by a hash of 64 bits: of a million that wait, one more is taken for another of them in one case of 10¹³.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Hashes = NDArray[np.uint64]
Integers = NDArray[np.int64]
_MANY = 512
"""From so many on it pays to look them up in order."""


def in_order(hashes: Hashes) -> Integers:
    """The places of hashes (n,) in ascending order, of equal ones the first one first."""
    # a sort that keeps the order of equals takes several times as long, and there are hardly any
    order = np.argsort(hashes)
    told = hashes[order]
    return np.argsort(hashes, kind="stable") if bool((told[1:] == told[:-1]).any()) else order


class _Run(NamedTuple):
    hashes: Hashes
    places: Integers


class Index:
    """Places by hash; of a hash that was put in twice the newest."""

    def __init__(self) -> None:
        self._runs: list[_Run] = []

    def add(self, hashes: Hashes, places: Integers, oldest: int) -> None:
        """Put in hashes (n,), each once, with their places; of those before, places below `oldest` are forgotten in time."""
        if not hashes.size:
            return
        order = in_order(hashes)
        run = _Run(hashes[order], places[order])
        while self._runs and self._runs[-1].hashes.size <= run.hashes.size:
            run = _merged([self._runs.pop(), run], oldest)
        self._runs.append(run)

    def find(self, hashes: Hashes) -> Integers:
        """The newest place of each hash (n,), −1 for none."""
        found = np.full(hashes.size, -1, dtype=np.int64)
        if not self._runs:
            return found
        order = np.argsort(hashes) if hashes.size >= _MANY else None
        asked = hashes if order is None else hashes[order]
        for run in self._runs:
            at = np.searchsorted(run.hashes, asked)
            at[at == run.hashes.size] = 0
            # runs are in order of age: what a later one says is newer
            np.copyto(found, run.places[at], where=run.hashes[at] == asked)
        if order is None:
            return found
        told = np.empty_like(found)
        told[order] = found
        return told


def _merged(runs: Sequence[_Run], oldest: int) -> _Run:
    hashes, places = np.concatenate([run.hashes for run in runs]), np.concatenate([run.places for run in runs])
    order = np.argsort(hashes, kind="stable")
    hashes, places = hashes[order], places[order]
    kept = places >= oldest
    # of equal ones the last is the newest
    kept[:-1] &= hashes[:-1] != hashes[1:]
    return _Run(hashes[kept], places[kept])
