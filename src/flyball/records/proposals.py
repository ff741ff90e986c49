"""Proposals: what the loop would do, and a person decides."""

from __future__ import annotations

from typing import Literal

from flyball.clock import Instant
from flyball.records.base import Event, Record, Table


class ProposalMade(Event, frozen=True, tag="proposal.made"):
    """The loop would act and asks a person: `action` is train, release, rollback or fallback. With `record` it only says so.

    `cause` is what stays the same of a reason whose figures move: a trigger, a declaration, an incident (empty: there is but one).
    """

    proposal: str
    model: str
    action: Literal["train", "release", "rollback", "fallback"]
    mode: Literal["record", "propose"]
    target: str
    reason: str
    cause: str = ""


class ProposalSettled(Event, frozen=True, tag="proposal.settled"):
    """A person accepted or rejected a proposal, or it lost its object."""

    proposal: str
    verdict: Literal["accepted", "rejected", "void"]
    reason: str


class ProposalRow(Record, frozen=True):
    """A proposal as it stands; `verdict` is empty while it is open."""

    proposal: str
    model: str
    action: Literal["train", "release", "rollback", "fallback"]
    mode: Literal["record", "propose"]
    target: str
    reason: str
    made_at: Instant
    verdict: str = ""
    cause: str = ""


PROPOSALS = Table("proposal", ProposalRow)
"""Keyed by proposal id."""

MODEL_PROPOSALS = Table("model_proposal", ProposalRow)
"""The same rows as PROPOSALS, keyed by `model/proposal`."""

EVENTS = (ProposalMade, ProposalSettled)
