"""What the loop may not do by itself is said once for each cause, and asked no longer than it can be done."""

from __future__ import annotations

import itertools
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest

import flyball as fb
from flyball.clock import Instant
from flyball.declare.checks import Check
from flyball.loop.advance import answer, withdraw
from flyball.loop.folds import FOLDS
from flyball.loop.ports import Ports
from flyball.loop.releasing import release_newest
from flyball.loop.retraining import train_if_due
from flyball.records.base import Event, Recorded
from flyball.records.incidents import INCIDENTS, MODEL_INCIDENTS, IncidentRow, IncidentState
from flyball.records.proposals import PROPOSALS, ProposalMade
from flyball.records.rollouts import RolloutPlanned
from flyball.records.versions import VERSIONS, VersionState

from .test_due import DAY, World, model

HOUR = DAY // 24


class Asked(World):
    """The same world with a ledger, in which days pass hour by hour."""

    def __init__(self, declared: fb.Model) -> None:
        super().__init__()
        self.declared, self.now = declared, 10 * DAY
        self.events: list[Event] = []
        ids = itertools.count()
        self.ports = cast(
            "Ports",
            SimpleNamespace(
                clock=SimpleNamespace(now=lambda: self.now, new_id=lambda kind: f"{kind}_{next(ids):06}"),
                ledger=SimpleNamespace(state=lambda: self.state, execute=self.execute),
                library=self.library,
                cpu_price=None,
                before=None,
                reviews=True,
            ),
        )
        self.see(1, self.now)

    def execute(self, command: Any, decide: Any) -> None:
        for event in decide(self.state, command, self.now):
            self.events.append(event)
            FOLDS[type(event)](self.state, Recorded(seq=1, at=self.now, actor="loop", command=command.id, event=event))

    def wait(self, until: Instant, alarm: str | None = None) -> None:
        """Look every hour; an alarm's figures are others each time."""
        while self.now < until:
            self.now += HOUR
            withdraw(self.ports, self.declared)
            answer(self.ports, self.declared)
            release_newest(self.ports, self.declared, self.kept)
            train_if_due(self.ports, self.declared, self.kept, f"{alarm}: {self.now}" if alarm else None, self.now)

    def said(self) -> list[str]:
        """The reasons given, without the figures."""
        return [
            event.reason.split(": ")[0].split(" since")[0].lstrip("0123456789d") for event in self.events if isinstance(event, ProposalMade)
        ]

    def open(self) -> list[tuple[str, str, str]]:
        rows = [row for _, row in self.state.scan(PROPOSALS) if not row.verdict]
        return [(row.action, row.target, row.reason.split(": ")[0]) for row in rows]


def test_a_recorded_wish_is_said_once_in_a_cool_down_and_an_alarm_a_year_later_is_said_too() -> None:
    world = Asked(model(every="400d", cooldown="100d").replace(autonomy={"training": "record"}))
    world.wait(420 * DAY)
    assert world.said() == [""], "the schedule, at day 409"
    world.wait(430 * DAY, "concept drift")
    assert world.said() == ["", "concept drift"], "another cause does not wait for the cool-down"
    world.wait(500 * DAY, "concept drift")
    assert len(world.said()) == 2
    assert world.open() == [("train", "", "concept drift")]
    world.wait(531 * DAY, "concept drift")
    assert world.said() == ["", "concept drift", "concept drift"], "it stands: said again after the cool-down"
    world.wait(532 * DAY)
    assert len(world.said()) == 4, "the alarm is over, the schedule stands"


def test_a_question_is_put_anew_when_its_cause_changes_and_never_at_every_look() -> None:
    world = Asked(model(every="30d", cooldown="10d").replace(autonomy={"training": "propose"}))
    world.wait(200 * DAY)
    assert world.said() == [""], "it stands open: it is not asked again"
    world.wait(201 * DAY, "concept drift")
    assert world.open() == [("train", "", "concept drift")]
    world.incident("retrain", 201 * DAY)
    world.wait(202 * DAY)
    assert [reason for *_, reason in world.open()] == ["inc"]
    for _ in range(90):
        # an alarm that comes and goes
        world.wait(world.now + HOUR, "concept drift")
        world.wait(world.now + HOUR)
    assert len(world.said()) == 3, "each of them was asked within the last ten days"
    assert len(world.open()) == 1


