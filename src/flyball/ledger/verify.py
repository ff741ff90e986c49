"""Whether everything that is stored is what the events say, and if not, what exactly is not.

Reads one snapshot, so it may run while others write. What it cannot see: the last events cut off together with their rows and checkpoints,
or the whole record written anew by somebody who has the key, where no checkpoint was kept outside.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from flyball.clock import Instant
from flyball.errors import BadInput, Corrupt, NotFound, Unavailable
from flyball.ledger.canonical import is_canonical, read_body, rewrite, stored_bytes
from flyball.ledger.checkpointcheck import CheckpointCheck, Kept
from flyball.ledger.differences import Difference, differences
from flyball.ledger.erasurecheck import ErasureCheck
from flyball.ledger.folds import fold
from flyball.ledger.ledger import Head, SqlLedger, read_head
from flyball.ledger.projection import MemoryProjection
from flyball.ledger.references import OPENED, Reference, inner, references
from flyball.ledger.treecheck import TreeCheck, VerifyProblem
from flyball.records.base import Record, Recorded
from flyball.records.vocabulary import PROJECTIONS
from flyball.store import tables
from flyball.store.blobs import Blobs
from flyball.store.sql import Connection

_GAP = 1_000_000
"""Missing events in a row that are still stepped over, so that a changed number cannot make verify run for ever."""


class VerifyReport(Record, frozen=True):
    """What was checked, and every problem. `artifacts` counts blobs, `projections` tables, `checkpoints` those in the store."""

    verified: bool
    events: int
    checkpoints: int
    projections: int
    artifacts: int
    problems: tuple[VerifyProblem, ...] = ()


def verify(ledger: SqlLedger, blobs: Blobs | None, kept: Sequence[Kept] = ()) -> VerifyReport:
    """Check events, tree, head, checkpoints, projections and blobs (None: blobs are left out). Changes nothing. Raises Unavailable.

    kept: checkpoints from outside, with which the record is compared as well.
    Time grows with the events and the bytes of the blobs; memory with the state, not with the events.
    """
    names = ledger.database.table_names()
    with ledger.database.reading() as connection:
        check = _Verification(ledger, connection, blobs, kept)
        check.events()
        check.projections()
        check.erasures()
        check.unknown_tables(names)
    return VerifyReport(
        verified=not check.problems,
        events=check.tree.size,
        checkpoints=check.checkpoints.count,
        projections=len(PROJECTIONS),
        artifacts=len(check.seen),
        problems=tuple(check.problems),
    )


class _Verification:
    """One pass over one snapshot."""

    def __init__(self, ledger: SqlLedger, connection: Connection, blobs: Blobs | None, kept: Sequence[Kept]) -> None:
        self.ledger = ledger
        self.sql = ledger.database.sql
        self.connection = connection
        self.blobs = blobs
        self.problems: list[VerifyProblem] = []
        self.seen: set[str] = set()
        self.inner: dict[str, tuple[str, ...]] = {}
        self.replayed = MemoryProjection()
        self.replayed.track()
        self.tree = TreeCheck(self.problems.append)
        self.erased = ErasureCheck(self.problems.append)
        stored = ((size, stored_bytes(signed)) for size, signed in connection.stream(self.sql.checkpoints, ()))
        self.checkpoints = CheckpointCheck(stored, kept, self.tree, self.replayed, self.problems.append)

    def events(self) -> None:
        """Every event: in its place, canonical, readable, in time; then the tree and the head."""
        head = self._head()
        at = 0
        for seq, command, stored, hashes in self.connection.stream(self.sql.all_events, ()):
            if seq <= self.tree.size or (head is not None and seq > head.size):
                self._tell(f"event {seq} is there, and the head does not count it", f"event {seq}", seq)
                continue
            if not self._gap(seq):
                break
            body = stored_bytes(stored)
            self.tree.add(body, stored_bytes(hashes))
            at = self._event(seq, command, body, at)
            self.checkpoints.at(self.tree.size)
        self.checkpoints.finish(self.tree.size)
        if head is None:
            return
        if self.tree.size < head.size:
            self._tell(f"{_events(self.tree.size + 1, head.size)} missing", f"event {self.tree.size + 1}", self.tree.size + 1)
        self.tree.finish(head.size, head.frontier)
        if head.at != at:
            self._tell(f"the head's time is {head.at}, the last event's {at}", "head")

    def _head(self) -> Head | None:
        try:
            return read_head(self.connection, self.ledger.database)
        except Corrupt as error:
            self._tell(error.what, "head")
            return None

    def _gap(self, seq: int) -> bool:
        """Tell of the events that are missing before `seq`. False: so many that nothing after them can be placed."""
        first = self.tree.size + 1
        if seq > first:
            self._tell(f"{_events(first, seq - 1)} missing", f"event {first}", first)
        if seq - first > _GAP:
            return False
        while self.tree.size < seq - 1:
            self.tree.skip()
        return True

    def _event(self, seq: int, command: object, body: bytes, before: Instant) -> Instant:
        try:
            recorded = read_body(seq, body)
        except Corrupt as error:
            self._tell(f"event {seq} cannot be read: {error.why}", f"event {seq}", seq)
            return before
        # written again it is the same, or else it is from before its record got a new field
        if not _rewrites_to(recorded, body) and not is_canonical(body):
            self._tell(f"event {seq} is not canonical JSON", f"event {seq}", seq)
        if recorded.at < before:
            self._tell(f"event {seq} is older than the one before it", f"event {seq}", seq)
        if recorded.command != command:
            self._tell(f"event {seq} is kept as one of the command {command}, and is of {recorded.command}", f"event {seq}", seq)
        self.replayed.seq = seq
        self.erased.add(recorded)
        try:
            fold(self.ledger.folds, self.replayed, recorded)
        # a fold is a stage's code: on an event that no decision of that stage made, it may fail in any way
        except Exception as error:  # noqa: BLE001
            self._tell(f"event {seq} cannot be replayed: {type(error).__name__}: {error}", f"event {seq}", seq)
        self._blobs(recorded)
        return max(before, recorded.at)

    def projections(self) -> None:
        """Every row of every projection against the replay."""
        for table in PROJECTIONS:
            for each in differences(self.connection, self.sql, table.name, self.replayed.rows(table.name)):
                self._differs(each)

    def erasures(self) -> None:
        """Blobs that are gone, and the personal texts that are kept."""
        rows = self.connection.stream(self.sql.personal.everything, ())
        self.erased.finish(self.replayed, ((str(key), stored_bytes(body)) for key, body in rows))

    def unknown_tables(self, names: list[str]) -> None:
        """Tables that no part of flyball made."""
        for name in names:
            if name not in tables.metadata.tables:
                self._tell("a table that nothing explains", f"table {name}")

    def _differs(self, each: Difference) -> None:
        key = str(each.key)
        if each.wanted is None:
            what = "is there, and no event explains it"
        else:
            what = "is not what its events make of it" if each.there else "is missing"
        self._tell(f"row {key} of {each.table} {what}", f"{each.table} {key}", self.replayed.touched(each.table, key))

    def _blobs(self, recorded: Recorded) -> None:
        for reference in references(recorded.event):
            self._blob(reference, recorded)

    def _blob(self, reference: Reference, recorded: Recorded, of: str = "") -> None:
        """of: the blob that names it, if no event does."""
        if self.blobs is None:
            return
        self.erased.needed(reference.digest, of)
        if reference.digest in self.seen:
            for digest in (reference.digest, *self.inner.get(reference.digest, ())):
                self.erased.named(digest, recorded.seq)
            return
        self.seen.add(reference.digest)
        where = f"blob {reference.digest}"
        says = f"({reference.field} of event {recorded.seq}, {recorded.event.kind})"
        try:
            self.blobs.check(reference.digest)
            found = inner(reference.kind, self.blobs.get(reference.digest)) if reference.kind in OPENED else ()
            self.inner[reference.digest] = tuple(each.digest for each in found)
            for each in found:
                self._blob(each._replace(field=f"{reference.field} → {each.field}"), recorded, reference.digest)
        except NotFound:
            self.erased.gone(
                reference.digest, VerifyProblem(what=f"a blob is missing {says}", where=where, event=recorded.seq), recorded.seq
            )
        except Corrupt:
            self._tell(f"a blob was changed: its bytes do not hash to its name {says}", where, recorded.seq)
        except Unavailable as error:
            self._tell(f"a blob cannot be read: {error.why} {says}", where, recorded.seq)
        except BadInput as error:
            self._tell(f"{error.what} {says}", where, recorded.seq)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            self._tell(f"a {reference.kind} cannot be read: {error} {says}", where, recorded.seq)

    def _tell(self, what: str, where: str, event: int | None = None) -> None:
        self.problems.append(VerifyProblem(what=what, where=where, event=event))


def _rewrites_to(recorded: Recorded, body: bytes) -> bool:
    try:
        return rewrite(recorded) == body
    except BadInput:
        return False


def _events(first: int, last: int) -> str:
    return f"event {first} is" if first == last else f"events {first} to {last} are"
