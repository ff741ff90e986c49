"""The routes reconciler where nothing is up: what is written now is what the next `flyball up` begins with.

No gateway goes on by an older table, so a decision is in force once it is on the disk. It never brings in a version that the table had no place
for: that such a version can be loaded and answers its golden rows, only a worker can show.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from flyball.clock import Instant
from flyball.errors import Conflict
from flyball.records.serving import RouteTable
from flyball.serving.proofs import Proofs, unproven
from flyball.serving.routes import FileRoutes, InForce, arms
from flyball.serving.supervisor import take_lock
from flyball.serving.table import Ack


class RestingRoutes(FileRoutes):
    """For a pass of the loop in a process of its own. Where somebody is up after all, it leaves the routes to them."""

    _rests = False

    def desire(self, table: RouteTable, since: Instant, proofs: Proofs = unproven) -> None:
        """Write `table`, as far as it routes to versions that were routed to before. Raises Unavailable when the disk refuses, Refused."""
        try:
            # an `up` that begins now waits for these milliseconds, and reads what was written
            lock = take_lock(self._layout.lock, wait_s=0)
        except Conflict:
            self._rests = False
            return
        self._rests = True
        try:
            super().desire(table, since, proofs)
            self._leaving.clear()
        finally:
            os.close(lock)

    def status(self) -> InForce:
        """What the next `up` begins with; of no epoch where somebody is up."""
        return super().status() if self._rests else InForce()

    def _look(self, needed: Mapping[str, tuple[str, str]]) -> dict[str, bool]:
        """Whoever is in the table came there when their workers were ready."""
        there = arms(self._file.table)
        return {name: name in there for name in needed}

    def _gateways(self) -> dict[str, int]:
        """None: what a file says of gateways is of an `up` that ended."""
        return {}

    def _acked(self) -> Sequence[Ack]:
        """None is waited for."""
        return ()
