"""The environment before this one, by its record and its blobs: read, and never changed but by what is wanted of it.

Whatever keeps it from being read is one error, `environment-away`, and one that hangs is left alone for a while: nothing here waits for it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from flyball.clock import Clock, Instant, SystemClock
from flyball.declare.project import read_project
from flyball.errors import BadInput, Conflict, Corrupt, DeclarationError, FlyballError, NotFound, Unavailable
from flyball.ledger.bounds import clipped
from flyball.ledger.folds import fold_hash
from flyball.ledger.ledger import Head, SqlLedger, read_head
from flyball.ledger.references import OPENED, Kind, inner, references
from flyball.loop.carrying import ACTOR, Offer, Want, WantJudged, decide_want, decide_want_judged
from flyball.loop.folds import FOLDS
from flyball.loop.ports import CommandT
from flyball.loop.sharing import record_of
from flyball.records import codec
from flyball.records.base import Event, State
from flyball.records.training import RUNS, RunResult
from flyball.records.versions import MODELS, VERSIONS, VersionRow
from flyball.registry import approvals
from flyball.serving.layout import state_folder
from flyball.settings import read_settings
from flyball.store.blobs import Blobs, LocalBlobs
from flyball.store.sql import Database, exists

LOOKED_AT: Final = 10_000
"""Of so many new events it is looked which models they are about; after more, every model may have changed."""

SLOW_S: Final = 1.0
"""A failure that took longer than this would hold up whoever asks again."""

REST: Final = 5
"""It is left alone for so many times as long as it took to fail: at most a sixth of the loop's time is waited for it."""


