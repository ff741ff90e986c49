"""Metrics are what the field says they are, with intervals, and say so where they are not defined."""

import math

import numpy as np
import polars as pl
import pytest
from sklearn import metrics as reference

from flyball.declare.metrics import METRICS, metric_info, metric_names, recall_at_share
from flyball.errors import BadInput
from flyball.evaluation.answers import answers
from flyball.evaluation.counts_metrics import from_counts
from flyball.evaluation.metrics import estimate, measure
from flyball.evaluation.rows import row_values
from flyball.records.evidence import Quality

OF_ROWS = [name for name in metric_names("binary") if name not in ("equalised_odds", "cost_per_1000")]
"""Those that rows and scores give by themselves: of the others one is a gap between groups, one needs costs."""


def test_binary_metrics_agree_with_scikit_learn(binary):
    frame = binary(500, 0.8)
    y, value, score = frame["y"].to_numpy(), frame["value"].to_numpy(), frame["score"].to_numpy()
    found = measure("binary", frame)

    expected = {
        "accuracy": reference.accuracy_score(y, value),
        "precision": reference.precision_score(y, value),
        "recall": reference.recall_score(y, value),
        "f1": reference.f1_score(y, value),
        "roc_auc": reference.roc_auc_score(y, score),
        "log_loss": reference.log_loss(y, score),
        "brier": reference.brier_score_loss(y, score),
        "positive_rate": value.mean(),
    }
    assert {name: found[name].value for name in expected} == pytest.approx(expected)
    assert set(found) == set(OF_ROWS)


def test_numeric_metrics_agree_with_scikit_learn(numbers):
    frame = numbers(400, 5)
    y, value = frame["y"].to_numpy(), frame["value"].to_numpy()
    found = measure("forecast", frame)

    expected = {
        "mae": reference.mean_absolute_error(y, value),
        "rmse": math.sqrt(reference.mean_squared_error(y, value)),
        "mape": reference.mean_absolute_percentage_error(y, value),
        "r2": reference.r2_score(y, value),
    }
    assert {name: each.value for name, each in found.items()} == pytest.approx(expected)


@pytest.mark.parametrize("name", OF_ROWS)
def test_every_interval_of_a_binary_metric_holds_its_estimate(binary, name):
    found = measure("binary", binary(300, 0.7), [name])[name]

    assert found.low < found.value < found.high
    assert found.n == 300


@pytest.mark.parametrize("name", [name for name in metric_names("regression") if name != "cost_per_1000"])
def test_every_interval_of_a_numeric_metric_holds_its_estimate(numbers, name):
    found = measure("regression", numbers(300, 3), [name])[name]

    assert found.low < found.value < found.high


@pytest.mark.parametrize("name", ["f1", "rmse", "r2", "accuracy", "recall_at_20%"])
def test_intervals_cover_the_truth_as_often_as_they_say(binary, numbers, name):
    task, make, right = ("binary", binary, 0.75) if name in ("f1", "accuracy", "recall_at_20%") else ("regression", numbers, 10)
    truth = measure(task, make(200_000, right, seed=99), [name])[name].value
    found = [measure(task, make(300, right, seed=seed), [name])[name] for seed in range(150)]

    # 95% less three binomial standard errors of 150 runs
    assert np.mean([each.low <= truth <= each.high for each in found]) >= 0.89


def test_recall_at_a_share_counts_the_positives_among_the_highest_scores():
    frame = pl.DataFrame(
        {"y": [1, 1, 0, 0, 0, 0, 1, 0, 0, 1], "value": [0] * 10, "score": [0.9, 0.8, 0.7, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1]}
    )

    assert measure("binary", frame, ["recall_at_20%"])["recall_at_20%"].value == pytest.approx(0.5)
    assert recall_at_share("recall_at_0%") is None
    assert metric_info("recall_at_1%").tasks == {"binary"}


def test_equal_scores_at_the_cut_share_its_places_whatever_the_order_of_the_rows():
    y = np.array([1] * 80 + [0] * 120)
    constant = pl.DataFrame({"y": y, "value": 0, "score": np.full(200, 0.5)})
    for frame in (constant, constant.reverse(), constant.sample(fraction=1.0, shuffle=True, seed=1)):
        assert measure("binary", frame, ["recall_at_40%"])["recall_at_40%"].value == 0.4
    # 20 above the cut, 10 of them positive; of 100 at it, a quarter of them positive, 60 find a place
    tied = pl.DataFrame({"y": [1, 0] * 10 + [1, 0, 0, 0] * 25 + [0] * 80, "value": 0, "score": [0.9] * 20 + [0.5] * 100 + [0.1] * 80})
    for frame in (tied, tied.reverse()):
        assert measure("binary", frame, ["recall_at_40%"])["recall_at_40%"].value == pytest.approx((10 + 0.6 * 25) / 35, abs=1e-11)


