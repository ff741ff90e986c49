"""How run events change the projections."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import msgspec

from flyball.errors import Conflict
from flyball.records.base import Event, Fold, Projection, Recorded
from flyball.records.declarations import DECLARATIONS
from flyball.records.training import (
    NO_ATTEMPTS,
    RUNS,
    RunCancelled,
    RunFailed,
    RunLost,
    RunQueued,
    RunRow,
    RunStarted,
    RunState,
    RunSucceeded,
    put_run,
)
from flyball.records.versions import MODELS, MOST_JUDGINGS, VERSIONS, ModelRow
from flyball.training.states import move


def fold_queued(projection: Projection, recorded: Recorded) -> None:
    """A new run; it is the model's last attempt, and the declaration in effect is being trained."""
    event = recorded.event
    assert isinstance(event, RunQueued)
    if projection.get(RUNS, event.run) is not None:
        raise Conflict(f"{event.run} is queued already", why="a run's id is used once", fix="take a new id")
    declared = projection.get(DECLARATIONS, event.model)
    model = projection.get(MODELS, event.model) or ModelRow(model=event.model)
    row = RunRow(
        run=event.run,
        model=event.model,
        trigger=event.trigger,
        reason=event.reason,
        spec=event.spec,
        release=event.release,
        state=RunState.QUEUED,
        queued_at=recorded.at,
        by=recorded.actor,
        declared_by=tuple(sorted({declared.version_by, declared.policy_by, declared.gates_by} - {""})) if declared else (),
        declaration=event.declaration,
        version_digest=event.version_digest,
        data=event.data,
        as_of=event.as_of,
        judges=event.candidate_version,
        commit=event.commit,
        after=model.last_run,
    )
    put_run(projection, row)
    judged = projection.get(VERSIONS, f"{event.model}/{event.candidate_version}") if event.candidate_version else None
    if judged is not None:
        gates, failures = event.gates_digest, judged.failures if judged.failing == event.gates_digest else 0
        begun = msgspec.structs.replace(judged, tried=gates, failing=gates, failures=failures)
        projection.put(VERSIONS, f"{event.model}/{judged.version}", begun)
    if event.trigger in NO_ATTEMPTS:
        # judging or making again is no attempt at training: no cool-down begins
        projection.put(MODELS, event.model, msgspec.structs.replace(model, last_run=event.run))
        return
    digest = declared.version_digest if declared else model.trained_digest
    tried = msgspec.structs.replace(model, last_run=event.run, last_attempt_at=recorded.at, trained_digest=digest)
    projection.put(MODELS, event.model, tried)


def fold_started(projection: Projection, recorded: Recorded) -> None:
    """An attempt runs."""
    event = recorded.event
    assert isinstance(event, RunStarted)
    row = _row(projection, event.run)
    put_run(projection, msgspec.structs.replace(row, state=move(row.run, row.state, RunState.RUNNING), attempt=event.attempt))


def fold_succeeded(projection: Projection, recorded: Recorded) -> None:
    """The run has a result."""
    event = recorded.event
    assert isinstance(event, RunSucceeded)
    row = _row(projection, event.run)
    state = move(row.run, row.state, RunState.SUCCEEDED)
    ended = msgspec.structs.replace(row, state=state, result=event.result, ended_at=recorded.at, version=event.version, cpu_s=event.cpu_s)
    put_run(projection, ended)
    _give_back(projection, row)


def fold_failed(projection: Projection, recorded: Recorded) -> None:
    """The run ended without a result."""
    event = recorded.event
    assert isinstance(event, RunFailed)
    row = _row(projection, event.run)
    state = move(row.run, row.state, RunState.FAILED)
    put_run(projection, msgspec.structs.replace(row, state=state, why=event.why, code=event.code, ended_at=recorded.at, cpu_s=event.cpu_s))
    _give_back(projection, row)
    judged = projection.get(VERSIONS, f"{row.model}/{row.judges}") if row.judges else None
    if judged is not None:
        failures = judged.failures + 1
        # it may have been the machine's fault: what is not tried is begun again
        again = "" if failures < MOST_JUDGINGS else judged.tried
        failed = msgspec.structs.replace(judged, tried=again, failures=failures)
        projection.put(VERSIONS, f"{row.model}/{judged.version}", failed)


def fold_cancelled(projection: Projection, recorded: Recorded) -> None:
    """A person ended the run."""
    event = recorded.event
    assert isinstance(event, RunCancelled)
    row = _row(projection, event.run)
    state = move(row.run, row.state, RunState.CANCELLED)
    # that an attempt had vanished before stays said
    why = f"{event.reason}; {row.why}" if row.why else event.reason
    put_run(projection, msgspec.structs.replace(row, state=state, why=why, ended_at=recorded.at))
    _give_back(projection, row)


def fold_lost(projection: Projection, recorded: Recorded) -> None:
    """The attempt vanished: the run waits for its next attempt, `attempt` + 1."""
    event = recorded.event
    assert isinstance(event, RunLost)
    row = _row(projection, event.run)
    state = move(row.run, move(row.run, row.state, RunState.LOST), RunState.QUEUED)
    why = f"attempt {event.attempt} vanished without an exit"
    put_run(projection, msgspec.structs.replace(row, state=state, attempt=event.attempt, why=why))


def _give_back(projection: Projection, row: RunRow) -> None:
    """A reproduction leaves its model as it was: what was tried last was tried by the run before it."""
    model = projection.get(MODELS, row.model)
    if row.trigger == "reproduction" and model is not None and model.last_run == row.run:
        projection.put(MODELS, row.model, msgspec.structs.replace(model, last_run=row.after))


def _row(projection: Projection, run: str) -> RunRow:
    row = projection.get(RUNS, run)
    if row is None:
        raise Conflict(f'no run "{run}" was queued', why="every run begins with run.queued")
    return row


FOLDS: Mapping[type[Event], Fold] = MappingProxyType(
    {
        RunQueued: fold_queued,
        RunStarted: fold_started,
        RunSucceeded: fold_succeeded,
        RunFailed: fold_failed,
        RunCancelled: fold_cancelled,
        RunLost: fold_lost,
    }
)
"""Event kind → its fold."""
