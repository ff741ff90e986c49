"""What persons make of a version: advise against it, quarantine it, delete it, note what is known of it. How it is ordered and decided.

What answers, or is on its way to, is never quarantined or deleted: it is rolled back first, by the one way that is acknowledged by every gateway.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import partial

from flyball.clock import Instant
from flyball.declare.model import Model
from flyball.errors import BadInput
from flyball.ledger.bounds import clipped, fits
from flyball.loop.folds import FOLDS
from flyball.loop.lookup import active_rollout, roles
from flyball.loop.ports import Decide, Ports
from flyball.loop.releases import Folds, with_route
from flyball.loop.requests import Signatures
from flyball.records.base import Event, Record, Refusal, State
from flyball.records.declarations import DECLARATIONS
from flyball.records.environments import JUDGINGS, JudgingWanted
from flyball.records.serving import ROUTES
from flyball.records.training import RUNS, RunResult, RunState
from flyball.records.versions import (
    VERSIONS,
    VersionDeleted,
    VersionDeprecated,
    VersionNoted,
    VersionQuarantined,
    VersionReinstated,
    VersionRow,
    VersionState,
    VersionUndeprecated,
)
from flyball.registry import approvals
from flyball.registry import rules as registry
from flyball.registry.states import TRANSITIONS

MOST_NOTES = 50
LONGEST_NOTE = 1_000
MOST_TAGS = 50
LONGEST_TAG = 200
_TAG = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


class Deprecate(Record, frozen=True):
    """Advise against a version."""

    id: str
    actor: str
    model: str
    version: str
    reason: str


class Undeprecate(Record, frozen=True):
    """Advise against a version no more."""

    id: str
    actor: str
    model: str
    version: str
    reason: str


class Quarantine(Record, frozen=True):
    """Take a version out of everything, until somebody lets it out."""

    id: str
    actor: str
    model: str
    version: str
    reason: str


class Reinstate(Record, frozen=True):
    """Let a version out of quarantine, to be judged again. `what` is the result that it was judged by, `result` its blob."""

    id: str
    actor: str
    model: str
    version: str
    reason: str
    result: str
    what: RunResult


class Judge(Record, frozen=True):
    """Have a version judged by the gates that are declared now, which have not judged it."""

    id: str
    actor: str
    model: str
    version: str
    reason: str


class Delete(Record, frozen=True):
    """Give up what a version is made of: its name and what is known of it stay."""

    id: str
    actor: str
    model: str
    version: str
    reason: str


class Annotate(Record, frozen=True):
    """Change what is known of a version: failure modes to add or to drop, tags to set or (null) to take off."""

    id: str
    actor: str
    model: str
    version: str
    add: tuple[str, ...] = ()
    drop: tuple[str, ...] = ()
    tags: dict[str, str | None] = {}


def deprecate(row: VersionRow, *, command: str, actor: str, reason: str) -> tuple[Deprecate, Decide[Deprecate]]:
    """Advise against a version. Raises BadInput without a reason."""
    why = _reason(reason, "advising against a version")
    return Deprecate(id=command, actor=actor, model=row.model, version=row.version, reason=why), decide_deprecate


def undeprecate(row: VersionRow, *, command: str, actor: str, reason: str) -> tuple[Undeprecate, Decide[Undeprecate]]:
    """Advise against it no more. Raises BadInput without a reason."""
    why = _reason(reason, "taking an advice back")
    return Undeprecate(id=command, actor=actor, model=row.model, version=row.version, reason=why), decide_undeprecate


def quarantine(
    ports: Ports, model: Model, row: VersionRow, *, command: str, actor: str, reason: str
) -> tuple[Quarantine, Decide[Quarantine]]:
    """Take a version out of everything. Raises BadInput without a reason."""
    order = Quarantine(id=command, actor=actor, model=row.model, version=row.version, reason=_reason(reason, "a quarantine"))
    return order, partial(decide_quarantine, model=model, folds=FOLDS, signatures=ports.library.signature)


def reinstate(ports: Ports, row: VersionRow, *, command: str, actor: str, reason: str) -> tuple[Reinstate, Decide[Reinstate]]:
    """Let a version out of quarantine. Raises BadInput without a reason, NotFound where the result it was judged by is gone."""
    order = Reinstate(
        id=command,
        actor=actor,
        model=row.model,
        version=row.version,
        reason=_reason(reason, "letting a version out"),
        result=row.result,
        what=ports.library.result(row.result),
    )
    return order, decide_reinstate


def judge(row: VersionRow, *, command: str, actor: str, reason: str) -> tuple[Judge, Decide[Judge]]:
    """Have a version judged by the present gates. Raises BadInput without a reason."""
    return Judge(id=command, actor=actor, model=row.model, version=row.version, reason=_reason(reason, "a judging")), decide_judge


def delete(ports: Ports, model: Model, row: VersionRow, *, command: str, actor: str, reason: str) -> tuple[Delete, Decide[Delete]]:
    """Give a version up. Raises BadInput without a reason."""
    order = Delete(id=command, actor=actor, model=row.model, version=row.version, reason=_reason(reason, "a deletion"))
    return order, partial(decide_delete, model=model, folds=FOLDS, signatures=ports.library.signature)


def annotate(
    row: VersionRow, *, command: str, actor: str, add: Sequence[str] = (), drop: Sequence[str] = (), tags: Mapping[str, str | None]
) -> tuple[Annotate, Decide[Annotate]]:
    """Change what is known of a version. Raises BadInput for a text or a tag that cannot be kept."""
    for text in add:
        if not text.strip() or len(text) > LONGEST_NOTE:
            raise BadInput(f'"{text[:40]}" is no note', why=f"a note has 1 to {LONGEST_NOTE:,} characters", fix="say it in a sentence")
    for name, value in tags.items():
        if not _TAG.fullmatch(name):
            why = "it has 1 to 64 letters, digits, and . _ -, and begins with a letter or a digit"
            raise BadInput(f'"{name[:40]}" is no name of a tag', why=why, fix="reviewed=yes")
        if value is not None and len(value) > LONGEST_TAG:
            raise BadInput(f'the tag "{name}" is too long', why=f"{LONGEST_TAG} characters at most", fix="write it as a note")
    order = Annotate(
        id=command,
        actor=actor,
        model=row.model,
        version=row.version,
        add=tuple(text.strip() for text in add),
        drop=tuple(drop),
        tags=dict(tags),
    )
    return order, decide_annotate


def _reason(text: str, what: str) -> str:
    if not text.strip():
        raise BadInput(f"{what} needs a reason", why="it is recorded under your name", fix='--reason "…"')
    return clipped(text)


def _found(state: State, command: Deprecate | Undeprecate | Quarantine | Reinstate | Judge | Delete | Annotate) -> VersionRow | Refusal:
    row = state.get(VERSIONS, f"{command.model}/{command.version}")
    if row is not None:
        return row
    return Refusal(code="not-found", what=f"no version {command.model}@{command.version}", fix=f"flyball models list {command.model}")


def decide_deprecate(state: State, command: Deprecate, _now: Instant) -> Sequence[Event] | Refusal:
    """It stays what it is, whatever that is."""
    row = _found(state, command)
    if isinstance(row, Refusal) or row.deprecated == command.reason:
        return row if isinstance(row, Refusal) else ()
    if row.state is VersionState.DELETED:
        return _gone(row)
    return (VersionDeprecated(model=row.model, version=row.version, reason=command.reason),)


def decide_undeprecate(state: State, command: Undeprecate, _now: Instant) -> Sequence[Event] | Refusal:
    """Only what is advised against."""
    row = _found(state, command)
    if isinstance(row, Refusal):
        return row
    if not row.deprecated:
        what = f"{row.model}@{row.version} is not deprecated"
        return Refusal(code="conflict", what=what, why="nobody advises against it", fix="nothing is left to do")
    return (VersionUndeprecated(model=row.model, version=row.version, reason=command.reason),)


def decide_quarantine(
    state: State, command: Quarantine, now: Instant, *, model: Model, folds: Folds, signatures: Signatures
) -> Sequence[Event] | Refusal:
    """Whatever it is, but what serves, or is about to. A former champion is no way back any more, and its worker ends."""
    row = _found(state, command)
    if isinstance(row, Refusal):
        return row
    ref = f"{row.model}@{row.version}"
    if row.state is VersionState.QUARANTINED:
        return Refusal(code="conflict", what=f"{ref} is in quarantine already", why=row.quarantined, fix="nothing is left to do")
    refused = _serves(state, row, "quarantined") or (_gone(row) if row.state is VersionState.DELETED else None)
    if refused is not None:
        return refused
    events: list[Event] = [VersionQuarantined(model=row.model, version=row.version, reason=command.reason)]
    return _rerouted(state, events, now, model=model, folds=folds, signatures=signatures)


def decide_reinstate(state: State, command: Reinstate, now: Instant) -> Sequence[Event] | Refusal:
    """Out of quarantine it is what its verdicts make of it now: persons' words count, expired waivers do not."""
    row = _found(state, command)
    if isinstance(row, Refusal):
        return row
    ref = f"{row.model}@{row.version}"
    if row.state is not VersionState.QUARANTINED:
        return Refusal(code="conflict", what=f"{ref} is {row.state.value}", why="it is in no quarantine", fix="nothing is left to do")
    if row.result != command.result:
        return Refusal(code="conflict", what=f"{ref} was judged again just now", fix="look at it again: flyball models show")
    verdicts = approvals.lifted(row, command.what.verdicts, row.gates_digest, now)
    return (
        VersionReinstated(model=row.model, version=row.version, reason=command.reason),
        registry.judge(row.model, row.version, verdicts, row.result, row.gates_digest),
    )


