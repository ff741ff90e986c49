"""Whether the list of commands carried out is what the events say: compared row by row as the events go by, with no memory of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from flyball.errors import Corrupt
from flyball.ledger.canonical import canonical, read_body, stored_bytes
from flyball.ledger.folds import CommandRuns
from flyball.ledger.projection import read_row
from flyball.ledger.treecheck import VerifyProblem
from flyball.records.base import Recorded
from flyball.records.commands import COMMANDS, CommandRow
from flyball.store.sql import Connection
from flyball.store.statements import Statements

_WINDOW = 1000
"""Rows that are read ahead of the events that explain them."""


class CommandCheck:
    """Fed with every event in order; tells problems as it finds them."""

    def __init__(self, connection: Connection, sql: Statements, tell: Callable[[VerifyProblem], None]) -> None:
        self._connection = connection
        self._sql = sql
        self._rows = sql.rows[COMMANDS.name]
        self._tell = tell
        self._runs = CommandRuns()
        self._found = 0
        self._stored: Iterator[tuple[Any, Any]] = connection.stream(self._rows.everything, ())
        self._window: dict[Any, Any] = {}

    def add(self, recorded: Recorded) -> None:
        """The next event."""
        self._compare(self._runs.add(recorded))

    def finish(self) -> None:
        """After the last event: rows that no event explains."""
        self._compare(self._runs.end())
        if self._connection.execute(self._rows.count, ()).fetchone()[0] == self._found:
            return
        for key, _ in self._connection.stream(self._rows.everything, ()):
            if not self._explained(key):
                self._problem("is there, and no event explains it", str(key), None)

    def _compare(self, ended: tuple[str, CommandRow] | None) -> None:
        if ended is None:
            return
        key, wanted = ended
        body = self._body(key)
        if body is None:
            self._problem("is missing", key, wanted.last)
            return
        self._found += 1
        if body != canonical(wanted):
            self._problem("is not what its events make of it", key, wanted.last)

    def _body(self, key: str) -> Any:
        """The stored row. Most ids sort by time, so that it is among the next ones of the table; others are looked up."""
        if key in self._window:
            return self._window.pop(key)
        while len(self._window) < _WINDOW and (row := next(self._stored, None)) is not None:
            if row[0] == key:
                return row[1]
            self._window[row[0]] = row[1]
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

    def _problem(self, what: str, key: str, event: int | None) -> None:
        self._tell(VerifyProblem(what=f"row {key} of {COMMANDS.name} {what}", where=f"{COMMANDS.name} {key}", event=event))
