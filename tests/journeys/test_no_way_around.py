"""A version whose gate failed goes out by no face: not the command line, not the API, not a pinned request; and who edits the database is named."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Callable

import pytest

from flyball.records.serving import ROUTES
from flyball.records.versions import VERSIONS, VersionJudged, VersionRow, VersionState

from .kit import ROW, Project, Up, champion_is, eventually
from .people import cli

pytestmark = pytest.mark.process


TENSORS = [
    {"name": "amount", "datatype": "FP64", "shape": [1], "data": [ROW["amount"]]},
    {"name": "age", "datatype": "INT64", "shape": [1], "data": [ROW["age"]]},
]


@pytest.fixture
def stopped(project: Project, start: Callable[..., Up]) -> Up:
    """1.0.0 serves, and 1.1.0 is rejected by a gate that no model holds."""
    project.loop()
    up = start()
    champion_is(project, "1.0.0")
    project.loop(change={"C=1.0": "C=0.5", ">= 0.6": ">= 0.9999"})

    def rejected() -> bool:
        row = project.row(VERSIONS, "credit/1.1.0")
        return row is not None and row.state is VersionState.REJECTED

    eventually(rejected, project.story)
    return up


def test_a_version_is_released_by_no_face_without_its_gates(project: Project, stopped: Up) -> None:
    up = stopped
    gate = "accuracy ≥ 0.9999"

    # the command line
    for order in (["release", "credit@1.1.0"], ["release", "credit@1.1.0", "--reason", "I am in a hurry", "--idempotency-key", "now"]):
        code, _, err = cli(project, *order)
        assert (code, gate in err) == (1, True), err
    assert cli(project, "train", "credit", "--release", "--quiet")[0] == 1, "what is made anew has the same gates"

    # the API
    token = (project.layout.root / "keys" / "local.token").read_text().strip()
    bearer = {"Authorization": f"Bearer {token}"}
    refused = up.http.post("/api/v1/rollouts", headers=bearer, json={"model": "credit", "version": "1.1.0"})
    assert (refused.status_code, gate in json.dumps(refused.json(), ensure_ascii=False)) == (403, True), refused.text
    patched = up.http.patch("/api/v1/models/credit/versions/1.1.0", headers=bearer, json={"state": "eligible"})
    assert patched.status_code in (400, 422), patched.text
    approved = up.http.post(
        "/api/v1/models/credit/versions/1.1.0/verdicts", headers=bearer, json={"verdict": "approve", "reason": "I say so"}
    )
    assert approved.status_code in (403, 409), approved.text
    own = {"verdict": "waive", "gate": gate, "reason": "I say so"}
    waived = up.http.post("/api/v1/models/credit/versions/1.1.0/verdicts", headers=bearer, json=own)
    assert (waived.status_code, "author" in waived.json()["detail"]) == (403, True), waived.text

    # the gateway: a pinned request reaches only what was released
    for path, body in (
        ("/models/credit@1.1.0/predict", {"row": ROW}),
        ("/models/credit@1.1.0/explain", {"row": ROW}),
        ("/v2/models/credit/versions/1.1.0/infer", {"inputs": TENSORS}),
        ("/invocations?model=credit@1.1.0", {"instances": [ROW]}),
    ):
        answer = up.http.post(path, json=body)
        assert answer.status_code in (403, 404), f"{path}: {answer.status_code} {answer.text}"
    assert up.http.post("/v2/models/credit/versions/1.0.0/infer", json={"inputs": TENSORS}).status_code == 200
    assert up.http.post("/invocations?model=credit@1.0.0", json={"instances": [ROW]}).status_code == 200
    assert up.predict().json()["version"] == "1.0.0"

    # the champion, which the gate judged too, answers on and is in doubt
    eventually(lambda: project.events(VersionJudged), project.story)
    code, out, _ = cli(project, "status")
    assert (code, "gate      credit@1.0.0 (deployed)" in out) == (0, True), out
    assert up.stop() == (0, "")
    project.verified()


def test_who_edits_the_database_is_named(project: Project, stopped: Up) -> None:
    assert stopped.stop() == (0, "")
    project.verified()
    code, out, _ = cli(project, "audit", "verify")
    assert code == 0, out

    def edit(table: str, key: str, old: str, new: str) -> None:
        with contextlib.closing(sqlite3.connect(project.layout.root / "ledger.db")) as ledger, ledger:
            [(body,)] = ledger.execute(f"SELECT body FROM {table} WHERE key = ?", (key,)).fetchall()
            assert old in body.decode(), body
            ledger.execute(f"UPDATE {table} SET body = ? WHERE key = ?", (body.decode().replace(old, new, 1).encode(), key))

    # the verdict: the row says that it passed, and no event does
    edit("p_version", "credit/1.1.0", '"state":"rejected"', '"state":"eligible"')
    row = project.row(VERSIONS, "credit/1.1.0")
    assert isinstance(row, VersionRow)
    assert row.state is VersionState.ELIGIBLE
    code, out, _ = cli(project, "audit", "verify")
    assert code == 1
    assert "credit/1.1.0" in out
    assert "version" in out

    # the route: it serves what was never released
    assert cli(project, "audit", "rebuild")[0] == 0
    project.verified()
    route = project.row(ROUTES, "credit")
    assert route is not None
    assert [arm.version for arm in route.route.arms] == ["1.0.0"]
    edit("p_route", "credit", '"version":"1.0.0"', '"version":"1.1.0"')
    code, out, _ = cli(project, "audit", "verify")
    assert (code, "route" in out, "credit" in out) == (1, True, True), out
    assert cli(project, "audit", "rebuild")[0] == 0
    project.verified()
    again = project.row(ROUTES, "credit")
    assert again == route
