"""Projections made again from nothing but the events."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flyball.errors import Corrupt
from flyball.ledger import merkle
from flyball.ledger.canonical import canonical, read_body, stored_bytes
from flyball.ledger.differences import CommandDifferences, Difference, differences
from flyball.ledger.folds import Folds, fold_stage
from flyball.ledger.projection import MemoryProjection
from flyball.records.commands import COMMANDS
from flyball.records.vocabulary import PROJECTIONS
from flyball.store.sql import Connection
from flyball.store.statements import RowStatements, Statements

_BATCH = 1000


def rebuild(connection: Connection, sql: Statements, folds: Folds, size: int, frontier: Sequence[bytes]) -> int:
    """Make the rows of every projection the fold of all events, inside the caller's write transaction. A row that is so already is not written.

    size, frontier: of the tree, as in `merkle`. Returns the number of events. Memory grows with the state, not with the events or commands.
    Raises Corrupt at an event that cannot be read, and where the events are not those of the tree; BadInput at an event without a fold.
    """
    projection, hashes, count = MemoryProjection(), list[bytes](), 0
    commands = _Mending(connection, sql.rows[COMMANDS.name])
    found = CommandDifferences(connection, sql, commands.mend)
    for seq, stored in connection.stream(sql.all_events, ()):
        body = stored_bytes(stored)
        recorded = read_body(seq, body)
        merkle.append(count, hashes, merkle.leaf_hash(body))
        fold_stage(folds, projection, recorded)
        found.add(recorded)
        count += 1
    if (count, hashes) != (size, list(frontier)):
        raise Corrupt(
            "the events are not those of which the tree is made, so that no projection is made of them",
            why="an event was changed, added or removed, or the tree was",
            fix="flyball audit verify names what was changed; restore from a backup",
        )
    found.end()
    commands.write()
    found.extra(mended=True)
    commands.write()
    for table in PROJECTIONS:
        if table is not COMMANDS:
            rows = _Mending(connection, sql.rows[table.name])
            for each in differences(connection, sql, table.name, projection.rows(table.name)):
                rows.mend(each)
            rows.write()
    return count


class _Mending:
    """Writes what differs in one table, in pieces."""

    def __init__(self, connection: Connection, rows: RowStatements) -> None:
        self._connection = connection
        self._rows = rows
        self._put: dict[Any, bytes] = {}
        self._extra: list[tuple[Any]] = []

    def mend(self, each: Difference) -> None:
        if each.wanted is None:
            self._extra.append((each.key,))
        else:
            self._put[each.key] = canonical(each.wanted)
        if len(self._put) + len(self._extra) >= _BATCH:
            self.write()

    def write(self) -> None:
        if self._put:
            self._connection.executemany(self._rows.put, list(self._put.items()))
        if self._extra:
            self._connection.executemany(self._rows.delete, self._extra)
        self._put, self._extra = {}, []
