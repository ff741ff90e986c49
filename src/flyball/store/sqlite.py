"""SQLite: a file, opened by every process that uses it, with a log beside it so that readers never wait for a writer."""

from __future__ import annotations

import errno
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, ClassVar

from sqlalchemy.dialects.sqlite import dialect
from sqlalchemy.engine import Dialect

from flyball.errors import Corrupt, FlyballError, Unavailable, Unusable

BUSY_S = 10.0
"""How long a writer waits for another process before it gives up: far longer than any transaction of ours takes."""
ROOM = 1 << 20
"""A disk with less free than this many bytes is what an error of it comes from: a ledger's smallest write and its shared memory take less."""
# the driver looks for a way to adapt every value of a type that it does not write as it is, bytes among them: so it finds one at once
sqlite3.register_adapter(bytes, bytes)
_UNCHANGING = "immutable=1"
_CANNOT_WRITE = ("SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_PERM", "SQLITE_AUTH", "SQLITE_IOERR", "SQLITE_FULL")


class SqliteConnection(sqlite3.Connection):
    """A connection of SQLite that keeps to `sql.Connection`."""

    closed = False

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._streams: list[sqlite3.Cursor] = []

    def stream(self, sql: str, parameters: Any = (), /) -> Iterator[tuple[Any, ...]]:
        """The rows of one query as they come, until the transaction ends."""
        cursor = self.execute(sql, parameters)
        self._streams.append(cursor)
        return iter(cursor)

    def commit(self) -> None:
        """End the transaction, and what is left of its streams."""
        self._stop()
        super().commit()

    def rollback(self) -> None:
        """Undo the transaction, and end what is left of its streams."""
        self._stop()
        super().rollback()

    def _stop(self) -> None:
        # a query that was not read to its end holds the moment that it sees, for whoever uses the connection next
        while self._streams:
            self._streams.pop().close()


