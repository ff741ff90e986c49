"""A model's life in virtual time: its world writes the prediction log as gateways do, and the loop looks, falls at any moment, and is made anew from the disk.

What outlives the loop is what outlives its process: the log, the ledger's database with what was counted, blobs, gateways' routes and jobs.
"""

from __future__ import annotations

import os
import struct
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal
from zlib import crc32

import msgspec
import numpy as np
import polars as pl
from numpy.typing import NDArray

from flyball.clock import Instant, VirtualClock
from flyball.data.commit import commit
from flyball.declare.policy import Rollout
from flyball.features.assemble import feature_columns
from flyball.ledger.ledger import SqlLedger
from flyball.loop import backtest
from flyball.loop import memory as memories
from flyball.loop.backtest import History
from flyball.loop.findings import SettleIncident, decide_settle, incidents_of
from flyball.loop.folds import FOLDS
from flyball.loop.ports import Ports
from flyball.loop.replay import ReplayData, ReplayLibrary, ReplayRoutes, ReplayRuns
from flyball.loop.tick import tick
from flyball.monitoring.state import MonitorState
from flyball.records.base import Recorded
from flyball.records.incidents import IncidentRow, IncidentState, Review
from flyball.serving import wal
from flyball.serving.evidence import LiveEvidence
from flyball.store.blobs import LocalBlobs
from flyball.store.operational import Operational
from flyball.store.sql import Database
from flyball.training.fitting import FitCache
from flyball.training.predictor import answers
from flyball.training.rows import assemble

from .year_worlds import DAY, START, World

_pack = msgspec.msgpack.Encoder().encode
_PREFIX = struct.Struct("<II")

LATE, NEVER, AGAIN = 0.02, 0.03, 0.01
"""Shares of labels that come after their row was judged, never, and twice."""

BROKEN = 0.002
"""The share of requests that the model does not answer."""

Integers, Flags = NDArray[np.int64], NDArray[np.bool_]


class Fallen(BaseException):
    """The process is no more: nothing may catch this."""


class Thread:
    """How many more calls of a port the loop lives; each port is reached through it."""

    def __init__(self) -> None:
        self.left: int | None = None
        self.before = True

    def spend(self, *, before: bool) -> None:
        """One call."""
        if self.left is None or before is not self.before:
            return
        self.left -= 1
        if self.left <= 0:
            self.left = None
            raise Fallen

    def through(self, port: Any) -> Any:
        """The port, which falls with the loop."""
        return _Through(port, self)


class _Through:
    def __init__(self, port: Any, thread: Thread) -> None:
        self._port, self._thread = port, thread

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._port, name)
        if not callable(found):
            return found

        def call(*args: Any, **kwargs: Any) -> Any:
            self._thread.spend(before=True)
            answer = found(*args, **kwargs)
            self._thread.spend(before=False)
            return answer

        return call


class Log:
    """The prediction log of one gateway in virtual time: a segment a week, and what lies in it was written when it says."""

    def __init__(self, folder: Path, version: str, names: list[str]) -> None:
        self._folder = folder / "log" / "g0"
        self._folder.mkdir(parents=True)
        self._version, self._names = version, names
        self._number = -1
        self._path = self._folder

    def write(self, frames: list[bytes], until: Instant) -> None:
        """Append what came up to `until`."""
        if (until - START) // (7 * DAY) > self._number:
            self._number = (until - START) // (7 * DAY)
            self._path = self._folder / f"{self._number:06d}.wal"
            body = _pack(wal.Header(gateway="g0", number=self._number, wall_ns=0, monotonic_ns=0))
            start = wal.MAGIC + _PREFIX.pack(len(body), crc32(body)) + body
            frames = [start, wal.signature_frame(self._version, self._names), *frames]
        if frames:
            with self._path.open("ab") as file:
                file.write(b"".join(frames))
        os.utime(self._path, ns=(until * 1000, until * 1000))


@dataclass
class Told:
    """What the world knows of itself: requests by day, and labels by the day in which their row was to be judged."""

    asked: Counter[int] = field(default_factory=Counter)
    judged: Counter[int] = field(default_factory=Counter)
    labelled: Counter[int] = field(default_factory=Counter)


