"""Rows of a query at any database that SQLAlchemy reaches, fetched in batches through a cursor on the server.

The one module that reads other people's databases. It reads in one transaction that is rolled back at its end; SQLite and PostgreSQL are told to
refuse what would change something, since not all of it could be rolled back.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

import polars as pl

from flyball.data.cells import brief, quoted
from flyball.data.sources.access import Access
from flyball.data.sources.typed import Types, found_once, implausible, keys, mistakes
from flyball.data.sources.wrong import Wrong
from flyball.data.types import DTYPES, schema
from flyball.declare.data import Dataset, Sql
from flyball.errors import BadInput, Problem, plain
from flyball.records.models import FieldType

if TYPE_CHECKING:
    from sqlalchemy import Connection, CursorResult

FETCH: Final = 50_000
"""Rows of a batch."""

_WHOLE: Final = 2**63


def batches(dataset: Dataset, access: Access, wrong: Wrong) -> Iterator[pl.DataFrame]:
    """The rows of a query, in its order. What the database says against it is noted in `wrong`, whenever it says so.

    Raises BadInput for an address that cannot be used, or a secret that is not there.
    """
    import sqlalchemy as sa

    source = dataset.source
    assert isinstance(source, Sql)
    url, shown = _url(dataset, source, access), f'data set "{dataset.name}"'
    try:
        # no pool: a connection is held no longer than a look takes
        engine = sa.create_engine(url, poolclass=sa.NullPool)
    except (sa.exc.SQLAlchemyError, ImportError) as error:
        raise _no_driver(dataset, url, error) from None
    connected = False
    try:
        with engine.connect() as connection:
            connected = True
            yield from _fetched(dataset, connection, source.text, shown, wrong)
    except sa.exc.SQLAlchemyError as error:
        problem = _told(error, url, shown, connected=connected)
        wrong.add(replace(problem, why=_QUOTED.sub(partial(_hidden, source.text), problem.why)) if wrong.hidden else problem)
    finally:
        engine.dispose()


def _url(dataset: Dataset, source: Sql, access: Access) -> Any:
    import sqlalchemy as sa

    named = "a secret" if not isinstance(source.url, str) else "its url"
    try:
        found = sa.make_url(access.url(source.url))
    except sa.exc.ArgumentError:
        # an address may hold a password
        raise BadInput(
            f'data set "{dataset.name}": {named} is no address of a database',
            why="it is not shown, for it may hold a password",
            fix="write it as postgresql://user:password@host/name or sqlite:///path",
        ) from None
    if found.drivername in ("postgresql", "postgres"):
        found = found.set(drivername="postgresql+psycopg")
    if found.get_backend_name() == "sqlite" and found.database and not found.database.startswith("file:"):
        path = access.root / found.database
        if found.database != ":memory:" and not path.exists():
            # a driver would make an empty one
            raise BadInput(f'data set "{dataset.name}": there is no file {path}', fix="put the database there, or change the url")
        found = found if found.database == ":memory:" else found.set(database=str(path))
    return found


def _no_driver(dataset: Dataset, url: Any, error: Exception) -> BadInput:
    lacks = isinstance(error, ImportError)
    fix = f"pip install {getattr(error, 'name', '') or 'its driver'}" if lacks else "name a database that SQLAlchemy knows"
    return BadInput(
        f'data set "{dataset.name}": no database of {url.drivername} can be reached from here', why=str(error).splitlines()[0], fix=fix
    )


def _fetched(dataset: Dataset, connection: Connection, text: str, shown: str, wrong: Wrong) -> Iterator[pl.DataFrame]:
    types, first = schema(dataset), 0
    kind = connection.dialect.name
    if kind == "sqlite":
        connection.exec_driver_sql("PRAGMA query_only = ON")
    elif kind == "postgresql":
        connection = connection.execution_options(postgresql_readonly=True)
    result = connection.execution_options(stream_results=True, max_row_buffer=FETCH, no_parameters=True).exec_driver_sql(text)
    try:
        picks = _columns(result, types, shown, wrong)
        while picks is not None and (rows := result.fetchmany(FETCH)):
            frame = _frame(rows, picks, types, shown, wrong, first)
            implausible(frame, types, shown, wrong, first)
            keys(dataset, frame, shown, wrong, first)
            yield frame
            first += frame.height
    finally:
        result.close()


def _columns(result: CursorResult[Any], types: Types, shown: str, wrong: Wrong) -> dict[str, int] | None:
    """Where each declared column stands in a row; None where one cannot be had."""
    if not result.returns_rows:
        wrong.add(Problem(shown, "the query gives no rows", why="it is a statement that changes something", fix="write a SELECT"))
        return None
    names = list(result.keys())
    once = found_once(types, names, shown, wrong, fix="rename one of them in the query: AS")
    return {name: names.index(name) for name in types} if len(once) == len(types) else None


def _frame(rows: Sequence[Any], picks: dict[str, int], types: Types, shown: str, wrong: Wrong, first: int) -> pl.DataFrame:
    columns = list(zip(*rows, strict=True))
    made = []
    for name, type_ in types.items():
        values, read = columns[picks[name]], _READ[type_]
        try:
            cells = [None if value is None else read(value) for value in values]
        except (ValueError, OverflowError, TypeError):
            cells = [_cell(value, name, type_, shown, wrong, row) for row, value in enumerate(values, first + 1)]
        made.append(pl.Series(name, cells, dtype=DTYPES[type_]))
    return pl.DataFrame(made)


def _cell(value: Any, name: str, type_: FieldType, shown: str, wrong: Wrong, row: int) -> Any:
    try:
        return None if value is None else _READ[type_](value)
    except (ValueError, OverflowError, TypeError):
        told = f"row {row:,}" if name in wrong.hidden else f"row {row:,}: {quoted(value)}"
        mistakes(name, type_, [told], 1, shown, wrong)
        return None


def _float(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        raise TypeError
    number = float(value)
    if math.isinf(number):
        raise ValueError
    return None if math.isnan(number) else number


def _int(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        raise TypeError
    whole = int(value)
    if whole != value or not -_WHOLE <= whole < _WHOLE:
        raise ValueError
    return whole


def _bool(value: Any) -> bool:
    if value not in (0, 1):  # SQLite has no other bool
        raise ValueError
    return bool(value)


def _text(value: Any) -> str:
    if isinstance(value, UUID):
        return str(value)
    if not isinstance(value, str):
        raise TypeError
    return value


def _time(value: Any) -> datetime:
    """A moment in UTC; SQLite keeps times as text."""
    at = datetime.fromisoformat(value.strip()) if isinstance(value, str) else value
    if isinstance(at, date) and not isinstance(at, datetime):
        at = datetime(at.year, at.month, at.day, tzinfo=UTC)
    if not isinstance(at, datetime):
        raise TypeError
    return at.astimezone(UTC).replace(tzinfo=None) if at.tzinfo is not None else at


_READ: Final[dict[FieldType, Callable[[Any], Any]]] = {"float": _float, "int": _int, "bool": _bool, "str": _text, "time": _time}


_QUOTED: Final = re.compile(r"""(["'])(.*?)\1""")


def _hidden(query: str, found: re.Match[str]) -> str:
    """What a database quotes, if the query has it; else it may be a value of a person."""
    return found.group() if found.group(2) in query else found.group(1) + "…" + found.group(1)


def _told(error: Exception, url: Any, shown: str, *, connected: bool) -> Problem:
    """What a database said, without the password that its address may hold."""
    from sqlalchemy.exc import DBAPIError

    said = str(error.orig if isinstance(error, DBAPIError) and error.orig is not None else error)
    text = plain(next(iter(said.strip().splitlines()), type(error).__name__))
    for secret in filter(None, (url.password and str(url.password), url.render_as_string(hide_password=False))):
        text = text.replace(secret, "***")
    broken = not connected or (isinstance(error, DBAPIError) and error.connection_invalidated)
    what = "the database cannot be read" if broken else "the database refuses the query"
    fix = "see that it runs and lets this user in; it is asked again" if broken else "correct the query, or what it reads; no row was taken"
    return Problem(shown, what, why=brief(text, 300), fix=fix)
