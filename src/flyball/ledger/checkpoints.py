"""Checkpoints: what the root of the ledger was, signed; and the proofs that lead from an event to one, or from one to a later one.

A checkpoint is written once and never changed. Whoever keeps one outside can tell later whether the record is still the one it was.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import NamedTuple

from flyball.clock import Instant, Span
from flyball.errors import BadInput, Corrupt, NotFound
from flyball.ledger import merkle
from flyball.ledger.canonical import read_body, stored_bytes
from flyball.ledger.ledger import SqlLedger, inclusion, nodes, read_head
from flyball.ledger.note import Checkpoint, Signer, Verifier, opened
from flyball.records.base import Record, State
from flyball.records.proofs import KEYS


class Signed(NamedTuple):
    """A checkpoint as it is stored."""

    size: int
    note: bytes


class Proof(Record, frozen=True):
    """That an event is in the ledger. Everything that a third party needs but the verifier key it trusts, which it has from elsewhere.

    `event` is the text whose UTF-8 bytes are the leaf, `path` the hashes from the leaf up (base64), `checkpoint` the signed note, `vkey`
    the key that signed it.
    """

    format: str
    seq: int
    event: str
    size: int
    path: tuple[str, ...]
    checkpoint: str
    vkey: str


class Consistency(Record, frozen=True):
    """That the ledger of `old` is the beginning of the ledger of `new`: both signed notes, and the hashes of RFC 9162, 2.1.4 (base64)."""

    format: str
    old: str
    new: str
    path: tuple[str, ...]
    vkeys: tuple[str, ...]


def verifiers(state: State) -> list[Verifier]:
    """Every key that the ledger knows, the oldest first. Raises Corrupt."""
    rows = sorted((row.since, row.vkey) for _, row in state.scan(KEYS))
    return [Verifier(vkey) for _, vkey in rows]


def origin(state: State) -> str:
    """The ledger's name in its checkpoints: that of its oldest key; empty while it has none."""
    known = verifiers(state)
    return known[0].name if known else ""


def last(ledger: SqlLedger) -> Signed | None:
    """The newest checkpoint."""
    with ledger.database.reading() as connection:
        return _signed(connection.execute(ledger.database.sql.last_checkpoint, ()).fetchone())


def every(ledger: SqlLedger, after: int = 0) -> Iterator[Signed]:
    """Checkpoints of more than `after` events, the oldest first; little memory."""
    size = after
    while True:
        with ledger.database.reading() as connection:
            found = _signed(connection.execute(ledger.database.sql.checkpoint_from, (size + 1,)).fetchone())
        if found is None:
            return
        yield found
        size = found.size


def due(ledger: SqlLedger, now: Instant, *, events: int, age: Span) -> bool:
    """Whether a checkpoint should be made: so many events have none, or the oldest of them is so old."""
    with ledger.database.reading() as connection:
        sql = ledger.database.sql
        size = read_head(connection, ledger.database).size
        newest = _signed(connection.execute(sql.last_checkpoint, ()).fetchone())
        covered = newest.size if newest else 0
        if size <= covered:
            return False
        if size - covered >= events:
            return True
        row = connection.execute(sql.event, (covered + 1,)).fetchone()
    return row is None or now - read_body(covered + 1, stored_bytes(row[0])).at >= age


def sign(ledger: SqlLedger, signer: Signer) -> Signed:
    """A checkpoint of the ledger as it stands; the one that is there if nothing has happened since. The ledger must know the key.

    Raises Corrupt (the head is damaged, or the key is not known), Unavailable.
    """
    state = ledger.state()
    name = origin(state)
    if signer.vkey not in {each.vkey for each in verifiers(state)}:
        raise Corrupt("the ledger does not know the key that is to sign", why="key.added names every key", fix="flyball tick adds it")
    with ledger.database.writing() as connection:
        head = read_head(connection, ledger.database)
        newest = _signed(connection.execute(ledger.database.sql.last_checkpoint, ()).fetchone())
        if newest is not None and newest.size == head.size:
            return newest
        made = Signed(head.size, signer.sign(Checkpoint(name, head.size, head.root).text))
        connection.execute(ledger.database.sql.add_checkpoint, made)
    return made


