"""What a look at one model costs does not follow from how many others there are, nor from all that these have been through."""

from __future__ import annotations

from typing import Any

import pytest

from flyball.clock import Instant
from flyball.ledger.projection import MemoryProjection
from flyball.loop.findings import incidents_of
from flyball.loop.folds import FOLDS
from flyball.loop.proposals import settle, withdrawn
from flyball.records.base import Event, Recorded
from flyball.records.incidents import INCIDENTS, MODEL_INCIDENTS, IncidentMoved, IncidentOpened, IncidentState
from flyball.records.proposals import MODEL_PROPOSALS, PROPOSALS, ProposalMade, ProposalSettled
from flyball.records.training import MODEL_RUNS, RUNS, RunCancelled, RunFailed, RunQueued, RunStarted, RunSucceeded
from flyball.records.versions import VERSIONS, VersionRegistered
from flyball.registry import approvals

MODELS = 30


class Counted(MemoryProjection):
    """A projection that counts the rows which a scan gives."""

    def __init__(self) -> None:
        super().__init__()
        self.rows_read = 0

    def scan(self, table: Any, prefix: str = "") -> Any:
        found = super().scan(table, prefix)
        self.rows_read += len(found)
        return found


def tell(state: MemoryProjection, at: Instant, *events: Event) -> None:
    for event in events:
        FOLDS[type(event)](state, Recorded(1, at, "user:ana", "c", event))


@pytest.fixture
def world() -> Counted:
    state = Counted()
    for place in range(MODELS):
        model, incident, proposal = f"m{place:02}", f"inc_{place:02}", f"prop_{place:02}"
        opened = IncidentOpened(
            incident=incident, model=model, failure_mode="errors", alert="", what="errors", cause="", owner="", actions=()
        )
        made = ProposalMade(proposal=proposal, model=model, action="train", mode="propose", target="", reason="", cause=incident)
        queued = RunQueued(run=f"run_{place:02}", model=model, trigger="manual", reason="", spec="0" * 64)
        tell(state, place, opened, made, queued)
    state.rows_read = 0
    return state


def test_the_incidents_and_proposals_of_one_model_are_read_without_those_of_others(world: Counted) -> None:
    assert [row.incident for row in incidents_of(world, "m07")] == ["inc_07"]
    assert withdrawn(world, "m07", 1) == []
    assert [event.proposal for event in settle(world, "m07", "train", "accepted", "")] == ["prop_07"]  # type: ignore[attr-defined]
    assert world.rows_read == 3
    version = VersionRegistered(
        model="m07",
        version="1.0.0",
        run="run_07",
        artifact="1" * 64,
        result="2" * 64,
        version_digest="",
        policy_digest="",
        data={},
        metrics={},
    )
    tell(world, 50, RunStarted(run="run_07", attempt=1), RunSucceeded(run="run_07", result="2" * 64), version)
    row = world.get(VERSIONS, "m07/1.0.0")
    assert row is not None
    world.rows_read = 0
    assert approvals.authors(world, row) == {"user:ana"}
    assert world.rows_read == 1


def test_the_rows_of_a_model_are_those_of_all(world: Counted) -> None:
    closed = IncidentMoved(incident="inc_07", source=IncidentState.OPEN, target=IncidentState.CLOSED, why="a false alarm")
    tell(world, 50, RunStarted(run="run_09", attempt=1), RunFailed(run="run_09", why="no luck"), RunCancelled(run="run_10", reason=""))
    tell(world, 50, closed, ProposalSettled(proposal="prop_08", verdict="void", reason=""))
    for whole, by_model in ((INCIDENTS, MODEL_INCIDENTS), (PROPOSALS, MODEL_PROPOSALS), (RUNS, MODEL_RUNS)):
        assert {f"{row.model}/{key}": row for key, row in world.scan(whole)} == dict(world.scan(by_model))
    assert incidents_of(world, "m07")[0].state is IncidentState.CLOSED
    assert settle(world, "m08", "train", "accepted", "") == []
