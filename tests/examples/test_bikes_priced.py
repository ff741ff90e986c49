"""The bikes example on its data: trained, priced, and judged in money."""

from pathlib import Path

import pytest

from .kit import flyball, with_data

pytestmark = pytest.mark.process


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return with_data("bikes", "bike_sharing.csv", tmp_path_factory.mktemp("bikes"))


def test_the_example_has_nothing_wrong_and_declares_nothing_that_nothing_does(project: Path) -> None:
    [model] = flyball("check", "--data", "--project", project)["models"]

    assert model["problems"] == []
    assert [one["what"] for one in model["warnings"]] == []


def test_a_version_is_priced_and_held_to_its_price(project: Path) -> None:
    trained = flyball("train", "bike-demand", "--trials", 0, "--project", project)

    cost, error = trained["metrics"]["cost_per_1000"], trained["metrics"]["mae"]
    assert cost["value"] == pytest.approx(400 * error["value"]), "0.40 EUR for each bike that an answer is off"
    assert error["high"] < 40, "less than half of what the newest known hour gives"
    assert {verdict["gate"]: verdict["verdict"] for verdict in trained["verdicts"]}["cost_per_1000 ≤ 25000 EUR"] == "pass"
