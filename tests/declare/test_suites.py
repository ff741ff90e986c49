"""Suites that could not be judged are told when they are declared."""

import polars as pl
import pytest

import flyball as fb
from flyball.declare import codec
from flyball.declare.problems import problems, unbuilt, warnings
from flyball.declare.reads import judged_on, looked_at, made_from

COLUMNS = {
    "amount": fb.column(float, known_after="-1d"),
    "kind": fb.column(str, known_after="-1d"),
    "bad": fb.column(int, known_after="1d"),
}
DATA = fb.Dataset("payments", source="p.csv", time="at", columns=COLUMNS)


def cases(**columns):
    return fb.Dataset("cases", source="c.csv", time="at", columns={**COLUMNS, **columns})


def model(*suites, **changes):
    made = {"task": "binary", "data": DATA, "label": "bad", "framing": fb.Framing("test", horizon="1h"), "suites": suites} | changes
    return fb.Model("fraud", **made)


def said(found):
    return [f"{item.what} | {item.why} | {item.fix}" for item in problems(found)]


def test_a_suite_with_what_the_model_is_asked_is_sound_and_built():
    whole = model(fb.suite("german", cases(), metric="accuracy", at_least="90%"))

    assert said(whole) == []
    assert not [item for item in unbuilt(whole) if "suite" in item.what]
    assert "there is no gate" not in [item.what for item in warnings(whole)]


@pytest.mark.parametrize(
    ("metric", "at_least", "expected"),
    [
        ("log_loss", 0.3, "more of it is worse"),
        ("positive_rate", 0.3, "neither better nor worse"),
        ("mae", 0.3, "is not measured of the cases of a binary model"),
        ("acuracy", 0.9, 'did you mean "accuracy"?'),
        ("size", 0.9, "is not measured of the cases"),
        ("latency_p99", 0.9, "is not measured of the cases"),
        ("accuracy", 90.0, "accuracy is between 0 and 1"),
    ],
)
def test_a_metric_that_no_suite_can_ask_for_is_told(metric, at_least, expected):
    (only,) = said(model(fb.suite("german", cases(), metric=metric, at_least=at_least)))

    assert expected in only


def test_cases_without_what_the_model_is_asked_or_judged_by_are_told():
    bare = fb.Dataset("cases", source="c.csv", time="at", columns={"amount": str, "extra": float})
    found = said(model(fb.suite("german", bare, metric="accuracy", at_least=0.9), transforms={"log": pl.col("amount").log()}))

    assert any('data set "cases" has no column "kind" | it is an input of the model' in each for each in found)
    assert any('data set "cases" has no column "bad" | it is the label' in each for each in found)
    assert any('column "amount" of data set "cases" is str, and the model\'s is float' in each for each in found)


def test_the_model_s_own_rows_are_no_suite_and_names_are_used_once():
    own = model(fb.suite("own", DATA, metric="accuracy", at_least=0.9))
    assert any("its rows train the model" in each for each in said(own))
    twice = fb.suite("german", cases(), metric="accuracy", at_least=0.9)
    assert any('two suites are called "german"' in each for each in said(model(twice, twice)))


def test_cases_are_looked_at_and_judged_on_and_make_no_rows():
    whole = model(fb.suite("german", cases(), metric="accuracy", at_least=0.9))

    assert list(made_from(whole)) == ["payments"]
    assert list(judged_on(whole)) == ["cases"]
    assert set(looked_at(whole)) == {"payments", "cases"}


def test_a_changed_suite_judges_anew_and_trains_nothing():
    before, after = (
        codec.digests(codec.encode(model(fb.suite("german", cases(), metric="accuracy", at_least=bound)))) for bound in (0.9, 0.8)
    )

    assert before.gates != after.gates
    assert before.version == after.version
