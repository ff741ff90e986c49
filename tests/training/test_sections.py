"""What a run finds out beside its hold-out, from rows with known faults."""

import polars as pl
import pytest

from flyball.records import codec
from flyball.records.estimates import Outcome
from flyball.records.evaluation import Report
from flyball.training.run import execute

from .conftest import market_frame

LOANS = """
import flyball as fb
import polars as pl
from sklearn.linear_model import LogisticRegression

market = fb.Dataset(
    "market", source="data/market.csv", time="ts",
    columns={
        "price": fb.column(float, known_after="-1d"), "colour": fb.column(str, known_after="-1d"),
        "sex": fb.column(str, protected=True), "who": fb.column(str, personal=True), "up": fb.column(int, one_of=(0, 1)),
    },
)

def fit(X: pl.DataFrame, y: pl.Series):
    return LogisticRegression().fit(X.select("price"), y)

def predict(model, X: pl.DataFrame):
    return model.predict_proba(X.select("price"))

loans = fb.Model(
    "loans", task="binary", data=market, label="up", framing=fb.Framing("test"),
    train=fb.Train(fit, predict=predict, window="30d", holdout="20d"),
    gates=[fb.metric("accuracy") >= 0.7, GATES],
)
"""


def loans(gates: str = 'fb.metric("weak_slices") <= 0') -> str:
    return LOANS.replace("GATES", gates)


def rows(*, planted: bool) -> pl.DataFrame:
    """The market, in which rows of one colour (a fifth) happen the other way round."""
    frame = market_frame(days=52)
    place = pl.int_range(pl.len())
    frame = frame.with_columns(
        colour=pl.when(place % 5 == 0).then(pl.lit("red")).when(place % 5 == 1).then(pl.lit("blue")).otherwise(pl.lit("green")),
        sex=pl.when(place % 3 == 0).then(pl.lit("f")).otherwise(pl.lit("m")),
        who="person " + (place % 40).cast(pl.String),
    )
    return frame.with_columns(up=pl.when(pl.col("colour") == "red").then(1 - pl.col("up")).otherwise(pl.col("up"))) if planted else frame


@pytest.fixture
def run(project):
    """Make a run of the loans' model; give its result and its report."""

    def make(*, planted: bool, gates: str = 'fb.metric("weak_slices") <= 0', **fields):
        made = project(loans(gates), "loans")
        made.frames = {"market": rows(planted=planted)}
        result = execute(made.spec(**fields), made.model, made.frames, made.blobs)
        return result, codec.decode(made.blobs.get(result.report), Report)

    return make


def test_a_weak_slice_under_a_good_average_is_named_and_stops_the_version(run):
    result, report = run(planted=True)
    average, weak = result.verdicts

    assert average.outcome is Outcome.PASS
    assert weak.outcome is Outcome.FAIL
    assert "colour=red" in weak.why
    assert report.weak_slices.found[0].where == "colour=red"
    assert result.measured["weak_slices"].value == report.weak_slices.count


def test_without_it_nothing_is_named(run):
    result, report = run(planted=False)

    assert [verdict.outcome for verdict in result.verdicts] == [Outcome.PASS, Outcome.PASS]
    assert report.weak_slices.count == 0
    assert report.missing == {}
