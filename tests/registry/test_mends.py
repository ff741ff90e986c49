"""What ends the wait of a held version: of each kind of open gate, once."""

from __future__ import annotations

import msgspec
import pytest

from flyball.records.estimates import Asked, Estimate, Outcome, Verdict
from flyball.records.versions import Said, VersionRow, VersionState
from flyball.registry.mends import mends


def open_gate(check: str, why: str = "", estimate: Estimate | None = None, *, role: str = "", blanks: int | None = None) -> Verdict:
    asks = (Asked(role=role, count=1),) if role else ()
    return Verdict(check=check, outcome=Outcome.INSUFFICIENT, why=why, estimate=estimate, asks=asks, blanks=blanks)


A_YES = open_gate("approval by 1 approver", "none given", role="approver")
A_CARD = open_gate("card_blanks ≤ 0", "not written: ethics", blanks=0)
NO_PRICE = open_gate("train_cost ≤ 0.4 USD", "no price is set", Estimate(value=None, why="no price is set"))
NOT_MEASURED = open_gate("robustness_noise ≤ 0.1", "robustness: it raised ValueError")
FEW_ROWS = open_gate("accuracy in each day ≥ 0.7", "n=3 < 100", Estimate(value=0.6, n=3))
FEW_CALLS = open_gate("upper bound of latency_p99 ≤ 50ms", "20 calls are too few", Estimate(value=3.0, n=20))
NO_CASES = open_gate("suite winter: r2 ≥ 0.5", "data/winter.csv does not exist")
FEW_CASES = open_gate("suite winter: r2 ≥ 0.5", "n=3 < 100", Estimate(value=0.6, n=3))
LEARNED = open_gate(
    "suite winter: r2 ≥ 0.5",
    "0.98, at least 0.500; 590 of its 600 rows are in training too (98.3%): what was learned by heart says nothing of new cases",
    Estimate(value=0.98, n=600),
)
LEARNED_FEW = msgspec.structs.replace(LEARNED, estimate=Estimate(value=0.98, n=60))
LEARNED_OF_ONE = msgspec.structs.replace(
    LEARNED, estimate=Estimate(value=None, n=600), why="all rows are of one class; 590 of its 600 rows are in training too (98.3%)"
)
ONE_CLASS = open_gate("suite winter: r2 ≥ 0.5", "all rows are of one class", Estimate(value=None, n=200))
ANSWERED_NAN = open_gate("suite winter: r2 ≥ 0.5", "a label or a prediction is missing or not finite", Estimate(value=None, n=200))
EITHER = open_gate("accuracy ≥ 0.7 or approval by 1 risk-officer", "n=3 < 100", role="risk-officer")

APPROVE = 'flyball approve m@1.1.0 --reason "…"'
FILL = 'write what is missing: flyball models card m@1.1.0 --fill out_of_scope "…"'
PRICE = 'write cpu_hour_price = "0.04 USD" (what an hour of CPU time costs you) under [settings] in flyball.toml, then flyball train m'
BRING = "bring the cases that are missing: flyball check --data says which; then flyball train m judges it on them"
ROWS = "it is judged again as labelled rows come, until its hold-out is twice as long; or declare a longer one, then flyball train m"


NO_ROWS = "no row that comes judges it again, for a share of the rows is held out: bring more rows, or declare a larger share, then flyball train m"
BETTER = "train a better version: flyball train m"


def waive(gate: str, *, each: bool = False) -> str:
    more = ", each gate for itself" if each else ""
    return f'another person, as approver or admin, lets it pass: flyball waive m@1.1.0 --gate "{gate}" --reason "…"{more}'


