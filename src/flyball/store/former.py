"""Tables of former versions, brought over inside the transaction that makes the present ones. A step never changes once it was released."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import TYPE_CHECKING, Any

from flyball.errors import Corrupt

if TYPE_CHECKING:
    from flyball.store.sql import Connection

_BATCH = 1000
_WITH_LEVELS = {"1", "2"}
"""Versions in which `node` had the columns level, idx and hash."""


def before(connection: Connection, version: str) -> bool:
    """Put aside what the present tables do not fit over. Returns whether `after` has something to do."""
    if version not in _WITH_LEVELS:
        return False
    connection.execute("ALTER TABLE node RENAME TO former_node")
    return True


def after(connection: Connection, add_node: str) -> None:
    """Fill the present tables from what was put aside. Raises Corrupt."""
    rows = connection.stream("SELECT level, idx, hash FROM former_node ORDER BY level, idx", ())
    while batch := _placed(islice(rows, _BATCH)):
        connection.executemany(add_node, batch)
    connection.execute("DROP TABLE former_node")


def _placed(rows: Iterable[tuple[Any, ...]]) -> list[tuple[int, bytes]]:
    found = []
    for level, idx, node in rows:
        if not (0 <= level < 63 and 0 <= idx < 1 << (62 - level)):
            raise Corrupt(
                f"the tables of this ledger cannot be brought over: there is a node {level}/{idx}",
                why="it belongs to no tree of events, so somebody has put it there",
                fix="restore from a backup",
            )
        leaf = ((idx + 1) << level) - 1
        found.append((2 * leaf - leaf.bit_count() + level, node))
    return found
