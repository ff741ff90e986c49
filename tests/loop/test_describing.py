"""The texts of a card that only a person can write: who writes them, what a gate makes of them, and that each is on the record."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

import flyball as fb
from flyball.clock import Span
from flyball.declare.checks import AnyOf, Check
from flyball.errors import BadInput
from flyball.evaluation.gates import judge
from flyball.evaluation.holdout import Holdout
from flyball.evaluation.persons import of_card, written
from flyball.loop.describing import Describe, decide_describe, describe
from flyball.loop.folds import FOLDS
from flyball.records.base import Event, Recorded, Refusal
from flyball.records.estimates import Outcome, Verdict
from flyball.records.training import RunResult
from flyball.records.versions import BLANKS, VersionDeleted, VersionDeployed, VersionHeld, VersionRejected, VersionRow, VersionState
from flyball.registry.rules import may_release

from .test_lifecycle import FAILED, Lived
from .test_releases import TOOK

OPEN = Verdict(check="card_blanks ≤ 0", outcome=Outcome.INSUFFICIENT, why="not written", blanks=0)
PASSED = Verdict(check="accuracy ≥ 0.6", outcome=Outcome.PASS)
RESULT = "3" * 64


class Carded(Lived):
    """1.1.0 is held by these verdicts."""

    def __init__(self, *verdicts: Verdict) -> None:
        super().__init__()
        self.what = RunResult(
            artifact="2" * 64,
            signature=TOOK,
            parameters={},
            window=Span.parse("7d"),
            rows=1,
            holdout_rows=1,
            metrics={},
            baseline={},
            verdicts=verdicts,
        )

    def held(self) -> Carded:
        self.tell(VersionHeld(model="m", version="1.1.0", verdicts=self.what.verdicts))
        return self

    def writes(self, blank: str, text: str, *, result: str = RESULT, version: str = "1.1.0") -> Sequence[Event] | Refusal:
        command = Describe(id="c", actor="user:ana", model="m", version=version, blank=blank, text=text, result=result, what=self.what)
        outcome = decide_describe(self.state, command, 7)
        for event in () if isinstance(outcome, Refusal) else outcome:
            FOLDS[type(event)](self.state, Recorded(1, 7, "user:ana", "c", event))
        return outcome


def kinds(outcome: Sequence[Event] | Refusal) -> list[str]:
    assert not isinstance(outcome, Refusal), outcome
    return [event.kind for event in outcome]


def refused(row: VersionRow) -> str:
    found = may_release(row, 7)
    assert found is not None
    return f"{found.why}; {found.fix}"


def test_a_version_waits_for_its_card_and_may_be_released_with_the_last_text() -> None:
    world = Carded(PASSED, OPEN).held()
    assert "flyball models card m@1.1.0 --fill out_of_scope" in refused(world.row())
    for blank in BLANKS[:-1]:
        assert kinds(world.writes(blank, "told")) == ["version.described", "version.held"]
    assert f"not written: {BLANKS[-1]}" in refused(world.row())
    assert kinds(world.writes(BLANKS[-1], "told")) == ["version.described", "version.eligible"]
    row = world.row()
    assert (row.state, row.blanks, row.card["ethics"].actor, row.card["ethics"].at) == (VersionState.ELIGIBLE, (), "user:ana", 7)
    [passed] = [verdict for verdict in row.verdicts if verdict.blanks is not None]
    assert (passed.outcome, passed.why) == (Outcome.PASS, "the card is written")
    assert passed.estimate is not None
    assert passed.estimate.value == 0


def test_a_text_that_is_taken_back_holds_the_version_again() -> None:
    world = Carded(PASSED, OPEN).held()
    for blank in BLANKS:
        world.writes(blank, "told")
    assert kinds(world.writes("ethics", "")) == ["version.described", "version.held"]
    assert world.row().blanks == ("ethics",)


def test_a_card_lifts_no_gate_that_failed_or_lacks_rows() -> None:
    lacks = Verdict(check="accuracy ≥ 0.6", outcome=Outcome.INSUFFICIENT, why="n=3 < 100")
    world = Carded(lacks, OPEN).held()
    for blank in BLANKS:
        world.writes(blank, "told")
    assert world.row().state is VersionState.HELD
    failed = Carded(FAILED, OPEN)
    failed.tell(VersionRejected(model="m", version="1.1.0", verdicts=failed.what.verdicts))
    for blank in BLANKS:
        assert kinds(failed.writes(blank, "told")) == ["version.described", "version.rejected"]
    assert failed.row().state is VersionState.REJECTED
    assert [verdict.outcome for verdict in failed.row().verdicts] == [Outcome.FAIL, Outcome.PASS], (
        "what it says of its card is as the card is"
    )


def test_without_a_gate_on_the_card_a_text_is_written_and_nothing_is_judged() -> None:
    world = Carded(PASSED)
    assert kinds(world.writes("limitations", "not at night")) == ["version.described"]
    assert kinds(world.writes("limitations", "not at night")) == [], "it is so already"
    assert world.row().state is VersionState.ELIGIBLE


def test_a_released_version_stays_what_it_is() -> None:
    world = Carded(PASSED, OPEN)
    world.tell(VersionDeployed(model="m", version="1.0.0"))
    assert kinds(world.writes("limitations", "not at night", version="1.0.0")) == ["version.described", "version.judged"]
    assert world.row("1.0.0").state is VersionState.DEPLOYED


def test_what_was_judged_again_meanwhile_or_is_gone_is_not_written_on() -> None:
    world = Carded(PASSED, OPEN).held()
    again = world.writes("ethics", "told", result="4" * 64)
    assert isinstance(again, Refusal)
    assert "judged again just now" in again.what
    missing = world.writes("ethics", "told", version="9.9.9")
    assert isinstance(missing, Refusal)
    assert missing.code == "not-found"
    world.tell(VersionRejected(model="m", version="1.1.0", verdicts=(FAILED,)), VersionDeleted(model="m", version="1.1.0", why="old"))
    gone = world.writes("ethics", "told")
    assert isinstance(gone, Refusal)
    assert "is deleted" in gone.what


def test_a_blank_that_no_card_has_and_a_text_without_end_are_refused() -> None:
    row = Carded(PASSED).row()
    with pytest.raises(BadInput, match='no blank "limits"'):
        describe(None, row, command="c", actor="a", blank="limits", text="x")  # type: ignore[arg-type]  # nothing is read
    with pytest.raises(BadInput, match="3,001 characters"):
        describe(None, row, command="c", actor="a", blank="ethics", text="x" * 3_001)  # type: ignore[arg-type]


def holdout() -> Holdout:
    return Holdout(pl.DataFrame({"y": [0, 1] * 100, "value": [0, 1] * 100}), "binary")


@pytest.mark.parametrize(
    ("check", "allowed"), [(fb.metric("card_blanks") <= 0, 0), (fb.metric("card_blanks") < 2, 1), (fb.metric("card_blanks") <= 1.5, 1)]
)
def test_the_gate_is_open_after_a_run_and_says_what_is_not_written(check: Check, allowed: int) -> None:
    [verdict] = judge([check], holdout())
    assert (verdict.outcome, verdict.blanks) == (Outcome.INSUFFICIENT, allowed)
    assert verdict.why == "not written: out_of_scope, limitations, ethics"
    assert of_card(verdict)


def test_beside_an_alternative_the_card_may_still_let_it_pass() -> None:
    either = (fb.metric("accuracy") >= 1.1) | (fb.metric("card_blanks") <= 0)
    assert isinstance(either, AnyOf)
    [verdict] = judge([either], holdout())
    assert (verdict.outcome, of_card(verdict)) == (Outcome.INSUFFICIENT, False)
    [then] = written([verdict], ())
    assert then.outcome is Outcome.PASS
    assert written([verdict], ("ethics",)) == (verdict,)


@given(st.sets(st.sampled_from(BLANKS)), st.integers(0, 3))
def test_it_passes_with_as_many_blanks_as_it_allows_and_with_no_more(blanks: set[str], allowed: int) -> None:
    verdict = msgspec.structs.replace(OPEN, blanks=allowed)
    [then] = written([verdict], sorted(blanks))
    assert (then.outcome is Outcome.PASS) == (len(blanks) <= allowed)
