"""Live counts give the metrics that the rows themselves give, with their intervals, or say why not."""

import numpy as np
import polars as pl
import pytest

from flyball.clock import Span
from flyball.declare.costs import priced
from flyball.declare.metrics import METRICS, metric_info
from flyball.evaluation.counts import Folder
from flyball.evaluation.counts_columns import SCORES
from flyball.evaluation.counts_metrics import from_counts
from flyball.evaluation.metrics import measure
from flyball.records.evidence import MOST, Quality, Watch
from flyball.stats import binned

S = 1_000_000
COSTS = {"false_positive": 4.0, "false_negative": 180.0}


def live(task, y, value, score=None, *, scores=None, classes=(), **fields):
    """The counts of rows that were all judged, of the whole."""
    n = len(y)
    rows = pl.DataFrame({"request_id": [f"r{k}" for k in range(n)], "at": list(range(n)), "version": "1.0.0", "value": value})
    if score is not None:
        rows = rows.with_columns(pl.Series("score", score, dtype=pl.Float64))
    if scores is not None:
        rows = rows.with_columns(pl.Series(SCORES, scores, dtype=pl.List(pl.Float64)))
    loss = "absolute" if task in ("regression", "forecast") else "zero_one"
    folder = Folder(Watch(model="m", task=task, label_delay=Span(10 * S), classes=classes, loss=loss, **fields))
    folder.add(rows, pl.DataFrame({"request_id": rows["request_id"], "at": [S] * n, "value": y}))
    [quality] = [one for one in folder.take(60 * S).quality if not one.slice]
    return quality


def scored_rows(seed=0, n=20_000, share=-2.0):
    rng = np.random.default_rng(seed)
    z = rng.normal(size=n) * 1.3 + share
    y = (rng.random(n) < 1 / (1 + np.exp(-z))).astype(float)
    score = 1 / (1 + np.exp(-(z + 0.5 * rng.normal(size=n))))
    return y, (score >= 0.3).astype(float), score


@pytest.fixture(scope="module")
def binary_rows():
    return scored_rows()


WITHIN = {"roc_auc": 0.001, "calibration_error": 0.005, "recall_at_1%": 0.005, "recall_at_10%": 0.005}


@pytest.mark.parametrize(
    "name",
    [
        "accuracy",
        "precision",
        "recall",
        "f1",
        "false_positive_rate",
        "positive_rate",
        "roc_auc",
        "log_loss",
        "brier",
        "calibration_error",
        "recall_at_1%",
        "recall_at_10%",
        "cost_per_1000",
    ],
)
def test_every_metric_of_two_classes_is_what_it_is_on_rows(binary_rows, name):
    y, value, score = binary_rows
    expected = measure("binary", pl.DataFrame({"y": y, "value": value, "score": score}), [name], costs=COSTS)[name]
    found = from_counts(name, live("binary", y, value, score), priced("binary", COSTS))
    within = WITHIN.get(name, 1e-9 * max(1.0, abs(expected.value)))
    assert found.value == pytest.approx(expected.value, abs=within)
    width = expected.high - expected.low
    assert found.high == pytest.approx(expected.high, abs=within + 0.1 * width)
    if name != "calibration_error":
        assert found.low == pytest.approx(expected.low, abs=within + 0.1 * width)
    assert found.n == 20_000


def test_a_calibration_error_that_chance_makes_is_no_evidence():
    for seed in range(20):
        rng = np.random.default_rng(seed)
        score = rng.random(120)
        y = (rng.random(120) < score).astype(float)
        found = from_counts("calibration_error", live("binary", y, (score > 0.5).astype(float), score))
        assert found.value > 0.03, "ten bins of twelve rows are never right on the spot"
        assert found.low == 0.0


def test_three_classes_have_the_log_loss_of_the_class_that_happened():
    rng = np.random.default_rng(2)
    table = rng.dirichlet([1, 1, 1], 2_000)
    classes = ("a", "b", "c")
    truth = [classes[rng.choice(3, p=row)] for row in table]
    value = [classes[int(place)] for place in table.argmax(axis=1)]
    frame = pl.DataFrame({"y": truth, "value": value, "score": table.tolist()})
    expected = measure("multiclass", frame, ["log_loss", "accuracy", "cost_per_1000"], classes=classes, costs={"false_positive": 2.0})
    quality = live("multiclass", truth, value, scores=table.tolist(), classes=classes)
    for name, each in expected.items():
        found = from_counts(name, quality, priced("multiclass", {"false_positive": 2.0}))
        assert found.value == pytest.approx(each.value), name
    assert from_counts("log_loss", live("multiclass", truth, value)).why == "no labelled row has a score from 0 to 1"


def test_classes_that_are_text_have_a_positive_one():
    quality = live("binary", ["yes", "no", "yes"], ["yes", "yes", "no"], [0.9, 0.8, 0.1], classes=("no", "yes"))
    assert (quality.tp, quality.fp, quality.fn, quality.tn, quality.scored) == (1, 1, 1, 0, 3)
    assert from_counts("roc_auc", quality).value == 0.5


@pytest.mark.parametrize("name", ["mae", "rmse", "mape", "r2", "cost_per_1000"])
@pytest.mark.parametrize("offset", [0.0, 100.0])
def test_every_metric_of_numbers_is_what_it_is_on_rows(name, offset):
    rng = np.random.default_rng(3)
    y = rng.normal(size=5_000) * 10 + offset
    # live sums have no cubes: of a few very large values theirs is the usual t
    y = np.where(np.abs(y) < 3, 3.0, y)
    y[:40] = 0.0
    value = y + rng.normal(size=5_000) * 4
    costs = {"absolute_error": 2.0}
    expected = measure("regression", pl.DataFrame({"y": y, "value": value}), [name], costs=costs)[name]
    found = from_counts(name, live("regression", y, value), priced("regression", costs))
    assert found.value == pytest.approx(expected.value)
    width = expected.high - expected.low
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=0.15 * width)


