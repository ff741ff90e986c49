"""Why a model's rollouts hold, and nothing new of it is released."""

from __future__ import annotations

from flyball.clock import Instant
from flyball.declare.model import Model
from flyball.incidents.persons import is_overdue
from flyball.loop.budgets import budgets_of
from flyball.loop.findings import incidents_of
from flyball.loop.memory import Memories
from flyball.loop.proposals import ACTOR
from flyball.monitoring.objectives import QUALITY, held_by
from flyball.records.base import State
from flyball.records.incidents import IncidentState
from flyball.records.training import RUNS
from flyball.records.versions import VERSIONS

LIVE = (IncidentState.OPEN, IncidentState.MITIGATING)
"""States of an incident that is not mitigated yet."""


def frozen_by(state: State, model: Model, kept: Memories, now: Instant, *, version: str = "", by: str = ACTOR) -> str:
    """What keeps the model's rollouts from going on, and a version from being released by the loop; empty where nothing does.

    `version`: the one that it is about, `by`: who releases it. A person who releases while a budget is spent does so knowingly, and what was trained
    because a model got worse is what mends a budget of quality: neither is held by it.
    """
    frozen = [row.incident for row in incidents_of(state, model.name) if row.state in LIVE and "freeze" in row.actions]
    missing = kept.monitor(model.name).gap(now)
    gap = [f"{missing:,} records are missing from the evidence"] if missing else []
    return ", ".join([*frozen, *gap, *(_spent(state, model, kept, now, version) if by == ACTOR else [])])


def overdue_review(state: State, model: str) -> str:
    """What keeps the loop, and no person, from releasing or promoting anything by itself: nobody has said yet what was learnt from the last incident."""
    late = [row.incident for row in incidents_of(state, model) if is_overdue(row)]
    return f"the review of {', '.join(late)} is overdue: flyball incidents review {late[0]}" if late else ""


def _spent(state: State, model: Model, kept: Memories, now: Instant, version: str) -> list[str]:
    """The budgets that are spent."""
    found = budgets_of(state, model, kept.monitor(model.name), now)
    row = state.get(VERSIONS, f"{model.name}/{version}") if version else None
    run = state.get(RUNS, row.run) if row is not None else None
    mends = run is not None and run.trigger == "monitor"
    return held_by(each for each in found if not (mends and each.kind in QUALITY))
