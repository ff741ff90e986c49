"""A model that fails some of its requests spends its error budget: it is said everywhere, releases hold, and who knows may release all the same."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import pytest

from flyball.records.incidents import INCIDENTS
from flyball.records.rollouts import ROLLOUTS, RolloutState
from flyball.records.versions import VERSIONS, VersionState
from flyball.serving.layout import read_json

from .kit import ROW, Project, Traffic, Up, champion_is, eventually, in_state, path_of

pytestmark = pytest.mark.process

FAILS = """
def predict(model, X):
    if (X["amount"] > 900).any():
        raise ValueError("so much was never seen")
    return model.predict_proba(X)[:, 1]

credit = fb.Model("""
OBJECTIVES = '[fb.Objective("error_rate", target="99%", window="30d"), fb.Objective("freshness", target="90%", window="30d")]'


def ask(up: Up, amount: float, times: int) -> set[int]:
    """The statuses of so many requests."""
    return {
        up.http.post("/models/credit/predict", json={"row": {**ROW, "amount": amount}, "key": f"k{n}"}).status_code for n in range(times)
    }


def status(project: Project) -> str:
    ended = subprocess.run(
        [sys.executable, "-c", "from flyball.cli import main; main()", "status", "--project", str(project.root)],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return ended.stdout


def metric(up: Up, start: str) -> float | None:
    lines = up.http.get("/metrics").text.splitlines()
    return next((float(line.rpartition(" ")[2]) for line in lines if line.startswith(start)), None)


def test_errors_spend_the_budget_page_and_hold_what_the_loop_would_release(project: Project, start: Callable[..., Up]) -> None:
    change = {
        "credit = fb.Model(": FAILS,
        'holdout="7d")': 'holdout="7d", predict=predict)',
        'source="data/loans.csv",': 'source="data/loans.csv", freshness="7d",',
        "gates=[": f"objectives={OBJECTIVES}, gates=[",
    }
    project.loop(change=change)
    up = start()
    champion_is(project, "1.0.0")
    budget = 'flyball_error_budget_left_ratio{model="credit",objective="error_rate, 99% over 30d"}'
    assert ask(up, 5.0, 150) == {200}
    eventually(lambda: metric(up, budget) == 1, lambda: up.http.get("/metrics").text)
    assert not project.rows(INCIDENTS), "what works is no incident"
    fresh = 'flyball_error_budget_left_ratio{model="credit",objective="freshness, 90% over 30d"}'
    assert metric(up, fresh) == 1

    # the cause: requests of a kind that the model cannot answer
    assert min(ask(up, 950.0, 60)) >= 500
    eventually(lambda: [row.failure_mode for row in project.rows(INCIDENTS)] == ["errors"], project.story)
    eventually(lambda: (metric(up, budget) or 0) < 0, lambda: up.http.get("/metrics").text)
    assert metric(up, 'flyball_incidents{model="credit",failure="errors",urgency="page"') == 1
    assert metric(up, 'flyball_error_budget_spent{model="credit",objective="error_rate, 99% over 30d"}') == 1
    assert metric(up, "flyball_loop_age_seconds") < 30  # type: ignore[operator]  # it is there
    assert "flyball releases nothing by itself" in status(project)
    owner = {"Authorization": f"Bearer {(project.layout.root / 'keys' / 'local.token').read_text().strip()}"}
    [errors, stale] = up.http.get("/api/v1/monitors/credit", headers=owner).json()["budgets"]
    assert (errors["objective"], errors["spent"], errors["bad"], errors["window"]) == ("error_rate, 99% over 30d", True, 60, "2592000s")
    assert errors["back_at"].endswith("Z")
    assert (stale["metric"], stale["spent"], stale["back_at"]) == ("freshness", False, None)

    # what would be released at once otherwise waits
    project.loop(change=change | {"C=1.0": "C=0.5"})

    def made() -> bool:
        row = project.row(VERSIONS, "credit/1.1.0")
        return row is not None and row.state is VersionState.ELIGIBLE

    eventually(made, project.story, 90)
    for _ in range(3):
        before = _pass_at(project)
        eventually(lambda before=before: _pass_at(project) > before, "the loop does not go on")  # type: ignore[misc]  # a plain look
    assert [row.version for row in project.rows(ROLLOUTS)] == ["1.0.0"], "it waits, pass after pass"

    # somebody who knows releases it
    command = [sys.executable, "-c", "from flyball.cli import main; main()", "release", "credit@1.1.0", "--project", str(project.root)]
    subprocess.run([*command, "--reason", "it mends the errors"], check=True, capture_output=True, timeout=60)
    with Traffic(up.url):
        in_state(project, "1.1.0", RolloutState.CANARY, RolloutState.WATCHING, RolloutState.COMPLETED)
    assert RolloutState.FROZEN not in path_of(project, "1.1.0"), "whoever released it knew"
    assert up.stop() == (0, "")
    project.verified()


def _pass_at(project: Project) -> int:
    """When the loop's last pass was."""
    return int((read_json(project.layout.run / "loop.json") or {"at": 0})["at"])
