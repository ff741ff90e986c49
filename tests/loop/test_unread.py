"""A declaration that cannot be read for a while costs no evidence: the log is counted by the one that was read last, or the gap is noted."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec import inspect

from flyball.clock import Instant, Span
from flyball.errors import FlyballError
from flyball.loop import memory
from flyball.loop.compiling import compile_project
from flyball.loop.declaring import apply
from flyball.loop.keeping import Part, Stored
from flyball.loop.memory import Memories
from flyball.loop.proposals import Propose
from flyball.loop.tick import absorb
from flyball.monitoring.slabs import within
from flyball.monitoring.usage import Usage
from flyball.records.base import Event
from flyball.records.declarations import DECLARATIONS
from flyball.records.evidence import Cursor, Watch
from flyball.records.models import Signature
from flyball.records.rollouts import RolloutEvidence
from flyball.records.serving import ModelRoute, RouteDesired
from flyball.records.versions import ChampionChanged, VersionRegistered
from flyball.serving import wal
from flyball.wiring import Wired, open_project

SECOND = 1_000_000
DELAY = Span.parse("5s")
LOOP = """
import flyball as fb
rows = fb.Dataset("rows", source="rows.csv", time="ts", columns={"x": float, "y": fb.column(int, one_of=(0, 1), known_after="5s")})
def fit(X, y): ...
m = fb.Model("m", task="binary", data=rows, label="y", framing=fb.Framing("test"), train=fb.Train(fit))
n = fb.Model("n", task="binary", data=rows, label="y", framing=fb.Framing("test"), train=fb.Train(fit))
"""


class Project:
    """Two models that answer, each with a log. Every `process` begins with nothing in memory."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "flyball.toml").write_text("")
        (root / "loop.py").write_text(LOOP)
        with self.process() as wired:
            apply(compile_project(root), wired.ports, "loop")
            self.declaration = wired.ports.ledger.state().get(DECLARATIONS, "m").body
            self.bytes = wired.blobs.get(self.declaration)
            route = ModelRoute(signature=Signature(task="binary", fields=()), arms=())
            self.tell(wired, *(RouteDesired(model=name, route=route, epoch=epoch) for epoch, name in enumerate("mn", 1)))
        self.writer = wal.Writer(root / ".flyball" / "log", "g0", reserve_bytes=0)
        self.began: Instant = time.time_ns() // 1000
        self.asked = 0

    def tell(self, wired: Wired, *events: Event) -> None:
        command = Propose(
            id=wired.ports.clock.new_id("cmd"), actor="loop", proposal="p", model="m", action="train", mode="record", target="", reason=""
        )
        wired.ports.ledger.execute(command, lambda *_: events)

    @contextmanager
    def process(self) -> Iterator[Wired]:
        wired = open_project(self.root, claim=True)
        try:
            yield wired
        finally:
            wired.close()

    def ask(self, times: int) -> None:
        """So many requests to each model, and a label for each answer."""
        frames = []
        for name in ("m", "n"):
            frames.append(self.writer.declare(f"{name}@1.0.0", ["x"]))
            for number in range(self.asked, self.asked + times):
                picked = time.monotonic_ns()
                answer = msgspec.msgpack.encode([[1, 0.7]])
                request = f"{name}-{number}"
                frames.append(
                    wal.frame(
                        "answer",
                        request,
                        picked_ns=picked,
                        answered_ns=picked + 1_000_000,
                        version=f"{name}@1.0.0",
                        role="champion",
                        rows=1,
                        packed_output=answer,
                    )
                )
                frames.append(wal.label_frame(name, request, 1, 0, now_ns=picked))
        self.asked += times
        self.writer.append(frames)

    def absorb(self, wired: Wired, second: float) -> tuple[Memories, list[FlyballError]]:
        failed: list[FlyballError] = []
        return absorb(wired.ports, self.began + round(second * SECOND), failed), failed


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    made = Project(tmp_path)
    yield made
    made.writer.close()


def counted(kept: Memories, model: str) -> tuple[int, int]:
    """Requests, and answers whose label has come."""
    whole = within(kept.monitor(model).slabs, 0, 2**60)
    return whole.n, sum(part.labelled for part in whole.quality if not part.slice)


