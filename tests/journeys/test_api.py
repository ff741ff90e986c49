"""The API of a whole running project, asked over TCP by people with tokens."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from flyball.records.identity import REFUSED_ACCESS
from flyball.records.serving import RouteInForce
from flyball.records.versions import ChampionChanged

from .kit import ROW, Project, Traffic, Up, champion_is, eventually, free_port

pytestmark = pytest.mark.process
V1 = "/api/v1"


def bearer(secret: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}"}


def local(project: Project) -> dict[str, str]:
    """The token of this machine's own user."""
    return bearer((project.layout.root / "keys" / "local.token").read_text().strip())


def answering(up: Up) -> None:
    """Wait until the control plane answers."""
    eventually(lambda: up.http.get(f"{V1}/health").status_code == 200, up.project.story)


def test_operators_roll_back_over_http_see_it_happen_and_lose_their_token(project: Project, start: Callable[..., Up]) -> None:
    project.loop()
    up = start()
    champion_is(project, "1.0.0")
    answering(up)
    admin = local(project)
    project.loop(change={"C=1.0": "C=0.5"})
    with Traffic(up.url, label=True):
        champion_is(project, "1.1.0")
    made = up.http.post(f"{V1}/tokens", headers=admin, json={"person": "omar", "roles": ["operator"]})
    assert made.status_code == 201, made.text
    omar = bearer(made.json()["secret"])
    heard: list[dict[str, Any]] = []
    listening = threading.Thread(target=listen, args=(up.url, omar, heard), daemon=True)
    listening.start()
    eventually(lambda: heard, "nothing is heard")

    answer = up.http.post(f"{V1}/models/credit/rollback", headers=omar, json={"reason": "complaints"})
    assert answer.status_code == 200, answer.text
    eventually(lambda: project.champion() == "1.0.0", project.story)
    told = answer.json()
    assert (told["model"], told["from"], told["to"]) == ("credit", "1.1.0", "1.0.0")
    assert [one.actor for one in project.recorded() if one.seq == told["event"]] == ["user:omar"]
    eventually(lambda: up.predict().json().get("version") == "1.0.0", "the former champion does not answer", within_s=10)
    decided = [one for one in project.recorded() if isinstance(one.event, ChampionChanged) and one.event.rollback]

    def in_force() -> list[RouteInForce]:
        return [one.event for one in project.recorded() if isinstance(one.event, RouteInForce) and one.seq > decided[0].seq]

    # a gateway answers by the new route before the last of them is recorded to do so
    assert eventually(in_force, project.story, within_s=10)[0].ms < 1_000
    eventually(lambda: any(one["event"]["kind"] == "champion.changed" and one["event"]["rollback"] for one in heard), "it was not told")

    revoked = up.http.request("DELETE", f"{V1}/tokens/{made.json()['token']}", headers=admin, json={"reason": "left"})
    assert revoked.status_code == 200
    eventually(lambda: up.http.get(f"{V1}/models", headers=omar).status_code == 401, "a revoked token is taken", within_s=1.0)
    listening.join(timeout=10)
    assert not listening.is_alive()
    project.verified()


def listen(url: str, token: dict[str, str], heard: list[dict[str, Any]]) -> None:
    """Hear events until the stream ends."""
    with (
        contextlib.suppress(httpx.TransportError),
        httpx.Client(base_url=url, timeout=60) as client,
        client.stream("GET", f"{V1}/events?after=0", headers={**token, "Accept": "text/event-stream"}) as response,
    ):
        # one by one: a list would be added when it is whole
        heard.extend(json.loads(line.removeprefix("data: ")) for line in response.iter_lines() if line.startswith("data: "))


def test_a_killed_control_plane_is_503_predictions_go_on_and_a_repeated_request_is_still_one(
    project: Project, start: Callable[..., Up]
) -> None:
    project.loop()
    up = start()
    champion_is(project, "1.0.0")
    answering(up)
    eventually(lambda: up.predict().status_code == 200, "nobody answers")
    token = {**local(project), "Idempotency-Key": "monday"}
    body = {"model": "credit", "trials": 0, "release": False}
    first = up.http.post(f"{V1}/runs", headers=token, json=body)
    assert first.status_code == 202
    pid = up.pid("flyball.api.control")
    with Traffic(up.url, threads=2) as traffic:
        os.kill(pid, signal.SIGKILL)
        started = time.monotonic()
        gone = up.http.get(f"{V1}/models", headers=token)
        assert time.monotonic() - started < 1
        assert (gone.status_code, gone.json()["code"]) == (503, "unavailable")
        assert int(gone.headers["retry-after"]) >= 1
        eventually(lambda: up.http.get(f"{V1}/health").status_code == 200, "it is not started again")
        answered = traffic.stop()
    assert set(traffic.statuses) == {200}
    assert answered <= project.answered()
    again = up.http.post(f"{V1}/runs", headers=token, json=body)
    assert (again.status_code, again.json()) == (202, first.json())
    assert up.http.post(f"{V1}/runs", headers=token, json=body | {"trials": 1}).status_code == 422
    assert len([row for row in up.http.get(f"{V1}/runs", headers=local(project)).json()["items"] if row["trigger"] == "manual"]) == 1


