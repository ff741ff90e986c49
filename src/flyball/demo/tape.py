"""The ledger, read from outside while the loop writes it: how the demo knows what happened, and the lines it tells it in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from flyball.clock import Instant
from flyball.ledger.ledger import SqlLedger
from flyball.records.base import Event, Recorded
from flyball.records.data import DataCommitted, DataRefused
from flyball.records.declarations import DeclarationApplied, DeclarationRefused
from flyball.records.estimates import Verdict
from flyball.records.monitoring import AlertMoved, AlertState, IncidentMoved, IncidentNoted, IncidentOpened
from flyball.records.rollouts import RolloutMoved, RolloutPlanned, RolloutState
from flyball.records.training import RunFailed, RunQueued
from flyball.records.versions import ChampionChanged, VersionEligible, VersionHeld, VersionRejected

EventT = TypeVar("EventT", bound=Event)


@dataclass(frozen=True)
class Found(Generic[EventT]):
    """An event with its place and time."""

    seq: int
    at: Instant
    event: EventT


class Tape:
    """Every event so far."""

    def __init__(self, ledger: SqlLedger) -> None:
        self._ledger = ledger
        self.events: list[Recorded] = []

    def read(self) -> list[Recorded]:
        """The events that came since the last call."""
        found = list(self._ledger.read(len(self.events), 10_000))
        self.events += found
        return found

    def first(self, kind: type[EventT], holds: Callable[[EventT], bool] = lambda _event: True, *, after: int = 0) -> Found[EventT] | None:
        """The first event of a kind, after a sequence number, of which `holds` is true."""
        for one in self.events:
            if one.seq > after and isinstance(one.event, kind) and holds(one.event):
                return Found(one.seq, one.at, one.event)
        return None

    def all(self, kind: type[EventT], holds: Callable[[EventT], bool] = lambda _event: True) -> list[Found[EventT]]:
        """Every event of a kind of which `holds` is true."""
        return [Found(one.seq, one.at, one.event) for one in self.events if isinstance(one.event, kind) and holds(one.event)]


def line(recorded: Recorded) -> tuple[str, str]:
    """(mood, text) of an event for the timeline; empty text for one that is not told. Moods: plain, good, bad."""
    event = recorded.event
    told = _of_training(event) or _of_rollouts(event) or _of_monitoring(event)
    return told or ("plain", "")


def _of_training(event: Event) -> tuple[str, str] | None:
    match event:
        case DeclarationApplied():
            return "plain", f"declared    {event.model}  version {event.version_digest[7:15]}  policy {event.policy_digest[7:15]}"
        case DeclarationRefused() | DataRefused():
            problems = event.problems if isinstance(event, DeclarationRefused) else event.violations
            return "bad", f"refused     {problems[0] if problems else event}"
        case DataCommitted() if not event.version.parents:
            return "plain", f"data        {event.version.name}  {event.version.rows:,} rows, the contract holds"
        case RunQueued():
            return "plain", f"training    {event.reason}"
        case RunFailed():
            return "bad", f"training    failed: {event.why}"
        case VersionEligible():
            return "good", f"gates       {event.model}@{event.version} passes: {_verdicts(event.verdicts)}"
        case VersionHeld() | VersionRejected():
            return "bad", f"gates       {event.model}@{event.version} is stopped: {_verdicts(event.verdicts)}"
        case _:
            return None


def _verdicts(verdicts: tuple[Verdict, ...]) -> str:
    return "; ".join(one.check + (f" {one.slice}" if one.slice else "") for one in verdicts)


def _of_rollouts(event: Event) -> tuple[str, str] | None:
    match event:
        case RolloutMoved(target=RolloutState.SHADOW):
            return "plain", "rollout     shadow: scores every application, answers none"
        case RolloutMoved(target=RolloutState.ROLLING_BACK):
            return "bad", f"rollout     a guard fires: {event.why}"
        case RolloutMoved(target=RolloutState.ROLLED_BACK):
            return "good", f"rollout     rolled back: {event.why}"
        case RolloutMoved(target=RolloutState.FAILED | RolloutState.FROZEN):
            return "bad", f"rollout     {event.target.value}: {event.why}"
        case ChampionChanged():
            return "good", f"champion    {event.model}@{event.version}" + (f", before it {event.former}" if event.former else "")
        case _:
            return None


def canary_line(plan: RolloutPlanned, moved: RolloutMoved) -> str:
    """The line of a canary step, with its share of traffic."""
    return f"rollout     canary: {plan.version} answers {plan.steps[moved.step].weight / 100:g}% of customers ({moved.why})"


def _of_monitoring(event: Event) -> tuple[str, str] | None:
    match event:
        case AlertMoved(target=AlertState.FIRING):
            mood = "bad" if event.finding.severity == "alert" else "plain"
            return mood, f"{event.finding.severity:<12}{event.finding.why}"
        case IncidentOpened():
            return "bad", f"incident    {event.incident[:10]}… {event.what}: {event.cause}"
        case IncidentMoved():
            return "good", f"incident    {event.target.value}: {event.why}"
        case IncidentNoted() if event.cause:
            return "plain", f"incident    its cause is now known: {event.cause}"
        case _:
            return None
