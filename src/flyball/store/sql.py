"""A database, whichever it is: who may write when, what one moment is, and that its errors mean something to a person.

Several threads and processes write at once (control plane, command line): one held connection a process writes, under a
lock, and takes the database's own write lock at the start of a transaction. Readers see a snapshot and never wait.
What a kind of database does in its own way stands in a file of its own (`sqlite.py`, `postgres.py`).
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, ClassVar, Protocol

from sqlalchemy.engine import Dialect, make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.pool import PoolProxiedConnection, QueuePool

from flyball.errors import BadInput, Conflict, FlyballError, Unavailable
from flyball.store import tables
from flyball.store.sqlite import Sqlite
from flyball.store.statements import compile_making, compile_statements

_KEPT = 4
"""Connections that stay open between reads; while more are needed, more are made."""


class Connection(Protocol):
    """What is used of a driver's connection."""

    def execute(self, sql: str, parameters: Any = ..., /) -> Any:
        """Run one statement; return its cursor."""
        ...

    def executemany(self, sql: str, parameters: Any, /) -> Any:
        """Run one statement for every tuple."""
        ...

    def stream(self, sql: str, parameters: Any = ..., /) -> Iterator[tuple[Any, ...]]:
        """The rows of one query as they come, with little memory however many there are; only within the transaction."""
        ...


class Backend(Protocol):
    """What one kind of database does in its own way.

    name: what messages call the database; holds no password. errors: the driver's. tables: the query for the names of all tables.
    begin_reading, begin_writing, begin_making: begin a transaction that sees one moment; that no other writer is in, and that sees what
    the last one left; in which tables may be made. before_erasing, after_erasing: what is run so that deleted bytes cannot be read from the
    database's files: in the transaction that deletes, and after it.
    """

    name: str
    dialect: Dialect
    errors: ClassVar[type[Exception]]
    begin_reading: str
    begin_writing: str
    begin_making: str
    tables: str
    before_erasing: tuple[str, ...]
    after_erasing: tuple[str, ...]

    def prepare(self) -> None:
        """Make what the database will lie in. Raises Unavailable."""
        ...

    def exists(self) -> bool:
        """Whether flyball has been here. Changes nothing. Raises the driver's errors."""
        ...

    def connect(self) -> Any:
        """A new connection (`Connection`, with the driver's commit, rollback, close, closed and in_transaction). Raises the driver's errors."""
        ...

    def for_reading(self, error: Exception, /) -> Backend | None:
        """The way in that is left for reading alone after opening failed with `error`; None: there is none."""
        ...

    def looking(self) -> Backend:
        """The way in for who only ever reads what another one writes."""
        ...

    def is_current(self) -> bool:
        """Whether what is written from now on is seen this way."""
        ...

    def explain(self, error: Exception, /) -> FlyballError:
        """What an error of the driver means to a person."""
        ...


class Reader:
    """A read transaction: everything read through `connection` is of one moment. Closed by `close`, or when it is forgotten."""

    def __init__(self, pool: QueuePool, backend: Backend) -> None:
        held = _begun(pool, backend)
        self.connection: Connection = _driver(held)
        self._backend = backend
        self._finalizer = weakref.finalize(self, _give_back, held, backend)

    @contextmanager
    def explained(self) -> Iterator[None]:
        """Errors of the driver in this block are raised as what they mean to a person."""
        try:
            yield
        except self._backend.errors as error:
            raise self._backend.explain(error) from error

    def close(self) -> None:
        """End the transaction."""
        self._finalizer()


