"""Models that are served elsewhere, as the loop keeps them: which they are, what one of their predictions is, which versions of them were seen.

Their predictions come into the same log as every answer, so that all that is counted, judged, sealed and erased is so by the same code. Nothing
here trains, releases or takes back anything.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import suppress
from functools import lru_cache

import msgspec

from flyball.clock import Instant
from flyball.declare.elsewhere import UNVERSIONED, classes, is_elsewhere
from flyball.declare.model import Model
from flyball.errors import FlyballError
from flyball.loop.freshness import ages
from flyball.loop.memory import Memories
from flyball.loop.ports import Ports
from flyball.monitoring import learning
from flyball.records.alerts import Finding
from flyball.records.base import Event, Record, State
from flyball.records.declarations import DECLARATIONS, DeclarationRow
from flyball.records.elsewhere import ELSEWHERE, SEEN, ReferenceMade, VersionSeen
from flyball.records.evidence import Batch
from flyball.records.models import Signature
from flyball.records.versions import MODELS

ACTOR = "loop"

MOST_VERSIONS = 1_000
"""Versions of a model that are recorded: more of them are no releases, and what makes them would fill the record."""


class NoteSeen(Record, frozen=True):
    """Predictions of a version came that none had come of, or it answers again in another's place. `since` as in the event."""

    id: str
    actor: str
    model: str
    version: str
    since: Instant


def decide_note_seen(state: State, command: NoteSeen, _now: Instant) -> Sequence[Event]:
    """A version is seen once, and again when it answers in the place of another."""
    row = state.get(ELSEWHERE, command.model)
    if state.get(SEEN, f"{command.model}/{command.version}") is not None:
        again = row is not None and row.version != command.version and command.since >= row.since
        return (VersionSeen(model=command.model, version=command.version, since=command.since),) if again else ()
    if sum(1 for _ in state.scan(SEEN, f"{command.model}/")) >= MOST_VERSIONS:
        return ()
    return (VersionSeen(model=command.model, version=command.version, since=command.since),)


class NoteReference(Record, frozen=True):
    """What is normal for a version was learnt."""

    id: str
    actor: str
    model: str
    made: ReferenceMade


def decide_note_reference(state: State, command: NoteReference, _now: Instant) -> Sequence[Event]:
    """It counts for the newest version; of one that another has followed meanwhile nothing is recorded."""
    row = state.get(ELSEWHERE, command.model)
    return (command.made,) if row is not None and row.version == command.made.version else ()


def elsewhere(state: State, model: Model) -> bool:
    """Whether a model is served elsewhere: it is declared without train, and flyball never made a version of it."""
    return is_elsewhere(model) and state.get(MODELS, model.name) is None


def idle(state: State, model: Model) -> bool:
    """Whether there is nothing to watch yet of a model that is served elsewhere: no prediction came, and no data has to be fresh."""
    return elsewhere(state, model) and state.get(ELSEWHERE, model.name) is None and not ages(state, model)


def readable(ports: Ports, row: DeclarationRow) -> Model | None:
    """What is declared; None where it cannot be read now, which is told where the model is advanced."""
    with suppress(FlyballError):
        return ports.library.model(row.body)
    return None


def answers_elsewhere(ports: Ports, state: State, row: DeclarationRow, kept: Memories) -> bool:
    """The same of a declaration; where it cannot be read, as it was when it was read last."""
    if state.get(MODELS, row.model) is not None:
        return False
    model = readable(ports, row)
    if model is not None:
        return is_elsewhere(model)
    known = kept.declared(row.model)
    return known is not None and known.patience > 0


@lru_cache(maxsize=4096)
def prediction(model: Model) -> Signature | None:
    """What one prediction is: its row and its classes. None where none can be taken: of a ranking, or where the classes are not declared.

    What breaks a column's contract is marked: it was answered.
    """
    # what makes a signature takes data frames along, and most commands look at none
    from flyball.features.fields import signature

    named = classes(model)
    if model.task == "ranking" or (model.task in ("binary", "multiclass") and not named):
        return None
    made = signature(model, named)
    return msgspec.structs.replace(made, fields=tuple(msgspec.structs.replace(field, on_request="mark") for field in made.fields))


def predictions(ports: Ports, state: State) -> dict[str, Signature]:
    """What gateways take predictions of, by model."""
    found: dict[str, Signature] = {}
    for name, row in state.scan(DECLARATIONS):
        model = readable(ports, row)
        if model is not None and elsewhere(state, model) and (made := prediction(model)) is not None:
            found[name] = made
    return found


def note_seen(ports: Ports, batch: Batch, kept: Memories, models: Collection[str]) -> Memories:
    """Count the predictions that a batch has of each version of these models, and record the versions that were not seen before, and the one that answers again."""
    state = ports.ledger.state()
    new: dict[tuple[str, str], Instant] = {}
    for traffic in batch.traffic:
        key = (traffic.model, traffic.version)
        # a row that has neither a version nor an answer speaks for none
        told = traffic.version != UNVERSIONED or traffic.n > traffic.errors
        if told and traffic.model in models and state.get(SEEN, "/".join(key)) is None:
            at = traffic.minute * 60_000_000
            new[key] = min(new.get(key, at), at)
    # the one that came first is seen first: the last is the newest
    for (model, version), since in sorted(new.items(), key=lambda item: (item[1], item[0])):
        _note(ports, model, version, since)
    # it is counted by what is recorded: after a kill in between it comes to the same
    for model in sorted(batch.models.intersection(models)):
        row, known = ports.ledger.state().get(ELSEWHERE, model), kept.monitor(model)
        seen = learning.count(known.seen, batch, model, row)
        kept = kept.with_monitor(msgspec.structs.replace(known, seen=seen))
        found = learning.back(seen, row) if row is not None else None
        if found is not None:
            _note(ports, model, *found)
    return kept


def _note(ports: Ports, model: str, version: str, since: Instant) -> None:
    command = NoteSeen(id=ports.clock.new_id("cmd"), actor=ACTOR, model=model, version=version, since=since)
    if decide_note_seen(ports.ledger.state(), command, ports.clock.now()):
        ports.ledger.execute(command, decide_note_seen)


def learnt(state: State, model: Model, kept: Memories) -> list[Finding]:
    """What is known of what is normal for a model that is served elsewhere; nothing of any other."""
    return [learning.finding(state.get(ELSEWHERE, model.name), kept.monitor(model.name).seen)] if elsewhere(state, model) else []
