"""Looks, once for each version that was trained, for the model's own answers in what it learned from; beside the loop, in a child that stands back.

The look is no part of the run: its result rests on blobs alone, and the log is none. What is found is an event on the version, and a ticket.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec

from flyball.clock import Instant, Span
from flyball.data.erasures import present
from flyball.errors import Corrupt, FlyballError, NotFound
from flyball.ledger.bounds import clipped, named
from flyball.loop.aside import LATER, Aside
from flyball.loop.asked import Log
from flyball.loop.broken import note_broken
from flyball.loop.feedback_child import Answering, Task
from flyball.loop.ports import Ports
from flyball.monitoring.feedback import FAILURE, OWN, feedback_findings
from flyball.records.alerts import ALERTS, AlertRow, AlertState, Finding
from flyball.records.base import Event, Record, State
from flyball.records.declarations import DECLARATIONS
from flyball.records.feedback import FEEDBACKS, FeedbackExamined
from flyball.records.serving import ROUTES, SegmentRow
from flyball.records.training import NO_ATTEMPTS, RUNS
from flyball.records.versions import MODELS, VERSIONS, VersionRow, VersionState

ACTOR: Final = "loop"

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


class Feedback(Aside[Task, FeedbackExamined]):
    """Looks at one version at a time."""

    name = "feedback"
    monitor = OWN

    def __init__(self, log: Path, blobs: Path, sealed: Callable[[], Iterable[SegmentRow]]) -> None:
        """log, blobs: folders; sealed: the segments that became Parquet."""
        super().__init__()
        self._log, self._blobs, self._sealed = log, blobs, sealed
        self._done: set[str] = set()

    def _keep(self, ports: Ports, made: FeedbackExamined) -> None:
        command = NoteFeedback(id=ports.clock.new_id("cmd"), actor=ACTOR, found=made)
        if decide_note_feedback(ports.ledger.state(), command, ports.clock.now()):
            ports.ledger.execute(command, decide_note_feedback)
        self._done.add(f"{made.model}/{made.version}")

    def _due(self, ports: Ports, now: Instant) -> Iterator[Task]:
        state = ports.ledger.state()
        for name, _ in state.scan(DECLARATIONS):
            roles = state.get(MODELS, name)
            key = f"{name}/{roles.newest}" if roles is not None and roles.newest else ""
            looked = not key or key in self._done or self._left(key, now)
            if looked or state.get(FEEDBACKS, key) is not None or state.get(ROUTES, name) is None:
                continue
            version = state.get(VERSIONS, key)
            try:
                task = self._about(ports, state, version, now) if version is not None else None
            except FlyballError:
                # what one model has lost, such as a blob, keeps no other from its turn
                self._leave(key, now + int(LATER))
                continue
            if task is not None:
                yield task
            else:
                note_broken(ports.memory, name, self.monitor, "")
                self._done.add(key)

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
            log=Log.at(self._log, self._sealed, since),
            blobs=str(self._blobs),
        )

    def _look(self, task: Task, _ports: Ports, _now: Instant) -> FeedbackExamined:
        failed = f"what {task.model}@{task.version} learned from was not looked at"
        return self._child.ask("flyball.loop.feedback_child", task, FeedbackExamined, failed=failed)


def _answering(ports: Ports, state: State, row: VersionRow) -> Answering | None:
    """None of a version that is deleted, or whose result cannot be read any more: what it may have learned by heart is not known."""
    run, evidence = state.get(RUNS, row.run), ""
    if row.state is not VersionState.DELETED:
        with suppress(NotFound, Corrupt):
            evidence = ports.library.result(row.result).evidence
    return Answering(version=row.version, as_of=run.as_of, evidence=evidence) if run is not None and evidence else None
