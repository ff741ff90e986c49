"""What a succeeded run becomes."""

import msgspec
import pytest

from flyball.clock import Span
from flyball.ledger.projection import MemoryProjection
from flyball.loop.commands import Register, decide_register
from flyball.loop.folds import FOLDS
from flyball.records.base import Event, Recorded
from flyball.records.estimates import Outcome, Verdict
from flyball.records.models import Field, Signature
from flyball.records.training import RUNS, RunQueued, RunResult, RunSpec, RunStarted, Trigger
from flyball.records.versions import VERSIONS, VersionDeployed, VersionRegistered, VersionState

SIGNATURE = Signature(task="binary", fields=(Field(name="a", type="float"),), classes=(0, 1))


def result(artifact: str, fit: str) -> RunResult:
    return RunResult(
        artifact=artifact,
        fit_digest=fit,
        signature=SIGNATURE,
        parameters={},
        window=Span.parse("7d"),
        rows=100,
        holdout_rows=20,
        metrics={},
        baseline={},
    )


class World:
    def __init__(self) -> None:
        self.state = MemoryProjection()

    def tell(self, *events: Event) -> None:
        for event in events:
            FOLDS[type(event)](self.state, Recorded(1, 1, "test", "c", event))

    def register(
        self,
        run: str,
        artifact: str,
        fit: str = "",
        *,
        trigger: Trigger = "manual",
        digest: str = "v",
        gates: str = "",
        fails: bool = False,
        champion: str = "",
        found: str = "9",
    ) -> list[Event]:
        self.tell(RunQueued(run=run, model="m", trigger=trigger, reason="", spec="0" * 64), RunStarted(run=run, attempt=1))
        spec = RunSpec(
            model="m",
            declaration="0" * 64,
            code="0" * 64,
            file="loop.py",
            version_digest=digest,
            policy_digest="",
            gates_digest=gates,
            datasets={},
            as_of=1,
            champion_version=champion,
        )
        what = result(artifact, fit or artifact)
        if fails:
            what = msgspec.structs.replace(what, verdicts=(Verdict(check="accuracy ≥ 1", outcome=Outcome.FAIL),))
        command = Register(id=run, actor="loop", run=run, result=found * 64, what=what, spec=spec, champion_signature=SIGNATURE)
        events = list(decide_register(self.state, command, 1))
        self.tell(*events)
        return events

    def versions(self) -> list[str]:
        return [row.version for _, row in self.state.scan(VERSIONS, "m/")]


def test_a_new_artifact_is_a_new_version() -> None:
    world = World()
    world.register("run_1", "1" * 64)
    world.register("run_2", "2" * 64)
    assert world.versions() == ["1.0.0", "1.1.0"]


def test_the_newest_training_packed_again_is_a_patch() -> None:
    world = World()
    world.register("run_1", "1" * 64, "a" * 64)
    world.register("run_2", "2" * 64, "a" * 64)
    world.register("run_3", "3" * 64, "b" * 64)
    world.register("run_4", "4" * 64, "a" * 64)
    assert world.versions() == ["1.0.0", "1.0.1", "1.1.0", "1.2.0"], "1.1.1 would be said to be 1.1.0, packed again"


def test_another_declaration_that_learned_the_same_is_no_patch() -> None:
    world = World()
    world.register("run_1", "1" * 64, "a" * 64)
    world.register("run_2", "2" * 64, "a" * 64, digest="w")
    assert world.versions() == ["1.0.0", "1.1.0"]


@pytest.mark.parametrize("trigger", ["schedule", "monitor", "declaration"])
def test_the_loop_makes_no_version_of_what_it_has_learned_before(trigger: Trigger) -> None:
    world = World()
    world.register("run_1", "1" * 64, "a" * 64)
    world.register("run_2", "2" * 64, "b" * 64)
    world.register("run_3", "3" * 64, "a" * 64, trigger=trigger)
    assert world.versions() == ["1.0.0", "1.1.0"]
    run = world.state.get(RUNS, "run_3")
    assert run is not None
    assert run.version == "1.0.0"


