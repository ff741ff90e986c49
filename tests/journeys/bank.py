"""A small bank whose world a test breaks from outside: what the feed brings, who asks and how they write it, how the model works, when labels come.

Everything else is real: `flyball up` with its gateways, workers, control plane and loop. A test changes the world and reads what the ledger says.
"""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx
import numpy as np
import polars as pl

from flyball.records.alerts import ALERTS, AlertMoved, AlertRow, AlertState
from flyball.records.incidents import INCIDENTS, IncidentRow, IncidentState
from flyball.records.rollouts import RolloutState

from .kit import Found, Project, Up, champion_is, in_state
from .people import cli

OPEN = (IncidentState.OPEN, IncidentState.MITIGATING)
A_SECOND = 20
ROWS = 600 * A_SECOND

LOOP = """
import json, time
from pathlib import Path

import flyball as fb
import polars as pl
from sklearn.linear_model import LogisticRegression

RATES = Path("ROOT/data/rates.json")

loans = fb.Dataset(
    "loans", source="data/loans.csv", time="ts", min_rows=50, freshness="FRESHNESS", owner="data-team",
    columns={
        "amount": fb.column(float, between=(0, 1000)),
        "age": fb.column(int, between=(18, 99)),
        "channel": fb.column(str),
        "good": fb.column(int, one_of=(0, 1), known_after="1s"),
    },
)

def rated(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.select(rated=pl.col("amount"))

def fit(X: pl.DataFrame, y: pl.Series):
    return LogisticRegression(C=1.0).fit(X, y)

credit = fb.Model(
    "credit", task="binary", data=loans, label="good", owner="risk", framing=fb.Framing("grant small loans"),
    inputs=["amount", "age"], transforms=rated, slices=["channel"],
    train=fb.Train(fit, window="60s", holdout="10s"), retrain=fb.Retrain(every="30d", cooldown="10s"),
    gates=[fb.metric("accuracy") >= 0.6],
    rollout=fb.Rollout(guards=[fb.metric("error_rate") <= fb.champion * 2], watch="1s").shadow("1s").canary("50%", "1s"),
    monitors=[MONITORS],
    MORE
    autonomy=AUTONOMY,
)
"""

RATED = """
def rated(frame: pl.DataFrame) -> pl.DataFrame:
    rates = json.loads(RATES.read_text())
    time.sleep(rates["wait_s"])
    return frame.select(rated=pl.col("amount") * rates["amount"])
"""
"""What the second version does: it looks rates up in a file that somebody else keeps."""

_RATED_BEFORE = LOOP[LOOP.index("\ndef rated") : LOOP.index("\ndef fit")]


@dataclass
class World:
    """How things stand outside; a test sets these."""

    shift: float = 0.0
    """Added to the amount that people ask for."""
    turned: bool = False
    """Whether those who were good are bad now."""
    feeds: bool = True
    """Whether the feed brings rows."""
    labels: bool = True
    """Whether labels come."""
    written: Callable[[dict[str, Any]], dict[str, Any]] = field(default=lambda row: row)
    """How callers write a row."""


def people(chance: np.random.Generator, n: int, world: World) -> list[dict[str, Any]]:
    """Rows of so many who ask."""
    amount, age = chance.uniform(0, 400, n) + world.shift, chance.integers(18, 99, n)
    channel = chance.choice(["web", "shop", "phone"], n)
    return [{"amount": round(float(a), 2), "age": int(b), "channel": str(c)} for a, b, c in zip(amount, age, channel, strict=True)]


def good(chance: np.random.Generator, row: dict[str, Any], world: World) -> int:
    """Whether one of them pays back."""
    paid = row["age"] + chance.normal(0, 10) > 50
    return int(paid != world.turned)


