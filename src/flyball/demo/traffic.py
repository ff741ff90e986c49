"""The bank at work: applications come in, the model is asked over HTTP, loans are granted, and what became of them is known later.

It sees what a bank sees: answers, and the outcome of the loans it granted. What it remembers of every request is the demo's measure of
quality; flyball itself is told no more than labels and the upstream job's files.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np

from flyball.clock import Instant
from flyball.demo.http import Connection
from flyball.demo.project import LABEL_DELAY_S, MODEL, Matured, write_rows
from flyball.demo.world import Application, Climate, applications
from flyball.errors import Unavailable

CUT_OFF = 0.5
"""A loan is granted when the chance of default is below."""

TRIED = 0.15
"""Share of refused applications that are granted all the same, so that it stays known what becomes of such loans."""

_TOLD_S = 0.5
"""Labels are sent so long after the answer: before the declared delay is over."""

_LANES = 16
_TURN_S = 0.02
_WAITING = 200
_FILE_S = 1.0


DueT = TypeVar("DueT")


class Asked(NamedTuple):
    """One request: when, what it came to, and what the bank learns of it. `right`: the answer came true (None: never known)."""

    number: int
    at: Instant
    status: int
    version: str
    latency_ms: float
    granted: bool
    right: bool | None
    defaulted: bool | None


@dataclass
class Bank:
    """Sends applications at `rate` a second to the gateways at `port` until `stop`. `climate` and `rate` may change at any time."""

    port: int
    root: Path
    chance: np.random.Generator
    rate: float
    climate: Callable[[Instant], Climate]
    asked: list[Asked] = field(default_factory=list)
    sent: int = 0
    answered: int = 0
    failed: int = 0
    labels: int = 0
    _files: int = 0
    _stopping: bool = False
    _queue: asyncio.Queue[Application] = field(default_factory=asyncio.Queue)
    _due_labels: deque[tuple[float, dict[str, Any]]] = field(default_factory=deque)
    _due_rows: deque[tuple[float, Matured]] = field(default_factory=deque)

    async def run(self) -> None:
        """Work until `stop`; then wait for open answers and send the labels that are due."""
        lanes = [asyncio.create_task(self._lane()) for _ in range(_LANES)]
        others = [asyncio.create_task(self._labels()), asyncio.create_task(self._upstream())]
        try:
            await self._arrivals()
            await asyncio.wait_for(self._queue.join(), 10.0)
        except TimeoutError:
            self.failed += self._queue.qsize()
        finally:
            await _end([*lanes, *others])

    def stop(self) -> None:
        """Send no more."""
        self._stopping = True

    async def _arrivals(self) -> None:
        last, owed = time.monotonic(), 0.0
        while not self._stopping:
            await asyncio.sleep(_TURN_S)
            now = time.monotonic()
            owed += (now - last) * self.rate
            due, last = int(owed), now
            owed -= due
            # a bank whose counter is full sends people away; it does not catch up later
            count = min(due, _WAITING - self._queue.qsize())
            if count > 0:
                for one in applications(self.chance, count, self.climate(_now()), first=self.sent):
                    self.sent += 1
                    self._queue.put_nowait(one)

    async def _lane(self) -> None:
        connection = Connection(self.port)
        try:
            while True:
                one = await self._queue.get()
                try:
                    await self._ask(connection, one)
                finally:
                    self._queue.task_done()
        finally:
            connection.close()

    async def _ask(self, connection: Connection, one: Application) -> None:
        at, began, number = _now(), time.perf_counter(), int(one.customer[1:])
        try:
            status, document = await connection.post(f"/models/{MODEL}/predict", {"row": one.row, "key": one.customer})
        except Unavailable:
            status, document = 0, {}
        latency_ms = (time.perf_counter() - began) * 1000
        if status != 200:
            self.failed += 1
            self.asked.append(Asked(number, at, status, "", latency_ms, granted=False, right=None, defaulted=None))
            return
        self.answered += 1
        prediction = document["predictions"][0]
        granted = prediction["score"] < CUT_OFF or self.chance.random() < TRIED
        defaulted = one.defaults if granted else None
        right = None if defaulted is None else bool(prediction["value"]) == defaulted
        self.asked.append(
            Asked(number, at, status, str(document["version"]), latency_ms, granted=granted, right=right, defaulted=defaulted)
        )
        now = time.monotonic()
        if defaulted is not None:
            self._due_labels.append((now + _TOLD_S, {"id": prediction["id"], "value": defaulted}))
        self._due_rows.append((now + LABEL_DELAY_S, Matured(one, at, defaulted)))

    async def _labels(self) -> None:
        connection = Connection(self.port)
        try:
            while True:
                await asyncio.sleep(0.05)
                due = _taken(self._due_labels)
                if due:
                    with contextlib.suppress(Unavailable):
                        _, document = await connection.post(f"/models/{MODEL}/labels", {"labels": due})
                        self.labels += int(document.get("accepted", 0))
        finally:
            connection.close()

    async def _upstream(self) -> None:
        """The upstream job: hands over files of applications whose outcome is known."""
        while True:
            await asyncio.sleep(_FILE_S)
            rows = _taken(self._due_rows)
            if rows:
                self._files += 1
                write_rows(self.root, f"day-{self._files:05d}", rows)


async def _end(tasks: Sequence[asyncio.Task[None]]) -> None:
    """Cancel until all are over: before Python 3.12 a cancellation that meets a `wait_for` as it finishes is lost."""
    while pending := [task for task in tasks if not task.done()]:
        for task in pending:
            task.cancel()
        await asyncio.wait(pending, timeout=0.2)


def _now() -> Instant:
    return time.time_ns() // 1000


def _taken(waiting: deque[tuple[float, DueT]]) -> list[DueT]:
    found: list[DueT] = []
    now = time.monotonic()
    while waiting and waiting[0][0] <= now:
        found.append(waiting.popleft()[1])
    return found


@dataclass(frozen=True)
class Seen:
    """What the bank saw of some requests. `quality`: share of answers that came true, of those whose outcome is known."""

    requests: int
    known: int
    quality: float
    default_rate: float
    granted: float
    p99_ms: float
    http_errors: int


def seen(asked: Iterable[Asked], since: Instant, until: Instant) -> Seen:
    """What the bank saw of requests in [since, until). Rates are 0 where nothing is known."""
    part = [one for one in asked if since <= one.at < until]
    known = [one for one in part if one.right is not None]
    latencies = sorted(one.latency_ms for one in part if one.status == 200)
    return Seen(
        requests=len(part),
        known=len(known),
        quality=sum(bool(one.right) for one in known) / max(len(known), 1),
        default_rate=sum(bool(one.defaulted) for one in known) / max(len(known), 1),
        granted=sum(one.granted for one in part) / max(len(part), 1),
        p99_ms=latencies[min(len(latencies) - 1, int(0.99 * len(latencies)))] if latencies else 0.0,
        http_errors=sum(one.status != 200 for one in part),
    )
