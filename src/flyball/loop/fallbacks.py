"""The declared fallback answers in place of a model's versions, and its versions answer again: the commands, and how each is decided. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from flyball.clock import Instant
from flyball.declare.elsewhere import is_elsewhere
from flyball.declare.model import Model
from flyball.loop.proposals import settle
from flyball.loop.releases import Folds, with_route
from flyball.loop.requests import Signatures
from flyball.records.base import Event, Record, Refusal, State
from flyball.records.fallbacks import FALLBACKS, FallbackBegan, FallbackEnded
from flyball.records.incidents import INCIDENTS, IncidentState
from flyball.records.serving import ROUTES
from flyball.records.versions import MODELS


class BeginFallback(Record, frozen=True):
    """Let the declared fallback answer as long as an incident is not mitigated."""

    id: str
    actor: str
    model: str
    incident: str
    reason: str


class EndFallback(Record, frozen=True):
    """Let the model's versions answer again."""

    id: str
    actor: str
    model: str
    reason: str


def decide_begin(
    state: State, command: BeginFallback, now: Instant, *, model: Model, folds: Folds, signatures: Signatures
) -> Sequence[Event] | Refusal:
    """The route changes with it. Nothing where it answers already."""
    incident = state.get(INCIDENTS, command.incident)
    if incident is None or incident.model != model.name:
        return Refusal(code="not-found", what=f'no incident "{command.incident}" of {model.name}', fix="flyball incidents list")
    if incident.state not in (IncidentState.OPEN, IncidentState.MITIGATING):
        why = "a fallback answers as long as something is wrong"
        return Refusal(code="conflict", what=f"{incident.incident} is {incident.state.value}", why=why)
    if is_elsewhere(model):
        why = "flyball routes nothing of it"
        fix = f"{incident.owner or model.owner or 'whoever serves it'} lets something else answer there; it ends here when that is seen"
        return Refusal(code="refused", what=f"{model.name} is served elsewhere", why=why, fix=fix)
    if model.fallback is None:
        row = state.get(MODELS, model.name)
        back = f"flyball rollback {model.name}; or " if row is not None and row.former else ""
        fix = f"{back}declare fallback= and flyball apply"
        return Refusal(code="refused", what=f"{model.name} declares no fallback=", why="there is nothing to answer instead", fix=fix)
    if state.get(ROUTES, model.name) is None:
        return Refusal(code="refused", what=f"nothing of {model.name} is served", fix=f"flyball release {model.name}@VERSION")
    if state.get(FALLBACKS, model.name) is not None:
        return ()
    began = FallbackBegan(model=model.name, incident=incident.incident, reason=command.reason)
    settled = settle(state, model.name, "fallback", "accepted", command.reason)
    return with_route(state, [began, *settled], now, model=model, folds=folds, signatures=signatures)


def decide_end(
    state: State, command: EndFallback, now: Instant, *, model: Model, folds: Folds, signatures: Signatures
) -> Sequence[Event] | Refusal:
    """The route changes back. Nothing where versions answer."""
    row = state.get(FALLBACKS, model.name)
    if row is None:
        return ()
    ended = FallbackEnded(model=model.name, incident=row.incident, reason=command.reason)
    return with_route(state, [ended], now, model=model, folds=folds, signatures=signatures)
