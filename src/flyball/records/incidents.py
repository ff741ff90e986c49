"""Incidents: what is wrong in production, until it is understood."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from flyball.clock import Instant
from flyball.records.base import Event, Record, Table


class IncidentState(StrEnum):
    """States of an incident (docs/architecture.md)."""

    OPEN = "open"
    MITIGATING = "mitigating"
    MITIGATED = "mitigated"
    REVIEWED = "reviewed"
    CLOSED = "closed"


class Cause(Record, frozen=True):
    """What may have caused an incident, with its evidence in words and numbers. `score` is from 0 to 1, `since` when it began (0: not known)."""

    kind: Literal["data", "feature", "version", "upstream"]
    what: str
    score: float
    since: Instant = 0
    evidence: str = ""


class Impact(Record, frozen=True):
    """What an incident cost between two moments: requests and errors of them, and of the labelled rows how many were wrong beyond the bound at release.

    `money` is what those wrong rows cost by the declared `costs=`; None where nothing says. `made`: of a model that is served elsewhere, whose requests
    are counted by when they were made there; `since` is then when the oldest of those was made that it was found in.
    """

    since: Instant
    until: Instant
    requests: int = 0
    errors: int = 0
    labelled: int = 0
    wrong: float = 0.0
    money: float | None = None
    currency: str = ""
    made: bool = False


class ReviewAction(Record, frozen=True):
    """What will be different, who sees to it, and by when."""

    what: str
    owner: str
    due: Instant


class Review(Record, frozen=True):
    """What a person wrote down after an incident. In the short form `what` is all of it."""

    what: str
    why: str = ""
    impact: str = ""
    measured: Impact | None = None
    actions: tuple[ReviewAction, ...] = ()


class IncidentOpened(Event, frozen=True, tag="incident.opened"):
    """Something is wrong in production. `cause` names the column and value where that is known. Without a `model` it is the project's.

    `request` is the id of the prediction that a complaint is about. `made_since` is, of a model that is served elsewhere, when the oldest prediction was
    made that it was found in (0: not known); its impact is counted from there.
    """

    incident: str
    model: str
    failure_mode: str
    alert: str
    what: str
    cause: str
    owner: str
    actions: tuple[str, ...]
    rollout: str = ""
    request: str = ""
    causes: tuple[Cause, ...] = ()
    made_since: Instant = 0


class IncidentMoved(Event, frozen=True, tag="incident.moved"):
    """An incident went along one arrow: mitigated and closed are observed, never assumed. `impact` is what was counted by then; `false_alarm`: a person says that
    nothing was wrong.
    """

    incident: str
    source: IncidentState
    target: IncidentState
    why: str
    impact: Impact | None = None
    false_alarm: bool = False


class IncidentNoted(Event, frozen=True, tag="incident.noted"):
    """An action was taken, a clock ran out (`overdue: mitigate`), or the cause became clearer. `actions` join what is to be done.

    `owner` is set where the cause lies in what another team owns: it is theirs from here on. `causes` are the likely ones anew, the likeliest first;
    `taken_by` is who has said to be on it.
    """

    incident: str
    note: str
    cause: str = ""
    actions: tuple[str, ...] = ()
    owner: str = ""
    causes: tuple[Cause, ...] = ()
    taken_by: str = ""


class IncidentReviewed(Event, frozen=True, tag="incident.reviewed"):
    """A person wrote down what happened, why, what it cost and what will be different."""

    incident: str
    review: Review


class IncidentRow(Record, frozen=True):
    """An incident as it stands. Clocks are instants by which a thing is due; `capped_at` is when it began to ask for a cap on trainings,
    `made_since` as in IncidentOpened. `impact_before` is what it had cost when it opened again.
    """

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
    causes: tuple[Cause, ...] = ()
    impact: Impact | None = None
    review: Review | None = None
    taken_by: str = ""
    taken_at: Instant = 0
    capped_at: Instant = 0
    request: str = ""
    made_since: Instant = 0
    impact_before: Impact | None = None


INCIDENTS = Table("incident", IncidentRow)
"""Keyed by incident id."""

MODEL_INCIDENTS = Table("model_incident", IncidentRow)
"""The same rows as INCIDENTS, keyed by `model/incident` (the project's own by `/incident`): what every tick asks of every model must not cost what all models have been through."""


class FalseAlarm(Record, frozen=True):
    """The newest incident of a model's failure mode that a person closed as a false alarm, and when it opened, or opened again."""

    incident: str
    opened_at: Instant


FALSE_ALARMS = Table("false_alarm", FalseAlarm)
"""Keyed by `model/failure_mode`."""

EVENTS = (IncidentOpened, IncidentMoved, IncidentNoted, IncidentReviewed)
