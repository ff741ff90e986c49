"""The online store in a database of PostgreSQL, for teams whose gateways run on several machines.

The driver, psycopg, is imported with this module, and this module only where an address names PostgreSQL. No message holds a password.
"""

from __future__ import annotations

import selectors
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg.waiting import Ready

from flyball.store.online import TIMEOUT_S, Part
from flyball.store.online_sql import READ, SqlOnline, Work
from flyball.store.postgres import Postgres

BUSY_S = 10.0
"""How long a writer waits for another one, or for the server."""

MAKING = 4_873_110_925_602
"""The advisory lock under which the tables are made."""

_TABLES = (
    'CREATE TABLE IF NOT EXISTS online_view (name VARCHAR COLLATE "C" PRIMARY KEY, live BIGINT NOT NULL)',
    (
        "CREATE TABLE IF NOT EXISTS online_generation"
        " (number BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, view VARCHAR NOT NULL, cursor BYTEA NOT NULL)"
    ),
    (
        "CREATE TABLE IF NOT EXISTS online_value (generation BIGINT, entity BYTEA, part BIGINT, body BYTEA NOT NULL,"
        " PRIMARY KEY (generation, entity, part))"
    ),
)
_WRITE = """INSERT INTO online_value (generation, entity, part, body)
SELECT %s, * FROM unnest(%s::bytea[], %s::bigint[], %s::bytea[])
ON CONFLICT (generation, entity, part) DO UPDATE SET body = excluded.body"""
_FIND = """SELECT x.entity, x.part, x.body FROM unnest(%s::bytea[], %s::bigint[]) k (entity, part)
JOIN online_value x ON x.generation = %s AND x.entity = k.entity AND x.part = k.part"""


class _Connection(psycopg.Connection[tuple[Any, ...]]):
    """A connection that waits for its server no longer than `patience_s`: one that is frozen is as good as gone."""

    patience_s = TIMEOUT_S

    def wait(self, gen: Any, *_: Any, **__: Any) -> Any:
        """Drive one operation to its end. Raises psycopg.OperationalError when the server takes too long; the connection is closed then."""
        until = time.monotonic() + self.patience_s
        try:
            asked = next(gen)
            with selectors.DefaultSelector() as selector:
                while True:
                    key = selector.register(self.pgconn.socket, int(asked))
                    ready = selector.select(until - time.monotonic())
                    if not ready:
                        self.pgconn.finish()
                        raise psycopg.OperationalError(f"timeout: no answer within {self.patience_s:.0f} s")
                    selector.unregister(key.fileobj)
                    asked = gen.send(Ready(ready[0][1]))
        except StopIteration as ended:
            return ended.value


class _Work(Work):
    def __init__(self, connection: _Connection) -> None:
        self._connection = connection

    def run(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        return _rows(self._connection, sql, parameters)

    def write(self, number: int, parts: Sequence[Part]) -> None:
        # the last of those under one key stands: one statement may write a row once
        single = {part[:2]: part[2] for part in parts}
        columns = ([key[0] for key in single], [key[1] for key in single], list(single.values()))
        self._connection.execute(_WRITE.encode(), (number, *columns))

    def find(self, number: int, keys: Sequence[tuple[bytes, int]]) -> list[tuple[bytes, int, bytes]]:
        columns = ([entity for entity, _ in dict.fromkeys(keys)], [part for _, part in dict.fromkeys(keys)])
        return self._connection.execute(_FIND.encode(), (*columns, number)).fetchall()


class PostgresOnline(SqlOnline):
    """The store at an address such as `postgresql://user:password@host/name`. Raises BadInput for such an address that cannot be read."""

    def __init__(self, url: str) -> None:
        self._server = Postgres(url)
        self.name = self._server.name
        self._connection: _Connection | None = None

    def close(self) -> None:
        """Close the connection; the next statement opens another."""
        if self._connection is not None:
            self._connection.close()
        self._connection = None

    def _query(self, sql: str, parameters: Sequence[Any]) -> list[tuple[Any, ...]]:
        # a connection that broke while nobody used it is made anew, once
        for fresh in (False, True):
            kept = self._connection is not None
            try:
                return _rows(self._opened(), sql, parameters)
            except psycopg.Error as error:
                broken = self._connection is None or self._connection.closed
                self.close()
                if fresh or not kept or not broken or "timeout" in str(error):
                    raise self._server.explain(error) from error
        raise AssertionError("the second round returns or raises")

    def _several(self, view: str, entities: Sequence[bytes]) -> list[tuple[Any, ...]]:
        return self._query(f"{READ}= ANY(?::bytea[]) ORDER BY x.entity, x.part", (view, list(entities)))

    @contextmanager
    def _writing(self) -> Iterator[Work]:
        try:
            # a read finds out whether the connection still stands
            self._query("SELECT 1", ())
            connection = self._opened()
            connection.patience_s = 3 * BUSY_S
            try:
                connection.execute(f"BEGIN; SET LOCAL lock_timeout = {BUSY_S * 1000:.0f}".encode())
                # one writer at a time, as in SQLite: a generation that is begun and one that is collected cannot cross
                connection.execute(f"SELECT pg_advisory_xact_lock({MAKING})".encode())
                yield _Work(connection)
                connection.execute(b"COMMIT")
            finally:
                connection.patience_s = TIMEOUT_S
                if not connection.closed and connection.info.transaction_status != psycopg.pq.TransactionStatus.IDLE:
                    connection.execute(b"ROLLBACK")
        except psycopg.Error as error:
            self.close()
            raise self._server.explain(error) from error

    def _opened(self) -> _Connection:
        if self._connection is None:
            settings = {**self._server.parameters, "connect_timeout": 2}
            connection = _Connection.connect(**settings, autocommit=True)
            try:
                made = connection.execute(b"SELECT to_regclass('online_value')").fetchone()
                if made is None or made[0] is None:
                    with connection.transaction():
                        connection.execute(f"SELECT pg_advisory_xact_lock({MAKING})".encode())
                        for statement in _TABLES:
                            connection.execute(statement.encode())
            except psycopg.Error:
                connection.close()
                raise
            self._connection = connection
        return self._connection


def _rows(connection: _Connection, sql: str, parameters: Sequence[Any]) -> list[tuple[Any, ...]]:
    cursor = connection.execute(sql.replace("?", "%s").encode(), parameters, binary=True)
    return cursor.fetchall() if cursor.description else []