def test_multiclass_scores_are_lists_in_the_order_of_the_classes():
    frame = pl.DataFrame(
        {
            "y": ["a", "b", "c", "a"],
            "value": ["a", "b", "a", "b"],
            "score": [[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.5, 0.3, 0.2], [0.3, 0.6, 0.1]],
        },
    )
    found = measure("multiclass", frame)

    assert found["accuracy"].value == 0.5
    assert found["log_loss"].value == pytest.approx(-np.mean(np.log([0.7, 0.8, 0.2, 0.3])))


def test_true_and_one_are_the_same_class():
    mixed = pl.DataFrame({"y": [True, False, True, None], "value": [1, 0, 0, 1], "score": [0.9, 0.1, 0.2, 0.5]})

    found = measure("binary", mixed, ["accuracy", "recall"])
    assert found["accuracy"].value == pytest.approx(2 / 3)
    assert found["accuracy"].n == 3
    assert found["recall"].value == 0.5


def test_a_hold_out_of_one_class_keeps_its_meaning():
    frame = pl.DataFrame({"y": [0, 0, 0], "value": [0, 1, 0], "score": [0.1, 0.9, 0.2]})
    found = measure("binary", frame)

    assert found["accuracy"].value == pytest.approx(2 / 3)
    assert found["positive_rate"].value == pytest.approx(1 / 3)
    assert found["roc_auc"].value is None
    assert found["recall"].why == "there are no positive rows"


def test_text_classes_take_their_order_from_the_caller():
    frame = pl.DataFrame({"y": ["yes", "no", "no"], "value": ["yes", "yes", "no"], "score": [0.9, 0.6, 0.2]})

    assert measure("binary", frame, ["precision"])["precision"].value == 0.5
    assert measure("binary", frame, ["precision"], classes=("yes", "no"))["precision"].value == 1


def test_without_scores_the_metrics_of_scores_are_left_out():
    frame = pl.DataFrame({"y": [0, 1], "value": [0, 1], "score": [None, None]})

    assert "roc_auc" not in measure("binary", frame)
    assert measure("binary", frame, ["roc_auc"])["roc_auc"].why == "there are no scores"


def test_no_labelled_rows_have_no_metrics():
    empty = pl.DataFrame({"y": [None], "value": [1], "score": [0.5]}, schema={"y": pl.Int64, "value": pl.Int64, "score": pl.Float64})

    assert measure("binary", empty, ["accuracy"])["accuracy"].value is None


def test_a_missing_prediction_is_never_right():
    frame = pl.DataFrame({"y": [1, 0], "value": [1, None], "score": [0.5, 0.5]})

    assert measure("binary", frame, ["accuracy"])["accuracy"].value == 0.5
    assert "not finite" in measure("regression", frame, ["mae"])["mae"].why


def test_live_metrics_are_not_measured_on_rows(binary):
    assert measure("binary", binary(100, 0.8), ["latency_p99"])["latency_p99"].why


@pytest.mark.parametrize(
    ("task", "name", "fix"), [("binary", "acuracy", "accuracy"), ("forecast", "accuracy", "mae"), ("binary", "zzz", "accuracy")]
)
def test_an_unknown_metric_is_named_with_a_way_out(binary, task, name, fix):
    with pytest.raises(BadInput) as error:
        measure(task, binary(10, 0.8), [name])
    assert fix in error.value.fix


def test_a_frame_without_answers_is_refused():
    with pytest.raises(BadInput, match='no column "value"'):
        measure("binary", pl.DataFrame({"y": [1]}))
    with pytest.raises(BadInput, match="numbers"):
        measure("regression", pl.DataFrame({"y": ["a"], "value": ["b"]}))


