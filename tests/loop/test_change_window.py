"""A release whose change window is closed: it is recorded and waits, says why and until when, and a person's other orders are taken at any time."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest

import flyball as fb
from flyball.clock import Instant, Span, VirtualClock, instant
from flyball.errors import BadInput
from flyball.ledger.projection import MemoryProjection
from flyball.loop import orders, telling
from flyball.loop.folds import FOLDS
from flyball.loop.releases import MoveRollout, Release, Rollback, Steer, decide_move, decide_release, decide_rollback, decide_steer
from flyball.loop.releasing import release_newest
from flyball.loop.waiting import waiting
from flyball.records.base import Event, Recorded, Refusal
from flyball.records.declarations import DeclarationApplied
from flyball.records.models import Signature
from flyball.records.proposals import ProposalMade
from flyball.records.rollouts import ROLLOUTS, RolloutEvidence, RolloutMoved, RolloutPlanned, RolloutRow, RolloutState
from flyball.records.serving import EPOCHS, ROUTES, RouteInForce
from flyball.records.versions import (
    MODELS,
    VERSIONS,
    ChampionChanged,
    VersionDeployed,
    VersionEligible,
    VersionRegistered,
    VersionSigned,
    VersionState,
)
from flyball.rollout.rules import next_due

from .test_due import model as declared
from .test_proposals import Asked

SATURDAY, MONDAY = instant("2026-11-28T18:00:00Z"), instant("2026-11-30T08:00:00Z")
WHY = "change window closed until 2026-11-30T08:00Z"
TOOK = Signature(task="binary", fields=())
MODEL = fb.Model(
    "m",
    task="binary",
    data=fb.Dataset("d", source="d.csv", time="t", columns={"x": float, "y": fb.column(int, one_of=(0, 1))}),
    label="y",
    rollout=fb.Rollout(change_window="Mon-Fri 09:00-17:00 Europe/Berlin").shadow("0s"),
)
DECIDED = {"model": MODEL, "folds": FOLDS, "signatures": lambda _: TOOK}


class World:
    """1.1.0 is to be released on a Saturday evening, beside the champion 1.0.0 or as the first."""

    def __init__(self, champion: str = "1.0.0") -> None:
        self.state, self.clock = MemoryProjection(), VirtualClock(SATURDAY)
        for version in filter(None, (champion, "1.1.0")):
            self.add(
                VersionRegistered(
                    model="m", version=version, run=f"run_{version}", artifact="a" * 64, result="b" * 64,
                    version_digest="v", policy_digest="p", data={}, metrics={},
                ),
                VersionEligible(model="m", version=version, verdicts=()),
                VersionSigned(model="m", version=version, note="signed"),
            )  # fmt: skip
        if champion:
            self.add(
                VersionDeployed(model="m", version=champion),
                ChampionChanged(model="m", version=champion, former="", rollback=False, reason="first"),
            )

    def add(self, *events: Event) -> None:
        for event in events:
            FOLDS[type(event)](self.state, Recorded(seq=1, at=self.clock.now(), actor="user:ana", command="c", event=event))

    def release(self, **more: Any) -> list[Event]:
        command = Release(id="c", actor="user:ana", rollout="ro", model="m", version="1.1.0", reason="better", **more)
        found = decide_release(self.state, command, self.clock.now(), **cast("Any", DECIDED))
        assert not isinstance(found, Refusal)
        self.add(*found)
        return list(found)

    def look(self, at: Instant = SATURDAY) -> RolloutState:
        """The loop looks, with every worker ready and every route in force."""
        self.clock.advance_to(at)
        epochs = self.state.get(EPOCHS, "routes")
        if epochs is not None and epochs.in_force < epochs.desired:
            self.add(RouteInForce(epoch=epochs.desired, ms=1.0, processes=2))
        evidence = RolloutEvidence(baked=Span(0), under="shadow:0")
        command = MoveRollout(id="c", actor="loop", rollout="ro", evidence=evidence, workers_ready=True)
        found = decide_move(self.state, command, self.clock.now(), new_id=lambda _: "x", **cast("Any", DECIDED))
        assert not isinstance(found, Refusal)
        self.add(*found)
        return self.row.state

    def steer(self, verb: str) -> Sequence[Event] | Refusal:
        command = Steer(id="c", actor="user:ana", rollout="ro", verb=cast("Any", verb), reason="enough")
        found = decide_steer(self.state, command, self.clock.now(), **cast("Any", DECIDED))
        if not isinstance(found, Refusal):
            self.add(*found)
        return found

    def told(self, *, up: bool = True) -> list[str]:
        if self.state.get(ROLLOUTS, "ro") is None:
            return []
        library: Any = SimpleNamespace(model=lambda _: MODEL, signature=lambda _: TOOK)
        self.add(
            DeclarationApplied(
                model="m", file="loop.py", version_digest="v", policy_digest="p", body="0" * 64, code="0" * 64, gates_digest="", author=""
            )
        )  # fmt: skip
        return [f"{each.what} → {each.step}" for each in waiting(self.state, "m", now=self.clock.now(), up=up, library=library)]

    @property
    def row(self) -> RolloutRow:
        row = self.state.get(ROLLOUTS, "ro")
        assert row is not None
        return row

    @property
    def answers(self) -> list[str]:
        route = self.state.get(ROUTES, "m")
        return [arm.version for arm in route.route.arms if arm.weight] if route is not None else []


@pytest.fixture
def world() -> World:
    return World()


def test_a_release_is_recorded_and_waits_with_its_worker_until_the_window_opens(world: World) -> None:
    planned, moved, *_ = world.release()
    assert isinstance(planned, RolloutPlanned)
    assert isinstance(moved, RolloutMoved)
    assert moved.why == f"the version's workers are started and checked on golden rows, and wait: {WHY}"
    assert world.look() is RolloutState.WARMING
    assert world.told() == [f"1.1.0 is released, and waits: {WHY} → it begins then; flyball rollouts abort ro gives it up"]
    assert world.look(MONDAY - 1) is RolloutState.WARMING
    assert world.answers == ["1.0.0"]
    assert world.look(MONDAY) is RolloutState.SHADOW
    assert world.told() == []


def test_a_release_within_the_window_says_nothing_of_it(world: World) -> None:
    world.clock.advance_to(MONDAY)
    _, moved, *_ = world.release()
    assert isinstance(moved, RolloutMoved)
    assert moved.why == "the version's workers are started and checked on golden rows"
    assert world.look(MONDAY) is RolloutState.SHADOW


def test_a_first_release_answers_nobody_before_the_window_opens() -> None:
    world = World(champion="")
    world.release()
    assert world.answers == [], "not even until the loop looks"
    assert world.look() is RolloutState.WARMING
    assert world.answers == []
    row = world.state.get(VERSIONS, "m/1.1.0")
    assert row is not None
    assert row.state is VersionState.DEPLOYED, "its worker is up"
    assert WHY in world.told()[0]
    size = world.state.get(EPOCHS, "routes")
    assert world.look(MONDAY - 1) is RolloutState.WARMING
    assert world.state.get(EPOCHS, "routes") == size
    assert world.look(MONDAY) is RolloutState.WATCHING
    assert world.answers == ["1.1.0"]


def released(world: World, window: Instant = MONDAY) -> World:
    """In its step when the window closes."""
    world.clock.advance_to(window)
    world.release()
    assert world.look(window) is RolloutState.SHADOW
    return world


def test_a_promotion_waits_frozen_and_a_resume_says_when_it_goes_on(world: World) -> None:
    released(world)
    evening = MONDAY + Span.parse("10h")
    # without a guard or a request nothing is shown, but one that is due waits by the same rule
    row = msgspec.structs.replace(world.row, state=RolloutState.FROZEN, resume=RolloutState.SHADOW, why="change window closed until x")
    world.state.put(ROLLOUTS, "ro", row)
    world.clock.advance_to(evening)
    assert world.look(evening) is RolloutState.FROZEN
    refused = world.steer("resume")
    assert isinstance(refused, Refusal)
    assert refused.what == "ro is frozen: change window closed until 2026-12-01T08:00Z"
    assert "Mon-Fri 09:00-17:00 Europe/Berlin" in refused.why
    assert refused.fix == "it goes on by itself then; flyball rollouts abort ro ends it at any time"
    assert not isinstance(world.steer("pause"), Refusal)
    assert not isinstance(world.steer("resume"), Refusal), "what a person paused goes back to its step, and no step further"
    assert world.row.state is RolloutState.SHADOW


@pytest.mark.parametrize("state", [RolloutState.WARMING, RolloutState.SHADOW, RolloutState.FROZEN])
@pytest.mark.parametrize("order", ["abort", "rollback"])
def test_what_ends_a_rollout_is_taken_at_any_time(world: World, state: RolloutState, order: str) -> None:
    world.release() if state is RolloutState.WARMING else released(world)
    world.clock.advance_to(MONDAY + Span.parse("10h"))
    if state is RolloutState.FROZEN:
        row = msgspec.structs.replace(world.row, state=state, resume=RolloutState.SHADOW, why=WHY)
        world.state.put(ROLLOUTS, "ro", row)
    if order == "abort":
        assert not isinstance(world.steer("abort"), Refusal)
    else:
        command = Rollback(id="c", actor="user:ana", model="m", reason="no")
        found = decide_rollback(world.state, command, world.clock.now(), **cast("Any", DECIDED))
        assert not isinstance(found, Refusal)
        world.add(*found)
    assert world.row.state in (RolloutState.ROLLING_BACK, RolloutState.FAILED)
    assert world.answers == ["1.0.0"]


def test_a_rollback_to_the_former_champion_is_taken_at_any_time(world: World) -> None:
    world.add(
        VersionDeployed(model="m", version="1.1.0"),
        ChampionChanged(model="m", version="1.1.0", former="1.0.0", rollback=False, reason="better"),
    )
    found = decide_rollback(world.state, Rollback(id="c", actor="user:ana", model="m", reason="no"), SATURDAY, **cast("Any", DECIDED))
    assert not isinstance(found, Refusal)
    world.add(*found)
    assert world.answers == ["1.0.0"]


def test_a_person_lets_a_release_go_forward_outside_the_window_and_the_plan_says_so(world: World) -> None:
    planned, moved, *_ = world.release(outside_window=True)
    assert isinstance(planned, RolloutPlanned)
    assert isinstance(moved, RolloutMoved)
    assert planned.outside_window
    assert "window" not in moved.why
    assert world.look() is RolloutState.SHADOW
    assert world.told() == []
    assert world.row.outside_window


def test_a_first_release_outside_the_window_answers_at_once_where_a_person_says_so() -> None:
    world = World(champion="")
    world.release(outside_window=True)
    assert world.look() is RolloutState.WATCHING
    assert world.answers == ["1.1.0"]


def test_an_order_outside_the_window_needs_a_reason() -> None:
    with pytest.raises(BadInput, match="a release outside the change window needs a reason"):
        orders.release(cast("Any", None), MODEL, "1.1.0", command="c", actor="user:ana", reason=" ", outside_window=True)


def test_status_says_of_a_frozen_rollout_why_and_until_when(world: World) -> None:
    released(world)
    row = msgspec.structs.replace(world.row, state=RolloutState.FROZEN, resume=RolloutState.SHADOW, why=WHY)
    world.state.put(ROLLOUTS, "ro", row)
    assert world.told() == [f"1.1.0 is frozen: {WHY} → flyball rollouts show ro"]


def test_who_watches_is_told_of_a_closed_window_as_of_nothing_bad() -> None:
    def frozen(why: str) -> tuple[str, str]:
        moved = RolloutMoved(rollout="ro", model="m", source=RolloutState.SHADOW, target=RolloutState.FROZEN, step=0, why=why)
        return telling.line(moved)

    assert frozen(WHY) == ("plain", f"rollout     m: frozen: {WHY}")
    assert frozen("incident inc_1")[0] == "bad"


def waiting_to_be_released(release: str) -> Asked:
    """A version has passed its gates, and its model's window is open on Mondays alone; time begins on Sunday 11 January 1970."""
    window = fb.Rollout(change_window="Mon 09:00-17:00 UTC").shadow("1h")
    world = Asked(declared().replace(autonomy={"release": release, "training": "record"}, rollout=window))
    world.version("1.1.0", "a" * 64, VersionState.ELIGIBLE)
    row = world.state.get(VERSIONS, "m/1.1.0")
    assert row is not None
    world.state.put(VERSIONS, "m/1.1.0", msgspec.structs.replace(row, signature="signed"))
    world.model_row(newest="1.1.0", champion="1.0.0")
    release_newest(world.ports, world.declared, world.kept)
    return world


