"""The whole path of a version is measured in a worker of its own, and a gate on it names what is slow."""

from __future__ import annotations

import os

import pytest

from flyball.records import codec
from flyball.records.estimates import Outcome
from flyball.records.evaluation import Report
from flyball.training.run import Performed, perform

pytestmark = pytest.mark.process

LOOP = """
import time
import flyball as fb
import polars as pl
from sklearn.linear_model import LogisticRegression

market = fb.Dataset("market", source="data/market.csv", time="ts", columns={
    "hour": fb.column(int, between=(0, 23), known_after="-1d"), "price": fb.column(float, known_after="-1d"), "up": fb.column(int, one_of=(0, 1))})
lags = fb.FeatureView("lags", market, entity=ENTITY, ttl="30d", features={"price_day": fb.window("1d").mean("price"), "last": fb.window("3d").last("up")})

def fit(X: pl.DataFrame, y: pl.Series):
    return LogisticRegression().fit(X.fill_null(0.0), y)

def predict(model, X: pl.DataFrame):
    return model.predict_proba(X.fill_null(0.0))

def squared_price(X: pl.DataFrame) -> pl.DataFrame:
    if X.height:
        time.sleep(PAUSE)
    return X.with_columns((pl.col("price") ** 2).alias("squared"))

timed = fb.Model("timed", task="binary", data=market, label="up", framing=fb.Framing("test", horizon="1h"), features=VIEWS,
    transforms=TRANSFORMS, train=fb.Train(fit, predict=predict, window="30d", holdout="7d"), gates=[GATES])
"""
P99 = 'fb.metric("accuracy") >= 0.7, fb.metric("latency_p99") <= "200ms"'


def run(project, gates: str, *, transforms: str = "{}", views: str = "[]", entity: str = "None", pause: float = 0.0, package: bool = True):
    text = LOOP.replace("GATES", gates).replace("TRANSFORMS", transforms).replace("VIEWS", views).replace("PAUSE", str(pause))
    own = project(text.replace("ENTITY", entity), "timed")
    found = perform(own.spec(), own.model, own.frames, own.blobs, package=package)
    return found, codec.decode(own.blobs.get(found.result.report), Report) if package else None


def verdict(found: Performed, metric: str):
    return next(each for each in found.result.verdicts if metric in each.check)


def test_an_accurate_model_with_a_transform_of_two_seconds_fails_and_is_told_which(project):
    found, report = run(project, P99, transforms="squared_price", pause=2.0)
    assert verdict(found, "accuracy").outcome == Outcome.PASS
    slow = verdict(found, "latency_p99")
    assert slow.outcome == Outcome.FAIL
    assert slow.why.count("transform squared_price") == 1
    assert slow.estimate.value > 2_000
    assert report.path.calls == 6, "a slow version is asked a few times, not five hundred"
    assert report.path.slowest == "transform squared_price"


def test_a_quick_model_is_asked_hundreds_of_times_and_passes(project):
    expressions = '{"gap": pl.col("price") - pl.col("price_day"), "steep": pl.col("gap").sin().cos().exp()}'
    found, report = run(project, f'{P99}, fb.metric("memory") <= "2GB"', transforms=expressions, views="[lags]")
    quick = verdict(found, "latency_p99")
    assert quick.outcome == Outcome.PASS, quick.why
    assert 200 < quick.estimate.n == report.path.calls <= 500
    assert 0 < report.path.p50 <= report.path.p95 <= report.path.p99 < 200
    assert {part.name for part in report.path.parts} == {"views", "transforms", "model"}
    assert all(part.p50 > 0 for part in report.path.parts)
    assert sum(part.p50 for part in report.path.parts) <= report.path.p50 * 1.05, "what is left is the socket and the loop"
    assert set(report.path.transforms) == {"gap", "steep"}
    assert verdict(found, "memory").outcome == Outcome.PASS
    assert 50e6 < found.result.measured["memory"].value < 2e9


def test_views_of_an_entity_are_looked_up_as_a_worker_does(project):
    found, report = run(project, P99, views='[lags.on("hour")]', entity='"hour"')
    assert verdict(found, "latency_p99").outcome == Outcome.PASS
    assert {part.name: part.p50 for part in report.path.parts}["views"] > 0


def test_without_a_gate_on_it_no_worker_is_started_and_the_report_says_so(project):
    found, report = run(project, 'fb.metric("accuracy") >= 0.7, fb.metric("size") <= "50MB"')
    assert report.path is None
    assert "no gate asks for latency or memory" in report.missing["path"]
    assert verdict(found, "size").outcome == Outcome.PASS, "the size is always known"
    assert 1_000 < found.result.measured["size"].value < 1e6


def test_a_rehearsal_starts_none_and_its_gate_lacks_what_it_asks_for(project):
    found, _ = run(project, P99, package=False)
    lacking = verdict(found, "latency_p99")
    assert lacking.outcome == Outcome.INSUFFICIENT
    assert "nothing was packed" in lacking.why


def test_a_version_that_does_not_answer_in_a_worker_is_insufficient_and_says_why(project):
    text = LOOP.replace("GATES", P99).replace("TRANSFORMS", "{}").replace("VIEWS", "[]").replace("PAUSE", "0").replace("ENTITY", "None")
    text = text.replace(
        "return model.predict_proba(X.fill_null(0.0))",
        f"import os\n    assert os.getpid() == {os.getpid()}, 'it answers where it was fitted'\n    return model.predict_proba(X.fill_null(0.0))",
    )
    own = project(text, "timed")
    found = perform(own.spec(), own.model, own.frames, own.blobs)
    lacking = verdict(found, "latency_p99")
    assert lacking.outcome == Outcome.INSUFFICIENT
    report = codec.decode(own.blobs.get(found.result.report), Report)
    assert "it answers where it was fitted" in report.missing["path"]


def test_an_xgboost_model_is_trained_stored_the_same_each_time_and_answers_in_a_worker(project):
    pytest.importorskip("xgboost", reason="the extra xgboost is not installed: its wheels are larger than all others together")
    text = LOOP.replace("GATES", P99).replace("TRANSFORMS", "{}").replace("VIEWS", "[]").replace("PAUSE", "0").replace("ENTITY", "None")
    text = text.replace("LogisticRegression().fit(X.fill_null(0.0), y)", "XGBClassifier(n_estimators=20).fit(X.to_numpy(), y.to_numpy())")
    text = text.replace("model.predict_proba(X.fill_null(0.0))", "model.predict_proba(X.to_numpy())")
    own = project(text.replace("from sklearn.linear_model import LogisticRegression", "from xgboost import XGBClassifier"), "timed")
    first, second = (perform(own.spec(), own.model, own.frames, own.blobs) for _ in range(2))
    assert verdict(first, "latency_p99").outcome == Outcome.PASS, verdict(first, "latency_p99").why
    assert first.result.artifact == second.result.artifact
