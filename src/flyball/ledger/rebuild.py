"""Projections made again from nothing but the events."""

from __future__ import annotations

from flyball.ledger.canonical import canonical, read_body
from flyball.ledger.folds import Folds, fold
from flyball.ledger.projection import MemoryProjection
from flyball.records.vocabulary import PROJECTIONS
from flyball.store.sql import Connection
from flyball.store.statements import Statements


def rebuild(connection: Connection, sql: Statements, folds: Folds) -> int:
    """Replace the rows of every projection by the fold of all events, inside the caller's write transaction.

    Returns the number of events. Memory grows with the rows, not with the events. Raises Corrupt at an event that cannot be
    read, BadInput at one without a fold.
    """
    projection, count = MemoryProjection(), 0
    for seq, body in connection.stream(sql.all_events, ()):
        fold(folds, projection, read_body(seq, body))
        count += 1
    for table in PROJECTIONS:
        connection.execute(sql.rows[table.name].clear, ())
        connection.executemany(sql.rows[table.name].add, ((key, canonical(row)) for key, row in projection.rows(table.name)))
    return count