class Callers:
    """Asks, answers and tells labels, day by day, into the log."""

    def __init__(self, world: World, predict: Callable[[pl.DataFrame], tuple[pl.Series, pl.Series]], log: Log, version: str) -> None:
        self._world, self._predict, self._log, self._version = world, predict, log, version
        self._times = np.empty(0, dtype=np.int64)
        self._frames: list[bytes] = []
        self._place = 0
        self._day = world.taught
        self._asked = 0
        self.told = Told()

    def until(self, now: Instant) -> None:
        """Everything that came up to `now` is in the log."""
        while START + self._day * DAY < now:
            self._live(self._day)
            self._day += 1
        end = int(np.searchsorted(self._times, now, side="right"))
        self._log.write(self._frames[self._place : end], now)
        self._place = end

    def _live(self, day: int) -> None:
        rows = self._world.rows(day)
        chance = np.random.default_rng([self._world.number, 4, day])
        at = rows["at"].cast(pl.Int64).to_numpy()
        ids = [f"{place:09d}" for place in range(self._asked, self._asked + rows.height)]
        self._asked += rows.height
        broken = chance.uniform(size=rows.height) < BROKEN
        asked = self._answered(rows, at, ids, broken, chance)
        moments, labels = self._labels(rows, at, ids, broken, chance)
        times = np.concatenate([self._times[self._place :], at, moments])
        frames = [*self._frames[self._place :], *asked, *labels]
        order = np.argsort(times, kind="stable")
        self._times, self._frames, self._place = times[order], [frames[place] for place in order.tolist()], 0

    def _answered(self, rows: pl.DataFrame, at: Integers, ids: list[str], broken: Flags, chance: np.random.Generator) -> list[bytes]:
        value, score = self._predict(rows)
        took = np.exp(chance.normal(np.log(8e6), 0.4, size=rows.height)).astype(np.int64)
        self.told.asked.update(((at - START) // DAY).tolist())
        columns = (at.tolist(), took.tolist(), broken.tolist(), rows.drop("at", "y").rows(), value.to_list(), score.to_list())
        return [
            wal.frame(
                "answer",
                request,
                picked_ns=picked * 1000,
                answered_ns=picked * 1000 + lasted,
                epoch=1,
                version=self._version,
                role="champion",
                status="error" if wrong else "ok",
                rows=1,
                packed_input=_pack([row]),
                packed_output=None if wrong else _pack([[answer, sure]]),
            )
            for request, picked, lasted, wrong, row, answer, sure in zip(ids, *columns, strict=True)
        ]

    def _labels(
        self, rows: pl.DataFrame, at: Integers, ids: list[str], broken: Flags, chance: np.random.Generator
    ) -> tuple[Integers, list[bytes]]:
        delay, n = int(self._world.delay), rows.height
        fate = chance.uniform(size=n)
        late, came = fate < LATE, (fate < LATE) | (fate >= LATE + NEVER)
        took = np.where(late, delay + 1 + chance.integers(DAY, size=n), (chance.beta(2, 2, size=n) * delay * 0.98).astype(np.int64))
        day = (at + delay - START) // DAY
        self.told.judged.update(day[~broken].tolist())
        self.told.labelled.update(day[~broken & came & ~late].tolist())
        twice = fate > 1 - AGAIN
        places = np.concatenate([np.flatnonzero(came), np.flatnonzero(twice)])
        moments = np.concatenate([(at + took)[came], (at + took)[twice] + 1])
        y, name = rows["y"].to_list(), self._world.name
        return moments, [
            wal.label_frame(name, ids[place], y[place], moment, now_ns=moment * 1000)
            for place, moment in zip(places.tolist(), moments.tolist(), strict=True)
        ]


class Life:
    """One model, its world and its loop."""

    def __init__(self, world: World, folder: Path) -> None:
        self.world, self._folder = world, folder
        past = pl.concat([world.rows(day) for day in range(world.taught)])
        self.model = world.model(past.head(1))
        self._clock = VirtualClock(world.begins)
        blobs = LocalBlobs(folder / "blobs")
        dataset = self.model.data
        history = History(
            {dataset.name: past.select(dataset.names)},
            assemble(self.model, {dataset.name: past.select(dataset.names)}, as_of=2**52),
            {dataset.name: commit(dataset, past.select(dataset.names), blobs, None, "made")},
        )
        # gateways and jobs go on without the loop
        self._routes = ReplayRoutes()
        self._runs = ReplayRuns(self.model, history.rows, history.frames, blobs, FitCache())
        self._data = ReplayData(history.versions)
        self.thread = Thread()
        self.fallen = 0
        self._open()
        backtest._declare(self.model.replace(gates=(), rollout=Rollout(), autonomy="act"), self.ports, "first")
        backtest._settle(world.begins, self.ports)
        backtest._check_first(world.name, self.ports)
        backtest._declare(self.model, self.ports, "policy")
        (arm,) = self._routes.table.models[world.name].arms
        version = f"{world.name}@{arm.version}"
        predictor = self._runs.predictors[arm.artifact]
        names = [name for name in past.columns if name not in ("at", "y")]

        def predict(rows: pl.DataFrame) -> tuple[pl.Series, pl.Series]:
            return answers(predictor.predict(rows.select(feature_columns(self.model))))

        self.callers = Callers(world, predict, Log(folder, version, names), version)

    def _open(self) -> None:
        """The loop as a new process makes it."""
        self._database = Database.open(self._folder / "ledger.db", durable=False)
        blobs, through = LocalBlobs(self._folder / "blobs"), self.thread.through
        self.ports = Ports(
            clock=self._clock,
            ledger=through(SqlLedger(self._database, FOLDS, self._clock, salts=bytes)),
            memory=through(Operational(self._database)),
            blobs=through(blobs),
            library=ReplayLibrary(blobs, self._runs),
            runs=through(self._runs),
            data=through(self._data),
            evidence=through(LiveEvidence(self._folder)),
            routes=through(self._routes),
            signer=backtest._signer,
        )

    def restart(self) -> None:
        """The loop's process ends, and another one begins."""
        self._database.close()
        memories.keeping.forget()
        self._open()

    def look(self, now: Instant, *, falls_after: int = 0, before: bool = True) -> None:
        """One look; or one that ends at its so-many-th call of a port, and another one by the next process."""
        self._clock.advance_to(now)
        self.callers.until(now)
        if falls_after:
            self.thread.left, self.thread.before = falls_after, before
            try:
                tick(now, self.ports)
            except Fallen:
                self.fallen += 1
            self.thread.left = None
            self.restart()
        tick(now, self.ports)

    def attend(self) -> None:
        """A person closes what woke them as a false alarm at once, and what nobody was woken for and still stands when its root cause is due; what is mitigated
        by itself is reviewed.
        """
        state, now = self.ports.ledger.state(), self._clock.now()
        for row in incidents_of(state, self.world.name):
            if row.state == IncidentState.CLOSED:
                continue
            if row.failure_mode == "concept_drift" or (row.state == IncidentState.OPEN and now > row.root_cause_by):
                self._settle(row, "resolve", "looked at: nothing was wrong")
            elif row.state == IncidentState.MITIGATED:
                self._settle(row, "review", "", Review(what="looked at: nothing was wrong"))

    def _settle(self, row: IncidentRow, verb: Literal["review", "resolve"], text: str, review: Review | None = None) -> None:
        # the same incident may come up again
        name = f"{verb}-{row.incident}-{max(row.opened_at, row.reopened_at, row.mitigated_at)}"
        command = SettleIncident(id=name, actor="user:ana", incident=row.incident, verb=verb, text=text, review=review)
        self.ports.ledger.execute(command, decide_settle)

    def events(self) -> Iterator[Recorded]:
        """All that was recorded."""
        return self.ports.ledger.read(0, self.ports.ledger.size())

    def counted(self) -> MonitorState:
        """What the loop has counted, as it is stored."""
        return memories.load(Operational(self._database)).monitor(self.world.name)

    def close(self) -> None:
        """Give the database back."""
        self._database.close()
