"""Why a model's rollouts hold, and nothing new of it is released."""

from __future__ import annotations

from flyball.clock import Instant
from flyball.declare.model import Model
from flyball.loop.findings import incidents_of
from flyball.loop.memory import Memories
from flyball.records.base import State
from flyball.records.incidents import IncidentState

LIVE = (IncidentState.OPEN, IncidentState.MITIGATING)
"""States of an incident that is not mitigated yet."""


def frozen_by(state: State, model: Model, kept: Memories, now: Instant) -> str:
    """What keeps the model's rollouts from going on, and a version from being released by the loop; empty where nothing does."""
    frozen = [row.incident for row in incidents_of(state, model.name) if row.state in LIVE and "freeze" in row.actions]
    missing = kept.monitor(model.name).gap(now)
    return ", ".join([*frozen, *([f"{missing:,} records are missing from the evidence"] if missing else [])])
