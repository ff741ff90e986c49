"""Where the rows of projections are not the fold of the events: `verify` names each place, `rebuild` puts it right.

Rows are compared in the order of their keys, as they are read, so that neither side is ever held as a whole. The list of commands is as long
as the ledger: it is compared as the events go by, with no memory of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from flyball.errors import Corrupt
from flyball.ledger.canonical import canonical, read_body, stored_bytes
from flyball.ledger.folds import CommandRuns
from flyball.ledger.projection import read_row
from flyball.records.base import Record, Recorded
from flyball.records.commands import COMMANDS, CommandRow
from flyball.store.sql import Connection
from flyball.store.statements import Statements

_WINDOW = 1000
"""Rows that are read ahead of the events that explain them."""


class Difference(NamedTuple):
    """A row that is not what the events make of it. `wanted`: what it should be (None: no row); `there`: whether any row is."""

    table: str
    key: Any
    wanted: Record | None
    there: bool


def differences(connection: Connection, sql: Statements, table: str, wanted: Iterator[tuple[str, Record]]) -> Iterator[Difference]:
    """The rows of a table against those that the events make, which come in the order of their keys.

    A row that was yielded may be changed or removed before the next one is asked for.
    """
    stored = iter(connection.stream(sql.rows[table].everything, ()))
    found, want = next(stored, None), next(wanted, None)
    while found is not None or want is not None:
        if want is None or (found is not None and str(found[0]) < want[0]):
            assert found is not None
            yield Difference(table, found[0], None, there=True)
            found = next(stored, None)
        elif found is None or want[0] < str(found[0]):
            yield Difference(table, want[0], want[1], there=False)
            want = next(wanted, None)
        else:
            if found[1] != canonical(want[1]):
                yield Difference(table, want[0], want[1], there=True)
            found, want = next(stored, None), next(wanted, None)


class CommandDifferences:
    """The same for the list of commands: fed with every event in order."""

    def __init__(self, connection: Connection, sql: Statements, differs: Callable[[Difference], None]) -> None:
        self._connection = connection
        self._sql = sql
        self._rows = sql.rows[COMMANDS.name]
        self._differs = differs
        self._runs = CommandRuns()
        self._there = 0
        self._missing = 0
        self._stored: Iterator[tuple[Any, Any]] = connection.stream(self._rows.everything, ())
        self._window: dict[Any, Any] = {}
        self._read_all = False

    def add(self, recorded: Recorded) -> None:
        """The next event."""
        ended = self._runs.add(recorded)
        if ended is not None:
            self._compare(*ended)

    def end(self) -> None:
        """After the last event."""
        ended = self._runs.end()
        if ended is not None:
            self._compare(*ended)

    def extra(self, *, mended: bool) -> None:
        """After `end`: rows that no event explains. `mended`: whether what was said to be missing is there by now."""
        expected = self._there + (self._missing if mended else 0)
        if self._connection.execute(self._rows.count, ()).fetchone()[0] == expected:
            return
        for key, _ in self._connection.stream(self._rows.everything, ()):
            if not self._explained(key):
                self._differs(Difference(COMMANDS.name, key, None, there=True))

    def _compare(self, key: str, wanted: CommandRow) -> None:
        body = self._body(key)
        if body is None:
            self._missing += 1
            self._differs(Difference(COMMANDS.name, key, wanted, there=False))
            return
        self._there += 1
        if body != canonical(wanted):
            self._differs(Difference(COMMANDS.name, key, wanted, there=True))

    def _body(self, key: str) -> Any:
        """The stored row. Most ids sort by time, so that it is among the next ones of the table; others are looked up."""
        if key in self._window:
            return self._window.pop(key)
        while not self._read_all and len(self._window) < _WINDOW:
            row = next(self._stored, None)
            if row is None:
                self._read_all = True
            elif row[0] == key:
                return row[1]
            else:
                self._window[row[0]] = row[1]
        if self._read_all:
            return None
        found = self._connection.execute(self._rows.get, (key,)).fetchone()
        return None if found is None else found[0]

    def _explained(self, key: object) -> bool:
        """Whether the row's first event is of that command. A row that cannot be read was told of already."""
        row = self._connection.execute(self._rows.get, (key,)).fetchone() if isinstance(key, str) else None
        if row is None or not isinstance(key, str):
            return False
        try:
            first = read_row(COMMANDS, key, row[0]).first
            body = self._connection.execute(self._sql.event, (first,)).fetchone()
            return body is not None and read_body(first, stored_bytes(body[0])).command == key
        except Corrupt:
            return False
