"""What live rows can say of a sentence: `check` and monitors ask the same functions."""

import polars as pl
import pytest

import flyball as fb
from flyball.declare.live import (
    attribute_text,
    derived_reads,
    derived_slices,
    label_attributes,
    live_slices,
    prices,
    request_slices,
    tells_quality,
    uncounted,
)


def loans(**columns):
    return fb.Dataset(
        "loans",
        source="data/loans.csv",
        time="at",
        columns={
            "amount": float,
            "purpose": fb.column(str, one_of=("car", "home")),
            "country": str,
            "home": str,
            "signed": "time",
            "sex": fb.column(str, one_of=("f", "m"), protected=True, known_after="1d"),
            "age": fb.column(int, protected=True, known_after="1d"),
            "veteran": fb.column(bool, protected=True, known_after="1d"),
            "unpaid": fb.column(bool, known_after="30d"),
            **columns,
        },
    )


def model(**fields):
    return fb.Model("m", task=fields.pop("task", "binary"), data=loans(), label="unpaid", inputs=["amount", "purpose"], **fields)


def test_slices_by_expressions_on_columns_of_the_request_are_live():
    made = {
        "abroad": pl.col("country") != pl.col("home"),
        "late": pl.col("signed").dt.hour() > 18,
        "dear": pl.col("unpaid") & (pl.col("amount") > 5),
    }
    found = model(slices=made)
    assert live_slices(found) == ("abroad",), "a time is a number in the log, and a label is not in the request"
    assert set(derived_slices(found)) == {"abroad"}
    assert derived_reads(found) == ("country", "home")
    assert request_slices(found) == ()
    assert request_slices(model(slices=["purpose"])) == live_slices(model(slices=["purpose"])) == ("purpose",)


def test_protected_columns_that_a_sentence_names_come_with_the_labels():
    gap = fb.metric("positive_rate").gap("sex").over("30d") <= 0.10
    assert label_attributes(model()) == {}
    assert label_attributes(model(monitors=[gap])) == {"sex": ("f", "m")}
    assert label_attributes(model(monitors=[gap | (fb.metric("recall").by("veteran") >= 0.5)])) == {
        "sex": ("f", "m"),
        "veteran": ("false", "true"),
    }
    assert label_attributes(model(retrain=fb.Retrain(when=[fb.metric("recall").gap("sex") > 0.2]))) == {"sex": ("f", "m")}
    assert uncounted(model(monitors=[gap]), gap) == ""


def test_a_protected_column_without_declared_values_is_not_counted_and_says_what_helps():
    gap = fb.metric("recall").gap("age") <= 0.10
    assert label_attributes(model(monitors=[gap])) == {}
    assert uncounted(model(monitors=[gap]), gap) == "age comes with the labels, and is counted once its values are declared (one_of=)"


@pytest.mark.parametrize(
    "name", ["roc_auc", "log_loss", "brier", "calibration_error", "recall_at_1%", "false_positive_rate", "accuracy", "positive_rate"]
)
def test_metrics_of_two_classes_are_counted_live(name):
    assert uncounted(model(), fb.metric(name) >= 0.5) == ""


def test_what_counts_cannot_give_is_named():
    assert uncounted(model(), fb.metric("equalised_odds") <= 0.1) == "it is a gap between groups"
    assert uncounted(model(monitors=[fb.metric("equalised_odds").gap("sex") <= 0.1]), fb.metric("equalised_odds").gap("sex") <= 0.1) == ""
    assert uncounted(model(), fb.metric("cost_per_1000") <= 5) == "no costs are declared"
    assert uncounted(model(costs={"false_positive": "4 EUR"}), fb.metric("cost_per_1000") <= 5) == ""
    assert "cannot be computed" in uncounted(model(), fb.metric("size") <= 5)
    assert "purpose is none" in uncounted(model(), fb.metric("accuracy").by("purpose") >= 0.5)


def test_prices_are_the_declared_costs_of_a_thousand_answers():
    assert prices(model(costs={"false_positive": "4 EUR", "false_negative": "180 EUR"})) == {"fp": 4_000.0, "fn": 180_000.0}
    assert prices(model()) == {}


def test_status_shows_a_metric_that_live_rows_give():
    assert tells_quality(model(), "roc_auc")
    assert not tells_quality(model(), "cost_per_1000")
    assert not tells_quality(model(), "positive_rate"), "a share of answers is not good or bad"
    assert not tells_quality(model(), "equalised_odds")


@pytest.mark.parametrize(("value", "text"), [(1, "1"), (1.0, "1"), (2.5, "2.5"), (True, "true"), ("F", "F")])
def test_a_value_has_one_text_however_json_has_it(value, text):
    assert attribute_text(value) == text
