"""The record: one path by which anything is decided, and every event in its place.

`execute` takes the write lock, decides on the state that it sees under the lock, and appends events, tree and projections in
one transaction. There is no other way to change a projection.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, Protocol, TypeAlias, TypeVar

from flyball import errors
from flyball.clock import Clock, Instant
from flyball.errors import Conflict, Corrupt, FlyballError, Refused
from flyball.ledger import merkle
from flyball.ledger.canonical import EXACT, read_body, rewrite, stored_bytes, write_body
from flyball.ledger.folds import Folds, fold, fold_hash
from flyball.ledger.personal import Salts, hidden
from flyball.ledger.personal import read as read_personal
from flyball.ledger.projection import LAST, Snapshot, SqlProjection, check_key
from flyball.ledger.rebuild import rebuild
from flyball.records.base import Event, Receipt, Recorded, Refusal, State
from flyball.records.commands import key_of
from flyball.store.sql import Connection, Database

_CHUNK = 1000


class Command(Protocol):
    """A request to change something."""

    @property
    def id(self) -> str:
        """Chosen by the caller: the same id twice gives the first receipt."""
        ...

    @property
    def actor(self) -> str:
        """Who asks, such as `user:ana` or `loop`."""
        ...


CommandT = TypeVar("CommandT", bound=Command)
_Entry: TypeAlias = tuple[Instant, str, str, Event]
Decide: TypeAlias = Callable[[State, CommandT, Instant], Sequence[Event] | Refusal]


class Head(NamedTuple):
    """Where the ledger stands. `frontier` as in `merkle`, `at` the time of the last event."""

    size: int
    frontier: tuple[bytes, ...]
    at: Instant
    fence: int
    fold_hash: str

    @property
    def root(self) -> bytes:
        """The root of the tree."""
        return merkle.root(self.frontier)


class SqlLedger:
    """A ledger in a database. Threads may share it; several processes may have one each on the same database."""

    def __init__(self, database: Database, folds: Folds, clock: Clock, salts: Salts = os.urandom) -> None:
        """Open the record. Projections that other folds wrote are rebuilt first; where that fails, only reading and verifying work.

        salts: chance for the hashes of personal texts. Raises Unavailable.
        """
        self.database = database
        self.folds = folds
        self._clock = clock
        self._salts = salts
        self._fold_hash = fold_hash(folds)
        self._damage: Corrupt | None = None
        try:
            if self.head().fold_hash != self._fold_hash:
                self.rebuild()
        except Corrupt as error:
            self._damage = error

    def execute(self, command: CommandT, decide: Decide[CommandT], *, fence: int | None = None) -> Receipt:
        """Carry out a command once.

        decide: pure; sees the state under the write lock and returns events, or a Refusal, which is raised as the error of its
        code and leaves nothing behind. It must not use the ledger itself.
        fence: what `claim` gave; a newer claim makes this one a Conflict.

        Raises what a Refusal says; Conflict (fence, or a command id that another actor used); BadInput (an event or an
        id that cannot be recorded); Unavailable; Corrupt.
        """
        check_key(command.id)
        with self.database.writing() as connection:
            head = self._checked_head(connection, fence)
            done = self._done(connection, command)
            if done is not None:
                return done
            self._check_order(connection, command.id)
            # time never goes back in the record, whatever the system's clock does
            now = max(self._clock.now(), head.at)
            state = SqlProjection(connection, self.database.sql)
            outcome = decide(state, command, now)
            if isinstance(outcome, Refusal):
                raise error_of(outcome)
            if not outcome:
                return Receipt(command=command.id, first=0, last=0)
            self._append(connection, head, state, [(now, command.actor, command.id, event) for event in outcome])
            return Receipt(command=command.id, first=head.size + 1, last=head.size + len(outcome))

    def knows(self, command: str) -> bool:
        """Whether a command of this id was carried out."""
        with self.database.reading() as connection:
            return connection.execute(self.database.sql.command, (command,)).fetchone()[0] is not None

    def read(self, after: int, limit: int) -> Iterator[Recorded]:
        """Events after number `after` in order, `limit` at most. Needs little memory. Raises Corrupt at one that cannot be read."""
        end = after + limit
        while after < end:
            with self.database.reading() as connection:
                rows = connection.execute(self.database.sql.events, (after, min(after + _CHUNK, end))).fetchall()
            for seq, body in rows:
                yield read_body(seq, stored_bytes(body))
            if len(rows) < min(_CHUNK, end - after):
                return
            after += _CHUNK

    def state(self) -> Snapshot:
        """The projections as they are now and stay for this object. Raises Unavailable, Corrupt."""
        if self._damage is not None:
            raise self._damage
        return Snapshot(self.database.reader(), self.database.sql)

    def head(self) -> Head:
        """Where the ledger stands."""
        with self.database.reading() as connection:
            return read_head(connection, self.database)

    def size(self) -> int:
        """How many events there are."""
        return self.head().size

    def origin(self) -> bytes:
        """The hash of the first event; empty before there is one. No two records have the same, for its time and its command are its own; a copy has."""
        with self.database.reading() as connection:
            return nodes(connection, self.database)(0, 0) if read_head(connection, self.database).size else b""

    def root(self, size: int) -> bytes:
        """The root of the first `size` events, one at least. Raises Corrupt."""
        with self.database.reading() as connection:
            return merkle.root_of_first(nodes(connection, self.database), size)

    def personal(self, digest: str) -> str | None:
        """The personal text that an event holds the hash of; None where it was erased or never there. Raises Corrupt."""
        with self.database.reading() as connection:
            row = connection.execute(self.database.sql.personal.get, (digest,)).fetchone()
        if row is None:
            return None
        kept = read_personal(stored_bytes(row[0]))
        if kept is None:
            raise Corrupt(f"the personal text {digest} was changed", fix="flyball audit verify says what else was; restore from a backup")
        return kept.text

    def personal_of(self, text: str) -> list[str]:
        """The hashes under which events hold this very text, where it was not erased. Looks at every text that can be read."""
        with self.database.reading() as connection:
            rows = connection.stream(self.database.sql.personal.everything, ())
            return [key for key, body in rows if (kept := read_personal(stored_bytes(body))) is not None and kept.text == text]

    def erase_personal(self, digests: Sequence[str]) -> None:
        """Forget what these hashes stand for. No event, proof or projection changes; a hash that is not there is no error."""
        if not digests:
            return
        with self.database.erasing() as connection:
            for digest in digests:
                connection.execute(self.database.sql.personal.delete, (digest,))

    def claim(self) -> int:
        """Become the one whose `execute(…, fence=…)` is accepted; returns the fence. Whoever claimed before is refused from now on."""
        with self.database.writing() as connection:
            fence = self._checked_head(connection, None).fence + 1
            connection.execute(self.database.sql.set_fence, (fence,))
        return fence

    def rebuild(self) -> int:
        """Make every projection again from the events; returns their number. Raises Corrupt at an event that cannot be read."""
        with self.database.writing() as connection:
            done = self.rebuild_within(connection)
        self._damage = None
        return done

    def rebuild_within(self, connection: Connection) -> int:
        """The same, as a part of the caller's write transaction."""
        head = read_head(connection, self.database)
        done = rebuild(connection, self.database.sql, self.folds, head.size, head.frontier)
        connection.execute(self.database.sql.set_meta, ("fold_hash", self._fold_hash))
        return done

    def _checked_head(self, connection: Connection, fence: int | None) -> Head:
        head = read_head(connection, self.database)
        if self._damage is not None:
            raise self._damage
        if head.fold_hash != self._fold_hash:
            raise Conflict(
                "another version of flyball has opened this ledger",
                why="it made the projections anew, and this process would write them in the former way",
                fix="restart this process",
                code="folds-changed",
            )
        if len(head.frontier) != head.size.bit_count():
            raise Corrupt(
                "the ledger's head is damaged",
                why="its frontier does not have the shape of its size",
                fix="flyball audit verify says what else is; restore from a backup",
            )
        if fence is not None and fence != head.fence:
            raise Conflict(
                "another control plane has taken over this ledger",
                why=f"it holds fence {head.fence}, this one {fence}",
                fix="nothing, if that was meant; else stop the other one",
                code="fenced",
            )
        return head

    def _done(self, connection: Connection, command: Command) -> Receipt | None:
        """The receipt of a command that was carried out before. Raises Conflict for an id that another actor used; Corrupt."""
        first, last = connection.execute(self.database.sql.command, (command.id,)).fetchone()
        if first is None:
            return None
        [body] = connection.execute(self.database.sql.event, (first,)).fetchone()
        given = read_body(first, stored_bytes(body))
        if given.command != command.id:
            raise Corrupt(
                f"event {first} is kept as one of the command {command.id}",
                why=f"it is of {given.command}, so somebody has changed one of both",
                fix="flyball audit verify says which, and what else",
            )
        if given.actor != command.actor:
            raise Conflict(
                f"the command id {command.id} was used by {given.actor}",
                why="an id names one command of one actor",
                fix="choose a new id",
            )
        return Receipt(command=command.id, first=first, last=last, repeated=True)

    def _check_order(self, connection: Connection, command: str) -> None:
        """Raise BadInput for a key that was used for another order: answered as that one, it would be a command that nobody carried out."""
        key = key_of(command)
        if not key:
            return
        used = connection.execute(self.database.sql.commands, (f"{key}/", f"{key}/{LAST}")).fetchall()
        if any(key_of(each) == key for (each,) in used):
            raise errors.BadInput(
                f"the idempotency key {key} was used for another command",
                why="the same key again is the same command, done once",
                fix="send the same again, or choose a new key",
                code="key-reused",
            )

    def _append(self, connection: Connection, head: Head, projection: SqlProjection, entries: Sequence[_Entry]) -> None:
        frontier, rows = list(head.frontier), []
        texts: dict[str, bytes] = {}
        for seq, (at, actor, command, event) in enumerate(entries, head.size + 1):
            known, kept = hidden(event, self._salts)
            texts |= kept
            body = write_body(at, actor, command, known)
            # what is folded is what was written, so a replay cannot come out differently
            fold(self.folds, projection, _as_written(seq, body, known))
            rows.append((seq, command, body, b"".join(merkle.append(seq - 1, frontier, merkle.leaf_hash(body)))))
        sql = self.database.sql
        connection.executemany(sql.append, rows)
        if texts:
            connection.executemany(sql.personal.put, list(texts.items()))
        connection.execute(sql.set_head, (head.size + len(entries), b"".join(frontier), entries[-1][0]))
        projection.flush()


