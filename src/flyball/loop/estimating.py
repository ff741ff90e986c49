"""Estimates how good each champion is without waiting for labels, beside the loop: once a day, one model at a time, in a child that stands back.

What it finds is an event, and counts in no decision but through it: a warning at most, never a page, a roll-back or a gate.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from zlib import crc32

from flyball.clock import Instant, Span
from flyball.data.erasures import present
from flyball.declare.live import label_delay
from flyball.declare.model import Model
from flyball.errors import Unavailable
from flyball.evaluation.counts_answered import DAY
from flyball.loop.aside import Aside
from flyball.loop.children import Unforeseen
from flyball.loop.domain_child import Answer, Task
from flyball.loop.estimates import NoteEstimate, decide_note_estimate
from flyball.loop.memory import load
from flyball.loop.ports import Ports
from flyball.monitoring import estimates
from flyball.monitoring.answered import within
from flyball.monitoring.state import MonitorState
from flyball.records.base import State
from flyball.records.declarations import DECLARATIONS
from flyball.records.serving import SegmentRow
from flyball.records.training import RUNS, RunResult
from flyball.records.unlabelled import ESTIMATES, Expected, Kept, PerformanceEstimated, ToldApart
from flyball.records.versions import MODELS, VERSIONS, VersionRow

ACTOR = "loop"

AFTER = Span.parse("5m")
"""How long after midnight a day is taken for counted."""


@dataclass(frozen=True)
class Due:
    """A model whose window is over: what is known of it by counts, and what the child is asked."""

    model: Model
    version: VersionRow
    result: RunResult
    kept: MonitorState
    since: Instant
    until: Instant
    task: Task | None
    unseen: str = ""

    @property
    def key(self) -> str:
        """By what it is left alone."""
        return self.model.name


class Estimating(Aside[Due, PerformanceEstimated]):
    """Estimates one model at a time."""

    name = "estimate"
    monitor = estimates.ESTIMATED
    rest = Span.parse("1m")

    def __init__(self, log: Path, blobs: Path, sealed: Callable[[], Iterable[SegmentRow]], *, on: bool = True) -> None:
        """log, blobs: folders; sealed: the segments that became Parquet; on: whether anything is estimated at all."""
        super().__init__()
        self._log, self._blobs, self._sealed, self._on = log, blobs, sealed, on
        self._done: dict[str, tuple[str, Instant]] = {}
        """By model: the version and window of which there is nothing more to tell."""

    def _keep(self, ports: Ports, made: PerformanceEstimated) -> None:
        command = NoteEstimate(id=ports.clock.new_id("cmd"), actor=ACTOR, made=made)
        self._done[made.model] = (made.version, made.until)
        if decide_note_estimate(ports.ledger.state(), command, ports.clock.now()):
            ports.ledger.execute(command, decide_note_estimate)

    def _due(self, ports: Ports, now: Instant) -> Iterator[Due]:
        if not self._on:
            return
        state, counted = ports.ledger.state(), None
        until = (now - int(AFTER)) // DAY * DAY
        for name, declared in state.scan(DECLARATIONS):
            roles, before = state.get(MODELS, name), state.get(ESTIMATES, name)
            version = state.get(VERSIONS, f"{name}/{roles.champion}") if roles is not None and roles.champion else None
            if version is None or self._left(name, now) or self._done.get(name) == (version.version, until):
                continue
            counted = counted or load(ports.memory)
            kept = counted.monitor(name)
            since = estimates.begins(kept.released_at, until)
            told = before is not None and before.newest.version == version.version and before.newest.until >= until
            if told or kept.version != version.version or not within(kept.answered, version.version, since, until).n:
                self._done[name] = (version.version, until)
                continue
            yield self._about(ports, state, ports.library.model(declared.body), version, kept, since, until)

    def _about(
        self, ports: Ports, state: State, model: Model, version: VersionRow, kept: MonitorState, since: Instant, until: Instant
    ) -> Due:
        result = ports.library.result(version.result)
        run, unseen = state.get(RUNS, version.run), ""
        task = None
        columns: dict[str, str] = {own.column: own.kind for own in ports.library.bins(result.reference) if own.column != "prediction"}
        if run is None or not columns or model.data.name not in version.data:
            unseen = "the rows that the version was judged on are not kept here, or none of their columns is watched"
        else:
            spec = ports.library.spec(run.spec)
            task = Task(
                version=f"{model.name}@{version.version}",
                since=since,
                until=until,
                columns=columns,
                declaration=spec.declaration,
                content=present(state, model.data.name, version.data[model.data.name]),
                as_of=spec.as_of,
                holdout_rows=result.holdout_rows,
                log=str(self._log),
                blobs=str(self._blobs),
                sealed=tuple(row for row in self._sealed() if row.last >= since),
                seed=_seed(version, until),
            )
        return Due(model, version, result, kept, since, until, task, unseen)

    def _look(self, due: Due, ports: Ports, now: Instant) -> PerformanceEstimated:
        answer = Answer(why=due.unseen) if due.task is None else self._compare(due.task)
        row = ports.ledger.state().get(ESTIMATES, due.model.name)
        past = row.past if row is not None and row.newest.version == due.version.version else ()
        return made_of(due, answer, past, ports.library.expected(due.result.expected), now=now)

    def _compare(self, task: Task) -> Answer:
        """What the child finds; why nothing, where it ended otherwise than it should."""
        try:
            return self._child.ask("flyball.loop.domain_child", task, Answer, failed="rows are not compared")
        except Unavailable as error:
            if isinstance(error, Unforeseen):
                # what counts tell is estimated all the same
                self._unforeseen = error
            return Answer(why=error.why)


def _seed(version: VersionRow, until: Instant) -> int:
    """The same look again draws the same samples."""
    return crc32(f"{version.model}/{version.version}/{until}".encode())


def made_of(due: Due, answer: Answer, past: tuple[Kept, ...], expected: Expected, *, now: Instant) -> PerformanceEstimated:
    """The event: an estimate, or why there is none."""
    version, kept = due.version.version, due.kept
    answers = within(kept.answered, version, due.since, due.until)
    delay = label_delay(due.model)
    metric = estimates.metric_of(due.model)
    found, level, own, refused = estimates.estimated(expected, answers, metric=metric, seed=_seed(due.version, due.until))
    outside, judged = estimates.confronted(past, kept.answered, version, delay=delay, now=now)
    refused = refused or estimates.refused_by_rows(_low(answer.apart)) or estimates.refused_by_labels(outside, judged)
    return PerformanceEstimated(
        model=due.model.name,
        version=version,
        since=due.since,
        until=due.until,
        n=answers.n,
        nulls=answers.nulls,
        metric=metric,
        reference=due.result.expected,
        estimates={} if refused else found,
        level=level,
        refused=refused,
        blind=estimates.blind(due.model, kept.answered, version, now),
        apart=answer.apart,
        unseen=answer.why,
        outside=outside,
        confronted=judged,
        kept=Kept(metric=own[0], value=own[1], sd=own[2], n=answers.n, since=due.since, until=due.until) if own is not None else None,
    )


def _low(apart: ToldApart | None) -> float | None:
    return apart.auc.low if apart is not None else None
