"""What the disk has refused is done as soon as it has room again, and nobody is killed for it meanwhile."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from flyball.errors import Unavailable
from flyball.records.serving import RouteTable
from flyball.serving import routes
from flyball.serving.gateway import RouteWatcher
from flyball.serving.layout import Layout, worker_name, write_json
from flyball.serving.limits import Limits
from flyball.serving.routes import FileRoutes
from flyball.serving.supervisor import _tried

from .conftest import Border, Loans, Up, champion, eventually


@contextmanager
def refused(path: Path, pid: int) -> Iterator[None]:
    """That process cannot write that file: where it would write it first, a folder is in its way."""
    scratch = path.with_name(f".{path.name}.{pid}")
    scratch.mkdir()
    yield
    scratch.rmdir()


@contextmanager
def no_sockets(layout: Layout) -> Iterator[None]:
    """No process can say where its socket is to be: the folder, or for a long path the note of where it lies, is not what it must be."""
    place = next(path for path in (layout.run / "s", layout.run / "sockets") if path.exists())
    aside = place.rename(layout.run / "aside")
    if aside.is_dir():
        place.touch()
        yield
        place.unlink()
    else:
        place.mkdir()
        yield
        place.rmdir()
    aside.rename(place)


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    made = Layout(tmp_path)
    made.prepare()
    return made


def acknowledge(layout: Layout, gateway: str, pid: int) -> None:
    stamp = json.loads(layout.routes.read_bytes())["stamp"]
    write_json(layout.ack(gateway), {"stamp": stamp, "epoch": 0, "monotonic_ns": time.monotonic_ns(), "pid": pid})


def test_routes_that_the_disk_refused_are_written_later_and_nobody_is_killed_for_not_acknowledging_them(
    loans: Loans, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "kill", lambda pid, _number: pytest.fail(f"{pid} was killed"))
    monkeypatch.setattr(routes, "ACK_S", 0.0)
    layout, artifact = loans.layout, loans.artifact()
    layout.prepare()
    write_json(layout.gateways, {"port": 1, "gateways": {"g0": 41}})
    write_json(layout.ready(worker_name("credit@1.0.0", artifact)), {"pid": 1})
    first, second = (loans.route(champion(artifact), epoch=epoch) for epoch in (1, 2))
    reconciler = FileRoutes(layout.root)

    def step(table: RouteTable) -> int:
        reconciler.desire(table, time.time_ns() // 1000, loans.proofs(table))
        return reconciler.status().epoch

    with monkeypatch.context() as patient:
        patient.setattr(routes, "ACK_S", 60.0)
        step(first)
    acknowledge(layout, "g0", 41)
    assert step(first) == 1
    with refused(layout.routes, os.getpid()):
        for _ in range(2):
            with pytest.raises(Unavailable):
                step(second)
            assert reconciler.status().epoch == 0
    monkeypatch.setattr(routes, "ACK_S", 60.0)
    step(second)
    acknowledge(layout, "g0", 41)
    assert step(second) == 2


def test_an_acknowledgement_that_the_disk_refused_is_written_later_with_its_own_time(layout: Layout, border: Border) -> None:
    watcher = RouteWatcher(layout, "g0", border.dispatcher, Limits())
    look = lambda: asyncio.run(watcher.look())  # noqa: E731 - as a gateway does every 50 ms
    write_json(layout.routes, {"stamp": 7, "table": {"epoch": 1, "models": {}}})
    look()
    assert json.loads(layout.ack("g0").read_bytes())["stamp"] == 7
    with refused(layout.ack("g0"), os.getpid()):
        write_json(layout.routes, {"stamp": 8, "table": {"epoch": 2, "models": {}}})
        look()
        taken = time.monotonic_ns()
        look()
        assert border.dispatcher.table.epoch == 2, "it routes by it all the same"
        assert not layout.ack("g0").exists(), "what it said before would have it killed"
    look()
    told = json.loads(layout.ack("g0").read_bytes())
    assert (told["stamp"], told["pid"]) == (8, os.getpid())
    assert told["monotonic_ns"] < taken, "since when it routes by it, and not since when it could say so"


@pytest.mark.process
def test_a_gateway_that_was_started_anew_while_there_was_no_room_is_listed_later(loans: Loans, start: Callable[..., Up]) -> None:
    artifact = loans.artifact()
    up = start(gateways=2)
    up.make(loans.route(champion(artifact), epoch=1))
    former = up.gateways()
    with refused(loans.layout.gateways, up.process.pid):
        os.kill(former["g0"], signal.SIGKILL)
        eventually(lambda: json.loads(loans.layout.ack("g0").read_bytes())["pid"] != former["g0"], "it is not started again")
        assert up.gateways() == former
    eventually(lambda: up.gateways()["g0"] not in (0, former["g0"]), "who answers is not listed")
    up.make(loans.route(champion(artifact), epoch=2))


@pytest.mark.process
def test_a_worker_that_could_not_be_started_is_started_later(loans: Loans, start: Callable[..., Up]) -> None:
    artifact = loans.artifact()
    up = start(gateways=1)
    table = loans.route(champion(artifact), epoch=1)
    with no_sockets(loans.layout):
        up.routes.desire(table, time.time_ns() // 1000, loans.proofs(table))
        assert up.process.stderr
        assert "what runs goes on" in up.process.stderr.readline()
    up.make(table)
    assert up.predict({"amount": 5.0, "age": 30}).status_code == 200


def test_what_is_refused_of_one_thing_keeps_no_other_from_its_turn() -> None:
    done: list[int] = []

    def full() -> None:
        raise OSError(28, "No space left on device")

    assert _tried([full, lambda: done.append(1), full]) == ["[Errno 28] No space left on device"] * 2
    assert done == [1]
