"""kill -9 of `up`, or of a part of it, in the middle of a rollout: it goes on from where it was, and nothing answered is lost."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable

import pytest

from flyball.loop import memory
from flyball.records.rollouts import ROLLOUTS, RolloutState
from flyball.records.serving import SEGMENTS

from ..journeys.kit import (  # noqa: TID252 - one way to start a whole project
    Project,
    Traffic,
    Up,
    champion_is,
    eventually,
    in_state,
    path_of,
    processes_of,
)

pytestmark = pytest.mark.process

Start = Callable[..., Up]
WHOLE = [RolloutState.WARMING, RolloutState.SHADOW, RolloutState.CANARY, RolloutState.WATCHING, RolloutState.COMPLETED]
STEPS = 'shadow("1s").canary("50%", "4s")'


def in_canary(project: Project, watch: str = "1s") -> str:
    """A changed fit, and its rollout in the canary step; the rollout's id."""
    project.loop(steps=STEPS, change={"C=1.0": "C=0.5", 'watch="1s"': f'watch="{watch}"'})
    row = in_state(project, "1.1.0", RolloutState.CANARY)
    time.sleep(1)
    return row.rollout


def test_a_rollout_under_traffic_goes_on_after_a_kill_of_up_and_every_answer_is_on_record(project: Project, start: Start) -> None:
    project.loop(steps=STEPS)
    up = start()
    champion_is(project, "1.0.0")
    with Traffic(up.url) as before:
        rollout = in_canary(project)
        up.kill()
        eventually(lambda: not processes_of(project.root), lambda: f"these outlived up: {processes_of(project.root)}", 12)
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", up.port))
    assert len(before.answered) > 50
    assert before.stop() <= project.answered()
    assert path_of(project, "1.1.0") == WHOLE[:3]

    again = start(port=up.port)
    with Traffic(again.url) as after:
        in_state(project, "1.1.0", RolloutState.COMPLETED)
    assert again.stop()[0] == 0
    assert project.champion() == "1.1.0"
    assert path_of(project, "1.1.0") == WHOLE
    assert [row.rollout for row in project.rows(ROLLOUTS) if row.version == "1.1.0"] == [rollout]
    # what the killed gateways wrote is Parquet by now, and still every answer is there
    assert project.rows(SEGMENTS)
    assert before.stop() | after.stop() <= project.answered()
    project.verified()


def test_a_rollout_goes_on_after_a_kill_of_the_control_plane_alone(project: Project, start: Start) -> None:
    project.loop(steps=STEPS)
    up = start()
    champion_is(project, "1.0.0")
    with Traffic(up.url) as traffic:
        in_canary(project)
        control = up.pid("flyball.api.control")
        os.kill(control, signal.SIGKILL)
        eventually(lambda: up.pid("flyball.api.control") not in (0, control), "the control plane was not started again")
        in_state(project, "1.1.0", RolloutState.COMPLETED)
    # the gateways never noticed
    assert (set(traffic.statuses), traffic.broken) == ({200}, 0)
    code, err = up.stop()
    assert code == 0
    assert "control ended (killed by SIGKILL)" in err
    assert path_of(project, "1.1.0") == WHOLE
    assert traffic.stop() <= project.answered()
    project.verified()


def test_without_a_control_plane_predictions_go_on_and_nothing_is_counted_twice_when_it_is_back(project: Project, start: Start) -> None:
    project.loop(steps=STEPS)
    up = start(control=False)
    control = control_plane(project)
    try:
        champion_is(project, "1.0.0")
        with Traffic(up.url) as traffic:
            # watched until the time of the split is settled: its last units count then
            rollout = in_canary(project, watch="14s")
            control.kill()
            control.wait()
            known = len(traffic.answered)
            eventually(lambda: len(traffic.answered) > known + 100, "predictions stopped with the control plane")
            size = len(project.recorded())
            time.sleep(0.5)
            assert len(project.recorded()) == size
            control = control_plane(project)
            in_state(project, "1.1.0", RolloutState.COMPLETED)
        assert (set(traffic.statuses), traffic.broken) == ({200}, 0)
    finally:
        control.terminate()
        assert control.wait(20) == 0
    up.stop()
    assert path_of(project, "1.1.0") == WHOLE
    # each caller came once, so that a unit is a request: by the log and by the evidence
    logged = [record for record in project.log() if record.kind == "answer" and (record.marks or {}).get("ro") == rollout]
    split = [record.role for record in logged if record.marks and record.marks["w"] == 5_000]
    with project.opened() as wired:
        evidence = memory.load(wired.ports.memory).evidence(rollout)
    (step,) = [one for one in evidence.steps if one.weight == 5_000]
    assert (step.canary_units, step.stable_units) == (split.count("challenger"), split.count("champion"))
    assert min(step.canary_units, step.stable_units) > 100
    project.verified()


def control_plane(project: Project) -> subprocess.Popen[bytes]:
    argv = [sys.executable, "-P", "-m", "flyball.api.control", "--root", str(project.root)]
    return subprocess.Popen(argv, stdin=subprocess.DEVNULL, env={**os.environ, "OMP_NUM_THREADS": "1"})


def test_every_answer_is_on_record_when_gateways_are_killed_under_load(project: Project, start: Start) -> None:
    project.loop()
    up = start()
    champion_is(project, "1.0.0")
    with Traffic(up.url, threads=4, pause_s=0) as traffic:
        for name in ("--name g0", "--name g1", "--name g0"):
            goal = len(traffic.answered) + 100
            eventually(lambda goal=goal: len(traffic.answered) > goal, "no answers")
            pid = up.pid(name)
            os.kill(pid, signal.SIGKILL)
            eventually(lambda name=name, pid=pid: up.pid(name) not in (0, pid), f"{name} was not started again")
        goal = len(traffic.answered) + 100
        eventually(lambda: len(traffic.answered) > goal, "no answers after the kills")
    assert up.stop()[0] == 0
    assert len(traffic.answered) == len(set(traffic.answered)) > 400
    assert traffic.stop() <= project.answered()
    project.verified()
