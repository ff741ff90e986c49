"""The loop hangs, or ends again and again: it is found from outside, ended and started again, recorded as an incident; predictions go on meanwhile."""

from __future__ import annotations

import json
import os
import re
import signal
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from flyball.records.incidents import INCIDENTS, IncidentRow, IncidentState
from flyball.serving.layout import read_json

from ..journeys.kit import Project, Traffic, Up, champion_is, eventually  # noqa: TID252 - one way to start a whole project

pytestmark = pytest.mark.process

Start = Callable[..., Up]
SOON = ("--loop-silent", "2", "--loop-kill", "5")


@pytest.fixture
def told() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """An address outside, and what it was told."""
    taken: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            taken.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/", taken
    server.shutdown()
    server.server_close()


def dead_loops(project: Project) -> list[IncidentRow]:
    return [row for row in project.rows(INCIDENTS) if row.failure_mode == "dead_loop"]


def loop_at(project: Project) -> int:
    found = read_json(project.layout.beat)
    return int(found["at"]) if isinstance(found, dict) else 0


def silent(project: Project) -> bool:
    found = read_json(project.layout.watchdog)
    return isinstance(found, dict) and bool(found["silent"])


def test_a_control_plane_that_hangs_is_found_killed_and_started_again_and_records_it(
    project: Project, start: Start, told: tuple[str, list[dict[str, Any]]]
) -> None:
    url, taken = told
    project.loop()
    up = start(more=SOON, env={"FLYBALL_WATCHDOG_URL": url})
    champion_is(project, "1.0.0")
    assert dead_loops(project) == []
    hung = up.pid("flyball.api.control")
    with Traffic(up.url) as traffic:
        os.kill(hung, signal.SIGSTOP)
        eventually(lambda: silent(project), "nobody saw that the loop hangs", 15)
        ready = up.http.get("/v2/health/ready")
        assert (ready.status_code, ready.headers.get("flyball-loop")) == (200, "dead"), "predictions go on, so this is no 503"
        age = re.search(r"^flyball_loop_age_seconds ([0-9.]+)$", up.http.get("/metrics").text, re.MULTILINE)
        assert age is not None
        assert float(age.group(1)) >= 2
        eventually(lambda: up.pid("flyball.api.control") not in (0, hung), "it was not started again", 30)
        eventually(lambda: not silent(project), "its return was not seen", 30)
        eventually(lambda: dead_loops(project), "it was not recorded", 30)
        known = len(traffic.answered)
        eventually(lambda: len(traffic.answered) > known + 50, "predictions stopped")
    assert (set(traffic.statuses), traffic.broken) == ({200}, 0), "callers have noticed nothing"
    [row] = dead_loops(project)
    assert (row.model, row.state) == ("", IncidentState.MITIGATED)
    assert "its process hung and was killed 1 time" in row.cause
    eventually(lambda: len(taken) == 2, lambda: taken, 20)
    assert [one["what"] for one in taken] == ["the loop is dead", "the loop makes passes again"]
    assert up.http.get("/v2/health/ready").headers.get("flyball-loop") is None
    code, err = up.stop()
    assert code == 0
    assert "control ended (killed by SIGKILL)" in err
    project.verified()


def test_a_control_plane_that_ends_again_and_again_is_found(project: Project, start: Start) -> None:
    project.loop()
    up = start(more=SOON)
    champion_is(project, "1.0.0")
    with Traffic(up.url) as traffic:
        last = 0
        for _ in range(6):
            last = eventually(lambda last=last: (pid := up.pid("flyball.api.control")) != last and pid, "it was not started again")
            os.kill(last, signal.SIGKILL)
        eventually(lambda: silent(project), "nobody saw that the loop dies", 30)
        first = loop_at(project)
        eventually(lambda: loop_at(project) > first, "no pass is made again", 60)
        ready = lambda: up.http.get("/v2/health/ready").headers.get("flyball-loop")  # noqa: E731
        eventually(lambda: ready() is None, "passes are made, and it is said to be dead", 3)
        told = read_json(project.layout.watchdog)
        assert isinstance(told, dict)
        assert first - 2_000_000 <= told["began"] <= loop_at(project), "the last pass that was made"
    assert (set(traffic.statuses), traffic.broken) == ({200}, 0)
    up.stop()


def test_a_loop_that_is_well_is_no_incident(project: Project, start: Start) -> None:
    project.loop()
    up = start(more=SOON)
    champion_is(project, "1.0.0")
    with Traffic(up.url) as traffic:
        eventually(lambda: len(traffic.answered) > 500, "no predictions")
    assert dead_loops(project) == []
    assert not project.layout.watchdog.exists()
    assert up.http.get("/v2/health/ready").headers.get("flyball-loop") is None
    up.stop()
