"""What persons do with an incident: open one, say what ended a complaint, write down what was learnt. Pure.

A complaint is an incident of its own: no monitor has seen what it is about, so none can say that it is over.
"""

from __future__ import annotations

from collections.abc import Callable

from flyball.declare import owners
from flyball.declare.model import Model
from flyball.errors import Conflict, escaped
from flyball.incidents.playbook import actions, by_hand, left_to
from flyball.incidents.rules import MITIGATED, MITIGATING, OPEN, REVIEWED
from flyball.ledger.bounds import clipped
from flyball.records.base import Event
from flyball.records.incidents import IncidentMoved, IncidentNoted, IncidentOpened, IncidentReviewed, IncidentRow, Review

COMPLAINT = "complaint"


def complaint(model: Model, new_id: Callable[[str], str], *, what: str, request: str, by: str) -> tuple[Event, ...]:
    """A person says that something is wrong."""
    chosen = actions(model.playbook, COMPLAINT)
    about = f", about the request {escaped(request)}" if request else ""
    opened = IncidentOpened(
        incident=new_id("inc"),
        model=model.name,
        failure_mode=COMPLAINT,
        alert="",
        what=clipped(f"complaint: {what}", 400),
        cause="",
        owner=owners.of_failure(model, COMPLAINT),
        actions=chosen,
        request=request,
    )
    notes = [f"opened by {by}{about}", *left_to(model, opened.owner)]
    notes += [f'action "{name}" is not done by flyball: {opened.owner or "the owner"} has to' for name in by_hand(chosen)]
    return (opened, *(IncidentNoted(incident=opened.incident, note=note) for note in notes))


def ended(incident: IncidentRow, why: str) -> IncidentMoved:
    """A person says what ended a complaint. Raises Conflict for any other incident: that one is seen to end."""
    if incident.failure_mode != COMPLAINT:
        raise Conflict(
            f"{incident.incident} is no complaint",
            why="that it is over is observed: its alert resolves, or another champion answers everywhere",
            fix=f'if it never was one: flyball incidents resolve {incident.incident} --reason "…"',
        )
    if incident.state not in (OPEN, MITIGATING):
        raise Conflict(f"{incident.incident} is {incident.state.value} already", fix=f"flyball incidents show {incident.incident}")
    return IncidentMoved(incident=incident.incident, source=incident.state, target=MITIGATED, why=why)


def reviewed(incident: IncidentRow, form: Review) -> tuple[Event, ...]:
    """A person has filled in the form. Raises Conflict before the incident is mitigated."""
    if incident.state != MITIGATED:
        what, name = f"{incident.incident} is {incident.state.value} and cannot be reviewed", incident.incident
        if incident.state not in (OPEN, MITIGATING):
            raise Conflict(what, why="it was mitigated, and that is behind it", fix=f"flyball incidents show {name}")
        if incident.failure_mode == COMPLAINT:
            why = "a review follows the mitigation, and what ended a complaint a person says"
            raise Conflict(what, why=why, fix=f'flyball incidents mitigated {name} --reason "…"')
        why = "a review follows the mitigation, which is observed"
        raise Conflict(what, why=why, fix=f"flyball incidents show {name}; resolve it as a false alarm if it is one")
    moved = IncidentMoved(incident=incident.incident, source=incident.state, target=REVIEWED, why=clipped(form.what))
    return (IncidentReviewed(incident=incident.incident, review=form), moved)


def is_overdue(incident: IncidentRow) -> bool:
    """Whether the review of an incident is due and has not come. Before the mitigation there is none to write: what is due then is the mitigation."""
    return "review" in incident.overdue and incident.state == MITIGATED
