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
from functools import partial
from typing import Any, NamedTuple

import httpx
import numpy as np
import polars as pl

from flyball.records.alerts import ALERTS, AlertMoved, AlertRow, AlertState
from flyball.records.incidents import INCIDENTS, IncidentRow, IncidentState
from flyball.records.rollouts import RolloutState

from .hours import Hours
from .kit import Found, Project, Up, champion_is, in_state
from .people import cli

ROWS = 12_000
FEED_S = 3.0
"""How often the feed brings something."""

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
    biased: bool = False
    """Whether who asks by phone is judged wrongly in three cases of ten, and everybody else hardly ever: as many errors as ever, at the cost of few."""
    feeds: bool = True
    """Whether the feed brings rows."""
    labels: bool = True
    """Whether labels come."""
    random: bool = False
    """Whether it is chance alone who is good."""
    written: Callable[[dict[str, Any]], dict[str, Any]] = field(default=lambda row: row)
    """How callers write a row."""


class Answered(NamedTuple):
    """One request: when it was answered, how, what was said, and how long that took."""

    at: float
    status: int
    text: str
    took_s: float


def people(chance: np.random.Generator, n: int, world: World) -> list[dict[str, Any]]:
    """Rows of so many who ask."""
    amount, age = chance.uniform(0, 400, n) + world.shift, chance.integers(18, 99, n)
    channel = chance.choice(["web", "shop", "phone"], n)
    return [{"amount": round(float(a), 2), "age": int(b), "channel": str(c)} for a, b, c in zip(amount, age, channel, strict=True)]


def good(chance: np.random.Generator, row: dict[str, Any], world: World) -> int:
    """Whether one of them pays back."""
    if world.random:
        return int(chance.random() < 0.5)
    if world.biased:
        return int((row["age"] > 50) != (row["channel"] == "phone" and chance.random() < 0.3))
    paid = row["age"] + chance.normal(0, 10) > 50
    return int(paid != world.turned)


