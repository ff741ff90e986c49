"""The loop signs when it is time, and every anchor gets every checkpoint, however long it was away."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from flyball.clock import Span, VirtualClock
from flyball.errors import Unavailable
from flyball.ledger import checkpoints
from flyball.ledger.anchors import FileAnchor
from flyball.ledger.verify import verify
from flyball.loop.checkpointing import AGAIN, Checkpointing
from flyball.records.declarations import DeclarationHealed
from flyball.wiring import Wired, open_project

START = 1_700_000_000_000_000
AGE = Span.parse("5m")


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock(START)


@pytest.fixture
def wired(tmp_path: Path, clock: VirtualClock) -> Iterator[Wired]:
    (tmp_path / "flyball.toml").write_text("")
    wired = open_project(tmp_path, claim=True, clock=clock)
    yield wired
    wired.close()


def happen(wired: Wired, count: int = 1) -> None:
    from flyball.loop.commands import Apply

    for _ in range(count):
        command = Apply(id=wired.ports.clock.new_id("cmd"), actor="loop", models=())
        wired.ledger.execute(command, lambda *_: (DeclarationHealed(file="loop.py"),))


def checkpointing(wired: Wired, *anchors: FileAnchor) -> Checkpointing:
    return Checkpointing(wired.ledger, wired.ports.memory, anchors, events=10, age=AGE)


def sizes(wired: Wired) -> list[int]:
    return [each.size for each in checkpoints.every(wired.ledger)]


def test_one_is_signed_after_so_many_events_and_after_so_long(wired: Wired, clock: VirtualClock) -> None:
    proving = checkpointing(wired)
    happen(wired)
    proving.step(wired.ports, clock.now())
    assert sizes(wired) == []
    clock.advance_to(START + AGE)
    proving.step(wired.ports, clock.now())
    assert len(sizes(wired)) == 1, "an event has waited for five minutes"
    proving.step(wired.ports, clock.now() + 100 * AGE)
    assert len(sizes(wired)) == 1, "nothing has happened since"
    happen(wired, 10)
    proving.step(wired.ports, clock.now())
    assert sizes(wired)[1] == wired.ledger.size()
    assert verify(wired.ledger, None).verified


def test_an_anchor_that_was_away_gets_all_that_it_missed_and_nothing_twice(wired: Wired, clock: VirtualClock, tmp_path: Path) -> None:
    anchor = FileAnchor(tmp_path / "away" / "anchor.txt")
    proving = checkpointing(wired, anchor)
    for _ in range(3):
        happen(wired, 10)
        # what goes wrong is told, and holds nothing up
        proving.step(wired.ports, clock.now())
        with pytest.raises(Unavailable, match="cannot be written"):
            proving.finish(10, clock.now())
        clock.advance_to(clock.now() + AGAIN)
    (tmp_path / "away").mkdir()
    assert len(sizes(wired)) == 3
    proving.step(wired.ports, clock.now() - 1)
    proving.finish(10, clock.now())
    assert list(anchor.kept()) == [], "it is asked again after a while, not with every look"
    proving.step(wired.ports, clock.now())
    proving.finish(10, clock.now())
    again = checkpointing(wired, anchor)
    again.step(wired.ports, clock.now())
    again.finish(10, clock.now())
    assert [kept.note for kept in anchor.kept()] == [each.note for each in checkpoints.every(wired.ledger)]
    assert verify(wired.ledger, None, list(anchor.kept())).verified
