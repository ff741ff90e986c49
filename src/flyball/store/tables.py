"""Every table there is, in lists: the ledger's own, what events explain, what may be erased, and what may be thrown away.

A projection is a fold of events and is written only in the transaction of its event. An operational table is rebuildable or
disposable, and no decision cites it except through an event. A table in no list fails a test.

Bodies are bytes, never a JSON type: a database that parses and prints them again would change what was hashed.
"""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import BigInteger, Column, Integer, LargeBinary, MetaData, String, Table
from sqlalchemy.dialects import postgresql

from flyball.records.commands import COMMANDS
from flyball.records.vocabulary import PROJECTIONS as VOCABULARY

SCHEMA_VERSION = "3"
"""Of the tables in this file. A table that is new is made on opening; any other change needs a step in `sql.py` that brings the former version over."""

FORMER_VERSIONS = ("1", "2")
"""Versions that are brought over on opening: 1 lacks `checkpoint` and `personal`; in 1 and 2, `node` has the columns level, idx and hash."""

metadata = MetaData()

# sequence numbers are 64-bit; SQLite makes only an INTEGER primary key the row's own id
_SEQ = BigInteger().with_variant(Integer(), "sqlite")

# keys are in order of their code points, as in Python and in SQLite, whatever language the server is set to
_KEY = String().with_variant(postgresql.VARCHAR(collation="C"), "postgresql")


event = Table(
    "event",
    metadata,
    Column("seq", _SEQ, primary_key=True, autoincrement=False),
    Column("body", LargeBinary, nullable=False),
)
"""The ledger: the canonical bytes of each event. Anything beside the body would be unprotected."""

node = Table(
    "node",
    metadata,
    Column("place", _SEQ, primary_key=True, autoincrement=False),
    Column("hash", LargeBinary, nullable=False),
)
"""Hashes of complete subtrees, in the order in which events complete them (`ledger.merkle`): what an event adds lies at the table's end."""

head = Table(
    "head",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("size", _SEQ, nullable=False),
    Column("frontier", LargeBinary, nullable=False),
    Column("at", _SEQ, nullable=False),
    Column("fence", _SEQ, nullable=False),
)
"""One row (id 1): number of events, hashes of the largest complete subtrees from left to right, time of the last event, fence."""

checkpoint = Table(
    "checkpoint",
    metadata,
    Column("size", _SEQ, primary_key=True, autoincrement=False),
    Column("note", LargeBinary, nullable=False),
)
"""Signed notes (C2SP): each says what the root of the first `size` events was."""

meta = Table("meta", metadata, Column("key", _KEY, primary_key=True), Column("value", String, nullable=False))
"""Version of these tables, and the hash of the folds that wrote the projections."""


def _rows(name: str) -> Table:
    # SQLite keeps a table in an order of its own and an index beside it: twice the pages to write. In the order of its key it suits small rows alone
    return Table(
        name,
        metadata,
        Column("key", _KEY, primary_key=True),
        Column("body", LargeBinary, nullable=False),
        sqlite_with_rowid=name != f"p_{COMMANDS.name}",
    )


PROJECTIONS: Mapping[str, Table] = {each.name: _rows(f"p_{each.name}") for each in VOCABULARY}
"""Projection's name → its table: rows as canonical JSON under a text key. The prefix keeps SQL's own words free."""

operational = _rows("operational")
"""Counts and cursors, in whatever bytes their owner writes."""

personal = _rows("personal")
"""What personal fields of events said, under the salted hash that the events hold. A row may be erased; no proof needs it."""

LEDGER: tuple[Table, ...] = (event, node, head, checkpoint, meta)
ERASABLE: tuple[Table, ...] = (personal,)
OPERATIONAL: tuple[Table, ...] = (operational,)
