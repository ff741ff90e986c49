"""Looks, once for each version that was trained, for the model's own answers in what it learned from; beside the loop, in a child that stands back.

The look is no part of the run: its result rests on blobs alone, and the log is none. What is found is an event on the version, and a ticket.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Final

import msgspec

from flyball.clock import Instant, Span
from flyball.data.erasures import present
from flyball.errors import Corrupt, FlyballError, NotFound, Unavailable
from flyball.ledger.bounds import clipped, named
from flyball.loop import children
from flyball.loop.feedback_child import Answering, Task
from flyball.loop.ports import Ports
from flyball.monitoring.feedback import FAILURE, feedback_findings
from flyball.records import codec
from flyball.records.alerts import ALERTS, AlertRow, AlertState, Finding
from flyball.records.base import Event, Record, State
from flyball.records.declarations import DECLARATIONS
from flyball.records.feedback import FEEDBACKS, FeedbackExamined
from flyball.records.serving import ROUTES, SegmentRow
from flyball.records.training import NO_ATTEMPTS, RUNS
from flyball.records.versions import MODELS, VERSIONS, VersionRow, VersionState
from flyball.serving import wal

ACTOR: Final = "loop"

REST: Final = Span.parse("5s")
"""How far apart looks lie at what is due."""

LATER: Final = Span.parse("1h")
"""How long a version is left alone that could not be looked at."""

AGO: Final = Span.parse("100d")
"""How far back the log is read."""

MOST_COLUMNS: Final = 20
"""Columns that an event names."""


class NoteFeedback(Record, frozen=True):
    """Note what was found of what a version learned from."""

    id: str
    actor: str
    found: FeedbackExamined


def decide_note_feedback(state: State, command: NoteFeedback, _now: Instant) -> Sequence[Event]:
    """Once a version. Where the model had answered none of its rows, and nothing can be said of labels, there is nothing to note, but that an alert is
    over.
    """
    found = command.found
    key = f"{found.model}/{found.version}"
    told = found.answered or found.coverage or found.why or standing(state, found.model)
    if state.get(VERSIONS, key) is None or state.get(FEEDBACKS, key) is not None or not told:
        return ()
    columns = {named(name): share for name, share in list(found.columns.items())[:MOST_COLUMNS]}
    coverage = tuple(msgspec.structs.replace(one, answer=named(one.answer)) for one in found.coverage)
    return (msgspec.structs.replace(found, columns=columns, coverage=coverage, why=clipped(found.why)),)


def feedback_of(state: State, model: str) -> list[Finding]:
    """What is said of the model's newest version."""
    roles = state.get(MODELS, model)
    found = examined(state, model, roles.newest) if roles is not None and roles.newest else None
    return list(feedback_findings(found, standing(state, model)))


def standing(state: State, model: str) -> tuple[AlertRow, ...]:
    """The model's alerts of what versions learned from that are not over."""
    over = (AlertState.OK, AlertState.RESOLVED)
    return tuple(row for _, row in state.scan(ALERTS, f"{model}/") if row.finding.failure == FAILURE and row.state not in over)


def examined(state: State, model: str, version: str) -> FeedbackExamined | None:
    """What was found of a version; None where nothing was noted."""
    row = state.get(FEEDBACKS, f"{model}/{version}")
    return row.newest if row is not None else None


