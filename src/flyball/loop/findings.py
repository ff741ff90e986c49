"""What the monitors found becomes alerts and incidents, in one transaction."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Literal

from flyball.clock import Instant
from flyball.declare.model import Model
from flyball.errors import Conflict
from flyball.incidents import rules as incidents
from flyball.incidents.messages import ACKNOWLEDGED, acknowledged_by
from flyball.loop.overlay import after
from flyball.loop.releases import in_force
from flyball.monitoring import alerts as alerting
from flyball.records.alerts import ALERTS, AlertRow, Finding
from flyball.records.base import Event, Fold, Record, Refusal, State
from flyball.records.incidents import INCIDENTS, MODEL_INCIDENTS, IncidentNoted, IncidentRow, IncidentState
from flyball.records.mutes import is_muted, mutes_of
from flyball.records.rollouts import ROLLOUTS, RolloutState
from flyball.records.serving import EPOCHS
from flyball.records.versions import MODELS

NewId = Callable[[str], str]
Folds = Mapping[type[Event], Fold]


class Report(Record, frozen=True):
    """What one model's monitors say now. `acting` names an action under way."""

    id: str
    actor: str
    model: str
    findings: tuple[Finding, ...]
    acting: str = ""


class SettleIncident(Record, frozen=True):
    """A person reviews an incident, closes it as a false alarm, or acknowledges its alert."""

    id: str
    actor: str
    incident: str
    verb: Literal["ack", "review", "resolve"]
    text: str


def incidents_of(state: State, model: str) -> list[IncidentRow]:
    """The model's incidents, oldest first."""
    return [row for _, row in state.scan(MODEL_INCIDENTS, f"{model}/")]


def alerts_of(state: State, model: str) -> dict[str, AlertRow]:
    """The model's alerts by key."""
    return dict(state.scan(ALERTS, f"{model}/"))


def decide_report(state: State, command: Report, now: Instant, *, model: Model, folds: Folds, new_id: NewId) -> Sequence[Event]:
    """Alerts move, incidents open, go on and are found mitigated: nothing where nothing changed."""
    moved = alerting.alerts(model.name, alerts_of(state, model.name), command.findings, now)
    then = after(state, moved, folds, now)
    heard = heard_of(then, model.name, alerts_of(then, model.name).values(), now)
    reaction = incidents.react(heard, incidents_of(then, model.name), model, now, new_id)
    then = after(then, reaction, folds, now)
    events: list[Event] = [*moved, *reaction]
    for row in incidents_of(then, model.name):
        if row.state != IncidentState.CLOSED:
            alerts = alerts_of(then, model.name).values()
            events += incidents.progress(row, alerts, now=now, acting=command.acting, in_force_at=_in_force_at(then, row))
    return events


def heard_of(state: State, model: str, alerts: Iterable[AlertRow], now: Instant) -> list[AlertRow]:
    """The alerts that nobody has muted: the others open no incident until they are heard again, and are watched all the same."""
    muted = mutes_of(state, model, now)
    return [row for row in alerts if not is_muted(muted, row.monitor)]


def _in_force_at(state: State, incident: IncidentRow) -> Instant:
    """When what ends the incident's effect on traffic was in force everywhere; 0 if it is not yet."""
    epochs, model = state.get(EPOCHS, "routes"), state.get(MODELS, incident.model)
    if epochs is None or model is None or not in_force(state, incident.model):
        return 0
    if incident.rollout:
        rollout = state.get(ROLLOUTS, incident.rollout)
        # one that failed before its first step is over as well: the route without it is in force
        over = rollout is not None and rollout.state in (RolloutState.ROLLED_BACK, RolloutState.FAILED)
        return epochs.in_force_at if over else 0
    return epochs.in_force_at if model.champion_at > max(incident.opened_at, incident.reopened_at) else 0


def decide_settle(state: State, command: SettleIncident, _now: Instant) -> Sequence[Event] | Refusal:
    """A person's word on an incident."""
    row = state.get(INCIDENTS, command.incident)
    if row is None:
        return Refusal(code="not-found", what=f'no incident "{command.incident}"', fix="flyball incidents list")
    if command.verb == "ack":
        return _acknowledged(state, row, command)
    try:
        return (incidents.review(row, command.text),) if command.verb == "review" else (incidents.false_alarm(row, command.text),)
    except Conflict as error:
        return Refusal(code="conflict", what=error.what, why=error.why, fix=error.fix)


def _acknowledged(state: State, row: IncidentRow, command: SettleIncident) -> Sequence[Event] | Refusal:
    """Somebody is on it, and says so: noted on the incident, and its alert, where it has one, is acknowledged."""
    if row.state == IncidentState.CLOSED:
        return Refusal(code="conflict", what=f"{row.incident} is closed already", fix="flyball incidents list")
    alert = state.get(ALERTS, row.alert) if row.alert else None
    moved = alerting.acknowledge(alert) if alert is not None else None
    note = f"{ACKNOWLEDGED}{command.actor}" + (f": {command.text}" if command.text.strip() else "")
    # what was said before it opened again was said of something else
    noted = () if acknowledged_by(row) == note.removeprefix(ACKNOWLEDGED) else (IncidentNoted(incident=row.incident, note=note),)
    return (*noted, *(() if moved is None else (moved,)))
