"""The record as plain files that need no flyball to be read: JSON Lines of events, and the signed checkpoints over them.

The bytes of a line, without its newline, are the event as it was hashed. `load` brings such files into an empty ledger again, of any
database, and takes nothing that the root does not vouch for.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from flyball.clock import Instant
from flyball.errors import Conflict, Corrupt
from flyball.ledger import merkle, note
from flyball.ledger.canonical import MAX_BODY, read_body, stored_bytes
from flyball.ledger.checkpoints import verifiers
from flyball.ledger.ledger import Head, SqlLedger, read_head
from flyball.ledger.personal import misplaced
from flyball.records.base import Record
from flyball.store.sql import Connection

EVENTS = "events.jsonl"
CHECKPOINTS = "checkpoints.txt"
KEYS = "keys.txt"
PERSONAL = "personal.jsonl"
_BATCH = 1000


class Exported(Record, frozen=True):
    """What was written: numbers of events and checkpoints, and the root of the events in hex."""

    events: int
    checkpoints: int
    root: str


class _PersonalRow(Record, frozen=True):
    key: str
    body: str


def export(ledger: SqlLedger, folder: Path, *, personal: bool = False) -> Exported:
    """Write events, checkpoints and verifier keys of one moment into `folder`, each file whole or not at all; `personal`: its texts too.

    Needs little memory. Raises Unavailable, Corrupt (the record is not what its tree says); OSError where the folder cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with ledger.state() as state:
        keys = [f"{each.vkey}\n".encode() for each in verifiers(state)]
    with ledger.database.reading() as connection:
        head = read_head(connection, ledger.database)
        events = whole_file(folder / EVENTS, _events(connection, ledger, head))
        checkpoints = whole_file(folder / CHECKPOINTS, _checkpoints(connection, ledger))
        if personal:
            whole_file(folder / PERSONAL, _personal(connection, ledger), mode=0o600)
    whole_file(folder / KEYS, iter(keys))
    return Exported(events=events, checkpoints=checkpoints, root=head.root.hex())


def load(ledger: SqlLedger, folder: Path, expected: Exported) -> int:
    """Bring exported files, personal texts among them, into an empty ledger, in one transaction; returns the number of events.

    The tree and the projections are made anew. Raises Conflict (the ledger has events), Corrupt (the files are not what was exported; it
    names the file and the line), Unavailable.
    """
    database, sql = ledger.database, ledger.database.sql
    with database.writing() as connection:
        if read_head(connection, database).size:
            raise Conflict("the ledger is not empty", why="what is in it would be lost", fix="restore into a new project", code="not-empty")
        size, frontier, at = _load_events(connection, ledger, folder / EVENTS)
        if (size, merkle.root(frontier).hex()) != (expected.events, expected.root):
            why = f"its {size:,} events have another root than the {expected.events:,} that were exported"
            raise _damaged(str(folder / EVENTS), why)
        connection.execute(sql.set_head, (size, b"".join(frontier), at))
        connection.executemany(sql.add_checkpoint, list(_read_checkpoints(folder / CHECKPOINTS)))
        connection.executemany(sql.personal.add, list(_read_personal(folder / PERSONAL)))
        try:
            ledger.rebuild_within(connection)
        except Corrupt as error:
            raise _damaged(str(folder / EVENTS), f"{error.what}: {error.why}") from error
    return size


def _load_events(connection: Connection, ledger: SqlLedger, path: Path) -> tuple[int, list[bytes], Instant]:
    sql = ledger.database.sql
    size, at = 0, 0
    frontier: list[bytes] = []
    for batch in _batches(path):
        rows = []
        for seq, body in enumerate(batch, size + 1):
            try:
                recorded = read_body(seq, body)
            except Corrupt as error:
                raise _damaged(f"{path}, line {seq}", f"this flyball knows no such event, and a newer one may: {error.why}") from error
            rows.append((seq, recorded.command, body, b"".join(merkle.append(seq - 1, frontier, merkle.leaf_hash(body)))))
            at = recorded.at
        connection.executemany(sql.append, rows)
        size += len(batch)
    return size, frontier, at