def decide_judge(state: State, command: Judge, _now: Instant) -> Sequence[Event] | Refusal:
    """Noted for the loop, which judges it without a training; what it judges anyway is not noted."""
    row, declared = _found(state, command), state.get(DECLARATIONS, command.model)
    if isinstance(row, Refusal):
        return row
    ref, digest = f"{row.model}@{row.version}", declared.gates_digest if declared is not None else ""
    if row.origin:
        why = f"the rows that judge it and its evidence lie in {row.origin}; its verdicts follow"
        fix = f'flyball models judge {ref} --env {row.origin} --reason "…"'
        return Refusal(code="made-before", what=f"{ref} is judged where it comes from", why=why, fix=fix)
    if declared is None or not registry.other_gates(row, digest):
        what = f"the gates as they are declared now have judged {ref}"
        return Refusal(
            code="conflict",
            what=what,
            why="on the rows that judged it they would say the same",
            fix=f"flyball models show {ref}; newer rows and cases judge what is trained: flyball train {row.model}",
        )
    if not registry.to_judge_anew(row, digest, declared.version_digest, digest):
        last = state.get(RUNS, roles(state, row.model).last_run)
        if last is not None and last.judges == row.version and last.state in (RunState.QUEUED, RunState.RUNNING):
            return Refusal(
                code="conflict", what=f"{ref} is being judged", why=f"{last.run} does it now", fix=f"flyball runs show {last.run}"
            )
        tried = row.tried == digest
        why = "a judging by them was begun, and came to nothing" if tried else f"it is {row.state.value}, and no gate lets it answer again"
        fix = f"flyball runs list {row.model} says what came of it" if tried else f"flyball train {row.model}"
        return Refusal(code="refused", what=f"{ref} is not judged", why=why, fix=fix)
    noted, known = state.get(JUDGINGS, f"{row.model}/{row.version}"), roles(state, row.model)
    anyway = row.version in (known.newest, known.champion) and row.state is not VersionState.RETIRED
    if anyway or (noted is not None and noted.gates_digest == digest):
        return ()
    return (JudgingWanted(model=row.model, version=row.version, origin="", gates_digest=digest, reason=command.reason),)