def _as_written(seq: int, body: bytes, event: Event) -> Recorded:
    """The event as any later reader will see it. Raises BadInput when that is not what was meant: a wrong type in a field."""
    try:
        recorded = read_body(seq, body)
    except Corrupt as error:
        raise errors.BadInput("an event does not hold what its record declares", why=error.why) from error
    # what is equal is written alike; what is not, such as a list that is read as a tuple, may be
    if recorded.event != event and rewrite(recorded) != body:
        raise errors.BadInput(
            f'the event "{recorded.event.kind}" does not hold what its record declares', why="written and read again it is another"
        )
    return recorded


def nodes(connection: Connection, database: Database) -> merkle.GetNode:
    """The stored hashes of complete subtrees. It raises Corrupt at one that is missing."""

    def node(level: int, idx: int) -> bytes:
        row = connection.execute(database.sql.hashes, ((idx + 1) << level,)).fetchone()
        found = stored_bytes(row[0])[level * merkle.SIZE : (level + 1) * merkle.SIZE] if row else b""
        if len(found) < merkle.SIZE:
            raise Corrupt(f"node {level}/{idx} is missing", fix="flyball audit verify says what else is")
        return found

    return node


def inclusion(connection: Connection, database: Database, seq: int, size: int) -> tuple[bytes, tuple[bytes, ...]]:
    """The leaf hash of event `seq` and the hashes that lead from it to the root of the first `size` events. Raises Corrupt."""
    node = nodes(connection, database)
    return node(0, seq - 1), merkle.inclusion_proof(node, seq - 1, size)


