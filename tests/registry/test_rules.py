"""Names of versions, what verdicts make of them, and who may go out."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flyball.records.estimates import Asked, Outcome, Verdict
from flyball.records.models import Field, Signature
from flyball.records.versions import Said, VersionEligible, VersionHeld, VersionRejected, VersionRow, VersionState
from flyball.registry.rules import breaks, judge, may_release, met_another, next_version

OLD = Signature(
    task="binary",
    fields=(Field(name="day", type="int", low=1, high=7), Field(name="kind", type="str", one_of=("a", "b"), nullable=True)),
    classes=(0, 1),
)


def changed(**fields: object) -> Signature:
    day = msgspec.structs.replace(OLD.fields[0], **fields)
    return msgspec.structs.replace(OLD, fields=(day, OLD.fields[1]))


def test_the_first_version_is_1_0_0_and_a_training_raises_the_minor():
    assert next_version("", None, OLD) == "1.0.0"
    assert next_version("1.9.3", OLD, OLD) == "1.10.0"
    assert next_version("1.9.3", OLD, OLD, repackaged=True) == "1.9.4"
    assert next_version("1.9.3", None, OLD) == "1.10.0"


@pytest.mark.parametrize(
    ("new", "says"),
    [
        (msgspec.structs.replace(OLD, fields=OLD.fields[:1]), "kind is gone"),
        (msgspec.structs.replace(OLD, fields=(*OLD.fields, Field(name="hour", type="int"))), "hour is new"),
        (msgspec.structs.replace(OLD, classes=(0, 1, 2)), "classes"),
        (msgspec.structs.replace(OLD, task="regression"), "task"),
        (changed(type="str"), "was int and is str"),
        (changed(low=2), "least value is 2"),
        (changed(high=6), "largest value is 6"),
        (changed(one_of=(1, 2)), "one of 1, 2"),
        (msgspec.structs.replace(OLD, fields=(OLD.fields[0], Field(name="kind", type="str", one_of=("a",), nullable=True))), "one of a"),
        (msgspec.structs.replace(OLD, fields=(OLD.fields[0], Field(name="kind", type="str", one_of=("a", "b")))), "no longer be null"),
    ],
)
def test_what_refuses_or_misreads_an_old_caller_is_a_major_version(new: Signature, says: str):
    assert says in "; ".join(breaks(OLD, new))
    assert next_version("1.9.3", OLD, new) == "2.0.0"


def test_one_change_of_requests_is_one_major_however_often_it_is_trained():
    new = changed(low=2)
    assert next_version("1.4.0", OLD, new, champion="1.4.0", latest=OLD) == "2.0.0"
    assert next_version("2.0.0", OLD, new, champion="1.4.0", latest=new) == "2.1.0"
    assert next_version("2.1.0", OLD, new, champion="1.4.0", latest=None) == "3.0.0", "what its callers send is not known any more"
    assert next_version("2.1.0", OLD, changed(low=3), champion="1.4.0", latest=new) == "3.0.0", "another change"
    assert next_version("2.1.0", changed(low=1), new, champion="2.0.0", latest=new) == "3.0.0", "the champion has this major too"
    assert next_version("2.1.0", OLD, OLD, champion="1.4.0", latest=new) == "2.2.0", "it takes more"
    more = msgspec.structs.replace(OLD, fields=(*OLD.fields, Field(name="hour", type="int")))
    assert next_version("2.1.0", OLD, OLD, champion="1.4.0", latest=more) == "3.0.0", "taken back: it is no 2.2.0 to a caller of 2.1.0"


def test_a_field_whose_breaches_were_answered_and_are_refused_now_takes_less():
    lax = changed(on_request="mark")
    assert breaks(lax, OLD) == (f"field {OLD.fields[0].name} takes less: what breaks its contract is refused",)
    assert breaks(OLD, lax) == ()
    assert breaks(changed(on_request="impute", usual=3), changed(on_request="impute", usual=4)) == ()


@pytest.mark.parametrize("new", [changed(type="float"), changed(low=None), changed(high=9), changed(nullable=True), OLD])
def test_what_takes_more_than_before_breaks_nobody(new: Signature):
    assert breaks(OLD, new) == ()


@given(st.tuples(*[st.integers(0, 50)] * 3), st.sampled_from([OLD, changed(low=2)]), st.booleans())
def test_numbers_only_rise(newest, new, repackaged):
    following = next_version(".".join(map(str, newest)), OLD, new, repackaged=repackaged)
    assert tuple(map(int, following.split("."))) > newest


def verdict(outcome: Outcome, check: str = "accuracy ≥ 0.62", why: str = "0.61 [0.55, 0.67], n=400") -> Verdict:
    return Verdict(check=check, outcome=outcome, why=why)


@pytest.mark.parametrize(
    ("outcomes", "kind"),
    [
        ([], VersionEligible),
        ([Outcome.PASS, Outcome.WAIVED], VersionEligible),
        ([Outcome.PASS, Outcome.INSUFFICIENT], VersionHeld),
        ([Outcome.INSUFFICIENT, Outcome.FAIL], VersionRejected),
    ],
)
def test_a_fail_rejects_and_too_little_data_holds(outcomes, kind):
    assert isinstance(judge("price", "1.0.0", [verdict(each) for each in outcomes]), kind)


def row(state: VersionState, *verdicts: Verdict, signature: str = "signed") -> VersionRow:
    return VersionRow(
        model="price", version="1.3.9", state=state, run="run_1", artifact="", result="", version_digest="", policy_digest="",
        data={}, metrics={}, registered_at=0, verdicts=verdicts, signature=signature,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("met", "champion", "said"),
    [
        ("1.0.0", "1.0.0", ""),
        ("1.0.0", "1.1.0", "its gates compared 1.3.9 with 1.0.0; the champion is 1.1.0 now"),
        ("", "1.1.0", "its gates compared 1.3.9 with no champion; the champion is 1.1.0 now"),
        ("", "", ""),
        ("1.0.0", "1.3.9", ""),
        (None, "1.1.0", ""),
    ],
)
def test_it_is_known_which_champion_the_gates_of_a_version_met(met: str | None, champion: str, said: str) -> None:
    told = met_another(msgspec.structs.replace(row(VersionState.ELIGIBLE), against=met), champion)
    assert told.startswith(said)
    assert bool(told) is bool(said)


@pytest.mark.parametrize("state", [VersionState.ELIGIBLE, VersionState.DEPLOYED, VersionState.RETIRED])
def test_what_passed_its_gates_may_be_released(state):
    assert may_release(row(state), 1) is None


@pytest.mark.parametrize("state", [VersionState.ELIGIBLE, VersionState.DEPLOYED, VersionState.RETIRED])
def test_what_is_not_signed_is_not_released(state):
    refusal = may_release(row(state, signature=""), 1)
    assert refusal is not None
    assert refusal.what == "price@1.3.9 is not signed"
    assert "flyball tick" in refusal.fix


def test_every_other_state_is_refused_with_a_reason_and_a_way_on():
    for state in set(VersionState) - {VersionState.ELIGIBLE, VersionState.DEPLOYED, VersionState.RETIRED}:
        refusal = may_release(row(state, verdict(Outcome.FAIL), verdict(Outcome.INSUFFICIENT)), 1)
        assert refusal is not None
        assert refusal.why, state
        assert refusal.fix, state
        assert "price@1.3.9" in refusal.what


def test_a_failed_gate_is_named_with_its_numbers():
    refusal = may_release(row(VersionState.REJECTED, verdict(Outcome.PASS), verdict(Outcome.FAIL)), 1)
    assert refusal is not None
    assert refusal.what == "price@1.3.9 failed a gate"
    assert refusal.why == "accuracy ≥ 0.62: 0.61 [0.55, 0.67], n=400"


def test_an_open_approval_asks_for_another_person():
    open_gate = verdict(Outcome.INSUFFICIENT, "approval by 1 risk-officer", "none given")
    open_gate = msgspec.structs.replace(open_gate, asks=(Asked(role="risk-officer", count=1),))
    refusal = may_release(row(VersionState.HELD, open_gate), 1)
    assert refusal is not None
    assert refusal.what == "price@1.3.9 has an open gate"
    assert refusal.why == "approval by 1 risk-officer: none given"
    assert refusal.fix == 'another person, as risk-officer, says flyball approve price@1.3.9 --reason "…"'


def test_a_failed_gate_is_waived_by_another_person_in_words_that_can_be_copied():
    refusal = may_release(row(VersionState.REJECTED, verdict(Outcome.FAIL)), 1)
    assert refusal is not None
    assert (
        'another person, as approver or admin, lets it pass: flyball waive price@1.3.9 --gate "accuracy ≥ 0.62" --reason "…"' in refusal.fix
    )


def test_a_person_s_no_is_waived_by_nobody():
    said = Said(actor="user:ben", yes=False, roles=("approver",), reason="unfair", at=1, gates_digest="")
    rejected = msgspec.structs.replace(row(VersionState.REJECTED, verdict(Outcome.FAIL)), said=(said,))
    refusal = may_release(rejected, 1)
    assert refusal is not None
    assert refusal.fix == "train a better version: flyball train price"