def test_people_are_asked_about_the_newest_version_that_passed_alone() -> None:
    world = Asked(model().replace(autonomy={"release": "propose"}))
    world.version("1.1.0", "a" * 64, VersionState.ELIGIBLE)
    world.model_row(newest="1.1.0", champion="1.0.0")
    world.wait(11 * DAY)
    assert [target for _, target, _ in world.open()] == ["1.1.0"]
    world.version("1.2.0", "a" * 64, VersionState.ELIGIBLE)
    world.model_row(newest="1.2.0")
    world.wait(12 * DAY)
    assert [target for _, target, _ in world.open()] == ["1.2.0"]
    world.version("1.3.0", "a" * 64, VersionState.REJECTED)
    world.model_row(newest="1.3.0")
    world.wait(13 * DAY)
    assert [target for _, target, _ in world.open()] == ["1.2.0"], "the one that could be served"
    world.version("1.2.0", "a" * 64, VersionState.RETIRED)
    world.wait(14 * DAY)
    assert world.open() == []
    assert len(world.said()) == 2


AGAINST = fb.metric("accuracy") >= fb.champion - 0.02


def live(guard: Check) -> fb.Rollout:
    return fb.Rollout(guards=[guard]).shadow("1h")


@pytest.mark.parametrize(
    ("gates", "rollout", "met", "goes"),
    [
        ([AGAINST], fb.Rollout(), "1.0.0", True),
        ([AGAINST], fb.Rollout(), "0.9.0", False),
        ([AGAINST], fb.Rollout().shadow("1h"), "0.9.0", False),
        ([AGAINST], live(AGAINST), "0.9.0", True),
        ([AGAINST], live(fb.metric("accuracy") >= fb.champion - 0.01), "0.9.0", True),
        ([AGAINST], live(fb.metric("accuracy") >= fb.champion * 0.99), "0.9.0", False),
        ([AGAINST], live(fb.metric("accuracy") >= fb.champion - 0.05), "0.9.0", False),
        ([AGAINST], live(fb.metric("accuracy") >= 0.3), "0.9.0", False),
        ([AGAINST, fb.metric("size") <= fb.champion * 2], live(AGAINST), "0.9.0", False),
        ([fb.metric("accuracy").by("x") >= fb.champion - 0.02], live(fb.metric("accuracy").by("x") >= fb.champion - 0.02), "0.9.0", False),
        ([AGAINST | (fb.metric("accuracy") >= 0.99)], fb.Rollout(), "0.9.0", False),
        ([AGAINST | (fb.metric("accuracy") >= 0.99)], live(AGAINST), "0.9.0", True),
        ([fb.metric("accuracy") >= 0.7], fb.Rollout(), "0.9.0", True),
    ],
)
def test_flyball_releases_by_itself_no_version_that_was_compared_with_another_champion_unless_live_rows_compare_them_as_strictly(
    gates: list[Any], rollout: fb.Rollout, met: str, goes: bool
) -> None:
    world = Asked(model().replace(autonomy={"release": "act", "training": "record"}, gates=gates, rollout=rollout))
    world.version("1.1.0", "a" * 64, VersionState.ELIGIBLE)
    row = world.state.get(VERSIONS, "m/1.1.0")
    assert row is not None
    world.state.put(VERSIONS, "m/1.1.0", msgspec.structs.replace(row, against=met, signature="signed"))
    world.model_row(newest="1.1.0", champion="1.0.0")
    release_newest(world.ports, world.declared, world.kept)
    assert any(isinstance(event, RolloutPlanned) for event in world.events) is goes
    if not goes:
        [told] = [event.reason for event in world.events if isinstance(event, ProposalMade)]
        assert told == "its gates compared 1.1.0 with 0.9.0; the champion is 1.0.0 now: flyball train m compares the two"


