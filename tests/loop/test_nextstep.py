"""What a person is told to do next is what flyball does when they order it, and a message that becomes urgent says why."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from flyball.declare.routes import Route, Routes
from flyball.loop import orders
from flyball.loop.nextstep import next_of
from flyball.loop.queueing import Tell, decide_tell
from flyball.loop.together import Peer
from flyball.records.alerts import AlertMoved, AlertState, Finding
from flyball.records.base import Refusal
from flyball.records.deliveries import AlertQueued, Message
from flyball.records.incidents import INCIDENTS, IncidentNoted, IncidentRow
from flyball.records.versions import ChampionChanged, VersionQuarantined

from .test_playbook import World

ACK = "flyball incidents ack inc"
BACK = f"flyball rollback m, or {ACK}"
RATE = "error_rate over 1m ≤ 0.05"


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.wired.close()


def incident(world: World) -> IncidentRow:
    row = world.state.get(INCIDENTS, "inc")
    assert row is not None
    return row


def refused(world: World) -> bool:
    command, decide = orders.rollback(world.ports, world.model, command="cmd_back", actor="user:ana", reason="it fails")
    return isinstance(decide(world.state, command, world.ports.clock.now()), Refusal)


def told(world: World) -> list[Message]:
    """What is queued now, and is queued then."""
    routes = Routes(routes={"risk": Route("risk", "webhook", url="https://x.example")}, default="risk")
    peers = [Peer("inc", world.model)]
    command = Tell(id=world.ports.clock.new_id("cmd"), actor="loop", model="m")
    decide = partial(decide_tell, model=world.model, routes=routes, peers=peers)
    found = [event.said for event in decide(world.state, command, world.ports.clock.now()) if isinstance(event, AlertQueued)]
    world.ports.ledger.execute(command, decide)
    return found


@pytest.mark.parametrize("mode", ["errors", "latency"])
@pytest.mark.parametrize("case", ["a former champion", "the first version", "a former champion in quarantine"])
def test_a_rollback_is_the_next_step_where_it_is_done_and_nowhere_else(world: World, mode: str, case: str) -> None:
    if case == "the first version":
        world.add(ChampionChanged(model="m", version="1.1.0", former="", rollback=False, reason="first"))
    elif case != "a former champion":
        world.add(VersionQuarantined(model="m", version="1.0.0", reason="it leaks"))
    world.open("page", mode=mode)
    expected = BACK if case == "a former champion" else ACK
    assert next_of(world.state, incident(world)) == expected
    [message] = told(world)
    assert message.text.endswith(f"Next: {expected}")
    assert refused(world) == (expected == ACK)


def test_what_was_gone_back_from_is_not_gone_back_to(world: World) -> None:
    world.open("page")
    world.add(ChampionChanged(model="m", version="1.0.0", former="1.1.0", rollback=True, reason="errors"))
    assert next_of(world.state, incident(world)) == ACK


def test_an_incident_of_the_data_that_makes_answers_wrong_says_that_this_made_it_urgent(world: World) -> None:
    world.open("ticket", mode="schema_change")
    [first] = told(world)
    assert not first.urgent
    finding = Finding(monitor=RATE, severity="alert", why="0.2677 [0.24, 0.29]", failure="errors")
    key = f"m/{RATE}/"
    world.add(
        AlertMoved(key=key, model="m", monitor=RATE, source=AlertState.OK, target=AlertState.FIRING, episode=1, finding=finding),
        IncidentNoted(incident="inc", note=f"also {key}: {finding.why}", actions=("page", "rollback")),
        IncidentNoted(incident="inc", note="also m/other/: x"),
    )
    [raised] = told(world)
    assert (raised.told, raised.urgent, raised.title) == ("raised", True, f"m: schema_change, urgent now: {RATE}")
    assert f"It is urgent now: {RATE}: 0.2677 [0.24, 0.29]. " in raised.text
    assert told(world) == []
