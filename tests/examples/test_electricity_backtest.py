"""The example on real data: what the declared loop would have done in 1996–98, beside fixed schedules."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(scope="module")
def report() -> dict[str, object]:
    folder = os.environ.get("FLYBALL_TEST_DATA")
    if not folder:
        pytest.skip("FLYBALL_TEST_DATA names no folder with data/electricity.csv")
    done = subprocess.run(
        [
            *(sys.executable, "-c", "from flyball.cli import main; main()", "backtest", str(ROOT / "examples/electricity/loop.py")),
            *("--data", str(Path(folder) / "data" / "electricity.csv"), "--json", "--jobs", "2"),
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=900,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.process
def test_the_baselines_are_those_of_the_honest_framing(report: dict) -> None:
    assert report["rows"] == 45_312
    assert report["baselines"]["persistence"] == pytest.approx(0.59, abs=0.005)
    assert report["baselines"]["last_week"] == pytest.approx(0.66, abs=0.005)


@pytest.mark.process
def test_the_declared_policy_beats_the_baselines_and_never(report: dict) -> None:
    declared = report["policies"]["declared"]["accuracy"]
    assert declared > max(report["baselines"].values())
    assert declared > report["policies"]["never"]["accuracy"]


@pytest.mark.process
def test_the_declared_policy_lies_on_the_schedules_curve(report: dict) -> None:
    curve = sorted((row["retrains"], row["accuracy"]) for name, row in report["policies"].items() if name.startswith("every_"))
    declared = report["policies"]["declared"]
    expected = np.interp(declared["retrains"], [retrains for retrains, _ in curve], [accuracy for _, accuracy in curve])
    # of either side .005 are noise: which day a run falls on moves it by as much
    assert declared["accuracy"] >= expected - 0.015


@pytest.mark.process
def test_every_policy_says_what_it_did_and_what_it_cost(report: dict) -> None:
    names = {"declared", "never", "every_90d", "every_60d", "every_45d", "every_30d", "every_21d", "every_14d"}
    assert set(report["policies"]) == names
    for row in report["policies"].values():
        assert {"accuracy", "retrains", "alerts", "rollbacks", "elapsed_s", "fit_s"} <= set(row)