def decide_delete(
    state: State, command: Delete, now: Instant, *, model: Model, folds: Folds, signatures: Signatures
) -> Sequence[Event] | Refusal:
    """A tombstone: only of what is on its way to nothing."""
    row = _found(state, command)
    if isinstance(row, Refusal):
        return row
    ref = f"{row.model}@{row.version}"
    if row.state is VersionState.DELETED:
        return Refusal(code="conflict", what=f"{ref} is deleted already", why=row.retired_why, fix="nothing is left to do")
    refused = _serves(state, row, "deleted")
    if refused is not None:
        return refused
    if VersionState.DELETED not in TRANSITIONS[row.state]:
        return Refusal(
            code="refused",
            what=f"{ref} is {row.state.value}, and cannot be deleted",
            why="the loop, or a person, may be about to release it",
            fix=f'flyball models quarantine {ref} --reason "…" first',
        )
    events: list[Event] = [VersionDeleted(model=row.model, version=row.version, why=f"{command.actor}: {command.reason}")]
    return _rerouted(state, events, now, model=model, folds=folds, signatures=signatures)


def _rerouted(state: State, events: list[Event], now: Instant, *, model: Model, folds: Folds, signatures: Signatures) -> Sequence[Event]:
    """With the route that follows: the worker of a former champion waits there for a rollback."""
    if state.get(ROUTES, model.name) is None:
        return events
    return with_route(state, events, now, model=model, folds=folds, signatures=signatures)


