"""Projections, and the commands beside the events, made again from nothing but the events."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flyball.errors import Corrupt
from flyball.ledger import merkle
from flyball.ledger.canonical import canonical, read_body, stored_bytes
from flyball.ledger.differences import Difference, differences
from flyball.ledger.folds import Folds, fold
from flyball.ledger.projection import MemoryProjection
from flyball.records.vocabulary import PROJECTIONS
from flyball.store.sql import Connection
from flyball.store.statements import RowStatements, Statements

_BATCH = 1000


def rebuild(connection: Connection, sql: Statements, folds: Folds, size: int, frontier: Sequence[bytes]) -> int:
    """Make the rows of every projection the fold of all events, inside the caller's write transaction. A row that is so already is not written.

    The commands by which events are looked up are put right as well. size, frontier: of the tree, as in `merkle`. Returns the number of
    events. Memory grows with the state and with what is to be put right, not with the events.
    Raises Corrupt at an event that cannot be read, and where the events are not those of the tree; BadInput at an event without a fold.
    """
    projection, hashes, count = MemoryProjection(), list[bytes](), 0
    misplaced: list[tuple[str, int]] = []
    failed: Exception | None = None
    for seq, command, stored, _ in connection.stream(sql.all_events, ()):
        body = stored_bytes(stored)
        merkle.append(count, hashes, merkle.leaf_hash(body))
        count += 1
        if failed is not None:
            continue
        try:
            recorded = read_body(seq, body)
            fold(folds, projection, recorded)
        # a fold may fail in any way on an event that no decision made: whether somebody changed one is told first
        except Exception as error:  # noqa: BLE001
            failed = error
            continue
        if command != recorded.command:
            misplaced.append((recorded.command, seq))
    if (count, hashes) != (size, list(frontier)):
        raise Corrupt(
            "the events are not those of which the tree is made, so that no projection is made of them",
            why="an event was changed, added or removed, or the tree was",
            fix="flyball audit verify names what was changed; restore from a backup",
        )
    if failed is not None:
        raise failed
    if misplaced:
        connection.executemany(sql.set_command, misplaced)
    for table in PROJECTIONS:
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