class Bank:
    """A project, `up` over it, the feed and the callers, from the first release on."""

    def __init__(
        self,
        project: Project,
        start: Callable[..., Up],
        *,
        monitors: str = "fb.drift()",
        more: str = "",
        autonomy: str = '"act"',
        freshness: str = "10m",
        rows_a_request: int = 10,
        pause_s: float = 0.04,
    ) -> None:
        self.project, self.world = project, World()
        self.statuses: deque[tuple[float, int]] = deque(maxlen=20_000)
        self._rows_a_request, self._pause_s = rows_a_request, pause_s
        self._stop = threading.Event()
        self._chance = np.random.default_rng(7)
        self._given = {"MONITORS": monitors, "MORE": more, "AUTONOMY": autonomy, "FRESHNESS": freshness, "ROOT": str(project.root)}
        self.rates(amount=1.0)
        self._history()
        self.declare()
        self._waiting: deque[tuple[float, str, dict[str, Any]]] = deque()
        self._threads = [threading.Thread(target=work, daemon=True) for work in (self._feed, self._call, self._tell)]
        # the feed is there before the first release
        self._threads[0].start()
        self.up = start()
        champion_is(project, "1.0.0")

    def declare(self, change: dict[str, str] | None = None) -> None:
        """Write the loop file; `change` replaces parts of it."""
        text = LOOP
        for old, new in {**(change or {}), **self._given}.items():
            assert old in text, old
            text = text.replace(old, new)
        self.project.write("loops/credit.py", text)

    def second_version(self) -> None:
        """Let a version that looks rates up become the champion, with the first as the way back."""
        self.declare({_RATED_BEFORE: RATED})
        champion_is(self.project, "1.1.0", within_s=120)
        in_state(self.project, "1.1.0", RolloutState.COMPLETED, within_s=120)

    def rates(self, *, amount: float, wait_s: float = 0.0) -> None:
        """Write the file that the second version reads."""
        self.project.write("data/rates.json", json.dumps({"amount": amount, "wait_s": wait_s}))

    def open(self) -> Bank:
        """Begin: people ask, the feed flows, labels come."""
        for thread in self._threads[1:]:
            thread.start()
        return self

    def close(self) -> None:
        """Nobody asks any more."""
        self._stop.set()
        for thread in self._threads:
            thread.join(timeout=30)

    def __enter__(self) -> Bank:
        return self.open()

    def __exit__(self, *_: object) -> None:
        self.close()

    def _history(self) -> None:
        """Ten minutes of loans, as many a second as the feed goes on to bring."""
        end = time.time() - 2
        rows = people(self._chance, ROWS, self.world)
        for place, row in enumerate(rows):
            row["good"] = good(self._chance, row, self.world)
            row["ts"] = _stamp(end - ROWS / A_SECOND * (1 - (place + 1) / ROWS))
        self._file = pl.DataFrame(rows)
        self._save()

    def _save(self) -> None:
        scratch = self.project.root / "data" / ".loans"
        self._file.write_csv(scratch)
        scratch.replace(self.project.root / "data" / "loans.csv")

    def _feed(self) -> None:
        while not self._stop.wait(3.0):
            if not self.world.feeds:
                continue
            rows = people(self._chance, 3 * A_SECOND, self.world)
            now = time.time() - 3
            fresh = [
                {**row, "good": good(self._chance, row, self.world), "ts": _stamp(now + place / A_SECOND)} for place, row in enumerate(rows)
            ]
            self._file = pl.concat([self._file, pl.DataFrame(fresh)])
            self._save()

    def _call(self) -> None:
        chance = np.random.default_rng(11)
        while not self._stop.is_set():
            with contextlib.suppress(httpx.TransportError), httpx.Client(base_url=self.up.url, timeout=20) as client:
                while not self._stop.is_set():
                    rows = people(chance, self._rows_a_request, self.world)
                    answer = client.post("/models/credit/predict", json={"rows": [self.world.written(row) for row in rows]})
                    self.statuses.append((time.time(), answer.status_code))
                    if answer.status_code == 200:
                        due = time.time() + 0.2
                        given = zip(answer.json()["predictions"], rows, strict=True)
                        self._waiting.extend((due, one["id"], row) for one, row in given)
                    self._stop.wait(self._pause_s)

    def _tell(self) -> None:
        chance = np.random.default_rng(13)
        while not self._stop.wait(0.1):
            ready = []
            while self._waiting and self._waiting[0][0] <= time.time():
                _, request, row = self._waiting.popleft()
                ready.append({"id": request, "value": good(chance, row, self.world)})
            if ready and self.world.labels:
                with contextlib.suppress(httpx.TransportError):
                    httpx.post(f"{self.up.url}/models/credit/labels", json={"labels": ready}, timeout=20)

    def share_ok(self, since_s: float) -> float:
        """Share of the requests of the last so many seconds that were answered well."""
        recent = [status for at, status in self.statuses if at >= time.time() - since_s]
        return sum(status == 200 for status in recent) / max(len(recent), 1)

    def incident(self, mode: str, *states: IncidentState, within_s: float = 90.0) -> IncidentRow:
        """Wait for an incident of this mode in one of these states (any that is not over)."""

        def look() -> IncidentRow | None:
            rows = [row for row in self.project.rows(INCIDENTS) if row.failure_mode == mode]
            return next((row for row in rows if row.state in (states or OPEN)), None)

        return self.wait(look, f"no incident {mode} {states}", within_s)

    def wait(self, look: Callable[[], Found], why: str, within_s: float = 90.0) -> Found:
        """What `look` gives as soon as it gives anything; the ledger is asked no oftener than it is worth."""
        until = time.monotonic() + within_s
        while time.monotonic() < until:
            found = look()
            if found:
                return found
            time.sleep(0.3)
        raise AssertionError(f"{why}\n{self.told()}")

    def calm(self) -> None:
        """Wait until nothing is wrong any more."""
        self.wait(lambda: not [row for row in self.project.rows(INCIDENTS) if row.state != IncidentState.CLOSED], "an incident is not over")

    def quiet(self) -> None:
        """Nothing is wrong, and nothing was."""
        assert self.project.rows(INCIDENTS) == [], self.told()

    def told(self) -> str:
        """What alerts and incidents say, for a test that failed."""
        alerts = [
            f"{row.key} {row.state} {row.finding.severity} {row.finding.standing}: {row.finding.why}" for row in self.project.rows(ALERTS)
        ]
        return "\n".join([*alerts, *map(str, self.project.rows(INCIDENTS))])

    def fired(self, monitor: str) -> list[AlertRow | AlertMoved]:
        """The alerts of a monitor that fired, from the ledger."""
        return [event for event in self.project.events(AlertMoved) if event.monitor == monitor and event.target == AlertState.FIRING]

    def recovered(self, incident: IncidentRow, within_s: float = 90.0) -> None:
        """The recovery is measured, a person acknowledges and reviews, and the incident is closed by what is measured, not by the person."""
        cli(self.project, "incidents", "ack", incident.incident, "--reason", "looking")
        self.incident(incident.failure_mode, IncidentState.MITIGATED, within_s=within_s)
        code, out, err = cli(
            self.project, "incidents", "review", incident.incident, "--text", "what broke, and what will keep it from breaking"
        )
        assert code == 0, out + err
        self.wait(lambda: self.project.row(INCIDENTS, incident.incident).state == IncidentState.CLOSED, "it is not closed", within_s)


def _stamp(at: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(at)) + f".{int(at % 1 * 1000):03d}Z"
