"""A person lets a version pass a gate that did not hold, until a time: how that is ordered and decided. Pure, but for the order.

A waiver never lifts a person's no. The gate that asks for a person's yes is waived only by an admin, and never by one whom it asks: their
word is to approve or to reject. So a waiver is nobody's way around a second pair of eyes.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import msgspec

from flyball.clock import FARTHEST, Instant, Span, instant, rfc3339
from flyball.declare.units import near
from flyball.errors import BadInput
from flyball.evaluation.persons import of_persons
from flyball.governance.authority import Caller
from flyball.ledger.bounds import clipped
from flyball.loop.approvals import four_eyes, other_gates, seen_otherwise
from flyball.loop.people import another
from flyball.loop.ports import Decide, Ports
from flyball.records.base import Event, Record, Refusal, State
from flyball.records.estimates import Outcome, Verdict
from flyball.records.identity import Role
from flyball.records.training import RunResult
from flyball.records.versions import VERSIONS, VersionRow, VersionState, VersionWaived, Waiver
from flyball.registry import approvals
from flyball.registry import rules as registry
from flyball.registry.mends import MAY_WAIVE
from flyball.registry.states import RELEASED
from flyball.registry.told import gate_name, slice_name

_JUDGED = (VersionState.HELD, VersionState.REJECTED, VersionState.ELIGIBLE, *RELEASED)


class Waive(Record, frozen=True):
    """Let a version pass a gate that did not hold, until `until` (0: without end).

    `gate` is as `flyball models show` writes it, also with ` in SLICE`. `what` is the result that the version was judged by, `result` its blob.
    """

    id: str
    actor: str
    model: str
    version: str
    held: tuple[str, ...]
    gate: str
    reason: str
    until: Instant
    result: str
    what: RunResult


def waive(
    ports: Ports, caller: Caller, row: VersionRow, *, command: str, gate: str, reason: str, until: Instant
) -> tuple[Waive, Decide[Waive]]:
    """A caller's waiver of a gate. Raises NotFound where the result that the version was judged by is gone."""
    order = Waive(
        id=command,
        actor=caller.actor,
        model=row.model,
        version=row.version,
        held=tuple(sorted(caller.held)),
        gate=gate,
        reason=clipped(reason),
        until=until,
        result=row.result,
        what=ports.library.result(row.result),
    )
    return order, decide_waive


def end_of(text: str, now: Instant) -> Instant:
    """When a waiver ends that lasts `text`: a span from now ("7d") or a moment (RFC 3339); 0 for an empty text. Raises BadInput."""
    if not text:
        return 0
    try:
        ends = Span.parse(text).after(now)
    except ValueError as error:
        try:
            ends = instant(text)
        except (ValueError, OverflowError):
            fix = "7d, or 2026-09-01T00:00:00Z"
            raise BadInput(f'until "{text[:40]}"', why=f"it is no moment in RFC 3339, and no time span: {error}", fix=fix) from None
    if ends <= now:
        raise BadInput(f'until "{text[:40]}"', why="a waiver that has ended before it begins lets nothing pass", fix="name a later time")
    if ends > FARTHEST:
        raise BadInput(f'until "{text[:40]}"', why="no time lies after the year 2255", fix="name an earlier one, or none: without end")
    return ends


def decide_waive(state: State, command: Waive, now: Instant) -> Sequence[Event] | Refusal:
    """The verdicts of the gate become `waived`, and the version what its verdicts make of it; one that was released stays what it is."""
    row = state.get(VERSIONS, f"{command.model}/{command.version}")
    if row is None:
        return Refusal(code="not-found", what=f"no version {command.model}@{command.version}", fix=f"flyball models list {command.model}")
    refused = _not_open(state, row) or seen_otherwise(row, command.result)
    if refused is not None:
        return refused
    verdicts = approvals.lifted(row, command.what.verdicts, row.gates_digest, now)
    found, whole = _meant(verdicts, command.gate)
    refused = _nothing_to_waive(row, verdicts, found, command) or _not_theirs(row, found, command)
    refused = refused or four_eyes(
        state,
        row,
        command.actor,
        "waive a gate of it",
        lambda: (
            f'{another(state, row, now, _may(found))} says flyball waive {command.model}@{command.version} --gate "{command.gate}" --reason "…"'
        ),
    )
    if refused is not None:
        return refused
    plain, _ = _meant(
        approvals.lifted(msgspec.structs.replace(row, waivers=()), command.what.verdicts, row.gates_digest, now), command.gate
    )
    outcomes = tuple(one for one in (Outcome.FAIL, Outcome.INSUFFICIENT) if any(verdict.outcome is one for verdict in plain))
    gate, part = gate_name(found[0].check), "" if whole else slice_name(found[0].slice)
    given = VersionWaived(
        model=row.model,
        version=row.version,
        gate=gate,
        slice=part,
        reason=command.reason,
        until=command.until,
        gates_digest=row.gates_digest,
        outcomes=outcomes,
    )
    waiver = Waiver(
        gate=gate,
        slice=part,
        actor=command.actor,
        reason=command.reason,
        at=now,
        until=command.until,
        gates_digest=row.gates_digest,
        outcomes=outcomes,
    )
    then = msgspec.structs.replace(row, waivers=(*row.waivers, waiver))
    verdicts = approvals.lifted(then, command.what.verdicts, row.gates_digest, now)
    return (given, registry.judge(row.model, row.version, verdicts, row.result, row.gates_digest, released=row.state in RELEASED))