class Database:
    """Tables, a writer and readers. Made by `open`."""

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self.name = backend.name
        self.sql = compile_statements(backend.dialect)
        # each connection is rolled back when it is given back: by us, who know which ones are broken
        self._pool = QueuePool(backend.connect, pool_size=_KEPT, max_overflow=-1, reset_on_return=None)
        self._lock = threading.RLock()
        self._held: Any = None
        self._asks = threading.Lock()
        self._asking: Any = None

    @classmethod
    def open(cls, url: str | Path, *, durable: bool = True, base: Path = Path()) -> Database:
        """Open, or make, the database at `sqlite:///path` or `postgresql://…`, or in the file of a Path (in which a `?` or `%` means itself).

        durable: a committed transaction survives a power cut (a disk sync each); without it, it survives a killed process only.
        base: the folder that a relative path of SQLite is relative to.
        Where nothing can be written (no right, a full disk), a database that is there is opened for reading, and writing is refused later.
        Raises BadInput (not such a url, no driver for it), Unavailable (no right, disk full, busy, no such server), Corrupt (not a
        database), Conflict (made by another version of flyball, or not by flyball).
        """
        backend = _backend(url, durable=durable, base=base)
        database = cls(backend)
        with database._explained():
            backend.prepare()
            try:
                database._pool.connect().close()
            except backend.errors as error:
                database = cls._open_for_reading(backend, error)
            else:
                database._prepare()
        return database

    @classmethod
    def look(cls, url: str | Path, *, base: Path = Path()) -> Database:
        """Open what is there, which another one writes, for reading alone: nothing is made, and no right to write is needed.

        What `is_current` says no of is to be opened anew. Raises as `open`; Unavailable where nothing is there.
        """
        database = cls(_backend(url, durable=True, base=base).looking())
        try:
            whole = database._is_whole()
        except FlyballError:
            database.close()
            raise
        if not whole:
            database.close()
            raise Unavailable(f"{database.name} holds no record yet", why="not all tables of one are there", fix="start what writes it")
        return database

    def is_current(self) -> bool:
        """Whether what is written from now on is seen through this."""
        return self.backend.is_current()

    @classmethod
    def _open_for_reading(cls, backend: Backend, error: Exception) -> Database:
        """The database as it is, after opening it for writing has failed. Raises that failure if it cannot be read either."""
        left = backend.for_reading(error)
        if left is None:
            raise error
        database = cls(left)
        if not database._is_whole():
            raise error
        return database

    def writing(self) -> AbstractContextManager[Connection]:
        """One write transaction: committed at the end, rolled back by any exception. No other writer is inside at the same time."""
        return self._transaction(self.backend.begin_writing)

    @contextmanager
    def erasing(self) -> Iterator[Connection]:
        """As `writing`; what is deleted inside is gone from the database's files too, from its log as soon as no reader needs it."""
        with self._lock:
            with self.writing() as connection:
                for statement in self.backend.before_erasing:
                    connection.execute(statement)
                yield connection
            with self._explained():
                for statement in self.backend.after_erasing:
                    connection.execute(statement)

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """One read transaction."""
        with self._explained():
            held = _begun(self._pool, self.backend)
            try:
                yield _driver(held)
            finally:
                _give_back(held, self.backend)

    def first(self, sql: str, parameters: Sequence[Any]) -> Any:
        """The first row of one query, or None. It is of one moment by itself, so no transaction is begun: for what is asked many times a second."""
        if not self._asks.acquire(blocking=False):
            with self.reading() as connection:
                return connection.execute(sql, parameters).fetchone()
        try:
            return self._ask(sql, parameters)
        except self.backend.errors as error:
            raise self.backend.explain(error) from error
        finally:
            self._asks.release()

    def _ask(self, sql: str, parameters: Sequence[Any]) -> Any:
        if self._asking is not None:
            try:
                return self._asking.execute(sql, parameters).fetchone()
            except self.backend.errors:
                # one that broke while nothing was asked is replaced
                self._asking.close()
                self._asking = None
        connection = self.backend.connect()
        try:
            found = connection.execute(sql, parameters).fetchone()
        except self.backend.errors:
            connection.close()
            raise
        self._asking = connection
        return found

    def reader(self) -> Reader:
        """A read transaction that lasts as long as the object."""
        with self._explained():
            return Reader(self._pool, self.backend)

    def table_names(self) -> list[str]:
        """Every table that is there, listed in `tables.py` or not."""
        with self.reading() as connection:
            return sorted(name for (name,) in connection.execute(self.backend.tables))

    def close(self) -> None:
        """Give up every connection."""
        with self._lock:
            if self._held is not None:
                self._held.close()
            self._held = None
            self._pool.dispose()
        with self._asks:
            if self._asking is not None:
                self._asking.close()
            self._asking = None

    @contextmanager
    def _transaction(self, begin: str) -> Iterator[Connection]:
        with self._lock:
            try:
                connection = self._writer(begin)
                try:
                    yield connection
                    connection.commit()
                finally:
                    self._settle(connection)
            except self.backend.errors as error:
                raise self.backend.explain(error) from error

    def _writer(self, begin: str) -> Any:
        """The connection that writes, in a new transaction. One that broke while nothing was under way is replaced: nothing is lost by that."""
        if self._held is not None:
            assert not self._held.in_transaction, "a write transaction may not be opened inside another"
            try:
                self._held.execute(begin)
            except self.backend.errors:
                self._settle(self._held)
                if self._held is not None:
                    raise
            else:
                return self._held
        connection = self._held = self.backend.connect()
        try:
            connection.execute(begin)
        except self.backend.errors:
            self._settle(connection)
            raise
        return connection

    def _settle(self, connection: Any) -> None:
        """Leave no half transaction. A connection that cannot be rolled back is given up, which ends the transaction as well."""
        try:
            if connection.in_transaction:
                connection.rollback()
            lost = connection.closed
        except self.backend.errors:
            lost = True
        if lost:
            connection.close()
            self._held = None

    def _prepare(self) -> None:
        if self._is_whole():
            return
        with self._transaction(self.backend.begin_making) as connection:
            # another process may have been faster, so what is there is looked at again, now that nobody else makes any
            have = {name for (name,) in connection.execute(self.backend.tables)}
            self._check_own(have)
            self._check(self._version(connection, have))
            for name, statements in compile_making(self.backend.dialect).items():
                for statement in statements if name not in have else ():
                    connection.execute(statement)
            if tables.meta.name not in have:
                connection.execute(self.sql.new_head, (b"",))
            connection.execute(self.sql.set_meta, ("schema", tables.SCHEMA_VERSION))

    def _is_whole(self) -> bool:
        """Whether every table is there, in the present version. Raises Conflict if they are of another."""
        with self.reading() as connection:
            have = {name for (name,) in connection.execute(self.backend.tables)}
            self._check_own(have)
            found = self._version(connection, have)
        self._check(found)
        return found == tables.SCHEMA_VERSION and not set(tables.metadata.tables) - have

    def _check_own(self, have: set[str]) -> None:
        """Tables of ours without the one that says whose they are were made by somebody else."""
        taken = sorted(have & set(tables.metadata.tables))
        if taken and tables.meta.name not in have:
            raise Conflict(
                f'{self.name} has a table "{taken[0]}" that flyball did not make',
                why=f'there is no table "{tables.meta.name}" of flyball\'s',
                fix="give flyball a database of its own; if this is it, restore it from a backup",
            )

    def _version(self, connection: Connection, have: set[str]) -> str:
        """The version of the tables that are there; empty if there are none."""
        if tables.meta.name not in have:
            return ""
        row = connection.execute(self.sql.get_meta, ("schema",)).fetchone()
        return "none" if row is None else str(row[0])

    def _check(self, found: str) -> None:
        if found not in {"", tables.SCHEMA_VERSION}:
            raise Conflict(
                f"{self.name} has tables of version {found}, this flyball knows version {tables.SCHEMA_VERSION}",
                why="another version of flyball made them",
                fix="use the version of flyball that wrote this ledger, or a newer one",
            )

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except self.backend.errors as error:
            raise self.backend.explain(error) from error


