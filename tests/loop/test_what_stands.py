"""What stands whatever comes after it: a no after a deletion, a finding after a waiver, an author after another's change, a champion after a judging."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest

from flyball.loop import training as runs
from flyball.loop.folds import FOLDS
from flyball.loop.lifecycle import Delete, decide_delete
from flyball.loop.proposals import Propose, candidate, decide_propose, withdrawn
from flyball.records.base import Refusal
from flyball.records.data import DATASETS
from flyball.records.declarations import DeclarationApplied
from flyball.records.estimates import Outcome, Verdict
from flyball.records.proposals import MODEL_PROPOSALS
from flyball.records.training import RunRow, RunSpec, RunState, put_run
from flyball.records.versions import (
    VERSIONS,
    VersionDeployed,
    VersionDeprecated,
    VersionQuarantined,
    VersionRetired,
    VersionSigned,
    VersionState,
)
from flyball.registry import approvals

from .test_approvals import FAILED, LACKS, MODEL, PASSED, RISK, SIGNATURE, World, refused
from .test_candidate import Judged
from .test_due import DAY
from .test_due import World as Due
from .test_due import model as declared
from .test_waivers import Waived


def delete(world: World) -> None:
    order = Delete(id="d", actor="user:ana", model="m", version="1.0.0", reason="tidy")
    found = decide_delete(world.state, order, 5, model=MODEL, folds=FOLDS, signatures=lambda _: SIGNATURE)
    assert not isinstance(found, Refusal)
    world.tell(*found, by="user:ana")


def names(world: World) -> list[str]:
    return [row.version for _, row in world.state.scan(VERSIONS, "m/")]


@pytest.mark.parametrize("by", ["loop", "user:ana"])
@pytest.mark.parametrize("how", ["a no", "quarantine", "a roll-back"])
def test_a_deletion_does_not_forget_why_a_version_was_given_up(how: str, by: str) -> None:
    world = World(PASSED, by="user:ana")
    if how == "a no":
        world.reject("ben", "approver")
    elif how == "quarantine":
        world.tell(VersionQuarantined(model="m", version="1.0.0", reason="it leaks"))
    else:
        world.tell(VersionDeployed(model="m", version="1.0.0"), VersionRetired(model="m", version="1.0.0", why="a guard fired", back=True))
    delete(world)
    world.train("run_3", by=by)
    assert names(world) == ["1.0.0"], "the same bytes get no other name"
    assert world.row.state is VersionState.DELETED
    world.train("run_4", by=by, artifact="2")
    assert names(world) == ["1.0.0", "1.1.0"], "what learned otherwise does"


def test_a_version_that_was_only_deleted_is_made_anew() -> None:
    world = World(FAILED, by="user:ana")
    delete(world)
    world.train("run_3", by="user:ana", verdicts=(PASSED,))
    assert len(names(world)) == 2


@pytest.mark.parametrize("released", [False, True])
def test_what_newer_rows_show_counts_though_a_waiver_came_while_they_were_looked_at(*, released: bool) -> None:
    world = Waived(LACKS)
    world.waive()
    assert world.row.state is VersionState.ELIGIBLE
    if released:
        world.tell(VersionDeployed(model="m", version="1.0.0"))
    world.train("run_2", by="loop", candidate="1.0.0", verdicts=(FAILED,), prior=world.row.result)
    assert [each.outcome for each in world.row.verdicts] == [Outcome.FAIL], "a waiver for want of data lifts no fail that they show"
    assert world.row.state is (VersionState.DEPLOYED if released else VersionState.REJECTED)


def test_a_judging_of_what_was_judged_again_meanwhile_says_nothing_more() -> None:
    world = Waived(LACKS)
    world.waive()
    world.train("run_2", by="loop", candidate="1.0.0", verdicts=(FAILED,), prior="9" * 64)
    assert world.row.state is VersionState.ELIGIBLE


def test_who_loosened_the_gates_is_an_author_whoever_changed_something_else_since() -> None:
    world = World(PASSED, RISK, by="loop", declared_by="user:dan")
    world.declare("g2", by="user:ben")
    world.tell(
        DeclarationApplied(
            model="m",
            file="loop.py",
            version_digest="v",
            policy_digest="other monitors",
            body="0" * 64,
            code="0" * 64,
            gates_digest="g2",
            author="",
        ),
        by="user:ana",
    )
    world.train("run_2", by="loop", candidate="1.0.0", gates="g2")
    assert approvals.authors(world.state, world.row) == {"user:dan", "user:ben", "user:ana"}
    assert refused(world.approve("ben", seen="2"), "author")


@pytest.mark.parametrize("retired", [False, True])
def test_an_approval_that_gates_ask_for_after_a_release_can_be_given(*, retired: bool) -> None:
    world = Waived(PASSED)
    world.tell(VersionSigned(model="m", version="1.0.0", note="x"), VersionDeployed(model="m", version="1.0.0"))
    if retired:
        world.tell(VersionRetired(model="m", version="1.0.0", why="another version answers"))
    assert refused(world.approve("ben"), "no gate of it waits for a yes") or refused(world.approve("ben"), "is no ")
    world.declare("g2", by="user:dan")
    assert refused(world.approve("ben", verdicts=(PASSED, RISK)), "no gate of it waits for a yes"), "the new gates have not judged it"
    world.train("run_2", by="loop", candidate="1.0.0", gates="g2", verdicts=(PASSED, RISK))
    assert [each.outcome for each in world.row.verdicts] == [Outcome.PASS, Outcome.INSUFFICIENT]
    assert not isinstance(world.approve("ben", seen="2", verdicts=(PASSED, RISK)), Refusal)
    assert {each.outcome for each in world.row.verdicts} == {Outcome.PASS}
    assert world.row.state is (VersionState.RETIRED if retired else VersionState.DEPLOYED), "a yes makes it nothing that it is not"


def test_a_version_is_judged_again_beside_the_champion_that_its_evidence_met() -> None:
    """1.2.0 was made beside 1.0.0, and made again, with evidence of its own, beside 1.1.0, which was taken back: its rows met another champion."""
    world = Due()

    def spec(champion: str, as_of: int) -> RunSpec:
        return RunSpec(
            model="m", declaration="", code="", file="", version_digest="v", policy_digest="p", datasets={}, as_of=as_of, champion_version=champion
        )  # fmt: skip

    specs = {"": spec("", 0), "s1": spec("1.0.0", DAY), "s2": spec("1.1.0", 2 * DAY)}
    world.library.spec = specs.__getitem__
    world.library.result = lambda _: SimpleNamespace(holdout_rows=500)
    world.version("1.2.0", "b" * 64, VersionState.HELD)
    for name, asked, result in (("run_1.2.0", "s1", "r1"), ("run_2", "s2", "r2")):
        put_run(
            world.state,
            RunRow(
                run=name, model="m", trigger="schedule", reason="", spec=asked, release=True, state=RunState.SUCCEEDED, queued_at=1,
                result=result, version="1.2.0",
            ),
        )  # fmt: skip
    lacks = Verdict(check="accuracy ≥ champion", outcome=Outcome.INSUFFICIENT)

    def held(result: str, against: str) -> Any:
        row = world.state.get(VERSIONS, "m/1.2.0")
        assert row is not None
        world.state.put(VERSIONS, "m/1.2.0", msgspec.structs.replace(row, result=result, against=against, verdicts=(lacks,)))
        ports = cast("Any", SimpleNamespace(library=world.library))
        version = world.state.get(VERSIONS, "m/1.2.0")
        assert version is not None
        return runs.judging_spec(ports, world.state, declared(), version, 30 * DAY)

    data = world.state.get(DATASETS, "rows")
    assert data is not None
    world.state.put(DATASETS, "rows", msgspec.structs.replace(data, head=msgspec.structs.replace(data.head, as_of=30 * DAY)))
    world.model_row(newest="1.2.0", last_run="run_1.2.0", champion="1.0.0")
    assert held("r2", "1.1.0") is None, "the rows so far were answered by 1.1.0, the new ones would be by 1.0.0"
    found = held("r1", "1.0.0")
    assert (found.champion_version, found.prior, found.look) == ("1.0.0", "r1", 2)


def propose(world: Judged, target: str, now: int) -> int:
    order = Propose(id="c", actor="loop", proposal=f"prop_{now}", model="m", action="release", mode="propose", target=target, reason="")
    made = decide_propose(world.state, order, now)
    for event in made:
        world.tell(event)
    return len(made)


def test_a_proposal_stands_beside_a_newer_version_of_a_declaration_that_was_given_up() -> None:
    world = Judged()
    world.version("1.1.0", "a" * 64, VersionState.ELIGIBLE)
    world.change("1.1.0", registered_at=2, gates_digest="g1", signature="signed", version_digest="w")
    world.model_row(newest="1.1.0")
    assert propose(world, "1.0.0", 1) == 1
    for now in range(2, 5):
        assert withdrawn(world.state, "m", now) == []
        found = candidate(world.state, "m", now)
        assert found is not None
        assert propose(world, found.version, now) == 0, "asked once, and not at every look"


def test_a_release_of_what_is_advised_against_is_asked_no_longer() -> None:
    world = Judged()
    propose(world, "1.0.0", 1)
    world.tell(VersionDeprecated(model="m", version="1.0.0", reason="it leaks"))
    (event,) = withdrawn(world.state, "m", 2)
    assert event.reason == "1.0.0 is advised against"  # type: ignore[attr-defined]
    world.tell(event)
    assert [row.verdict for _, row in world.state.scan(MODEL_PROPOSALS, "m/")] == ["void"]


def test_who_would_approve_what_asks_for_nobody_is_told_so_whoever_they_are() -> None:
    world = World(LACKS, by="user:ana")
    for who, role in (("eve", "scientist"), ("ben", "approver")):
        assert refused(world.approve(who, role, verdicts=(LACKS,)), "waits for a person"), "nobody is sent for somebody else"


def test_an_older_version_is_judged_by_the_present_gates_where_somebody_asks() -> None:
    world = Judged()
    world.version("1.1.0", "a" * 64, VersionState.ELIGIBLE)
    world.change("1.1.0", registered_at=2, gates_digest="g2", signature="signed")
    world.model_row(newest="1.1.0")
    world.declare(gates_digest="g2")
    assert world.release().fix.startswith("flyball models judge m@1.0.0"), "the loop looks at the newest and the champion alone"
    world.model_row(newest="1.0.0")
    assert world.release().fix.startswith("flyball up, or flyball tick")


def test_what_was_waived_for_want_of_data_is_no_worse_once_the_waiver_is_over() -> None:
    world = Waived(LACKS)
    world.waive(until=2)
    found = world.release_at(5)
    assert isinstance(found, Refusal)
    assert found.fix.startswith("bring what its gate lacked")
    world = Waived(FAILED)
    world.waive(until=2)
    found = world.release_at(5)
    assert isinstance(found, Refusal)
    assert found.fix.startswith("train a better version")
