"""The threshold that costs choose goes with the version: in the run, in its artifact, and in whatever asks it."""

import msgspec
import numpy as np
import polars as pl
import pytest

from flyball.evaluation.comparison import shown
from flyball.evaluation.told import row_lines
from flyball.records import codec
from flyball.records.estimates import Outcome
from flyball.records.evaluation import Report
from flyball.records.models import Signature
from flyball.training import artifact
from flyball.training.calls import Part
from flyball.training.judging import score
from flyball.training.predictor import Predictions
from flyball.training.rejudge import judged
from flyball.training.run import perform

LOOP = """
import flyball as fb
import polars as pl
from sklearn.linear_model import LogisticRegression

rows = fb.Dataset("rows", source="rows.csv", columns={"a": float, "b": float, "y": fb.column(str, one_of=("no", "yes"))})
FITS = []

def fit(X: pl.DataFrame, y: pl.Series):
    FITS.append(X.height)
    return LogisticRegression().fit(X, y)

m = fb.Model("m", task="binary", data=rows, label="y", framing=fb.Framing("test"), costs=COSTS,
    train=fb.Train(FIT, split="stratified"), gates=[fb.metric("cost_per_1000") <= "5000 EUR"])
"""
COSTS = '{"false_positive": "1 EUR", "false_negative": "9 EUR"}'


def rows(n: int = 6_000, seed: int = 0) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    a, b = rng.normal(0, 1, n), rng.normal(0, 1, n)
    y = a + b + rng.logistic(0, 1, n) > 1
    return pl.DataFrame({"a": a, "b": b, "y": np.where(y, "yes", "no")})


@pytest.fixture
def made(project):
    def make(costs: str = COSTS, fit: str = "fit"):
        done = project(LOOP.replace("COSTS", costs).replace("FIT,", f"{fit},"), "m")
        done.frames = {"rows": rows()}
        return done

    return make


def run(project):
    return perform(project.spec(as_of=0), project.model, project.frames, project.blobs)


def test_the_threshold_is_in_the_signature_and_decides_every_answer(made, tmp_path):
    project = made()
    done = run(project)
    at = done.result.signature.threshold
    assert at == pytest.approx(0.1, abs=0.05)
    frame = done.holdout
    assert (frame["value"] == "yes").to_list() == (frame["score"] >= at).to_list()
    assert (frame["value"] == "yes").mean() > 1.5 * (frame["score"] >= 0.5).mean()

    served = artifact.load(done.result.artifact, project.blobs, tmp_path / "scratch")
    asked = rows(500, seed=3).select("a", "b")
    given = served.predict(asked)
    assert served.signature.threshold == at
    assert (given.value == "yes").tolist() == (given.score >= at).tolist()
    champion = artifact.load_champion(done.result.artifact, project.blobs, tmp_path / "scratch")
    assert champion.judged.signature.threshold == at


def test_a_version_costs_less_than_one_that_answers_from_a_half(made):
    project = made()
    done = run(project)
    frame = done.holdout
    called, y = (frame["score"] >= 0.5).to_numpy(), (frame["y"] == "yes").to_numpy()
    half = 1000 * float(((called & ~y) * 1 + (~called & y) * 9).mean())
    cost = done.result.metrics["cost_per_1000"]
    assert cost.high < half
    assert cost.low < cost.value < cost.high
    assert shown(cost).endswith("; in EUR")


def test_the_report_says_where_it_comes_from_and_its_fit_has_not_seen_the_hold_out(made):
    project = made()
    done = run(project)
    report = codec.decode(project.blobs.get(done.result.report), Report)
    line = dict(row_lines(report))["decides"]
    assert line.startswith("positive from score 0.1")
    assert "validation rows, from 0.5 on" in line
    held = done.holdout.height
    fits = project.model.train.fit.__globals__["FITS"]
    # the candidate, the fit that the threshold is looked for with, and what is released (later ones compare fits on samples)
    assert fits[0] == 6_000 - held
    assert fits[1] == 6_000 - held - report.decision.rows
    assert fits[2] == 6_000


@pytest.mark.parametrize("costs", ["{}", '{"false_negative": "9 EUR"}'])
def test_without_both_costs_it_answers_from_a_half(made, costs):
    if costs == "{}":
        project = made("None")
        project.model = project.model.replace(gates=())
    else:
        project = made(costs)
    done = run(project)
    assert done.result.signature.threshold == 0.5
    assert codec.decode(project.blobs.get(done.result.report), Report).decision is None


def test_what_was_stored_before_there_were_thresholds_answers_from_a_half():
    stored = msgspec.json.encode({"task": "binary", "fields": [], "classes": [0, 1], "item": "", "item_fields": []})
    assert codec.decode(stored, Signature).threshold == 0.5


def test_a_version_is_judged_anew_at_the_prices_of_now_and_keeps_its_threshold(made):
    project = made()
    done = run(project)
    gate = "cost_per_1000 ≤ 5000 EUR"
    assert {each.check: each.outcome for each in done.result.verdicts}[gate] is Outcome.PASS
    dear = project.model.replace(costs={"false_positive": "100 EUR", "false_negative": "900 EUR"})
    found = judged(project.spec(), dear, done.holdout, done.result, candidate=done.predictor)
    assert {each.check: each.outcome for each in found.verdicts}[gate] is Outcome.FAIL
    assert found.metrics["cost_per_1000"].value == pytest.approx(100 * done.result.metrics["cost_per_1000"].value)
    assert found.signature == done.result.signature


def test_rows_of_one_entity_count_once_in_the_search_for_a_threshold(project):
    text = LOOP.replace("COSTS", COSTS).replace("FIT,", "fit,").replace('"a": float', '"who": fb.column(int), "a": float')
    made = project(text.replace('label="y",', 'label="y", group="who",'), "m")
    made.frames = {"rows": rows().with_columns(who=pl.int_range(pl.len()) % 40)}
    result = perform(made.spec(), made.model, made.frames, made.blobs).result
    report = codec.decode(made.blobs.get(result.report), Report)

    assert "entities have validation rows, too few" in report.decision.why


def test_what_errors_cost_may_be_what_a_search_is_judged_by(made):
    project = made(fit="fit, objective='cost_per_1000'")
    model = project.model
    part = Part(X=pl.DataFrame({"a": [0.0] * 4}), y=pl.Series(["no", "no", "yes", "yes"]))
    given = Predictions(np.array(["yes", "no", "no", "yes"]))
    assert score(model, part, given, ("no", "yes")) == pytest.approx(-1000 * (1 + 9) / 4)
