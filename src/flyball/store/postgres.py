"""PostgreSQL: one database for one project, for those who have a server that is backed up and watched already.

The driver, psycopg, is imported with this module, and this module only where an address names PostgreSQL. No message holds a password.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import count
from typing import Any, ClassVar

import psycopg
from psycopg.conninfo import conninfo_to_dict
from psycopg.pq import TransactionStatus
from sqlalchemy.dialects.postgresql.psycopg import dialect
from sqlalchemy.engine import Dialect

from flyball.errors import BadInput, Corrupt, FlyballError, Unavailable, Unusable

BUSY_S = 10.0
"""How long a writer waits for another one before it gives up: far longer than any transaction of ours takes."""
FETCH = 1000
"""Rows that a stream takes from the server at once."""
MAKING = 4_873_110_925_601
"""The advisory lock under which tables are made: what all who make them agree on, and nothing else in a database is likely to use."""
FORM = "write postgresql://user:password@host:5432/name, with %40 for @, %2F for / and %3A for : in the password"
_RELATIONS = """
SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = current_schema() AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
UNION SELECT t.tgname || ' (a trigger on ' || c.relname || ')'
FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = current_schema() AND NOT t.tgisinternal
UNION SELECT rulename || ' (a rule on ' || tablename || ')' FROM pg_rules WHERE schemaname = current_schema()
ORDER BY 1
"""
"""Everything of the schema that holds rows or changes them: tables, views, materialised views, foreign tables, triggers and rules. The last two
with what they are on: such a name is no table's, so nothing hides behind one of ours."""
_DEFAULTS: Mapping[str, str | int] = {
    "client_encoding": "utf8",
    "application_name": "flyball",
    "connect_timeout": 10,
    # a server that has vanished is noticed within half a minute, not after hours
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 25_000,
}


class PostgresConnection(psycopg.Connection[tuple[Any, ...]]):
    """A connection of psycopg that keeps to `sql.Connection`: transactions begin and end where we say so, and nowhere else."""

    _cursors = count()

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open, be it a failed one."""
        return self.info.transaction_status in {TransactionStatus.INTRANS, TransactionStatus.INERROR, TransactionStatus.ACTIVE}

    def executemany(self, sql: str, parameters: Any, /) -> Any:
        """Run one statement for every tuple."""
        cursor = self.cursor()
        cursor.executemany(sql.encode(), parameters)
        return cursor

    def stream(self, sql: str, parameters: Any = (), /) -> Iterator[tuple[Any, ...]]:
        """The rows of one query, through a cursor of the server's that ends with the transaction at the latest."""
        name = f"flyball_{next(self._cursors)}"
        self.execute(f"DECLARE {name} NO SCROLL CURSOR FOR {sql}".encode(), parameters)
        while rows := self.execute(f"FETCH {FETCH} FROM {name}".encode()).fetchall():
            yield from rows
        self.execute(f"CLOSE {name}".encode())

    def commit(self) -> None:
        """End the transaction. Raises psycopg.Error where it had failed before, which the server would pass over in silence."""
        if self.execute(b"COMMIT").statusmessage != "COMMIT":
            raise psycopg.errors.InFailedSqlTransaction("an earlier statement of this transaction had failed")

    def __del__(self, _warn: Any = None, /) -> None:
        """Say nothing of a snapshot that was forgotten: forgetting it is one way of closing it."""


class Postgres:
    """The database at an address such as `postgresql://user:password@host/name`; `durable` as in `Database.open`.

    How often the server syncs its disk is the server's setting; without `durable` it is not waited for. Raises BadInput for such an address.
    """

    errors: ClassVar[type[Exception]] = psycopg.Error
    # one moment for everything that is read
    begin_reading = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
    tables = _RELATIONS
    before_erasing: tuple[str, ...] = ()
    after_erasing: tuple[str, ...] = ("VACUUM (FULL) personal",)

    def __init__(self, url: str, *, durable: bool = True) -> None:
        self._connect = _read_url(url)
        self.name = _name(self._connect)
        self.dialect: Dialect = dialect()  # type: ignore[no-untyped-call]
        begin = f"BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL lock_timeout = {BUSY_S * 1000:.0f}"
        unsynced = "" if durable else "; SET LOCAL synchronous_commit = off"
        # the lock comes first and alone: what is read by later statements is then newer than what the writer before us left
        self.begin_writing = f"{begin}{unsynced}; SELECT FROM head WHERE id = 1 FOR UPDATE"
        self.begin_making = f"{begin}; SELECT pg_advisory_xact_lock({MAKING})"

    def prepare(self) -> None:
        """Nothing: the database is made by whoever runs the server."""

    def exists(self) -> bool:
        """Whether flyball has made its tables there. Raises psycopg.Error."""
        with self.connect() as connection:
            return any(name == "meta" for (name,) in connection.execute(self.tables))

    @property
    def parameters(self) -> dict[str, Any]:
        """What the driver connects with."""
        return {**_DEFAULTS, **self._connect}

    def connect(self) -> PostgresConnection:
        """A new connection. Raises psycopg.Error; BadInput where the database cannot hold every text."""
        connection = PostgresConnection.connect(**self.parameters, autocommit=True)
        encoding = connection.info.parameter_status("server_encoding")
        if encoding != "UTF8":
            connection.close()
            raise BadInput(
                f"the ledger cannot be kept in {self.name}",
                why=f"its encoding is {encoding}, which does not hold every text",
                fix="make another one: create database … encoding 'UTF8' template template0",
            )
        return connection

    def for_reading(self, _error: Exception) -> Postgres | None:
        """No other way in: a server that takes no writes is still opened the usual way."""
        return None

    def looking(self) -> Postgres:
        """The usual way in: readers of a server write nothing."""
        return self

    def is_current(self) -> bool:
        """Whether what is written from now on is seen: always."""
        return True

    def explain(self, error: Exception) -> FlyballError:
        """What an error of the driver means to a person."""
        state = getattr(error, "sqlstate", None) or ""
        said = " ".join(str(error).split("\n")[0].split())
        if isinstance(error, psycopg.DataError):
            return BadInput("a text cannot be stored", why=said, fix="leave out characters such as NUL")
        for states, make in _BY_STATE:
            if state.startswith(states):
                return make(self.name, said)
        if not state and isinstance(error, psycopg.OperationalError):
            return _unreachable(self.name, said)
        return Unavailable(
            f"{self.name} failed", why=f"{said} ({state or type(error).__name__})", fix="look into the server's log; nothing was changed"
        )