def test_what_came_while_a_declaration_could_not_be_read_is_counted_and_so_is_what_waited_for_labels(project: Project) -> None:
    with project.process() as wired:
        project.ask(20)
        kept, failed = project.absorb(wired, 1)
        assert (counted(kept, "m"), failed) == ((20, 0), [])
        wired.blobs.remove(project.declaration)
    for second in (2, 3):
        with project.process() as wired:
            project.ask(10)
            kept, failed = project.absorb(wired, second)
            assert [error.what[:5] for error in failed] == ["blob "]
    with project.process() as wired:
        project.absorb(wired, 3)
        wired.blobs.put(project.bytes)
        kept, failed = project.absorb(wired, 20)
    assert failed == []
    assert counted(kept, "m") == counted(kept, "n") == (40, 40)
    assert not kept.monitor("m").gap_at


def test_what_came_before_a_declaration_could_be_read_for_the_first_time_is_noted_as_a_gap_of_that_model_alone(project: Project) -> None:
    with project.process() as wired:
        wired.blobs.remove(project.declaration)
    with project.process() as wired:
        project.ask(10)
        kept, failed = project.absorb(wired, 1)
        assert len(failed) == 1
        assert counted(kept, "n") == (10, 0)
        now = project.began + SECOND
        assert kept.monitor("m").gap(now) == 20, "ten answers and their labels"
        assert not kept.monitor("n").gap(now)
        kept, _ = project.absorb(wired, 2)
        assert kept.monitor("m").gap(now) == 20, "nothing has come since: nothing is noted twice"


def test_a_champion_whose_result_cannot_be_read_has_a_gap_too(project: Project) -> None:
    with project.process() as wired:
        project.absorb(wired, 0)
        gone = "a" * 64
        made = VersionRegistered(
            model="m", version="1.0.0", run="r", artifact=gone, result=gone, version_digest="v", policy_digest="p", data={}, metrics={}
        )
        project.tell(wired, made, ChampionChanged(model="m", version="1.0.0", former="", rollback=False, reason=""))
        project.ask(10)
        kept, failed = project.absorb(wired, 1)
        assert len(failed) == 1
        assert kept.monitor("m").gap(project.began + SECOND) == 20


def test_what_another_version_of_flyball_counted_is_counted_again_and_left_to_it(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    with project.process() as wired:
        project.ask(10)
        with monkeypatch.context() as other:
            other.setattr(memory, "FORM", memory.FORM + 1)
            project.absorb(wired, 1)
            # it has a field that this one does not know
            names = [memory.stored(f"{part}/{model}") for part in ("monitor", "declared") for model in ("m", "n")]
            theirs = {name: (wired.ports.memory.load(name) or b"")[:-1] + b',"more":1}' for name in names}
            wired.ports.memory.save(theirs)
    with project.process() as wired:
        kept, failed = project.absorb(wired, 2)
        assert (counted(kept, "m"), failed) == ((10, 0), [])
        assert {name: wired.ports.memory.load(name) for name in names} == theirs


def fields(kind: object, found: dict[str, Any]) -> dict[str, Any]:
    """The fields of a record, and of all that are in it, as they are written down."""
    if isinstance(kind, inspect.StructType) and kind.cls.__name__ not in found:
        found[kind.cls.__name__] = kind.cls.__annotations__
        for each in kind.fields:
            fields(each.type, found)
    elif isinstance(kind, inspect.Type) and not isinstance(kind, inspect.StructType):
        for part in msgspec.structs.astuple(kind):
            for each in part if isinstance(part, tuple) else (part,):
                fields(each, found)
    return found


def test_a_change_of_what_is_kept_is_another_form() -> None:
    found: dict[str, Any] = {}
    for kind in (Cursor, Stored, Part, RolloutEvidence, Watch, Usage):
        fields(inspect.type_info(kind), found)
    digest = hashlib.sha256(json.dumps(found, sort_keys=True).encode()).hexdigest()[:8]
    assert (memory.FORM, digest) == (6, "cda17238"), "add one to FORM, and put the new hash here"


def test_records_of_a_model_that_answers_no_more_are_no_gap(project: Project) -> None:
    with project.process() as wired:
        project.tell(wired, RouteDesired(model="m", route=None, epoch=3))
        project.ask(10)
        kept, failed = project.absorb(wired, 1)
        assert failed == []
        assert not kept.monitor("m").gap_at
        assert counted(kept, "n") == (10, 0)
        again, _ = project.absorb(wired, 2)
        assert again.cursor.offsets == kept.cursor.offsets
