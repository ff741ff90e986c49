"""Routes where nothing is up: what is written is what the next `up` begins with, and nothing that no worker has shown to work."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from flyball.records.models import Signature
from flyball.records.serving import Arm, ModelRoute, RouteTable
from flyball.serving.layout import Layout, worker_name, write_json
from flyball.serving.resting import RestingRoutes
from flyball.serving.routes import FileRoutes
from flyball.serving.supervisor import take_lock

SIGNATURE = Signature(task="binary", fields=(), classes=(0, 1))


def arm(version: str, weight: int) -> Arm:
    return Arm(version=version, role="champion", artifact=f"{version}-hash", weight=weight)


def table(epoch: int, **weights: dict[str, int]) -> RouteTable:
    models = {
        name: ModelRoute(signature=SIGNATURE, arms=tuple(arm(version, weight) for version, weight in each.items()))
        for name, each in weights.items()
    }
    return RouteTable(epoch=epoch, models=models)


SPLIT, BACK = {"1.0.0": 7_500, "1.1.0": 2_500}, {"1.0.0": 10_000}


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """What an `up` left that was killed in the middle of a canary: a table, gateways that are no more, and their acknowledgements."""
    made = Layout(tmp_path)
    made.prepare()
    write_json(made.gateways, {"port": 1, "gateways": {"g0": 1}})
    for version in SPLIT:
        write_json(made.ready(worker_name(f"a@{version}", f"{version}-hash")), {"pid": 1})
    FileRoutes(made.root).desire(table(1, a=SPLIT), now())
    for ready in (made.run / "workers").iterdir():
        ready.unlink()
    return made


def now() -> int:
    return time.time_ns() // 1000


def served(layout: Layout) -> dict[str, list[str]]:
    models = json.loads(layout.routes.read_bytes())["table"]["models"]
    return {name: [arm["version"] for arm in route["arms"]] for name, route in models.items()}


def wanted(layout: Layout) -> set[str]:
    return {one["ref"] for one in json.loads(layout.wanted_workers.read_bytes())}


def test_a_route_back_is_in_force_once_it_is_written_and_its_workers_alone_are_started_next(layout: Layout) -> None:
    routes = RestingRoutes(layout.root)
    routes.desire(table(2, a=BACK), now())
    assert (routes.status().epoch, routes.status().processes, routes.status().waiting) == (2, 0, ())
    assert served(layout) == {"a": ["1.0.0"]}
    routes.desire(table(2, a=BACK), now())
    assert wanted(layout) == {"a@1.0.0"}


def test_a_version_that_no_route_had_waits_for_its_worker_and_holds_up_no_other_model(layout: Layout) -> None:
    routes = RestingRoutes(layout.root)
    routes.desire(table(3, a=BACK, b=BACK), now())
    assert (routes.status().epoch, routes.status().waiting) == (3, ("b",))
    assert served(layout) == {"a": ["1.0.0"]}
    assert "b@1.0.0" in wanted(layout)
    routes.desire(table(4, a={"2.0.0": 10_000}), now())
    assert (routes.status().waiting, served(layout)) == (("a",), {"a": ["1.0.0"]}), "it keeps the route that it has"


def test_where_somebody_is_up_the_routes_are_left_to_them(layout: Layout) -> None:
    routes, lock = RestingRoutes(layout.root), take_lock(layout.lock)
    before = layout.routes.read_bytes()
    routes.desire(table(2, a=BACK), now())
    assert (routes.status().epoch, layout.routes.read_bytes()) == (0, before)
    os.close(lock)
    routes.desire(table(2, a=BACK), now())
    assert (routes.status().epoch, served(layout)) == (2, {"a": ["1.0.0"]})
    os.close(take_lock(layout.lock, wait_s=0))
