"""What was done about an incident is what the record has of it, and not what was chosen."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import flyball as fb
from flyball.loop import timeline as lines
from flyball.loop.advance import answer
from flyball.loop.deeds import deeds
from flyball.loop.reviews import markdown
from flyball.records.deliveries import AlertDelivered, AlertQueued, Message
from flyball.records.incidents import INCIDENTS, IncidentRow
from flyball.records.proposals import PROPOSALS
from flyball.records.training import RUNS
from flyball.records.versions import ChampionChanged

from .test_playbook import World


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.wired.close()


def incident(world: World) -> IncidentRow:
    row = world.state.get(INCIDENTS, "inc")
    assert row is not None
    return row


def found(world: World) -> dict[str, tuple[str, str]]:
    return {each.action: (each.done, each.why) for each in deeds(world.wired.ledger, incident(world), world.ports.clock.now())}


def exported(world: World) -> list[str]:
    row, now = incident(world), world.ports.clock.now()
    told = lines.timeline(world.wired.ledger, world.ports.library, row, now)
    return markdown(row, told, None, deeds(world.wired.ledger, row, now)).splitlines()


def test_what_was_done_is_told_with_who_did_it(world: World) -> None:
    world.open("rollback", "fallback", "shadow-train", "freeze", mode="input_drift")
    answer(world.ports, world.model)
    run = next(row.run for _, row in world.state.scan(RUNS) if not row.release)
    assert found(world) == {
        "rollback": ("1.0.0 answered again, by loop", ""),
        "fallback": ("1.0.0 answered again, by loop", ""),
        "shadow-train": (f"{run}, by loop", ""),
        "freeze": ("until it was mitigated", ""),
    }
    assert not any(line.startswith("| chosen, and not done") for line in exported(world))


def test_what_was_chosen_and_not_done_is_told_as_such_with_the_reason(world: World) -> None:
    world.add(ChampionChanged(model="m", version="1.1.0", former="", rollback=False, reason="the first"))
    world.open("page", "rollback", "retrain", "fallback")
    answer(world.ports, world.model.replace(autonomy="propose"))
    proposal = next(row.proposal for _, row in world.state.scan(PROPOSALS))
    assert found(world) == {
        "page": ("", "no route has taken a message of it"),
        "rollback": ("", "no version was champion before 1.1.0"),
        "retrain": ("", "no retrain= is declared"),
        "fallback": ("", f"proposed: {proposal}, open"),
    }
    written = exported(world)
    assert "| actions taken | none |" in written
    assert any("retrain (no retrain= is declared)" in line for line in written if line.startswith("| chosen, and not done"))


def test_what_happened_before_it_opened_or_after_it_was_over_is_no_deed_of_it(world: World) -> None:
    world.add(ChampionChanged(model="m", version="1.0.0", former="1.1.0", rollback=True, reason="earlier"))
    world.open("rollback")
    world.mitigate()
    assert incident(world).mitigated_at
    world.add(ChampionChanged(model="m", version="1.1.0", former="1.0.0", rollback=True, reason="later"))
    assert found(world) == {"rollback": ("", "the record has nothing of it")}


def test_whoever_took_a_message_of_it_is_told(world: World) -> None:
    world.open("page")
    said = Message(
        message="msg_1", thread="inc", told="opened", act="trigger", severity="critical", urgent=True, title="t", text="t", model="m",
        owner="", since=1, command="flyball incidents show inc", incident="inc",
    )  # fmt: skip
    world.add(
        AlertQueued(route="webhook:a", said=said), AlertDelivered(incident="inc", message="msg_1", route="webhook:a", attempts=1, ms=3)
    )
    assert found(world) == {"page": ("told by webhook:a", "")}


def test_an_event_that_was_not_read_is_not_taken_for_one_that_is_not_there(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.open("rollback")
    answer(world.ports, world.model.replace(retrain=fb.Retrain()))
    monkeypatch.setattr(lines, "READ", 2)
    done, why = found(world)["rollback"]
    assert done == ""
    assert why.startswith("the record has nothing of it (events not read: ")