def read_head(connection: Connection, database: Database) -> Head:
    """Where the ledger stands, as the transaction sees it. Raises Corrupt."""
    row = connection.execute(database.sql.head).fetchone()
    if row is None:
        raise Corrupt("the ledger has no head", why="its one row was removed", fix="restore the database from a backup")
    size, frontier, at, fence, written_by = row
    if not (isinstance(size, int) and isinstance(frontier, bytes) and isinstance(at, int) and isinstance(fence, int) and abs(at) < EXACT):
        raise Corrupt("the ledger's head is not what a head is", why="its one row was changed", fix="restore the database from a backup")
    hashes = [frontier[start : start + merkle.SIZE] for start in range(0, len(frontier), merkle.SIZE)]
    return Head(size, tuple(hashes), at, fence, written_by or "")


_BY_CODE: dict[str, type[FlyballError]] = {
    each.code: each
    for each in (
        errors.DeclarationError,
        errors.BadInput,
        errors.Unauthenticated,
        Refused,
        errors.NotFound,
        Conflict,
        errors.Unavailable,
        errors.Busy,
        Corrupt,
    )
}


def error_of(refusal: Refusal) -> FlyballError:
    """The error of a refusal's code; an unknown code is a Refused that keeps it."""
    kind = _BY_CODE.get(refusal.code, Refused)
    return kind(refusal.what, why=refusal.why, fix=refusal.fix, code=refusal.code)
