"""Counts what answers brought, beside the loop: when an outcome's data set has news, and once a day; one model at a time, in a child that stands back.

Every day whose outcomes may still come, or be corrected, is counted anew from the log and the data sets as they are now; so rows that come late, twice or
corrected count as what they are. Counts are operational: what is decided by them is so through the alerts that they raise.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from flyball.clock import Instant, Span
from flyball.data.erasures import present
from flyball.declare.model import Model
from flyball.declare.outcomes import known_after, outcome_of
from flyball.errors import Unavailable
from flyball.evaluation.outcomes import DAY
from flyball.loop.aside import Aside
from flyball.loop.asked import Log
from flyball.loop.elsewhere import readable
from flyball.loop.memory import load, stored
from flyball.loop.outcomes_child import Answer, Source, Task, told
from flyball.loop.ports import Memory, Ports
from flyball.loop.watch import declared
from flyball.monitoring import outcomes as monitoring
from flyball.records import codec
from flyball.records.alerts import Finding
from flyball.records.base import State
from flyball.records.data import DATASETS
from flyball.records.declarations import DECLARATIONS
from flyball.records.outcomes import OutcomeCounts, OutcomeSeen, OutcomesKept
from flyball.records.rollouts import ROLLOUTS, RolloutRow
from flyball.records.serving import SegmentRow

OFTEN: Final = Span.parse("10m")
"""How far apart two counts of one model lie at least."""

REOPEN: Final = Span.parse("7d")
"""So long after its outcomes were due a day is still counted anew: rows come late, and are corrected."""

KEPT: Final = Span.parse("100d")
"""How long days are kept."""

COUNTED: Final = "business outcomes are counted"
"""What is told as broken where they cannot be."""

_OUTCOMES: Final = "outcomes/"


_MODELS: Final = 256
"""Of so many models what is kept stays decoded: each tick looks at it."""

_DECODED: Final[dict[str, tuple[bytes, OutcomesKept]]] = {}


def outcomes_kept(memory: Memory, model: str) -> OutcomesKept:
    """What is counted of a model's outcomes."""
    raw = memory.load(stored(_OUTCOMES + model))
    if raw is None:
        return OutcomesKept(model=model)
    known, raw = _DECODED.get(model), bytes(raw)
    if known is None or known[0] != raw:
        if len(_DECODED) >= _MODELS:
            _DECODED.clear()
        known = _DECODED[model] = (raw, codec.decode(raw, OutcomesKept))
    return known[1]


def outcomes_seen(memory: Memory, model: Model, version: str) -> tuple[OutcomeSeen, ...]:
    """All that is known of a model's outcomes, in the order in which they are declared."""
    if not model.outcomes:
        return ()
    kept = outcomes_kept(memory, model.name)
    return tuple(monitoring.seen(model, outcome, kept, version) for outcome in model.outcomes)


def outcomes_found(memory: Memory, model: Model, version: str, now: Instant) -> list[Finding]:
    """What the monitors of a model's outcomes say."""
    if not any(outcome_of(model, check) is not None for check in model.monitors):
        return []
    return list(monitoring.outcome_findings(model, outcomes_kept(memory, model.name), version, now))


@dataclass(frozen=True)
class _Due:
    model: Model
    kept: OutcomesKept
    digest: str
    task: Task

    @property
    def key(self) -> str:
        return self.model.name


