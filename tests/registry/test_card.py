"""A model card says what a version is for, how risky it is, how good and for whom, and who let it pass."""

import flyball as fb
from flyball.records.estimates import Estimate, Outcome, Verdict
from flyball.records.evaluation import Report, WeakSlice, WeakSlices
from flyball.records.models import Signature
from flyball.records.training import RunResult
from flyball.records.versions import Said, VersionRow, VersionState
from flyball.registry.card import card_of

DATA = fb.Dataset(
    "loans",
    source="loans.csv",
    time="at",
    freshness="6h",
    columns={"amount": float, "sex": fb.column(str, protected=True), "bad": fb.column(bool, known_after="365d")},
)
FRAMING = fb.Framing("price loans", horizon="1h", act_within="1d", kpi="loss per loan", risk="high")
MODEL = fb.Model("credit", task="binary", data=DATA, label="bad", owner="risk", framing=FRAMING)
GOOD = Estimate(value=0.81, low=0.78, high=0.84, n=900)
RESULT = RunResult(
    artifact="a" * 64,
    signature=Signature(task="binary", fields=()),
    parameters={},
    window=fb.Train(print, window="90d").window,  # type: ignore[arg-type]
    rows=9_000,
    holdout_rows=900,
    metrics={"accuracy": GOOD},
    baseline={"accuracy": Estimate(value=0.6, n=900)},
    by_slice={"purpose=a|b": {"accuracy": Estimate(value=None, why="n=3 < 100")}},
    verdicts=(Verdict(check="approval by 1 approver", outcome=Outcome.PASS, why="given by user:ben (approver)"),),
)
ROW = VersionRow(
    model="credit",
    version="1.2.0",
    state=VersionState.ELIGIBLE,
    run="run_1",
    artifact="a" * 64,
    result="b" * 64,
    version_digest="",
    policy_digest="",
    data={"loans": "c" * 64},
    metrics={"accuracy": GOOD},
    registered_at=1_700_000_000_000_000,
    said=(Said(actor="user:ben", yes=True, roles=("approver",), reason="looked at it", at=1_700_000_000_000_000, gates_digest=""),),
)


def test_the_card_says_what_the_framing_says() -> None:
    text = card_of(MODEL, ROW, RESULT, 1)
    for said in (
        "# credit@1.2.0",
        "- purpose: price loans",
        "- KPI: loss per loan",
        "- risk: high",
        "1h before the time that is predicted, to be acted on within 1d",
    ):
        assert said in text, text
    assert "- gain: not said" in text, "what is missing is named, not left out"
    assert "- freshness: 6h at most" in text
    assert "- protected columns: sex" in text


def test_the_card_says_how_good_for_whom_and_who_approved() -> None:
    text = card_of(MODEL, ROW, RESULT, 1)
    assert "| accuracy | 0.81 [0.78, 0.84], n=900 | – | 0.6, n=900 |" in text
    assert "| purpose=a\\|b | n=3 < 100 |" in text
    assert "- pass: approval by 1 approver (given by user:ben (approver))" in text
    assert "- approved by user:ben as approver at 2023-11-14" in text
    assert "watched in service: drift of inputs; latency_p99 ≤ 1d" in text


def test_the_card_names_the_weak_slices_that_the_run_found() -> None:
    here, rest = Estimate(value=0.12, low=0.1, high=0.14, n=900), Estimate(value=0.95, n=3_600)
    weak = WeakSlice(where="colour=red|green", n=1_800, share=0.2, metric="accuracy", here=here, rest=rest, p=1e-9)
    looked = WeakSlices(rows=9_000, of=9_000, columns=6, pairs=15, count=1, found=(weak,))

    text = card_of(MODEL, ROW, RESULT, 0, Report(weak_slices=looked))
    assert "- colour=red\\|green: accuracy 0.120 [0.100, 0.140], the rest 0.950, n=1,800 (20%) (found by its run)" in text
    assert "no weak slice was found in 6 columns and 15 pairs" in card_of(
        MODEL, ROW, RESULT, 0, Report(weak_slices=WeakSlices(rows=9_000, of=9_000, columns=6, pairs=15, count=0))
    )
    assert "weak slices were not looked for: n=150 < 200" in card_of(MODEL, ROW, RESULT, 0, Report(missing={"weak_slices": "n=150 < 200"}))
