"""The states of a run and the arrows between them. What is not in the table cannot be recorded."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from flyball.errors import Conflict
from flyball.records.training import RunState

TRANSITIONS: Mapping[RunState, frozenset[RunState]] = MappingProxyType(
    {
        RunState.QUEUED: frozenset({RunState.RUNNING, RunState.LOST, RunState.SUCCEEDED, RunState.FAILED, RunState.CANCELLED}),
        RunState.RUNNING: frozenset({RunState.SUCCEEDED, RunState.FAILED, RunState.CANCELLED, RunState.LOST}),
        RunState.LOST: frozenset({RunState.QUEUED}),
        RunState.SUCCEEDED: frozenset(),
        RunState.FAILED: frozenset(),
        RunState.CANCELLED: frozenset(),
    }
)
"""State → the states that may follow. A queued run may be seen ended or lost without ever being seen running: it was quick."""


def move(run: str, source: RunState, target: RunState) -> RunState:
    """Return `target` if the table has the arrow; else raise Conflict."""
    if target not in TRANSITIONS[source]:
        raise Conflict(
            f"{run} is {source.value} and cannot become {target.value}",
            why=f"after {source.value} comes {_listed(TRANSITIONS[source])}",
            fix="look at the run again: its state has changed",
        )
    return target


def _listed(states: frozenset[RunState]) -> str:
    return ", ".join(sorted(state.value for state in states)) or "nothing: it has ended"
