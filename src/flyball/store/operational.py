"""Counts and cursors that survive a restart: rebuildable or disposable, and no part of the record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from flyball.store.sql import Database


class Operational:
    """Bytes under text keys, in the ledger's database but not in its record."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def load(self, key: str) -> bytes | None:
        """The bytes last saved under `key`, or None. Raises Unavailable."""
        row = self._database.first(self._database.sql.operational_get, (key,))
        return None if row is None else bytes(row[0])

    def load_all(self, keys: Sequence[str]) -> dict[str, bytes | None]:
        """The same of many keys, read in one transaction. Raises Unavailable."""
        with self._database.reading() as connection:
            rows = {key: connection.execute(self._database.sql.operational_get, (key,)).fetchone() for key in keys}
        return {key: None if row is None else bytes(row[0]) for key, row in rows.items()}

    def save(self, items: Mapping[str, bytes | None]) -> None:
        """Write all items in one transaction; None removes, and no row is no error. Raises Unavailable."""
        with self._database.writing() as connection:
            for key, body in items.items():
                if body is None:
                    connection.execute(self._database.sql.operational_delete, (key,))
                else:
                    connection.execute(self._database.sql.operational_put, (key, body))
