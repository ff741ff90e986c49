"""A disk that is full or read-only: it is said plainly, predictions go on, and nothing that was promised to be on record is lost."""

from __future__ import annotations

import itertools
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from flyball.errors import Unavailable
from flyball.records.incidents import IncidentOpened
from flyball.records.rollouts import RolloutState
from flyball.serving.client import GatewayClient
from flyball.wiring import open_project

from ..journeys.kit import (  # noqa: TID252 - one way to start a whole project
    Project,
    Traffic,
    Up,
    champion_is,
    eventually,
    in_state,
)

pytestmark = pytest.mark.process

SIZE = "160m"


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    """A project on a small disk of its own."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "none", str(disk)], capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip(f"no disk of one's own can be mounted here: {mounted.stderr.decode().strip()}")
    try:
        yield Project(disk)
    finally:
        # lazily: what still holds it open is about to end
        subprocess.run(["umount", "-l", str(disk)], check=True)


def fill(path: Path) -> None:
    """Take all room there is."""
    with suppress(OSError):
        handle = os.open(path, os.O_CREAT | os.O_APPEND | os.O_WRONLY)
        try:
            for size in (1 << 20, 4096, 1):
                with suppress(OSError):
                    while os.write(handle, b"x" * size):
                        pass
        finally:
            os.close(handle)


def label(up: Up, request: str) -> httpx.Response:
    return httpx.post(f"{up.url}/models/credit/labels", json={"labels": [{"id": request, "value": 1}]})


def not_taken(up: Up, request: str) -> str:
    """The id, if its label was refused for want of room, in the way that asks for another try."""
    answer = label(up, request)
    told = answer.status_code == 503 and answer.json()["retry"] == "later" and "retry-after" in answer.headers
    return request if told else ""


def test_a_full_disk_stops_decisions_not_predictions_and_room_heals_it(project: Project, start: Callable[..., Up]) -> None:
    project.loop()
    up = start()
    champion_is(project, "1.0.0")
    filler = project.root / "filler"
    known = len(project.recorded())
    with Traffic(up.url) as traffic:
        project.loop(change={"C=1.0": "C=0.5"})
        # the log gives up its reserve, which somebody else takes too
        fill(filler)
        eventually(lambda: fill(filler) or traffic.unlogged > 50, "answers are still said to be logged", 60)
        tried = (f"mine-{number}" for number in itertools.count())
        refused = eventually(lambda: fill(filler) or not_taken(up, next(tried)), "labels are still taken", 60)
        # the edit cannot be recorded meanwhile; it is not forgotten either
        time.sleep(2)
        assert set(traffic.statuses) == {200}
        filler.unlink()
        unlogged = traffic.unlogged
        eventually(lambda: label(up, refused).json().get("accepted") == 1, "it is taken, as new", 20)
        eventually(lambda: [one for one in project.events(IncidentOpened) if one.failure_mode == "evidence_gap"], "nobody is told", 20)
        # nothing is released for a minute after the last gap
        in_state(project, "1.1.0", RolloutState.COMPLETED, within_s=150)
    assert project.champion() == "1.1.0", "no model is rolled back for a disk"
    assert traffic.unlogged < unlogged + 100
    assert len(project.recorded()) > known
    assert traffic.stop() <= project.answered()
    gaps = sum(record.rows for record in project.log() if record.kind == "gap")
    assert gaps >= unlogged
    code, err = up.stop()
    assert code == 0
    assert "ended" not in err, "a process died of the full disk"
    assert "Traceback" not in project.output("control")
    project.verified()


def answers(up: Up) -> bool:
    """Whether it answers; a gateway that just ended is not there yet."""
    try:
        return up.predict().status_code == 200
    except httpx.TransportError:
        return False


def test_a_read_only_disk_is_named_and_nothing_is_started(project: Project, start: Callable[..., Up]) -> None:
    project.loop()
    up = start()
    champion_is(project, "1.0.0")
    assert up.stop()[0] == 0
    subprocess.run(["mount", "-o", "remount,ro", str(project.root)], check=True)
    refused = Up(project)
    out, err = refused.process.communicate(timeout=20)
    refused.http.close()
    assert refused.process.returncode in (1, 3)
    assert out == ""
    assert "Traceback" not in err
    assert str(project.root) in err
    assert "fix" in err
    with pytest.raises(Unavailable):
        open_project(project.root, claim=True)
    read = open_project(project.root)
    assert read.ports.ledger.size() > 0, "what is recorded can still be read"
    read.close()
    subprocess.run(["mount", "-o", "remount,rw", str(project.root)], check=True)
    again = start()
    with GatewayClient(again.url) as client:
        eventually(lambda: answers(again), "what was served is not served again")
        assert client.predict("credit", {"amount": 5.0, "age": 30})["version"] == "1.0.0"
    project.verified()
