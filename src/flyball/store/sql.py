"""A database: who may write when, and what its errors mean to a person.

Several threads and processes write at once (control plane, command line): one held connection a process writes, under a
lock, and takes the database's own write lock at the start of a transaction. Readers see a snapshot and never wait.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

from sqlalchemy import Engine, create_engine, inspect
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.pool import QueuePool
from sqlalchemy.schema import CreateTable

from flyball.errors import BadInput, Conflict, Corrupt, FlyballError, Unavailable
from flyball.store import tables
from flyball.store.statements import compile_statements

BUSY_S = 10.0
"""How long a writer waits for another process before it gives up: far longer than any transaction of ours takes."""
ROOM = 1 << 20
"""A disk with less free than this many bytes is what an error of it comes from: a ledger's smallest write and its shared memory take less."""
_CANNOT_WRITE = ("SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_PERM", "SQLITE_AUTH", "SQLITE_IOERR", "SQLITE_FULL")


class Connection(Protocol):
    """What is used of a driver's connection."""

    def execute(self, sql: str, parameters: Any = ..., /) -> Any:
        """Run one statement; return its cursor."""
        ...

    def executemany(self, sql: str, parameters: Any, /) -> Any:
        """Run one statement for every tuple."""
        ...

    def stream(self, sql: str, parameters: Any, /) -> Iterator[tuple[Any, ...]]:
        """The rows of one query as they come, with little memory however many there are."""
        ...


class SqliteConnection(sqlite3.Connection):
    """A connection of SQLite that keeps to `Connection`."""

    def stream(self, sql: str, parameters: Any, /) -> Iterator[tuple[Any, ...]]:
        """The rows of one query as they come."""
        return iter(self.execute(sql, parameters))


class Reader:
    """A read transaction: everything read through `connection` is of one moment. Closed by `close`, or when it is forgotten."""

    def __init__(self, engine: Engine) -> None:
        held = engine.raw_connection()
        assert held.driver_connection is not None
        self.connection: Connection = held.driver_connection
        # the pool rolls back what it gets back, which ends the transaction
        self._finalizer = weakref.finalize(self, held.close)
        self.connection.execute("BEGIN")

    def close(self) -> None:
        """End the transaction."""
        self._finalizer()


class Database:
    """Tables, a writer and readers. Made by `open`."""

    def __init__(self, engine: Engine, path: Path) -> None:
        self.path = path
        self.sql = compile_statements(engine.dialect)
        self._engine = engine
        self._lock = threading.RLock()
        self._writer: Any = None
        self._held: Any = None

    @classmethod
    def open(cls, url: str | Path, *, durable: bool = True) -> Database:
        """Open, or make, the database at `sqlite:///path`, or in the file of a Path (in which a `?` or `%` means itself).

        durable: a committed transaction survives a power cut (a disk sync each); without it, it survives a killed process only.
        Where nothing can be written (no right, a full disk), a database that is there is opened for reading, and writing is refused later.
        Raises BadInput (not such a url), Unavailable (no right, disk full, busy), Corrupt (not a database), Conflict (made by
        another version of flyball).
        """
        path = url if isinstance(url, Path) else _path(url)
        engine = create_engine(
            "sqlite://", creator=lambda: _connect(path, durable=durable), poolclass=QueuePool, pool_size=4, max_overflow=-1
        )
        database = cls(engine, path)
        with database._explained():
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                database._prepare()
            except sqlite3.Error as error:
                database = cls._open_for_reading(path, error)
        return database

    @classmethod
    def _open_for_reading(cls, path: Path, error: sqlite3.Error) -> Database:
        """The database as it is, after opening it for writing has failed. Raises that failure if it cannot be read either."""
        address = _readable(path) if _name(error).startswith(_CANNOT_WRITE) else ""
        if not address:
            raise error
        engine = create_engine("sqlite://", creator=lambda: _plain(address, uri=True), poolclass=QueuePool, pool_size=4, max_overflow=-1)
        if {table.name for table in tables.metadata.sorted_tables} - set(inspect(engine).get_table_names()):
            raise error
        database = cls(engine, path)
        database._check_version()
        return database

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """One write transaction: committed at the end, rolled back by any exception. No other writer is inside at the same time."""
        with self._lock, self._explained():
            if self._writer is None:
                self._held = self._engine.raw_connection()
                self._writer = self._held.driver_connection
            connection = self._writer
            assert not connection.in_transaction, "a write transaction may not be opened inside another"
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            finally:
                if connection.in_transaction:
                    connection.rollback()

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """One read transaction."""
        with self._explained():
            reader = Reader(self._engine)
            try:
                yield reader.connection
            finally:
                reader.close()

    def reader(self) -> Reader:
        """A read transaction that lasts as long as the object."""
        with self._explained():
            return Reader(self._engine)

    def table_names(self) -> list[str]:
        """Every table that is there, listed in `tables.py` or not."""
        with self._explained():
            return sorted(inspect(self._engine).get_table_names())

    def close(self) -> None:
        """Give up every connection."""
        with self._lock:
            if self._held is not None:
                self._held.close()
            self._held = self._writer = None
            self._engine.dispose()

    def _prepare(self) -> None:
        self._engine.raw_connection().close()
        have = set(inspect(self._engine).get_table_names())
        if tables.meta.name in have:
            self._check_version()
        missing = [table for table in tables.metadata.sorted_tables if table.name not in have]
        if not missing:
            return
        with self.writing() as connection:
            # another process may have been faster, so each table is made only if it is not there
            for table in missing:
                connection.execute(str(CreateTable(table, if_not_exists=True).compile(self._engine)))
            if connection.execute(self.sql.get_meta, ("schema",)).fetchone() is None:
                connection.execute(self.sql.set_meta, ("schema", tables.SCHEMA_VERSION))
                connection.execute(self.sql.new_head, (b"",))
        self._check_version()

    def _check_version(self) -> None:
        with self.reading() as connection:
            row = connection.execute(self.sql.get_meta, ("schema",)).fetchone()
        found = "none" if row is None else row[0]
        if found != tables.SCHEMA_VERSION:
            raise Conflict(
                f"{self.path} has tables of version {found}, this flyball knows version {tables.SCHEMA_VERSION}",
                why="another version of flyball made them",
                fix="use the version of flyball that wrote this ledger, or a newer one",
            )

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise _explain(self.path, error) from error
        except OSError as error:
            raise Unavailable(
                f"{self.path.parent} cannot be used", why=str(error), fix="check the folder and its rights", retry_after=30
            ) from error


