"""What is muted is watched, opens nothing and is told to nobody; when the mute ends, what still fires is."""

from __future__ import annotations

import itertools
from functools import partial

import pytest

from flyball.clock import Span
from flyball.declare.routes import Route, Routes
from flyball.errors import BadInput
from flyball.ledger.projection import MemoryProjection
from flyball.loop import muting
from flyball.loop.findings import Report, decide_report
from flyball.loop.folds import FOLDS
from flyball.loop.queueing import Tell, decide_tell, due
from flyball.monitoring.rules import DETECTOR
from flyball.records.alerts import ALERTS, AlertMoved, AlertState, Finding
from flyball.records.base import Recorded, Refusal
from flyball.records.deliveries import AlertQueued
from flyball.records.incidents import INCIDENTS, IncidentNoted, IncidentOpened

from .test_delivery import make_model

T = 1_700_000_000_000_000
HOUR = Span.parse("1h")
MODEL = make_model()
ROUTES = Routes({"risk": Route("risk", "slack", url="http://x")}, "risk")
BAD = Finding(monitor="error_rate ≤ 1%", severity="alert", failure="errors", why="40% fail", effect=0.4, floor=0.01)
LOSS = Finding(monitor=DETECTOR, severity="alert", failure="concept_drift", why="the loss has risen", effect=0.4, floor=0.01)
WELL = Finding(monitor="error_rate ≤ 1%", severity="none", failure="errors", why="none fail")


class World:
    def __init__(self) -> None:
        self.state, self.seq, self.now = MemoryProjection(), itertools.count(1), T
        self.ids = itertools.count(1)

    def apply(self, events, actor="loop"):
        assert not isinstance(events, Refusal), events
        for event in events:
            FOLDS[type(event)](self.state, Recorded(next(self.seq), self.now, actor, "c", event))
        return list(events)

    def report(self, *findings: Finding):
        decide = partial(decide_report, model=MODEL, folds=FOLDS, new_id=lambda kind: f"{kind}_{next(self.ids)}")
        return self.apply(decide(self.state, Report(id="c", actor="loop", model="m", findings=findings), self.now))

    def tell(self) -> list[str]:
        events = self.apply(decide_tell(self.state, Tell(id="c", actor="loop", model="m"), self.now, model=MODEL, routes=ROUTES))
        return [event.said.told for event in events if isinstance(event, AlertQueued)]

    def mute(self, monitor: str = "", length: str = "2h"):
        command, decide = muting.mute(MODEL, monitor, Span.parse(length), self.now, command="c", actor="user:ana", reason="the depot moves")
        return self.apply(decide(self.state, command, self.now), "user:ana")

    def unmute(self, monitor: str = ""):
        command, decide = muting.unmute(MODEL, monitor, command="c", actor="user:ana", reason="")
        return decide(self.state, command, self.now)


@pytest.fixture
def world() -> World:
    return World()


def kinds(events) -> list[type]:
    return [type(event) for event in events]


def test_a_muted_alert_is_watched_and_opens_nothing_until_the_mute_ends_by_itself(world: World) -> None:
    world.mute()
    assert kinds(world.report(BAD)) == [AlertMoved]
    [(_, alert)] = world.state.scan(ALERTS)
    assert alert.state == AlertState.FIRING
    assert world.tell() == []
    assert due(world.state, MODEL, ROUTES, world.now) == [T + 2 * HOUR]
    world.now += 2 * HOUR - 1
    assert world.report(BAD) == []
    world.now += 1
    assert kinds(world.report(BAD)) == [IncidentOpened]
    assert world.tell() == ["opened"]


def test_what_is_well_again_when_the_mute_ends_was_never_an_incident(world: World) -> None:
    world.mute()
    world.report(BAD)
    world.report(WELL)
    world.now += 3 * HOUR
    world.report(WELL)
    assert world.tell() == []
    assert world.state.scan(INCIDENTS) == []


def test_a_person_ends_a_mute_sooner(world: World) -> None:
    world.mute()
    world.report(BAD)
    world.apply(world.unmute())
    assert kinds(world.report(BAD)) == [IncidentOpened]
    assert isinstance(world.unmute(), Refusal)


def test_one_monitor_is_muted_and_the_others_are_heard(world: World) -> None:
    world.mute(DETECTOR)
    opened = world.report(LOSS, BAD)
    assert kinds(opened) == [AlertMoved, AlertMoved, IncidentOpened], "and no note of what is muted"
    [(_, incident)] = world.state.scan(INCIDENTS)
    assert incident.failure_mode == "errors"
    world.apply(world.unmute(DETECTOR))
    assert kinds(world.report(LOSS, BAD)) == [IncidentNoted]


def test_an_open_incident_whose_alert_is_muted_wakes_nobody_again_and_its_end_is_told(world: World) -> None:
    world.report(BAD)
    assert world.tell() == ["opened"]
    world.mute(length="12h")
    world.now += 5 * HOUR
    world.report(BAD)
    assert world.tell() == []
    world.report(WELL)
    assert world.tell() == ["mitigated"]


def test_what_ran_out_while_it_was_muted_is_told_when_it_is_heard_again(world: World) -> None:
    world.report(BAD)
    world.tell()
    world.mute(length="6h")
    world.now += 5 * HOUR
    world.report(BAD)
    assert world.tell() == []
    world.now += HOUR
    assert sorted(world.tell()) == ["again", "overdue"]


def test_a_mute_needs_a_reason_and_an_end() -> None:
    for length, reason in (("2h", " "), ("31d", "x"), ("0s", "x")):
        with pytest.raises(BadInput):
            muting.mute(MODEL, "", Span.parse(length), T, command="c", actor="user:ana", reason=reason)


def test_a_monitor_that_is_not_there_is_named_with_what_was_meant(world: World) -> None:
    command, decide = muting.mute(MODEL, "labels arive", HOUR, T, command="c", actor="user:ana", reason="x")
    refused = decide(world.state, command, T)
    assert isinstance(refused, Refusal)
    assert 'did you mean "labels arrive"?' in refused.fix