def _not_open(state: State, row: VersionRow) -> Refusal | None:
    """Why no gate of a version can be waived."""
    ref = f"{row.model}@{row.version}"
    if row.state not in _JUDGED:
        why = "its gates have not been judged yet" if row.state is VersionState.REGISTERED else "a waiver does not bring it back"
        return Refusal(code="conflict", what=f"{ref} is {row.state.value}", why=why, fix=f"flyball models show {ref}")
    said = approvals.denied(row)
    if said:
        return Refusal(
            code="refused",
            what=f"{said[0].actor} said no to {ref}: {said[0].reason}",
            why="a waiver lifts what a gate has measured, and no person's no",
            fix=f"train a better version: flyball train {row.model}",
        )
    return other_gates(state, row, "a waiver is of a gate as it is declared")


def _meant(verdicts: Sequence[Verdict], text: str) -> tuple[list[Verdict], bool]:
    """The verdicts of the gate that a text names, and whether it names all of it."""
    wanted = _plain(text)
    found = [one for one in verdicts if wanted in (_plain(one.check), _plain(gate_name(one.check)))]
    if found:
        return found, True
    return [one for one in verdicts if one.slice and _plain(f"{one.check} in {one.slice}") == wanted], False


def _plain(text: str) -> str:
    """A gate without what no keyboard has: `accuracy >= champion - 0.02` is the gate `accuracy ≥ champion − 0.02`."""
    for sign, typed in (("≥", ">="), ("≤", "<="), ("−", "-"), ("×", "*")):
        text = text.replace(sign, typed)
    return re.sub(r"\s+", "", text)


def _nothing_to_waive(row: VersionRow, verdicts: Sequence[Verdict], found: Sequence[Verdict], command: Waive) -> Refusal | None:
    ref = f"{row.model}@{row.version}"
    open_ = list(dict.fromkeys(gate_name(one.check) for one in verdicts if one.outcome is not Outcome.PASS))
    if not found:
        known = list(dict.fromkeys(one.check for one in verdicts))
        return Refusal(
            code="not-found",
            what=f'{ref} has no gate "{command.gate[:80]}"',
            why=f"what did not pass: {'; '.join(open_[:8])}" if open_ else "all of its gates passed",
            fix=near(command.gate, open_ or known) if known else f"flyball models show {ref}",
        )
    if all(one.outcome is Outcome.PASS for one in found):
        return Refusal(
            code="conflict",
            what=f"{ref} passes {found[0].check}",
            why="there is nothing to waive",
            fix=f"what did not pass: {'; '.join(open_[:8])}" if open_ else "nothing is left to do",
        )
    return None


def _may(found: Sequence[Verdict]) -> Sequence[str]:
    """Who may waive these verdicts: of a gate that asks for a person, an admin alone."""
    return (Role.ADMIN.value,) if any(of_persons(one) for one in found) else MAY_WAIVE


def _not_theirs(row: VersionRow, found: Sequence[Verdict], command: Waive) -> Refusal | None:
    """Why this person may not waive a gate that asks for a person's yes."""
    persons = [one for one in found if of_persons(one)]
    wanted = [asked.role for one in persons for asked in one.asks]
    if not persons:
        return None
    mine = [role for role in wanted if role in command.held]
    if mine:
        return Refusal(
            code="refused",
            what=f"{command.actor} is a {mine[0]}, whose yes {found[0].check} asks for",
            why="who is asked says yes or no; to waive the question is for another",
            fix=f'flyball approve {row.model}@{row.version} --reason "…"',
        )
    if Role.ADMIN.value not in command.held:
        return Refusal(
            code="refused",
            what=f"{command.actor} may not waive {found[0].check}",
            why=f"only an admin lets a version go without the yes of a {' or '.join(dict.fromkeys(wanted))}",
            fix=f'a {wanted[0]} says flyball approve {row.model}@{row.version} --reason "…"; or an admin waives it',
        )
    return None


def waivers_text(row: VersionRow, now: Instant) -> list[tuple[bool, str]]:
    """(whether it has expired, the words) of each waiver of the gates that judge a version."""
    return [
        (
            approvals.expired(each, now),
            f"{each.gate}{f' in {each.slice}' if each.slice else ''}  by {each.actor} at {rfc3339(each.at)}"
            + (f", until {rfc3339(each.until)}" if each.until else "")
            + (", expired" if approvals.expired(each, now) else "")
            + f": {each.reason}",
        )
        for each in row.waivers
        if each.gates_digest == row.gates_digest
    ]
