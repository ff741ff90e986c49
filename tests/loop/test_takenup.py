"""What a row may have been served from: what its worker knew, what it knew next, and whatever there was in between."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

import flyball as fb
from flyball.clock import Instant, Span
from flyball.data.erasures import NONE
from flyball.features.skew import State
from flyball.loop import takenup
from flyball.loop.takenup import TakenUpBy
from flyball.records.data import DATASETS, DataCommitted
from flyball.serving.vectorlog import Heading, LoggedVector
from flyball.serving.vectors import TakenUp

from .lineage_kit import World, fraud

READ = fb.Dataset("payments", source="x.csv", time="ts", columns={"who": str})
PUSHED = fb.Dataset("payments", source="push://payments", time="ts", columns={"who": str})
MINUTE = int(Span.parse("1m"))


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """Versions a, b, c, d, committed a minute after one another."""
    world = World(tmp_path)
    for number, content in enumerate("abcd"):
        world.commit("payments", f"1.{number}.0", content)
    yield world
    world.close()


def of(world: World, data: fb.Dataset = READ, sent: int = 0) -> TakenUpBy:
    return TakenUpBy(world.wired.ledger.state(), data, NONE, sent)


def at(content: str, pushed: int = 0) -> TakenUp:
    return TakenUp("card", "digest", ("spent",), "payments", content, pushed=pushed)


def told(by: TakenUpBy, moment: Instant, found: TakenUp, after: TakenUp | None = None) -> str:
    return "".join(state.content for state in by.states(moment, found, after))


def test_what_was_committed_by_then_counts_and_nothing_that_came_later(world: World) -> None:
    by, last = of(world), world.clock.now()
    assert told(by, last - MINUTE, at("a")) == "abc"
    assert told(by, last - MINUTE, at("c")) == "c"
    assert told(by, last, at("a")) == "abcd"
    assert told(by, last - 9 * MINUTE, at("a")) == "a"
    assert told(by, last - MINUTE, at("")) == "abc", "where nothing was known, anything may have been there"


def test_a_request_is_under_way_for_a_while(world: World) -> None:
    assert told(of(world), world.clock.now() - 1_000_000, at("c")) == "cd"


def test_what_the_worker_knew_next_ends_it(world: World) -> None:
    by = of(world)
    assert told(by, world.clock.now(), at("a"), at("b")) == "ab"
    assert told(by, world.clock.now(), at("a"), at("c")) == "acb", "it may have stood at what lies between"


def test_a_version_that_came_back_may_have_anything_behind_it(world: World) -> None:
    then = world.clock.now()
    world.commit("payments", "1.4.0", "a")
    assert told(of(world), then - MINUTE, at("a")) == "abc"


def test_of_many_states_none_is_told(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(takenup, "MOST", 3)
    assert told(of(world), world.clock.now(), at("a")) == ""
    assert told(of(world), world.clock.now(), at("b")) == "bcd"


def test_rows_that_were_pushed_since_are_those_of_the_newest_version_or_nobody_can_say(world: World) -> None:
    long_ago = world.clock.now() - 9 * MINUTE
    for number, content in ((3, "e"), (5, "f")):
        row = world.wired.ledger.state().get(DATASETS, "payments")
        assert row is not None
        assert row.head is not None
        version = msgspec.structs.replace(row.head, content=content, source="push://payments", source_mark=f"m+{number}")
        world.tell(DataCommitted(version=version))
    assert told(of(world, PUSHED, 5), long_ago, at("e")) == "ef"
    assert told(of(world, PUSHED, 5), long_ago, at("e", pushed=4)) == "ef"
    assert told(of(world, PUSHED, 5), long_ago, at("e", pushed=5)) == "e", "nothing was pushed since"
    assert told(of(world, PUSHED, 5), long_ago, at("f")) == "f"
    assert told(of(world, PUSHED, 6), long_ago, at("f", pushed=6)) == "f"
    assert of(world, PUSHED, 6).states(long_ago, at("f"), None) == ()
    assert of(world, PUSHED, 6).states(long_ago, at("f"), at("f", pushed=6)) == (State("f"), State("f", pushed=6))


def test_a_damaged_segment_of_pushed_rows_keeps_nothing_from_being_verified(world: World) -> None:
    data = fb.Dataset("payments", source="push://payments", time="at", columns={"who": str, "amount": float, "fraud": bool})
    view = fb.FeatureView("card", data, entity="who", features={"spent": fb.window("1h").sum("amount")})
    world.declare(fraud(data=data, features=[view], transforms={}, slices=[]))
    content = "e" * 64
    world.commit("payments", "1.4.0", content)
    world.version("fraud", "1.0.0", {"payments": content})
    folder = world.wired.layout.push / "payments"
    folder.mkdir(parents=True)
    (folder / "000000000001.rows").write_bytes(b"no segment")
    row = LoggedVector("fraud@1.0.0", "p_1", world.clock.now(), world.clock.now(), {"who": "ann"}, Heading([at(content)]), [1.0])
    found = world.wired.verifier().judge("fraud@1.0.0", [row])
    assert [one.unknown for one in found.features] == [1]