def _path(url: str) -> Path:
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise BadInput(f'"{url[:120]}" is not a database address', fix="write sqlite:///path/to/ledger.db") from error
    if parsed.get_backend_name() != "sqlite" or not parsed.database or parsed.database == ":memory:":
        raise BadInput(
            f"the ledger cannot be kept in {parsed.render_as_string(hide_password=True)}",
            why="only files of SQLite are known",
            fix="write sqlite:///path/to/ledger.db",
        )
    return Path(parsed.database)


def _plain(address: str | Path, *, uri: bool = False) -> sqlite3.Connection:
    # isolation_level None: the driver begins nothing by itself; connections move between threads, one user at a time
    return sqlite3.connect(address, uri=uri, timeout=BUSY_S, isolation_level=None, check_same_thread=False, factory=SqliteConnection)


def _readable(path: Path) -> str:
    """The address by which a database can be read without writing anything beside it; empty if it cannot."""
    address = f"{path.absolute().as_uri()}?mode=ro"
    log = path.with_name(f"{path.name}-wal")
    # SQLite reads a log through shared memory that it may have to make; where there is no log, the file alone is the whole database
    unlogged = [f"{address}&immutable=1"] if not log.exists() or not log.stat().st_size else []
    for each in (address, *unlogged):
        with suppress(sqlite3.Error), closing(_plain(each, uri=True)) as connection:
            connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
            return each
    return ""


def _connect(path: Path, *, durable: bool) -> sqlite3.Connection:
    connection = _plain(path)
    connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
    _use_wal(connection)
    return connection


def _use_wal(connection: sqlite3.Connection) -> None:
    """Turn write-ahead logging on. Two processes that open a new file at once collide here without SQLite waiting, so we wait."""
    deadline = time.monotonic() + BUSY_S
    while True:
        try:
            if connection.execute("PRAGMA journal_mode").fetchone()[0] == "wal":
                return
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if not _name(error).startswith(("SQLITE_BUSY", "SQLITE_LOCKED")) or time.monotonic() > deadline:
                raise
            time.sleep(0.01)


def _name(error: sqlite3.Error) -> str:
    return getattr(error, "sqlite_errorname", None) or ""


def _explain(path: Path, error: sqlite3.Error) -> FlyballError:
    """What happened, why and what to do, for each kind of error that a user can meet."""
    name = _name(error)
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return Unavailable(
            f"{path} is busy",
            why=f"another process has been writing for more than {BUSY_S:.0f} s",
            fix="try again; if it stays, look for a flyball process that hangs",
        )
    if name == "SQLITE_FULL" or (name.startswith(_CANNOT_WRITE) and _is_full(path.parent)):
        return Unavailable(f"no room to write {path}", why="the disk is full", fix="free some space; nothing was changed", retry_after=30)
    if name.startswith(("SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_PERM", "SQLITE_AUTH")):
        return Unavailable(
            f"{path} cannot be opened for writing",
            why=f"{error}: this user has no right to the file or its folder, or the disk is read-only",
            fix="give this user write access to the file and its folder; nothing was changed",
            retry_after=30,
        )
    if name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
        return Corrupt(f"{path} is not a database that can be read", why=str(error), fix="restore it from a backup")
    if name.startswith("SQLITE_CONSTRAINT"):
        return Corrupt(
            f"{path} contradicts itself",
            why=f"{error}: a row that should not be there yet is there",
            fix="flyball audit verify says what was changed; restore from a backup",
        )
    return Unavailable(f"{path} failed", why=f"{error} ({name or type(error).__name__})", fix="check the disk; nothing was changed")


def _is_full(folder: Path) -> bool:
    """Whether the disk has no room left; a disk that is read-only has none either, and that is another matter."""
    try:
        found = os.statvfs(folder)
    except OSError:
        return False
    return not found.f_flag & os.ST_RDONLY and (found.f_bavail * found.f_frsize < ROOM or bool(found.f_files and not found.f_favail))
