"""What the online side may have taken up by the time at which a row was served, besides what its worker knew of.

The online side goes on by itself: a worker hears of it within a second, and tells it with its next request, which may be long after. Reads, and
decides nothing.
"""

from __future__ import annotations

from flyball.clock import FARTHEST, Instant
from flyball.data.erasures import Erasures
from flyball.data.rules import is_pushed
from flyball.data.sources.pushed import through
from flyball.declare.data import Dataset
from flyball.features.skew import State as Taken
from flyball.loop.watch import SETTLE
from flyball.records.base import State
from flyball.records.data import DATA_COMMITS, DATASET_VERSIONS, DATASETS
from flyball.serving.vectors import TakenUp

MOST = 12
"""Of what may have been served from more than so many states nothing is told: each would be computed again."""


class TakenUpBy:
    """What may have been taken up of one data set."""

    def __init__(self, state: State, data: Dataset, erasures: Erasures, sent: int) -> None:
        """sent: the number of the last row that was ever pushed to the data set."""
        self._state, self._data, self._sent = state, data, sent
        commits = sorted((row.at, key.partition("/")[2]) for key, row in state.scan(DATA_COMMITS, f"{data.name}/"))
        self._commits = [(at, erasures.present(content)) for at, content in commits]
        self._at = {content: at for at, content in (*commits, *self._commits)}
        row = state.get(DATASETS, data.name)
        head = row.head if row is not None else None
        self._newest = erasures.present(head.content) if head is not None else ""
        self._through = through(head, data)

    def states(self, at: Instant, found: TakenUp, after: TakenUp | None) -> tuple[Taken, ...]:
        """All that a row may have been served from that was asked for at `at`, when its worker knew of `found` and then of `after` (None: it never told).

        None of them: there may have been others, of which nobody can say what they were.
        """
        known = [Taken(one.content, one.as_of, one.pushed) for one in (found, after) if one is not None]
        pushed = self._pushed(found) if after is None and is_pushed(self._data) else []
        if pushed is None:
            return ()
        told = tuple(dict.fromkeys((*known, *self._between(at + int(SETTLE), found, after), *pushed)))
        return told if len(told) <= MOST else ()

    def _between(self, end: Instant, found: TakenUp, after: TakenUp | None) -> list[Taken]:
        """Every version that was committed after the one found, not after the one that the worker knew next, and by `end`."""
        first = self._at.get(found.content, -FARTHEST)
        if first > end:
            # it came back since, and when it was committed before is not kept: all that there was may lie behind it
            first = -FARTHEST
        last = end if after is None else min(end, self._at.get(after.content, end))
        return [Taken(content) for at, content in self._commits if first < at <= last]

    def _pushed(self, found: TakenUp) -> list[Taken] | None:
        """What came of rows that were pushed since, nobody keeps when; None where no version holds them yet."""
        row = self._state.get(DATASET_VERSIONS, f"{self._data.name}/{found.content}")
        if self._sent <= max(found.pushed, through(row, self._data)):
            return []
        return [Taken(self._newest)] if self._sent <= self._through else None