def prove(ledger: SqlLedger, seq: int) -> Proof:
    """A proof of event `seq` against the first checkpoint that covers it. Raises NotFound (no such event; no checkpoint yet), Corrupt."""
    with ledger.state() as state:
        known = verifiers(state)
    with ledger.database.reading() as connection:
        sql = ledger.database.sql
        size = read_head(connection, ledger.database).size
        row = connection.execute(sql.event, (seq,)).fetchone() if 0 < seq <= size else None
        if row is None:
            raise NotFound(f"there is no event {seq}", why=f"the ledger has {size:,} events", fix="events are numbered from 1")
        signed = _signed(connection.execute(sql.checkpoint_from, (seq,)).fetchone())
        if signed is None:
            raise NotFound(
                f"event {seq} has no checkpoint yet",
                why="the loop signs one from time to time",
                fix=f"flyball audit prove {seq} signs one; or wait (checkpoint_s)",
            )
        _, path = inclusion(connection, ledger.database, seq, signed.size)
    body = stored_bytes(row[0])
    said, vkey = _opened(signed, known)
    if not merkle.includes(merkle.leaf_hash(body), seq - 1, said.size, path, said.root):
        raise Corrupt(
            f"event {seq} is not what the checkpoint of {said.size} events was signed for",
            why="the event, the tree or the checkpoint was changed",
            fix="flyball audit verify names it",
        )
    return Proof(
        format="flyball-proof/1",
        seq=seq,
        event=body.decode(),
        size=said.size,
        path=_texts(path),
        checkpoint=signed.note.decode(),
        vkey=vkey,
    )


def consistency(ledger: SqlLedger, old: bytes, new: Signed | None = None) -> Consistency:
    """A proof that the ledger of the note `old`, kept by whomever, is the beginning of the ledger of `new` (None: the newest checkpoint).

    Raises Corrupt where it is not: the record was cut off or written anew since. NotFound without a checkpoint.
    """
    with ledger.state() as state:
        known = verifiers(state)
    newer = new or last(ledger)
    if newer is None:
        raise NotFound("the ledger has no checkpoint yet", why="the loop signs one from time to time", fix="flyball tick")
    before, old_key = _opened(Signed(0, old), known)
    after, new_key = _opened(newer, known)
    if before.size > after.size:
        raise Corrupt(
            f"the ledger has a checkpoint of {after.size} events, and the older one is of {before.size}",
            why="its end was cut off, or the newer one is not made yet",
            fix="flyball audit verify; restore from a backup",
        )
    if before.size == 0:
        raise BadInput("a checkpoint of no events proves nothing", why="every ledger begins so", fix="name a later one")
    with ledger.database.reading() as connection:
        path = merkle.consistency_proof(nodes(connection, ledger.database), before.size, after.size)
    if not merkle.consistent(before.size, after.size, before.root, after.root, path):
        raise Corrupt(
            f"the ledger is not the one that the checkpoint of {before.size} events was signed for",
            why="the record was written anew since",
            fix="flyball audit verify; restore from a backup",
        )
    vkeys = tuple(dict.fromkeys((old_key, new_key)))
    return Consistency(format="flyball-consistency/1", old=old.decode(), new=newer.note.decode(), path=_texts(path), vkeys=vkeys)


def _opened(signed: Signed, known: list[Verifier]) -> tuple[Checkpoint, str]:
    """What a checkpoint says, and the key that signed it. Raises Corrupt."""
    for each in known:
        try:
            return Checkpoint.parse(opened(signed.note, [each], cosigned=True)), each.vkey
        except Corrupt as error:
            problem = error
    if not known:
        raise Corrupt("the ledger knows no key yet", why="key.added names every key", fix="flyball tick adds one")
    which = f"the checkpoint of {signed.size} events" if signed.size else "the checkpoint that was given"
    raise Corrupt(
        f"{which} is not one of this ledger", why=f"{problem.what}: {problem.why}", fix="flyball audit verify says what is damaged"
    )


def _signed(row: tuple[int, bytes] | None) -> Signed | None:
    return None if row is None else Signed(row[0], stored_bytes(row[1]))


def _texts(path: tuple[bytes, ...]) -> tuple[str, ...]:
    return tuple(base64.b64encode(each).decode() for each in path)
