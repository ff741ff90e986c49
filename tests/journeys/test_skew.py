"""A worker that computes five days where seven are declared: found by feature, rows and class, told as an incident, and over when it is mended.

The bug is planted in the worker's own process, as a bad build of it would have it: gateways, workers, the online store, the log and the loop
are the real ones.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from flyball.clock import rfc3339
from flyball.records.incidents import INCIDENTS, IncidentRow, IncidentState
from flyball.records.skew import FeaturesVerified

from ..loop.skew_kit import END, HOUR, LOOP, SHOPS, Shops, rows, verified  # noqa: TID252 - one such project
from .kit import Project, Up, champion_is, eventually

pytestmark = pytest.mark.process

BUG = """
import sys

if "flyball.serving.worker" in sys.orig_argv:
    import dataclasses
    from flyball.features.online.read import OnlineView

    begin = OnlineView.__init__

    def five_days(self, *given, **more):
        begin(self, *given, **more)
        wrong = [dataclasses.replace(one, span=5 * 86_400_000_000) if one.name == "sold" else one for one in self.plan.aggregates]
        self.plan = dataclasses.replace(self.plan, aggregates=tuple(wrong))

    OnlineView.__init__ = five_days
"""
NOON = END * 1_000_000 - 2 * HOUR


def ask(up: Up, shops: list[str]) -> list[str]:
    """One request a shop, about the same moment; the ids of the rows."""
    found = []
    for shop in shops:
        response = up.http.post("/models/shops/predict", json={"row": {"shop": shop}, "time": rfc3339(NOON)})
        assert response.status_code == 200, response.text
        found.append(response.json()["predictions"][0]["id"])
    return found


def incident(project: Project, *states: IncidentState) -> IncidentRow | None:
    return next((row for row in project.rows(INCIDENTS) if row.failure_mode == "skew" and row.state in states), None)


def test_a_five_day_window_where_seven_days_are_declared(
    project: Project, start: Callable[..., Up], tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant = tmp_path_factory.mktemp("plant")
    (plant / "sitecustomize.py").write_text(BUG)
    (project.root / "data" / "loans.csv").unlink()
    rows().write_csv(project.root / "data" / "sales.csv")
    project.write("flyball.toml", "[settings]\ntick_ms = 200\nverify_s = 1\n")
    project.write("loops/shops.py", LOOP.replace("SUBJECT", "").replace('autonomy="record"', 'autonomy="act"'))
    before = os.environ.get("PYTHONPATH", "")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(plant), before])))
    up = start(gateways=1)
    champion_is(project, "1.0.0", "shops", within_s=180)
    eventually(lambda: up.http.get("/v2/models/shops/ready").status_code == 200, project.story)

    bug = ask(up, SHOPS)
    same = ask(up, ["nobody"])
    ended = shops(project).call("features", "verify", "shops")
    assert ended.code == 1, ended.err
    found = verified(ended)
    assert {(one["row"], one["feature"], one["skew"]) for one in found["differences"]} == {(row, "sold", "wrong") for row in bug}
    assert (found["rows"], found["wrong"], found["equal"]) == (len(bug + same), len(bug), 3 * len(bug + same) - len(bug))
    assert (found["missing"], found["extra"], found["stale"], found["unknown"], found["problems"]) == (0, 0, 0, 0, [])

    opened = eventually(lambda: incident(project, IncidentState.OPEN, IncidentState.MITIGATING), project.story)
    assert opened.owner == "features"
    # a look of the loop may come between two of the requests
    said = re.search(r"week\.sold: of (\d+) served values (\d+) wrong; row (p_\w+) of ", opened.cause)
    assert said, opened.cause
    assert 1 <= int(said[2]) <= len(bug)
    assert said[3] in bug
    counted = f'flyball_feature_values_total{{model="shops",view="week",feature="sold",skew="wrong"}} {len(bug)}\n'
    eventually(lambda: counted in up.http.get("/metrics").text, lambda: up.http.get("/metrics").text)
    assert up.stop()[0] == 0

    monkeypatch.setenv("PYTHONPATH", before)
    up = start(gateways=1)
    eventually(lambda: up.http.get("/v2/models/shops/ready").status_code == 200, project.story)
    # a loop that starts anew goes on where the log was: what it judges first is right
    eventually(lambda: ask(up, SHOPS) and incident(project, IncidentState.MITIGATED), project.story)
    last = project.events(FeaturesVerified)[-1]
    assert (last.wrong, [one.feature for one in last.features]) == (0, ["sold"])
    project.verified()


def shops(project: Project) -> Shops:
    """The project as its command line sees it."""
    return Shops(Path(project.root))
