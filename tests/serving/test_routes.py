from __future__ import annotations

import json
import os
import time
from pathlib import Path

import msgspec
import pytest

from flyball.records.models import Signature
from flyball.records.serving import Arm, ModelRoute, RouteTable
from flyball.serving import routes
from flyball.serving.layout import UNSAID, Layout, worker_name, write_json
from flyball.serving.routes import FileRoutes, admit

SIGNATURE = Signature(task="binary", fields=(), classes=(0, 1))


def table(epoch: int, **versions: str) -> RouteTable:
    models = {
        name: ModelRoute(signature=SIGNATURE, arms=(Arm(version=version, role="champion", artifact=f"{version}-hash", weight=10_000),))
        for name, version in versions.items()
    }
    return RouteTable(epoch=epoch, models=models)


def ready(layout: Layout, model: str, version: str) -> None:
    write_json(layout.ready(worker_name(f"{model}@{version}", f"{version}-hash")), {"pid": 1})


def acknowledge(layout: Layout, *names: str, pid: int = 1) -> None:
    stamp = json.loads(layout.routes.read_bytes())["stamp"]
    for name in names:
        write_json(layout.ack(name), {"stamp": stamp, "epoch": 0, "monotonic_ns": time.monotonic_ns(), "pid": pid})


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    made = Layout(tmp_path)
    made.prepare()
    write_json(made.gateways, {"port": 1, "gateways": {"g0": 1, "g1": 1}})
    return made


def wanted(layout: Layout) -> set[str]:
    return {one["ref"] for one in json.loads(layout.wanted_workers.read_bytes())}


def now() -> int:
    return time.time_ns() // 1000


def test_a_model_whose_signature_could_not_be_read_keeps_its_route_and_stops_no_other() -> None:
    current, desired = table(1, a="1.0.0", b="1.0.0"), table(2, a="2.0.0", b="2.0.0")
    unread = msgspec.structs.replace(desired.models["a"], signature_of="2.0.0-hash")
    names = {worker_name(f"{model}@2.0.0", "2.0.0-hash"): True for model in "ab"}
    admitted, waiting = admit(msgspec.structs.replace(desired, models=desired.models | {"a": unread}), current, names)
    assert waiting == ("a",)
    assert {model: route.arms[0].version for model, route in admitted.models.items()} == {"a": "1.0.0", "b": "2.0.0"}


def test_a_model_whose_worker_is_not_ready_keeps_its_route_and_stops_no_other() -> None:
    current, desired = table(1, a="1.0.0", b="1.0.0"), table(2, a="2.0.0", b="2.0.0")
    names = {worker_name(f"{model}@2.0.0", "2.0.0-hash"): model == "b" for model in "ab"}
    admitted, waiting = admit(desired, current, names)
    assert waiting == ("a",)
    assert {model: route.arms[0].version for model, route in admitted.models.items()} == {"a": "1.0.0", "b": "2.0.0"}


def test_nothing_is_routed_to_a_worker_before_it_is_ready(layout: Layout) -> None:
    reconciler = FileRoutes(layout.root)
    reconciler.desire(table(1, a="1.0.0"), now())
    assert wanted(layout) == {"a@1.0.0"}
    assert json.loads(layout.routes.read_bytes())["table"]["models"] == {}
    ready(layout, "a", "1.0.0")
    reconciler.desire(table(1, a="1.0.0"), now())
    assert list(json.loads(layout.routes.read_bytes())["table"]["models"]) == ["a"]


