"""The loop files that people start from pass `flyball check`, and what they declare and nothing does yet is named, never ignored."""

import os
import shutil
from pathlib import Path

import pytest

from flyball.loop.checking import CheckReport, check_project

ROOT = Path(__file__).parent.parent.parent
pytestmark = pytest.mark.process


def unbuilt(checked: CheckReport) -> set[str]:
    return {warning.what.removeprefix("not built yet: ") for warning in checked.warnings if warning.what.startswith("not built yet: ")}


def test_the_electricity_example_has_no_problem_and_one_thing_that_nothing_does_yet(tmp_path: Path) -> None:
    root = shutil.copytree(ROOT / "examples" / "electricity", tmp_path / "electricity")
    checked = check_project(root)
    assert [str(problem) for problem in checked.problems] == []
    [model] = checked.models
    assert model.name == "price-direction"
    assert model.request == {"day": "int", "period": "float"}, "four hours ahead a caller knows the calendar and nothing else"
    assert unbuilt(checked) == {'freshness (data set "nsw-market")'}


def test_the_electricity_example_holds_its_contract_on_the_real_file(tmp_path: Path) -> None:
    file = _test_data() / "data" / "electricity.csv"
    root = shutil.copytree(ROOT / "examples" / "electricity", tmp_path / "electricity", ignore=shutil.ignore_patterns("data"))
    (root / "data").mkdir()
    (root / "data" / "electricity.csv").symlink_to(file)
    checked = check_project(root, data=True)
    assert [str(problem) for problem in checked.problems] == []


@pytest.fixture(scope="module")
def four(tmp_path_factory: pytest.TempPathFactory) -> CheckReport:
    """The check of the four loop files, their data being absent."""
    root = tmp_path_factory.mktemp("four")
    (root / "flyball.toml").touch()
    (root / "loops").mkdir()
    for file in sorted((_test_data() / "loops").glob("*.py")):
        (root / "loops" / file.name).write_bytes(file.read_bytes())
    return check_project(root)


def test_all_four_loop_files_pass_the_check_without_their_data(four: CheckReport) -> None:
    assert [str(problem) for problem in four.problems] == []
    assert four.broken == ()
    assert {model.name for model in four.models} == {"price-direction", "bike-demand", "credit-default", "card-fraud"}


@pytest.mark.parametrize(
    ("model", "named"),
    [
        ("price-direction", "freshness"),
        ("bike-demand", "costs"),
        ("credit-default", "rollout change_window"),
        ("credit-default", "approval"),
        ("card-fraud", "a label from another data set"),
        ("card-fraud", "a kafka:// source"),
        ("card-fraud", "the metric cost_per_1000"),
        ("card-fraud", "retrain budget"),
    ],
)
def test_what_is_declared_and_not_built_is_named_with_its_effect(four: CheckReport, model: str, named: str) -> None:
    [found] = [one for one in four.models if one.name == model]
    told = [warning for warning in found.warnings if warning.what.startswith("not built yet: ") and named in warning.what]
    assert told, [warning.what for warning in found.warnings]
    assert all(f'Model "{model}"' in warning.where and warning.why for warning in told)


def test_every_model_says_what_a_caller_sends(four: CheckReport) -> None:
    assert all(model.request for model in four.models)


def _test_data() -> Path:
    folder = os.environ.get("FLYBALL_TEST_DATA")
    if not folder:
        pytest.skip("FLYBALL_TEST_DATA does not say where the real data and loop files are")
    return Path(folder)
