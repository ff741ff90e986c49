"""Rows that share an entity (`group=`) count as one cluster on every path that judges a version."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import polars as pl
import pytest

import flyball as fb
from flyball.clock import Span
from flyball.errors import BadInput
from flyball.records.estimates import Outcome
from flyball.training.judging import holdout_frame, judge_holdout
from flyball.training.predictor import Predictions
from flyball.training.rejudge import rejudge
from flyball.training.rows import Assembled, assemble
from flyball.training.run import perform
from flyball.training.splits import Split

CUSTOMERS, ROWS = 40, 50

LOANS = """
import flyball as fb
import polars as pl
from sklearn.linear_model import LogisticRegression

loans = fb.Dataset(
    "market", source="data/market.csv", time="ts",
    columns={"hour": fb.column(int, known_after="-1d"), "price": fb.column(float, known_after="-1d"), "customer": str, "up": fb.column(int, one_of=(0, 1))},
)

def fit(X: pl.DataFrame, y: pl.Series, *, C: float = 1.0):
    return LogisticRegression(C=C).fit(X, y)

model = fb.Model(
    "loan", task="binary", data=loans, label="up", group="customer", framing=fb.Framing("test"),
    train=fb.Train(fit, window="28d", holdout="7d"), slices=["hour"], gates=[fb.metric("accuracy") >= fb.baseline],
)
"""


def declared(group: str) -> fb.Model:
    data = fb.Dataset("rows", source="rows.csv", columns={"x": float, "customer": int, "y": fb.column(int, one_of=(0, 1))})
    gates = [fb.metric("accuracy") >= fb.champion - 0.02]
    return fb.Model("m", task="binary", data=data, label="y", group=group, framing=fb.Framing("test"), gates=gates, train=fb.Train(_fit))


def _fit(X: pl.DataFrame, y: pl.Series) -> Any:
    raise AssertionError("nothing is fitted here")


def outcome(model: fb.Model, seed: int) -> Outcome:
    """A candidate that is worse by exactly the margin: by 24 points for one half of the customers, better by 20 for the other."""
    rng = np.random.default_rng(seed)
    n = CUSTOMERS * ROWS
    customer = np.repeat(np.arange(CUSTOMERS), ROWS)
    wrong = 0.2 + 0.02 + 0.22 * rng.choice([-1, 1], CUSTOMERS)[customer]
    candidate, champion = (rng.random(n) >= wrong).astype(int), (rng.random(n) >= 0.2).astype(int)
    columns = {"__time": np.arange(n + 2), "__y": [0, *[1] * (n + 1)], "x": np.zeros(n + 2)}
    if model.group:
        columns["__group"] = [0, 0, *customer]
    rows = Assembled(pl.DataFrame(columns), ("x",), 0)
    cut = Split(start=0, inner=2, valid=2, stop=2, holdout=2, end=n + 2)
    theirs = cast("Any", SimpleNamespace(predict=lambda _: Predictions(value=champion), model=model, judged=None, trained_until=0))
    frame = holdout_frame(model, Predictions(value=candidate), rows, cut, champion=(theirs, rows.frame[2:]))
    return judge_holdout(model, frame, (0, 1)).verdicts[0].outcome


def test_a_candidate_at_the_margin_passes_one_time_in_twenty_where_rows_share_customers() -> None:
    runs = 250
    passed = {group: sum(outcome(declared(group), seed) is Outcome.PASS for seed in range(runs)) / runs for group in ("customer", "")}
    assert passed["customer"] <= 0.05 + 1.645 * np.sqrt(0.05 * 0.95 / runs), passed
    assert passed["customer"] >= 0.02, "it is a test, not a refusal"
    assert passed[""] > 0.3, "the same rows taken as independent"


@pytest.fixture
def loans(project):
    made = project(LOANS, "loan")
    frame = made.frames["market"]
    made.frames["market"] = frame.with_columns(customer=pl.Series([f"c{row % 60:02}" for row in range(frame.height)]))
    return made


def test_a_run_keeps_whose_row_is_whose_and_judges_by_customer(loans) -> None:
    made = perform(loans.spec(), loans.model, loans.frames, None, package=False)
    assert made.holdout["__group"].n_unique() == 60
    plain = judge_holdout(loans.model, made.holdout.drop("__group"), made.predictor.signature.classes)
    assert made.result.metrics["accuracy"].value == plain.metrics["accuracy"].value
    assert made.result.metrics["accuracy"].low != plain.metrics["accuracy"].low
    assert made.result.by_slice["hour=3"]["accuracy"].low != plain.by_slice["hour=3"]["accuracy"].low
    assert made.result.loss_bound >= plain.loss_bound


def test_few_customers_are_too_few_however_many_rows_they_have(loans) -> None:
    loans.frames["market"] = loans.frames["market"].with_columns(pl.col("customer").str.tail(1))
    made = perform(loans.spec(), loans.model, loans.frames, None, package=False)
    assert made.result.verdicts[0].outcome is Outcome.INSUFFICIENT
    assert "10 entities < 30" in made.result.verdicts[0].why


def test_a_held_version_is_judged_again_by_customer_and_evidence_without_them_is_refused(loans) -> None:
    end = loans.spec().as_of
    first = loans.spec(as_of=end - int(Span.parse("3d")))
    made = perform(first, loans.model, loans.frames, None, package=False)
    rows = assemble(loans.model, loans.frames, as_of=end)
    asked = {"candidate": made.predictor, "champion": None}
    result, frame = rejudge(loans.spec(as_of=end), loans.model, rows, made.result, **asked, earlier=made.holdout)
    assert frame.height > made.holdout.height
    assert frame["__group"].null_count() == 0
    plain = judge_holdout(loans.model, frame.drop("__group"), made.predictor.signature.classes)
    assert result.metrics["accuracy"].low != plain.metrics["accuracy"].low
    with pytest.raises(BadInput, match="does not say which rows share a customer"):
        rejudge(loans.spec(as_of=end), loans.model, rows, made.result, **asked, earlier=made.holdout.drop("__group"))


FAIR = (
    LOANS.replace('"customer": str,', '"customer": str, "sex": fb.column(str, protected=True),')
    .replace("gates=[", 'gates=[fb.metric("positive_rate").gap("sex") <= 0.9, ')
    .replace('holdout="7d"', 'holdout="14d"')
)


def test_a_gate_on_the_gap_across_a_protected_column_is_judged_though_it_is_neither_slice_nor_input(project) -> None:
    made = project(FAIR, "loan")
    frame = made.frames["market"]
    groups = {
        "customer": [f"c{row % 60:02}" for row in range(frame.height)],
        "sex": ["f" if row % 2 else "m" for row in range(frame.height)],
    }
    made.frames["market"] = frame.with_columns(**{name: pl.Series(values) for name, values in groups.items()})
    done = perform(made.spec(), made.model, made.frames, None, package=False)
    [gap] = [verdict for verdict in done.result.verdicts if "gap across sex" in verdict.check]
    assert gap.estimate is not None
    assert gap.estimate.value is not None, gap.why
    assert "sex" not in {field.name for field in done.predictor.signature.fields}
