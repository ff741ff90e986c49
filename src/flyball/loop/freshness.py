"""Whether the newest row of each data set is as new as it has to be: noted when it stops being so, and when it is again. Pure but for `observe`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from flyball.clock import Instant, Span
from flyball.declare.data import Dataset
from flyball.declare.model import Model
from flyball.declare.reads import looked_at
from flyball.loop.ports import Ports
from flyball.monitoring.freshness import Age
from flyball.records.base import Event, Record, State
from flyball.records.data import DATA_COMMITS, DATASETS, DataFresh, DatasetVersion, DataStale, erasure_key


class NoteFreshness(Record, frozen=True):
    """Say whether a data set is as fresh as it has to be. `freshness` 0: nothing is required."""

    id: str
    actor: str
    name: str
    freshness: Span


def decide_note_freshness(state: State, command: NoteFreshness, now: Instant) -> Sequence[Event]:
    """One event when a data set becomes stale, and one when it is fresh again."""
    row = state.get(DATASETS, command.name)
    if row is None or row.head is None or not row.head.as_of:
        return ()
    as_of = known(state, row.head)
    told = {"name": command.name, "as_of": as_of, "freshness": command.freshness}
    stale = command.freshness > 0 and now - as_of > command.freshness
    if stale == bool(row.stale_since):
        return ()
    return (DataStale(**told) if stale else DataFresh(**told),)  # type: ignore[arg-type]  # the fields of both


def known(state: State, head: DatasetVersion) -> Instant:
    """When the newest row of a version was known: what lies ahead of the clock was known when it was read, at the latest."""
    commit = state.get(DATA_COMMITS, erasure_key(head.name, head.content))
    return head.as_of if commit is None else min(head.as_of, commit.at)


def observe(ports: Ports, datasets: Mapping[str, Dataset], actor: str) -> None:
    """Note what has changed."""
    state, now = ports.ledger.state(), ports.clock.now()
    for name, dataset in datasets.items():
        command = NoteFreshness(id="", actor=actor, name=name, freshness=dataset.freshness or Span(0))
        if decide_note_freshness(state, command, now):
            given = NoteFreshness(id=ports.clock.new_id("cmd"), actor=actor, name=name, freshness=command.freshness)
            ports.ledger.execute(given, decide_note_freshness)


def ages(state: State, model: Model) -> list[Age]:
    """How old the newest rows are of the data sets that the model looks at and that say how old they may be."""
    found = []
    for name, dataset in looked_at(model).items():
        row = state.get(DATASETS, name)
        if dataset.freshness is not None and row is not None and row.head is not None and row.head.as_of:
            found.append(Age(name, known(state, row.head), dataset.freshness, row.violations[0].splitlines()[0] if row.violations else ""))
    return found


def next_due(state: State, model: Model, now: Instant) -> list[Instant]:
    """When data sets become stale if nothing comes."""
    return [at for age in ages(state, model) if (at := age.as_of + age.freshness + 1) > now]