def _serves(state: State, row: VersionRow, what: str) -> Refusal | None:
    """Why a version that answers, or that a rollout is about, is not to be touched, and what to do first."""
    ref, known, active = f"{row.model}@{row.version}", roles(state, row.model), active_rollout(state, row.model)
    if active is not None and row.version in (active.version, active.champion):
        part = "is in" if row.version == active.version else "is what a rollback goes to in"
        first = f"flyball rollback {row.model}" if active.champion else f"flyball rollouts abort {active.rollout}"
        fix = f"{first} first" if row.version == active.version else f"wait for its end: flyball rollouts show {active.rollout}"
        return Refusal(
            code="conflict", what=f"{ref} {part} the rollout {active.rollout}, and cannot be {what}", why="it serves requests", fix=fix
        )
    if known.champion != row.version:
        return None
    fix = f"flyball rollback {row.model} first" if known.former else f"release another version first: flyball models list {row.model}"
    why = "it answers every request" if known.former else "it answers every request, and there is no former champion to go back to"
    return Refusal(code="conflict", what=f"{ref} is the champion, and cannot be {what}", why=why, fix=fix)


def _gone(row: VersionRow) -> Refusal:
    return Refusal(
        code="conflict", what=f"{row.model}@{row.version} is deleted", why=row.retired_why, fix=f"train another: flyball train {row.model}"
    )


def decide_annotate(state: State, command: Annotate, _now: Instant) -> Sequence[Event] | Refusal:
    """Only what differs from what is known is recorded."""
    row = _found(state, command)
    if isinstance(row, Refusal):
        return row
    known = {each.text for each in row.known}
    missing = [text for text in command.drop if text not in known]
    if missing:
        what = f'{row.model}@{row.version} has no note "{missing[0][:40]}"'
        return Refusal(code="conflict", what=what, why="it was taken off meanwhile", fix=f"flyball models show {row.model}@{row.version}")
    added = tuple(dict.fromkeys(text for text in command.add if text not in known or text in command.drop))
    noted = VersionNoted(
        model=row.model,
        version=row.version,
        added=added,
        dropped=tuple(dict.fromkeys(command.drop)),
        tags={name: value for name, value in command.tags.items() if value is not None and row.tags.get(name) != value},
        untagged=tuple(name for name, value in command.tags.items() if value is None and name in row.tags),
    )
    if noted == VersionNoted(model=row.model, version=row.version):
        return ()
    if len(known - set(noted.dropped)) + len(added) > MOST_NOTES or len({*row.tags, *noted.tags} - set(noted.untagged)) > MOST_TAGS:
        why = f"a version has {MOST_NOTES} notes and {MOST_TAGS} tags at most"
        return Refusal(code="refused", what="there are too many", why=why, fix="drop what does not matter any more")
    if not fits(noted):
        return Refusal(code="refused", what="it is too much at once", why="an event is small", fix="send fewer notes at a time")
    return (noted,)


def replaced(row: VersionRow, notes: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """(what is to be added, what to be dropped) so that these are the known failure modes."""
    wanted, known = [text.strip() for text in notes], [each.text for each in row.known]
    return tuple(text for text in wanted if text not in known), tuple(text for text in known if text not in wanted)


def plain_tags(given: Sequence[str], off: Sequence[str]) -> dict[str, str | None]:
    """Tags as a command line writes them: `name=value` to set, a name to take off."""
    found: dict[str, str | None] = dict.fromkeys(off)
    for item in given:
        name, _, value = item.partition("=")
        found[name] = value
    return found
