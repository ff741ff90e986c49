"""What the loop would do and may not do by itself: it asks a person, or only says so.

A person accepts a proposal by doing the thing (`flyball train`, `release`, `rollback`, `incidents fallback`): the command settles what was proposed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from flyball.clock import Instant, Span
from flyball.declare.model import Model
from flyball.ledger.bounds import clipped
from flyball.loop.ports import Ports
from flyball.records.base import Event, Record, State
from flyball.records.declarations import DECLARATIONS
from flyball.records.incidents import INCIDENTS, IncidentState
from flyball.records.proposals import MODEL_PROPOSALS, ProposalMade, ProposalRow, ProposalSettled
from flyball.records.versions import MODELS, VERSIONS, ModelRow, VersionRow, VersionState
from flyball.registry.approvals import run_out
from flyball.registry.rules import judged_otherwise

ACTOR = "loop"
"""Who acts where the loop does, by itself."""

Action = Literal["train", "release", "rollback", "fallback"]


class Propose(Record, frozen=True):
    """Say what the loop would do, and because of what (`cause`, see ProposalMade). `again`: after so long the same may be said again."""

    id: str
    actor: str
    proposal: str
    model: str
    action: Action
    mode: Literal["record", "propose"]
    target: str
    reason: str
    cause: str = ""
    again: Span = Span(0)


def decide_propose(state: State, command: Propose, now: Instant) -> Sequence[Event]:
    """Each cause is said once, and takes the place of what was said before; never at every look.

    A question that stands open is not asked again, however long it stands. What was only recorded is said again after `again`, and so is what
    gave way to another cause: causes that come and go by turns add one proposal each in that time.
    """
    alike = (command.model, command.action, command.target, command.mode, command.cause)
    rows = [row for _, row in state.scan(MODEL_PROPOSALS, f"{command.model}/") if row.action == command.action]
    stands = any(not row.verdict for row in rows)
    for row in rows:
        if (row.model, row.action, row.target, row.mode, row.cause) != alike or row.verdict not in ("", "void"):
            continue
        asked = not row.verdict and (row.mode == "propose" or not command.again)
        gave_way = bool(row.verdict and row.cause and not command.again) and stands
        if asked or gave_way or now < row.made_at + command.again:
            return ()
    made = ProposalMade(
        proposal=command.proposal,
        model=command.model,
        action=command.action,
        mode=command.mode,
        target=command.target,
        reason=command.reason,
        cause=command.cause,
    )
    return (*settle(state, command.model, command.action, "void", "a newer proposal took its place"), made)


class Withdraw(Record, frozen=True):
    """Look whether what was proposed can still be done."""

    id: str
    actor: str
    model: str


def decide_withdraw(state: State, command: Withdraw, now: Instant) -> Sequence[Event]:
    """Void what lost its object."""
    return withdrawn(state, command.model, now)


def withdrawn(state: State, model: str, now: Instant) -> list[Event]:
    """What a look makes void: the release of a version that may not be released or that a newer one has replaced, a way back that changed, what
    was asked because of an incident that is closed.
    """
    row = state.get(MODELS, model) or ModelRow(model=model)
    events: list[Event] = []
    for _, made in state.scan(MODEL_PROPOSALS, f"{model}/"):
        why = _pointless(state, made, row, now) if not made.verdict else ""
        if why:
            events.append(ProposalSettled(proposal=made.proposal, verdict="void", reason=why))
    return events


def candidate(state: State, model: str, now: Instant) -> VersionRow | None:
    """The version to be released next: the newest of the declaration in effect, if its gates, as they are declared now, have passed, or are waived
    for longer than now.

    A version of a declaration that was given up is none, nor is one that a person advises against, or that was released before: it went for a
    reason, and is for a person to bring back. Where the newest is of another declaration, it is the newest after the champion that is of the present one.
    """
    row, declared = state.get(MODELS, model), state.get(DECLARATIONS, model)
    newest = state.get(VERSIONS, f"{model}/{row.newest}") if row and row.newest else None
    if row is None or newest is None or declared is None:
        return None
    found = [newest]
    if newest.version_digest != declared.version_digest:
        champion = state.get(VERSIONS, f"{model}/{row.champion}") if row.champion else None
        since = champion.registered_at if champion else 0
        rows = (version for _, version in state.scan(VERSIONS, f"{model}/") if version.registered_at > since)
        found = [version for version in rows if version.version_digest == declared.version_digest]
    passed = [
        version
        for version in found
        if version.state == VersionState.ELIGIBLE
        and not version.deprecated
        and not version.retired_why
        and not judged_otherwise(version, declared.gates_digest)
        and not run_out(version, now)
    ]
    return max(passed, key=lambda version: version.registered_at, default=None)


def _pointless(state: State, made: ProposalRow, row: ModelRow, now: Instant) -> str:
    """Why a proposal has lost its object; empty if it has not."""
    incident = state.get(INCIDENTS, made.cause) if made.cause else None
    if incident is not None and incident.state == IncidentState.CLOSED:
        return f"{made.cause} is closed"
    if incident is not None and made.action == "fallback" and incident.state not in (IncidentState.OPEN, IncidentState.MITIGATING):
        return f"{made.cause} is {incident.state.value}"
    if made.action == "rollback" and made.target != row.former:
        return f"the way back leads to {row.former or 'no version'} now"
    if made.action != "release":
        return ""
    target = state.get(VERSIONS, f"{row.model}/{made.target}")
    declared = state.get(DECLARATIONS, row.model)
    if target is None or target.state != VersionState.ELIGIBLE:
        return f"{made.target} is {target.state.value if target else 'gone'}"
    if declared is not None and (target.version_digest != declared.version_digest or judged_otherwise(target, declared.gates_digest)):
        return f"{made.target} is of a declaration that is not in effect any more"
    if run_out(target, now):
        return f"{made.target} passed by a waiver that has expired"
    if target.deprecated or target.retired_why:
        return f"{made.target} {'is advised against' if target.deprecated else 'was released before'}"
    meant = candidate(state, row.model, now)
    return f"{meant.version} is newer, and passed" if meant is not None and meant.version != made.target else ""


def settle(state: State, model: str, action: Action, verdict: Literal["accepted", "rejected", "void"], reason: str) -> list[Event]:
    """Settle every open proposal of this kind."""
    return [
        ProposalSettled(proposal=row.proposal, verdict=verdict, reason=reason)
        for _, row in state.scan(MODEL_PROPOSALS, f"{model}/")
        if (row.action, row.verdict) == (action, "")
    ]


def may(
    ports: Ports,
    model: Model,
    mode: Literal["record", "propose", "act"],
    action: Action,
    target: str,
    reason: str,
    *,
    cause: str = "",
    again: int = 0,
) -> bool:
    """Whether the loop may do this by itself; if not, the wish is recorded, once for each cause (see `decide_propose`)."""
    if mode == "act":
        return True
    command = Propose(
        id=ports.clock.new_id("cmd"),
        actor=ACTOR,
        proposal=ports.clock.new_id("prop"),
        model=model.name,
        action=action,
        mode=mode,
        target=target,
        reason=clipped(reason),
        cause=cause,
        again=Span(again),
    )
    if decide_propose(ports.ledger.state(), command, ports.clock.now()):
        ports.ledger.execute(command, decide_propose)
    return False
