"""The error budgets of a model's objectives, from its counts and from what the ledger says of its data."""

from __future__ import annotations

from flyball.clock import Instant
from flyball.declare.model import Model
from flyball.declare.reads import looked_at
from flyball.monitoring.objectives import Budget, Stale, budgets
from flyball.monitoring.state import MonitorState
from flyball.records.base import State
from flyball.records.data import DATASETS, StaleTime


def budgets_of(state: State, model: Model, kept: MonitorState, now: Instant) -> tuple[Budget, ...]:
    """Each objective's budget as it stands; none where none is declared."""
    return budgets(model.objectives, kept.slabs, stale_of(state, model, now), now=now) if model.objectives else ()


def stale_of(state: State, model: Model, now: Instant) -> list[Stale]:
    """When each data set that the model looks at, and that says how old it may be, was older."""
    found = []
    for name, dataset in looked_at(model).items():
        row = state.get(DATASETS, name)
        if dataset.freshness is None or row is None or row.head is None or not row.first_at:
            continue
        goes_on = (StaleTime(start=row.stale_from, end=now, stale=now - row.stale_from),) if 0 < row.stale_from < now else ()
        found.append(Stale(name, row.first_at, (*row.stale, *goes_on)))
    return found
