"""A model without train is told what it gets, and what it declares in vain."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest

import flyball as fb
from flyball.declare.elsewhere import classes, is_folder
from flyball.declare.problems import problems, unbuilt, warnings
from flyball.declare.rules_columns import inputs
from flyball.declare.rules_elsewhere import elsewhere_told

COLUMNS: dict[str, Any] = {"amount": float, "good": fb.column(int, one_of=(1, 0), known_after="2d")}
FOLDER = COLUMNS | {"prediction": int, "score": float, "version": str}


def model(columns: dict[str, Any] = COLUMNS, *, key: str = "request", time: str = "at", task: str = "binary", **more: Any) -> fb.Model:
    data = fb.Dataset("requests", source="push://", time=time, id=key, columns=columns)
    return fb.Model("risk", task=task, data=data, label="good", owner="risk", framing=fb.Framing("x"), **more)


def told(made: fb.Model) -> str:
    return "\n".join(str(each) for each in warnings(made))


def test_it_is_no_problem_and_says_where_its_predictions_come_from() -> None:
    assert problems(model()) == []
    assert unbuilt(model()) == []
    assert told(model()) == "", "of what is as it should be nobody is warned"
    assert "by POST /models/risk/predictions" in "".join(elsewhere_told(model()))
    assert 'by data set "requests"' in "".join(elsewhere_told(model(FOLDER)))


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("gates", [fb.metric("accuracy") >= 0.5]),
        ("retrain", fb.Retrain(every="30d")),
        ("transforms", {"double": pl.col("amount") * 2}),
        ("fallback", 1),
    ],
)
def test_what_it_declares_in_vain_is_named_with_the_reason(argument: str, value: Any) -> None:
    assert f"{argument} of a model without train mean nothing" in told(model(**{argument: value}))


def test_what_was_answered_is_no_input() -> None:
    assert is_folder(model(FOLDER))
    assert inputs(model(FOLDER)) == ("amount",)


@pytest.mark.parametrize(
    ("made", "what"),
    [
        (model(FOLDER, key=""), "names no id"),
        (model(FOLDER, time=""), "names no time"),
        (model(FOLDER | {"prediction": str}), 'column "prediction" of type str'),
        (model(FOLDER | {"version": int}), 'column "version" of type int'),
        (model(FOLDER, inputs=["amount", "score"]), 'input "score" is what was answered'),
    ],
    ids=["id", "time", "prediction", "version", "input"],
)
def test_a_folder_of_predictions_has_to_say_which_row_is_which(made: fb.Model, what: str) -> None:
    assert any(what in each.what for each in problems(made))


def test_classes_are_those_of_the_label_in_ascending_order() -> None:
    assert classes(model()) == (0, 1)
    assert classes(model(COLUMNS | {"good": fb.column(bool, known_after="1d")})) == (False, True)
    assert classes(model(COLUMNS | {"good": fb.column(str, one_of=("yes", "no"), known_after="1d")})) == ("no", "yes")
    assert classes(model(COLUMNS | {"good": float}, task="regression")) == ()
    assert "does not say its classes" in told(model(COLUMNS | {"good": str}, task="multiclass"))