def test_rows_of_one_entity_widen_every_interval(binary):
    once = binary(60, 0.7)
    frame = pl.concat([once.with_columns(entity=pl.Series(range(60)))] * 10)

    for name in ("accuracy", "roc_auc", "brier", "f1"):
        alone = measure("binary", frame, [name])[name]
        grouped = measure("binary", frame, [name], group="entity")[name]
        assert grouped.value == pytest.approx(alone.value)
        assert grouped.high - grouped.low > 2 * (alone.high - alone.low)


@pytest.mark.parametrize("name", [name for name in OF_ROWS if name != "calibration_error"])
def test_the_row_values_of_a_metric_have_it_as_their_mean(binary, name):
    found = answers("binary", binary(400, 0.8))

    assert row_values(name, found).values.mean() == pytest.approx(estimate(name, found).value)


def _quality(**counts):
    return Quality(model="m", version="1.0.0", role="champion", slice="", minute=0, **counts)


def test_live_counts_give_the_same_numbers_as_rows(binary, numbers):
    rows = binary(400, 0.8)
    y, value = rows["y"].to_numpy() == 1, rows["value"].to_numpy() == 1
    counts = {"tp": y & value, "fp": ~y & value, "fn": y & ~value, "tn": ~y & ~value, "correct": y == value}
    live = _quality(labelled=400, **{name: int(flags.sum()) for name, flags in counts.items()})
    for name in ("accuracy", "precision", "recall", "positive_rate"):
        assert from_counts(name, live) == measure("binary", rows, [name])[name]
    assert from_counts("f1", live).value == pytest.approx(measure("binary", rows, ["f1"])["f1"].value)

    rows = numbers(400, 5)
    error = np.abs(rows["value"].to_numpy() - rows["y"].to_numpy())
    sums = {"abs_error": float(error.sum()), "sq_error": float((error**2).sum()), "quad_error": float((error**4).sum())}
    live = _quality(labelled=400, **sums)
    for name in ("mae", "rmse"):
        found, expected = from_counts(name, live), measure("regression", rows, [name])[name]
        # live sums have no cubes, so theirs is the usual t
        assert found.value == pytest.approx(expected.value), name
        assert (found.low, found.high) == pytest.approx((expected.low, expected.high), rel=0.02), name


def test_counts_that_cannot_say_say_so():
    assert from_counts("accuracy", _quality()).value is None
    assert from_counts("roc_auc", _quality(labelled=5)).value is None
    assert from_counts("precision", _quality(labelled=5, tn=5)).value is None
    assert from_counts("f1", _quality(labelled=5, tn=5)).value is None
    assert from_counts("mae", _quality(labelled=1, abs_error=2.0)).value == 2


def test_the_table_names_every_metric_once_and_can_tell_what_is_better():
    assert all(info.name == name for name, info in METRICS.items())
    assert metric_info("log_loss").higher_is_better is False
    assert metric_info("nonsense") is None
    assert metric_names("ranking") == ("ndcg_at_10", "recall_at_10")


def test_of_one_and_the_same_number_nothing_is_explained():
    frame = pl.DataFrame({"y": [3.3] * 150, "value": [3.3 + 0.1 * (place % 3) for place in range(150)]})
    assert measure("regression", frame, ["r2"])["r2"].why == "the truth is the same in all rows"


def test_errors_that_cost_by_their_size_alone_may_be_of_any_size():
    frame = pl.DataFrame({"y": [1e200 * place for place in range(150)], "value": [1e200 * (place + 1) for place in range(150)]})
    for costs in ({"absolute_error": 0.5}, {"absolute_error": 0.5, "squared_error": 1.0}):
        assert measure("forecast", frame, ["cost_per_1000"], costs=costs)["cost_per_1000"].value is not None


def test_what_1000_answers_cost_is_the_sum_of_what_each_error_costs():
    frame = pl.DataFrame({"y": [1, 1, 0, 0], "value": [1, 0, 1, 0]})
    costs = {"false_positive": 4.0, "false_negative": 180.0}

    assert measure("binary", frame, ["cost_per_1000"], costs=costs)["cost_per_1000"].value == pytest.approx((4 + 180) / 4 * 1000)
    assert measure("binary", frame, ["cost_per_1000"])["cost_per_1000"].why == "no costs are declared"

    numbers = pl.DataFrame({"y": [1.0, 2.0], "value": [2.0, 4.0]})
    both = {"absolute_error": 0.4, "squared_error": 0.1}
    assert measure("forecast", numbers, ["cost_per_1000"], costs=both)["cost_per_1000"].value == pytest.approx((0.5 + 1.2) / 2 * 1000)
