"""One project, staging and production: what answers in production answered in staging first, and was tried there. With real processes."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from flyball.records.data import DataRefused
from flyball.records.environments import TrainingWanted, VersionCarried, VersionIntegrated
from flyball.records.rollouts import ROLLOUTS, RolloutState
from flyball.records.training import RUNS, RunQueued
from flyball.records.versions import VERSIONS, VersionState

from .kit import ROW, Project, Traffic, Up, champion_is, eventually, in_state

pytestmark = pytest.mark.process

Start = Callable[[str], Up]


@pytest.fixture
def project(tmp_path: Path) -> Project:
    made = Project(tmp_path)
    (tmp_path / "flyball.toml").write_text("[settings]\ntick_ms = 200\n[env.staging]\n[env.production]\n")
    return made


@pytest.fixture
def begin(project: Project) -> Iterator[Start]:
    """Starts `up` of an environment; what still runs at the end is stopped."""
    running: list[Up] = []

    def make(env: str) -> Up:
        running.append(Up(project.within(env)))
        return running[-1].ready()

    yield make
    for one in running:
        one.stop()


def flyball(project: Project, *words: str, token: str = "") -> tuple[int, str]:
    """A verb in the environment that this is; its exit code and all that it said."""
    argv = [sys.executable, "-c", "from flyball.cli import main; main()", *words, "--env", project.env, "--project", str(project.root)]
    given = {**os.environ, **({"FLYBALL_TOKEN": token} if token else {})}
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=120, env=given)
    assert "Traceback" not in done.stderr
    return done.returncode, done.stdout + done.stderr


def risk_officer(project: Project) -> str:
    """The secret of another person, in the environment that this is."""
    code, said = flyball(project, "token", "create", "ben", "--role", "approver", "--scope", "control", "--json", "--quiet")
    assert code == 0, said
    secret = json.loads(said)["secret"]
    assert isinstance(secret, str)
    return secret


def test_a_version_goes_through_staging_to_production_and_is_tried_on_the_way(project: Project, begin: Start) -> None:
    staging, production = project.within("staging"), project.within("production")
    project.loop()
    served = begin("production")
    begin("staging")
    champion_is(production, "1.0.0")
    # the same bytes, by their hashes, and the record of each says all of it
    rows = [each.row(VERSIONS, "credit/1.0.0") for each in (staging, production)]
    assert rows[0] is not None
    assert rows[1] is not None
    assert rows[0].artifact == rows[1].artifact
    assert (rows[0].origin, rows[1].origin) == ("", "staging")
    tried, carried = staging.events(VersionIntegrated)[0], production.events(VersionCarried)[0]
    assert [check.name for check in tried.checks] == [
        "requests are answered",
        "answers are of the signature",
        "alone as together",
        "data is fresh and holds its contract",
    ]
    assert all(check.passed for check in tried.checks)
    assert carried.integration.passed
    assert 0 < carried.size <= len(staging.recorded())
    assert len(carried.root) == 64
    assert production.events(RunQueued) == [], "nothing is trained there"
    assert served.predict().json()["version"] == "1.0.0"
    # a second one: at once in staging, by shadow and canary where the traffic is
    with Traffic(served.url) as traffic:
        project.loop(change={"C=1.0": "C=0.5"})
        in_state(production, "1.1.0", RolloutState.COMPLETED, within_s=120)
    assert set(traffic.statuses) == {200}
    assert [step.kind for step in _rollout(production, "1.1.0").steps] == ["shadow", "canary"]
    assert _rollout(staging, "1.1.0").steps == ()
    code, said = flyball(production, "rollback", "credit", "--reason", "night shift")
    assert code == 0, said
    assert production.champion() == "1.0.0"
    assert staging.champion() == "1.1.0", "each has its own champion"
    for each in (staging, production):
        each.verified()
    code, said = flyball(production, "models", "show", "credit@1.0.0")
    assert "tried     in staging: 4 of 4 checks hold" in said
    code, said = flyball(production, "gc")
    assert code == 0, said


def _rollout(project: Project, version: str):  # type: ignore[no-untyped-def]
    return next(row for row in project.rows(ROLLOUTS) if row.version == version)


def test_what_staging_has_not_tried_is_not_released_and_the_reason_is_named(project: Project, begin: Start) -> None:
    staging, production = project.within("staging"), project.within("production")
    project.loop(autonomy='"propose"')
    for each in (staging, production):
        assert flyball(each, "apply")[0] == 0
    code, said = flyball(production, "release", "credit@1.0.0")
    assert code == 1
    assert "staging has no version credit@1.0.0" in said
    assert flyball(production, "release", "credit@1.0.0", "--dry-run") == (code, said), "a dry run says the same"
    code, said = flyball(production, "train", "credit")
    assert code == 1
    assert "nothing is trained in production" in said
    assert "flyball train credit --env staging" in said
    assert flyball(staging, "train", "credit", "--no-release")[0] == 0
    code, said = flyball(production, "release", "credit@1.0.0")
    assert code == 1
    assert "staging has not checked credit@1.0.0" in said
    assert "eligible there, and answers nobody" in said
    assert "flyball release credit@1.0.0 --env staging" in said
    # it answers there now, but its newest rows are refused by its contract: the data that production will meet is not what it was made of
    begin("staging")
    rows = (project.root / "data/loans.csv").read_text().splitlines()
    project.write("data/loans.csv", "\n".join([*rows, f"999999,30,1,{rows[-1].split(',')[-1]}"]) + "\n")
    eventually(lambda: staging.events(DataRefused), staging.story, 30)
    assert flyball(staging, "release", "credit@1.0.0")[0] == 0
    eventually(lambda: staging.events(VersionIntegrated), staging.story, 60)
    code, said = flyball(production, "release", "credit@1.0.0")
    assert code == 1
    assert "break its contract" in said
    project.data()
    # what did not hold is tried again, after a minute
    eventually(lambda: all(check.passed for check in staging.events(VersionIntegrated)[-1].checks), staging.story, 90)
    code, said = flyball(production, "release", "credit@1.0.0")
    assert code == 0, said
    begin("production")
    champion_is(production, "1.0.0")


def test_the_word_of_a_person_counts_in_the_environment_in_which_it_was_given(project: Project, begin: Start) -> None:
    staging, production = project.within("staging"), project.within("production")
    project.loop(change={'accuracy") >= 0.6': 'accuracy") >= 0.999'})
    begin("staging")
    eventually(lambda: (row := staging.row(VERSIONS, "credit/1.0.0")) and row.state is VersionState.REJECTED, staging.story, 60)
    gate = ("--gate", "accuracy >= 0.999", "--reason", "for the rehearsal")
    code, said = flyball(staging, "waive", "credit@1.0.0", *gate, token=risk_officer(staging))
    assert code == 0, said
    begin("production")
    row = eventually(lambda: production.row(VERSIONS, "credit/1.0.0"), production.story, 60)
    assert row.state is VersionState.REJECTED, "the waiver was given in staging"
    assert row.waivers == ()
    code, said = flyball(production, "waive", "credit@1.0.0", *gate, token=risk_officer(production))
    assert code == 0, said
    champion_is(production, "1.0.0")


def test_production_goes_on_without_staging_and_takes_up_what_it_missed(project: Project, begin: Start) -> None:
    staging, production = project.within("staging"), project.within("production")
    project.loop()
    rehearsal, served = begin("staging"), begin("production")
    champion_is(production, "1.0.0")
    # killed in the middle of whatever it does, and again while the next version is taken over
    rehearsal.kill()
    assert served.predict().json()["version"] == "1.0.0"
    project.loop(change={"C=1.0": "C=0.5"})
    begin("staging")
    champion_is(staging, "1.1.0")
    os.kill(served.pid("flyball.api.control --env production --root"), signal.SIGKILL)
    eventually(lambda: production.row(VERSIONS, "credit/1.1.0"), production.story, 60)
    with Traffic(served.url):
        in_state(production, "1.1.0", RolloutState.COMPLETED, within_s=120)
    assert len([event for event in production.events(VersionCarried) if event.version == "1.1.0"]) == 1
    assert len({row.run for row in production.rows(RUNS)}) == 2
    for each in (staging, production):
        each.verified()


SLOW = """
import sys, time

