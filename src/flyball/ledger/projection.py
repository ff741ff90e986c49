"""The projections as folds and decisions see them: in a transaction, in a snapshot, or in memory."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, cast

import msgspec

from flyball.errors import BadInput, Corrupt
from flyball.ledger.canonical import canonical
from flyball.records.base import Record, RowT, Table
from flyball.records.codec import decode_hook
from flyball.records.vocabulary import PROJECTIONS
from flyball.store.sql import Connection, Reader
from flyball.store.statements import Statements

LAST = "\U0010ffff"
"""No key holds it, and every key sorts before it."""


def check_key(key: str) -> None:
    """Refuse, as BadInput, a key that not every database can hold: PostgreSQL's texts have no NUL, and half a surrogate pair is no text."""
    if "\0" in key or (not key.isascii() and any("\ud800" <= each <= "\udfff" for each in key)):
        raise BadInput(
            f"{ascii(key)[:200]} cannot be a name or an id",
            why="it holds a character that is in no text: NUL, or half of one",
            fix="leave it out",
        )


@lru_cache(maxsize=128)
def _decoder(row: type[Record]) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(row, dec_hook=decode_hook)


def read_row(table: Table[RowT], key: str, body: bytes) -> RowT:
    """Read one row. Raises Corrupt."""
    try:
        row: RowT = _decoder(table.row).decode(body)
    except (TypeError, ValueError, NotImplementedError) as error:
        raise Corrupt(
            f"row {key} of {table.name} cannot be read", why=str(error), fix="flyball audit rebuild makes it again from the events"
        ) from error
    return row


class SqlState:
    """Rows as one transaction sees them."""

    def __init__(self, connection: Connection, sql: Statements) -> None:
        self._connection = connection
        self._rows = sql.rows

    def get(self, table: Table[RowT], key: str) -> RowT | None:
        """The row under `key`, or None."""
        found = self._connection.execute(self._rows[table.name].get, (key,)).fetchone()
        return None if found is None else read_row(table, key, found[0])

    def scan(self, table: Table[RowT], prefix: str = "") -> list[tuple[str, RowT]]:
        """Every (key, row) whose key starts with `prefix`, in key order."""
        found = self._connection.execute(self._rows[table.name].scan, (prefix, prefix + LAST))
        return [(key, read_row(table, key, body)) for key, body in found.fetchall()]


class Snapshot(SqlState):
    """The projections of one moment. It ends with `close`, at the end of a `with`, or when it is forgotten.

    size: the number of events that these projections are the fold of.
    """

    def __init__(self, reader: Reader, sql: Statements) -> None:
        super().__init__(reader.connection, sql)
        self._reader = reader
        # the first read fixes the moment
        with reader.explained():
            self.size: int = reader.connection.execute(sql.head).fetchone()[0]

    def get(self, table: Table[RowT], key: str) -> RowT | None:
        """The row under `key`, or None. Raises Unavailable, Corrupt."""
        with self._reader.explained():
            return super().get(table, key)

    def scan(self, table: Table[RowT], prefix: str = "") -> list[tuple[str, RowT]]:
        """Every (key, row) whose key starts with `prefix`, in key order. Raises Unavailable, Corrupt."""
        with self._reader.explained():
            return super().scan(table, prefix)

    def last(self, table: Table[RowT], prefix: str, before: str, limit: int) -> list[tuple[str, RowT]]:
        """The last `limit` rows whose key starts with `prefix`, the last key first; only those before the key `before`, if one is named.

        Raises Unavailable, Corrupt.
        """
        return self._page(table, self._rows[table.name].last, (prefix, before or prefix + LAST, limit))

    def next(self, table: Table[RowT], prefix: str, after: str, limit: int) -> list[tuple[str, RowT]]:
        """The first `limit` rows whose key starts with `prefix` and comes after the key `after`, in key order. Raises Unavailable, Corrupt."""
        return self._page(table, self._rows[table.name].next, (after or prefix, prefix + LAST, limit))

    def _page(self, table: Table[RowT], statement: str, parameters: tuple[str, str, int]) -> list[tuple[str, RowT]]:
        with self._reader.explained():
            found = self._connection.execute(statement, parameters)
            return [(key, read_row(table, key, body)) for key, body in found.fetchall()]

    def close(self) -> None:
        """End the snapshot."""
        self._reader.close()

    def __enter__(self) -> Snapshot:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()


