"""How rollout events change the projections."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import msgspec

from flyball.errors import Conflict
from flyball.records.base import Event, Fold, Projection, Recorded
from flyball.records.rollouts import ROLLOUTS, RolloutMoved, RolloutPlanned, RolloutRow, RolloutState, put_rollout
from flyball.records.versions import MODELS, ModelRow
from flyball.rollout.states import HELD, TERMINAL, require


def planned(projection: Projection, recorded: Recorded) -> None:
    """A model has an active rollout."""
    event = cast("RolloutPlanned", recorded.event)
    row = RolloutRow(
        rollout=event.rollout,
        model=event.model,
        version=event.version,
        champion=event.champion,
        steps=event.steps,
        evidence=event.evidence,
        attempt=event.attempt,
        state=RolloutState.PLANNED,
        step=0,
        planned_at=recorded.at,
        entered_at=recorded.at,
        why=event.reason,
        slow_us=event.slow_us,
        decided_at=recorded.at,
        by=recorded.actor,
        despite=event.despite,
        outside_window=event.outside_window,
    )
    put_rollout(projection, row)
    model = projection.get(MODELS, event.model) or ModelRow(model=event.model)
    projection.put(MODELS, event.model, msgspec.structs.replace(model, rollout=event.rollout))


def moved(projection: Projection, recorded: Recorded) -> None:
    """A rollout is in another state or step; at the end of it the model has none."""
    event = cast("RolloutMoved", recorded.event)
    row = projection.get(ROLLOUTS, event.rollout)
    if row is None:
        raise Conflict(f'no rollout "{event.rollout}" was planned', why="every rollout begins with rollout.planned")
    if event.source is not row.state:
        raise Conflict(f"{event.rollout} is {row.state.value}, not {event.source.value}", why="an arrow starts where the rollout stands")
    require(event.source, event.target)
    resume = None
    if event.target in HELD:
        resume = row.resume if event.source in HELD else event.source
    put_rollout(
        projection,
        msgspec.structs.replace(
            row,
            state=event.target,
            step=event.step,
            entered_at=recorded.at,
            why=event.why,
            resume=resume,
            moves=row.moves + 1,
            decided_at=recorded.at,
        ),
    )
    model = projection.get(MODELS, event.model)
    if event.target in TERMINAL and model is not None and model.rollout == event.rollout:
        projection.put(MODELS, event.model, msgspec.structs.replace(model, rollout=""))


FOLDS: Mapping[type[Event], Fold] = {RolloutPlanned: planned, RolloutMoved: moved}