class Bank:
    """A project, `up` over it, the feed and the callers, from the first release on.

    `hours`: the clock of all its processes, where time passes faster there; `a_second`: rows that the feed brings in a second of it.
    """

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
        callers: int = 1,
        change: dict[str, str] | None = None,
        hours: Hours | None = None,
        a_second: float = 20.0,
    ) -> None:
        self.project, self.world, self.hours = project, World(), hours
        self.answers: deque[Answered] = deque(maxlen=20_000)
        self._now, self._type = (hours.now, hours.type) if hours is not None else (time.time, cli)
        self._a_second, self._change = a_second, change or {}
        self._rows_a_request, self._pause_s = rows_a_request, pause_s
        self._stop = threading.Event()
        self._chance = np.random.default_rng(7)
        self._given = {"MONITORS": monitors, "MORE": more, "AUTONOMY": autonomy, "FRESHNESS": freshness, "ROOT": str(project.root)}
        self.rates(amount=1.0)
        self._history()
        self.declare()
        self._waiting: deque[tuple[float, str, dict[str, Any]]] = deque()
        works = (self._feed, self._tell, *[partial(self._call, seed) for seed in range(11, 11 + callers)])
        self._threads = [threading.Thread(target=work, daemon=True) for work in works]
        # the feed is there before the first release
        self._threads[0].start()
        self.up = start()
        champion_is(project, "1.0.0")

    def declare(self, change: dict[str, str] | None = None) -> None:
        """Write the loop file; `change` replaces parts of it."""
        text = LOOP
        for old, new in {**self._change, **(change or {}), **self._given}.items():
            assert old in text, old
            text = text.replace(old, new)
        self.project.write("loops/credit.py", text)

    def second_version(self) -> None:
        """Let a version that looks rates up become the champion, with the first as the way back."""
        self.declare({_RATED_BEFORE: RATED})
        champion_is(self.project, "1.1.0", within_s=300)
        in_state(self.project, "1.1.0", RolloutState.COMPLETED, within_s=300)

    def rates(self, *, amount: float, wait_s: float = 0.0, more: int = 0) -> None:
        """Write the file that the second version reads for each request; `more`: so many numbers that it does not need are in it, too."""
        self.project.write("data/rates.json", json.dumps({"amount": amount, "wait_s": wait_s, "more": list(range(more))}))

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
        """Loans up to now (ten minutes of them), as many a second as the feed goes on to bring."""
        end = self._now() - 2
        rows = people(self._chance, ROWS, self.world)
        for place, row in enumerate(rows):
            row["good"] = good(self._chance, row, self.world)
            row["ts"] = _stamp(end - ROWS / self._a_second * (1 - (place + 1) / ROWS))
        self._file = pl.DataFrame(rows)
        self._save()

    def _save(self) -> None:
        scratch = self.project.root / "data" / ".loans"
        self._file.write_csv(scratch)
        scratch.replace(self.project.root / "data" / "loans.csv")

    def _feed(self) -> None:
        """What the feed brought is as old as what it is about: what came while it stood still it brings no more."""
        until = self._now()
        while not self._stop.wait(FEED_S):
            before, until = until, self._now()
            rows = people(self._chance, round((until - before) * self._a_second), self.world)
            if not self.world.feeds or not rows:
                continue
            fresh = [
                {**row, "good": good(self._chance, row, self.world), "ts": _stamp(before + (until - before) * place / len(rows))}
                for place, row in enumerate(rows)
            ]
            self._file = pl.concat([self._file, pl.DataFrame(fresh)])
            self._save()

    def _call(self, seed: int) -> None:
        chance = np.random.default_rng(seed)
        while not self._stop.is_set():
            with contextlib.suppress(httpx.TransportError), httpx.Client(base_url=self.up.url, timeout=20) as client:
                while not self._stop.is_set():
                    rows = people(chance, self._rows_a_request, self.world)
                    asked = time.monotonic()
                    answer = client.post("/models/credit/predict", json={"rows": [self.world.written(row) for row in rows]})
                    self.answers.append(Answered(time.monotonic(), answer.status_code, answer.text, time.monotonic() - asked))
                    if answer.status_code == 200:
                        due = time.monotonic() + 0.2
                        given = zip(answer.json()["predictions"], rows, strict=True)
                        self._waiting.extend((due, one["id"], row) for one, row in given)
                    self._stop.wait(self._pause_s)

    def _tell(self) -> None:
        chance = np.random.default_rng(13)
        while not self._stop.wait(0.1):
            ready = []
            while self._waiting and self._waiting[0][0] <= time.monotonic():
                _, request, row = self._waiting.popleft()
                ready.append({"id": request, "value": good(chance, row, self.world)})
            if ready and self.world.labels:
                with contextlib.suppress(httpx.TransportError):
                    httpx.post(f"{self.up.url}/models/credit/labels", json={"labels": ready}, timeout=20)

    def asked(self, since_s: float) -> list[Answered]:
        """The requests that were answered in the last so many seconds."""
        return [one for one in list(self.answers) if one.at >= time.monotonic() - since_s]

    def share_ok(self, since_s: float) -> float:
        """Share of the requests of the last so many seconds that were answered well."""
        recent = self.asked(since_s)
        return sum(one.status == 200 for one in recent) / max(len(recent), 1)

    def share_slow(self, since_s: float, than_s: float) -> float:
        """Share of the requests of the last so many seconds that took longer than `than_s`."""
        recent = self.asked(since_s)
        return sum(one.took_s > than_s for one in recent) / max(len(recent), 1)

    def incident(self, mode: str, *states: IncidentState, within_s: float = 180.0) -> IncidentRow:
        """Wait for an incident of this mode in one of these states (any that is not over)."""

        def look() -> IncidentRow | None:
            rows = [row for row in self.project.rows(INCIDENTS) if row.failure_mode == mode]
            return next((row for row in rows if (row.state in states if states else row.state != IncidentState.CLOSED)), None)

        return self.wait(look, f"no incident {mode} {states}", within_s)

    def wait(self, look: Callable[[], Found], why: str, within_s: float = 180.0) -> Found:
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

    def quiet_of(self, mode: str) -> None:
        """Of this there has been nothing."""
        assert not [row for row in self.project.rows(INCIDENTS) if row.failure_mode == mode], self.told()

    def quiet(self) -> None:
        """Nothing is wrong, and nothing was."""
        assert self.project.rows(INCIDENTS) == [], self.told()

    def told(self) -> str:
        """What alerts and incidents say, for a test that failed."""
        alerts = [
            f"{row.key} {row.state} {row.finding.severity} {row.finding.standing}: {row.finding.why}" for row in self.project.rows(ALERTS)
        ]
        heard = self._type(self.project, "monitor", "credit")
        incidents = [str(row) for row in self.project.rows(INCIDENTS)]
        return "\n".join([f"it is {_stamp(self._now())}", *alerts, *incidents, *heard[1:], self.project.output("control")[-2000:]])

    def fired(self, monitor: str) -> list[AlertRow | AlertMoved]:
        """The alerts of a monitor that fired, from the ledger."""
        return [event for event in self.project.events(AlertMoved) if event.monitor == monitor and event.target == AlertState.FIRING]

    def typed(self, *arguments: str) -> str:
        """What a person gets to read who types that."""
        code, out, err = self._type(self.project, *arguments)
        assert code == 0, out + err
        return out

    def acknowledged(self, incident: IncidentRow) -> None:
        """A person says that somebody is on it."""
        self.typed("incidents", "ack", incident.incident, "--reason", "looking")
        assert self.project.row(INCIDENTS, incident.incident).taken_by

    def recovered(self, incident: IncidentRow, within_s: float = 180.0) -> None:
        """The recovery is measured, a person acknowledges and reviews, and the incident is closed by what is measured, not by the person."""
        if not self.project.row(INCIDENTS, incident.incident).taken_by:
            self.acknowledged(incident)
        self.incident(incident.failure_mode, IncidentState.MITIGATED, within_s=within_s)
        self.typed("incidents", "review", incident.incident, "--text", "what broke, and what will keep it from breaking")
        self.wait(lambda: self.project.row(INCIDENTS, incident.incident).state == IncidentState.CLOSED, "it is not closed", within_s)


def _stamp(at: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(at)) + f".{int(at % 1 * 1000):03d}Z"
