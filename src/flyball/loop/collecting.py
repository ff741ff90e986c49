"""What may be removed, and what must stay: `flyball gc`.

Everything that any event refers to is needed, but for what old runs left that came to nothing: runs that ended long ago without a version, or
with one that is rejected; and for versions of data sets that are kept no longer (`loop/retention.py`). A removal is recorded before it is done, so that a crash between is healed by the next one, and `audit verify` can
tell what was removed from what was lost. Nothing that somebody has written within a day is touched: a command may be about to refer to it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from flyball.clock import Instant, Span
from flyball.errors import Corrupt, FlyballError, NotFound
from flyball.ledger.erasurecheck import replaced
from flyball.ledger.ledger import SqlLedger
from flyball.ledger.references import OPENED, Kind, Reference, inner, references
from flyball.loop import retention
from flyball.loop.commands import active_run
from flyball.loop.ports import Ports
from flyball.loop.retention import LetGo, Superseded
from flyball.records.base import Event, Record, Refusal, State
from flyball.records.data import COLLECTED
from flyball.records.removals import REMOVED, pieces
from flyball.records.serving import ROUTES, RouteDesired
from flyball.records.training import RUNS, RunQueued, RunRow, RunState
from flyball.records.versions import MODELS, VERSIONS, ModelRow, VersionDeleted, VersionRow, VersionState
from flyball.store.blobs import Blobs

GRACE = Span.parse("1d")
"""A blob that was put or refreshed more recently may be about to be referred to."""

_OVER = (RunState.SUCCEEDED, RunState.FAILED, RunState.CANCELLED)
_CAME_TO_NOTHING = (VersionState.REJECTED, VersionState.DELETED)


class RemoveBlobs(Record, frozen=True):
    """Note that these blobs may be missing, and that these versions (`model/version`) are made of some of them.

    It was looked for what runs left that ended before `ended_before`.
    """

    id: str
    actor: str
    blobs: tuple[str, ...]
    versions: tuple[str, ...]
    ended_before: Instant
    data: LetGo = LetGo()


def decide_remove(state: State, command: RemoveBlobs, _now: Instant) -> Sequence[Event] | Refusal:
    """Nothing is given up that is needed by now: while it was looked for, others went on."""
    gone, blobs = old(state, command.ended_before), set(command.blobs)
    versions = state.scan(VERSIONS)
    wanted = [key for key, row in versions if key not in gone.versions and (key in command.versions or {row.artifact, row.result} & blobs)]
    wanted += [key for key, row in state.scan(RUNS) if _needs(row, gone) & blobs]
    if wanted:
        return Refusal(
            code="conflict",
            what=f"{wanted[0]} needs by now what was to be removed: nothing was",
            why="something was trained, judged or released meanwhile",
            fix="flyball gc looks again",
        )
    if news := retention.stale(state, command.data):
        return Refusal(code="conflict", what="nothing was removed", why=f"{news} meanwhile", fix="flyball gc looks again")
    deleted = (row for key, row in versions if key in command.versions and row.state != VersionState.DELETED)
    tombstones = [VersionDeleted(model=row.model, version=row.version, why="what it was made of is removed") for row in deleted]
    return (*tombstones, *retention.events(state, command.data), *pieces(command.blobs))


@dataclass(frozen=True)
class Old:
    """Runs and versions (`model/version`) that came to nothing, long ago."""

    runs: frozenset[str]
    versions: frozenset[str]
    without_version: frozenset[str]

    def has(self, event: Event) -> bool:
        """Whether only they need what this event refers to. What was asked of a run that gave a version stays: it says what it was made from."""
        run, model, version = (getattr(event, name, None) for name in ("run", "model", "version"))
        if isinstance(event, RunQueued):
            return event.run in self.without_version
        if f"{model}/{version}" in self.versions:
            return True
        return run in self.runs


@dataclass(frozen=True)
class Garbage:
    """What may be removed: `blobs` of `size` bytes in all, of which `recorded` are named by events and so are noted first, with the versions
    made of them; the `jobs` of runs that ended before `ended_before`; and versions of data sets (`data`) that are kept no longer. Nothing that was touched since `before` is taken.
    """

    blobs: tuple[str, ...] = ()
    recorded: tuple[str, ...] = ()
    versions: tuple[str, ...] = ()
    jobs: tuple[str, ...] = ()
    size: int = 0
    ended_before: Instant = 0
    before: Instant = 0
    data: LetGo = field(default_factory=LetGo)


def old(state: State, ended_before: Instant) -> Old:
    """Whose leftovers may go. Pure.

    A version stays while it is, or may become, anything: only rejected ones go, with tombstones; and of these not a model's newest, nor one of
    a model that is being trained or judged.
    """
    models = dict(state.scan(MODELS))
    busy = {name for name in models if active_run(state, name) is not None}
    runs = [row for _, row in state.scan(RUNS)]
    young = {f"{row.model}/{row.version}" for row in runs if not _over(row, ended_before)}
    versions = frozenset(
        key
        for key, row in state.scan(VERSIONS)
        if row.state in _CAME_TO_NOTHING and key not in young and row.model not in busy and not _in_use(models.get(row.model), row.version)
    )
    ended = [row for row in runs if _over(row, ended_before) and row.model not in busy and not _is_last(models.get(row.model), row)]
    without = frozenset(row.run for row in ended if not row.version)
    return Old(without | {row.run for row in ended if f"{row.model}/{row.version}" in versions}, versions, without)


def _over(row: RunRow, before: Instant) -> bool:
    return row.state in _OVER and row.ended_at < before


def _needs(row: RunRow, gone: Old) -> set[str]:
    spec = {row.spec} if row.run not in gone.without_version else set()
    return spec | ({row.result} if row.run not in gone.runs else set())


def _is_last(model: ModelRow | None, row: RunRow) -> bool:
    return model is not None and model.last_run == row.run


def _in_use(model: ModelRow | None, version: str) -> bool:
    return model is not None and version in (model.newest, model.champion, model.former)


@dataclass
class _Found:
    """Blobs that events name: what kind of thing they are, and the last event that needs each of them."""

    kinds: dict[str, Kind] = field(default_factory=dict)
    last: dict[str, int] = field(default_factory=dict)

    def add(self, found: Iterable[Reference], seq: int) -> None:
        for one in found:
            if self.kinds.get(one.digest, "bytes") == "bytes":
                self.kinds[one.digest] = one.kind
            self.last[one.digest] = max(seq, self.last.get(one.digest, 0))

    def close(self, blobs: Blobs, *, erased: frozenset[str], skip: State | None) -> None:
        """Add what manifests and results name, but for what was `erased`. One that is missing is passed over if nobody needs it (`skip` None),
        or it was removed.

        Raises NotFound, Corrupt: what one that cannot be read would need is not known.
        """
        for digest, kind in list(self.kinds.items()):
            if kind not in OPENED or digest in erased:
                continue
            try:
                found = inner(kind, blobs.get(digest))
            except (NotFound, Corrupt, msgspec.MsgspecError, UnicodeDecodeError) as error:
                if skip is None or skip.get(REMOVED, digest) is not None:
                    continue
                raise Corrupt(
                    f"nothing was removed: the {kind} {digest} cannot be read",
                    why=f"what it needs is not known: {error.what if isinstance(error, FlyballError) else error}",
                    fix="flyball audit verify says what else is damaged; restore it from a backup",
                ) from error
            self.add(found, self.last[digest])


def garbage(ports: Ports, *, now: Instant, keep: Span, data: Mapping[str, Span] | None = None) -> Garbage:
    """What may be removed, of runs that ended more than `keep` ago and of what nothing refers to. Changes nothing. Raises Corrupt, Unavailable.

    data: how long versions of data sets are kept (`retention.declared`); of one that is not named, for good.
    """
    state = ports.ledger.state()
    before, gone = _quiet_since(state, now), old(state, now - keep)
    let_go = _let_go(ports, state, gone, data, now) if data else LetGo()
    over = frozenset(let_go.versions) | {key for key, _ in state.scan(COLLECTED)}
    needed, given_up = _Found(), _Found()
    for recorded in ports.ledger.read(0, ports.ledger.size()):
        # what was once routed is needed as far as its version is
        theirs = isinstance(recorded.event, RouteDesired) or gone.has(recorded.event) or retention.is_of(recorded.event, over)
        (given_up if theirs else needed).add(references(recorded.event), recorded.seq)
    for _, row in state.scan(ROUTES):
        needed.add(references(row.route), 0)
    erased = replaced(state)
    needed.close(ports.blobs, erased=erased, skip=state)
    given_up.close(ports.blobs, erased=erased, skip=None)
    idle = dict(_idle(ports.blobs, needed.kinds, before))
    recorded_now = tuple(digest for digest in idle if digest in given_up.last and not _noted(state, digest, given_up.last[digest]))
    return Garbage(
        blobs=tuple(idle),
        recorded=recorded_now,
        versions=tuple(sorted(_made_of(ports, state, gone, frozenset(recorded_now)))),
        jobs=tuple(sorted(gone.runs & set(ports.runs.held()))),
        size=sum(idle.values()),
        ended_before=now - keep,
        before=before,
        data=let_go,
    )


def _let_go(ports: Ports, state: State, gone: Old, data: Mapping[str, Span], now: Instant) -> LetGo:
    superseded = Superseded()
    for recorded in ports.ledger.read(0, ports.ledger.size()):
        superseded.add(recorded)
    return retention.chosen(state, data, superseded.since, now, gone.runs)


def _quiet_since(state: State, now: Instant) -> Instant:
    """What was written before this moment is written for nobody who is still at work: a run writes long before it is registered."""
    active = [row.queued_at for _, row in state.scan(RUNS) if row.state not in _OVER]
    return min([now - GRACE, *active])


def _idle(blobs: Blobs, needed: Mapping[str, Kind], before: Instant) -> Iterator[tuple[str, int]]:
    for digest in blobs.digests():
        seen = blobs.touched(digest) if digest not in needed else None
        if seen is not None and seen.at < before:
            yield digest, seen.size


def _noted(state: State, digest: str, last: int) -> bool:
    row = state.get(REMOVED, digest)
    return row is not None and row.since > last


def _made_of(ports: Ports, state: State, gone: Old, blobs: frozenset[str]) -> Iterator[str]:
    """Versions that become tombstones: those that something is removed of."""
    for key in gone.versions:
        row = state.get(VERSIONS, key)
        if row is not None and row.state != VersionState.DELETED and blobs & _parts(ports.blobs, row):
            yield key


def _parts(blobs: Blobs, row: VersionRow) -> set[str]:
    parts = _Found()
    parts.add(references(row), 0)
    parts.close(blobs, erased=frozenset(), skip=None)
    return set(parts.kinds)


def needed(ledger: SqlLedger, blobs: Blobs) -> frozenset[str]:
    """The blobs that events name and nobody has removed or erased since. What manifests and results name is read from `blobs`."""
    state, found = ledger.state(), _Found()
    for recorded in ledger.read(0, ledger.size()):
        found.add(references(recorded.event), recorded.seq)
    erased = replaced(state)
    found.close(blobs, erased=erased, skip=None)
    return frozenset(digest for digest, last in found.last.items() if not _noted(state, digest, last)) - erased


def command(found: Garbage, *, id: str, actor: str) -> RemoveBlobs:  # noqa: A002 - a command's field
    """The command that records what is to be removed; it is given before anything is."""
    return RemoveBlobs(id=id, actor=actor, blobs=found.recorded, versions=found.versions, ended_before=found.ended_before, data=found.data)


def remove(ports: Ports, found: Garbage) -> int:
    """Remove what was found and recorded, as far as nobody has needed it since, and what killed writers left; how many blobs."""
    ports.blobs.sweep(found.before)
    removed = sum(ports.blobs.remove_idle(digest, found.before) for digest in found.blobs)
    for run in found.jobs:
        ports.runs.forget(run)
    return removed