class Sqlite:
    """A database in the file `path`; `durable` as in `Database.open`; `address`: a way in for reading only, else the path itself is opened.

    `looks`: it is another one's, and nothing is to be written to it.
    """

    errors: ClassVar[type[Exception]] = sqlite3.Error
    begin_reading = "BEGIN"
    begin_writing = "BEGIN IMMEDIATE"
    begin_making = "BEGIN IMMEDIATE"
    # a trigger may bear the name of a table: nothing hides behind one of ours
    tables = """
SELECT name FROM sqlite_schema WHERE type IN ('table', 'view')
UNION SELECT iif(name IN (SELECT name FROM sqlite_schema WHERE type IN ('table', 'view')), name || ' (a trigger on ' || tbl_name || ')', name)
FROM sqlite_schema WHERE type = 'trigger' ORDER BY 1
"""
    before_erasing: tuple[str, ...] = ("PRAGMA secure_delete = ON",)
    after_erasing: tuple[str, ...] = ("PRAGMA wal_checkpoint(TRUNCATE)",)

    def __init__(self, path: Path, *, durable: bool = True, address: str = "", looks: bool = False) -> None:
        self.path = path
        self.name = str(path)
        self.dialect: Dialect = dialect()
        self._durable = durable
        self._address = address
        self._looks = looks
        self._file = _file(path)

    def prepare(self) -> None:
        """Make the folder that the file is to lie in. Raises Unusable, Unavailable (no room)."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise _no_room(self.path) from error
            raise Unusable(
                f"{self.path} cannot be made",
                why=f"{error.filename or self.path.parent}: {error.strerror or error}",
                fix="give this user write access there, or name another file",
                retry_after=30,
            ) from error

    def exists(self) -> bool:
        """Whether the file is there."""
        return self.path.exists()

    def connect(self) -> SqliteConnection:
        """A new connection. Raises sqlite3.Error."""
        if self._address:
            return _plain(self._address, uri=True)
        connection = _plain(self.path)
        connection.execute(f"PRAGMA synchronous = {'FULL' if self._durable else 'NORMAL'}")
        _use_wal(connection)
        return connection

    def for_reading(self, error: Exception) -> Sqlite | None:
        """The way in that is left after opening failed with `error`: for reading alone, or None."""
        address = _readable(self.path) if isinstance(error, sqlite3.Error) and _name(error).startswith(_CANNOT_WRITE) else ""
        return Sqlite(self.path, durable=self._durable, address=address) if address else None

    def looking(self) -> Sqlite:
        """The way in for reading alone, whoever owns the file."""
        return Sqlite(self.path, address=_readable(self.path) or _reading(self.path), looks=True)

    def is_current(self) -> bool:
        """Whether what is written from now on is seen: not where the file is read as one that never changes, nor where another one lies there now."""
        return _UNCHANGING not in self._address and self._file == _file(self.path)

    def explain(self, error: Exception) -> FlyballError:
        """What an error of the driver means to a person."""
        return _explain(self.path, error, opened_for_reading=bool(self._address), looks=self._looks)


def _plain(address: str | Path, *, uri: bool = False) -> SqliteConnection:
    # isolation_level None: the driver begins nothing by itself; connections move between threads, one user at a time
    return sqlite3.connect(address, uri=uri, timeout=BUSY_S, isolation_level=None, check_same_thread=False, factory=SqliteConnection)


def _readable(path: Path) -> str:
    """The address by which a database can be read without writing anything beside it; empty if it cannot."""
    address = _reading(path)
    log = path.with_name(f"{path.name}-wal")
    # SQLite reads a log through shared memory that it may have to make; where there is no log, the file alone is the whole database
    unlogged = [f"{address}&{_UNCHANGING}"] if not log.exists() or not log.stat().st_size else []
    for each in (address, *unlogged):
        with suppress(sqlite3.Error), closing(_plain(each, uri=True)) as connection:
            connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
            return each
    return ""


def _reading(path: Path) -> str:
    return f"{path.absolute().as_uri()}?mode=ro"


def _file(path: Path) -> tuple[int, int]:
    """Which file lies there; zeros for none."""
    try:
        found = path.stat()
    except OSError:
        return 0, 0
    return found.st_dev, found.st_ino


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


def _name(error: Exception) -> str:
    return getattr(error, "sqlite_errorname", None) or ""


def _explain(path: Path, error: Exception, *, opened_for_reading: bool = False, looks: bool = False) -> FlyballError:
    """What happened, why and what to do, for each kind of error that a user can meet."""
    name = _name(error)
    if looks and name.startswith(_CANNOT_WRITE) and not _is_full(path.parent):
        return Unusable(
            f"{path} cannot be read",
            why=f"{error}: this user may not read the file, its folder or the log beside it, or the system gave no file",
            fix="give this user the right to read the folder and what is in it",
            retry_after=30,
        )
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return Unavailable(
            f"{path} is busy",
            why=f"another process has been writing for more than {BUSY_S:.0f} s",
            fix="try again; if it stays, look for a flyball process that hangs",
        )
    if name == "SQLITE_FULL" or (name.startswith(_CANNOT_WRITE) and _is_full(path.parent)):
        return _no_room(path)
    no_file = ("SQLITE_CANTOPEN", "SQLITE_READONLY") if opened_for_reading else "SQLITE_CANTOPEN"
    if name.startswith(no_file) and _may_write(path):
        return Unavailable(
            f"{path} cannot be opened for writing",
            why=f"{error}: no right is missing, so the system gave no file",
            fix="try again; if it stays, allow this process more open files (ulimit -n); nothing was changed",
            retry_after=30,
        )
    if name.startswith(("SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_PERM", "SQLITE_AUTH")):
        return Unusable(
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


def _may_write(path: Path) -> bool:
    """Whether this user has every right that a database in that file takes: its log and its shared memory lie beside it."""
    files = (path, *(path.with_name(f"{path.name}-{part}") for part in ("wal", "shm")))
    return os.access(path.parent, os.W_OK | os.X_OK) and not any(
        file.is_dir() or (file.exists() and not os.access(file, os.R_OK | os.W_OK)) for file in files
    )


def _no_room(path: Path) -> Unavailable:
    return Unavailable(f"no room to write {path}", why="the disk is full", fix="free some space; nothing was changed", retry_after=30)


def _is_full(folder: Path) -> bool:
    """Whether the disk has no room left; a disk that is read-only has none either, and that is another matter."""
    try:
        found = os.statvfs(folder)
    except OSError:
        return False
    return not found.f_flag & os.ST_RDONLY and (found.f_bavail * found.f_frsize < ROOM or bool(found.f_files and not found.f_favail))
