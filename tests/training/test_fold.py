"""Run events become rows, along the table's arrows only."""

from __future__ import annotations

import msgspec
import pytest

from flyball.errors import Conflict
from flyball.ledger.projection import MemoryProjection
from flyball.records.base import Event, Recorded
from flyball.records.training import (
    RUNS,
    RunCancelled,
    RunFailed,
    RunLost,
    RunQueued,
    RunStarted,
    RunState,
    RunSucceeded,
)
from flyball.records.versions import MODELS
from flyball.training.fold import FOLDS
from flyball.training.states import TRANSITIONS, move

BLOB = "a" * 64
QUEUED = RunQueued(run="run_1", model="price", trigger="manual", reason="try", spec=BLOB)
REACH: dict[RunState, list[Event]] = {
    RunState.QUEUED: [],
    RunState.RUNNING: [RunStarted(run="run_1", attempt=1)],
    RunState.SUCCEEDED: [RunSucceeded(run="run_1", result=BLOB)],
    RunState.FAILED: [RunFailed(run="run_1", why="no rows")],
    RunState.CANCELLED: [RunCancelled(run="run_1", reason="wrong data")],
}
ARROWS: dict[RunState, Event] = {
    RunState.RUNNING: RunStarted(run="run_1", attempt=1),
    RunState.SUCCEEDED: RunSucceeded(run="run_1", result=BLOB),
    RunState.FAILED: RunFailed(run="run_1", why="no rows"),
    RunState.CANCELLED: RunCancelled(run="run_1", reason="wrong data"),
    RunState.LOST: RunLost(run="run_1", attempt=1),
}


def played(*events: Event) -> MemoryProjection:
    projection = MemoryProjection()
    for seq, event in enumerate(events, 1):
        FOLDS[type(event)](projection, Recorded(seq, seq * 100, "loop", f"cmd_{seq}", event))
    return projection


def test_every_arrow_of_the_table_is_walked_and_every_other_is_refused():
    for source, events in REACH.items():
        for target, arrow in ARROWS.items():
            if target in TRANSITIONS[source]:
                row = played(QUEUED, *events, arrow).get(RUNS, "run_1")
                assert row is not None
                # lost is passed through: the run is queued for its next attempt
                assert row.state == (RunState.QUEUED if target == RunState.LOST else target)
            else:
                with pytest.raises(Conflict, match=f"is {source.value}"):
                    played(QUEUED, *events, arrow)


def test_every_state_is_in_the_table_and_all_can_be_reached():
    assert set(TRANSITIONS) == set(RunState)
    reached, todo = {RunState.QUEUED}, [RunState.QUEUED]
    while todo:
        for target in TRANSITIONS[todo.pop()] - reached:
            reached.add(target)
            todo.append(target)
    assert reached == set(RunState)
    assert move("run_1", RunState.LOST, RunState.QUEUED) == RunState.QUEUED


def test_a_lost_run_waits_for_its_next_attempt():
    row = played(QUEUED, RunStarted(run="run_1", attempt=1), RunLost(run="run_1", attempt=1)).get(RUNS, "run_1")
    assert row is not None
    assert (row.state, row.attempt) == (RunState.QUEUED, 1)
    row = played(QUEUED, RunLost(run="run_1", attempt=1), RunStarted(run="run_1", attempt=2)).get(RUNS, "run_1")
    assert row is not None
    assert row.attempt == 2


def test_a_queued_run_is_its_models_last_attempt():
    model = played(QUEUED).get(MODELS, "price")
    assert model is not None
    assert (model.last_attempt_at, model.last_run) == (100, "run_1")


def test_a_run_keeps_why_it_failed():
    row = played(QUEUED, RunFailed(run="run_1", why="no rows")).get(RUNS, "run_1")
    assert row is not None
    assert (row.why, row.ended_at) == ("no rows", 200)


def test_a_run_that_is_cancelled_keeps_that_an_attempt_had_vanished_and_which_run_was_before_it():
    first, second = RunFailed(run="run_1", why="no rows"), msgspec.structs.replace(QUEUED, run="run_2")
    row = played(QUEUED, first, second, RunLost(run="run_2", attempt=1), RunCancelled(run="run_2", reason="enough")).get(RUNS, "run_2")
    assert row is not None
    assert (row.why, row.after) == ("enough; attempt 1 vanished without an exit", "run_1")
    plain = played(QUEUED, RunCancelled(run="run_1", reason="enough")).get(RUNS, "run_1")
    assert plain is not None
    assert (plain.why, plain.after) == ("enough", "")


def test_a_run_is_queued_once_and_an_unknown_one_has_no_events():
    with pytest.raises(Conflict, match="queued already"):
        played(QUEUED, QUEUED)
    with pytest.raises(Conflict, match="no run"):
        played(RunStarted(run="run_9", attempt=1))
