"""A person is forgotten while everything runs: workers look back on what is left, and the log loses them when it is sealed."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from flyball.records.data import DATASETS

from ..loop.person_kit import LOOP, OTHER, WHO, People, rows  # noqa: TID252 - one such project
from .kit import Project, Up, champion_is, eventually

pytestmark = pytest.mark.process


def score(up: Up, who: str) -> float:
    response = up.http.post("/models/pay/predict", json={"row": {"amount": 200.0, "customer": who}})
    assert response.status_code == 200, response.text
    return float(response.json()["predictions"][0]["score"])


def test_a_person_is_forgotten_while_everything_runs(project: Project, start: Callable[..., Up]) -> None:
    people = People(project.root)
    (project.root / "data" / "loans.csv").unlink()
    people.write(rows(650))
    project.write("loops/pay.py", LOOP.replace('autonomy="record"', 'autonomy="act"'))
    up = start(gateways=1)
    champion_is(project, "1.0.0", "pay")
    eventually(lambda: up.http.get("/v2/models/pay/ready").status_code == 200, project.story)
    unknown = score(up, "nobody")
    eventually(lambda: score(up, WHO) != unknown, "the worker looks back on the person's rows")
    known = score(up, OTHER)
    assert known != unknown

    ended = people.call("data", "erase", "--subject", WHO, "--reason", "request 12")
    assert ended.code == 0, ended.out
    assert ended.document["waiting"] >= 1
    assert ended.document["models"] == ["pay@1.0.0"]
    eventually(lambda: score(up, WHO) == unknown, lambda: f"the worker still looks back on them\n{project.output('control')}")
    assert score(up, OTHER) == known
    project.verified()
    up.stop()

    # what was asked after the erasure is new, and goes when it is asked for again; the next start closes the log of this one
    assert people.call("data", "erase", "--subject", WHO, "--reason", "request 13").code == 0
    start(gateways=1)
    eventually(lambda: not people.traces(), lambda: f"still in {people.traces()}\n{project.output('control')}")
    project.verified()
    head = project.row(DATASETS, "payments")
    assert head is not None
    assert not head.violations
