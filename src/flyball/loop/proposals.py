"""What the loop would do and may not do by itself: it asks a person, or only says so.

A person accepts a proposal by doing the thing (`flyball train`, `release`, `rollback`): the command settles what was proposed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from flyball.clock import Instant
from flyball.records.base import Event, Record, State
from flyball.records.monitoring import PROPOSALS, ProposalMade, ProposalSettled

Action = Literal["train", "release", "rollback"]


class Propose(Record, frozen=True):
    """Say what the loop would do."""

    id: str
    actor: str
    proposal: str
    model: str
    action: Action
    mode: Literal["record", "propose"]
    target: str
    reason: str


def decide_propose(state: State, command: Propose, _now: Instant) -> Sequence[Event]:
    """The same proposal is made once, until it is settled."""
    for _, row in state.scan(PROPOSALS):
        if (row.model, row.action, row.target, row.verdict) == (command.model, command.action, command.target, ""):
            return ()
    made = ProposalMade(
        proposal=command.proposal,
        model=command.model,
        action=command.action,
        mode=command.mode,
        target=command.target,
        reason=command.reason,
    )
    return (*settle(state, command.model, command.action, "void", "a newer proposal took its place"), made)


def settle(state: State, model: str, action: Action, verdict: Literal["accepted", "rejected", "void"], reason: str) -> list[Event]:
    """Settle every open proposal of this kind."""
    return [
        ProposalSettled(proposal=row.proposal, verdict=verdict, reason=reason)
        for _, row in state.scan(PROPOSALS)
        if (row.model, row.action, row.verdict) == (model, action, "")
    ]
