"""A linear model and a small booster stand beside every candidate: where one does as well, that is said."""

import time

import numpy as np
import polars as pl
import pytest

from flyball.evaluation.told import notes
from flyball.records import codec
from flyball.records.estimates import Outcome
from flyball.records.evaluation import Report
from flyball.training import simpler
from flyball.training.run import perform
from flyball.training.simpler import encoded

LOOP = """
import flyball as fb
import numpy as np
import polars as pl
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier

rows = fb.Dataset("rows", source="rows.csv", columns={"a": float, "b": float, "town": str, "y": fb.column(TYPE, KIND)})

def fit(X: pl.DataFrame, y: pl.Series):
    FIT

def predict(model, X: pl.DataFrame):
    return PREDICT

m = fb.Model("m", task="TASK", data=rows, label="y", framing=fb.Framing("test"),
    train=fb.Train(fit, predict=predict, split="stratified"), gates=[fb.metric("dominated") <= 0])
"""

NUMBERS = 'X.select("a", "b").to_numpy()'
PROBABLY = f"model.predict_proba({NUMBERS})"


def straight(n: int = 4_000, seed: int = 0) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    a, b = rng.normal(0, 1, n), rng.normal(0, 1, n)
    return pl.DataFrame({"a": a, "b": b, "town": rng.choice(["u", "v"], n), "y": (a + b + rng.normal(0, 0.5, n) > 0).astype(int)})


def crooked(n: int = 4_000, seed: int = 0) -> pl.DataFrame:
    return straight(n, seed).with_columns(y=((pl.col("a") * pl.col("b")) > 0).cast(pl.Int64))


@pytest.fixture
def run(project):
    def made(frame: pl.DataFrame, fit: str, predict: str = PROBABLY, task: str = "binary"):
        kinds = {"binary": "one_of=(0, 1)", "multiclass": "one_of=(0, 1, 2)"}
        text = LOOP.replace("FIT", fit).replace("PREDICT", predict).replace("TASK", task).replace("KIND", kinds.get(task, ""))
        done = project(text.replace("TYPE", "int" if task in kinds else "float"), "m")
        done.frames = {"rows": frame}
        result = perform(done.spec(as_of=0), done.model, done.frames, done.blobs).result
        report = codec.decode(done.blobs.get(result.report), Report)
        return result, report

    return made


def test_a_linear_model_that_does_better_is_named_and_dominates_a_worse_candidate(run):
    result, report = run(straight(), f"return DecisionTreeClassifier(random_state=0).fit({NUMBERS}, y)")
    linear = report.simpler.models[0]
    assert linear.name == "linear"
    assert linear.as_good
    assert result.notes[0].startswith("a simpler model does better: linear, accuracy 0.")
    assert linear.difference.high < 0
    assert "the candidate is shown to be worse (−0." in result.notes[0]
    assert "linear" in report.simpler.dominating
    assert result.verdicts[0].outcome == Outcome.FAIL
    assert "linear" in result.verdicts[0].why


def test_a_candidate_that_sees_what_is_not_linear_is_shown_to_be_better(run):
    _, report = run(crooked(), f"return HistGradientBoostingClassifier(max_iter=200, random_state=0).fit({NUMBERS}, y)")
    linear, boosting = report.simpler.models
    assert not linear.as_good
    assert linear.difference.low > 0.3
    assert boosting.metrics["accuracy"].value > 0.9
    assert boosting.as_good
    assert any(note.startswith("a simpler model does as well: boosting") for note in notes(report))


def test_where_none_does_as_well_nothing_is_said(run):
    # the candidate knows a and b exactly, the booster sees them through 60 rounds
    result, report = run(crooked(), "return 0", "(X['a'] * X['b'] > 0).cast(pl.Float64) * 0.98 + 0.01")
    assert [each.as_good for each in report.simpler.models] == [False, False]
    assert not any("simpler" in note for note in result.notes)
    assert result.verdicts[0].outcome == Outcome.PASS


def test_a_candidate_that_is_the_simpler_model_is_not_told_so(run):
    rows = straight().with_columns(town=pl.lit("u"))
    result, report = run(rows, f"return make_pipeline(StandardScaler(), LogisticRegression(max_iter=100)).fit({NUMBERS}, y)")
    assert report.simpler.models[0].difference.value == 0
    assert not any("simpler" in note for note in result.notes)


def test_of_several_classes_and_of_numbers_too(run):
    rows = straight().with_columns(y=(pl.col("a") > -0.4).cast(pl.Int64) + (pl.col("a") > 0.4).cast(pl.Int64))
    _, report = run(rows, f"return DecisionTreeClassifier(max_depth=1).fit({NUMBERS}, y)", task="multiclass")
    assert all(each.metrics["accuracy"].value > 0.9 and each.as_good for each in report.simpler.models)

    numbers = straight().with_columns(y=3 * pl.col("a") - pl.col("b"))
    _, report = run(numbers, f"return np.linalg.lstsq({NUMBERS}, y.to_numpy(), rcond=None)[0]", f"{NUMBERS} @ model", "regression")
    linear, boosting = report.simpler.models
    assert linear.metrics["mae"].value < 0.01 < boosting.metrics["mae"].value
    assert not boosting.as_good


def test_how_many_rows_teach_and_judge_is_bounded_and_said(run, monkeypatch):
    monkeypatch.setattr(simpler, "LEARN", 500)
    monkeypatch.setattr(simpler, "JUDGE", 300)
    _, report = run(straight(), f"return DecisionTreeClassifier(max_depth=3).fit({NUMBERS}, y)")
    assert [each.rows for each in report.simpler.models] == [500, 500]
    assert report.simpler.holdout_rows == 300
    assert report.simpler.candidate["accuracy"].n == 300


def test_what_they_cost_is_bounded_whatever_the_rows(run):
    began = time.process_time()
    rng = np.random.default_rng(0)
    wide = {f"x{place}": rng.normal(0, 1, simpler.LEARN) for place in range(20)}
    frame = pl.DataFrame(wide | {f"c{place}": rng.choice(list("abcdefgh"), simpler.LEARN) for place in range(5)})
    X, asked = encoded(frame, frame)
    y = pl.Series((X[:, 0] > 0).astype(int))
    for name in ("linear", "boosting"):
        simpler._fitted(name, "binary", X, y, asked, (0, 1))
    assert time.process_time() - began < 6  # 1 s on an idle machine


def test_texts_become_a_column_for_each_common_value_and_constants_none():
    train = pl.DataFrame(
        {"n": [1.0, None, 3.0], "t": ["x", "y", "x"], "same": [1, 1, 1], "none": [None, None, None], "flag": [True, False, True]}
    )
    X, asked = encoded(train, train.head(1).with_columns(t=pl.lit("never seen")))
    assert X.shape == (3, 4)
    assert np.isnan(X[1, 0])
    assert X[:, 1].tolist() == [1, 0, 1]
    assert asked[0, 1:3].tolist() == [0, 0]
