"""Incidents: what is wrong in production, until it is understood."""

from __future__ import annotations

from enum import StrEnum

from flyball.clock import Instant
from flyball.records.base import Event, Record, Table


class IncidentState(StrEnum):
    """States of an incident (docs/architecture.md)."""

    OPEN = "open"
    MITIGATING = "mitigating"
    MITIGATED = "mitigated"
    REVIEWED = "reviewed"
    CLOSED = "closed"


class IncidentOpened(Event, frozen=True, tag="incident.opened"):
    """Something is wrong in production. `cause` names the column and value where that is known."""

    incident: str
    model: str
    failure_mode: str
    alert: str
    what: str
    cause: str
    owner: str
    actions: tuple[str, ...]
    rollout: str = ""


class IncidentMoved(Event, frozen=True, tag="incident.moved"):
    """An incident went along one arrow: mitigated and closed are observed, never assumed."""

    incident: str
    source: IncidentState
    target: IncidentState
    why: str


class IncidentNoted(Event, frozen=True, tag="incident.noted"):
    """An action was taken, a clock ran out (`overdue: mitigate`), or the cause became clearer. `actions` join what is to be done.

    `owner` is set where the cause lies in what another team owns: it is theirs from here on.
    """

    incident: str
    note: str
    cause: str = ""
    actions: tuple[str, ...] = ()
    owner: str = ""


class IncidentRow(Record, frozen=True):
    """An incident as it stands. Clocks are instants by which a thing is due."""

    incident: str
    model: str
    failure_mode: str
    alert: str
    what: str
    cause: str
    owner: str
    state: IncidentState
    opened_at: Instant
    mitigate_by: Instant
    review_by: Instant
    root_cause_by: Instant
    actions: tuple[str, ...]
    rollout: str = ""
    mitigated_at: Instant = 0
    reviewed_at: Instant = 0
    closed_at: Instant = 0
    reopened_at: Instant = 0
    overdue: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


INCIDENTS = Table("incident", IncidentRow)
"""Keyed by incident id."""

MODEL_INCIDENTS = Table("model_incident", IncidentRow)
"""The same rows as INCIDENTS, keyed by `model/incident`: what every tick asks of every model must not cost what all models have been through."""

EVENTS = (IncidentOpened, IncidentMoved, IncidentNoted)
