"""The ledger, read from outside while the loop writes it: how the demo knows what happened."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from flyball.clock import Instant
from flyball.ledger.ledger import SqlLedger
from flyball.records.base import Event, Recorded
from flyball.records.rollouts import RolloutMoved, RolloutPlanned

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


def canary_line(plan: RolloutPlanned, moved: RolloutMoved) -> str:
    """The line of a canary step, with its share of traffic."""
    return f"rollout     {plan.model}: canary: {plan.version} answers {plan.steps[moved.step].weight / 100:g}% of customers ({moved.why})"
