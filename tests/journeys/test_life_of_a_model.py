"""A project from its first start: the loop file is edited under a running `up`, well and badly."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from flyball.records.declarations import DECLARATIONS, LOOP_FILES, DeclarationApplied, DeclarationRefused
from flyball.records.rollouts import RolloutState
from flyball.records.training import RunQueued
from flyball.records.versions import VersionEligible, VersionJudged

from .kit import LOOP, Project, Traffic, Up, champion_is, eventually, in_state, path_of

pytestmark = pytest.mark.process

SYNTAX = "import flyball as fb\nmarket = fb.Dataset(\n"
COLUMN = '        "amount": fb.column(float, between=(0, 1000)),\n'


def broken(project: Project, file: str, says: str) -> str:
    """Wait until a loop file is known to be broken for this reason; all that is said about it."""

    def look() -> str:
        row = project.row(LOOP_FILES, file)
        text = "\n".join(row.problems) if row else ""
        return text if says in text else ""

    return eventually(look, lambda: f"{file} is not named with {says!r}: {project.rows(LOOP_FILES)}")


def healed(project: Project) -> None:
    eventually(lambda: not project.rows(LOOP_FILES), lambda: f"still broken: {project.rows(LOOP_FILES)}")


def test_a_fresh_project_serves_retrains_on_an_edit_and_lives_through_broken_ones(project: Project, start: Callable[..., Up]) -> None:
    project.loop()
    up = start()
    champion_is(project, "1.0.0")
    assert up.predict().json()["version"] == "1.0.0"

    # a changed fit is a candidate: gates, shadow, canary, champion
    with Traffic(up.url) as traffic:
        project.loop(change={"C=1.0": "C=0.5"})
        in_state(project, "1.1.0", RolloutState.COMPLETED)
    assert path_of(project, "1.1.0") == [
        RolloutState.WARMING,
        RolloutState.SHADOW,
        RolloutState.CANARY,
        RolloutState.WATCHING,
        RolloutState.COMPLETED,
    ]
    assert [event.version for event in project.events(VersionEligible)] == ["1.0.0", "1.1.0"]
    assert set(traffic.statuses) == {200}
    eventually(lambda: up.predict().json()["version"] == "1.1.0", "the new champion does not answer")

    # a changed gate takes effect without a candidate: it judges what serves
    before = project.row(DECLARATIONS, "credit")
    project.loop(change={"C=1.0": "C=0.5", ">= 0.6": ">= 0.7"})
    eventually(lambda: len(project.events(DeclarationApplied)) == 3, "the changed gate was not applied")
    after = project.row(DECLARATIONS, "credit")
    assert before is not None
    assert after is not None
    assert after.version_digest == before.version_digest
    assert after.policy_digest != before.policy_digest

    # broken files are named, and everything is served as before
    project.write("loops/credit.py", SYNTAX)
    assert "loops/credit.py:2" in broken(project, "loops/credit.py", "never closed")
    good = LOOP.replace("NAME", "credit").replace("AUTONOMY", '"act"').replace("STEPS", 'shadow("1s").canary("50%", "1s")')
    project.write("loops/credit.py", good.replace('label="good"', 'label="god"'))
    assert 'did you mean "good"' in broken(project, "loops/credit.py", "god")
    project.loop(change={"C=1.0": "C=0.5", ">= 0.6": ">= 0.7"})
    healed(project)
    project.write("loops/other.py", good)
    both = broken(project, "loops/other.py", "two of this name")
    assert "loops/credit.py" in both
    assert "loops/other.py" in both
    broken(project, "loops/credit.py", "two of this name")
    assert up.predict().json()["version"] == "1.1.0"
    (project.root / "loops" / "other.py").unlink()
    project.loop(change={"C=1.0": "C=0.5", ">= 0.6": ">= 0.7"})
    healed(project)

    assert len(project.events(DeclarationRefused)) >= 4
    assert [event.reason for event in project.events(RunQueued)] == [
        "first declaration",
        "what is trained was declared anew",
        "the gates of 1.1.0 were declared anew",
    ]
    assert [event.version for event in project.events(VersionJudged)] == ["1.1.0"]
    assert project.champion() == "1.1.0"
    assert up.predict().json()["version"] == "1.1.0"
    code, err = up.stop()
    assert (code, err) == (0, "")
    project.verified()


def test_a_broken_file_stops_only_its_own_models(project: Project, start: Callable[..., Up]) -> None:
    project.write("loops/credit.py", SYNTAX)
    project.loop("fraud")
    up = start()
    champion_is(project, "1.0.0", "fraud")
    assert up.predict("fraud").status_code == 200
    assert up.predict("credit").status_code == 404
    broken(project, "loops/credit.py", "never closed")
    # the good edit heals it, and the model takes its own way
    project.loop("credit")
    champion_is(project, "1.0.0", "credit")
    healed(project)
    assert up.stop() == (0, "")
    project.verified()
