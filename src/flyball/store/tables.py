"""Every table there is, in lists: the ledger's own, what events explain, what may be erased, and what may be thrown away.

A projection is a fold of events and is written only in the transaction of its event. An operational table is rebuildable or
disposable, and no decision cites it except through an event. A table in no list fails a test.

Bodies are bytes, never a JSON type: a database that parses and prints them again would change what was hashed.
"""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, MetaData, String, Table
from sqlalchemy.dialects import postgresql

from flyball.records.vocabulary import PROJECTIONS as VOCABULARY

SCHEMA_VERSION = "4"
"""Of the tables in this file. A table that is new is made on opening; tables of any other version are refused."""

metadata = MetaData()

# sequence numbers are 64-bit; SQLite makes only an INTEGER primary key the row's own id
_SEQ = BigInteger().with_variant(Integer(), "sqlite")

# keys are in order of their code points, as in Python and in SQLite, whatever language the server is set to
_KEY = String().with_variant(postgresql.VARCHAR(collation="C"), "postgresql")


event = Table(
    "event",
    metadata,
    Column("seq", _SEQ, primary_key=True, autoincrement=False),
    Column("command", _KEY, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("hashes", LargeBinary, nullable=False),
)
"""The ledger: the canonical bytes of each event, which are all that is protected. Beside them, made of them: the id of the command, by which
it is looked up, and the hashes of the subtrees that the event completes, one after the other, its own leaf first (`ledger.merkle`)."""

# with the number in it, so that PostgreSQL has no reason to look for a command's first event among all events
Index("event_command", event.c.command, event.c.seq)

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
    return Table(name, metadata, Column("key", _KEY, primary_key=True), Column("body", LargeBinary, nullable=False))


PROJECTIONS: Mapping[str, Table] = {each.name: _rows(f"p_{each.name}") for each in VOCABULARY}
"""Projection's name → its table: rows as canonical JSON under a text key. The prefix keeps SQL's own words free."""

operational = _rows("operational")
"""Counts and cursors, in whatever bytes their owner writes."""

personal = _rows("personal")
"""What personal fields of events said, under the salted hash that the events hold. A row may be erased; no proof needs it."""

LEDGER: tuple[Table, ...] = (event, head, checkpoint, meta)
ERASABLE: tuple[Table, ...] = (personal,)
OPERATIONAL: tuple[Table, ...] = (operational,)