def held(*verdicts: Verdict, origin: str = "") -> VersionRow:
    return VersionRow(
        model="m", version="1.1.0", state=VersionState.HELD, run="run_1", artifact="a" * 64, result="", version_digest="v", policy_digest="p",
        data={}, metrics={}, registered_at=0, verdicts=verdicts, origin=origin,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("verdicts", "said", "passes"),
    [
        ((A_YES,), [APPROVE], ""),
        ((A_CARD,), [FILL], waive("card_blanks ≤ 0")),
        ((NO_PRICE,), [PRICE], waive("train_cost ≤ 0.4 USD")),
        ((NOT_MEASURED,), ["flyball runs show run_1 says why robustness_noise was not measured; then flyball train m"], waive("robustness_noise ≤ 0.1")),
        ((FEW_ROWS, FEW_ROWS), [ROWS], waive("accuracy in each day ≥ 0.7")),
        ((FEW_ROWS, FEW_ROWS, FEW_CALLS), [ROWS], waive("accuracy in each day ≥ 0.7", each=True)),
        ((NO_CASES, NO_CASES), [BRING], waive("suite winter: r2 ≥ 0.5")),
        ((FEW_CASES,), ["bring more cases of suite winter, then flyball train m"], waive("suite winter: r2 ≥ 0.5")),
        ((LEARNED,), ["bring cases of suite winter that are not among the training rows, then flyball train m"], waive("suite winter: r2 ≥ 0.5")),
        ((LEARNED_FEW,), ["bring cases of suite winter that are not among the training rows, 100 at least, then flyball train m"], waive("suite winter: r2 ≥ 0.5")),
        ((LEARNED_OF_ONE,), ["bring cases of suite winter that are not among the training rows, and others than these (all rows are of one class), then flyball train m"], waive("suite winter: r2 ≥ 0.5")),
        ((ONE_CLASS,), ["bring other cases of suite winter as well: all rows are of one class; then flyball train m"], waive("suite winter: r2 ≥ 0.5")),
        ((ANSWERED_NAN,), ["let the model answer every case of suite winter as its metric asks (its verdict says where it does not), then flyball train m"], waive("suite winter: r2 ≥ 0.5")),
        ((EITHER,), [APPROVE, ROWS], waive("accuracy ≥ 0.7 or approval by 1 risk-officer")),
        ((NO_PRICE, FEW_ROWS, A_CARD, NO_CASES, A_YES, A_YES), [APPROVE, FILL, BRING, PRICE, ROWS], waive("train_cost ≤ 0.4 USD", each=True)),
        ((), [ROWS], ""),
    ],
)  # fmt: skip
def test_each_kind_of_open_gate_has_what_helps_and_it_is_told_once_and_who_lets_it_pass(
    verdicts: tuple[Verdict, ...], said: list[str], passes: str
) -> None:
    assert mends(held(*verdicts)) == "; ".join(said) + (f"; or {passes}" if passes else "")


def test_where_a_share_of_the_rows_is_held_out_nobody_waits_for_rows_that_judge_nothing() -> None:
    assert mends(held(FEW_ROWS), grows=False) == f"{NO_ROWS}; or {waive('accuracy in each day ≥ 0.7')}"


def test_what_failed_comes_before_what_is_open_and_both_are_told() -> None:
    failed = Verdict(check="mae ≤ 4", outcome=Outcome.FAIL, why="5.1")
    assert mends(held(failed)) == f"{BETTER}; or {waive('mae ≤ 4')}"
    assert mends(held(failed, A_YES, FEW_ROWS)) == f"{BETTER}; or {waive('mae ≤ 4')}; then, for what is open: {APPROVE}; {ROWS}"


def test_a_person_s_no_is_lifted_by_another_version_alone() -> None:
    said = Said(actor="user:ben", yes=False, roles=("approver",), reason="unfair", at=1, gates_digest="")
    denied = msgspec.structs.replace(A_YES, outcome=Outcome.FAIL, why="user:ben said no")
    failed = Verdict(check="mae ≤ 4", outcome=Outcome.FAIL, why="5.1")
    assert mends(msgspec.structs.replace(held(failed, denied, FEW_ROWS), said=(said,))) == BETTER
    assert mends(msgspec.structs.replace(held(denied), said=(said,))) == BETTER


def test_whoever_may_say_yes_is_named_and_what_passed_asks_for_nothing() -> None:
    passed = Verdict(check="train_cost ≤ 1 EUR", outcome=Outcome.PASS)
    assert mends(held(passed, A_YES), lambda roles: f"ben, as {roles[0]},") == f"ben, as approver, says {APPROVE}"


def test_versions_are_made_where_they_come_from() -> None:
    assert "then flyball train m --env staging" in mends(held(FEW_ROWS, origin="staging"))


@pytest.mark.parametrize("state", [VersionState.DEPLOYED, VersionState.RETIRED])
def test_what_was_released_is_not_said_to_be_judged_again(state: VersionState) -> None:
    said = mends(msgspec.structs.replace(held(FEW_ROWS), state=state))
    assert "what was released once is not judged again as rows come: declare a longer hold-out, then flyball train m" in said
    assert ROWS not in said
