"""The adult example on its data: gates that look at groups refuse what is good on average, and say for whom it is not."""

import re
from pathlib import Path
from typing import Any

import pytest

from .kit import EXAMPLES, flyball, with_data

pytestmark = pytest.mark.process

WEAK = """

def predict_wrongly(model: object, X: pl.DataFrame) -> np.ndarray:
    right = model.predict_proba(X)[:, 1]
    return np.where(X["education"] == 15, 1 - right, right)


weak = income.replace(
    "weak",
    train=fb.Train(fit, split="stratified", holdout="20%", predict=predict_wrongly),
    gates=[fb.metric("accuracy") >= 0.6, fb.metric("accuracy") >= fb.champion - 0.01, fb.metric("weak_slices") <= 0],
)
"""
"""A model that is wrong about the 22% of rows with one value of one column."""

ABSENT = """

veterans = fb.Dataset("veterans", source="data/veterans.csv", columns={name: column for name, column in census.columns.items()})
watched = income_fair.replace(
    "watched",
    gates=[fb.metric("accuracy") >= 0.6, fb.metric("accuracy") >= fb.champion - 0.01],
    suites=[fb.suite("veterans", veterans, metric="accuracy", at_least=0.8)],
)
"""
"""A model that must do well on a set of cases that is not there."""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return with_data("adult", "adult.csv", tmp_path_factory.mktemp("adult"))


def _by_gate(trained: Any) -> dict[str, dict[str, Any]]:
    return {verdict["gate"]: verdict for verdict in trained["verdicts"]}


def _more(project: Path, name: str, text: str) -> None:
    """Beside the example's models, those of a file of its own."""
    (project / name).write_text((EXAMPLES / "adult" / "loop.py").read_text() + text)


def test_the_example_has_nothing_wrong(project: Path) -> None:
    for model in flyball("check", "--data", "--project", project)["models"]:
        assert model["problems"] == [], model["name"]


def test_an_unconstrained_model_is_refused_for_the_gap_between_two_groups_that_are_named(project: Path) -> None:
    trained = flyball("train", "income", "--project", project)

    assert trained["metrics"]["roc_auc"]["value"] > 0.91, "it is good on average"
    refused = _by_gate(trained)["upper bound of positive_rate gap across sex ≤ 0.1"]
    assert refused["verdict"] == "fail"
    assert re.match(r"0 0\.0\d+, 1 0\.2\d+: 0\.1\d+ \[0\.1\d+, 0\.\d+\] n=9,\d\d\d, upper bound 0\.\d+", refused["why"]), refused["why"]
    assert trained["state"] == "rejected"


def test_a_model_that_unlearns_what_household_and_trade_say_passes_the_same_gates(project: Path) -> None:
    trained = flyball("train", "income-fair", "--project", project)

    assert {verdict["verdict"] for verdict in trained["verdicts"]} == {"pass"}, trained["verdicts"]
    assert trained["metrics"]["accuracy"]["value"] > 0.81, "and pays five points for it"


def test_a_weak_segment_under_a_good_average_is_found_refused_and_named_on_the_card(project: Path) -> None:
    _more(project, "loop.py", WEAK)
    trained = flyball("train", "weak", "--project", project)

    verdicts = _by_gate(trained)
    assert verdicts["accuracy ≥ 0.6"]["verdict"] == "pass"
    refused = verdicts["weak_slices ≤ 0"]
    assert refused["verdict"] == "fail"
    assert "education=15" in refused["why"]
    card = flyball("models", "card", f"weak@{trained['version']}", "--project", project)
    assert "education=15" in card["card"]


def test_a_set_of_cases_that_is_not_there_is_never_a_pass(project: Path) -> None:
    _more(project, "loop.py", ABSENT)
    trained = flyball("train", "watched", "--project", project)

    [absent] = [verdict for verdict in trained["verdicts"] if "veterans" in verdict["gate"]]
    assert absent["verdict"] == "insufficient"
    assert trained["state"] == "candidate", "and the version waits"
