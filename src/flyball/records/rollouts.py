"""Rollouts: one active per model."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from typing import Literal

import msgspec

from flyball.clock import Instant, Span
from flyball.records.base import Event, Projection, Record, State, Table


class RolloutState(StrEnum):
    """States of a rollout (docs/architecture.md)."""

    PLANNED = "planned"
    WARMING = "warming"
    SHADOW = "shadow"
    CANARY = "canary"
    WATCHING = "watching"
    COMPLETED = "completed"
    FAILED = "failed"
    FROZEN = "frozen"
    PAUSED = "paused"
    ROLLING_BACK = "rolling_back"
    ROLLED_BACK = "rolled_back"


ACTIVE = frozenset(
    {
        RolloutState.PLANNED,
        RolloutState.WARMING,
        RolloutState.SHADOW,
        RolloutState.CANARY,
        RolloutState.WATCHING,
        RolloutState.FROZEN,
        RolloutState.PAUSED,
        RolloutState.ROLLING_BACK,
    }
)


class Step(Record, frozen=True):
    """One step: `weight` in basis points of traffic (0 in shadow), `bake` of evidence, `labels` wanted."""

    kind: Literal["shadow", "canary", "ab_test", "blue_green"]
    weight: int
    bake: Span
    labels: int = 0


class StepCounts(Record, frozen=True):
    """Additive counts of one step: bad of units in each arm (first per key), slow of units, and units for the sample ratio.

    `canary_met` are the units that the new version has met, each counted at once with its first request, and `canary_failed` those whose first
    request failed.
    """

    weight: int
    canary_units: int = 0
    canary_bad: int = 0
    canary_slow: int = 0
    canary_met: int = 0
    canary_failed: int = 0
    stable_units: int = 0
    stable_bad: int = 0
    stable_slow: int = 0


class PairCounts(Record, frozen=True):
    """Matured, labelled rows that both versions scored: new alone wrong, alike, old alone wrong. `slice` is empty for all.

    For a loss that is not 0/1 the counts are fractions of a row, by the clipped difference of losses. `old_loss` is the sum of
    the old version's clipped losses on these rows, so that a relative margin can be said in units of the loss.
    """

    slice: str = ""
    minus: float = 0.0
    zero: float = 0.0
    plus: float = 0.0
    old_loss: float = 0.0


class RolloutEvidence(Record, frozen=True):
    """Everything a rollout decision rests on: with it, the decision can be replayed.

    `baked` is the time of evidence in the present step, `under` that step and `last` the newest evidence in it. `before` is what
    earlier attempts of the same artifact brought: it counts against a version, never for it.

    `unlisted` is empty but in an event that could not hold the pairs of all slices: how many of each column it leaves out, here and in `before`.
    """

    steps: tuple[StepCounts, ...] = ()
    pairs: tuple[PairCounts, ...] = ()
    matured: int = 0
    labelled: int = 0
    shadow_dropped: int = 0
    baked: Span = msgspec.field(default_factory=lambda: Span(0))
    under: str = ""
    last: Instant = 0
    before: RolloutEvidence | None = None
    unlisted: dict[str, int] = {}


class Reading(Record, frozen=True):
    """One test's state: log10 E for (promote) and against (roll back), with the thresholds they are held to.

    The thresholds are values of E, not logarithms: `need_for=20` asks for `log10_for` ≥ log10(20).
    """

    test: str
    slice: str = ""
    log10_for: float | None = None
    need_for: float | None = None
    log10_against: float | None = None
    need_against: float | None = None
    n: int = 0


class RolloutPlanned(Event, frozen=True, tag="rollout.planned"):
    """A release was decided. `slow_us` is the frozen p99 threshold (None: too few requests to know), `despite` what spoke against the version already
    when a person released it: why it was advised against (empty: it was not). `outside_window`: whether a person let it go forward while its change
    window is closed, too; why is in `reason`.
    """

    rollout: str
    model: str
    version: str
    champion: str
    steps: tuple[Step, ...]
    evidence: Literal["live", "gate"]
    attempt: int
    reason: str
    slow_us: int | None = None
    despite: str = ""
    outside_window: bool = False


class RolloutMoved(Event, frozen=True, tag="rollout.moved"):
    """A rollout went along one arrow of its state machine, on this evidence. `step` indexes the plan's steps."""

    rollout: str
    model: str
    source: RolloutState
    target: RolloutState
    step: int
    why: str
    readings: tuple[Reading, ...] = ()
    counts: RolloutEvidence | None = None


class RolloutRow(Record, frozen=True):
    """A rollout as it stands. `entered_at` is when the present step began, `resume` the state a freeze goes back to."""

    rollout: str
    model: str
    version: str
    champion: str
    steps: tuple[Step, ...]
    evidence: Literal["live", "gate"]
    attempt: int
    state: RolloutState
    step: int
    planned_at: Instant
    entered_at: Instant
    why: str
    slow_us: int | None = None
    resume: RolloutState | None = None
    moves: int = 0
    decided_at: Instant = 0
    by: str = ""
    """Who released it."""
    despite: str = ""
    outside_window: bool = False


ROLLOUTS = Table("rollout", RolloutRow)
"""Keyed by rollout id."""

MODEL_ROLLOUTS = Table("model_rollout", RolloutRow)
"""The same rows, keyed by `model/version/rollout`: who released a version, and how often, must not cost a look at the rollouts of all models."""


def put_rollout(projection: Projection, row: RolloutRow) -> None:
    """Write a rollout's row where each of the two tables has it."""
    projection.put(ROLLOUTS, row.rollout, row)
    projection.put(MODEL_ROLLOUTS, f"{row.model}/{row.version}/{row.rollout}", row)


def rollouts_of(state: State, model: str, version: str) -> Iterator[RolloutRow]:
    """The rollouts of one version, in the order of their ids."""
    return (row for _, row in state.scan(MODEL_ROLLOUTS, f"{model}/{version}/"))


EVENTS = (RolloutPlanned, RolloutMoved)
