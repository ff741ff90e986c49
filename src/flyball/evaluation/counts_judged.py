"""Which rows were judged not long ago, so that a label that comes too late is told from one of a row that nobody knows. Sixteen bytes a row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from flyball.clock import Instant, Span
from flyball.evaluation.counts_index import in_order

DAY = 86_400_000_000
MOST = 2_000_000
"""So many rows are kept, the newest ones."""

Hashes = NDArray[np.uint64]
Integers = NDArray[np.int64]
Flags = NDArray[np.bool_]


def remembered(delay: Span) -> int:
    """For how long (µs) after it was judged a row is known: the label delay once more, a day at least."""
    return max(int(delay), DAY)


class Run(NamedTuple):
    """Rows in order of their hashes, shapes (n,): when each was asked about (µs), and whether a label of its was counted."""

    hashes: Hashes
    asked: Integers
    labelled: Flags

    def taken(self, rows: Integers) -> Run:
        """These rows alone, in this order."""
        return Run(self.hashes[rows], self.asked[rows], self.labelled[rows])


class Judged:
    """Rows by the hash of their id, in sorted runs that double in size: what comes in small parts is found in few steps.

    A row that is judged under two versions is known once for each; the hash is of 64 bits, so that of a million rows none is likely taken for another.
    """

    def __init__(self) -> None:
        self._runs: list[Run] = []

    def __len__(self) -> int:
        return sum(run.hashes.size for run in self._runs)

    def add(self, hashes: Hashes, asked: Integers, with_label: Flags, delay: Span, until: Instant) -> None:
        """Rows were judged; `with_label`: a label of theirs was counted by then. Those that are remembered no longer are forgotten."""
        if not hashes.size:
            return
        run = Run(hashes, asked.astype(np.int64), with_label).taken(in_order(hashes))
        oldest = until - int(delay) - remembered(delay)
        self._runs = [one for one in self._runs if int(one.asked.max()) >= oldest]
        while self._runs and self._runs[-1].hashes.size <= run.hashes.size:
            run = _merged([self._runs.pop(), run], oldest)
        if run.hashes.size:
            self._runs.append(run)
        if len(self) > MOST:
            # half of them go at once, so that this is done seldom
            asked = np.concatenate([one.asked for one in self._runs])
            self._runs = [_merged(self._runs, int(np.partition(asked, asked.size - MOST // 2)[asked.size - MOST // 2]))]

    def find(self, hashes: Hashes, came: Integers, delay: Span) -> tuple[Integers, Flags]:
        """When each label's row was asked about, −1 for one that is not known or was not judged when the label `came` (µs), and whether the label
        is its row's first.
        """
        asked = np.full(hashes.size, -1, dtype=np.int64)
        first = np.zeros(hashes.size, dtype=np.bool_)
        if not self._runs:
            return asked, first
        newest, oldest = came - int(delay), came - int(delay) - remembered(delay)
        for known, at, with_label in self._runs:
            place = np.searchsorted(known, hashes)
            place[place == known.size] = 0
            hit = (known[place] == hashes) & (at[place] < newest) & (at[place] >= oldest) & (asked < 0)
            asked[hit] = at[place[hit]]
            fresh = np.flatnonzero(hit)[~with_label[place[hit]]]
            # of several labels in one call the earliest is the first
            _, earliest = np.unique(place[fresh], return_index=True)
            first[fresh[earliest]] = True
            with_label[place[fresh]] = True
        return asked, first


def _merged(runs: Sequence[Run], oldest: Instant) -> Run:
    """One run of all rows that were asked since `oldest`."""
    whole = Run(
        np.concatenate([run.hashes for run in runs]),
        np.concatenate([run.asked for run in runs]),
        np.concatenate([run.labelled for run in runs]),
    )
    order = np.argsort(whole.hashes, kind="stable")
    return whole.taken(order[whole.asked[order] >= oldest])
