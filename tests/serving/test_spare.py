"""A worker that is warmed while its version is still being trained: it serves what it is told to, or ends."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from flyball.serving.children import Spare
from flyball.serving.layout import read_json, worker_name, write_json

from .conftest import Loans, Up, champion, eventually

pytestmark = pytest.mark.process

ROW = {"amount": 5.0, "age": 30}


def spares(loans: Loans) -> list[int]:
    """The workers of this project that wait, or waited, to be told what they serve."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_text().split("\0")
        except OSError:
            continue
        if "--wait" in words and str(loans.layout.root) in words:
            found.append(int(folder.name))
    return found


def ready(loans: Loans, version: str, artifact: str) -> int:
    told = read_json(loans.layout.ready(worker_name(f"credit@{version}", artifact)))
    return told["pid"] if isinstance(told, dict) else 0


def test_a_run_warms_a_worker_that_serves_its_version(loans: Loans, start: Callable[..., Up]) -> None:
    artifact = loans.artifact()
    up = start(gateways=1)
    write_json(loans.layout.runs, ["run_1"])
    [spare] = eventually(lambda: spares(loans), "no worker is warmed")
    up.make(loans.route(champion(artifact), epoch=1))
    assert up.predict(ROW).status_code == 200
    assert ready(loans, "1.0.0", artifact) == spare
    assert spares(loans) == [spare], "one for a run"
    os.kill(spare, signal.SIGKILL)
    again = eventually(lambda: (pid := ready(loans, "1.0.0", artifact)) != spare and pid, "it is not started again")
    assert again not in spares(loans)
    assert eventually(lambda: up.predict(ROW).status_code == 200, "it does not answer again")


def test_a_worker_that_nobody_needs_ends(loans: Loans, start: Callable[..., Up]) -> None:
    start(gateways=1)
    write_json(loans.layout.runs, ["run_1"])
    eventually(lambda: spares(loans), "no worker is warmed")
    write_json(loans.layout.runs, [])
    eventually(lambda: not spares(loans), "it waits for ever")


def test_a_worker_that_died_while_it_waited_is_no_loss(loans: Loans, start: Callable[..., Up]) -> None:
    artifact = loans.artifact()
    up = start(gateways=1)
    write_json(loans.layout.runs, ["run_1"])
    [spare] = eventually(lambda: spares(loans), "no worker is warmed")
    os.kill(spare, signal.SIGKILL)
    time.sleep(0.2)
    up.make(loans.route(champion(artifact), epoch=1))
    assert up.predict(ROW).status_code == 200


def test_it_ends_with_the_supervisor_whatever_ended_that(loans: Loans, start: Callable[..., Up]) -> None:
    up = start(gateways=1)
    write_json(loans.layout.runs, ["run_1"])
    eventually(lambda: spares(loans), "no worker is warmed")
    up.process.kill()
    eventually(lambda: not spares(loans), "it outlives the supervisor")


def test_one_that_is_told_too_late_says_so(tmp_path: Path) -> None:
    spare = Spare(["/bin/true"], cwd=tmp_path, output=tmp_path / "log", stdin=0, passed=(), env={})
    eventually(spare.ended, "true does not end")
    assert spare.take({"ref": "m@1.0.0"}) is None