def lines(path: Path, most: int = -1) -> Iterator[bytes]:
    """The lines of an exported file with their ends, each in pieces of `most` bytes at most. Raises Corrupt where it cannot be read."""
    try:
        with path.open("rb") as file:
            while line := file.readline(most):
                yield line
    except OSError as error:
        raise Corrupt(f"{path} cannot be read", why=error.strerror or str(error), fix="use another backup") from error


def _batches(path: Path) -> Iterator[list[bytes]]:
    batch: list[bytes] = []
    for number, line in enumerate(lines(path, MAX_BODY + 2), 1):
        if not line.endswith(b"\n"):
            raise _damaged(f"{path}, line {number}", "it is longer than an event can be, or its end is missing")
        batch.append(line[:-1])
        if len(batch) == _BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def _size(signed: bytes) -> int:
    return note.Checkpoint.claimed(signed).size


def _events(connection: Connection, ledger: SqlLedger, head: Head) -> Iterator[bytes]:
    """The events as lines. Raises Corrupt at the end where they are not those under the head, so that no file of them is ever whole."""
    size = 0
    frontier: list[bytes] = []
    for _, _, stored, _ in connection.stream(ledger.database.sql.all_events, ()):
        body = stored_bytes(stored)
        merkle.append(size, frontier, merkle.leaf_hash(body))
        size += 1
        yield body + b"\n"
    if (size, tuple(frontier)) != (head.size, head.frontier):
        raise _changed(
            "the record is not what its tree says", f"its {size:,} events have another root than the {head.size:,} that were written"
        )


def _checkpoints(connection: Connection, ledger: SqlLedger) -> Iterator[bytes]:
    for size, stored in connection.stream(ledger.database.sql.checkpoints, ()):
        signed = stored_bytes(stored)
        try:
            said = _size(signed)
        except Corrupt as error:
            raise _changed(f"the checkpoint of {size} events is none", error.why) from error
        if said != size:
            raise _changed(f"the checkpoint of {size} events is none", f"it says that it is of {said}")
        yield signed


def _personal(connection: Connection, ledger: SqlLedger) -> Iterator[bytes]:
    for key, stored in connection.stream(ledger.database.sql.personal.everything, ()):
        body = stored_bytes(stored)
        for wrong in misplaced([(key, body)], {key}):
            raise _changed(f"the personal text {wrong.digest} is not what was written", "it does not hash to its name")
        yield msgspec.json.encode(_PersonalRow(key=key, body=body.decode())) + b"\n"


def _changed(what: str, why: str) -> Corrupt:
    return Corrupt(what, why=why, fix="flyball audit verify names what was changed; restore from a backup")


def _read_checkpoints(path: Path) -> Iterator[tuple[int, bytes]]:
    before = 0
    for number, signed in enumerate(note.split(b"".join(lines(path))), 1):
        try:
            size = _size(signed)
        except Corrupt as error:
            raise _damaged(f"{path}, note {number}", error.why) from error
        if size <= before:
            raise _damaged(f"{path}, note {number}", "it is of no more events than the one before it")
        before = size
        yield size, signed


def _read_personal(path: Path) -> Iterator[tuple[str, bytes]]:
    for number, line in enumerate(lines(path), 1):
        try:
            row = msgspec.json.decode(line, type=_PersonalRow)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise _damaged(f"{path}, line {number}", str(error)) from error
        yield row.key, row.body.encode()


def _damaged(where: str, why: str) -> Corrupt:
    return Corrupt(f"{where} is not what was written", why=why, fix="use another backup")


def whole_file(path: Path, parts: Iterable[bytes], mode: int = 0o644) -> int:
    """Write a file that is there whole or as it was: beside, synced, renamed. Returns the number of parts."""
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    count = 0
    try:
        descriptor = os.open(scratch, os.O_CREAT | os.O_TRUNC | os.O_WRONLY | os.O_CLOEXEC, mode)
        with os.fdopen(descriptor, "wb") as file:
            for part in parts:
                file.write(part)
                count += 1
            file.flush()
            os.fsync(file.fileno())
        scratch.replace(path)
    finally:
        scratch.unlink(missing_ok=True)
    return count