@pytest.mark.parametrize(("overdue", "release"), [(True, "act"), (False, "act"), (True, "propose")])
def test_an_overdue_review_holds_what_flyball_would_release_by_itself_and_no_question_to_a_person(overdue: bool, release: str) -> None:
    world = Asked(model().replace(autonomy={"release": release, "training": "record"}))
    world.version("1.1.0", "a" * 64, VersionState.ELIGIBLE)
    row = world.state.get(VERSIONS, "m/1.1.0")
    assert row is not None
    world.state.put(VERSIONS, "m/1.1.0", msgspec.structs.replace(row, signature="signed"))
    world.model_row(newest="1.1.0", champion="1.0.0")
    world.incident("page", 10 * DAY)
    incident = world.state.get(INCIDENTS, "inc")
    assert incident is not None
    clocks = ("mitigate", "review") if overdue else ("mitigate",)
    incident = msgspec.structs.replace(incident, state=IncidentState.MITIGATED, mitigated_at=10 * DAY, overdue=clocks)
    world.state.put(INCIDENTS, "inc", incident)
    world.state.put(MODEL_INCIDENTS, "m/inc", incident)
    for _ in range(3):
        release_newest(world.ports, world.declared, world.kept)
    held = overdue and release == "act"
    assert any(isinstance(event, RolloutPlanned) for event in world.events) is (release == "act" and not overdue)
    told = [(event.mode, event.reason) for event in world.events if isinstance(event, ProposalMade)]
    if held:
        assert told == [("record", "the review of inc is overdue: flyball incidents review inc")], "said once"
    elif release == "propose":
        assert [mode for mode, _ in told] == ["propose"]


def test_a_version_that_waits_for_a_person_is_not_said_to_be_none() -> None:
    world = Asked(model().replace(autonomy={"release": "propose", "training": "propose"}))
    world.version("1.0.0", "a" * 64, VersionState.ELIGIBLE)
    world.model_row(newest="1.0.0", champion="", former="")
    world.wait(40 * DAY)
    assert [(action, target) for action, target, _ in world.open()] == [("release", "1.0.0")]
    world.version("1.0.0", "a" * 64, VersionState.REJECTED)
    world.wait(80 * DAY)
    assert [action for action, _, _ in world.open()] == ["train"]


def closed(world: Asked, row: IncidentRow) -> None:
    row = msgspec.structs.replace(row, state=IncidentState.CLOSED)
    world.state.put(INCIDENTS, row.incident, row)
    world.state.put(MODEL_INCIDENTS, f"{row.model}/{row.incident}", row)


def test_a_way_back_is_asked_for_again_when_the_incident_that_asked_after_it_is_closed() -> None:
    world = Asked(model().replace(autonomy={"rollback": "propose"}))
    world.version("0.9.0", "a" * 64, VersionState.RETIRED)
    world.model_row(former="0.9.0")
    world.incident("rollback", 12 * DAY, "inc_1")
    world.wait(13 * DAY)
    world.incident("rollback", 14 * DAY, "inc_2")
    world.wait(20 * DAY)
    assert [cause for _, _, cause in world.open()] == ["inc_2"]
    row = world.state.get(INCIDENTS, "inc_2")
    assert row is not None
    closed(world, row)
    world.wait(30 * DAY)
    assert [cause for _, _, cause in world.open()] == ["inc_1"]


def test_each_incident_asks_for_its_rollback_once() -> None:
    world = Asked(model().replace(autonomy={"rollback": "record"}))
    world.version("0.9.0", "a" * 64, VersionState.RETIRED)
    world.model_row(former="0.9.0")
    world.incident("rollback", 12 * DAY, "inc_1")
    world.wait(20 * DAY)
    assert world.said() == ["inc_1"]
    world.incident("rollback", 20 * DAY, "inc_2")
    world.wait(40 * DAY)
    assert world.said() == ["inc_1", "inc_2"], "both stand, and neither is said again"
    for name in ("inc_1", "inc_2"):
        row = world.state.get(INCIDENTS, name)
        assert row is not None
        closed(world, row)
    world.model_row(former="0.8.0", champion_at=41 * DAY)
    world.wait(42 * DAY)
    assert world.open() == [], "the way back is another one"