def test_other_gates_judge_what_waits_again_and_give_what_they_rejected_a_new_number() -> None:
    world = World()
    world.register("run_1", "1" * 64, "a" * 64, gates="g1")
    world.register("run_2", "2" * 64, "a" * 64, trigger="declaration", gates="g2", fails=True)
    row = world.state.get(VERSIONS, "m/1.0.0")
    assert row is not None
    assert (world.versions(), row.state, row.gates_digest) == (["1.0.0"], VersionState.REJECTED, "g2")
    world.register("run_3", "2" * 64, "a" * 64, trigger="schedule", gates="g2", fails=True)
    assert world.versions() == ["1.0.0"], "nothing is new"
    world.register("run_4", "3" * 64, "a" * 64, trigger="declaration", gates="g3")
    row = world.state.get(VERSIONS, "m/1.0.1")
    assert row is not None
    assert (world.versions(), row.state) == (["1.0.0", "1.0.1"], VersionState.ELIGIBLE)


def test_a_rehearsal_packs_nothing_and_compares_nothing() -> None:
    world = World()
    for run, artifact in (("run_1", "1" * 64), ("run_2", "2" * 64)):
        world.tell(RunQueued(run=run, model="m", trigger="schedule", reason="", spec="0" * 64), RunStarted(run=run, attempt=1))
        spec = RunSpec(model="m", declaration="", code="", file="", version_digest="v", policy_digest="", datasets={}, as_of=1)
        command = Register(
            id=run, actor="loop", run=run, result="9" * 64, what=result(artifact, ""), spec=spec, champion_signature=SIGNATURE
        )
        world.tell(*decide_register(world.state, command, 1))
    assert world.versions() == ["1.0.0", "1.1.0"]


def test_the_same_bytes_get_no_second_number() -> None:
    world = World()
    world.register("run_1", "1" * 64)
    again = world.register("run_2", "1" * 64)
    assert not any(isinstance(event, VersionRegistered) for event in again)
    run = world.state.get(RUNS, "run_2")
    assert run is not None
    assert run.version == "1.0.0"
    row = world.state.get(VERSIONS, "m/1.0.0")
    assert row is not None
    assert row.state == VersionState.ELIGIBLE


def standing(world: World, version: str = "1.0.0") -> tuple[VersionState, str | None, list[str]]:
    row = world.state.get(VERSIONS, f"m/{version}")
    assert row is not None
    return row.state, row.against, [verdict.outcome.value for verdict in row.verdicts]


def test_what_a_run_finds_of_a_version_that_it_made_again_counts_whatever_was_found_before() -> None:
    world = World()
    world.register("run_1", "1" * 64)
    assert standing(world) == (VersionState.ELIGIBLE, "", [])
    world.register("run_2", "1" * 64, fails=True, champion="1.1.0", found="8")
    assert standing(world) == (VersionState.REJECTED, "1.1.0", ["fail"])
    world.register("run_3", "1" * 64, champion="1.1.0", found="7")
    assert standing(world)[0] is VersionState.REJECTED, "what was rejected stays so"


def test_the_same_finding_once_more_is_no_news() -> None:
    world = World()
    world.register("run_1", "1" * 64)
    assert [type(event).__name__ for event in world.register("run_2", "1" * 64)] == ["RunSucceeded"]


@pytest.mark.parametrize(("champion", "outcomes"), [("1.0.0", []), ("1.1.0", ["fail"])])
def test_one_that_serves_or_served_is_judged_beside_another_champion_and_not_beside_itself(champion: str, outcomes: list[str]) -> None:
    world = World()
    world.register("run_1", "1" * 64)
    world.tell(VersionDeployed(model="m", version="1.0.0"))
    world.register("run_2", "1" * 64, fails=True, champion=champion, found="8")
    assert standing(world)[::2] == (VersionState.DEPLOYED, outcomes)
