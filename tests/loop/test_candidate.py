"""Which version is released next: of the declaration in effect, and by the gates as they are declared now."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from flyball.errors import BadInput
from flyball.loop import lifecycle, lookup
from flyball.loop.folds import FOLDS
from flyball.loop.proposals import candidate
from flyball.loop.releases import Release, decide_release
from flyball.records.base import Event, Recorded, Refusal
from flyball.records.declarations import DECLARATIONS
from flyball.records.environments import JUDGINGS, JudgingWanted
from flyball.records.training import RunCancelled, RunFailed, RunQueued
from flyball.records.versions import VERSIONS, VersionRow, VersionState
from flyball.registry.rules import to_judge_anew

from .test_due import DAY, World, model

DECLARED = model()


class Judged(World):
    """No champion; 1.0.0 passed the gates `g1` of declaration `v`."""

    def __init__(self) -> None:
        super().__init__()
        self.version("1.0.0", "a" * 64, VersionState.ELIGIBLE)
        self.change("1.0.0", registered_at=1, gates_digest="g1", signature="signed")
        self.model_row(champion="", newest="1.0.0")
        self.declare(gates_digest="g1")
        self.asked = ""
        self.library.spec = lambda _: SimpleNamespace(gates_digest=self.asked)

    def change(self, number: str, **changes: Any) -> None:
        row = self.state.get(VERSIONS, f"m/{number}")
        assert row is not None
        self.state.put(VERSIONS, f"m/{number}", msgspec.structs.replace(row, **changes))

    def declare(self, **changes: Any) -> None:
        row = self.state.get(DECLARATIONS, "m")
        assert row is not None
        self.state.put(DECLARATIONS, "m", msgspec.structs.replace(row, **changes))

    def row(self, number: str) -> VersionRow:
        found = self.state.get(VERSIONS, f"m/{number}")
        assert found is not None
        return found

    def tell(self, event: Event) -> None:
        FOLDS[type(event)](self.state, Recorded(1, 1, "loop", "c", event))

    def next(self) -> str:
        found = candidate(self.state, "m", 1)
        return found.version if found else ""

    def release(self) -> Any:
        command = Release(id="c", actor="ana", rollout="ro", model="m", version="1.0.0", reason="")
        return decide_release(self.state, command, 1, model=DECLARED, folds=FOLDS, signatures=self.library.signature)


@pytest.fixture
def world() -> Judged:
    return Judged()


def test_a_version_that_passed_is_released_next(world: Judged) -> None:
    assert world.next() == "1.0.0"
    assert not isinstance(world.release(), Refusal)


def test_gates_declared_anew_judge_before_anything_is_released(world: Judged) -> None:
    world.declare(gates_digest="g2")
    assert world.next() == ""
    refused = world.release()
    assert isinstance(refused, Refusal)
    assert refused.what == "m@1.0.0 was judged by other gates than those declared now"
    assert world.due(DECLARED, 9 * DAY) == "", "it costs no training"
    world.change("1.0.0", gates_digest="g2")
    assert world.next() == "1.0.0"


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({}, True),
        ({"state": VersionState.REJECTED}, True),
        ({"state": VersionState.HELD}, True),
        ({"state": VersionState.DEPLOYED}, True),
        ({"state": VersionState.DEPLOYED, "version_digest": "other"}, True),
        ({"version_digest": "other"}, False),
        ({"state": VersionState.RETIRED}, False),
        ({"state": VersionState.QUARANTINED}, False),
        ({"gates_digest": "g2"}, False),
        ({"gates_digest": ""}, False),
        ({"tried": "g2"}, False),
    ],
)
def test_what_waits_and_what_serves_is_judged_by_gates_declared_anew_once(world: Judged, changes: dict[str, Any], wanted: bool) -> None:
    world.change("1.0.0", **changes)
    row = world.state.get(VERSIONS, "m/1.0.0")
    assert row is not None
    assert to_judge_anew(row, "g2", "v") is wanted


def test_a_judging_that_fails_is_begun_three_times_and_then_is_for_a_person(world: Judged) -> None:
    def row() -> VersionRow:
        found = world.state.get(VERSIONS, "m/1.0.0")
        assert found is not None
        return found

    def judging(number: int, *, gates: str = "g2") -> str:
        run = f"run_{number:02d}"
        queued = RunQueued(run=run, model="m", trigger="evidence", reason="", spec="0" * 64, candidate_version="1.0.0", gates_digest=gates)
        world.tell(queued)
        assert not to_judge_anew(row(), gates, "v"), "it is under way"
        return run

    world.declare(gates_digest="g2")
    for number in (10, 11, 12):
        assert to_judge_anew(row(), "g2", "v"), number
        assert lookup.unjudged(world.state, row()) == "not judged yet by the gates as they are declared now"
        world.tell(RunFailed(run=judging(number), why="it had no memory\n    fix  more"))
    assert not to_judge_anew(row(), "g2", "v")
    told = lookup.unjudged(world.state, row())
    assert "the judging failed 3 times (run_12: it had no memory); flyball train m makes one" in told
    world.declare(gates_digest="g3")
    assert to_judge_anew(row(), "g3", "v"), "other gates are another question"
    world.tell(RunCancelled(run=judging(13, gates="g3"), reason="not now"))
    assert not to_judge_anew(row(), "g3", "v"), "a person said no"
    assert "the judging was cancelled (run_13: not now)" in lookup.unjudged(world.state, row())
    world.declare(gates_digest="g4")
    world.tell(RunFailed(run=judging(14, gates="g4"), why="it had no memory"))
    world.tell(RunCancelled(run=judging(15, gates="g4"), reason="not now"))
    assert "the judging failed once and then was cancelled (run_15: not now)" in lookup.unjudged(world.state, row())


def test_what_answered_before_is_not_released_again_by_gates_that_are_declared_no_more(world: Judged) -> None:
    world.change("1.0.0", state=VersionState.RETIRED)
    assert not isinstance(world.release(), Refusal)
    world.declare(gates_digest="g2")
    refused = world.release()
    assert isinstance(refused, Refusal)
    assert (refused.code, refused.what) == ("refused", "m@1.0.0 was judged by other gates than those declared now")
    assert refused.fix == 'flyball models judge m@1.0.0 --reason "…" has it judged by them'
    world.model_row(former="1.0.0")
    assert world.release().fix.endswith("or go back to it: flyball rollback m")
    world.change("1.0.0", origin="staging")
    assert world.release().fix.startswith("flyball models judge m@1.0.0 --env staging")
    world.change("1.0.0", gates_digest="g2")
    assert not isinstance(world.release(), Refusal)


def test_a_person_has_what_answered_before_judged_by_the_present_gates(world: Judged) -> None:
    def judge(version: str = "1.0.0") -> Any:
        order, decide = lifecycle.judge(world.row(version), command="c", actor="user:ana", reason="to be released again")
        found = decide(world.state, order, 1)
        for event in () if isinstance(found, Refusal) else found:
            world.tell(event)
        return found

    world.version("1.1.0", "b" * 64, VersionState.DEPLOYED)
    world.model_row(newest="1.1.0", champion="1.1.0")
    world.change("1.0.0", state=VersionState.RETIRED)
    assert judge().what == "the gates as they are declared now have judged m@1.0.0"
    world.declare(gates_digest="g2")
    assert [type(event) for event in judge()] == [JudgingWanted]
    assert judge() == (), "it is noted already"
    noted = world.state.get(JUDGINGS, "m/1.0.0")
    assert noted is not None
    assert (noted.origin, noted.gates_digest) == ("", "g2")
    assert to_judge_anew(world.row("1.0.0"), "g2", "v", noted.gates_digest)
    world.change("1.0.0", tried="g2")
    assert judge().what == "m@1.0.0 is not judged"
    world.change("1.0.0", tried="", state=VersionState.QUARANTINED)
    assert "it is quarantined" in judge().why
    world.change("1.0.0", origin="staging", state=VersionState.RETIRED)
    assert (judge().code, judge().fix) == ("made-before", 'flyball models judge m@1.0.0 --env staging --reason "…"')
    world.change("1.1.0", gates_digest="g1")
    assert judge("1.1.0") == (), "the champion is judged anyway"
    world.change("1.1.0", state=VersionState.RETIRED)
    world.model_row(champion="")
    assert [type(event) for event in judge("1.1.0")] == [JudgingWanted]
    with pytest.raises(BadInput, match="needs a reason"):
        lifecycle.judge(world.row("1.0.0"), command="c", actor="user:ana", reason=" ")


def test_the_champion_is_told_that_it_is_the_champion_whatever_judged_it(world: Judged) -> None:
    world.declare(gates_digest="g2")
    world.change("1.0.0", state=VersionState.DEPLOYED)
    world.model_row(champion="1.0.0")
    assert world.release().what == "m@1.0.0 is the champion already"


def test_a_version_of_a_declaration_that_was_given_up_is_passed_over(world: Judged) -> None:
    world.version("1.1.0", "a" * 64, VersionState.ELIGIBLE)
    world.change("1.1.0", registered_at=2, version_digest="other", gates_digest="g1")
    world.model_row(newest="1.1.0")
    assert world.next() == "1.0.0"
    world.model_row(champion="1.1.0")
    assert world.next() == "", "what is older than the champion is no news"
