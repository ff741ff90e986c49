"""A model that is served elsewhere, over a real `up`: the tutorial as it is written, a planted drift beside its twin, and kill -9 in the middle."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
from tests.loop.elsewhere_kit import LOOP_FILE, PURPOSES, made

from flyball.loop.memory import load
from flyball.records.elsewhere import ELSEWHERE, ReferenceMade, VersionSeen
from flyball.records.incidents import INCIDENTS, IncidentRow

from .kit import Project, Up, eventually, free_port, processes_of

PAGE = Path(__file__).parents[2] / "docs" / "elsewhere.md"
_FILE = re.compile(r"[Ww]rite `([\w./]+\.py)`:\n\n```python\n(.*?)```\n", re.DOTALL)
_BLOCK = re.compile(r"[Ww]rite `[\w./]+\.py`:\n\n```python\n.*?```\n|```sh\n.*?```\n", re.DOTALL)


class Step(NamedTuple):
    """One block of the page: a file to write (`name`), or lines of a shell."""

    name: str
    text: str


def steps() -> list[Step]:
    found = []
    for block in _BLOCK.findall(PAGE.read_text()):
        written = _FILE.fullmatch(block)
        found.append(Step(written[1], written[2]) if written else Step("", block.removeprefix("```sh\n").removesuffix("```\n")))
    return found


class Reader:
    """Somebody who does what the page says, in a folder."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder, self.port = folder, port
        tools = folder.parent / "tools"
        tools.mkdir()
        (tools / "flyball").write_text(
            f'#!/bin/sh\nexec "{sys.executable}" -P -c "import sys; from flyball.cli import main; sys.exit(main())" "$@"\n'
        )
        (tools / "python").write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
        for tool in tools.iterdir():
            tool.chmod(0o755)
        self.env = {**os.environ, "PATH": f"{tools}:{os.environ['PATH']}", "OMP_NUM_THREADS": "1", "NO_COLOR": "1", "COLUMNS": "200"}
        self.up: subprocess.Popen[str] | None = None

    def do(self, step: Step) -> str:
        if step.name:
            file = self.folder / step.name
            file.parent.mkdir(exist_ok=True)
            file.write_text(step.text.replace("7117", str(self.port)))
            return ""
        if step.text == "flyball up\n":
            (self.folder / "flyball.toml").write_text(f"[settings]\nport = {self.port}\ntick_ms = 200\n")
            self.up = subprocess.Popen(
                ["flyball", "up"],
                cwd=self.folder,
                env=self.env,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,
            )
            return ""
        done = subprocess.run(
            ["sh", "-ec", step.text], cwd=self.folder, env=self.env, capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == 0, f"{step.text}{done.stdout}{done.stderr}"
        return done.stdout

    def status(self) -> dict[str, Any]:
        done = subprocess.run(
            ["flyball", "status", "--json"], cwd=self.folder, env=self.env, capture_output=True, text=True, timeout=60, check=True
        )
        return {each["name"]: each for each in json.loads(done.stdout)["models"]}

    def close(self) -> None:
        if self.up is not None:
            self.up.send_signal(signal.SIGTERM)
            self.up.communicate(timeout=60)


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    folder = tmp_path / "watched"
    folder.mkdir()
    made_reader = Reader(folder, free_port())
    yield made_reader
    made_reader.close()


def test_the_tutorial_does_what_it_says(reader: Reader) -> None:
    whole = steps()
    assert [step.name for step in whole if step.name] == ["loop.py", "send.py", "loops/nightly.py", "score.py"]
    texts = [step.text for step in whole]
    started, sent, drifted, scored = (
        texts.index(line)
        for line in (
            "flyball up\n",
            "python send.py 10 1\n",
            "python send.py 0 0 debt_consolidation\n",
            "python score.py\nflyball status\n",
        )
    )
    said = [reader.do(step) for step in whole[: started + 1]]
    assert any("it is served elsewhere" in text for text in said), "check says so"

    def takes() -> bool:
        try:
            return httpx.get(f"http://127.0.0.1:{reader.port}/models/legacy-risk/schema").status_code == 200
        except httpx.TransportError:
            return False

    eventually(takes, "a gateway knows the model")
    said = [reader.do(step) for step in whole[started + 1 : sent + 1]]
    page = PAGE.read_text()
    assert said[-1].strip() in page, "what it prints is what the page shows"
    eventually(lambda: reader.status()["legacy-risk"]["quality"]["at_release"], "what is normal is learnt")
    said = [reader.do(step) for step in whole[sent + 1 : drifted + 1]]
    line = next(line for line in said[0].splitlines() if line.startswith("legacy-risk"))
    assert re.search(r"legacy-risk +7 .*0\.9\d* \[.*100%", line), said[0]
    eventually(lambda: reader.status()["legacy-risk"]["drift"], "the drift is seen")
    said = [reader.do(step) for step in whole[drifted + 1 : scored + 1]]
    listed = said[0]
    assert "schema change" in listed
    assert 'purpose: "debt_consolidation" 0% → 35.6%' in listed
    assert 'purpose: "debt_consolidation" 0% → 35.6%' in page
    eventually(lambda: reader.status()["nightly-amount"]["champion"] == "3", "the folder is read")
    found = eventually(
        lambda: (one := reader.status()["nightly-amount"])["quality"]["at_release"] is not None and one, "its week is learnt"
    )
    assert found["champion"] == "3"


@pytest.fixture
def project(tmp_path: Path) -> Project:
    found = Project(tmp_path / "p" if (tmp_path / "p").mkdir() is None else tmp_path)
    found.write("loop.py", LOOP_FILE.replace("SOURCE", "push://").replace("MORE", ""))
    return found


def send(up: Up, rows: list[dict[str, Any]], *, labels: bool = True) -> None:
    """Predictions and their labels, until they are taken."""
    predictions = [{name: value for name, value in one.items() if name != "label"} for one in rows]

    def taken(path: str, body: dict[str, Any]) -> bool:
        try:
            answer = httpx.post(f"{up.url}/models/legacy-risk/{path}", json=body, timeout=20)
        except httpx.TransportError:
            return False
        assert answer.status_code in (200, 404, 503), answer.text
        assert answer.status_code != 200 or answer.json()["refused"] == []
        return answer.status_code == 200

    eventually(lambda: taken("predictions", {"predictions": predictions}), "predictions are taken")
    if labels:
        eventually(lambda: taken("labels", {"labels": [{"id": one["id"], "value": one["label"]} for one in rows]}), "labels are taken")


def incidents(project: Project) -> list[IncidentRow]:
    return project.rows(INCIDENTS)


def week(project: Project, up: Up) -> None:
    for day in range(9):
        send(up, made(day, 400))
    eventually(lambda: (row := project.row(ELSEWHERE, "legacy-risk")) is not None and row.labels >= 500, project.story)


@pytest.mark.parametrize("drifts", [True, False], ids=["drift", "twin"])
def test_a_planted_drift_opens_an_incident_with_its_cause_and_its_twin_opens_none(project: Project, drifts: bool) -> None:
    up = Up(project).ready()
    try:
        week(project, up)
        purposes = (*PURPOSES[:3], "school_fees") if drifts else PURPOSES
        for day in (9, 9.4, 9.7, 10):
            send(up, made(day, 1_000, seed=5, purposes=purposes))
        if drifts:
            found = eventually(lambda: incidents(project), project.story)
            assert [(one.failure_mode, '"school_fees" 0%' in one.cause) for one in found] == [("schema_change", True)]
        else:
            # what was sent has been counted, and judged, by then
            send(up, made(10, 1, version="after"))
            eventually(lambda: "after" in [event.version for event in project.events(VersionSeen)], project.story)
            assert incidents(project) == []
        answer = httpx.post(f"{up.url}/models/legacy-risk/predict", json={"row": {"amount": 1, "purpose": "car"}})
        assert (answer.status_code, answer.json()["code"]) == (409, "conflict")
    finally:
        up.stop()
    project.verified()


def counted(project: Project) -> int:
    """Predictions that were counted."""
    with project.opened() as wired:
        return sum(each.rows for each in load(wired.ports.memory).monitor("legacy-risk").seen)


def test_kill_9_in_the_middle_loses_and_doubles_nothing(project: Project) -> None:
    up = Up(project).ready()
    sent: list[dict[str, Any]] = []
    try:
        for day in range(4):
            sent += (rows := made(day, 300))
            send(up, rows)
        for part in ("serving.gateway", "api.control"):
            os.kill(up.pid(part), signal.SIGKILL)
        sent += (rows := made(4, 300))
        send(up, rows)
        # sent again by somebody who is not sure
        send(up, made(3, 300))
        eventually(lambda: counted(project) >= len(sent), project.story)
        up.kill()
        eventually(lambda: not processes_of(project.root), lambda: f"these outlived up: {processes_of(project.root)}", 20)
        up = Up(project).ready()
        send(up, made(4, 300))
        for day in range(5, 9):
            sent += (rows := made(day, 300))
            send(up, rows)
        reference = eventually(lambda: [each for each in project.events(ReferenceMade) if each.labels], project.story)[0]
        ids = Counter(record.request_id for record in project.log() if record.kind == "answer")
        assert ids.keys() == {one["id"] for one in sent}, "what was taken is there"

        eventually(lambda: counted(project) >= len(sent), project.story)
        assert counted(project) == len(sent), "each is counted once"
        assert reference.predictions <= 7 * 300 + 1
    finally:
        up.stop()
    project.verified()
