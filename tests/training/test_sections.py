"""What a run finds out beside its hold-out, from rows with known faults."""

from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest
from sklearn.dummy import DummyClassifier

from flyball.errors import BadInput
from flyball.records import codec
from flyball.records.estimates import Outcome
from flyball.records.evaluation import Report
from flyball.training.run import execute, perform
from flyball.training.sections_asked import output_shift

from .conftest import market_frame

LOANS = """
import flyball as fb
import polars as pl
from sklearn.tree import DecisionTreeClassifier

market = fb.Dataset(
    "market", source="data/market.csv", time="ts",
    columns={
        "price": fb.column(float, known_after="-1d"), "colour": fb.column(str, known_after="-1d"),
        "sex": fb.column(str, protected=True), "who": fb.column(str, personal=True), "up": fb.column(int, one_of=(0, 1)),
    },
)

def fit(X: pl.DataFrame, y: pl.Series):
    return DecisionTreeClassifier(max_leaf_nodes=4).fit(X.select("price"), y)

def predict(model, X: pl.DataFrame):
    return model.predict_proba(X.select("price"))

loans = fb.Model(
    "loans", task="binary", data=market, label="up", framing=fb.Framing("test"),
    train=fb.Train(fit, predict=predict, window="30d", holdout="30d"),
    gates=[fb.metric("accuracy") >= 0.7, GATES],
)
"""


def loans(gates: str = 'fb.metric("weak_slices") <= 0') -> str:
    return LOANS.replace("GATES", gates)


def rows(*, planted: bool) -> pl.DataFrame:
    """The market, in which one row in twenty is noise; where it is `planted`, rows of one colour (a fifth) happen the other way round."""
    frame = market_frame(days=70)
    place, noise = pl.int_range(pl.len()), pl.Series(np.random.default_rng(1).random(frame.height) < 0.05)
    frame = frame.with_columns(up=((pl.col("price") > 0.5) ^ noise).cast(pl.Int64))
    frame = frame.with_columns(
        colour=pl.when(place % 5 == 0).then(pl.lit("red")).when(place % 5 == 1).then(pl.lit("blue")).otherwise(pl.lit("green")),
        sex=pl.when(place % 3 == 0).then(pl.lit("f")).otherwise(pl.lit("m")),
        who="person " + (place % 40).cast(pl.String),
    )
    return frame.with_columns(up=pl.when(pl.col("colour") == "red").then(1 - pl.col("up")).otherwise(pl.col("up"))) if planted else frame


def constant_class(X: pl.DataFrame, y: pl.Series):
    """Fit what always calls a row positive."""
    return DummyClassifier(strategy="constant", constant=1).fit(np.zeros((len(y), 1)), y)


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
    assert {*report.missing} == {"staleness", "live", "path"}, (
        "older rows, rows without a label, and a gate that asks how long it takes: none is there"
    )


def test_groups_of_protected_columns_are_told_though_no_gate_names_them(run):
    _, report = run(planted=False)
    (sex,) = report.groups

    assert (sex.column, sex.protected, [group.value for group in sex.groups]) == ("sex", True, ["f", "m"])
    assert {"positive_rate", "recall", "equalised_odds", "calibration_error"} <= set(sex.gaps)


def test_a_gap_between_groups_fails_its_gate_by_name_and_is_what_the_report_says(run):
    result, report = run(planted=True, gates='fb.metric("recall").gap("colour") <= 0.1')
    gap = result.verdicts[1]
    colour, sex = report.groups

    assert gap.outcome is Outcome.FAIL
    assert gap.why.startswith("red ")
    assert (colour.column, colour.protected, sex.column) == ("colour", False, "sex")
    assert colour.gaps["recall"].gap == gap.estimate
    assert colour.gaps["recall"].between in gap.why


def test_scores_mistakes_and_worst_rows_are_told_without_who_they_are_of(run):
    result, report = run(planted=True)

    assert report.calibration.error.low < report.calibration.error.value < report.calibration.error.high
    assert sum(each.n for each in report.calibration.bins) == result.holdout_rows
    half = next(each for each in report.thresholds if each.at == 0.5)
    whole = report.mistakes.confusion[0].counts
    assert half.recall == pytest.approx(whole[1][1] / sum(whole[1]))
    assert report.mistakes.wrong == whole[0][1] + whole[1][0]
    assert len(report.mistakes.worst) == 20
    told = report.mistakes.worst[0].features
    assert told["colour"] == "red"
    assert "who" not in told
    assert not any("person " in text for row in report.mistakes.worst for text in row.features.values())


