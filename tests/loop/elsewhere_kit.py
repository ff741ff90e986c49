"""A project whose model is served elsewhere: its predictions and labels go through the gateway's own code into the log, and the loop ticks."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from flyball.governance.authority import LOOP
from flyball.loop import memory
from flyball.loop.compiling import Compiler
from flyball.loop.declaring import apply
from flyball.loop.tick import tick
from flyball.monitoring.state import MonitorState
from flyball.records.base import Event
from flyball.records.declarations import DECLARATIONS
from flyball.records.elsewhere import ELSEWHERE, ElsewhereRow
from flyball.records.incidents import INCIDENTS, IncidentRow
from flyball.serving import ids, wal
from flyball.serving.labels import read_label
from flyball.serving.predictions import frames_of, read_prediction
from flyball.serving.table import Elsewhere, RoutesFile, Table, read_routes
from flyball.wiring import Wired, open_project

LOOP_FILE = """
import flyball as fb

requests = fb.Dataset(
    "requests", source="SOURCE", time="at", id="request",
    columns={
        "amount": fb.column(float, between=(0, 100_000)),
        "purpose": str,
        "defaulted": fb.column(int, one_of=(0, 1), nulls="100%", known_after="2h"),
        MORE
    },
)

risk = fb.Model(
    "legacy-risk", task="binary", data=requests, label="defaulted", owner="risk", framing=fb.Framing("who pays back"),
    monitors=[fb.drift(), fb.drift("predictions"), fb.metric("accuracy").over("30d") >= 0.6],
)
"""

START = datetime.now(UTC) - timedelta(days=11, minutes=5)
PURPOSES = ("car", "home", "debt", "school")


def made(
    day: float, n: int, *, seed: int = 0, version: str = "7", purposes: Sequence[str] = PURPOSES, wrong: float = 0.1
) -> list[dict[str, Any]]:
    """Predictions of one day (counted from START), with the label that each will have."""
    rng = np.random.default_rng([seed, int(abs(day) * 100)])
    found = []
    for place in range(n):
        score = float(rng.uniform())
        value = int(score > 0.5)
        at = START + timedelta(days=day) + timedelta(seconds=86_400 * place / n)
        found.append(
            {
                "id": f"{version}-{day}-{place}",
                "row": {"amount": float(rng.lognormal(7, 0.5)), "purpose": str(rng.choice(purposes))},
                "value": value,
                "score": score,
                "time": at.isoformat(),
                "version": version,
                "label": value if rng.uniform() > wrong else 1 - value,
            }
        )
    return found


class Watched:
    """The project."""

    def __init__(self, root: Path, source: str = "push://", more: str = "", file: str = "") -> None:
        root.mkdir(exist_ok=True)
        (root / "flyball.toml").write_text("")
        (root / "loop.py").write_text(file or LOOP_FILE.replace("SOURCE", source).replace("MORE", more))
        self.root = root
        self.ticks = 0
        self.wired = self._open()
        compilation = Compiler(root).compile()
        assert compilation.broken == (), compilation.broken
        apply(compilation, self.wired.ports, "loop")
        self.tick()
        self.writer: wal.Writer | None = None

    def _open(self) -> Wired:
        opened = open_project(self.root)
        return dataclasses.replace(opened, ports=opened.acting(LOOP))

    def again(self) -> None:
        """Another process takes over."""
        self.close()
        self.wired = self._open()

    def close(self) -> None:
        if self.writer is not None:
            self.writer.close()
            self.writer = None
        self.wired.close()

    @property
    def model(self) -> Elsewhere:
        """As a gateway knows it: from the file that the loop wrote."""
        file: RoutesFile = read_routes(self.wired.layout.routes.read_bytes())
        return Table(file).find_elsewhere("legacy-risk")

    def _writer(self) -> wal.Writer:
        if self.writer is None:
            self.writer = wal.Writer(self.wired.layout.log, "g0", reserve_bytes=0)
        return self.writer

    def send(self, predictions: Iterable[Mapping[str, Any]]) -> None:
        key, now = ids.Ids(ids.load_key(self.wired.layout.id_key), 0), time.time_ns() // 1000
        model, sent = self.model, [{name: value for name, value in one.items() if name != "label"} for one in predictions]
        assert self._writer().append(frames_of(model, [read_prediction(one, model, now) for one in sent], self._writer(), key))

    def label(self, predictions: Iterable[Mapping[str, Any]], *, after: timedelta | None = timedelta(hours=1)) -> None:
        """Send the labels of these; `after` their predictions (None: without a time)."""
        now, model = time.time_ns() // 1000, self.model
        frames = []
        for one in predictions:
            raw = {"id": one["id"], "value": one["label"]}
            if after is not None:
                raw["time"] = (datetime.fromisoformat(one["time"]) + after).isoformat()
            frames.append(read_label(raw, model, lambda _id: False, now).frame(model.name, time.monotonic_ns()))
        assert self._writer().append(frames)

    def loop_alone(self) -> int:
        """One pass, of which nothing is done beside the loop; return when it was."""
        # in another minute than the last one: while much comes, that of a minute is counted together
        self.ticks += 1
        now = self.wired.ports.clock.now() + self.ticks * 65_000_000
        tick(now, self.wired.ports)
        return now

    def tick(self) -> None:
        now = self.loop_alone()
        outside = self.wired.elsewhere()
        outside.step(self.wired.ports, now)
        outside.finish(self.wired.ports, now)

    def normal(self) -> None:
        """Nine days of what is normal, labelled, and learnt."""
        for day in range(9):
            rows = made(day, 400)
            self.send(rows)
            self.label(rows)
        self.tick()
        self.tick()

    @property
    def row(self) -> ElsewhereRow | None:
        return self.wired.ports.ledger.state().get(ELSEWHERE, "legacy-risk")

    @property
    def monitor(self) -> MonitorState:
        """What the loop keeps of the model."""
        return memory.load(self.wired.ports.memory).monitor("legacy-risk")

    @property
    def incidents(self) -> list[IncidentRow]:
        return [row for _, row in self.wired.ports.ledger.state().scan(INCIDENTS)]

    @property
    def declared(self) -> int:
        return len(list(self.wired.ports.ledger.state().scan(DECLARATIONS)))

    def events(self, kind: type[Event]) -> list[Any]:
        return [one.event for one in self.wired.ports.ledger.read(0, 100_000) if isinstance(one.event, kind)]
