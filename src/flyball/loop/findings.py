"""What the monitors found becomes alerts and incidents, in one transaction."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Literal, TypeGuard

import msgspec

from flyball.clock import Instant
from flyball.declare.model import Model
from flyball.errors import Conflict
from flyball.governance.authority import Caller
from flyball.incidents import causes, persons
from flyball.incidents import rules as incidents
from flyball.incidents.messages import ACKNOWLEDGED, acknowledged_by
from flyball.ledger.bounds import clipped
from flyball.loop.causes import causes_of, impact_of, made_since
from flyball.loop.overlay import after
from flyball.loop.releases import in_force
from flyball.monitoring import alerts as alerting
from flyball.monitoring.state import MonitorState
from flyball.records.alerts import ALERTS, AlertRow, Finding
from flyball.records.base import Event, Fold, Record, Refusal, State
from flyball.records.incidents import (
    INCIDENTS,
    MODEL_INCIDENTS,
    IncidentMoved,
    IncidentNoted,
    IncidentOpened,
    IncidentRow,
    IncidentState,
    Review,
)
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
    """A person acknowledges an incident, says what ended a complaint, reviews it (`review` is the form), or closes it as a false alarm."""

    id: str
    actor: str
    incident: str
    verb: Literal["ack", "mitigated", "review", "resolve"]
    text: str
    review: Review | None = None


class OpenIncident(Record, frozen=True):
    """A person complains of a model. `request` is the id of the prediction that it is about; empty: of none in particular."""

    id: str
    actor: str
    model: str
    what: str
    request: str = ""


def incidents_of(state: State, model: str) -> list[IncidentRow]:
    """The model's incidents, oldest first."""
    return [row for _, row in state.scan(MODEL_INCIDENTS, f"{model}/")]


def alerts_of(state: State, model: str) -> dict[str, AlertRow]:
    """The model's alerts by key."""
    return dict(state.scan(ALERTS, f"{model}/"))


def decide_report(
    state: State, command: Report, now: Instant, *, model: Model, folds: Folds, new_id: NewId, monitor: MonitorState | None = None
) -> Sequence[Event]:
    """Alerts move, incidents open, go on and are found mitigated: nothing where nothing changed. monitor: what the model's counts say of causes and cost."""
    moved = alerting.alerts(model.name, alerts_of(state, model.name), command.findings, now)
    then = after(state, moved, folds, now)
    heard = heard_of(then, model.name, alerts_of(then, model.name).values(), now)
    reaction = incidents.react(heard, incidents_of(then, model.name), model, now, new_id)
    then = after(then, reaction, folds, now)
    events: list[Event] = [*moved, *(_as_known(then, event, model, monitor) for event in reaction)]
    opened = {event.incident for event in reaction if isinstance(event, IncidentOpened) or _is_again(event)}
    for row in incidents_of(then, model.name):
        if row.state == IncidentState.CLOSED:
            continue
        alerts = alerts_of(then, model.name)
        steps = incidents.progress(row, alerts.values(), now=now, acting=command.acting, in_force_at=_in_force_at(then, row))
        events += [_with_impact(step, row, model, alerts.get(row.alert), monitor, now) for step in steps]
        if row.incident not in opened:
            events += _causes_anew(then, row, model, monitor)
    return events


def heard_of(state: State, model: str, alerts: Iterable[AlertRow], now: Instant) -> list[AlertRow]:
    """The alerts that nobody has muted: the others open no incident until they are heard again, and are watched all the same."""
    muted = mutes_of(state, model, now)
    return [row for row in alerts if not is_muted(muted, row.monitor)]