def test_a_cost_of_squares_has_no_narrower_an_interval_than_its_rows():
    rng = np.random.default_rng(4)
    y = rng.normal(size=3_000)
    value = y + rng.normal(size=3_000)
    costs = {"absolute_error": 2.0, "squared_error": 1.0}
    expected = measure("forecast", pl.DataFrame({"y": y, "value": value}), ["cost_per_1000"], costs=costs)["cost_per_1000"]
    found = from_counts("cost_per_1000", live("forecast", y, value), priced("forecast", costs))
    assert found.value == pytest.approx(expected.value)
    assert found.high - found.low >= 0.95 * (expected.high - expected.low)


@pytest.mark.parametrize("size", [1e80, 1e160, 1e308])
def test_errors_that_are_too_large_say_so_and_nothing_wrong(size):
    y = np.linspace(-1, 1, 200)
    quality = live("regression", y, y + size)
    assert all(np.isfinite(getattr(quality, name)) for name in ("abs_error", "sq_error", "quad_error", "sq_truth_sq", "relative_sq"))
    for name in ("mae", "rmse", "mape", "r2"):
        found = from_counts(name, quality)
        assert "missing" not in found.why
        if found.value is None:
            assert "too large" in found.why
        elif name == "mae":
            assert found.value == pytest.approx(size)
        elif name == "rmse":
            assert found.value == pytest.approx(size, rel=1e-6)
    assert from_counts("rmse", live("regression", y, y + 1e80)).value == pytest.approx(1e80), "only its interval is lost"


def test_an_answer_that_is_no_number_costs_the_most_and_leaves_no_mean():
    y = [1.0, 2.0, 3.0]
    for bad in (float("nan"), float("inf"), -float("inf")):
        quality = live("regression", y, [1.0, 2.0, bad])
        assert quality.loss == 1.0
        assert quality.abs_error == pytest.approx(MOST)
        assert from_counts("mae", quality).value is None
    assert live("binary", [1.0, 0.0], [float("nan"), 0.0]).correct == 1


def test_numbers_that_hardly_differ_beside_their_size_have_no_r2():
    y = 1e9 + np.arange(300) * 1e-3
    found = from_counts("r2", live("regression", y, y))
    assert (found.value, "too little" in found.why) == (None, True)
    assert from_counts("r2", live("regression", [3.3] * 150, [3.3] * 150)).value is None
    assert from_counts("mape", live("regression", [0.0] * 150, [3.3] * 150)).why == "there are no rows with a truth other than 0"


@pytest.mark.parametrize("bad", [None, float("nan"), float("inf"), -0.2, 1.5])
def test_a_score_that_is_no_probability_is_left_out_and_said(bad):
    y, value, score = scored_rows(n=400)
    scores = score.tolist()
    scores[7] = bad
    quality = live("binary", y, value, scores)
    assert (quality.labelled, quality.scored) == (400, 399)
    for name in ("roc_auc", "log_loss", "brier", "calibration_error", "recall_at_10%"):
        found = from_counts(name, quality)
        assert np.isfinite(found.value), name
        assert found.why == "1 labelled rows without a score from 0 to 1 are left out"
        assert found.n == 399
    assert from_counts("accuracy", quality).n == 400


def test_one_class_alone_has_no_auc_and_says_so():
    _, value, score = scored_rows(n=300)
    never, always = live("binary", [0.0] * 300, value, score), live("binary", [1.0] * 300, value, score)
    assert from_counts("roc_auc", never).why == from_counts("roc_auc", always).why == "all rows are of one class"
    assert from_counts("recall_at_1%", never).why == "there are no positive rows"
    for quality in (never, always):
        for name in ("log_loss", "brier", "calibration_error"):
            assert from_counts(name, quality).value is not None


def test_without_labels_or_scores_there_is_a_reason_and_no_number():
    empty = live("binary", [None, None], [1.0, 0.0], [0.2, 0.3])
    assert (empty.matured, empty.labelled, empty.scored, empty.scores) == (2, 0, 0, b"")
    assert from_counts("roc_auc", empty).why == "no matured row has a label yet"
    unscored = live("binary", [1.0, 0.0], [1.0, 0.0])
    assert from_counts("roc_auc", unscored).why == "no labelled row has a score from 0 to 1"
    assert from_counts("cost_per_1000", unscored).why == "no costs are declared"
    assert from_counts("equalised_odds", unscored).why == "it is a gap between groups"


def test_counts_give_every_metric_that_the_table_says_they_give_and_no_other():
    y, value, score = scored_rows(n=500)
    of = {"binary": live("binary", y, value, score), "regression": live("regression", score * 9 + 1, value)}
    for name in (*METRICS, "recall_at_5%"):
        info = metric_info(name)
        if info.source == "traffic" or name == "equalised_odds":
            continue
        task = "binary" if "binary" in info.tasks else "regression"
        prices = priced(task, COSTS if task == "binary" else {"absolute_error": 1.0})
        assert (from_counts(name, of[task], prices).value is not None) == info.counted, name


def test_cells_of_counts_are_those_of_the_rows(binary_rows):
    y, value, score = binary_rows
    quality = live("binary", y, value, score)
    assert quality.scores == binned.of(score, y == 1)
    assert isinstance(quality, Quality)