def test_a_model_that_nobody_may_ask_has_a_worker_and_no_route(layout: Layout) -> None:
    arm = Arm(version="1.0.0", role="shadow", artifact="1.0.0-hash")
    silent = RouteTable(epoch=2, models={"a": ModelRoute(signature=SIGNATURE, arms=(), shadows=(arm,))})
    reconciler = FileRoutes(layout.root)
    reconciler.desire(silent, now())
    acknowledge(layout, "g0", "g1")
    assert wanted(layout) == {"a@1.0.0"}
    assert (reconciler.status().epoch, reconciler.status().waiting) == (2, ("a",))
    ready(layout, "a", "1.0.0")
    reconciler.desire(silent, now())
    assert (reconciler.status().epoch, reconciler.status().waiting) == (2, ())
    reconciler.desire(table(3, a="1.0.0"), now())
    assert list(json.loads(layout.routes.read_bytes())["table"]["models"]) == ["a"]
    reconciler.desire(silent, now())
    file = json.loads(layout.routes.read_bytes())
    assert (file["table"]["models"], file["starting"]) == ({}, {})
    assert wanted(layout) == {"a@1.0.0"}


def test_gateways_are_told_of_a_model_whose_first_route_waits_for_its_worker(layout: Layout) -> None:
    def starting() -> dict[str, str]:
        return json.loads(layout.routes.read_bytes())["starting"]

    ready(layout, "a", "1.0.0")
    reconciler = FileRoutes(layout.root)
    both = table(1, a="1.0.0", b="1.0.0")
    reconciler.desire(both, now())
    assert starting() == {"b": worker_name("b@1.0.0", "1.0.0-hash")}
    written = layout.routes.read_bytes()
    reconciler.desire(both, now())
    assert layout.routes.read_bytes() == written, "the same is not told twice"
    ready(layout, "b", "1.0.0")
    reconciler.desire(both, now())
    assert starting() == {}
    reconciler.desire(table(2, a="2.0.0", b="1.0.0"), now())
    assert starting() == {}, "a model that has a route answers by it until the next one is ready"
    reconciler.desire(table(3, b="1.0.0", c="1.0.0"), now())
    reconciler.desire(table(4, b="1.0.0"), now())
    assert starting() == {}, "nobody waits for what is not desired any more"


def test_a_table_is_in_force_when_every_gateway_of_today_acknowledged_it(layout: Layout) -> None:
    reconciler = FileRoutes(layout.root)
    ready(layout, "a", "1.0.0")
    decided = now()
    reconciler.desire(table(7, a="1.0.0"), decided)
    acknowledge(layout, "g0")
    assert reconciler.status().epoch == 0
    acknowledge(layout, "g1", pid=2)  # a process of the same name that is no more
    assert reconciler.status().epoch == 0
    acknowledge(layout, "g1")
    found = reconciler.status()
    assert (found.epoch, found.processes) == (7, 2)
    assert 0 <= found.ms <= (now() - decided) / 1000 + 1


def test_a_worker_leaves_only_after_every_gateway_acknowledged_a_table_without_it(layout: Layout) -> None:
    reconciler = FileRoutes(layout.root)
    for version in ("1.0.0", "2.0.0"):
        ready(layout, "a", version)
    reconciler.desire(table(1, a="1.0.0"), now())
    acknowledge(layout, "g0", "g1")
    for _ in range(3):
        reconciler.desire(table(2, a="2.0.0"), now())
    assert wanted(layout) == {"a@1.0.0", "a@2.0.0"}
    acknowledge(layout, "g0", "g1")
    for _ in range(2):
        reconciler.desire(table(2, a="2.0.0"), now())
    assert wanted(layout) == {"a@2.0.0"}


def test_a_worker_that_cannot_start_is_named_with_its_reason(layout: Layout) -> None:
    reconciler = FileRoutes(layout.root)
    reconciler.desire(table(1, a="1.0.0"), now())
    write_json(layout.failed(worker_name("a@1.0.0", "1.0.0-hash")), {"reason": "golden row 3 differs"})
    reconciler.desire(table(1, a="1.0.0"), now())
    assert reconciler.status().failed == {"a@1.0.0": "golden row 3 differs"}


