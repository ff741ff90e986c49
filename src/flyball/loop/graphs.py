"""Lineage graphs that a process keeps, so that a question walks what is there instead of making it again.

A graph says what the projections of so many events say: of as many it is the same, of more it is made anew. What a question adds to it, it adds to a
layer of its own.
"""

from __future__ import annotations

import threading
from collections import ChainMap
from collections.abc import Callable
from typing import Protocol

from flyball.ledger.lineage import Graph
from flyball.loop.lineage import Project, project
from flyball.loop.ports import Library
from flyball.records.base import State

MOST = 2
"""Graphs that are kept: each is some tens of megabytes in a large project."""


class Snapshot(State, Protocol):
    """The projections of one moment."""

    @property
    def size(self) -> int:
        """The number of events that these projections are the fold of."""
        ...


class Graphs:
    """The graphs that were asked for last, for any number of threads."""

    def __init__(self, library: Library) -> None:
        self._library = library
        self._lock = threading.Lock()
        self._kept: dict[tuple[str, ...], tuple[int, Project]] = {}

    def project(self, state: Snapshot, scope: tuple[str, ...], covers: Callable[[str], bool] | None) -> Project:
        """As `lineage.project`, to add to. `scope` tells what `covers` covers from what others cover."""
        # who comes while one is made waits for it: two at once would take twice as long, each
        with self._lock:
            size, made = self._kept.pop(scope, (-1, None))
            if made is None or size != state.size:
                made = project(state, self._library, covers)
            if not made.unread:
                # what could not be read just now may be read the next time
                self._kept[scope] = state.size, made
                while len(self._kept) > MOST:
                    del self._kept[next(iter(self._kept))]
        return over(made)


def over(made: Project) -> Project:
    """A project with all that is in this one; what is added to it is not added to this one."""
    return Project(
        graph=Graph(over=made.graph),
        facts=ChainMap({}, made.facts),
        models=ChainMap({}, made.models),
        rows=made.rows,
        runs=made.runs,
        views=ChainMap({}, made.views),
        unread=dict(made.unread),
        over=made.over,
        contents=made.contents,
        known=ChainMap({}, made.known),
    )
