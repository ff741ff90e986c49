"""Where the rows of projections are not the fold of the events: `verify` names each place, `rebuild` puts it right.

Rows are compared in the order of their keys, as they are read, so that what is stored is never held as a whole.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from flyball.errors import BadInput
from flyball.ledger.canonical import canonical
from flyball.records.base import Record
from flyball.store.sql import Connection
from flyball.store.statements import Statements


class Difference(NamedTuple):
    """A row that is not what the events make of it. `wanted`: what it should be (None: no row); `there`: whether any row is."""

    table: str
    key: Any
    wanted: Record | None
    there: bool


def differences(connection: Connection, sql: Statements, table: str, wanted: Iterator[tuple[str, Record]]) -> Iterator[Difference]:
    """The rows of a table against those that the events make, which come in the order of their keys.

    A row that was yielded may be changed or removed before the next one is asked for.
    """
    stored = iter(connection.stream(sql.rows[table].everything, ()))
    found, want = next(stored, None), next(wanted, None)
    while found is not None or want is not None:
        if want is None or (found is not None and str(found[0]) < want[0]):
            assert found is not None
            yield Difference(table, found[0], None, there=True)
            found = next(stored, None)
        elif found is None or want[0] < str(found[0]):
            yield Difference(table, want[0], want[1], there=False)
            want = next(wanted, None)
        else:
            if not _is(found[1], want[1]):
                yield Difference(table, want[0], want[1], there=True)
            found, want = next(stored, None), next(wanted, None)


def _is(stored: object, wanted: Record) -> bool:
    try:
        return stored == canonical(wanted)
    except BadInput:
        return False  # nobody wrote such a row: an event was changed
