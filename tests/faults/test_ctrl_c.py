"""Ctrl-C at any moment: `up` ends, quietly and with everything it started; the next one goes on where it was."""

from __future__ import annotations

import os
import random
import signal
import time

import pytest

from flyball.records.rollouts import RolloutState

from ..journeys.kit import (  # noqa: TID252 - one way to start a whole project
    Project,
    Traffic,
    Up,
    champion_is,
    eventually,
    in_state,
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