class SqlProjection(SqlState):
    """Rows as one write transaction reads and changes them: each is read once, and written once, at the end.

    No other writer is inside, so what was read stays true until `flush`.
    """

    def __init__(self, connection: Connection, sql: Statements) -> None:
        super().__init__(connection, sql)
        self._known: dict[tuple[str, str], Any] = {}
        self._changed: dict[tuple[str, str], Record | None] = {}

    def get(self, table: Table[RowT], key: str) -> RowT | None:
        """The row under `key` as this transaction left it, or None."""
        place = (table.name, key)
        if place not in self._known:
            self._known[place] = super().get(table, key)
        row: RowT | None = self._known[place]
        return row

    def scan(self, table: Table[RowT], prefix: str = "") -> list[tuple[str, RowT]]:
        """Every (key, row) whose key starts with `prefix`, in key order."""
        rows = dict(super().scan(table, prefix))
        for (name, key), row in self._changed.items():
            if name == table.name and key.startswith(prefix):
                rows.pop(key, None)
                if row is not None:
                    rows[key] = cast("RowT", row)
        return sorted(rows.items(), key=lambda item: item[0])

    def put(self, table: Table[RowT], key: str, row: RowT) -> None:
        """Write a row, whether or not the key is there. Raises BadInput for a key that not every database can hold."""
        check_key(key)
        self._known[table.name, key] = self._changed[table.name, key] = row

    def delete(self, table: Table[RowT], key: str) -> None:
        """Remove a row; no row is no error."""
        self._known[table.name, key] = self._changed[table.name, key] = None

    def flush(self) -> None:
        """Write what has changed. Raises BadInput for a row that is not canonical."""
        for (name, key), row in self._changed.items():
            if row is None:
                self._connection.execute(self._rows[name].delete, (key,))
            else:
                self._connection.execute(self._rows[name].put, (key, canonical(row)))
        self._changed.clear()


class MemoryProjection:
    """Rows in memory: for rebuilding, for verifying and for tests. `touched` is the last event that put or removed a row."""

    def __init__(self) -> None:
        self._tables: dict[str, dict[str, Any]] = {table.name: {} for table in PROJECTIONS}
        self._sorted: dict[str, list[str]] = {}
        self._touched: dict[tuple[str, str], int] | None = None
        self.seq = 0

    def track(self) -> None:
        """From now on remember, for every row, the event (`seq`) that last changed it."""
        self._touched = {}

    def touched(self, table: str, key: str) -> int | None:
        """The last event that changed the row, or None."""
        return None if self._touched is None else self._touched.get((table, key))

    def get(self, table: Table[RowT], key: str) -> RowT | None:
        """The row under `key`, or None."""
        row: RowT | None = self._tables[table.name].get(key)
        return row

    def scan(self, table: Table[RowT], prefix: str = "") -> list[tuple[str, RowT]]:
        """Every (key, row) whose key starts with `prefix`, in key order."""
        rows, keys = self._tables[table.name], self._keys(table.name)
        return [(key, rows[key]) for key in keys[bisect_left(keys, prefix) : bisect_left(keys, prefix + LAST)]]

    def put(self, table: Table[RowT], key: str, row: RowT) -> None:
        """Write a row, whether or not the key is there."""
        name = table.name
        rows = self._tables[name]
        if name in self._sorted and key not in rows:
            del self._sorted[name]
        rows[key] = row
        if self._touched is not None:
            self._touched[name, key] = self.seq

    def delete(self, table: Table[RowT], key: str) -> None:
        """Remove a row; no row is no error."""
        if self._tables[table.name].pop(key, None) is not None:
            self._sorted.pop(table.name, None)
        if self._touched is not None:
            self._touched[table.name, key] = self.seq

    def rows(self, table: str) -> Iterator[tuple[str, Record]]:
        """Every (key, row) of a table, in key order."""
        rows = self._tables[table]
        return ((key, rows[key]) for key in self._keys(table))

    def _keys(self, table: str) -> list[str]:
        if table not in self._sorted:
            self._sorted[table] = sorted(self._tables[table])
        return self._sorted[table]
