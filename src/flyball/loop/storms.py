"""The trainings of a model that were made in vain, as the record has them. Pure."""

from __future__ import annotations

from flyball.clock import Instant
from flyball.declare.model import Model
from flyball.declare.policy import Retrain
from flyball.monitoring.storms import Attempt, Storm, storms
from flyball.records.base import State
from flyball.records.training import MODEL_RUNS, NO_ATTEMPTS, RunState
from flyball.records.versions import MODELS, VERSIONS, ModelRow, VersionState
from flyball.training import rules as training

_VAIN = (VersionState.REJECTED, VersionState.HELD, VersionState.QUARANTINED, VersionState.DELETED)
"""States of a version that nothing better came of. One that waits for its release, or was released, did not come in vain."""


def storms_of(state: State, model: Model, now: Instant) -> tuple[Storm, ...]:
    """The storms that the trainings which the loop has begun are. Where nothing answers yet there is nothing to be better than."""
    row = state.get(MODELS, model.name) or ModelRow(model=model.name)
    if not row.champion:
        return ()
    found = []
    for _, run in state.scan(MODEL_RUNS, f"{model.name}/"):
        if run.trigger in NO_ATTEMPTS or run.trigger == "manual" or not run.release:
            continue
        if run.state in (RunState.FAILED, RunState.LOST):
            found.append(Attempt(run.trigger, run.queued_at, run.state.value))
        elif run.state == RunState.SUCCEEDED and run.version:
            version = state.get(VERSIONS, f"{model.name}/{run.version}")
            if version is not None and (version.state in _VAIN or version.taken_back):
                found.append(Attempt(run.trigger, run.queued_at, "rolled back" if version.taken_back else version.state.value))
    holdout = model.train.holdout_span if model.train is not None else None
    return storms(found, champion_at=row.champion_at, cooldown=training.cooldown(model.retrain or Retrain(), holdout), now=now)
