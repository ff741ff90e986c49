"""Which versions of data sets `flyball gc` lets go: those that have long been no head, and that nothing was made from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from flyball.clock import Instant, Span
from flyball.data.erasures import present
from flyball.declare.reads import looked_at
from flyball.loop.ports import Library
from flyball.records.base import Event, Record, Recorded, State
from flyball.records.data import COLLECTED, DATASET_VERSIONS, DATASETS, DataCollected, DataCommitted, DataErased, erasure_key
from flyball.records.declarations import DECLARATIONS
from flyball.records.training import RUNS, RunState
from flyball.records.versions import VERSIONS


class LetGo(Record, frozen=True):
    """Versions (`name/content`) to be let go, and how things stood when they were chosen: the heads, and where each of them lies."""

    versions: tuple[str, ...] = ()
    heads: dict[str, str] = {}
    lies: dict[str, str] = {}


def declared(state: State, library: Library) -> dict[str, Span]:
    """Data set → how long its versions are kept, of those that declarations in effect limit: the longest that any of them says."""
    found: dict[str, list[Span | None]] = {}
    for _, row in state.scan(DECLARATIONS):
        for name, data in looked_at(library.model(row.body)).items():
            found.setdefault(name, []).append(data.keep)
    return {name: max(span for span in spans if span is not None) for name, spans in found.items() if None not in spans}


class Superseded:
    """Since when each version (`name/content`) is no head any more. Fed with every event in order."""

    def __init__(self) -> None:
        self._head: dict[str, str] = {}
        self.since: dict[str, Instant] = {}

    def add(self, recorded: Recorded) -> None:
        """The next event."""
        if not isinstance(recorded.event, DataCommitted):
            return
        version = recorded.event.version
        before, now = self._head.get(version.name), version.content
        if before is not None and before != now:
            self.since[erasure_key(version.name, before)] = recorded.at
        self.since.pop(erasure_key(version.name, now), None)
        self._head[version.name] = now


def chosen(state: State, kept: Mapping[str, Span], since: Mapping[str, Instant], now: Instant, without: frozenset[str]) -> LetGo:
    """The versions whose time is over, and from which nothing was made. `without`: runs that came to nothing long ago."""
    over = [
        key
        for key, version in state.scan(DATASET_VERSIONS)
        if version.name in kept and since.get(key, now) < now - kept[version.name] and state.get(COLLECTED, key) is None
    ]
    used = made_from(state, without)
    heads = _heads(state)
    current = {erasure_key(name, content) for name, content in heads.items()}
    going = tuple(key for key in over if key not in used and key not in current)
    return LetGo(versions=going, heads=heads if going else {}, lies={key: _lies(state, key) for key in going})


def made_from(state: State, without: frozenset[str]) -> frozenset[str]:
    """The versions of data sets (`name/content`) that runs read (but for the runs `without`), and that models' versions name."""
    read = [row.data for _, row in state.scan(VERSIONS)] + [run.data for _, run in state.scan(RUNS) if run.run not in without]
    return frozenset(erasure_key(name, content) for data in read for name, content in data.items())


def stale(state: State, told: LetGo) -> str:
    """What has changed since versions were chosen, so that they are not let go; empty where nothing has."""
    if not told.versions:
        return ""
    if _heads(state) != told.heads:
        return "a data set has a new version"
    if any(_lies(state, key) != told.lies[key] for key in told.versions):
        return "rows were erased"
    over = frozenset(run.run for _, run in state.scan(RUNS) if run.state in (RunState.FAILED, RunState.CANCELLED))
    return "a run reads one of the versions" if made_from(state, over) & set(told.versions) else ""


def events(state: State, told: LetGo) -> Sequence[DataCollected]:
    """What is recorded of versions that are let go."""
    rows = ((key, state.get(DATASET_VERSIONS, key)) for key in told.versions if state.get(COLLECTED, key) is None)
    return [DataCollected(name=row.name, version=row.version, content=row.content, rows=row.rows) for _, row in rows if row is not None]


def is_of(event: Event, versions: frozenset[str]) -> bool:
    """Whether an event says only where such a version (`name/content`) lies, or lay."""
    if isinstance(event, DataCommitted):
        return erasure_key(event.version.name, event.version.content) in versions
    return isinstance(event, DataErased) and erasure_key(event.name, event.birth) in versions


def _heads(state: State) -> dict[str, str]:
    return {name: row.head.content for name, row in state.scan(DATASETS) if row.head is not None}


def _lies(state: State, key: str) -> str:
    name, _, content = key.rpartition("/")
    return present(state, name, content)
