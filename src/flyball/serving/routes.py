"""The routes reconciler: makes a desired route table true, and says when it is.

It only writes files and looks at them, so it may be called again at any moment, by any process that holds the project: workers are
asked for first, routed to when they are ready, and let go when every gateway has acknowledged a table without them.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from flyball.clock import Instant
from flyball.errors import Unavailable
from flyball.records import codec
from flyball.records.base import Record
from flyball.records.models import ModelRef
from flyball.records.serving import Arm, ModelRoute, RouteTable
from flyball.serving.layout import UNSAID, Layout, read_json, worker_name, write_atomically, write_json
from flyball.serving.limits import Limits
from flyball.serving.proofs import Proof, Proofs, unproven
from flyball.serving.table import EMPTY, Ack, RoutesFile, read_routes

ACK_S = 1.0
"""A gateway that has not acknowledged by then is killed: it may not go on routing by a table that is no longer true."""

WARM_S = Limits.warm_s
"""A worker that is neither ready nor failed by then counts as failed."""

MAKE_S = 900.0
"""The same where its environment may have to be made first."""


class InForce(Record, frozen=True):
    """What the gateways route by. `epoch` is 0 until all have acknowledged all of the newest desired table that can be routed to.

    The models in `waiting` keep the route they had: a worker of theirs is not ready. `ms` = last acknowledgement − decision, on one
    monotonic clock; `failed` maps versions (`model@1.2.0`) to why they cannot be served.
    """

    epoch: int = 0
    ms: float = 0.0
    processes: int = 0
    waiting: tuple[str, ...] = ()
    failed: dict[str, str] = msgspec.field(default_factory=dict)


def arms(table: RouteTable) -> dict[str, tuple[str, str]]:
    """Every worker that a table needs: name → (ref, artifact)."""
    return {
        worker_name(ref, arm.artifact): (ref, arm.artifact)
        for model, route in table.models.items()
        for arm in (*route.arms, *route.shadows, *route.warm)
        for ref in (str(ModelRef(model=model, version=arm.version)),)
    }


def admit(desired: RouteTable, current: RouteTable, ready: Mapping[str, bool]) -> tuple[RouteTable, tuple[str, ...]]:
    """The part of `desired` that may be routed to now, and the models that wait for a worker. Pure.

    A model whose every arm is ready gets its desired route; one that waits, or whose signature could not be read, keeps the route it has, if any. Without arms
    nobody is to be asked: then it has none, and is waited for until its worker is ready all the same.
    """
    models: dict[str, ModelRoute] = {}
    waiting: list[str] = []
    for model, route in desired.models.items():
        if not route.signature_of and all(ready.get(_name(model, arm), False) for arm in (*route.arms, *route.shadows)):
            if route.arms:
                models[model] = route
        else:
            waiting.append(model)
            if route.arms and model in current.models:
                models[model] = current.models[model]
    return RouteTable(epoch=desired.epoch, models=models, elsewhere=desired.elsewhere), tuple(waiting)


def _starting(desired: RouteTable, admitted: RouteTable) -> dict[str, str]:
    """The models that are desired and have no route at all yet, with the worker of the version that is to answer by default. Pure."""
    return {model: _name(model, route.arms[0]) for model, route in desired.models.items() if model not in admitted.models and route.arms}


def _changed(before: Mapping[str, ModelRoute], now: Mapping[str, ModelRoute]) -> list[str]:
    return [model for model in {**before, **now} if before.get(model) != now.get(model)]


def _name(model: str, arm: Arm) -> str:
    return worker_name(str(ModelRef(model=model, version=arm.version)), arm.artifact)


class FileRoutes:
    """The reconciler over one project's files. `desire` is called each tick and costs a few stats when nothing is to be done."""

    def __init__(self, root: Path, *, own_environments: bool = False) -> None:
        """own_environments: whether each worker runs in an environment that is made from its version's lock."""
        self._layout = Layout(root)
        self._own = own_environments
        self._layout.prepare()
        self._desired: RouteTable | None = None
        self._decided_ns: dict[str, int] = {}
        self._since_ns = 0
        self._asked_at: dict[str, float] = {}
        self._been_ready: set[str] = set()
        self._failed: dict[str, str] = {}
        self._proofs: dict[str, Proof] = {}
        self._waiting: tuple[str, ...] = ()
        self._leaving: dict[str, tuple[str, str]] = {}
        self._mark = (0, 0)
        self._written_at = 0.0
        self._unacknowledged_ns = 0
        self._file = self._read()
        self._admitted = self._file.table
        self._killed: set[int] = set()

    def desire(self, table: RouteTable, since: Instant, proofs: Proofs = unproven) -> None:
        """Take a step towards `table`, decided at `since` (µs), whose versions `proofs` proves. Never waits.

        Raises Unavailable when the disk refuses.
        """
        try:
            self._step(table, since, proofs)
        except OSError as problem:
            why = f"{problem.filename or self._layout.run}: {problem.strerror}"
            raise Unavailable(
                "the routes cannot be written", why=why, fix="make room on the disk; gateways go on with the routes they have"
            ) from None

    def _step(self, table: RouteTable, since: Instant, proofs: Proofs) -> None:
        if self._mark != self._on_disk():
            # another process of this project (`flyball tick`) has written since
            self._file = self._read()
        if self._desired is None or table != self._desired:
            self._decide(table, since)
        needed = {**self._leaving, **arms(self._file.table), **arms(table)}
        self._want(needed, proofs)
        self._admitted, self._waiting = admit(table, self._file.table, self._look(needed))
        starting = _starting(table, self._admitted)
        if (self._admitted, starting) != (self._file.table, self._file.starting) or self._file.stamp == UNSAID:
            self._leaving.update(arms(self._file.table))
            self._measure(self._admitted)
            self._write(self._admitted, starting)
        elif self._leaving and self._acked() is not None:
            # no gateway routes to them any more; each ends when its last open question is answered
            self._leaving.clear()
        self._enforce()

    @property
    def models(self) -> frozenset[str]:
        """The models that the table on disk serves."""
        return frozenset(self._file.table.models)

    def status(self) -> InForce:
        """What is in force now."""
        acked = self._acked()
        if self._desired is None or acked is None or self._file.table != self._admitted:
            return InForce(waiting=self._waiting, failed=dict(self._failed))
        last = max((ack.monotonic_ns for ack in acked), default=0)
        ms = round(max(0.0, (last - self._since_ns) / 1e6), 3)
        return InForce(epoch=self._desired.epoch, ms=ms, processes=len(acked), waiting=self._waiting, failed=dict(self._failed))

    def _decide(self, table: RouteTable, since: Instant) -> None:
        """A new table is desired: note, for the models it changes, when."""
        before = self._desired.models if self._desired is not None else {}
        self._desired = table
        # the decision's wall time, told on the monotonic clock that the acknowledgements use
        self._since_ns = time.monotonic_ns() - max(0, time.time_ns() - since * 1000)
        self._decided_ns |= dict.fromkeys(_changed(before, table.models), self._since_ns)

    def _measure(self, admitted: RouteTable) -> None:
        """What is written now counts from the oldest of its decisions; what was not acknowledged yet counts on."""
        changed = _changed(self._file.table.models, admitted.models)
        moments = [self._decided_ns[model] for model in changed if model in self._decided_ns]
        if self._unacknowledged_ns and self._acked() is None:
            moments.append(self._unacknowledged_ns)
        # a write that only carries a new epoch has no decision of its own to be measured
        self._unacknowledged_ns = min(moments, default=0)
        self._since_ns = self._unacknowledged_ns or self._since_ns

    def _on_disk(self) -> tuple[int, int]:
        try:
            found = self._layout.routes.stat()
        except FileNotFoundError:
            return (0, 0)
        return (found.st_ino, found.st_mtime_ns)

    def _read(self) -> RoutesFile:
        self._mark = self._on_disk()
        self._written_at = time.monotonic()
        try:
            return read_routes(self._layout.routes.read_bytes())
        except FileNotFoundError:
            return EMPTY

    def _want(self, needed: Mapping[str, tuple[str, str]], proofs: Proofs) -> None:
        """Ask the supervisor for exactly these workers, and show each of them why it may load what it is to serve."""
        # a version is signed once, so a proof that was found does not change
        known = {name: self._proofs.get(name) or proofs(ref) for name, (ref, _) in needed.items()}
        self._proofs = {name: proof for name, proof in known.items() if proof.note}
        wanted = [
            {
                "ref": ref,
                "artifact": artifact,
                "note": known[name].note,
                "keys": list(known[name].keys),
                **({"own": True} if self._own else {}),
            }
            for name, (ref, artifact) in sorted(needed.items(), key=lambda one: one[1])
        ]
        if read_json(self._layout.wanted_workers) == wanted:
            return
        for name in needed:
            if name not in self._asked_at:
                # what an earlier attempt left behind says nothing about this one
                self._layout.failed(name).unlink(missing_ok=True)
        write_json(self._layout.wanted_workers, wanted)

    def _look(self, needed: Mapping[str, tuple[str, str]]) -> dict[str, bool]:
        """Which workers may be routed to. Once ready counts as ready: a crashed one is restarted, and gateways stand in for it."""
        now = time.monotonic()
        self._failed = {}
        for name in list(self._asked_at):
            if name not in needed:
                del self._asked_at[name]
                self._been_ready.discard(name)
        for name, (ref, _) in needed.items():
            asked = self._asked_at.setdefault(name, now)
            if self._layout.ready(name).exists():
                self._been_ready.add(name)
            if name in self._been_ready:
                continue
            failure = read_json(self._layout.failed(name))
            if isinstance(failure, dict):
                self._failed[ref] = str(failure.get("reason", "the worker ended"))
            elif now - asked > (patience := MAKE_S if self._own else WARM_S):
                self._failed[ref] = f"the worker was not ready after {patience:.0f} s"
        return {name: name in self._been_ready for name in needed}

    def _write(self, table: RouteTable, starting: dict[str, str]) -> None:
        file = RoutesFile(stamp=time.time_ns(), table=table, starting=starting)
        write_atomically(self._layout.routes, codec.encode(file))
        # only now: gateways cannot acknowledge what the disk has refused, and it is to be written again
        self._file = file
        self._mark = self._on_disk()
        self._written_at = time.monotonic()
        self._killed.clear()

    def _gateways(self) -> dict[str, int]:
        listed = read_json(self._layout.gateways)
        return {str(name): int(pid) for name, pid in listed["gateways"].items()} if isinstance(listed, dict) else {}

    def _ack(self, gateway: str) -> Ack | None:
        try:
            return codec.decode(self._layout.ack(gateway).read_bytes(), Ack)
        except (FileNotFoundError, msgspec.MsgspecError):
            return None

    def _acked(self) -> Sequence[Ack] | None:
        """Every gateway's acknowledgement of the table on disk, or None while one is missing (or there is no gateway)."""
        found: list[Ack] = []
        gateways = self._gateways()
        for name, pid in gateways.items():
            ack = self._ack(name)
            if ack is None or ack.stamp != self._file.stamp or ack.pid != pid:
                return None
            found.append(ack)
        return found or None

    def _enforce(self) -> None:
        """Kill gateways that go on without acknowledging: the supervisor starts them again, with the table on disk."""
        if time.monotonic() - self._written_at < ACK_S:
            return
        for name, pid in self._gateways().items():
            ack = self._ack(name)
            stale = pid > 0 and ack is not None and ack.pid == pid and ack.stamp != self._file.stamp
            if stale and pid not in self._killed:
                self._killed.add(pid)
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    continue