class EarlierEnvironment:
    """The environment `name` of the project at `root`. Opened when it is first needed; nothing runs there for it. `own`: the record of this one, `here`."""

    def __init__(self, name: str, root: Path, here: str, own: SqlLedger, clock: Clock) -> None:
        self._name, self._root, self._here, self._own, self._clock = name, root, here, own, clock
        self._ledger: SqlLedger | None = None
        self._blobs = LocalBlobs(state_folder(root, name) / "blobs")
        self._theirs, self._ours, self._of, self._seen = b"", b"", b"", 0
        self._followed: set[str] = set()
        self._asked: set[tuple[str, str, str]] = set()
        self._rests_until, self._said = 0.0, FlyballError("")

    @property
    def name(self) -> str:
        """What flyball.toml calls it."""
        return self._name

    def due(self, models: Sequence[str]) -> list[str]:
        """Those of the models that were not followed yet, or of which something was recorded there since. Raises Unavailable, Conflict."""
        with self._looking() as ledger:
            size = ledger.size()
            if self._of == self._theirs and 0 <= size - self._seen <= LOOKED_AT:
                for recorded in ledger.read(self._seen, size - self._seen):
                    self._followed.discard(getattr(recorded.event, "model", ""))
            else:
                self._followed.clear()
        self._of, self._seen = self._theirs, size
        return [model for model in models if model not in self._followed]

    def followed(self, model: str) -> None:
        """All that is there of a model is here. Until this is said, it stays due: what failed, or was killed, is done again."""
        self._followed.add(model)

    def rows(self, model: str, here: Sequence[str]) -> list[VersionRow]:
        """The version that answers there, and those of `here` that are there. Raises Unavailable, Conflict."""
        with self._looking() as ledger:
            state = ledger.state()
            roles = state.get(MODELS, model)
            numbers = dict.fromkeys(filter(None, (roles.champion if roles is not None else "", *here)))
            rows = [state.get(VERSIONS, f"{model}/{number}") for number in numbers]
        return [row for row in rows if row is not None]

    def offer(self, model: str, version: str) -> Offer:
        """A version as it stands there. Raises NotFound, Unavailable, Conflict."""
        ref = f"{model}@{version}"
        # before anything is read there: what another process takes over meanwhile is newer
        own = self._own.state().get(VERSIONS, f"{model}/{version}")
        with self._looking() as ledger:
            state = ledger.state()
            row = state.get(VERSIONS, f"{model}/{version}")
            run = state.get(RUNS, row.run) if row is not None else None
            if row is None or run is None:
                raise NotFound(f"{self._name} has no version {ref}", fix=f"flyball models list {model} --env {self._name}")
            what = codec.decode(self._blobs.get(row.result), RunResult)
            authors = tuple(sorted(approvals.authors(state, row)))
            root = ledger.root(state.size).hex()
        since = own.taken.size if own is not None else 0
        return Offer(origin=self._name, row=row, run=run, what=what, size=state.size, root=root, since=since, authors=authors)

    def copy(self, offer: Offer, blobs: Blobs) -> None:
        """Bring everything that a version is made of, and was judged by. Raises NotFound, Corrupt, Unavailable."""
        waiting: list[tuple[str, Kind]] = [(found.digest, found.kind) for each in (offer.row, offer.run) for found in references(each)]
        seen: set[str] = set()
        while waiting:
            digest, kind = waiting.pop()
            if digest in seen:
                continue
            seen.add(digest)
            if kind not in OPENED and _is_kept(blobs, digest):
                continue
            data = self._blob(digest)
            waiting += [(found.digest, found.kind) for found in inner(kind, data)]
            blobs.put(data)

    def _blob(self, digest: str) -> bytes:
        try:
            return self._blobs.get(digest)
        except Unavailable as error:
            raise self._away(error, "read") from error

    def want(self, model: str, origin: str, reason: str) -> None:
        """Say there that a training is wanted here. Raises Unavailable, Conflict."""
        self._say(Want(id=self._clock.new_id("cmd"), actor=ACTOR, model=model, origin=origin, reason=clipped(reason)), decide_want)

    def want_judged(self, model: str, version: str, origin: str, gates_digest: str) -> None:
        """Say there that a version serves here that these gates have not judged. Raises Unavailable, Conflict."""
        command = WantJudged(
            id=self._clock.new_id("cmd"), actor=ACTOR, model=model, version=version, origin=origin, gates_digest=gates_digest
        )
        key = (model, version, gates_digest)
        if key not in self._asked and self._say(command, decide_want_judged):
            self._asked.add(key)

    def _say(self, command: CommandT, decide: Callable[[State, CommandT, Instant], Sequence[Event]]) -> bool:
        """Whether there was anything to say."""
        with self._looking() as ledger:
            if not decide(ledger.state(), command, self._clock.now()):
                return False
        with self._looking("told what is wanted"):
            database = Database.open(self._address(), base=self._root)
            try:
                self._opened(database).execute(command, decide)
            finally:
                database.close()
        return True

    @contextmanager
    def _looking(self, doing: str = "read") -> Iterator[SqlLedger]:
        """The record there, for a look. Whatever keeps it from being read is raised as Unavailable, "environment-away"."""
        if time.monotonic() < self._rests_until:
            raise self._away(self._said, doing)
        began = time.monotonic()
        try:
            yield self._record()
        except (Unavailable, Corrupt, Conflict, BadInput, DeclarationError) as error:
            if error.code == "one-record":
                raise
            if time.monotonic() - began > SLOW_S:
                self._said, self._rests_until = error, time.monotonic() + REST * (time.monotonic() - began)
            raise self._away(error, doing) from error

    def _away(self, error: FlyballError, doing: str) -> Unavailable:
        why = f"{error.what}: {error.why}" if error.why else error.what
        return Unavailable(
            f"the environment {self._name} cannot be {doing}", why=why, fix=error.fix, code="environment-away", retry_after=5
        )

    def _address(self) -> str | Path:
        """Where flyball.toml says: the variables here are about this environment."""
        return record_of(self._root, self._name, read_settings(read_project(self._root, self._name).settings, {}))

    def _record(self) -> SqlLedger:
        if self._ledger is None or not self._ledger.database.is_current():
            address = self._address()
            if not exists(address, base=self._root):
                raise Unavailable("it has no record yet", why="nothing has run there", fix=f"flyball apply --env {self._name}")
            former, self._ledger = self._ledger, self._opened(Database.look(address, base=self._root))
            self._theirs = b""
            self._asked.clear()
            if former is not None:
                former.database.close()
        self._check_folds(self._ledger.head())
        # neither changes once there is one
        self._theirs = self._theirs or self._ledger.origin()
        self._ours = self._ours or self._own.origin()
        if self._theirs and self._theirs == self._ours:
            raise Conflict(
                f"{self._here} and {self._name} have one record",
                why=f"both begin with the same event, so one is the other or a copy of it: what answers by it was not tried in {self._name}",
                fix=f"give {self._here} another one: database_url under [env.{self._here}] of flyball.toml, or FLYBALL_DATABASE_URL; move a copy away",
                code="one-record",
            )
        return self._ledger

    def _opened(self, database: Database) -> SqlLedger:
        try:
            with database.reading() as connection:
                # opened as a ledger it would be made anew from here, and whoever runs it would have to give up
                self._check_folds(read_head(connection, database))
            return SqlLedger(database, FOLDS, SystemClock())
        except FlyballError:
            database.close()
            raise

    def _check_folds(self, head: Head) -> None:
        if head.fold_hash != fold_hash(FOLDS):
            raise Unavailable(
                "it is run by another version of flyball",
                why="what it knows is written in another way than this version reads",
                fix=f"run both by the same: flyball status --env {self._name} says more",
            )


def _is_kept(blobs: Blobs, digest: str) -> bool:
    """Whether a blob is there, and stays: nobody else may need it yet, and what nobody needs is collected."""
    try:
        blobs.refresh(digest)
    except NotFound:
        return False
    return True
