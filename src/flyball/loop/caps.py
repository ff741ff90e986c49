"""What keeps the loop from training by itself: an incident whose playbook caps it, until somebody acknowledges it or its time is over. Pure."""

from __future__ import annotations

from flyball.clock import Instant, Span
from flyball.declare.model import Model
from flyball.declare.policy import Retrain
from flyball.loop.findings import incidents_of
from flyball.loop.storms import storms_of
from flyball.monitoring.storms import DECLARED
from flyball.records.base import State
from flyball.records.incidents import IncidentState
from flyball.records.training import Trigger
from flyball.training import rules as training

COOLDOWNS = 3
"""For so many cool-downs a cap holds if nobody says a word: the world goes on, and a model that is never trained again is the worse harm."""


def capped_by(state: State, model: Model, trigger: Trigger, now: Instant) -> str:
    """The incident that keeps the loop from a training of this trigger; empty where none does.

    A changed declaration is a person's deed, and may be the cure: it is capped only where declarations themselves are the storm.
    """
    if trigger == "declaration" and not any(one.kind == DECLARED for one in storms_of(state, model, now)):
        return ""
    lasts = _lasts(model)
    for row in incidents_of(state, model.name):
        if "cap" not in row.actions or row.state not in (IncidentState.OPEN, IncidentState.MITIGATING):
            continue
        # a storm may join an incident that is old, and that somebody has taken for another reason
        began = max(row.capped_at or row.opened_at, row.reopened_at)
        if row.taken_at <= began and now < began + lasts:
            return row.incident
    return ""


def _lasts(model: Model) -> Span:
    holdout = model.train.holdout_span if model.train is not None else None
    return Span(COOLDOWNS * training.cooldown(model.retrain or Retrain(), holdout))
