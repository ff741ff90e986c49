"""Ctrl-C at any moment: `up` ends, quietly and with everything it started; the next one goes on where it was."""

from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path

import pytest

from flyball.loop import memory
from flyball.records import codec
from flyball.records.models import Manifest
from flyball.records.rollouts import RolloutMoved, RolloutState
from flyball.records.versions import VERSIONS
from flyball.serving import wal

from ..journeys.kit import (  # noqa: TID252 - one way to start a whole project
    Project,
    Traffic,
    Up,
    champion_is,
    eventually,
    held_by,
    in_state,
    path_of,
    processes_of,
)

pytestmark = pytest.mark.process


def interrupt(up: Up) -> None:
    """Ctrl-C as a terminal gives it: to every process of the group at once. Then look that it is over, without a trace."""
    os.killpg(up.process.pid, signal.SIGINT)
    _, err = up.process.communicate(timeout=40)
    assert up.process.returncode == 130, err
    assert "Traceback" not in err

    def left() -> dict[int, str]:
        # a job lives out its lease: the next up takes it on
        return {pid: line for pid, line in processes_of(up.project.root).items() if "guardian" not in line and "training.job" not in line}

    eventually(lambda: not left(), lambda: f"still running: {left()}", 15)
    up.http.close()
    for log in (up.project.layout.run / "logs").glob("*.log"):
        assert "Traceback" not in log.read_text(), f"{log.name}: {log.read_text()[-3000:]}"


def test_a_project_interrupted_again_and_again_still_gets_where_it_was_going(project: Project) -> None:
    project.loop()
    dice = random.Random(7)
    # from before the first line of Python up to the middle of the first training and release
    for longest in (0.05, 0.3, 1.0, 2.0, 4.0):
        up = Up(project, gateways=1)
        time.sleep(dice.uniform(longest / 2, longest))
        if longest < 0.1:
            # the interpreter itself may be hit before it can say anything
            os.killpg(up.process.pid, signal.SIGINT)
            up.process.communicate(timeout=40)
            up.http.close()
            eventually(lambda: not processes_of(project.root), "something was left running", 15)
        else:
            interrupt(up)
    project.verified()

    up = Up(project).ready()
    champion_is(project, "1.0.0")
    with Traffic(up.url) as traffic:
        project.loop(change={"C=1.0": "C=0.5"}, steps='shadow("1s").canary("50%", "2s")')
        in_state(project, "1.1.0", RolloutState.CANARY)
        interrupt(up)
    assert set(traffic.statuses) <= {200, 503}
    assert traffic.stop() <= project.answered()
    project.verified()

    again = Up(project).ready()
    with Traffic(again.url):
        in_state(project, "1.1.0", RolloutState.COMPLETED)
    interrupt(again)
    assert project.champion() == "1.1.0"
    project.verified()


def interrupted_in_canary(project: Project, hold: Path) -> str:
    """A project that was interrupted while half of its requests went to a new version, which does not start as long as `hold` is there; the rollout."""
    steps = 'shadow("1s").canary("50%", "2s")'
    project.loop(steps=steps)
    up = Up(project, gateways=1).ready()
    champion_is(project, "1.0.0")
    with Traffic(up.url):
        project.loop(change={"C=1.0": "C=0.5", **held_by(hold)}, steps=steps)
        rollout = in_state(project, "1.1.0", RolloutState.CANARY).rollout
        interrupt(up)
    assert path_of(project, "1.1.0")[-1] == RolloutState.CANARY
    return rollout


def missed(project: Project) -> list[wal.LogRecord]:
    """The requests that the new version failed to answer."""
    return [record for record in project.log() if (record.version, record.status) == ("credit@1.1.0", "error")]


def test_a_version_that_takes_long_to_start_again_is_judged_by_what_it_answers(project: Project) -> None:
    hold = project.root / "hold"
    rollout = interrupted_in_canary(project, hold)
    before = len(missed(project))
    hold.write_text("")
    up = Up(project, gateways=1).ready()
    try:
        with Traffic(up.url) as traffic:
            eventually(lambda: len(missed(project)) > before + 200, "no requests for a worker that is starting")
            known = len(traffic.answered)
            # all of it is told to who asks and to monitors, and decides nothing
            assert 'version="1.1.0",role="challenger",status="error"' in up.http.get("/metrics").text
            assert path_of(project, "1.1.0")[-1] == RolloutState.CANARY
            hold.unlink()
            in_state(project, "1.1.0", RolloutState.COMPLETED)
        assert len(traffic.answered) > known
    finally:
        interrupt(up)
    with project.opened() as wired:
        (step,) = [one for one in memory.load(wired.ports.memory).evidence(rollout).steps if one.weight == 5_000]
    assert step.canary_bad < 20
    assert len([record for record in missed(project) if not (record.marks or {}).get("ro")]) > 200
    project.verified()


def test_a_version_that_cannot_start_again_goes_back(project: Project) -> None:
    interrupted_in_canary(project, project.root / "hold")
    version = project.row(VERSIONS, "credit/1.1.0")
    assert version
    with project.opened() as wired:
        path = wired.blobs.path(codec.decode(wired.blobs.get(version.artifact), Manifest).files["model.skops"])
    sound = path.read_bytes()
    path.chmod(0o644)
    path.write_bytes(sound[:-100])
    up = Up(project, gateways=1).ready()
    try:
        with Traffic(up.url):
            in_state(project, "1.1.0", RolloutState.ROLLED_BACK)
    finally:
        interrupt(up)
    (back,) = [event for event in project.events(RolloutMoved) if event.target == RolloutState.ROLLING_BACK]
    assert back.why.startswith("error_rate: evidence against")
    assert project.champion() == "1.0.0"
    path.write_bytes(sound)
    project.verified()
