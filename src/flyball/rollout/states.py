"""The state machine of a rollout: one table, one event per arrow (`RolloutMoved`). What is not in the table cannot happen."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from flyball.errors import Conflict
from flyball.records.rollouts import RolloutState as S

RUNNING = frozenset({S.SHADOW, S.CANARY, S.WATCHING})
"""Evidence is gathered and guards may fire."""

HELD = frozenset({S.FROZEN, S.PAUSED})
"""Stands still on the route it had: frozen by what was seen, paused by a person."""

TERMINAL = frozenset({S.COMPLETED, S.FAILED, S.ROLLED_BACK})
"""Nothing follows; another try is another rollout."""

_STEPS = frozenset({S.SHADOW, S.CANARY, S.WATCHING})

TRANSITIONS: Mapping[S, frozenset[S]] = MappingProxyType(
    {
        S.PLANNED: frozenset({S.WARMING, S.FAILED}),
        S.WARMING: _STEPS | {S.FAILED},
        S.SHADOW: frozenset({S.SHADOW, S.CANARY, S.WATCHING, S.FROZEN, S.PAUSED, S.ROLLING_BACK}),
        S.CANARY: frozenset({S.SHADOW, S.CANARY, S.WATCHING, S.FROZEN, S.PAUSED, S.ROLLING_BACK}),
        S.WATCHING: frozenset({S.COMPLETED, S.FROZEN, S.PAUSED, S.ROLLING_BACK}),
        S.FROZEN: _STEPS | {S.PAUSED, S.ROLLING_BACK},
        S.PAUSED: _STEPS | {S.ROLLING_BACK},
        S.ROLLING_BACK: frozenset({S.ROLLED_BACK}),
        S.COMPLETED: frozenset(),
        S.FAILED: frozenset(),
        S.ROLLED_BACK: frozenset(),
    }
)
"""State → the states that an arrow leads to. A step to the next of its own kind is an arrow too."""


def leaving(source: S) -> S:
    """Where an order to leave the rollout leads: back to the old route, or, before the first step, to a failure that changed no route."""
    return S.ROLLING_BACK if source in RUNNING | HELD else S.FAILED


def require(source: S, target: S) -> None:
    """Raise Conflict unless an arrow leads from `source` to `target`."""
    if target not in TRANSITIONS[source]:
        allowed = ", ".join(sorted(state.value for state in TRANSITIONS[source])) or "nothing: it has ended"
        raise Conflict(
            f"a rollout that is {source.value} cannot become {target.value}",
            why=f"from {source.value} it goes to {allowed}",
            fix="look at its present state with: flyball rollouts show",
        )
