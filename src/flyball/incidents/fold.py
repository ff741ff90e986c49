"""How incidents and proposals follow from events."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from flyball.incidents.rules import MITIGATE, REVIEW, ROOT_CAUSE, require
from flyball.records.base import Event, Fold, Projection, Recorded
from flyball.records.fallbacks import FALLBACKS, FallbackBegan, FallbackEnded, FallbackRow
from flyball.records.incidents import (
    FALSE_ALARMS,
    INCIDENTS,
    MODEL_INCIDENTS,
    FalseAlarm,
    IncidentMoved,
    IncidentNoted,
    IncidentOpened,
    IncidentReviewed,
    IncidentRow,
    IncidentState,
)
from flyball.records.proposals import MODEL_PROPOSALS, PROPOSALS, ProposalMade, ProposalRow, ProposalSettled

OVERDUE = "overdue: "


def incident_opened(projection: Projection, recorded: Recorded) -> None:
    """A new incident, with its clocks started."""
    event = recorded.event
    assert isinstance(event, IncidentOpened)
    row = IncidentRow(
        incident=event.incident,
        model=event.model,
        failure_mode=event.failure_mode,
        alert=event.alert,
        what=event.what,
        cause=event.cause,
        owner=event.owner,
        state=IncidentState.OPEN,
        opened_at=recorded.at,
        mitigate_by=recorded.at + MITIGATE,
        review_by=recorded.at + REVIEW,
        root_cause_by=recorded.at + ROOT_CAUSE,
        actions=event.actions,
        rollout=event.rollout,
        request=event.request,
        capped_at=recorded.at if "cap" in event.actions else 0,
        causes=event.causes,
        made_since=event.made_since,
    )
    _put_incident(projection, row)


def incident_moved(projection: Projection, recorded: Recorded) -> None:
    """The state, when it was reached, and why."""
    event = recorded.event
    assert isinstance(event, IncidentMoved)
    row = projection.get(INCIDENTS, event.incident)
    assert row is not None, f"no incident {event.incident}"
    require(row.state, event)
    at = recorded.at
    changes: dict[str, object] = {"state": event.target, "notes": (*row.notes, f"{event.target.value}: {event.why}")}
    if event.target == IncidentState.MITIGATED:
        changes["mitigated_at"] = at
    elif event.target == IncidentState.REVIEWED:
        changes["reviewed_at"] = at
    elif event.target == IncidentState.CLOSED:
        changes["closed_at"] = at
        if event.false_alarm:
            opened = max(row.opened_at, row.reopened_at)
            projection.put(FALSE_ALARMS, f"{row.model}/{row.failure_mode}", FalseAlarm(incident=row.incident, opened_at=opened))
    elif event.target == IncidentState.OPEN:
        # opened again: everything about it is due anew; a review that was written stands until the next takes its place
        changes |= {
            "reopened_at": at,
            "mitigated_at": 0,
            "reviewed_at": 0,
            "mitigate_by": at + MITIGATE,
            "review_by": at + REVIEW,
            "root_cause_by": at + ROOT_CAUSE,
            "overdue": (),
            "impact_before": row.impact,
        }
    if event.impact is not None:
        changes["impact"] = event.impact
    _put_incident(projection, msgspec.structs.replace(row, **changes))


def incident_reviewed(projection: Projection, recorded: Recorded) -> None:
    """What a person wrote down; that the incident is reviewed by it is an event of its own."""
    event = recorded.event
    assert isinstance(event, IncidentReviewed)
    row = projection.get(INCIDENTS, event.incident)
    assert row is not None, f"no incident {event.incident}"
    measured = event.review.measured
    _put_incident(projection, msgspec.structs.replace(row, review=event.review, impact=measured or row.impact))


def fallback_began(projection: Projection, recorded: Recorded) -> None:
    """The fallback answers."""
    event = recorded.event
    assert isinstance(event, FallbackBegan)
    projection.put(FALLBACKS, event.model, FallbackRow(model=event.model, incident=event.incident, since=recorded.at))


def fallback_ended(projection: Projection, recorded: Recorded) -> None:
    """Versions answer."""
    event = recorded.event
    assert isinstance(event, FallbackEnded)
    projection.delete(FALLBACKS, event.model)


def incident_noted(projection: Projection, recorded: Recorded) -> None:
    """A note; `overdue: CLOCK` stops that clock, and a clearer cause takes the place of the old one."""
    event = recorded.event
    assert isinstance(event, IncidentNoted)
    row = projection.get(INCIDENTS, event.incident)
    assert row is not None, f"no incident {event.incident}"
    clock = event.note.removeprefix(OVERDUE) if event.note.startswith(OVERDUE) else ""
    overdue = (*row.overdue, clock) if clock and clock not in row.overdue else row.overdue
    actions = (*row.actions, *(name for name in event.actions if name not in row.actions))
    changed = msgspec.structs.replace(
        row,
        notes=(*row.notes, event.note) if event.note else row.notes,
        cause=event.cause or row.cause,
        owner=event.owner or row.owner,
        overdue=overdue,
        actions=actions,
        causes=event.causes or row.causes,
        taken_by=event.taken_by or row.taken_by,
        taken_at=recorded.at if event.taken_by else row.taken_at,
        capped_at=recorded.at if "cap" in event.actions else row.capped_at,
    )
    _put_incident(projection, changed)


def proposal_made(projection: Projection, recorded: Recorded) -> None:
    """A proposal that waits for a person, or only says what the loop would do."""
    event = recorded.event
    assert isinstance(event, ProposalMade)
    row = ProposalRow(
        proposal=event.proposal,
        model=event.model,
        action=event.action,
        mode=event.mode,
        target=event.target,
        reason=event.reason,
        made_at=recorded.at,
        cause=event.cause,
    )
    _put_proposal(projection, row)


def proposal_settled(projection: Projection, recorded: Recorded) -> None:
    """What became of a proposal."""
    event = recorded.event
    assert isinstance(event, ProposalSettled)
    row = projection.get(PROPOSALS, event.proposal)
    assert row is not None, f"no proposal {event.proposal}"
    _put_proposal(projection, msgspec.structs.replace(row, verdict=event.verdict))


def _put_incident(projection: Projection, row: IncidentRow) -> None:
    projection.put(INCIDENTS, row.incident, row)
    projection.put(MODEL_INCIDENTS, f"{row.model}/{row.incident}", row)


def _put_proposal(projection: Projection, row: ProposalRow) -> None:
    projection.put(PROPOSALS, row.proposal, row)
    projection.put(MODEL_PROPOSALS, f"{row.model}/{row.proposal}", row)


FOLDS: Mapping[type[Event], Fold] = {
    IncidentOpened: incident_opened,
    IncidentMoved: incident_moved,
    IncidentNoted: incident_noted,
    IncidentReviewed: incident_reviewed,
    FallbackBegan: fallback_began,
    FallbackEnded: fallback_ended,
    ProposalMade: proposal_made,
    ProposalSettled: proposal_settled,
}
"""The folds of this stage."""