class Feedback:
    """One version at a time, in a thread. `step` is called with every pass of the loop and never waits for a disk."""

    def __init__(self, log: Path, blobs: Path, sealed: Callable[[], Iterable[SegmentRow]]) -> None:
        """log, blobs: folders; sealed: the segments that became Parquet."""
        self._log, self._blobs, self._sealed = log, blobs, sealed
        self._thread: threading.Thread | None = None
        self._made: FeedbackExamined | None = None
        self._failed: FlyballError | OSError | None = None
        self._child = children.Held()
        self._next: Instant = 0
        self._done: set[str] = set()
        self._rest: dict[str, Instant] = {}
        """Until when a version is left alone."""

    def step(self, ports: Ports, now: Instant) -> None:
        """Record what was found, and begin with the next version. Raises what a look raised, once."""
        if self._thread is not None and self._thread.is_alive():
            return
        self._settle(ports)
        if 0 <= self._next - now <= int(REST):
            return
        task = self._due(ports, now)
        if task is None:
            self._next = now + int(REST)
            return
        self._rest[f"{task.model}/{task.version}"] = now + int(LATER)
        self._thread = threading.Thread(target=partial(self._look, task), name="feedback", daemon=True)
        self._thread.start()

    def finish(self, ports: Ports, now: Instant) -> None:
        """Look at all that is due, and wait for it. Raises what a look raised."""
        while self._thread is not None:
            self._thread.join()
            self._next = 0
            self.step(ports, now)

    def stop(self) -> None:
        """End the child, if there is one: it would outlive this process."""
        self._child.kill()

    def _settle(self, ports: Ports) -> None:
        self._thread = None
        failed, self._failed = self._failed, None
        if failed is not None:
            raise failed
        made, self._made = self._made, None
        if made is not None:
            self._done.add(f"{made.model}/{made.version}")
            command = NoteFeedback(id=ports.clock.new_id("cmd"), actor=ACTOR, found=made)
            if decide_note_feedback(ports.ledger.state(), command, ports.clock.now()):
                ports.ledger.execute(command, decide_note_feedback)

    def _due(self, ports: Ports, now: Instant) -> Task | None:
        state = ports.ledger.state()
        for name, _ in state.scan(DECLARATIONS):
            roles = state.get(MODELS, name)
            key = f"{name}/{roles.newest}" if roles is not None and roles.newest else ""
            if (
                not key
                or key in self._done
                or 0 < self._rest.get(key, 0) - now <= int(LATER)
                or state.get(FEEDBACKS, key) is not None
                or state.get(ROUTES, name) is None
            ):
                continue
            version = state.get(VERSIONS, key)
            try:
                task = self._about(ports, state, version, now) if version is not None else None
            except FlyballError:
                # what one model has lost, such as a blob, keeps no other from its turn
                self._rest[key] = now + int(LATER)
                continue
            if task is not None:
                return task
            self._done.add(key)
        return None

    def _about(self, ports: Ports, state: State, version: VersionRow, now: Instant) -> Task | None:
        """What is to be looked at; None of a version that no run here has trained, or before which none had answered."""
        run = state.get(RUNS, version.run)
        if run is None or run.trigger in NO_ATTEMPTS:
            return None
        spec = ports.library.spec(run.spec)
        model = ports.library.model(spec.declaration)
        before = [row for _, row in state.scan(VERSIONS, f"{version.model}/") if row.version != version.version and row.result]
        if not before or model.data.name not in version.data:
            return None
        since = now - int(AGO)
        return Task(
            model=version.model,
            version=version.version,
            declaration=spec.declaration,
            content=present(state, model.data.name, version.data[model.data.name]),
            as_of=spec.as_of,
            since=since,
            answering=tuple(one for row in before if (one := _answering(ports, state, row)) is not None),
            log=str(self._log),
            blobs=str(self._blobs),
            # before what is sealed is asked: what is sealed between the two is missed, and not passed over
            listed=tuple((file.gateway, file.number) for file in wal.segments(self._log)),
            sealed=tuple(row for row in self._sealed() if row.last >= since),
        )

    def _look(self, task: Task) -> None:
        try:
            told, code = self._child.ask("flyball.loop.feedback_child", codec.encode(task))
            try:
                self._made = codec.decode(told, FeedbackExamined)
            except msgspec.MsgspecError as error:
                raise Unavailable(
                    f"what {task.model}@{task.version} learned from was not looked at", why=f"the process ended with {code}"
                ) from error
        except (FlyballError, OSError) as error:
            self._failed = error


def _answering(ports: Ports, state: State, row: VersionRow) -> Answering | None:
    """None of a version that is deleted, or whose result cannot be read any more: what it may have learned by heart is not known."""
    run, evidence = state.get(RUNS, row.run), ""
    if row.state is not VersionState.DELETED:
        with suppress(NotFound, Corrupt):
            evidence = ports.library.result(row.result).evidence
    return Answering(version=row.version, as_of=run.as_of, evidence=evidence) if run is not None and evidence else None
