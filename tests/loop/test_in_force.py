"""What is in force is known model by model: one that warms up keeps no other waiting."""

from __future__ import annotations

import pytest

from flyball.clock import VirtualClock
from flyball.ledger.bounds import fits
from flyball.ledger.projection import MemoryProjection
from flyball.loop.folds import FOLDS
from flyball.loop.releases import AcknowledgeRoutes, decide_acknowledge, in_force
from flyball.records.base import Event, Recorded
from flyball.records.models import Signature
from flyball.records.serving import Arm, ModelRoute, RouteDesired

ROUTE = ModelRoute(
    signature=Signature(task="binary", fields=()), arms=(Arm(version="1.0.0", role="champion", artifact="a" * 64, weight=10_000),)
)


class Ledger:
    def __init__(self) -> None:
        self.state = MemoryProjection()
        self.clock = VirtualClock(0)

    def add(self, *events: Event) -> None:
        for event in events:
            FOLDS[type(event)](self.state, Recorded(seq=1, at=self.clock.now(), actor="loop", command="c", event=event))

    def desire(self, epoch: int, model: str, *, route: ModelRoute | None = ROUTE) -> None:
        self.add(RouteDesired(epoch=epoch, model=model, route=route))

    def acknowledge(self, epoch: int, *waiting: str) -> int:
        command = AcknowledgeRoutes(id="c", actor="loop", epoch=epoch, ms=1.0, processes=2, waiting=waiting)
        events = decide_acknowledge(self.state, command, 0)
        self.add(*events)
        return len(events)

    def routed(self) -> set[str]:
        return {model for model in "ab" if in_force(self.state, model)}


@pytest.fixture
def ledger() -> Ledger:
    made = Ledger()
    made.desire(1, "a")
    made.desire(2, "b")
    assert made.acknowledge(2) == 1
    assert made.routed() == {"a", "b"}
    return made


def test_the_route_of_one_model_is_in_force_while_another_waits_for_its_worker(ledger: Ledger) -> None:
    ledger.desire(3, "a")
    ledger.desire(4, "b")
    assert ledger.routed() == set()
    assert ledger.acknowledge(4, "a") == 1
    assert ledger.routed() == {"b"}
    assert ledger.acknowledge(4) == 1
    assert ledger.routed() == {"a", "b"}


def test_nothing_is_recorded_of_an_epoch_of_which_nothing_is_in_force(ledger: Ledger) -> None:
    ledger.desire(3, "a")
    assert ledger.acknowledge(3, "a") == 0
    assert ledger.routed() == {"b"}
    assert ledger.acknowledge(3) == 1
    assert ledger.acknowledge(3) == 0


def test_a_model_that_waits_and_is_rolled_back_is_in_force_again_by_its_new_epoch(ledger: Ledger) -> None:
    ledger.desire(3, "a")
    ledger.desire(4, "b")
    ledger.acknowledge(4, "a")
    ledger.desire(5, "a")
    assert ledger.routed() == {"b"}
    assert ledger.acknowledge(5) == 1
    assert ledger.routed() == {"a", "b"}


def test_a_model_that_starts_to_wait_takes_nothing_from_the_others(ledger: Ledger) -> None:
    ledger.desire(3, "b")
    ledger.acknowledge(3)
    ledger.desire(4, "a")
    assert ledger.acknowledge(4, "a") == 0
    assert ledger.routed() == {"b"}


def test_a_withdrawn_route_is_in_force_once_the_table_without_it_is(ledger: Ledger) -> None:
    ledger.desire(3, "a", route=None)
    assert not in_force(ledger.state, "a")
    assert ledger.acknowledge(3) == 1
    assert in_force(ledger.state, "a")


def test_an_epoch_that_nobody_desired_or_that_is_over_is_not_acknowledged(ledger: Ledger) -> None:
    assert ledger.acknowledge(9) == 0
    assert ledger.acknowledge(1) == 0


def test_hundreds_that_wait_are_named_in_as_many_events_as_it_takes(ledger: Ledger) -> None:
    names = [f"{place:03d}-{'m' * 59}" for place in range(500)]
    for place, name in enumerate(names):
        ledger.desire(3 + place, name)
    command = AcknowledgeRoutes(id="c", actor="loop", epoch=502, ms=1.0, processes=2, waiting=tuple(names[:-1]))
    events = decide_acknowledge(ledger.state, command, 0)
    assert len(events) > 1
    assert all(fits(event) for event in events)
    ledger.add(*events)
    assert [name for name in names if in_force(ledger.state, name)] == [names[-1]]
    assert not decide_acknowledge(ledger.state, command, 0), "nothing is new"
    assert ledger.acknowledge(502) == 1
    assert all(in_force(ledger.state, name) for name in names)
