"""A person's verdict on a version, and how it is decided. Pure.

It changes the verdicts of gates that ask for a person, and no other: a version that lacks rows too stays held, and the yes is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

import msgspec

from flyball.clock import Instant
from flyball.governance.authority import Caller
from flyball.ledger.bounds import clipped
from flyball.loop.lookup import active_rollout, roles
from flyball.loop.people import another
from flyball.loop.ports import Decide, Ports
from flyball.records.base import Event, Record, Refusal, State
from flyball.records.declarations import DECLARATIONS
from flyball.records.identity import Role
from flyball.records.rollouts import rollouts_of
from flyball.records.training import RunResult
from flyball.records.versions import VERSIONS, Said, VersionApproved, VersionDenied, VersionRow, VersionState
from flyball.registry import approvals
from flyball.registry import rules as registry
from flyball.registry.mends import Whom, mends
from flyball.registry.states import RELEASED


class Approve(Record, frozen=True):
    """Say yes to a version, where its gates ask for a role or job in `held`. `what` is the result that it was judged by, `result` its blob."""

    id: str
    actor: str
    model: str
    version: str
    held: tuple[str, ...]
    reason: str
    result: str
    what: RunResult


class Reject(Record, frozen=True):
    """Say no to a version, as one whom its gates ask for or, where none asks, as an approver: it is rejected, whatever its other gates say."""

    id: str
    actor: str
    model: str
    version: str
    held: tuple[str, ...]
    reason: str
    result: str
    what: RunResult


def approve(ports: Ports, caller: Caller, row: VersionRow, *, command: str, reason: str) -> tuple[Approve, Decide[Approve]]:
    """A caller's yes, said under every role and job of theirs that the version's gates ask for."""
    return _order(Approve, ports, caller, row, command, reason), decide_approve


def reject(ports: Ports, caller: Caller, row: VersionRow, *, command: str, reason: str) -> tuple[Reject, Decide[Reject]]:
    """A caller's no, likewise."""
    return _order(Reject, ports, caller, row, command, reason), decide_reject


SaidT = TypeVar("SaidT", Approve, Reject)


def _order(kind: type[SaidT], ports: Ports, caller: Caller, row: VersionRow, command: str, reason: str) -> SaidT:
    what = ports.library.result(row.result)
    wanted = {one.role for one in approvals.asked(what.verdicts, everything=True)}
    return kind(
        id=command,
        actor=caller.actor,
        model=row.model,
        version=row.version,
        held=tuple(sorted(caller.held & wanted or caller.held)),
        reason=clipped(reason),
        result=row.result,
        what=what,
    )


def decide_approve(state: State, command: Approve, now: Instant) -> Sequence[Event] | Refusal:
    """A yes counts for the gates that ask for one of the person's roles or jobs, and never that of an author."""
    row = state.get(VERSIONS, f"{command.model}/{command.version}")
    if row is None:
        return Refusal(code="not-found", what=f"no version {command.model}@{command.version}", fix=f"flyball models list {command.model}")
    whom = partial(another, state, row, now)
    closed, voiceless = _not_open(state, row), _no_voice(row, command, whom)
    if voiceless is not None and closed is not None:
        # nobody is sent for a yes that would be refused
        voiceless = msgspec.structs.replace(voiceless, fix=closed.fix)
    refused = voiceless or closed or seen_otherwise(row, command.result)
    if refused is not None:
        return refused
    verdicts = approvals.lifted(row, command.what.verdicts, row.gates_digest, now)
    wanted = approvals.asked(verdicts)
    roles = [one.role for one in wanted]
    refused = _not_theirs(command, roles, whom) or four_eyes(
        state, row, command.actor, "approve it", lambda: f'{whom(roles)} says flyball approve {row.model}@{row.version} --reason "…"'
    )
    if refused is not None:
        return refused
    given_as = tuple(role for role in roles if role in command.held)
    known = approvals.standing(row, row.gates_digest)
    if all((role, command.actor) in known for role in given_as):
        return ()
    given = VersionApproved(
        model=row.model, version=row.version, roles=tuple(dict.fromkeys(given_as)), reason=command.reason, gates_digest=row.gates_digest
    )
    said = Said(actor=command.actor, yes=True, roles=given.roles, reason="", at=now, gates_digest=row.gates_digest)
    then = msgspec.structs.replace(row, said=(*row.said, said))
    verdicts = approvals.lifted(then, command.what.verdicts, row.gates_digest, now)
    return (given, registry.judge(row.model, row.version, verdicts, row.result, row.gates_digest, released=row.state in RELEASED))


def _no_voice(row: VersionRow, command: Approve | Reject, whom: Whom) -> Refusal | None:
    """Why this person has no say in any verdict on the version: no gate of it asks for what they are, and they are no approver."""
    wanted = [one.role for one in approvals.asked(command.what.verdicts, everything=True)]
    if isinstance(command, Approve) and not wanted and row.state is VersionState.HELD:
        return _nothing_asked(command)
    if {*wanted, Role.APPROVER.value} & set(command.held):
        return None
    return _is_none(command, wanted or [Role.APPROVER.value], whom)


def _is_none(command: Approve | Reject, wanted: Sequence[str], whom: Whom) -> Refusal:
    ref = f"{command.model}@{command.version}"
    return Refusal(
        code="refused",
        what=f"{command.actor} is no {' or '.join(dict.fromkeys(wanted))}",
        why=f"that is whose verdict on {ref} counts",
        fix=f'{whom(wanted)} says flyball {"approve" if isinstance(command, Approve) else "reject"} {ref} --reason "…"',
    )