def test_no_single_row_says_to_which_protected_group_it_belongs_though_groups_are_compared(project):
    made = project(
        loans().replace('framing=fb.Framing("test"),', 'framing=fb.Framing("test"), slices={"women": pl.col("sex") == "f"},'),
        "loans",
    )
    made.frames = {"market": rows(planted=True)}
    result = execute(made.spec(), made.model, made.frames, made.blobs)
    report = codec.decode(made.blobs.get(result.report), Report)

    assert "sex" in {group.column for group in report.groups}
    assert len(report.mistakes.worst) == 20
    assert {name for row in report.mistakes.worst for name in row.features} == {"price", "colour"}


def test_a_group_that_says_who_a_row_is_of_is_not_told(project):
    made = project(
        loans()
        .replace('who": fb.column(str, personal=True)', 'who": fb.column(str, personal=True, protected=True)')
        .replace('"sex": fb.column(str, protected=True)', '"sex": str'),
        "loans",
    )
    made.frames = {"market": rows(planted=False)}
    result = execute(made.spec(), made.model, made.frames, made.blobs)
    report = codec.decode(made.blobs.get(result.report), Report)

    assert report.groups == ()
    assert 'the groups of "who" are not told' in report.missing["groups"]


def test_of_data_with_a_subject_no_single_row_is_kept(project):
    made = project(loans().replace('time="ts",', 'time="ts", subject="who",'), "loans")
    made.frames = {"market": rows(planted=True)}
    result = execute(made.spec(), made.model, made.frames, made.blobs)
    mistakes = codec.decode(made.blobs.get(result.report), Report).mistakes

    assert mistakes.worst == ()
    assert 'data set "market" has a subject' in mistakes.worst_missing
    assert mistakes.wrong > 0


def test_what_a_model_loses_when_its_features_are_not_what_they_should_be_is_measured(run):
    result, report = run(planted=False, gates='fb.metric("robustness_permuted") <= "10%"')
    found = {each.kind: each for each in report.robustness}

    assert result.verdicts[1].outcome is Outcome.FAIL
    assert found["permuted"].columns == ("price",)
    assert result.measured["robustness_permuted"] == found["permuted"].lost
    assert found["permuted"].lost.value > 0.2
    assert found["unseen"].lost.value == 0.0, "the tree does not look at the text"


def test_a_first_version_has_not_shifted_and_a_second_is_compared_with_the_champion(run, project):
    result, report = run(planted=False, gates='fb.metric("output_shift") <= 0.1')
    assert result.verdicts[1].outcome is Outcome.PASS
    assert "no champion yet" in result.verdicts[1].why
    assert report.output_shift is None

    made = project(loans('fb.metric("output_shift") <= 0.1'), "loans")
    made.frames = {"market": rows(planted=False)}
    first = perform(made.spec(), made.model, made.frames, made.blobs)
    turned = made.model.replace(train=made.model.train.__class__(constant_class, window="30d", holdout="30d"))
    second = perform(made.spec(champion="c", champion_version="1.0.0"), turned, made.frames, made.blobs, champion=first.predictor).result
    shifted = codec.decode(made.blobs.get(second.report), Report).output_shift

    assert shifted.rows == second.holdout_rows
    assert shifted.changed.value > 0.3
    assert second.verdicts[1].outcome is Outcome.FAIL
    assert f"{shifted.changed.value:.1%} of rows get another class" in second.verdicts[1].why


def test_of_rows_that_the_champion_has_seen_no_shift_is_told(project):
    made = project(loans('fb.metric("output_shift") <= 0.1'), "loans")
    answered = pl.DataFrame({"y": [0, 1] * 200, "value": [0, 1] * 200, "score": [0.2, 0.8] * 200, "__time": range(400)})
    seen = pl.int_range(400) < 300
    theirs = answered.with_columns(
        champion_value=pl.when(seen).then(None).otherwise(1 - pl.col("value")),
        champion_score=pl.when(seen).then(None).otherwise(1 - pl.col("score")),
    )
    subject = SimpleNamespace(model=made.model, frame=theirs, candidate=SimpleNamespace(signature=SimpleNamespace(classes=(0, 1))))

    found = output_shift(subject)
    assert found.measured["output_shift"].n == 100
    assert found.fields["output_shift"].changed.value == 1.0
    none_left = theirs.with_columns(pl.lit(None, pl.Int64).alias("champion_value"), pl.lit(None, pl.Float64).alias("champion_score"))
    with pytest.raises(BadInput, match="the champion has seen every held-out row"):
        output_shift(SimpleNamespace(**{**vars(subject), "frame": none_left}))
