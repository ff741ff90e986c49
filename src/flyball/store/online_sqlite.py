"""The online store in a file of SQLite: the default. Readers see the last committed state and never wait for a writer."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from flyball.errors import Unavailable, kind_of
from flyball.store.online import TIMEOUT_S, Generation, Part
from flyball.store.online_sql import READ, SqlOnline, Work

FORM = 1
"""Of the tables. A file of another form is emptied: everything in it can be made again."""

BUSY_S = 10.0
"""How long a writer waits for another one."""

_MOST = 4096
"""Entities that one statement asks for."""

_PRAGMAS = (
    "journal_mode = WAL",
    "synchronous = NORMAL",
    # bytes that are deleted are overwritten: they may be of a person who was erased
    "secure_delete = ON",
    # a page that the system holds is read in place: workers of one machine share it, and a look-up makes no call for it
    f"mmap_size = {1 << 28}",
)
_TABLES = (
    "CREATE TABLE online_view (name TEXT PRIMARY KEY, live INTEGER NOT NULL) WITHOUT ROWID",
    "CREATE TABLE online_generation (number INTEGER PRIMARY KEY AUTOINCREMENT, view TEXT NOT NULL, cursor BLOB NOT NULL)",
    (
        "CREATE TABLE online_value (generation INTEGER, entity BLOB, part INTEGER, body BLOB NOT NULL,"
        " PRIMARY KEY (generation, entity, part)) WITHOUT ROWID"
    ),
)
_WRITE = "INSERT OR REPLACE INTO online_value (generation, entity, part, body) VALUES (?, ?, ?, ?)"
_FIND = "SELECT entity, part, body FROM online_value WHERE generation = ? AND entity = ? AND part = ?"


class _Work(Work):
    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def run(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        return self._connection.execute(sql, parameters).fetchall()

    def write(self, number: int, parts: Sequence[Part]) -> None:
        self._connection.executemany(_WRITE, [(number, *part) for part in parts])

    def find(self, number: int, keys: Sequence[tuple[bytes, int]]) -> list[tuple[bytes, int, bytes]]:
        found: list[tuple[bytes, int, bytes]] = []
        for entity, part in keys:
            found += self._connection.execute(_FIND, (number, entity, part)).fetchall()
        return found


class _Damaged(Unavailable):
    """The file is no database, or a part of it is not as it was written."""


class SqliteOnline(SqlOnline):
    """The store in the file `path`: made by the first writer, never by a reader."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.name = str(path)
        self._connection: sqlite3.Connection | None = None
        self._file: tuple[int, int] | None = None
        self._lock = threading.RLock()

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
            self._connection = self._file = None

    def generations(self, views: Sequence[str] | None = None) -> list[Generation]:
        """All generations of all views; none where nothing was written yet."""
        return super().generations(views) if self.path.exists() else []

    def mend(self) -> str:
        """Remove the file where it is damaged."""
        try:
            if self.path.exists():
                self.health()
        except _Damaged as damage:
            for part in ("", "-wal", "-shm"):
                self.path.with_name(self.path.name + part).unlink(missing_ok=True)
            return f"the online store {self.path} was damaged ({damage.why}) and is made anew"
        except Unavailable:
            pass
        return ""

    def _query(self, sql: str, parameters: Sequence[Any]) -> list[tuple[Any, ...]]:
        connection = self._opened()
        try:
            return connection.execute(sql, parameters).fetchall()
        except sqlite3.Error as error:
            raise self._failed(error) from error

    def _several(self, view: str, entities: Sequence[bytes]) -> list[tuple[Any, ...]]:
        if len(entities) <= _MOST:
            return self._some(view, entities)
        single = list(dict.fromkeys(entities))
        self._query("BEGIN", ())
        try:
            # all of them are of the moment that the first statement sees
            parts = [self._some(view, single[start : start + _MOST]) for start in range(0, len(single), _MOST)]
        finally:
            if self._connection is not None and self._connection.in_transaction:
                self._connection.rollback()
        return [part for some in parts for part in some]

    def _some(self, view: str, entities: Sequence[bytes]) -> list[tuple[Any, ...]]:
        # statements of few lengths, so that they are found prepared; an entity that is named twice is found once
        places = 1 << max(len(entities) - 1, 0).bit_length()
        padded = [*entities, *[entities[0]] * (places - len(entities))]
        return self._query(f"{READ}IN ({','.join('?' * places)}) ORDER BY x.entity, x.part", [view, *padded])

    @contextmanager
    def _writing(self) -> Iterator[Work]:
        with self._lock:
            connection = self._opened(make=True)
            try:
                connection.execute(f"PRAGMA busy_timeout = {BUSY_S * 1000:.0f}")
                connection.execute("BEGIN IMMEDIATE")
                try:
                    yield _Work(connection)
                    connection.execute("COMMIT")
                finally:
                    if connection.in_transaction:
                        connection.rollback()
            except sqlite3.Error as error:
                raise self._failed(error) from error
            finally:
                with suppress(sqlite3.Error):
                    connection.execute(f"PRAGMA busy_timeout = {TIMEOUT_S * 1000:.0f}")
                    # the file alone is the whole store then: whoever moves it takes everything, and nothing of it stays behind in a log
                    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def _opened(self, *, make: bool = False) -> sqlite3.Connection:
        """The connection to the file that lies at the path now: one that was moved away is not written, nor read, any more."""
        try:
            stat = os.stat(self.path)  # noqa: PTH116 - half the time of Path.stat, on every read
        except OSError as error:
            if make and isinstance(error, FileNotFoundError):
                return self._made()
            self.close()
            raise self._lost(error) from error
        if self._connection is None or self._file != (stat.st_dev, stat.st_ino):
            return self._made()
        return self._connection

    def _made(self) -> sqlite3.Connection:
        with self._lock:
            self.close()
            try:
                if not self.path.exists():
                    # a log beside no file belongs to one that was taken away: read into a new one it would be rubbish
                    for part in ("-wal", "-shm"):
                        self.path.with_name(self.path.name + part).unlink(missing_ok=True)
                connection = sqlite3.connect(self.path, timeout=TIMEOUT_S, isolation_level=None, check_same_thread=False)
            except (sqlite3.Error, OSError) as error:
                raise self._failed(error) from error
            try:
                for pragma in _PRAGMAS:
                    connection.execute(f"PRAGMA {pragma}")
                _prepare(connection)
                stat = self.path.stat()
            except (sqlite3.Error, OSError) as error:
                connection.close()
                raise self._failed(error) from error
            self._connection, self._file = connection, (stat.st_dev, stat.st_ino)
            return connection

    def _failed(self, error: Exception) -> Unavailable:
        """What an error means; the file is opened anew next time."""
        self.close()
        if isinstance(error, OSError):
            return self._lost(error)
        name = getattr(error, "sqlite_errorname", None) or type(error).__name__
        if name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
            return _Damaged(
                f"the online store {self.path} is damaged",
                why=f"{error}",
                fix="flyball up makes it anew from data set versions, and so does flyball features materialise --all",
                retry_after=30,
            )
        return Unavailable(
            f"the online store {self.path} does not answer",
            why=f"{error} ({name})",
            fix="look at the disk and the file's rights; try again",
        )

    def _lost(self, error: OSError) -> Unavailable:
        return kind_of(error)(
            f"the online store {self.path} cannot be opened",
            why=str(error.strerror or error),
            fix="put the file back, or let flyball make it again",
        )


def _prepare(connection: sqlite3.Connection) -> None:
    """Make the tables, once, whoever comes first."""
    if connection.execute("PRAGMA user_version").fetchone()[0] == FORM:
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        if connection.execute("PRAGMA user_version").fetchone()[0] != FORM:
            for table in ("online_view", "online_generation", "online_value"):
                connection.execute(f"DROP TABLE IF EXISTS {table}")
            for statement in _TABLES:
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {FORM}")
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.rollback()
