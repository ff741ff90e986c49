"""From checked rows to an answer that is in the log: pick, ask, stand in, record, resolve.

Every record of one read is appended with one write, and only then are the callers' futures resolved: answered ⊆ logged.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from flyball.errors import BadInput, FlyballError, Unavailable
from flyball.serving import wal
from flyball.serving.breaches import breaches
from flyball.serving.explain import Marks, field_of
from flyball.serving.ids import Ids
from flyball.serving.layout import Layout, read_json
from flyball.serving.limits import Limits
from flyball.serving.link import STARTING, UNREAD, Done, Link, NoAnswer, Outcome, Pending, Unanswerable, not_started
from flyball.serving.lists import item_id
from flyball.serving.metrics import Metrics
from flyball.serving.outcomes import record_of, status_of
from flyball.serving.predictions import Made, frames_of
from flyball.serving.problems import ModelError
from flyball.serving.table import EMPTY, Elsewhere, Served, Table, Target
from flyball.serving.tracing import Traces, asked_too, settled
from flyball.serving.validate import Request

_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(list[list[Any]]).decode


@dataclass(frozen=True, slots=True)
class Answer:
    """What a caller gets: `output` is one (value, score) a row. `versions` differ by row only where keys do. `marks` are those of the request."""

    served: Served
    request_id: str
    ids: list[str]
    versions: list[str]
    output: list[list[Any]]
    fallback: str
    logged: bool
    marks: list[Marks | None] | None = None


@dataclass(frozen=True, slots=True)
class _Unit:
    """Rows that one arm answers: those of one key, or the whole request."""

    request_id: str
    key: str | None
    rows: list[int] | None
    ids: list[str] | None


class Dispatcher:
    """The heart of one gateway. Everything runs on its event loop."""

    def __init__(
        self, layout: Layout, *, writer: wal.Writer, ids: Ids, metrics: Metrics, limits: Limits, traces: Traces | None = None
    ) -> None:
        """traces: None where nobody asked for any."""
        self._layout = layout
        self._writer = writer
        self._ids = ids
        self._metrics = metrics
        self._limits = limits
        self._traces = traces
        self._links: dict[str, Link] = {}
        self._leaving: list[Link] = []
        self._backlog: list[bytes] = []
        self.table = Table(EMPTY)
        self._was_ready = False

    async def apply(self, table: Table) -> None:
        """Route by `table` from now on, once its workers are connected (or have had their time)."""
        fresh = table.workers() - self._links.keys()
        for worker in fresh:
            link = self._links[worker] = Link(worker, self._layout.socket(worker), self._settle)
            link.start()
        # one that was connected and crashed is not waited for: it would hold up every change of every other model's route
        waiting = [asyncio.ensure_future(self._links[worker].up.wait()) for worker in fresh]
        if waiting:
            _, late = await asyncio.wait(waiting, timeout=self._limits.connect_s)
            for task in late:
                task.cancel()
        self.table = table
        for worker in self._links.keys() - table.workers():
            link = self._links.pop(worker)
            self._leaving.append(link)
            link.retire()

    def find(self, name: str) -> Served:
        """The model's route. Raises what `known` and `Table.find` raise."""
        return self.known(name).find(name)

    def known(self, name: str) -> Table:
        """The table, which knows this model or that there is none. Raises Unavailable where it has no route yet, or nobody here can know."""
        if name not in self.table.models and name not in self.table.elsewhere and (not self.table.known or name in self.table.starting):
            raise self._not_yet(name)
        return self.table

    def require_all(self) -> None:
        """Raise Unavailable unless every model that is to be served can answer; it names the first that cannot.

        Once all of them could, one that is released for the first time is waited for no more: nobody asks for it yet.
        """
        models, first = self.table.models.values(), next(iter(self.table.starting), "")
        if not (models or self.table.known) or (first and not self._was_ready):
            raise self._not_yet(first)
        for served in models:
            self.require(served)
        # that all of none could, or all of the last `up`, says nothing of those to come
        self._was_ready = self._was_ready or (self.table.known and bool(models))

    def require(self, served: Served) -> None:
        """Raise Unavailable unless the champion of the model can answer."""
        absence = self.absence(served)
        if absence is not None:
            raise _absent(served.name, absence)

    def _not_yet(self, name: str) -> Unavailable:
        worker = self.table.starting.get(name)
        return _absent(name, self._failed(worker) or STARTING) if worker else _absent(name, UNREAD)

    def absence(self, served: Served) -> NoAnswer | None:
        """Why nobody can answer: the champion's worker is not connected. None: it is."""
        if served.champion is None:
            return NoAnswer("no version of it answers", "try again shortly: flyball status shows what happens")
        return self._absence(served.champion)

    def sweep(self) -> None:
        """Settle what is overdue and write what waits for a write. Called some times a second."""
        now = time.monotonic_ns()
        for link in (*self._links.values(), *self._leaving):
            link.expire(now)
        self._leaving = [link for link in self._leaving if link.open or link.wishes]
        self.flush()

    def flush(self) -> None:
        """Write records that no answer waits for, and what the log still has to say of a full disk."""
        if self._backlog:
            frames, self._backlog = self._backlog, []
            self._writer.append(frames)
        self._writer.settle()

    def close(self) -> None:
        """Leave every worker."""
        self.flush()
        for link in (*self._links.values(), *self._leaving):
            link.close()

    async def predict(self, served: Served, request: Request, *, version: str = "", request_id: str = "", key: str | None = None) -> Answer:
        """Answer a checked request. Raises Unavailable, ModelError, and what `Served.pinned` raises."""
        pinned = served.pinned(version) if version else None
        if request.listed is not None:
            # all items of a list are shown to one caller
            sticky = None if served.sticky is None else str(request.rows[0][served.sticky])
            key = request.listed.key if request.listed.key is not None else sticky
        elif served.sticky is not None and request.keys is None and key is None:
            request = replace(request, keys=[str(row[served.sticky]) for row in request.rows])
        for own in request.marks or ():
            self._violated(served.name, own or {})
        units = self._units(request, request_id, key)
        if self._traces is not None:
            self._traces.describe(served.name, units[0].request_id, len(request.rows))
        picked_ns = time.monotonic_ns()
        if len(units) == 1:
            results = [await self._ask(served, request, units[0], pinned, picked_ns)]
        else:
            results = await asyncio.gather(*(self._ask(served, request, unit, pinned, picked_ns) for unit in units))
        self._metrics.observe(served.name, (time.monotonic_ns() - picked_ns) // 1000)
        for result in results:
            if result.error:
                raise failure(served, result)
        return self._assemble(served, request, request_id, units, results)

    def link(self, target: Target) -> Link:
        """The connection to a version's worker. Raises Unavailable where it is not there."""
        absence, link = self._absence(target), self._links.get(target.worker)
        if absence is not None or link is None:
            raise _absent(target.version, absence or STARTING)
        return link

    def forged(self, request_id: str) -> bool:
        """Whether an id claims to be ours and is not."""
        return self._ids.is_forged(request_id)

    def record(self, model: Elsewhere, made: Sequence[Made]) -> bool:
        """Append predictions that were made elsewhere. False: the disk is full, and none of them is in the log."""
        logged = self._writer.append(frames_of(model, made, self._writer, self._ids))
        for one in made if logged else ():
            self._metrics.count(model.name, one.version, "champion", "error" if one.error else "ok")
            self._violated(model.name, one.marks)
        return logged

    def label(self, model: str, frames: Sequence[bytes]) -> bool:
        """Append label frames. False: the disk is full."""
        logged = self._writer.append(frames)
        self._metrics.count(model, "", "label", "ok" if logged else "error", len(frames))
        return logged

    def refuse(self, model: str, error: FlyballError, fields: Sequence[str] = ()) -> None:
        """Record that a request for a served model was refused; it is written with the next write.

        fields: of its signature; each is counted as often as a problem of the error is of it.
        """
        self._metrics.count(model, "", "refused", error.code)
        now = time.monotonic_ns()
        marks: dict[str, Any] = {"why": error.code}
        broken = [name for problem in error.problems if (name := field_of(problem.where, fields))]
        if broken:
            marks["cv"] = [dict.fromkeys(broken, "refused")]
        if told := breaches(error.problems, fields):
            marks["br"] = told
        for name in broken:
            self._metrics.violated(model, name, "refused")
        self._backlog.append(
            wal.frame("refused", "", picked_ns=now, answered_ns=now, epoch=self.table.epoch, version=model, status="refused", marks=marks)
        )

    def _violated(self, model: str, marks: Marks) -> None:
        for name, action in marks.items():
            self._metrics.violated(model, name, action)

    def _units(self, request: Request, request_id: str, key: str | None) -> list[_Unit]:
        ids, keys = request.ids, request.keys
        if request.listed is not None:
            whole = request.listed.id or self._ids.new()
            return [_Unit(whole, key, None, [item_id(whole, item) for item in request.listed.items])]
        if len(request.rows) == 1:
            own = ids[0] if ids else request_id or self._ids.new()
            return [_Unit(own, keys[0] if keys else key, None, None)]
        whole = request_id or self._ids.new()
        if keys is None:
            return [_Unit(whole, key, None, ids)]
        row_ids = ids or [f"{whole}/{row}" for row in range(len(request.rows))]
        groups: dict[str, list[int]] = {}
        for row, one in enumerate(keys):
            groups.setdefault(one, []).append(row)
        return [_Unit(row_ids[rows[0]], one, rows, [row_ids[row] for row in rows]) for one, rows in groups.items()]

    async def _ask(self, served: Served, request: Request, unit: _Unit, pinned: Target | None, picked_ns: int) -> Outcome:
        key = unit.key
        if pinned is not None:
            target = pinned
        else:
            arm = served.picker.pick(unit.request_id if key is None else key)
            if arm is None:
                raise Unavailable(f"{served.name} has no version that answers", fix="try again shortly: flyball status shows what happens")
            target = served.targets[arm.version]
        rows = request.rows if unit.rows is None else [request.rows[row] for row in unit.rows]
        times = request.times if request.times is None or unit.rows is None else [request.times[row] for row in unit.rows]
        marks = served.marks if served.marks is not None and pinned is None and self._comparable(served) else None
        if unit.ids is not None or times is not None or request.marks is not None:
            marks = dict(marks or {})
            if request.marks is not None:
                marks["cv"] = request.marks if unit.rows is None else [request.marks[row] for row in unit.rows]
            if unit.ids is not None and (len(rows) > 1 or request.listed is not None):
                marks["ids"] = unit.ids
            if times is not None:
                marks["t"] = times
        pending = Pending(
            request_id=unit.request_id,
            served=served,
            target=target,
            role=target.arm.role,
            key_hash="" if key is None else self._ids.key_hash(key),
            rows=len(rows),
            packed=_pack(rows),
            times=times,
            marks=marks,
            picked_ns=picked_ns,
            deadline_ns=picked_ns + int((self._limits.answer_s if target is served.champion else self._limits.challenger_s) * 1e9),
            future=asyncio.get_running_loop().create_future(),
            pinned=pinned is not None,
            asking=None if self._traces is None else self._traces.ask(target.version, target.arm.role, len(rows)),
        )
        if served.route.answers == "fallback" and pinned is None and served.route.fallback is not None:
            return self._by_fallback(served, pending)
        self._send(pending)
        if served.shadows and pinned is None:
            self._shadow(served, pending)
        assert pending.future is not None
        return await pending.future

    def _by_fallback(self, served: Served, asked: Pending) -> Outcome:
        """The declared fallback answers. Whoever would have is asked unheard, in its own role: that it can answer again is to be seen."""
        output, record = self._fallback(asked, time.monotonic_ns())
        logged = self._writer.append([record])
        if not logged:
            self._metrics.unlogged += 1
        for target in (asked.target, *served.shadows):
            if target is asked.target or target.worker != asked.target.worker:
                self._ask_unheard(served, asked, target)
        return Outcome(asked.target, output, fallback="value", logged=logged)

    def _fallback(self, pending: Pending, now: int) -> tuple[bytes, bytes]:
        """The declared fallback for each row, and the record of it."""
        output = _pack([[pending.served.route.fallback, None]] * pending.rows)
        self._metrics.count(pending.served.name, pending.target.arm.version, pending.role, "fallback")
        marks = {**(pending.marks or {}), "fb": "value"}
        return output, record_of("answer", pending, now, status="fallback", output=output, marks=marks)

    def _shadow(self, served: Served, asked: Pending) -> None:
        """Fire and forget: the same question to every shadow, unless its queue is full."""
        for target in served.shadows:
            if target.worker != asked.target.worker:
                self._ask_unheard(served, asked, target)

    def _ask_unheard(self, served: Served, asked: Pending, target: Target) -> None:
        link = self._links.get(target.worker)
        copy = Pending(
            request_id=asked.request_id,
            served=served,
            target=target,
            role=target.arm.role,
            key_hash=asked.key_hash,
            rows=asked.rows,
            packed=asked.packed,
            times=asked.times,
            marks=asked.marks,
            picked_ns=asked.picked_ns,
            deadline_ns=asked.picked_ns + int(self._limits.answer_s * 1e9),
            future=None,
            asking=asked_too(self._traces, asked.asking, target.version, target.arm.role, asked.rows),
        )
        if link is None or link.open >= self._limits.shadow_queue or not link.ask(copy):
            settled(self._traces, copy.asking, "its queue is full, or it is not there")
            self._metrics.count(served.name, target.arm.version, target.arm.role, "dropped")
            self._backlog.append(record_of("shadow_dropped", copy, time.monotonic_ns(), status="dropped", marks=copy.marks))

    def _settle(self, done: list[Done]) -> None:
        """Log everything that one read brought with one write, then let the callers go on."""
        now = time.monotonic_ns()
        frames, self._backlog = self._backlog, []
        outcomes: list[tuple[Pending, Outcome]] = []
        again: list[Pending] = []
        writer = self._writer
        for one in done:
            pending, error = one.pending, one.error
            settled(self._traces, pending.asking, error)
            version = pending.target.version
            if not writer.knows(version):
                frames.append(writer.declare(version, pending.served.names))
            if one.vectors:
                frames += writer.declare_views(one.views)
            status = status_of(pending, error)
            outcome: Outcome | None
            instead: Pending | None
            try:
                records, outcome, instead = self._conclude(one, now)
            except (ValueError, TypeError, OverflowError, RecursionError) as problem:
                # what one caller sent keeps none of the others of this read from an answer
                records, instead, status = [], None, "error"
                outcome = Outcome(pending.target, b"", error=f"its record cannot be written: {problem}")
            frames += records
            if pending.future is not None and outcome is not None:
                outcomes.append((pending, outcome))
            if instead is not None:
                again.append(instead)
            if status != "refused":
                self._metrics.count(pending.served.name, pending.target.arm.version, pending.role, status)
            elif outcome is not None:
                self.refuse(pending.served.name, failure(pending.served, outcome))
        logged = not frames or writer.append(frames)
        if not logged:
            self._metrics.unlogged += len(outcomes)
        for pending, outcome in outcomes:
            if pending.future is not None and not pending.future.done():
                pending.future.set_result(
                    outcome if logged else Outcome(outcome.target, outcome.output, outcome.error, outcome.fallback, logged=False)
                )
        for pending in again:
            self._send(pending)

    def _conclude(self, done: Done, now: int) -> tuple[list[bytes], Outcome | None, Pending | None]:
        """What one reply comes to: its records, the outcome if there is one already, the question to ask instead."""
        pending, error, output = done.pending, done.error, done.output
        kind: wal.Kind = "answer" if pending.future is not None else "shadow"
        if error is None:
            outcome = Outcome(pending.target, output, fallback="champion" if pending.stood_in else "")
            return [record_of(kind, pending, now, output=output, marks=pending.marks, vectors=done.vectors)], outcome, None
        status = status_of(pending, error)
        if status == "dropped":
            return [record_of("shadow_dropped", pending, now, status="dropped", marks=pending.marks)], None, None
        if status == "refused":
            # no error of the version's: a caller's questions must not be what a rollout is judged by
            instead = self._champion_for(pending, now)
            return [], None if instead is not None else Outcome(pending.target, b"", error=error), instead
        record = record_of(kind, pending, now, status="error", marks={**(pending.marks or {}), "why": error[:500]})
        if pending.future is None:
            return [record], None, None
        rescued, instead, more = self._rescue(pending, error, now)
        return [record] if more is None else [record, more], rescued, instead

    def _send(self, pending: Pending) -> None:
        link = self._links.get(pending.target.worker)
        if link is None or not link.ask(pending):
            # one that has just been lost is not connected either
            self._settle([Done(pending, self._absence(pending.target) or STARTING)])

    def _absence(self, target: Target) -> NoAnswer | None:
        """Why a version's worker is not there; None: it is."""
        link = self._links.get(target.worker)
        if link is not None and link.up.is_set():
            return None
        return self._failed(target.worker) or (STARTING if link is None else link.absence)

    def _comparable(self, served: Served) -> bool:
        """Whether requests say something about the rollout: not while a worker of the route starts, as all do after a restart of `up`.

        To miss it then is no error of its version. What the other version does meanwhile has nothing to be compared with, so that it does not
        count either. A worker that was here and is gone, that could not start, or that has had its time speaks against its version.
        """
        for target in (*served.targets.values(), *served.shadows):
            link = self._links.get(target.worker)
            if (link is None or link.starting(self._limits.warm_s)) and self._failed(target.worker) is None:
                return False
        return True

    def _failed(self, worker: str) -> NoAnswer | None:
        """Why a worker could not start, where it could not."""
        failure = read_json(self._layout.failed(worker))
        return not_started(str(failure.get("reason", ""))) if isinstance(failure, dict) else None

    def _rescue(self, pending: Pending, error: str, now: int) -> tuple[Outcome | None, Pending | None, bytes | None]:
        """An arm failed: the champion stands in for a challenger, the declared fallback for a champion, else the error is told.

        Gives the outcome, if there is one already; the question to ask instead; the record to add.
        """
        served = pending.served
        instead = self._champion_for(pending, now)
        if instead is not None:
            return None, instead, None
        if served.route.fallback is not None:
            output, record = self._fallback(pending, now)
            return Outcome(pending.target, output, fallback="value"), None, record
        return Outcome(pending.target, b"", error=error), None, None

    def _champion_for(self, pending: Pending, now: int) -> Pending | None:
        """The question, for the champion that stands in for a challenger; None: there is nobody else to ask."""
        champion = pending.served.champion
        if champion is None or pending.target is champion or pending.pinned:
            return None
        marks = {**(pending.marks or {}), "fb": "champion"}
        limit_ns = now + int(self._limits.answer_s * 1e9)
        asking = asked_too(self._traces, pending.asking, champion.version, champion.arm.role, pending.rows)
        return replace(pending, target=champion, role=champion.arm.role, marks=marks, deadline_ns=limit_ns, stood_in=True, asking=asking)

    def _assemble(self, served: Served, request: Request, request_id: str, units: list[_Unit], results: list[Outcome]) -> Answer:
        if len(units) == 1:
            unit, result = units[0], results[0]
            output = _unpack(result.output)
            count = len(output)
            ids = (unit.ids if request.listed else request.ids) or (
                [unit.request_id] if count == 1 else [f"{unit.request_id}/{row}" for row in range(count)]
            )
            versions = [result.target.arm.version] * count
            return Answer(served, unit.request_id, ids, versions, output, result.fallback, result.logged, request.marks)
        count = len(request.rows)
        placed: list[list[Any]] = [[]] * count
        ids, versions = [""] * count, [""] * count
        for unit, result in zip(units, results, strict=True):
            for row, row_id, value in zip(unit.rows or (), unit.ids or (), _unpack(result.output), strict=True):
                placed[row], ids[row], versions[row] = value, row_id, result.target.arm.version
        fallback = next((result.fallback for result in results if result.fallback), "")
        logged = all(result.logged for result in results)
        return Answer(served, request_id or ids[0], ids, versions, placed, fallback, logged, request.marks)


def _absent(name: str, absence: NoAnswer) -> Unavailable:
    """What a caller is told of a model that cannot answer; without a name, of whichever there are."""
    what = f"{name[:80]} does not answer yet" if name else "no model answers yet"
    return Unavailable(what, why=str(absence), fix=absence.fix, retry_after=absence.retry_after)


def failure(served: Served, result: Outcome) -> FlyballError:
    """The error a caller is told when nobody could answer."""
    what = f"{result.target.version} could not answer"
    if isinstance(result.error, Unanswerable):
        return BadInput(result.error, why=result.error.why, fix=result.error.fix, code=result.error.code)
    if isinstance(result.error, NoAnswer):
        error = result.error
        return Unavailable(what, why=str(error), fix=error.fix, code=error.code, retry_after=error.retry_after)
    return ModelError(
        what, why=result.error, fix=f"check the row against GET /models/{served.name}/schema; the model's owner sees this error in the log"
    )
