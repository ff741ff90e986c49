"""People hear of it: a model that fails pages somebody, though their service is down and the control plane is killed, and they answer from there."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable

import httpx
import msgspec
import pytest

from flyball.incidents.signatures import holds, signature
from flyball.records.deliveries import DELIVERIES, AlertDelivered, AlertUndelivered, DeliveryRow
from flyball.records.incidents import INCIDENTS, IncidentNoted, IncidentRow, IncidentState

from ..loop.receiver_kit import Receiver, receiving  # noqa: TID252 - one receiver for all
from .kit import Project, Traffic, Up, champion_is, eventually
from .people import cli

pytestmark = pytest.mark.process

Start = Callable[..., Up]
KEY = "a-key-of-the-desk"


def failing(project: Project) -> dict[str, str]:
    """What to change in a loop file so that its model raises as long as the file `broken` is there."""
    raises = f"""
from pathlib import Path

def predict(model, X: pl.DataFrame):
    if Path({str(project.root / "broken")!r}).exists():
        raise RuntimeError("the sensor's unit is not known to me")
    return model.predict_proba(X)

credit = fb.Model("""
    return {
        "\ncredit = fb.Model(": raises,
        "train=fb.Train(fit,": 'monitors=[fb.metric("error_rate").over("5m") <= 0.05],\n    train=fb.Train(fit, predict=predict,',
    }


def declare(project: Project, receiver: Receiver) -> None:
    route = f'[routes]\ndefault = "desk"\n[routes.desk]\nkind = "webhook"\nurl = "{receiver.url}"\nsecret = "DESK_KEY"\n'
    project.write("flyball.toml", (project.root / "flyball.toml").read_text() + route)
    project.loop(change=failing(project))


def incident(project: Project) -> IncidentRow | None:
    return next(iter(project.rows(INCIDENTS)), None)


def waiting(project: Project) -> list[dict[str, object]]:
    found: list[dict[str, object]] = json.loads(cli(project, "status", "--json")[1])["undelivered"]
    return found


def hook(up: Up, number: str, thread: str, key: str = KEY) -> httpx.Response:
    raw = msgspec.json.encode({"id": number, "thread": thread, "act": "acknowledge", "by": "bo", "text": "on my way"})
    headers = {"flyball-signature": signature(key, raw, time.time_ns() // 1000), "content-type": "application/json"}
    return up.http.post("/api/v1/hooks/desk", content=raw, headers=headers)


def test_a_page_arrives_after_all_and_is_answered_where_it_was_read(
    project: Project, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DESK_KEY", KEY)
    with receiving() as receiver:
        declare(project, receiver)
        up = start()
        champion_is(project, "1.0.0")
        receiver.stop()
        (project.root / "broken").write_text("")
        with Traffic(up.url) as traffic:
            found = eventually(lambda: incident(project), project.story)
        assert set(traffic.statuses) <= {200, 500}
        assert (found.failure_mode, "page" in found.actions) == ("errors", True)
        # whoever should hear of it is away: that is seen, and since when
        [missed] = eventually(lambda: project.events(AlertUndelivered), project.story)
        assert (missed.incident, missed.route) == (found.incident, "desk")
        [told] = waiting(project)
        assert (told["route"], told["incidents"]) == ("desk", [found.incident])
        assert "Connection refused" in str(told["why"])

        os.kill(up.pid("flyball.api.control"), signal.SIGKILL)
        receiver.start()
        page = eventually(lambda: receiver.taken[:1], project.story)[0]
        assert page.body["thread"] == found.incident
        assert (page.body["told"], page.body["urgent"]) == ("opened", True)
        assert "error_rate" in page.body["text"]
        assert holds(KEY, page.headers["flyball-signature"], page.raw, time.time_ns() // 1000)
        eventually(lambda: project.events(AlertDelivered), project.story)
        assert waiting(project) == []

        _answered(project, up, receiver, found.incident)
        assert up.stop()[0] == 0
    project.verified()


def _answered(project: Project, up: Up, receiver: Receiver, thread: str) -> None:
    """Somebody says there that they are on it; a person here then closes it, and that is heard there."""
    # the API is there a moment after the loop
    eventually(lambda: up.http.get("/api/v1/health").status_code == 200, project.story)
    assert hook(up, "1", thread, "another-key").status_code == 401
    taken = hook(up, "2", thread)
    assert (taken.status_code, taken.json()["taken"]) == (200, True), taken.text
    assert hook(up, "2", thread).status_code == 409
    noted = [event.note for event in project.events(IncidentNoted)]
    assert "acknowledged by route:desk: by bo; on my way" in noted
    assert cli(project, "incidents", "resolve", thread, "--reason", "a drill", "--yes")[0] == 0

    def over() -> bool:
        return any(got.body["told"] == "closed" for got in receiver.taken)

    eventually(over, project.story)
    row = project.row(INCIDENTS, thread)
    assert row is not None
    assert row.state == IncidentState.CLOSED
    own = [got.body for got in receiver.taken if got.body["thread"] == thread]
    assert [body["told"] for body in own if body["told"] not in ("overdue", "acknowledged")] == ["opened", "closed"]
    assert own[-1]["act"] == "resolve"
    ids = [body["id"] for body in own]
    assert len(ids) == len(set(ids)), "nothing came twice"

    def all_there() -> list[DeliveryRow]:
        rows = [one for one in project.rows(DELIVERIES) if one.said.incident == thread]
        return rows if {one.state.value for one in rows} == {"delivered"} else []

    eventually(all_there, project.story)
    shown = cli(project, "incidents", "show", thread)[1]
    assert "told      opened to desk: delivered" in shown
    assert "told      closed to desk: delivered" in shown
