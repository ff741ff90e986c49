"""Every call of docs/api.md, sent as it stands to a project that is up."""

from __future__ import annotations

import re
import shlex
import string
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from flyball.records.base import Record
from flyball.records.incidents import IncidentOpened

from .kit import Project, Up, eventually

pytestmark = pytest.mark.process

PAGE = Path(__file__).parent.parent.parent / "docs" / "api.md"

OTHERWISE = {
    r"POST .*/verdicts .*waive": (404, "it has no such gate"),
    r"POST .*/verdicts": (403, "an admin is no approver"),
    r"DELETE \S*/versions/1\.0\.0 ": (403, "it may be released"),
    r"POST .*/judging": (409, "the gates as they are declared now have judged it"),
    r"POST .*/rollback": (404, "there is no former champion"),
    r"POST .*/(pause|resume)": (409, "its workers are still being started"),
    r"POST .*/rows": (409, "its rows are in a file"),
    r"GET .*/features/": (404, "its model has no view"),
    r"POST .*/review": (409, "nothing is mitigated"),
    r"POST .*/mitigated": (409, "of what a monitor sees it is observed"),
    r"POST .*/fallback": (409, "it declares none"),
    r"POST .*/hooks/": (401, "no such route is declared, which is told of as of a signature that does not hold"),
}
"""Calls that this project refuses, as it should."""


BEGUN = {"run": "RUN", "rollout": "ROLLOUT", "token": "TOKEN_ID"}


class Happened(Record, frozen=True):
    """A command that records an incident."""

    id: str
    actor: str = "loop"


def test_every_call_of_the_page_does_what_it_says(project: Project, start: Callable[..., Up]) -> None:
    change = {"late-loads = fb.Model": "late = fb.Model", '"late-loads-loans"': '"loads"'}
    project.loop("late-loads", autonomy='"propose"', change=change)
    (project.root / "flyball.toml").write_text("[settings]\ntick_ms = 200\ncheckpoint_events = 1\n")
    up = start()
    eventually(lambda: up.http.get("/api/v1/health").status_code == 200, project.story)
    names = {"TOKEN": (project.layout.root / "keys" / "local.token").read_text().strip(), "INCIDENT": "inc_1", "SIGNATURE": "t=1,v1=00"}
    bearer = {"Authorization": f"Bearer {names['TOKEN']}"}
    eventually(lambda: up.http.get("/api/v1/datasets", headers=bearer).json()["items"], project.story)
    assert up.http.post("/api/v1/runs", headers=bearer, json={"model": "late-loads", "trials": 0}).status_code == 202
    eventually(lambda: up.http.get("/api/v1/models/late-loads", headers=bearer).json()["newest"], project.story)
    eventually(lambda: up.http.get("/api/v1/checkpoints", headers=bearer).json()["items"], project.story)
    opened = IncidentOpened(
        incident="inc_1", model="late-loads", failure_mode="errors", alert="", what="errors", cause="", owner="risk", actions=()
    )
    with project.opened() as wired:
        wired.ledger.execute(Happened(id="test"), lambda *_: (opened,))
    sent = 0
    for line in PAGE.read_text().splitlines():
        if not line.startswith("curl "):
            continue
        answer = send(up, line, names)
        sent += 1
        wanted = next(
            (status for pattern, (status, _) in OTHERWISE.items() if re.search(pattern, f"{answer.request.method} {answer.url} {line}")), 0
        )
        assert answer.status_code == wanted or (not wanted and answer.is_success), f"{line}\n{answer.status_code} {answer.text}"
        if answer.request.method == "POST" and answer.is_success:
            # what one call began, the next ones are about
            names |= {name: answer.json()[key] for key, name in BEGUN.items() if str(answer.url).endswith(f"/{key}s")}
    assert sent > 35


def send(up: Up, line: str, names: dict[str, str]) -> httpx.Response:
    """What curl would send; of a stream, its beginning is the answer."""
    words = iter(shlex.split(line)[1:])
    url, method, body, headers = "", "", None, {}
    for word in words:
        match word:
            case "-s" | "-N":
                continue
            case "-X":
                method = next(words)
            case "-d":
                body = next(words)
            case "-H":
                name, _, value = string.Template(next(words)).substitute(names).partition(": ")
                headers[name] = value
            case _:
                url = string.Template(word.removeprefix("localhost:7117")).substitute(names)
    request = up.http.build_request(method or "GET", url, headers=headers, content=body)
    answer = up.http.send(request, stream=True)
    if answer.headers.get("content-type", "").startswith("text/event-stream"):
        assert next(answer.iter_text()).startswith(": flyball")
        answer.close()
    else:
        answer.read()
    return answer