def _not_open(state: State, row: VersionRow) -> Refusal | None:
    """Why there is nothing to approve."""
    ref = f"{row.model}@{row.version}"
    if row.state is VersionState.REJECTED:
        return Refusal(
            code="refused",
            what=f"{ref} is rejected",
            why="a person's yes lifts no gate that failed, and no person's no",
            fix=mends(row),
        )
    # gates that were declared anew may ask for a person after it was released
    asks = row.state in RELEASED and bool(approvals.asked(row.verdicts))
    if row.state is not VersionState.HELD and not asks:
        return Refusal(
            code="conflict", what=f"{ref} is {row.state.value}", why="no gate of it waits for a yes", fix=f"flyball models show {ref}"
        )
    return other_gates(state, row, "a yes counts for the gates that it was said to")


def other_gates(state: State, row: VersionRow, why: str) -> Refusal | None:
    """The refusal of a word on a version that was judged by other gates than those declared now."""
    declared = state.get(DECLARATIONS, row.model)
    if declared is None or not registry.other_gates(row, declared.gates_digest):
        return None
    return Refusal(
        code="refused",
        what=f"{row.model}@{row.version} was judged by other gates than those declared now",
        why=why,
        fix=registry.judges_it(row, roles(state, row.model)),
    )


def _not_as_seen(state: State, row: VersionRow, result: str) -> Refusal | None:
    """A verdict is given on what the person saw: what was judged again, or is on its way, is another thing."""
    refused = seen_otherwise(row, result)
    if refused is not None:
        return refused
    active = active_rollout(state, row.model)
    if active is not None and active.version == row.version:
        return Refusal(
            code="conflict",
            what=f"{row.model}@{row.version} is in a rollout ({active.rollout})",
            why="what is released is taken back, not rejected",
            fix=f"flyball rollback {row.model}",
        )
    return None


def seen_otherwise(row: VersionRow, result: str) -> Refusal | None:
    """The refusal of a word on a version that was judged again since the person looked at it."""
    if row.result == result:
        return None
    return Refusal(
        code="conflict", what=f"{row.model}@{row.version} was judged again just now", fix="look at it again: flyball models show"
    )


def _not_theirs(command: Approve | Reject, wanted: Sequence[str], whom: Whom) -> Refusal | None:
    """Why these roles are none that the version's gates ask for."""
    if not wanted:
        return _nothing_asked(command)
    return None if set(wanted) & set(command.held) else _is_none(command, wanted, whom)


def _nothing_asked(command: Approve | Reject) -> Refusal:
    return Refusal(
        code="refused",
        what=f"no gate of {command.model}@{command.version} waits for a person",
        why="what is open of it wants more rows, or what is blank on its card",
        fix=f"flyball models show {command.model}@{command.version}",
    )


def four_eyes(state: State, row: VersionRow, actor: str, what: str, turn: Callable[[], str]) -> Refusal | None:
    """Why this person's word is not another person's. `what` they may not do: "approve it"; `turn` says whose turn it is, and with which command."""
    ref = f"{row.model}@{row.version}"
    if actor in approvals.authors(state, row):
        return Refusal(
            code="refused",
            what=f"{actor} is the author of {ref}, and cannot {what}",
            why="four eyes: who asked for a run, or declared what it trained, does not approve what came of it",
            fix=turn(),
        )
    if any(past.by == actor for past in rollouts_of(state, row.model, row.version)):
        return Refusal(
            code="refused",
            what=f"{actor} has released {ref}, and cannot {what}",
            why="four eyes: who releases does not approve",
            fix=turn(),
        )
    return None


def decide_reject(state: State, command: Reject, now: Instant) -> Sequence[Event] | Refusal:
    """A no is said by whom the gates ask, or by any approver where none asks for a person; also by an author."""
    row = state.get(VERSIONS, f"{command.model}/{command.version}")
    ref = f"{command.model}@{command.version}"
    if row is None:
        return Refusal(code="not-found", what=f"no version {ref}", fix=f"flyball models list {command.model}")
    whom = partial(another, state, row, now)
    refused = _no_voice(row, command, whom)
    if refused is not None:
        return refused
    if row.state is VersionState.REJECTED:
        return Refusal(code="conflict", what=f"{ref} is rejected already", fix="nothing is left to do")
    refused = _not_as_seen(state, row, command.result)
    if refused is not None:
        return refused
    if row.state not in (VersionState.HELD, VersionState.ELIGIBLE, VersionState.REGISTERED):
        return Refusal(
            code="conflict",
            what=f"{ref} is {row.state.value}",
            why="what was released is taken back, not rejected",
            fix=f"flyball rollback {row.model}",
        )
    wanted = [one.role for one in approvals.asked(command.what.verdicts, everything=True)]
    refused = _not_theirs(command, wanted, whom) if wanted else None
    if refused is not None:
        return refused
    roles = tuple(dict.fromkeys(role for role in wanted if role in command.held)) or command.held
    denied = VersionDenied(model=row.model, version=row.version, roles=roles, reason=command.reason, gates_digest=row.gates_digest)
    said = Said(actor=command.actor, yes=False, roles=roles, reason=command.reason, at=now, gates_digest=row.gates_digest)
    then = msgspec.structs.replace(row, said=(*row.said, said))
    verdicts = approvals.lifted(then, command.what.verdicts, row.gates_digest, now)
    return (denied, registry.judge(row.model, row.version, verdicts, row.result, row.gates_digest))
