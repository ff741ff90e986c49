"""Rows that are pushed are online at once, before a version holds them, and counted once when one does."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import flyball as fb
from flyball.clock import rfc3339
from flyball.data.additions import Apart
from flyball.data.sources.pushed import pushed_since
from flyball.errors import NotFound
from flyball.features.online.read import OnlineView
from flyball.loop.online import Rows, Wanted, bring_up
from flyball.loop.pushing import push
from flyball.store.online_address import open_online

S = 1_000_000
LATER = 10**15
clicks = fb.Dataset("clicks", source="push://clicks", time="at", arrived="came", columns={"who": str, "n": int})
VIEW = fb.FeatureView(
    "clicks", clicks, entity="who", features={"times": fb.window("1h").count(), "sum": fb.window("1h").sum("n"), "newest": "n"}
)


class World:
    """What was pushed, the versions that were made of it, and the store."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = open_online("", folder)
        self.contents: dict[str, pl.DataFrame] = {}
        self.want = Wanted(VIEW, "", 0, ("m",), pushes=True)
        self.count = 0

    def push(self, *rows: tuple[str, int, int]) -> None:
        """Rows of (who, seconds, n)."""
        sent = [{"who": who, "at": rfc3339(at * S), "n": n, "came": rfc3339(at * S)} for who, at, n in rows]
        self.count += push(self.folder, clicks, sent, now=LATER, command=f"c{self.count}", head=None).accepted

    def version(self) -> None:
        """A version of all that was pushed, in order of time as versions are."""
        frame = pushed_since(clicks, 0, self.folder).frame.sort("at", maintain_order=True)
        content = f"{self.count:064d}"
        self.contents[content] = frame
        self.want = Wanted(VIEW, content, 0, ("m",), through=self.count, pushes=True)

    def load(self, content: str, columns) -> pl.DataFrame:
        if content not in self.contents:
            raise NotFound(content)
        return self.contents[content].select(columns)

    def keep(self):
        return bring_up(
            self.store, self.want, Rows(self.load, lambda data, after: pushed_since(data, after, self.folder), self.apart), LATER
        )

    def apart(self, before: str, after: str, columns, _time: str, _most: int) -> Apart:
        whole = self.load(after, columns)
        return Apart(self.load(before, columns), whole, whole.height)

    def asked(self, who: str, at: int = 3_000) -> tuple:
        moments = pl.DataFrame({"row_time": [at * S + 1], "moment": [at * S], "key": [who]})
        return OnlineView(VIEW, self.store.read).values(moments).row(0)


@pytest.fixture
def world(tmp_path: Path):
    made = World(tmp_path)
    yield made
    made.store.close()


def test_a_pushed_row_is_online_before_a_version_holds_it_and_counted_once_when_one_does(world: World) -> None:
    world.push(("ana", 10, 1), ("bo", 11, 5))
    world.version()
    world.keep()
    assert world.asked("ana") == (1, 1.0, 1)
    world.push(("ana", 20, 2))
    first = world.keep()
    assert world.asked("ana") == (2, 3.0, 2)
    assert (first.progress.through, first.progress.pushed) == (2, 3)
    world.push(("ana", 30, 3))
    world.version()
    then = world.keep()
    assert world.asked("ana") == (3, 6.0, 3)
    assert then.generation.number == first.generation.number, "nothing was made anew for it"
    world.push(("ana", 40, 4))
    world.keep()
    world.keep()
    assert world.asked("ana") == (4, 10.0, 4)


def test_a_version_that_is_behind_what_is_online_takes_nothing_back(world: World) -> None:
    world.push(("ana", 10, 1))
    world.version()
    world.keep()
    world.push(("ana", 20, 2))
    world.version()
    world.push(("ana", 30, 3))
    behind = world.want
    world.want = Wanted(VIEW, f"{1:064d}", 0, ("m",), through=1, pushes=True)
    assert world.keep().progress.pushed == 3
    world.want = behind
    world.keep()
    assert world.asked("ana") == (3, 6.0, 3)


def test_a_fill_takes_up_what_was_pushed_behind_its_version(world: World) -> None:
    world.push(("ana", 10, 1))
    world.version()
    world.push(("ana", 20, 2))
    world.keep()
    assert world.asked("ana") == (2, 3.0, 2)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    steps=st.lists(
        st.one_of(
            st.sampled_from(["version", "keep"]),
            st.lists(st.tuples(st.sampled_from(["ana", "bo"]), st.integers(0, 2_000), st.integers(-5, 5)), min_size=1, max_size=4),
        ),
        max_size=14,
    )
)
def test_however_pushes_versions_and_passes_follow_each_row_counts_once(tmp_path_factory, steps) -> None:
    world = World(tmp_path_factory.mktemp("pushed"))
    rows: list[tuple[str, int, int]] = []
    for step in [[("bo", 0, 0)], "version", *steps, "keep"]:
        if step == "version":
            world.version()
        elif step == "keep":
            world.keep()
        else:
            world.push(*step)
            rows += step
    for who in ("ana", "bo"):
        own = [(at, place, n) for place, (name, at, n) in enumerate(rows) if name == who]
        newest = max(own)[2] if own else None
        assert world.asked(who) == (len(own), float(sum(n for _, _, n in own)), newest)
    world.store.close()