def _as_known(then: State, event: Event, model: Model, monitor: MonitorState | None) -> Event:
    """An incident opens, and opens again, with its likely causes. The moment from which its predictions are counted is that of the first time."""
    if not isinstance(event, IncidentOpened) and not _is_again(event):
        return event
    row = then.get(INCIDENTS, event.incident)
    assert row is not None, f"{event.incident} is open"
    alerts = alerts_of(then, model.name)
    if isinstance(event, IncidentNoted):
        return msgspec.structs.replace(event, causes=causes_of(then, model, row, alerts.values(), monitor, again=True))
    since = made_since(model, row, alerts.get(row.alert), monitor) if monitor is not None else 0
    likely = causes_of(then, model, msgspec.structs.replace(row, made_since=since), alerts.values(), monitor)
    return msgspec.structs.replace(event, causes=likely, made_since=since)


def _is_again(event: Event) -> TypeGuard[IncidentNoted]:
    """Whether this says what is known of an incident that opens again."""
    return isinstance(event, IncidentNoted) and bool(event.cause) and not event.note


def _causes_anew(then: State, row: IncidentRow, model: Model, monitor: MonitorState | None) -> list[Event]:
    """The likely causes of an incident that goes on, where they are others by now."""
    if row.state not in (IncidentState.OPEN, IncidentState.MITIGATING):
        return []
    now = causes_of(then, model, row, alerts_of(then, model.name).values(), monitor)
    if not causes.differ(row.causes, now):
        return []
    return [IncidentNoted(incident=row.incident, note="", causes=now)]


def _with_impact(event: Event, row: IncidentRow, model: Model, alert: AlertRow | None, monitor: MonitorState | None, now: Instant) -> Event:
    """What an incident has cost is noted when it is mitigated."""
    if monitor is None or not isinstance(event, IncidentMoved) or event.target != IncidentState.MITIGATED:
        return event
    return msgspec.structs.replace(event, impact=impact_of(model, row, alert, monitor, now))


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
        match command.verb:
            case "review":
                return persons.reviewed(row, command.review or Review(what=command.text))
            case "mitigated":
                return (persons.ended(row, f"{command.actor}: {command.text}"),)
            case _:
                return (incidents.false_alarm(row, command.text),)
    except Conflict as error:
        return Refusal(code="conflict", what=error.what, why=error.why, fix=error.fix)


def decide_open(state: State, command: OpenIncident, _now: Instant, *, model: Model, new_id: NewId) -> Sequence[Event] | Refusal:
    """A person's complaint is an incident of its own; the same one twice is told where the first is."""
    same = (row for row in incidents_of(state, model.name) if row.state != IncidentState.CLOSED and row.failure_mode == persons.COMPLAINT)
    made = persons.complaint(model, new_id, what=command.what, request=command.request, by=command.actor)
    first = made[0]
    assert isinstance(first, IncidentOpened)
    known = next((row.incident for row in same if (row.what, row.request) == (first.what, first.request)), "")
    if known:
        return Refusal(code="conflict", what=f"{known} is open already, and says the same", fix=f"flyball incidents show {known}")
    return made


def _acknowledged(state: State, row: IncidentRow, command: SettleIncident) -> Sequence[Event] | Refusal:
    """Somebody is on it, and says so: noted on the incident, and its alert, where it has one, is acknowledged."""
    if row.state == IncidentState.CLOSED:
        return Refusal(code="conflict", what=f"{row.incident} is closed already", fix="flyball incidents list")
    alert = state.get(ALERTS, row.alert) if row.alert else None
    moved = alerting.acknowledge(alert) if alert is not None else None
    note = clipped(f"{ACKNOWLEDGED}{command.actor}" + (f": {command.text}" if command.text.strip() else ""))
    # what was said before it opened again was said of something else
    known = _is_known(acknowledged_by(row), note.removeprefix(ACKNOWLEDGED), command.actor)
    noted = () if known else (IncidentNoted(incident=row.incident, note=note, taken_by=command.actor),)
    return (*noted, *(() if moved is None else (moved,)))


def _is_known(said: str, says: str, actor: str) -> bool:
    """Whether the same person has said so already, in whatever words. A route speaks for several, and names them."""
    mine = said == actor or said.startswith(f"{actor}: ")
    return said == says or (mine and not Caller(actor=actor).is_route)
