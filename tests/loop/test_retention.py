"""Old versions of a data set are let go when nothing was made from them; everything that is kept is whole, and verify says so."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import polars as pl
import pytest

from flyball.clock import Span, VirtualClock
from flyball.data import chunks
from flyball.data.commit import commit, load_content
from flyball.data.erase import Person
from flyball.data.manifest import names
from flyball.declare import codec as codec_of_models
from flyball.declare.data import Dataset
from flyball.declare.model import Label, Model, Train
from flyball.errors import Conflict, NotFound
from flyball.governance.authority import LOOP
from flyball.ledger.verify import verify
from flyball.loop import collecting, retention
from flyball.loop.erasing import EraseSubject, decide_erase
from flyball.records import codec
from flyball.records.base import Event, Record
from flyball.records.data import COLLECTED, DATASETS, DataCollected, DataCommitted, DataErased, DatasetVersion, SubjectErased
from flyball.records.declarations import DeclarationApplied
from flyball.records.training import RunFailed, RunQueued, RunSpec, RunStarted
from flyball.wiring import Wired, open_project

DAY = Span.parse("1d")
KEEP = {"d": Span.parse("90d")}
DATA = Dataset("d", source="d.csv", time="at", columns={"x": int}, subject="who")


class Tell(Record, frozen=True):
    id: str
    actor: str = "loop"


class World:
    """A project with a data set, in virtual time."""

    def __init__(self, root: Path) -> None:
        (root / "flyball.toml").write_text("")
        self.clock = VirtualClock(1_900_000_000_000_000)
        self.wired: Wired = open_project(root, clock=self.clock)
        self.ports = self.wired.acting(LOOP)
        self.blobs = self.wired.blobs

    def tell(self, *events: Event) -> None:
        self.wired.ledger.execute(Tell(id=self.clock.new_id("cmd")), lambda *_: events)

    def version(self, count: int, name: str = "d", start: int = 0) -> DatasetVersion:
        """A version with so many rows becomes the head."""
        at = pl.Series("at", range(start, start + count), dtype=pl.Int64).cast(pl.Datetime("us"))
        frame = pl.DataFrame({"x": range(count), "who": [f"p{n % 7}" for n in range(count)]}).with_columns(at).select("x", "at", "who")
        row = self.wired.ledger.state().get(DATASETS, name)
        made = commit(replace(DATA, name=name), frame, self.blobs, row.head if row else None, f"m{count}")
        self.tell(DataCommitted(version=made))
        return made

    def run(self, version: DatasetVersion) -> None:
        """A run that reads a version, and fails."""
        digest = self.blobs.put(b"{}")
        spec = RunSpec(
            model="m",
            declaration=digest,
            code=digest,
            file="loop.py",
            version_digest="v",
            policy_digest="p",
            datasets={version.name: version.content},
            as_of=self.clock.now(),
        )
        run = self.clock.new_id("run")
        self.tell(RunQueued(run=run, model="m", trigger="manual", reason="", spec=self.blobs.put(codec.encode(spec)), data=spec.datasets))
        self.tell(RunStarted(run=run, attempt=1), RunFailed(run=run, why="x"))

    def later(self, days: int) -> None:
        self.clock.advance_to(self.clock.now() + days * DAY)

    def look(self) -> collecting.Garbage:
        return collecting.garbage(self.ports, now=self.clock.now(), keep=Span.parse("30d"), data=KEEP)

    def gc(self) -> tuple[str, ...]:
        """The names of versions that were let go."""
        found = self.look()
        self.record(found)
        collecting.remove(self.ports, found)
        return tuple(key.rpartition("/")[2] for key in found.data.versions)

    def record(self, found: collecting.Garbage) -> None:
        self.wired.ledger.execute(collecting.command(found, id=self.clock.new_id("cmd"), actor="user:ana"), collecting.decide_remove)

    def problems(self) -> list[str]:
        return [problem.what for problem in verify(self.wired.ledger, self.blobs).problems]


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    monkeypatch.setattr(chunks, "MOST", 100 * 26)
    monkeypatch.setattr(chunks, "LEAST", 25 * 26)
    made = World(tmp_path)
    yield made
    made.wired.close()


def test_a_version_goes_when_it_was_no_head_for_as_long_as_it_is_kept(world: World) -> None:
    first, second = world.version(1000), world.version(1010)
    shared, own = names(first.content, world.blobs) & names(second.content, world.blobs), names(first.content, world.blobs)
    world.later(89)
    assert world.gc() == ()
    world.later(2)
    assert world.gc() == (first.content,)
    assert len(shared) > 5
    assert all(world.blobs.has(chunk) for chunk in shared)
    assert not any(world.blobs.has(blob) for blob in (first.content, *(own - shared)))
    assert load_content(second.content, world.blobs).height == 1010
    with pytest.raises(NotFound):
        load_content(first.content, world.blobs)
    assert world.problems() == []
    assert world.gc() == ()
    [row] = [key for key, _ in world.wired.ledger.state().scan(COLLECTED)]
    assert row == f"d/{first.content}"


def test_the_head_and_what_a_run_was_made_from_stay(world: World) -> None:
    used, nothing, head = world.version(100), world.version(110), world.version(120)
    # both runs came to nothing long ago; what a model's last one left stays, and so does what it was made from
    world.run(nothing)
    world.run(used)
    world.later(200)
    assert world.gc() == (nothing.content,)
    assert world.blobs.has(used.content)
    assert world.blobs.has(head.content)
    assert world.problems() == []


def test_a_data_set_that_does_not_say_so_keeps_everything(world: World) -> None:
    old = world.version(100, "other")
    world.version(110, "other")
    world.later(1000)
    assert world.gc() == ()
    assert world.blobs.has(old.content)


def test_a_chunk_that_another_data_set_has_stays(world: World) -> None:
    old = world.version(300)
    world.version(310)
    twin = world.version(300, "other")
    assert twin.content == old.content
    world.later(100)
    assert world.gc() == (old.content,)
    assert load_content(twin.content, world.blobs).height == 300
    assert world.problems() == []


def test_the_same_rows_may_come_again_and_are_held_again(world: World) -> None:
    old = world.version(300)
    world.version(310)
    world.later(100)
    world.gc()
    again = world.version(300)
    assert again.content == old.content
    assert world.wired.ledger.state().get(COLLECTED, f"d/{old.content}") is None
    assert load_content(again.content, world.blobs).height == 300
    assert world.problems() == []
    world.blobs.remove(again.content)
    assert len(world.problems()) == 1


def test_nothing_goes_that_a_new_version_came_for_meanwhile(world: World) -> None:
    world.version(300)
    world.version(310)
    world.later(100)
    found = world.look()
    world.version(320)
    with pytest.raises(Conflict, match="nothing was removed"):
        world.record(found)


def test_a_crash_after_it_was_recorded_is_healed_by_the_next_one(world: World) -> None:
    old, new = world.version(300), world.version(310)
    world.later(100)
    world.record(world.look())
    # killed here, after the first chunk went
    [gone, *_] = sorted(names(old.content, world.blobs) - names(new.content, world.blobs))
    world.blobs.remove(gone)
    assert world.problems() == []
    world.gc()
    assert not world.blobs.has(old.content)
    assert world.problems() == []


def test_an_erasure_is_refused_where_a_version_was_let_go_meanwhile(world: World) -> None:
    old = world.version(300)
    world.version(310)
    world.later(100)
    person = Person("p1", world.blobs)
    rest = person.rest(old.content, ["who"], world.blobs.put)
    erased = DataErased(name="d", birth=old.content, old_content=old.content, new_content=rest.content, rows=rest.rows, subject="k")
    what = SubjectErased(subject="k", data=("d",), rows=rest.rows, predictions=0, waiting=0, texts=0)
    order = EraseSubject(id="c", actor="user:ana", what=what, erased=(erased,), looked=(("d", old.content),), models=())
    order = msgspec.structs.replace(
        order, looked=tuple((v.name, v.content) for v in (old, world.wired.ledger.state().get(DATASETS, "d").head))
    )
    world.gc()
    with pytest.raises(Conflict, match="let go"):
        world.wired.ledger.execute(order, decide_erase)


def test_what_is_recorded_names_the_version(world: World) -> None:
    old = world.version(300)
    world.version(310)
    world.later(100)
    world.gc()
    told = [one.event for one in world.wired.ledger.read(0, 1000) if isinstance(one.event, DataCollected)]
    assert told == [DataCollected(name="d", version=old.version, content=old.content, rows=300)]


def test_data_sets_of_labels_outcomes_and_references_are_kept_as_long_as_they_say(world: World) -> None:
    def data(name: str, **more: Any) -> Dataset:
        return Dataset(name, source="d.csv", time="at", id="id", columns={"x": int, "y": int}, keep="90d", **more)

    places = data("places")
    own = data("own", references={"x": (places, "x")})
    label = Label("y", source=data("labels"), on="id", within="1d")
    model = Model("m", task="binary", data=own, label=label, owner="o", train=Train(lambda X, y: None))
    body = codec_of_models.encode(model)
    digests = codec_of_models.digests(body)
    world.tell(
        DeclarationApplied(
            model="m", file="loop.py", version_digest=digests.version, policy_digest=digests.policy, gates_digest=digests.gates,
            body=world.blobs.put(body.encode()), code="", author="",
        )
    )  # fmt: skip
    kept = retention.declared(world.wired.ledger.state(), world.ports.library)
    assert kept == dict.fromkeys(("own", "labels", "places"), Span.parse("90d"))