class Outcomes(Aside[_Due, OutcomesKept]):
    """Counts one model's outcomes at a time."""

    name = "outcomes"
    monitor = COUNTED
    often = OFTEN

    def __init__(self, log: Path, blobs: Path, key: Path, sealed: Callable[[], Iterable[SegmentRow]]) -> None:
        """log, blobs: folders; key: the file with the secret under key hashes; sealed: the segments that became Parquet."""
        super().__init__()
        self._log, self._blobs, self._key, self._sealed = log, blobs, key, sealed

    def _keep(self, ports: Ports, made: OutcomesKept) -> None:
        ports.memory.save({stored(_OUTCOMES + made.model): codec.encode(made)})

    def _due(self, ports: Ports, now: Instant) -> Iterator[_Due]:
        state = ports.ledger.state()
        for name, row in state.scan(DECLARATIONS):
            model = readable(ports, row)
            sources = _sources(state, model, now) if model is not None else ()
            if model is None or not sources:
                continue
            kept, day = outcomes_kept(ports.memory, name), now // DAY
            asked = "/".join([row.body, str(day), *(f"{source.outcome}:{source.lies}" for source in sources)])
            digest = hashlib.sha256(asked.encode()).hexdigest()
            if digest == kept.digest or self._left(name, now) or now - kept.at < (int(OFTEN) if kept.at else 0):
                continue
            yield _Due(model, kept, digest, self._task(ports, state, model, row.body, sources, kept, now))

    def _task(
        self, ports: Ports, state: State, model: Model, body: str, sources: tuple[Source, ...], kept: OutcomesKept, now: Instant
    ) -> Task:
        longest = max(outcome.within + known_after(outcome) for outcome in model.outcomes)
        known = {(each.outcome, each.declared) for each in kept.counts}
        fresh = any((outcome.name, told(outcome)) not in known for outcome in model.outcomes)
        open_since = now - (int(KEPT) if fresh else longest + REOPEN)
        since = max(open_since, 0) // DAY * DAY
        near = load(ports.memory).monitor(model.name).at_release.get("mae")
        rollouts = tuple(row for _, row in state.scan(ROLLOUTS) if row.model == model.name and _dealt(row, since))
        reads = min([since, *(row.planned_at - 3 * longest for row in rollouts)]) - longest
        return Task(
            model=model.name,
            declaration=body,
            watch=declared(model),
            since=since,
            sources=sources,
            rollouts=rollouts,
            log=Log.at(self._log, self._sealed, reads),
            blobs=str(self._blobs),
            key=str(self._key),
            near=near.value if near is not None else None,
        )

    def _look(self, due: _Due, _ports: Ports, now: Instant) -> OutcomesKept:
        failed = f"outcomes of {due.model.name} are not counted"
        answer = self._child.ask("flyball.loop.outcomes_child", due.task, Answer, failed=failed)
        if answer.why:
            raise Unavailable(failed, why=answer.why)
        counts = tuple(_merged(each, due, now) for each in answer.counts)
        return OutcomesKept(model=due.model.name, at=now, digest=due.digest, counts=counts, share_of=answer.share_of)


def _sources(state: State, model: Model, now: Instant) -> tuple[Source, ...]:
    """Where the outcomes' rows lie, of those whose data sets were read by now."""
    found = []
    for outcome in model.outcomes:
        row = state.get(DATASETS, outcome.source.name)
        if row is not None and row.head is not None:
            lies = present(state, outcome.source.name, row.head.content)
            found.append(Source(outcome=outcome.name, content=row.head.content, lies=lies, reaches=min(row.head.as_of, now)))
    return tuple(found)


def _dealt(row: RolloutRow, since: Instant) -> bool:
    """Whether units may have been dealt in a rollout whose outcomes are still counted."""
    return any(0 < step.weight < 10_000 for step in row.steps) and bool(row.champion) and (not row.decided_at or row.decided_at >= since)


def _merged(found: OutcomeCounts, due: _Due, now: Instant) -> OutcomeCounts:
    before = monitoring.counts_of(due.kept, found.outcome)
    if before is None or before.declared != found.declared:
        return found
    trials = {trial.rollout: trial for trial in (*before.trials, *found.trials)}
    kept = tuple(trial for trial in trials.values() if trial.started >= now - KEPT)
    return msgspec.structs.replace(found, days=monitoring.merged(before.days, found.days, due.task.since, now, KEPT), trials=kept)
