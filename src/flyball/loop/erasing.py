"""A person's right to be forgotten, as a command: whose rows are meant, and what is recorded when they are gone. Pure.

Finding the rows and writing what is left takes time and is done before (`loop/eraser.py`); the decision looks again whether that is still
all there is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

import msgspec

from flyball.clock import Instant
from flyball.data.erasures import Erasures, present, standing, versions
from flyball.declare.data import Dataset
from flyball.declare.model import Model
from flyball.declare.reads import looked_at
from flyball.errors import DeclarationError, NotFound
from flyball.features.fields import request_fields
from flyball.ledger.bounds import fits, fullest
from flyball.loop.commands import active_run
from flyball.loop.ports import Library
from flyball.records.base import Event, Record, Refusal, State
from flyball.records.data import COLLECTED, LOG, STANDING, DataErased, DatasetVersion, SubjectErased, erasure_key
from flyball.records.declarations import DECLARATIONS
from flyball.records.serving import SEGMENTS
from flyball.records.training import RUNS
from flyball.records.versions import VERSIONS
from flyball.serving.forget import Fields, Left, everything
from flyball.serving.wal import LogRecord


class Disclose(Record, frozen=True):
    """Read everything that is held of a person, in their name. Records nothing."""

    id: str
    actor: str


class EraseSubject(Record, frozen=True):
    """Hold nothing of a person any more. `looked` are the places (`stored`) that were searched, `models` those whose runs read the data sets."""

    id: str
    actor: str
    what: SubjectErased
    erased: tuple[DataErased, ...]
    looked: tuple[tuple[str, str], ...]
    models: tuple[str, ...]


def of_nobody(*, id: str, actor: str) -> EraseSubject:  # noqa: A002 - the field's name
    """An erasure that names nobody yet: whether its actor may give one is known before anything is looked for."""
    what = SubjectErased(subject="", data=(), rows=0, predictions=0, waiting=0, texts=0)
    return EraseSubject(id=id, actor=actor, what=what, erased=(), looked=(), models=())


@dataclass(frozen=True)
class Forgetting:
    """What a segment is sealed without. `erasure`: the newest one that is heeded, in the data sets `data`."""

    forget: Callable[[list[LogRecord]], Left] = everything
    erasure: int = 0
    data: tuple[str, ...] = ()


def decide_erase(state: State, command: EraseSubject, _now: Instant) -> Sequence[Event] | Refusal:
    """What was found is recorded, if it is still all there is. Nothing found, nothing recorded."""
    busy = [run.run for model in command.models if (run := active_run(state, model)) is not None]
    if busy:
        return Refusal(
            code="busy",
            what=f"{busy[0]} is made from these rows just now",
            why="what it learns from them would not be named",
            fix="wait for it, or cancel it; then erase again",
        )
    if any(row.fingerprint not in ("", command.what.fingerprint) for _, row in state.scan(STANDING)):
        return Refusal(
            code="corrupt",
            what="persons were erased under another key",
            why="under two keys nobody could tell who was erased",
            fix="copy subjects.key from the machine where they were erased first, or from a backup",
        )
    looked = {*command.looked, *((each.name, each.new_content) for each in command.erased)}
    if any(place not in looked for place in stored(state, command.what.data)):
        return Refusal(code="conflict", what="more was stored while the rows were looked for", why="it was not searched", fix="erase again")
    if any(state.get(COLLECTED, erasure_key(each.name, each.birth)) is not None for each in command.erased):
        return Refusal(code="conflict", what="a version was let go while the rows were looked for", fix="erase again")
    if any(present(state, each.name, each.birth) != each.old_content for each in command.erased):
        return Refusal(code="conflict", what="some rows were erased while these were looked for", fix="erase again")
    what = command.what
    return (what, *command.erased) if command.erased or what.waiting or what.texts else ()


def stored(state: State, names: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """Where everything lies now in which rows of persons may be: versions of these data sets, and all sealed segments.

    Each as the name of what has it and the content. The same content under two names is looked through by two columns.
    """
    yield from ((version.name, present(state, version.name, version.content)) for version in versions(state, names))
    yield from ((name := f"{LOG}{key}", present(state, name, row.parquet_sha256)) for key, row in state.scan(SEGMENTS))


def erasures(state: State, name: str) -> Erasures:
    """What was erased of a data set, without the key: enough to know where contents lie."""
    until, seq = standing(state, name)
    return Erasures(until=until, seq=seq, present=lambda content: present(state, name, content))


def newest(state: State, names: Sequence[str]) -> int:
    """The newest erasure in any of these data sets, as an event's number; 0 for none."""
    return max((standing(state, name)[1] for name in names), default=0)


def declared_models(state: State, library: Library) -> list[Model]:
    """Every declaration in effect, and those that registered versions were made from: who is in the log does not depend on today's."""
    bodies = [row.body for _, row in state.scan(DECLARATIONS)]
    for _, row in state.scan(VERSIONS):
        run = state.get(RUNS, row.run)
        # of a version that came to nothing, what was asked of its run may have been collected
        with suppress(NotFound):
            bodies += [library.spec(run.spec).declaration] if run is not None else []
    return [library.model(body) for body in dict.fromkeys(bodies)]


def datasets(models: Sequence[Model]) -> dict[str, Dataset]:
    """The data sets that these models look at by name, those of the first declaration that has them."""
    found: dict[str, Dataset] = {}
    for model in models:
        for name, data in looked_at(model).items():
            found.setdefault(name, data)
    return found


def subject_fields(models: Sequence[Model]) -> Fields:
    """Which fields of a request say whose the row is: the subject of the model's data set, and keys of views over a subject."""
    found: dict[str, dict[tuple[str, str], None]] = {}
    for model in models:
        own = found.setdefault(model.name, {})
        try:
            sent = {name for name, _ in request_fields(model)}
        except DeclarationError:
            # what was declared once may not hold today's rules; its log is looked through as far as it names the subject
            sent = {model.data.subject}
        if model.data.subject in sent:
            own[model.data.subject, model.data.name] = None
        for view in model.features:
            for key, name in zip(view.key, view.entity, strict=True):
                if name == view.data.subject:
                    own[key, view.data.name] = None
    return {name: tuple(own) for name, own in found.items() if own}


def made_from(state: State, version: DatasetVersion) -> list[str]:
    """The versions of models that were made from a data set version, as `model@version`."""
    return [f"{row.model}@{row.version}" for _, row in state.scan(VERSIONS) if row.data.get(version.name) == version.content]


def listed(event: DataErased, models: Sequence[str]) -> DataErased:
    """The event with as many of these versions as fit into it, and the number of the others."""
    whole = msgspec.structs.replace(event, models=tuple(models))
    if fits(whole):
        return whole
    return fullest(lambda most: msgspec.structs.replace(event, models=tuple(models[:most]), unlisted=len(models) - most), len(models))


def within(fields: Fields, names: Sequence[str]) -> Fields:
    """The fields of these data sets alone."""
    wanted = set(names)
    own = {model: tuple(each for each in of_model if each[1] in wanted) for model, of_model in fields.items()}
    return {model: kept for model, kept in own.items() if kept}
