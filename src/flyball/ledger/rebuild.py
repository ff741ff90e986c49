"""Projections made again from nothing but the events."""

from __future__ import annotations

from flyball.errors import Corrupt
from flyball.ledger.canonical import canonical, read_body
from flyball.ledger.folds import CommandRuns, Folds, fold_stage
from flyball.ledger.projection import MemoryProjection
from flyball.records.commands import COMMANDS, CommandRow
from flyball.records.vocabulary import PROJECTIONS
from flyball.store.sql import Connection
from flyball.store.statements import Statements

_BATCH = 1000


def rebuild(connection: Connection, sql: Statements, folds: Folds) -> int:
    """Replace the rows of every projection by the fold of all events, inside the caller's write transaction.

    Returns the number of events. Memory grows with the state, not with the events or commands. Raises Corrupt at an event that cannot be
    read, and where a command's events do not follow each other; BadInput at an event without a fold.
    """
    projection, count = MemoryProjection(), 0
    runs, commands = CommandRuns(), _Commands(connection, sql)
    for seq, body in connection.stream(sql.all_events, ()):
        recorded = read_body(seq, body)
        fold_stage(folds, projection, recorded)
        commands.add(runs.add(recorded))
        count += 1
    commands.add(runs.end())
    commands.flush()
    for table in PROJECTIONS:
        if table is not COMMANDS:
            connection.execute(sql.rows[table.name].clear, ())
            connection.executemany(sql.rows[table.name].add, ((key, canonical(row)) for key, row in projection.rows(table.name)))
    return count


class _Commands:
    """Writes the list of commands in pieces."""

    def __init__(self, connection: Connection, sql: Statements) -> None:
        self._connection = connection
        self._rows = sql.rows[COMMANDS.name]
        self._waiting: dict[str, bytes] = {}
        connection.execute(self._rows.clear, ())

    def add(self, ended: tuple[str, CommandRow] | None) -> None:
        if ended is None:
            return
        if ended[0] in self._waiting:
            raise Corrupt(
                f"the events of command {ended[0]} do not follow each other",
                why="a command is carried out once, in one transaction",
                fix="flyball audit verify says what was changed; restore from a backup",
            )
        self._waiting[ended[0]] = canonical(ended[1])
        if len(self._waiting) >= _BATCH:
            self.flush()

    def flush(self) -> None:
        self._connection.executemany(self._rows.add, list(self._waiting.items()))
        self._waiting.clear()
