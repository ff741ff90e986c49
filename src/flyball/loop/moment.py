"""The ledger as one model's turn sees it: read once, until something is recorded.

A turn asks for the same few rows a dozen times, and nearly always nothing is due. Every decision is made again on the state inside its own transaction,
so that what others record meanwhile is seen there, and by the next turn. What such a decision takes as a fact, such as that nobody has frozen the
model, is looked up `anew` before.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

from flyball.loop.ports import CommandT, Decide, Ledger, Ports
from flyball.records.base import Receipt, Recorded, RowT, State, Table


class Seen:
    """A state whose rows are read once each: it does not change, and neither do they."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._rows: dict[tuple[str, str], Any] = {}
        self._scans: dict[tuple[str, str], list[tuple[str, Any]]] = {}

    def get(self, table: Table[RowT], key: str) -> RowT | None:
        """The row under `key`, or None."""
        place = (table.name, key)
        if place not in self._rows:
            self._rows[place] = self._state.get(table, key)
        return cast("RowT | None", self._rows[place])

    def scan(self, table: Table[RowT], prefix: str = "") -> list[tuple[str, RowT]]:
        """Every (key, row) whose key starts with `prefix`, in key order."""
        place = (table.name, prefix)
        if place not in self._scans:
            self._scans[place] = self._state.scan(table, prefix)
        return list(self._scans[place])


class OneMoment:
    """A ledger whose state is that of one moment until something is recorded through it."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._seen: Seen | None = None

    def execute(self, command: CommandT, decide: Decide[CommandT]) -> Receipt:
        """Decide inside the write transaction, and look anew from then on."""
        try:
            return self._ledger.execute(command, decide)
        finally:
            self._seen = None

    def read(self, after: int, limit: int) -> Iterator[Recorded]:
        """Events in order, from the one after `after`."""
        return self._ledger.read(after, limit)

    def state(self) -> State:
        """A snapshot of the projections, no older than the last that was recorded through this."""
        if self._seen is None:
            self._seen = Seen(self._ledger.state())
        return self._seen

    def size(self) -> int:
        """How many events there are."""
        return self._ledger.size()

    def forget(self) -> None:
        """Look anew from now on, although nothing was recorded."""
        self._seen = None


def anew(ports: Ports) -> State:
    """A snapshot as it is now, whatever this turn has seen before."""
    if isinstance(ports.ledger, OneMoment):
        ports.ledger.forget()
    return ports.ledger.state()
