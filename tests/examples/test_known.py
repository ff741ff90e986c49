"""Questions whose best possible answers are known: a run comes near them, never beyond, and its gates say so."""

import shutil
import subprocess
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest

from .kit import flyball

pytestmark = pytest.mark.process
EXAMPLE = Path(__file__).parent.parent.parent / "examples" / "known"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = shutil.copytree(EXAMPLE, tmp_path_factory.mktemp("known") / "p")
    subprocess.run([sys.executable, "make.py"], cwd=root, check=True, stdout=subprocess.DEVNULL)
    return root


@pytest.fixture(scope="module")
def made() -> ModuleType:
    spec = spec_from_file_location("known_make", EXAMPLE / "make.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_best_possible_accuracy_is_what_the_example_says(made: ModuleType) -> None:
    assert made.best_accuracy(200_000) == pytest.approx(made.BEST_ACCURACY, abs=0.003)


def test_of_three_kinds_a_run_comes_to_the_best_possible_accuracy(project: Path, made: ModuleType) -> None:
    trained = flyball("train", "kind", "--project", project)

    found = trained["metrics"]["accuracy"]
    assert found["low"] <= made.BEST_ACCURACY <= found["high"]
    assert {verdict["verdict"] for verdict in trained["verdicts"]} == {"pass"}


def test_of_a_number_a_run_comes_near_the_best_possible_error_and_not_below(project: Path, made: ModuleType) -> None:
    trained = flyball("train", "amount", "--project", project)

    found = trained["metrics"]["mae"]
    assert found["value"] <= made.BEST_MAE * 1.06
    assert found["high"] >= made.BEST_MAE, "better than the best possible: it was shown the answer"
    assert {verdict["verdict"] for verdict in trained["verdicts"]} == {"pass"}
