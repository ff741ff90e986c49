"""A record that comes to a machine on which nothing has run: it says what is to be served long before that answers."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from .kit import Project, Up, champion_is, eventually

pytestmark = pytest.mark.process


def test_nobody_is_sent_to_a_gateway_before_it_answers_what_the_record_wants_served(project: Project, start: Callable[..., Up]) -> None:
    up = start()
    eventually(lambda: up.http.get("/v2/health/ready").status_code == 200, "where nothing is to be served it is never ready")
    assert up.predict().status_code == 404
    assert up.stop() == (0, "")
    nothing = project.layout.routes.read_bytes()
    project.loop()
    up = start()
    champion_is(project, "1.0.0")
    assert up.stop() == (0, "")
    # of what runs, a backup holds nothing; where it is restored, flyball was up before
    project.layout.routes.write_bytes(nothing)
    project.layout.wanted_workers.unlink()

    up = start()
    seen: list[tuple[int, int]] = []

    def answers() -> bool:
        ready, asked = up.http.get("/v2/health/ready"), up.predict()
        assert asked.status_code == 200 or asked.headers["retry-after"], asked.text
        seen.append((ready.status_code, asked.status_code))
        return asked.status_code == 200

    eventually(answers, lambda: f"it is not served again: {seen[-1:]}\n{project.story()}")
    assert set(seen) <= {(503, 503), (503, 200), (200, 200)}
    assert seen[0] == (503, 503), "it was asked in time to see it start"
    eventually(lambda: up.http.get("/v2/health/ready").status_code == 200, "it is never ready")
    assert up.stop() == (0, "")
