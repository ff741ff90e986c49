"""`flyball up` is off for hours and comes back: nobody is told that requests stopped. When they do stop, somebody is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from flyball.clock import Instant, VirtualClock
from flyball.loop.compiling import compile_project
from flyball.loop.declaring import apply
from flyball.loop.proposals import Propose
from flyball.loop.tick import tick
from flyball.records.incidents import INCIDENTS, IncidentRow
from flyball.records.models import Signature
from flyball.records.serving import ModelRoute, RouteDesired
from flyball.records.versions import VersionRegistered
from flyball.serving import wal
from flyball.serving.heard import Listening
from flyball.wiring import open_project

SECOND = 1_000_000
HOUR = 3_600 * SECOND
DAY = 24 * HOUR
START: Instant = 1_700_000_000 * SECOND // DAY * DAY
EVERY = 45 * SECOND
LOOP = """
import flyball as fb
rows = fb.Dataset("rows", source="rows.csv", time="ts", columns={"x": float, "y": fb.column(int, one_of=(0, 1), known_after="1d")})
def fit(X, y): ...
m = fb.Model("m", task="binary", data=rows, label="y", owner="ana", framing=fb.Framing("test"), train=fb.Train(fit), autonomy="record")
"""


class World:
    """A project that is up, asked once in 45 s, and looked at once an hour; all of it in virtual time, over its real files."""

    def __init__(self, root: Path) -> None:
        self.root, self.now, self.asked = root, START, 0
        (root / "flyball.toml").write_text("")
        (root / "loop.py").write_text(LOOP)
        (root / "rows.csv").write_text("ts,x,y\n2023-01-01T00:00:00Z,1.0,1\n")
        self.clock = VirtualClock(START)
        wired = open_project(root, claim=True, clock=self.clock)
        apply(compile_project(root), wired.ports, "loop")
        told = RouteDesired(model="m", route=ModelRoute(signature=Signature(task="binary", fields=()), arms=()), epoch=1)
        made = VersionRegistered(
            model="m", version="1.0.0", run="r", artifact="", result="", version_digest="v", policy_digest="p", data={}, metrics={}
        )
        command = Propose(id="c", actor="loop", proposal="p", model="m", action="train", mode="record", target="", reason="")
        wired.ports.ledger.execute(command, lambda *_: (told, made))
        wired.close()

    def up(self, hours: int, *, asked: bool = True) -> list[IncidentRow]:
        """Start, go on for so long, and be killed; every incident that there is by then."""
        wired = open_project(self.root, claim=True, clock=self.clock)
        writer = wal.Writer(wired.layout.log, "g0", reserve_bytes=0)
        listening = Listening(wired.layout.heard("g0"), now=lambda: self.now)
        header, _ = wal.read_header(writer.path) or pytest.fail("no header")
        shift = header.wall_ns - header.monotonic_ns
        try:
            for _ in range(hours):
                frames = [writer.declare("m@1.0.0", ["x"])] if not writer.knows("m@1.0.0") else []
                for _ in range(HOUR // EVERY):
                    self.now += EVERY
                    listening.note()
                    self.asked += 1
                    if asked:
                        picked, answer = self.now * 1_000 - shift, msgspec.msgpack.encode([[1, 0.7]])
                        about = {"version": "m@1.0.0", "role": "champion", "rows": 1, "packed_output": answer}
                        frames.append(wal.frame("answer", f"r{self.asked}", picked_ns=picked, answered_ns=picked + 10**6, **about))  # type: ignore[arg-type]
                if frames:
                    writer.append(frames)
                self.clock.advance_to(self.now)
                tick(self.now, wired.ports)
            return [row for _, row in wired.ports.ledger.state().scan(INCIDENTS)]
        finally:
            writer.close()
            wired.close()

    def off(self, hours: int) -> None:
        self.now += hours * HOUR


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    return World(tmp_path)


def test_hours_in_which_up_was_stopped_open_no_incident_about_callers_and_hours_without_callers_do(world: World) -> None:
    assert world.up(9 * 24 + 6) == []
    world.off(7)
    assert world.up(20) == [], "it was stopped, and nobody knows who asked"
    world.off(30)
    [found] = world.up(2, asked=False)
    assert found.failure_mode == "stale_data"
    assert "no request for" in found.what + found.cause
