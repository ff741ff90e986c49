"""The state as it would be after some events: lets one decision look at the outcome of its own first half."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from flyball.clock import Instant
from flyball.records.base import Event, Fold, Recorded, RowT, State, Table


class Overlay:
    """A projection over a state that is never written."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._rows: dict[tuple[str, str], Any] = {}

    def get(self, table: Table[RowT], key: str) -> RowT | None:
        """The row, as changed here or as it stands below."""
        if (table.name, key) in self._rows:
            return cast("RowT | None", self._rows[table.name, key])
        return self._state.get(table, key)

    def scan(self, table: Table[RowT], prefix: str = "") -> list[tuple[str, RowT]]:
        """Every row whose key starts with `prefix`, changes included."""
        rows = dict(self._state.scan(table, prefix))
        for (name, key), row in self._rows.items():
            if name == table.name and key.startswith(prefix):
                rows.pop(key, None)
                if row is not None:
                    rows[key] = row
        return sorted(rows.items())

    def put(self, table: Table[RowT], key: str, row: RowT) -> None:
        """Change a row here."""
        self._rows[table.name, key] = row

    def delete(self, table: Table[RowT], key: str) -> None:
        """Remove a row here."""
        self._rows[table.name, key] = None


def after(state: State, events: Sequence[Event], folds: Mapping[type[Event], Fold], now: Instant) -> Overlay:
    """The state after `events`."""
    overlay = Overlay(state)
    for event in events:
        folds[type(event)](overlay, Recorded(seq=0, at=now, actor="", command="", event=event))
    return overlay
