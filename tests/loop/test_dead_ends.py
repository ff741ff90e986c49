"""No state of a rollout or an incident is one that nothing leads out of."""

from __future__ import annotations

import pytest

import flyball as fb
from flyball.clock import Span, VirtualClock
from flyball.ledger.projection import MemoryProjection
from flyball.loop.findings import Report, decide_report
from flyball.loop.folds import FOLDS
from flyball.loop.releases import Steer, decide_steer
from flyball.records.base import Event, Recorded, Refusal
from flyball.records.models import Signature
from flyball.records.monitoring import INCIDENTS, IncidentOpened, IncidentState
from flyball.records.rollouts import ROLLOUTS, RolloutMoved, RolloutPlanned, RolloutState, Step
from flyball.records.serving import Arm, ModelRoute, RouteDesired, RouteInForce
from flyball.records.versions import ChampionChanged, VersionDeployed, VersionEligible, VersionRegistered

S = 1_000_000
DATA = fb.Dataset("rows", source="rows.csv", time="ts", columns={"x": float, "y": fb.column(int, one_of=(0, 1))})
MODEL = fb.Model("m", task="binary", data=DATA, label="y", framing=fb.Framing("test"))
SIGNATURE = Signature(task="binary", fields=())
ROUTE = ModelRoute(signature=SIGNATURE, arms=(Arm(version="1.0.0", role="champion", artifact="a" * 64, weight=10_000),))


class World:
    """The projections, a second later with each step."""

    def __init__(self) -> None:
        self.state, self.clock = MemoryProjection(), VirtualClock(S)

    def add(self, *events: Event) -> None:
        self.clock.advance_to(self.clock.now() + S)
        for event in events:
            FOLDS[type(event)](self.state, Recorded(seq=1, at=self.clock.now(), actor="loop", command="c", event=event))

    def version(self, number: str) -> None:
        self.add(
            VersionRegistered(
                model="m", version=number, run=f"run_{number}", artifact="a" * 64, result="b" * 64,
                version_digest="v", policy_digest="p", data={}, metrics={},
            ),
            VersionEligible(model="m", version=number, verdicts=()),
        )  # fmt: skip

    def release(self, number: str, champion: str) -> None:
        step = Step(kind="shadow", weight=0, bake=Span.parse("1h"))
        self.add(
            RolloutPlanned(
                rollout="ro", model="m", version=number, champion=champion, steps=(step,), evidence="live", attempt=1, reason="test"
            )
        )
        self.move(RolloutState.PLANNED, RolloutState.WARMING)
        self.add(VersionDeployed(model="m", version=number))

    def move(self, source: RolloutState, target: RolloutState) -> None:
        self.add(RolloutMoved(rollout="ro", model="m", source=source, target=target, step=0, why="test"))

    def steer(self, verb: str) -> list[Event] | Refusal:
        found = decide_steer(
            self.state,
            Steer(id="c", actor="user:ana", rollout="ro", verb=verb, reason="enough"),  # type: ignore[arg-type]
            self.clock.now(),
            model=MODEL,
            folds=FOLDS,
            signatures=lambda _: SIGNATURE,
        )
        return found if isinstance(found, Refusal) else list(found)


@pytest.fixture
def world() -> World:
    made = World()
    made.version("1.0.0")
    return made


def test_the_incident_of_a_release_that_failed_to_warm_up_is_mitigated_when_the_route_without_it_is_in_force(world: World) -> None:
    world.add(ChampionChanged(model="m", version="1.0.0", former="", rollback=False, reason="first"))
    world.version("1.1.0")
    world.release("1.1.0", "1.0.0")
    world.move(RolloutState.WARMING, RolloutState.FAILED)
    world.add(
        IncidentOpened(
            incident="inc", model="m", failure_mode="bad_release", alert="", what="bad", cause="worker", owner="", actions=(), rollout="ro"
        ),
        RouteDesired(epoch=2, model="m", route=ROUTE),
    )

    def look() -> IncidentState:
        report = Report(id="c", actor="loop", model="m", findings=())
        world.add(*decide_report(world.state, report, world.clock.now(), model=MODEL, folds=FOLDS, new_id=lambda _: "x"))
        row = world.state.get(INCIDENTS, "inc")
        assert row is not None
        return row.state

    assert look() == IncidentState.OPEN
    world.add(RouteInForce(epoch=2, ms=1.0, processes=2))
    assert look() == IncidentState.MITIGATED


def test_a_first_release_that_answers_cannot_be_aborted_into_nobody_answering(world: World) -> None:
    world.release("1.0.0", "")
    world.move(RolloutState.WARMING, RolloutState.WATCHING)
    world.add(ChampionChanged(model="m", version="1.0.0", former="", rollback=False, reason="first"))
    refused = world.steer("abort")
    assert isinstance(refused, Refusal)
    assert "no version to go back to" in refused.what


def test_a_rollout_that_warms_up_is_aborted_along_the_table_and_its_version_leaves_the_route(world: World) -> None:
    world.add(ChampionChanged(model="m", version="1.0.0", former="", rollback=False, reason="first"))
    world.version("1.1.0")
    world.release("1.1.0", "1.0.0")
    events = world.steer("abort")
    assert not isinstance(events, Refusal)
    world.add(*events)
    row = world.state.get(ROLLOUTS, "ro")
    assert row is not None
    assert row.state == RolloutState.FAILED
    assert "user:ana" in row.why


@pytest.mark.parametrize("verb", ["pause", "resume"])
def test_what_rolls_back_is_neither_paused_nor_resumed(world: World, verb: str) -> None:
    world.release("1.0.0", "0.9.0")
    world.move(RolloutState.WARMING, RolloutState.SHADOW)
    world.move(RolloutState.SHADOW, RolloutState.ROLLING_BACK)
    assert isinstance(world.steer(verb), Refusal)