def _read_url(url: str) -> dict[str, Any]:
    try:
        found = dict(conninfo_to_dict(re.sub(r"^[^:/]*://", "postgresql://", url)))
    except psycopg.Error:
        # the driver's own words quote the address, and with it a password
        found = {"port": "none"}
    # a password with a / in it is cut in two, and a part of it taken for a port and a name
    if not re.fullmatch(r"[\d,]*", str(found.get("port") or "")) or "@" in str(found.get("dbname") or ""):
        raise BadInput("the address of the PostgreSQL database cannot be read", why="it has another form", fix=FORM)
    return found


def _name(connect: Mapping[str, Any]) -> str:
    port = f":{connect['port']}" if connect.get("port") else ""
    user = f"{connect['user']}@" if connect.get("user") else ""
    return f"postgresql://{user}{connect.get('host', '')}{port}/{connect.get('dbname', '')}"


def _busy(name: str, _said: str) -> FlyballError:
    return Unavailable(
        f"{name} is busy",
        why=f"another process has been writing for more than {BUSY_S:.0f} s",
        fix="try again; if it stays, look for a flyball process that hangs (pg_stat_activity lists them)",
    )


def _full(name: str, said: str) -> FlyballError:
    return Unavailable(
        f"no room to write {name}",
        why=f"the server's disk is full: {said}",
        fix="free some space there; nothing was changed",
        retry_after=30,
    )


def _read_only(name: str, said: str) -> FlyballError:
    return Unavailable(
        f"{name} cannot be written",
        why=f"the server takes no writes: {said}",
        fix="name the primary server, or end its read-only mode; nothing was changed",
        retry_after=30,
    )


def _no_right(name: str, said: str) -> FlyballError:
    return Unusable(
        f"{name} cannot be used by this user",
        why=said,
        fix="let flyball's user own the database, or grant it create and usage on the schema; nothing was changed",
        retry_after=30,
    )


def _login(name: str, said: str) -> FlyballError:
    return Unusable(
        f"{name} lets nobody in under this name",
        why=said,
        fix="check user and password of the address, PGPASSWORD or ~/.pgpass, and the server's pg_hba.conf",
        retry_after=30,
    )


def _no_database(name: str, said: str) -> FlyballError:
    return Unusable(f"{name} is not there", why=said, fix="make it (createdb -E UTF8 NAME), or mend the address", retry_after=30)


def _too_many(name: str, said: str) -> FlyballError:
    return Unavailable(
        f"{name} takes no more connections", why=said, fix="try again; if it stays, close others or raise the server's max_connections"
    )


def _contradiction(name: str, said: str) -> FlyballError:
    return Corrupt(
        f"{name} contradicts itself",
        why=f"{said}: a row that should not be there yet is there",
        fix="flyball audit verify says what was changed; restore from a backup",
    )


def _foreign(name: str, said: str) -> FlyballError:
    return Corrupt(
        f"{name} does not hold flyball's tables as flyball made them",
        why=said,
        fix="give flyball a database of its own; if this is it, restore it from a backup",
    )


def _damaged(name: str, said: str) -> FlyballError:
    return Corrupt(f"{name} is damaged on the server", why=said, fix="restore it from a backup")


def _gone(name: str, said: str) -> FlyballError:
    return Unavailable(
        f"the connection to {name} was lost",
        why=said,
        fix="try again when the server is back: nothing half done is left, and a command given again with its id is carried out once",
    )


_BY_STATE = (
    (("55P03", "57014", "40001", "40P01"), _busy),
    (("53300",), _too_many),
    (("53100",), _full),
    (("25006",), _read_only),
    (("42501",), _no_right),
    (("28",), _login),
    (("3D000",), _no_database),
    (("23",), _contradiction),
    (("XX001", "XX002"), _damaged),
    (("42", "3F"), _foreign),
    (("57P", "08"), _gone),
)
"""Beginnings of SQLSTATE codes (PostgreSQL, appendix A), and what to say of each."""

_BY_WORDS = (
    # the first that fits: a limit names a role or a database too
    (("too many", "connection slots"), _too_many),
    (("permission denied",), _no_right),
    (("password", "pg_hba", "authentication", "role "), _login),
    (("does not exist",), _no_database),
)
"""While a connection is being made the driver passes on words alone: parts of them after the word FATAL."""


def _unreachable(name: str, said: str) -> FlyballError:
    fatal = said.partition("FATAL:")[2] or said.partition("fe_sendauth:")[2]
    if fatal and "the database system is" not in fatal:
        for words, make in _BY_WORDS:
            if any(word in fatal for word in words):
                return make(name, fatal.strip())
    if said.startswith(("connection", "failed to resolve", "timeout")) or "could not translate" in said:
        return Unavailable(
            f"{name} cannot be reached", why=said, fix="start the server, or mend the address; nothing was changed", retry_after=5
        )
    return _gone(name, said)