def slow(rows: pl.DataFrame) -> pl.DataFrame:
    if "flyball.serving.worker" in sys.orig_argv:
        time.sleep(0.6 * len(rows))
    return rows.with_columns(pl.col("amount").alias("same"))

def fit("""


def test_a_model_that_takes_long_for_a_row_is_tried_while_the_loop_goes_on(project: Project, begin: Start) -> None:
    staging = project.within("staging")
    project.loop(change={"def fit(": SLOW.lstrip(), "    autonomy=": "    transforms=slow, autonomy="})
    project.loop("other")
    begin("staging")
    beats: list[float] = []

    def tried() -> bool:
        with contextlib.suppress(OSError, ValueError):
            beats.append(json.loads((staging.layout.run / "loop.json").read_text())["tick_ms"])
        return any(event.model == "credit" for event in staging.events(VersionIntegrated))

    eventually(tried, staging.story, 150)
    found = next(event for event in staging.events(VersionIntegrated) if event.model == "credit")
    assert all(check.passed for check in found.checks), found
    assert found.checks[0].told == "20 of 20 of the newest rows"
    together = int(found.checks[2].told.split()[0])
    assert 2 <= together < 20, "20 at once would take longer than the gateway waits"
    # twenty rows and then some, of 0.6 s each
    assert max(beats) < 5_000, "no pass of the loop waited for it"
    assert next(event.model for event in staging.events(VersionIntegrated)) == "other", "nor did another model"


def test_a_training_that_production_wants_is_made_in_staging(project: Project, begin: Start) -> None:
    staging, production = project.within("staging"), project.within("production")
    retrain = 'retrain=fb.Retrain(when=[fb.metric("accuracy") < 0.5], cooldown="7d"), monitors=[fb.metric("accuracy").over("1h") >= 0.5],\n'
    project.loop(change={"    autonomy=": f"    {retrain}    autonomy="})
    begin("staging")
    served = begin("production")
    champion_is(production, "1.0.0")
    # all of them are answered 0, and it was 1 each time
    for number in range(5):
        told = served.http.post("/models/credit/predict", json={"rows": [ROW] * 100, "ids": [f"{number}-{row}" for row in range(100)]})
        labels = [{"id": each["id"], "value": 1} for each in told.json()["predictions"]]
        assert served.http.post("/models/credit/labels", json={"labels": labels}).json()["accepted"] == 100
    wanted = eventually(lambda: staging.events(TrainingWanted), production.story, 60)
    assert wanted[0].origin == "production"
    assert "accuracy" in wanted[0].reason
    time.sleep(2)
    assert len(staging.events(TrainingWanted)) == 1, "it is said once"
    assert len(staging.events(RunQueued)) == 1, "the cool-down is that of where versions are made"
