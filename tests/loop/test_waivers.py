"""A waiver lets a version pass one gate, for a time, by another person; it lifts no person's no, and it ends."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flyball.errors import BadInput
from flyball.evaluation.persons import of_persons
from flyball.loop.folds import FOLDS
from flyball.loop.proposals import candidate
from flyball.loop.releases import Release, decide_release
from flyball.loop.waivers import Waive, decide_waive, end_of
from flyball.records.base import Event, Recorded, Refusal
from flyball.records.estimates import Outcome, Verdict
from flyball.records.rollouts import RolloutMoved, RolloutPlanned, RolloutState
from flyball.records.versions import VersionDeployed, VersionEligible, VersionJudged, VersionSigned, VersionState, VersionWaived
from flyball.registry.approvals import approvers, doubts, lifted, run_out

from .test_approvals import FAILED, LACKS, MODEL, PASSED, RISK, SIGNATURE, World, refused

SLICED = (
    Verdict(check="recall ≥ 0.5", outcome=Outcome.FAIL, slice="sex=Female", why="0.3"),
    Verdict(check="recall ≥ 0.5", outcome=Outcome.FAIL, slice="sex=Male", why="0.4"),
)
GATE = "accuracy ≥ 0.6"


class Waived(World):
    """The world of approvals, in which a person can waive too."""

    def waive(
        self,
        who: str = "ben",
        *held: str,
        gate: str = GATE,
        until: int = 0,
        now: int = 1,
        verdicts: Sequence[Verdict] = (),
        seen: str = "1",
    ) -> Sequence[Event] | Refusal:
        command = Waive(
            id=f"waive-{who}",
            actor=f"user:{who}",
            model="m",
            version="1.0.0",
            held=held or ("approver",),
            gate=gate,
            reason="for the holidays",
            until=until,
            result=seen * 64,
            what=self.result("1", verdicts or self.verdicts),
        )
        return self.done(decide_waive(self.state, command, now), command.actor)

    def release_at(self, now: int, actor: str = "loop") -> Sequence[Event] | Refusal:
        self.tell(VersionSigned(model="m", version="1.0.0", note="signed"))
        command = Release(id="r", actor=actor, rollout="ro_9", model="m", version="1.0.0", reason="")
        return decide_release(self.state, command, now, model=MODEL, folds=FOLDS, signatures=lambda _artifact: SIGNATURE)


@pytest.mark.parametrize(("verdict", "before"), [(FAILED, VersionState.REJECTED), (LACKS, VersionState.HELD)])
def test_a_version_whose_only_open_gate_is_waived_is_eligible(verdict: Verdict, before: VersionState) -> None:
    world = Waived(verdict)
    assert world.row.state is before
    waived, judged = world.waive()  # type: ignore[misc]
    assert isinstance(waived, VersionWaived)
    assert isinstance(judged, VersionEligible)
    assert world.row.state is VersionState.ELIGIBLE
    [one] = world.row.verdicts
    assert one.outcome is Outcome.WAIVED
    assert "waived by user:ben: for the holidays; it was" in one.why
    assert not isinstance(world.release_at(2), Refusal)


def test_a_yes_to_a_version_that_failed_a_gate_is_told_what_comes_first_and_in_that_order_it_passes() -> None:
    world = Waived(FAILED, RISK)
    told = world.approve("ben")
    assert isinstance(told, Refusal)
    waive, approve = (told.fix.index(text) for text in ("flyball waive m@1.0.0 --gate", "flyball approve m@1.0.0"))
    assert told.fix.index("train a better version") < waive < approve
    world.waive("gil")
    assert world.row.state is VersionState.HELD
    world.approve("ben")
    assert world.row.state is VersionState.ELIGIBLE


def test_one_waiver_of_two_leaves_the_version_rejected() -> None:
    world = Waived(FAILED, Verdict(check="roc_auc ≥ 0.9", outcome=Outcome.FAIL))
    world.waive()
    assert world.row.state is VersionState.REJECTED
    world.waive(gate="roc_auc >= 0.9")
    assert world.row.state is VersionState.ELIGIBLE


def test_a_gate_is_waived_in_all_its_slices_or_in_the_one_that_is_named() -> None:
    world = Waived(*SLICED)
    world.waive(gate="recall ≥ 0.5 in sex=Female")
    assert [one.outcome for one in world.row.verdicts] == [Outcome.WAIVED, Outcome.FAIL]
    assert world.row.state is VersionState.REJECTED
    whole = Waived(*SLICED)
    whole.waive(gate="recall>=0.5")
    assert whole.row.state is VersionState.ELIGIBLE


def test_an_expired_waiver_blocks_again_whoever_asks() -> None:
    world = Waived(FAILED)
    world.waive(until=100)
    assert candidate(world.state, "m", 99) is not None
    assert not isinstance(world.release_at(99), Refusal)
    assert candidate(world.state, "m", 100) is None, "the loop releases it no more"
    for who in ("loop", "user:cat"):
        out = world.release_at(100, who)
        assert refused(out, "the waiver has expired")
        assert isinstance(out, Refusal)
        assert "1970-01-01T00:00:00.000100Z" in out.why
        assert "flyball waive m@1.0.0" in out.fix
    assert doubts(world.row, 99) == []
    assert ["its waiver expired" in text for text in doubts(world.row, 100)] == [True]


def test_a_waiver_that_is_given_again_takes_the_place_of_the_one_that_expired() -> None:
    world = Waived(FAILED)
    world.waive(until=100)
    world.waive("cat", until=300, now=150)
    assert run_out(world.row, 200) == []
    assert not isinstance(world.release_at(200), Refusal)
    assert refused(world.release_at(300), "have expired")


def test_a_version_that_is_released_stays_so_and_its_verdicts_follow_the_waiver() -> None:
    world = Waived(PASSED)
    world.tell(RolloutPlanned(rollout="ro_1", model="m", version="1.0.0", champion="", steps=(), evidence="live", attempt=1, reason=""))
    world.tell(VersionDeployed(model="m", version="1.0.0"))
    _, judged = world.waive(verdicts=(FAILED,))  # type: ignore[misc]
    assert isinstance(judged, VersionJudged)
    assert world.row.state is VersionState.DEPLOYED
    assert world.row.verdicts[0].outcome is Outcome.WAIVED


def test_no_author_waives_and_who_has_waived_does_not_release() -> None:
    assert refused(Waived(FAILED, by="user:ben").waive(), "is the author of m@1.0.0, and cannot waive")
    assert refused(Waived(FAILED, by="loop", declared_by="user:ben").waive(), "is the author")
    world = Waived(FAILED)
    world.waive()
    assert approvers(world.row) == {"user:ben"}
    assert refused(world.release_at(2, "user:ben"), "waived a gate of it, and cannot release it")
    assert not isinstance(world.release_at(2, "user:cat"), Refusal)


def test_who_has_released_it_does_not_waive() -> None:
    world = Waived(LACKS, by="loop")
    planned = RolloutPlanned(rollout="ro_1", model="m", version="1.0.0", champion="", steps=(), evidence="live", attempt=1, reason="")
    failed = RolloutMoved(rollout="ro_1", model="m", source=RolloutState.PLANNED, target=RolloutState.WARMING, step=0, why="")
    over = RolloutMoved(rollout="ro_1", model="m", source=RolloutState.WARMING, target=RolloutState.FAILED, step=0, why="")
    world.tell(planned, failed, over, by="user:ben")
    assert refused(world.waive(), "has released")


def test_the_gate_that_asks_for_a_person_is_waived_by_an_admin_whom_it_does_not_ask() -> None:
    gate = RISK.check
    assert of_persons(RISK)
    assert refused(Waived(PASSED, RISK).waive("ben", "risk-officer", "approver", gate=gate), "whose yes")
    assert refused(Waived(PASSED, RISK).waive("ben", "risk-officer", "admin", gate=gate), "whose yes")
    assert refused(Waived(PASSED, RISK).waive("ben", "approver", gate=gate), "may not waive approval by 1 risk-officer")
    world = Waived(PASSED, RISK)
    world.waive("ada", "admin", gate=gate)
    assert world.row.state is VersionState.ELIGIBLE


def test_a_waiver_lifts_no_persons_no() -> None:
    world = Waived(LACKS, RISK)
    world.reject("cat")
    assert refused(world.waive(), "said no to m@1.0.0")
    assert refused(world.waive("ada", "admin", gate=RISK.check), "said no")
    assert world.row.state is VersionState.REJECTED


def test_a_no_that_comes_after_a_waiver_rejects() -> None:
    world = Waived(FAILED)
    world.waive()
    world.reject("cat", "approver")
    assert world.row.state is VersionState.REJECTED


@pytest.mark.parametrize(
    ("gate", "waives"),
    [
        (RISK, "admin"),
        (Verdict(check=f"{GATE} or {RISK.check}", outcome=Outcome.FAIL, why="0.5", asks=RISK.asks), "approver"),
    ],
)
def test_a_no_of_whom_the_waived_gate_asks_rejects(gate: Verdict, waives: str) -> None:
    world = Waived(gate)
    world.waive("ada", waives, gate=gate.check)
    assert world.row.state is VersionState.ELIGIBLE
    world.reject("cat")
    assert world.row.state is VersionState.REJECTED
    assert "user:cat said no" in world.row.verdicts[0].why
    assert candidate(world.state, "m", 2) is None


@pytest.mark.parametrize(
    ("gate", "said"),
    [
        ("roc_auc ≥ 0.6", 'has no gate "roc_auc ≥ 0.6"'),
        ("accuracy", "has no gate"),
        (GATE, "passes accuracy"),
    ],
)
def test_a_gate_that_is_not_there_or_that_passes_is_not_waived(gate: str, said: str) -> None:
    assert refused(Waived(PASSED).waive(gate=gate), said)


def test_a_waiver_counts_for_the_gates_that_it_was_given_to() -> None:
    world = Waived(FAILED)
    world.waive()
    world.declare("g2", by="user:dan")
    assert refused(world.release_at(2), "judged by other gates")
    assert refused(world.waive("cat"), "judged by other gates")
    world.train("run_2", by="loop", gates="g2", verdicts=(FAILED,))
    assert world.row.state is VersionState.REJECTED, "the old waiver says nothing of the new gates"


def test_a_waiver_is_of_what_the_person_saw() -> None:
    assert refused(Waived(FAILED).waive(seen="7"), "judged again just now")


def test_what_was_waived_stays_so_when_newer_rows_judge_it() -> None:
    lacking = Verdict(check="roc_auc ≥ 0.6", outcome=Outcome.INSUFFICIENT)
    world = Waived(FAILED, lacking)
    world.waive()
    assert world.row.state is VersionState.HELD
    world.train("run_2", by="loop", candidate="1.0.0", verdicts=(FAILED, Verdict(check="roc_auc ≥ 0.6", outcome=Outcome.PASS)))
    assert world.row.state is VersionState.ELIGIBLE
    assert {one.outcome for one in world.row.verdicts} == {Outcome.WAIVED, Outcome.PASS}


def test_what_was_waived_for_want_of_rows_is_not_waived_when_rows_show_that_it_fails() -> None:
    world = Waived(LACKS)
    world.waive()
    assert world.row.waivers[0].outcomes == (Outcome.INSUFFICIENT,)
    world.train("run_2", by="loop", candidate="1.0.0", verdicts=(LACKS,))
    assert world.row.state is VersionState.ELIGIBLE, "newer rows that are too few change nothing"
    fails = lifted(world.row, (FAILED,), "g1", 2)
    assert [one.outcome for one in fails] == [Outcome.FAIL]
    world.waive("cat", verdicts=(FAILED,), until=100)
    assert world.row.state is VersionState.ELIGIBLE, "a person may waive the fail too"
    assert world.row.waivers[1].outcomes == (Outcome.FAIL,)
    assert run_out(world.row, 99) == []
    assert run_out(world.row, 100) == [world.row.waivers[1]], "the other takes no place of it"


def test_a_waiver_that_does_not_say_what_it_was_given_to_is_of_both() -> None:
    for verdict in (FAILED, LACKS):
        world = Waived(verdict)
        world.tell(VersionWaived(model="m", version="1.0.0", gate=GATE, slice="", reason="", until=0, gates_digest="g1"), by="user:ben")
        assert [one.outcome for one in lifted(world.row, (verdict,), "g1", 2)] == [Outcome.WAIVED]


def test_an_end_is_a_span_from_now_or_a_moment() -> None:
    now = 1_000_000
    assert end_of("", now) == 0
    assert end_of("7d", now) == now + 7 * 86_400_000_000
    assert end_of("1970-01-02T00:00:00Z", now) == 86_400_000_000
    for bad in (
        "soon",
        "-1d",
        "0s",
        "1970-01-01T00:00:00Z",
        "9999999d",
        "99999-01-01T00:00:00Z",
        "9999-12-31T23:59:59-12:00",
        "2256-01-01",
    ):
        with pytest.raises(BadInput):
            end_of(bad, now)


@given(st.lists(st.tuples(st.integers(0, 50), st.booleans()), min_size=1, max_size=6), st.integers(0, 60))
def test_a_failed_gate_is_passed_exactly_while_a_waiver_of_it_lasts(given_: list[tuple[int, bool]], now: int) -> None:
    world = Waived(*SLICED, LACKS)
    for place, (until, whole) in enumerate(given_):
        gate = "recall ≥ 0.5" if whole else "recall ≥ 0.5 in sex=Male"
        event = VersionWaived(
            model="m",
            version="1.0.0",
            gate="recall ≥ 0.5",
            slice="" if whole else "sex=Male",
            reason=gate,
            until=until,
            gates_digest=world.row.gates_digest,
        )
        FOLDS[VersionWaived](world.state, Recorded(place, 1, "user:ben", "c", event))
    female, male, other = lifted(world.row, world.verdicts, world.row.gates_digest, now)
    live = [whole for until, whole in given_ if until == 0 or until > now]
    assert (female.outcome is Outcome.WAIVED) == any(live)
    assert (male.outcome is Outcome.WAIVED) == bool(live)
    assert other == LACKS