def test_a_gateway_that_does_not_acknowledge_in_time_is_killed_once(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    killed: list[int] = []
    monkeypatch.setattr(os, "kill", lambda pid, _number: killed.append(pid))
    write_json(layout.gateways, {"port": 1, "gateways": {"g0": 41, "g1": 42}})
    ready(layout, "a", "1.0.0")
    ready(layout, "a", "2.0.0")
    reconciler = FileRoutes(layout.root)
    reconciler.desire(table(1, a="1.0.0"), now())
    acknowledge(layout, "g0", pid=41)
    acknowledge(layout, "g1", pid=42)
    reconciler.desire(table(2, a="2.0.0"), now())
    acknowledge(layout, "g0", pid=41)
    monkeypatch.setattr(routes, "ACK_S", 0.0)
    for _ in range(3):
        reconciler.desire(table(2, a="2.0.0"), now())
    assert killed == [42]


def test_a_reconciler_that_starts_anew_goes_on_from_the_files(layout: Layout) -> None:
    ready(layout, "a", "1.0.0")
    FileRoutes(layout.root).desire(table(1, a="1.0.0"), now())
    acknowledge(layout, "g0", "g1")
    before = layout.routes.read_bytes()
    again = FileRoutes(layout.root)
    again.desire(table(1, a="1.0.0"), now())
    assert layout.routes.read_bytes() == before
    assert (again.status().epoch, again.status().waiting) == (1, ())


def test_routes_of_the_last_up_are_confirmed_though_nothing_has_changed(layout: Layout) -> None:
    ready(layout, "a", "1.0.0")
    FileRoutes(layout.root).desire(table(1, a="1.0.0"), now())
    left = json.loads(layout.routes.read_bytes())
    write_json(layout.routes, left | {"stamp": UNSAID})
    FileRoutes(layout.root).desire(table(1, a="1.0.0"), now())
    found = json.loads(layout.routes.read_bytes())
    assert found["table"] == left["table"]
    assert found["stamp"] > left["stamp"]


def test_two_reconcilers_of_one_project_agree_on_what_is_on_disk(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "kill", lambda pid, _number: pytest.fail(f"{pid} was killed"))
    monkeypatch.setattr(routes, "ACK_S", 0.0)
    for version in ("1.0.0", "2.0.0"):
        ready(layout, "a", version)
    first = FileRoutes(layout.root)
    first.desire(table(1, a="1.0.0"), now())
    acknowledge(layout, "g0", "g1")
    second = FileRoutes(layout.root)
    monkeypatch.setattr(routes, "ACK_S", 60.0)
    second.desire(table(2, a="2.0.0"), now())
    acknowledge(layout, "g0", "g1")
    monkeypatch.setattr(routes, "ACK_S", 0.0)
    for _ in range(2):
        first.desire(table(2, a="2.0.0"), now())
    assert first.status().epoch == second.status().epoch == 2


def test_a_model_that_waits_does_not_keep_anothers_route_from_being_in_force(layout: Layout) -> None:
    reconciler = FileRoutes(layout.root)
    for model in "ab":
        ready(layout, model, "1.0.0")
    reconciler.desire(table(1, a="1.0.0", b="1.0.0"), now())
    acknowledge(layout, "g0", "g1")
    slow = now() - 5_000_000
    reconciler.desire(table(2, a="2.0.0", b="1.0.0"), slow)
    ready(layout, "b", "2.0.0")
    reconciler.desire(table(3, a="2.0.0", b="2.0.0"), now())
    assert reconciler.status().epoch == 0
    acknowledge(layout, "g0", "g1")
    found = reconciler.status()
    assert (found.epoch, found.waiting) == (3, ("a",))
    assert found.ms < 4_000
    # when its worker is ready its time counts from its own decision
    ready(layout, "a", "2.0.0")
    reconciler.desire(table(3, a="2.0.0", b="2.0.0"), now())
    assert reconciler.status().epoch == 0
    acknowledge(layout, "g0", "g1")
    found = reconciler.status()
    assert (found.epoch, found.waiting) == (3, ())
    assert found.ms > 5_000