def exists(url: str | Path, *, base: Path = Path()) -> bool:
    """Whether flyball has made its tables at this address, which `Database.open` takes. Makes nothing. Raises BadInput, Unavailable."""
    backend = _backend(url, durable=True, base=base)
    try:
        return backend.exists()
    except backend.errors as error:
        raise backend.explain(error) from error


def _begun(pool: QueuePool, backend: Backend) -> PoolProxiedConnection:
    """A connection in a new read transaction. Those that broke while they lay in the pool are passed over."""
    for left in range(_KEPT, -1, -1):
        held = pool.connect()
        connection = _driver(held)
        try:
            connection.execute(backend.begin_reading)
        except backend.errors:
            broken = connection.closed
            _give_back(held, backend)
            if not (broken and left):
                raise
        else:
            return held
    raise AssertionError("the last round returns or raises")


def _give_back(held: PoolProxiedConnection, backend: Backend) -> None:
    connection = _driver(held)
    try:
        connection.rollback()
    except backend.errors:
        held.invalidate()
    else:
        held.close()


def _driver(held: PoolProxiedConnection) -> Any:
    assert held.driver_connection is not None
    return held.driver_connection


_HERE = frozenset({"", "localhost", "127.0.0.1", "::1"})


def place(url: str | Path, *, base: Path = Path()) -> str:
    """One text for every spelling of an address: where it is the same, the database is. By two names of one server it is not. Raises BadInput."""
    if not isinstance(url, Path) and _is_postgres(url):
        try:
            parsed = make_url(url)
        except ArgumentError:
            return url
        host = (parsed.host or "").lower()
        more = sorted((name, str(value)) for name, value in parsed.query.items() if name == "options" or (name == "host" and not host))
        # whose schema is meant may rest on the user
        return f"postgresql {'localhost' if host in _HERE else host} {parsed.port or 5432} {parsed.username} {parsed.database} {more}"
    backend = _backend(url, durable=True, base=base)
    assert isinstance(backend, Sqlite)
    return f"sqlite {backend.path.resolve()}"


def _is_postgres(url: str) -> bool:
    return url.partition("://")[0].partition("+")[0] in {"postgresql", "postgres"} and "://" in url


def _backend(url: str | Path, *, durable: bool, base: Path) -> Backend:
    if isinstance(url, Path):
        return Sqlite(base / url, durable=durable)
    if _is_postgres(url):
        return _postgres(url, durable=durable)
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        # what follows an @ is no password
        raise BadInput(f'"{url.rpartition("@")[2][:120]}" is not a database address', fix=_FORMS) from error
    if parsed.get_backend_name() != "sqlite" or not parsed.database or parsed.database == ":memory:":
        raise BadInput(
            f"the ledger cannot be kept in {parsed.render_as_string(hide_password=True)}",
            why="only files of SQLite and databases of PostgreSQL are known",
            fix=_FORMS,
        )
    return Sqlite(base / parsed.database, durable=durable)


def _postgres(url: str, *, durable: bool) -> Backend:
    try:
        from flyball.store.postgres import Postgres
    except ImportError as error:
        raise BadInput(
            "the driver for PostgreSQL is not installed",
            why=f"the ledger's address names PostgreSQL, and {error}",
            fix="pip install 'flyball[postgres]'",
        ) from error
    return Postgres(url, durable=durable)


_FORMS = "write sqlite:///path/to/ledger.db or postgresql://user:password@host:5432/name"