def test_a_page_of_another_site_and_a_guesser_get_nothing(project: Project, start: Callable[..., Up]) -> None:
    up = start()
    answering(up)
    rebound = up.http.get(f"{V1}/health", headers={"Host": "attacker.example"})
    assert (rebound.status_code, rebound.json()["code"]) == (403, "wrong-host")
    peer = {"Flyball-Peer": "10.9.9.9"}
    guesses = [up.http.get(f"{V1}/models", headers={**bearer(f"fb_{number}"), **peer}) for number in range(11)]
    assert [guess.status_code for guess in guesses] == [401] * 10 + [429]
    assert int(guesses[-1].headers["retry-after"]) >= 1
    assert up.http.get(f"{V1}/models", headers=local(project)).status_code == 200
    eventually(lambda: [row.source for row in project.rows(REFUSED_ACCESS)] == ["127.0.0.1"], "it is not recorded")


def flyball(project: Project, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from flyball.cli import main; main()", *map(str, arguments), "--project", str(project.root)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_other_machines_are_answered_by_token_alone_and_not_at_all_before_there_is_one(project: Project) -> None:
    project.loop()
    refused = flyball(project, "up", "--host", "0.0.0.0", "--port", free_port(), "--json")
    assert (refused.returncode, json.loads(refused.stdout)["code"]) == (1, "no-token")
    made = json.loads(flyball(project, "token", "create", "shop", "--scope", "predict", "--model", "cred*", "--json").stdout)
    shop = bearer(made["secret"])
    port = free_port()
    command = [sys.executable, "-c", "from flyball.cli import main; main()", "up", "--host", "0.0.0.0", "--port", str(port), "--json"]
    with subprocess.Popen(
        [*command, "--project", str(project.root)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        try:
            assert process.stdout
            assert json.loads(process.stdout.readline())["port"] == port
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=20) as http:
                exercise(project, http, shop, made["token"])
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=40)


def exercise(project: Project, http: httpx.Client, shop: dict[str, str], token: str) -> None:
    """Predict, label and look, with and without a token."""

    def predict(**more: Any) -> httpx.Response:
        return http.post("/models/credit/predict", json={"row": ROW}, **more)

    assert predict().status_code == 401, "before the control plane has begun, too"
    assert predict().headers["www-authenticate"] == "Bearer"
    assert http.get("/v2/health/live").status_code == 200
    eventually(lambda: predict(headers=shop).status_code == 200, project.story, within_s=90)
    request = predict(headers=shop).json()["predictions"][0]["id"]
    labelled = http.post("/models/credit/labels", json={"labels": [{"id": request, "value": 1}]}, headers=shop)
    assert (labelled.status_code, labelled.json()["code"]) == (403, "refused"), "its scope is predict"
    assert http.post("/models/price/predict", json={"row": {}}, headers=shop).status_code == 403, "its models are cred*"
    assert http.get("/metrics", headers=shop).status_code == 403, "metrics are of all models"
    wrong = http.get("/v2/models/credit", headers=bearer("fb_x"))
    assert (wrong.status_code, list(wrong.json())) == (401, ["error"])
    assert http.get(f"{V1}/models", headers={**shop, "Host": "any.example"}).status_code == 403, "it is not for the control plane"
    eventually(lambda: [row.source for row in project.rows(REFUSED_ACCESS)] == ["127.0.0.1"], "what gateways refused is not recorded")
    said = subprocess.run(
        [sys.executable, "-c", "from flyball.cli import main; main()", "predict", "credit", "-", "--project", str(project.root)],
        input=json.dumps(ROW),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert said.returncode == 0, f"this machine's user has a token: {said.stderr}"
    assert flyball(project, "token", "revoke", token, "--reason", "left").returncode == 0
    eventually(lambda: predict(headers=shop).status_code == 401, "a revoked token is taken", within_s=1.5)
