"""What of a business outcome can be declared, and what is refused with its reason."""

from __future__ import annotations

from typing import Any

import pytest

import flyball as fb
from flyball.declare.model import Model
from flyball.declare.outcomes import joined_by
from flyball.declare.problems import problems, unbuilt

COLUMNS = {"customer": str, "order": str, "worth": float, "prediction_id": str, "note": str}
ORDERS = fb.Dataset("orders", source="orders.csv", time="ts", columns=COLUMNS)


def outcome(**changed: Any) -> fb.Outcome:
    return fb.Outcome(**({"name": "revenue", "source": ORDERS, "on": "customer", "column": "worth", "within": "7d"} | changed))


def model(*outcomes: fb.Outcome, **changed: Any) -> Model:
    data = fb.Dataset("asked", source="a.csv", time="ts", id="order", columns={"x": float, "customer": str, "up": int})
    given = {"inputs": ["x", "customer"], "label": "up", "monitors": []} | changed
    return fb.Model("m", task="binary", data=data, train=fb.Train(lambda X, y: None), outcomes=outcomes, owner="o", **given)


def told(*outcomes: fb.Outcome, **changed: Any) -> list[str]:
    return [one.what for one in problems(model(*outcomes, **changed))]


@pytest.mark.parametrize(("on", "how"), [("customer", "column"), ("order", "id"), ("prediction_id", "id"), ("shop", "")])
def test_outcomes_are_joined_by_what_an_answer_has(on: str, how: str) -> None:
    assert joined_by(model(), outcome(on=on)) == how


def test_a_key_that_versions_are_dealt_by_joins_too() -> None:
    assert joined_by(model(rollout=fb.Rollout(sticky="shop").canary("50%", "1d")), outcome(on="shop")) == "key"


def test_one_that_can_be_counted_is_no_problem_and_is_built() -> None:
    declared = model(outcome(), monitors=[fb.metric("revenue").over("30d") >= 3.0])
    assert problems(declared) == []
    assert [one.what for one in unbuilt(declared) if "revenue" in one.what] == []


@pytest.mark.parametrize(
    ("changed", "what"),
    [
        ({"on": "note"}, 'callers send no "note"'),
        ({"on": "nobody"}, '"nobody" is not a column of "orders"'),
        ({"column": "worht"}, '"worht" is not a column'),
        ({"column": "note"}, '"note" is no number'),
        ({"name": "accuracy"}, "has the name of a metric"),
        ({"source": fb.Dataset("untimed", source="u.csv", columns=COLUMNS)}, "has no time"),
    ],
)
def test_what_could_never_be_counted_is_refused(changed: dict[str, Any], what: str) -> None:
    assert any(what in one for one in told(outcome(**changed)))


def test_an_objective_is_of_quality_and_service_alone() -> None:
    assert told(outcome(), objectives=[fb.Objective(fb.metric("revenue") >= 3.0, target="90%", window="30d")]) != []


def test_a_name_is_given_once() -> None:
    assert any("is declared twice" in one for one in told(outcome(), outcome(on="order")))


@pytest.mark.parametrize(
    ("changed", "what"),
    [
        ({"gates": [fb.metric("revenue") >= 3.0]}, "an outcome is watched by monitors"),
        ({"rollout": fb.Rollout(guards=[fb.metric("revenue") >= 3.0]).canary("10%", "1d")}, "an outcome is watched by monitors"),
        ({"retrain": fb.Retrain(when=[fb.metric("revenue") < 3.0])}, "an outcome is watched by monitors"),
        ({"monitors": [(fb.metric("revenue") >= 3.0) | (fb.metric("accuracy") >= 0.5)]}, "an outcome is no alternative"),
        ({"monitors": [fb.metric("revenue") >= fb.at_release]}, "at_release has no outcome"),
        ({"monitors": [fb.metric("revenue").gap("customer") <= 3.0]}, "gaps of outcomes are not measured"),
    ],
)
def test_an_outcome_is_a_monitor_of_its_own_against_a_number(changed: dict[str, Any], what: str) -> None:
    assert any(what in one for one in told(outcome(), **changed))
