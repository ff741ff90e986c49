"""Four eyes: whose yes lets a version out, and whose does not count."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import pytest

import flyball as fb
from flyball.clock import Span
from flyball.evaluation.gates import judge
from flyball.evaluation.holdout import Holdout
from flyball.evaluation.persons import Approved, of_persons
from flyball.evaluation.verdicts import combine
from flyball.ledger.projection import MemoryProjection
from flyball.loop.approvals import Approve, Reject, decide_approve, decide_reject
from flyball.loop.commands import Register, decide_register
from flyball.loop.folds import FOLDS
from flyball.loop.proposals import candidate
from flyball.loop.releases import Release, decide_release
from flyball.records.base import Event, Recorded, Refusal
from flyball.records.declarations import DeclarationApplied
from flyball.records.estimates import Asked, Outcome, Verdict
from flyball.records.models import Field, Signature
from flyball.records.rollouts import RolloutMoved, RolloutPlanned, RolloutState
from flyball.records.training import RunQueued, RunResult, RunSpec, RunStarted, Trigger
from flyball.records.versions import (
    VERSIONS,
    VersionApproved,
    VersionDenied,
    VersionEligible,
    VersionHeld,
    VersionQuarantined,
    VersionRejected,
    VersionRow,
    VersionState,
)
from flyball.registry import approvals
from flyball.registry.rules import to_judge_anew

SIGNATURE = Signature(task="binary", fields=(Field(name="a", type="float"),), classes=(0, 1))
DATA = fb.Dataset("d", source="d.csv", columns={"a": float, "y": int})
MODEL = fb.Model("m", task="binary", data=DATA, label="y", rollout=fb.Rollout().shadow("1h"))

PASSED = Verdict(check="accuracy ≥ 0.6", outcome=Outcome.PASS)
LACKS = Verdict(check="accuracy ≥ 0.6", outcome=Outcome.INSUFFICIENT, why="n=3")
FAILED = Verdict(check="accuracy ≥ 0.6", outcome=Outcome.FAIL)


def person(role: str, count: int = 1) -> Verdict:
    """An approval gate as a run judges it: nobody has said anything yet."""
    [verdict] = judge([fb.approval(role, count=count)], Holdout(frame=None, task="binary"))  # type: ignore[arg-type]  # no row is looked at
    return verdict


RISK = person("risk-officer")


class World:
    """One model, whose runs and declarations are told by whom the test says."""

    def __init__(self, *verdicts: Verdict, by: str = "user:ana", declared_by: str = "user:dan", author: str = "") -> None:
        self.state = MemoryProjection()
        self.verdicts = verdicts or (PASSED, RISK)
        self.declare("g1", by=declared_by, author=author)
        self.train("run_1", by=by)

    def tell(self, *events: Event, by: str = "loop") -> None:
        for event in events:
            FOLDS[type(event)](self.state, Recorded(1, 1, by, "c", event))

    def declare(self, gates: str, *, version: str = "v", by: str, author: str = "") -> None:
        declared = DeclarationApplied(
            model="m",
            file="loop.py",
            version_digest=version,
            policy_digest=gates,
            body="0" * 64,
            code="0" * 64,
            gates_digest=gates,
            author=author,
        )
        self.tell(declared, by=by)

    def train(
        self,
        run: str,
        *,
        by: str,
        gates: str = "g1",
        artifact: str = "1",
        learned: str = "",
        candidate: str = "",
        verdicts: Sequence[Verdict] = (),
        prior: str = "",
    ) -> None:
        trigger: Trigger = "evidence" if candidate else "schedule" if by == "loop" else "manual"
        self.tell(RunQueued(run=run, model="m", trigger=trigger, reason="", spec="0" * 64), by=by)
        self.tell(RunStarted(run=run, attempt=1))
        spec = RunSpec(
            model="m",
            declaration="0" * 64,
            code="0" * 64,
            file="loop.py",
            version_digest="v",
            policy_digest=gates,
            gates_digest=gates,
            datasets={},
            as_of=1,
            candidate=artifact * 64 if candidate else "",
            candidate_version=candidate,
            prior=prior,
        )
        what = msgspec.structs.replace(self.result(artifact, verdicts or self.verdicts), fit_digest=(learned or artifact) * 64)
        command = Register(id=run, actor="loop", run=run, result=run[-1] * 64, what=what, spec=spec, champion_signature=None)
        self.tell(*decide_register(self.state, command, 1))

    @staticmethod
    def result(artifact: str, verdicts: Sequence[Verdict]) -> RunResult:
        return RunResult(
            artifact=artifact * 64,
            fit_digest=artifact * 64,
            signature=SIGNATURE,
            parameters={},
            window=Span.parse("7d"),
            rows=100,
            holdout_rows=20,
            metrics={},
            baseline={},
            verdicts=tuple(verdicts),
        )

    def approve(self, who: str = "ben", *held: str, seen: str = "1", verdicts: Sequence[Verdict] = ()) -> Sequence[Event] | Refusal:
        command = Approve(
            id=f"approve-{who}",
            actor=f"user:{who}",
            model="m",
            version="1.0.0",
            held=held or ("risk-officer",),
            reason="looked at it",
            result=seen * 64,
            what=self.result("1", verdicts or self.verdicts),
        )
        return self.done(decide_approve(self.state, command, 1), command.actor)

    def reject(self, who: str = "ben", *held: str, seen: str = "1") -> Sequence[Event] | Refusal:
        command = Reject(
            id=f"reject-{who}",
            actor=f"user:{who}",
            model="m",
            version="1.0.0",
            held=held or ("risk-officer",),
            reason="too risky",
            result=seen * 64,
            what=self.result("1", self.verdicts),
        )
        return self.done(decide_reject(self.state, command, 1), command.actor)

    def release(self, actor: str) -> Sequence[Event] | Refusal:
        command = Release(id="c", actor=actor, rollout="ro_1", model="m", version="1.0.0", reason="")
        return decide_release(self.state, command, 1, model=MODEL, folds=FOLDS, signatures=lambda _: SIGNATURE)

    def done(self, outcome: Sequence[Event] | Refusal, actor: str) -> Sequence[Event] | Refusal:
        if not isinstance(outcome, Refusal):
            self.tell(*outcome, by=actor)
        return outcome

    @property
    def row(self) -> VersionRow:
        row = self.state.get(VERSIONS, "m/1.0.0")
        assert row is not None
        return row


def refused(outcome: object, says: str) -> bool:
    return isinstance(outcome, Refusal) and says in f"{outcome.what} {outcome.why}"


def test_a_version_that_lacks_only_a_persons_yes_becomes_eligible_with_it_and_the_verdict_names_who() -> None:
    world = World()
    assert world.row.state is VersionState.HELD
    approved, judged = world.approve("ben")  # type: ignore[misc]
    assert isinstance(approved, VersionApproved)
    assert approved.roles == ("risk-officer",)
    assert isinstance(judged, VersionEligible)
    assert [verdict.why for verdict in judged.verdicts if verdict.asks] == ["given by user:ben (risk-officer)"]
    assert world.row.state is VersionState.ELIGIBLE
    assert [(said.actor, said.yes, said.reason) for said in world.row.said] == [("user:ben", True, "looked at it")]


def test_who_asked_for_the_run_cannot_approve_what_came_of_it() -> None:
    world = World(by="user:ana")
    assert refused(world.approve("ana"), "author")
    assert world.row.state is VersionState.HELD


@pytest.mark.parametrize(("who", "role"), [("ana", "risk-officer"), ("ben", "approver"), ("ben", "viewer")])
def test_whoever_may_not_is_told_whose_turn_it_is_and_what_they_type(who: str, role: str) -> None:
    told = World(by="user:ana").approve(who, role)
    assert isinstance(told, Refusal)
    assert told.fix.startswith("another person, as risk-officer,"), told.fix
    assert told.fix.endswith('says flyball approve m@1.0.0 --reason "…"'), told.fix


@pytest.mark.parametrize("by", ["loop", "user:ana"])
def test_who_declared_what_was_trained_cannot_approve_it_whoever_asked_for_the_run(by: str) -> None:
    assert refused(World(by=by, declared_by="user:dan").approve("dan"), "author")
    assert not isinstance(World(by=by, declared_by="user:dan").approve("ben"), Refusal)


@pytest.mark.parametrize("trigger", ["manual", "schedule"])
def test_what_a_person_said_no_to_gets_no_other_name_by_another_packing(trigger: str) -> None:
    world = World(PASSED, by="user:ana")
    world.reject("ben", "approver")
    assert world.row.state is VersionState.REJECTED
    # a comment in the loop file: the same was learned, and the artifact is another
    world.train("run_2", by="user:ana" if trigger == "manual" else "loop", artifact="2", learned="1")
    assert [row.version for _, row in world.state.scan(VERSIONS, "m/")] == ["1.0.0"]
    assert world.row.state is VersionState.REJECTED


def test_what_is_in_quarantine_gets_no_other_name_either() -> None:
    world = World(PASSED, by="user:ana")
    world.tell(VersionQuarantined(model="m", version="1.0.0", reason="it leaks"), by="user:ben")
    world.train("run_2", by="user:ana", artifact="2", learned="1")
    assert [(row.version, row.state) for _, row in world.state.scan(VERSIONS, "m/")] == [("1.0.0", VersionState.QUARANTINED)]


def test_a_file_that_the_loop_applied_by_itself_has_the_author_whom_it_runs_as() -> None:
    assert refused(World(by="loop", declared_by="loop", author="user:eve").approve("eve"), "author")


def test_who_changed_the_gates_of_what_the_loop_trained_is_an_author_too() -> None:
    world = World(by="loop", declared_by="user:dan")
    world.declare("g2", by="user:gil")
    world.train("run_2", by="loop", gates="g2", artifact="2")
    row = world.state.get(VERSIONS, "m/1.1.0")
    assert row is not None
    assert approvals.authors(world.state, row) == {"user:dan", "user:gil"}


def test_who_ships_comments_alone_is_no_author_and_takes_the_place_of_none() -> None:
    world = World(by="user:ana", declared_by="user:dan")
    world.declare("g1", by="user:cat")
    world.train("run_2", by="loop", artifact="2")
    row = world.state.get(VERSIONS, "m/1.1.0")
    assert row is not None
    assert approvals.authors(world.state, row) == {"user:dan"}


def test_who_asked_for_the_same_version_a_second_time_is_an_author_as_well() -> None:
    world = World(by="user:ana")
    world.train("run_2", by="user:ben")
    assert refused(world.approve("ben", seen="2"), "author")


def test_a_role_that_no_gate_asks_for_approves_nothing() -> None:
    assert refused(World().approve("ben", "approver"), "is no risk-officer")


def test_two_persons_are_two_persons_however_often_one_says_yes() -> None:
    world = World(PASSED, person("risk-officer", 2))
    (held,) = [event for event in world.approve("ben") if isinstance(event, VersionHeld)]  # type: ignore[union-attr]
    assert [verdict.why for verdict in held.verdicts if verdict.asks] == ["1 of 2 given (risk-officer)"]
    assert world.approve("ben") == (), "said already"
    assert world.row.state is VersionState.HELD
    world.approve("cat")
    assert world.row.state is VersionState.ELIGIBLE


def test_each_role_that_is_asked_for_is_asked_for() -> None:
    world = World(RISK, person("business-analyst"))
    world.approve("ben", "risk-officer")
    assert world.row.state is VersionState.HELD
    world.approve("cat", "business-analyst")
    assert world.row.state is VersionState.ELIGIBLE


def test_one_person_who_is_both_gives_both() -> None:
    world = World(RISK, person("approver"))
    world.approve("ben", "approver", "risk-officer")
    assert world.row.state is VersionState.ELIGIBLE


def test_a_yes_lifts_no_gate_that_lacks_rows_and_is_kept_until_they_came() -> None:
    world = World(LACKS, RISK)
    world.approve("ben")
    assert world.row.state is VersionState.HELD
    world.train("run_2", by="loop", candidate="1.0.0", verdicts=(PASSED, RISK))
    assert world.row.state is VersionState.ELIGIBLE
    assert [verdict.why for verdict in world.row.verdicts if verdict.asks] == ["given by user:ben (risk-officer)"]


def test_newer_rows_that_fail_a_gate_reject_whatever_a_person_has_said() -> None:
    world = World(LACKS, RISK)
    world.approve("ben")
    world.train("run_2", by="loop", candidate="1.0.0", verdicts=(FAILED, RISK))
    assert world.row.state is VersionState.REJECTED


def test_a_yes_to_other_gates_is_no_yes_to_these() -> None:
    world = World()
    world.approve("ben")
    world.declare("g2", by="user:gil")
    world.train("run_2", by="loop", gates="g2")
    assert world.row.state is VersionState.HELD
    assert world.row.gates_digest == "g2"
    world.approve("ben", seen="2")
    assert world.row.state is VersionState.ELIGIBLE


@pytest.mark.parametrize("again", ["1.0.0", ""])
def test_a_no_to_other_gates_is_a_no_to_these(again: str) -> None:
    world = World(PASSED)
    world.reject("ben", "approver")
    world.declare("g2", by="user:gil")
    assert not to_judge_anew(world.row, "g2", "v"), "what a person said no to is not judged anew"
    # a judging that was under way by then, or a training that learned the same
    world.train("run_2", by="loop", gates="g2", candidate=again)
    assert world.row.state is VersionState.REJECTED
    assert world.state.get(VERSIONS, "m/1.1.0") is None, "nor has it a second name"
    assert candidate(world.state, "m", 2) is None
    assert refused(world.release("user:cat"), "said no")


def test_between_the_declaration_of_gates_and_their_verdict_nothing_is_approved() -> None:
    world = World()
    world.declare("g2", by="user:gil")
    assert refused(world.approve("ben"), "other gates than those declared now")


def test_a_yes_is_to_what_the_person_saw() -> None:
    world = World(LACKS, RISK)
    world.train("run_2", by="loop", candidate="1.0.0", verdicts=(LACKS, RISK))
    assert refused(world.approve("ben", seen="1"), "judged again")
    assert not isinstance(world.approve("ben", seen="2"), Refusal)


def test_a_version_that_waits_for_rows_alone_is_no_persons_matter() -> None:
    assert refused(World(LACKS).approve("ben", "approver"), "waits for a person")


def test_what_failed_or_passed_already_is_not_approved() -> None:
    assert refused(World(FAILED, RISK).approve("ben"), "rejected")
    world = World()
    world.approve("ben")
    assert refused(world.approve("cat"), "no gate of it waits for a yes")


def test_an_alternative_to_figures_is_a_persons_yes() -> None:
    either = Verdict(check="a or b", outcome=Outcome.INSUFFICIENT, asks=(Asked(role="lead", count=1), Asked(role="risk-officer", count=2)))
    world = World(either)
    world.approve("ben", "risk-officer")
    assert world.row.state is VersionState.HELD
    world.approve("cat", "lead")
    assert world.row.state is VersionState.ELIGIBLE


def test_newer_rows_are_worth_a_look_only_where_they_can_lift_a_gate() -> None:
    holdout = Holdout(frame=None, task="binary")  # type: ignore[arg-type]  # no row is looked at
    assert of_persons(RISK)
    assert not of_persons(LACKS)
    [either] = judge([fb.approval("lead") | (fb.metric("rmse") <= 0.6)], holdout)
    assert (len(either.asks), of_persons(either)) == (1, False)
    [any_person] = judge([fb.approval("lead") | fb.approval("risk-officer")], holdout)
    assert (len(any_person.asks), of_persons(any_person)) == (2, True)


def test_who_approved_does_not_release_and_somebody_else_or_the_loop_does() -> None:
    world = World()
    world.approve("ben")
    row = msgspec.structs.replace(world.row, **({"signature": "signed"} if hasattr(world.row, "signature") else {}))
    world.state.put(VERSIONS, "m/1.0.0", row)
    assert refused(world.release("user:ben"), "has approved")
    for other in ("user:ana", "user:cat", "loop"):
        assert not isinstance(world.release(other), Refusal), other


def test_who_has_released_it_does_not_approve_it() -> None:
    world = World(by="loop")
    planned = RolloutPlanned(rollout="ro_1", model="m", version="1.0.0", champion="", steps=(), evidence="live", attempt=1, reason="")
    failed = RolloutMoved(rollout="ro_1", model="m", source=RolloutState.PLANNED, target=RolloutState.WARMING, step=0, why="")
    over = RolloutMoved(rollout="ro_1", model="m", source=RolloutState.WARMING, target=RolloutState.FAILED, step=0, why="")
    world.tell(planned, failed, over, by="user:ben")
    assert refused(world.approve("ben"), "has released")
    assert not isinstance(world.approve("cat"), Refusal)


@pytest.mark.parametrize("who", ["ben", "ana"])
def test_a_no_rejects_whatever_the_other_gates_say_and_an_author_may_say_it(who: str) -> None:
    world = World()
    denied, judged = world.reject(who)  # type: ignore[misc]
    assert isinstance(denied, VersionDenied)
    assert isinstance(judged, VersionRejected)
    assert f"user:{who} said no" in "; ".join(verdict.why for verdict in judged.verdicts)
    assert world.row.state is VersionState.REJECTED
    assert refused(world.approve("cat"), "rejected")
    assert refused(world.release("loop"), "said no")


@pytest.mark.parametrize("verdicts", [(PASSED,), (LACKS,), (PASSED, RISK)])
def test_who_is_no_approver_and_whom_no_gate_asks_for_has_no_say(verdicts: tuple[Verdict, ...]) -> None:
    wanted = "risk-officer" if RISK in verdicts else "approver"
    # of what waits for rows alone nobody's yes is wanted, and nobody is sent for somebody who would say it
    yes = "waits for a person" if verdicts == (LACKS,) else f"is no {wanted}"
    for say, why in ((World.approve, yes), (World.reject, f"is no {wanted}")):
        assert refused(say(World(*verdicts), "ben", "admin", "viewer"), why)
    none_waits = World(PASSED).approve("ben", "admin", "viewer")
    assert isinstance(none_waits, Refusal)
    assert none_waits.fix == "flyball models show m@1.0.0", "nobody is sent for a yes that would be refused"


@pytest.mark.parametrize("role", ["viewer", "admin", "data-scientist"])
def test_a_gate_may_ask_for_any_role_or_job(role: str) -> None:
    gates = (PASSED, person(role))
    assert not isinstance(World(*gates).approve("ben", role), Refusal)
    assert not isinstance(World(*gates).reject("ben", role), Refusal)


def test_a_no_is_said_by_whom_the_gates_ask_or_by_any_approver_where_none_asks() -> None:
    assert refused(World().reject("ben", "approver"), "is no risk-officer")
    world = World(PASSED)
    assert world.row.state is VersionState.ELIGIBLE
    world.reject("ben", "approver")
    assert world.row.state is VersionState.REJECTED


def test_what_is_on_its_way_is_rolled_back_and_not_rejected() -> None:
    world = World(PASSED)
    world.tell(RolloutPlanned(rollout="ro_1", model="m", version="1.0.0", champion="", steps=(), evidence="live", attempt=1, reason=""))
    assert refused(world.reject("ben", "approver"), "taken back, not rejected")


def test_the_yes_of_a_run_counts_as_it_does_later() -> None:
    gate = fb.approval("risk-officer", count=2)
    given = [Approved("risk-officer", "user:ben"), Approved("risk-officer", "user:cat"), Approved("lead", "user:dan")]
    holdout = Holdout(frame=None, task="binary")  # type: ignore[arg-type]  # no row is looked at
    assert combine(judge([gate], holdout, approvals=given)) is Outcome.PASS
    assert combine(judge([gate], holdout, approvals=given[:1] * 2)) is Outcome.INSUFFICIENT