def test_the_loop_releases_into_a_closed_window_and_its_rollout_waits_there() -> None:
    world = waiting_to_be_released("act")
    [moved] = [event for event in world.events if isinstance(event, RolloutMoved)]
    assert moved.target is RolloutState.WARMING
    assert moved.why.endswith("and wait: change window closed until 1970-01-12T09:00Z")
    release_newest(world.ports, world.declared, world.kept)
    assert len([event for event in world.events if isinstance(event, RolloutPlanned)]) == 1
    [(_, row)] = world.state.scan(ROLLOUTS)
    assert next_due(row, world.declared.rollout, world.now) == instant("1970-01-12T09:00:00Z"), "the loop looks when it opens"


def test_the_loop_ends_no_watch_for_a_release_that_would_only_wait() -> None:
    world = waiting_to_be_released("record")
    watching = RolloutRow(
        rollout="ro_0", model="m", version="1.0.0", champion="0.9.0", steps=(), evidence="gate", attempt=1,
        state=RolloutState.WATCHING, step=0, planned_at=0, entered_at=0, why="", slow_us=None,
    )  # fmt: skip
    world.state.put(ROLLOUTS, "ro_0", watching)
    roles = world.state.get(MODELS, "m")
    assert roles is not None
    world.state.put(MODELS, "m", msgspec.structs.replace(roles, rollout="ro_0"))
    world.declared = world.declared.replace(autonomy={"release": "act", "training": "record"})
    world.events.clear()
    release_newest(world.ports, world.declared, world.kept)
    assert world.events == []
    world.now = instant("1970-01-12T09:00:00Z")
    release_newest(world.ports, world.declared, world.kept)
    assert [event.target for event in world.events if isinstance(event, RolloutMoved)] == [RolloutState.COMPLETED, RolloutState.WARMING]


def test_a_person_is_asked_at_any_time() -> None:
    world = waiting_to_be_released("propose")
    [made] = [event for event in world.events if isinstance(event, ProposalMade)]
    assert made.mode == "propose"
    assert "window" not in made.reason
