"""The timeline of an incident reaches its end, and says what it has not read."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from flyball.loop import timeline as lines
from flyball.records.incidents import INCIDENTS, IncidentNoted, IncidentRow

from .test_playbook import World


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.wired.close()


def told(world: World) -> tuple[IncidentRow, lines.Timeline]:
    row = world.state.get(INCIDENTS, "inc")
    assert row is not None
    return row, lines.timeline(world.wired.ledger, world.ports.library, row, world.ports.clock.now())


def test_of_more_events_than_are_read_the_newest_are_told_and_how_many_were_not_read(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.open("ticket")
    world.add(*(IncidentNoted(incident="inc", note=f"note {number}") for number in range(40)))
    world.mitigate()
    _, whole = told(world)
    assert (whole.unread, whole.left_out) == (0, 0)
    assert len(whole.moments) > 40
    monkeypatch.setattr(lines, "READ", 20)
    _, found = told(world)
    assert found.unread == world.size() - 20
    assert found.moments[-1].text == "incident    inc mitigated: its alert has resolved"
    assert [moment.seq for moment in found.moments if moment.seq > 10] == list(range(world.size() - 9, world.size() + 1))
    assert found.moments[0] == whole.moments[0]


@pytest.mark.parametrize("read", [2, 46, 1000])
def test_no_event_is_told_twice(world: World, monkeypatch: pytest.MonkeyPatch, read: int) -> None:
    world.open("ticket")
    world.add(*(IncidentNoted(incident="inc", note=f"note {number}") for number in range(30)))
    monkeypatch.setattr(lines, "READ", read)
    _, found = told(world)
    seqs = [moment.seq for moment in found.moments]
    assert seqs == sorted(set(seqs))
    assert found.unread == max(0, world.size() - read)
