"""A disk that is full under our own output ends nobody who keeps the others going."""

from __future__ import annotations

import asyncio
import io
import sys
import time
from pathlib import Path

import pytest

from flyball.records.models import Signature
from flyball.records.serving import Arm, ModelRoute, RouteTable
from flyball.serving import ids, wal
from flyball.serving.children import Child
from flyball.serving.dispatch import Dispatcher
from flyball.serving.gateway import _every
from flyball.serving.layout import Layout
from flyball.serving.limits import Limits
from flyball.serving.metrics import Metrics
from flyball.serving.routes import ACK_S
from flyball.serving.supervisor import Supervisor
from flyball.serving.table import RoutesFile, Table


class Full(io.StringIO):
    """A file on a full disk."""

    def write(self, _text: str) -> int:
        raise OSError(28, "No space left on device")


@pytest.fixture
def full(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", Full())
    monkeypatch.setattr(sys, "stdout", Full())


@pytest.mark.usefixtures("full")
def test_the_supervisor_goes_on_when_it_cannot_say_what_is_wrong() -> None:
    supervisor = object.__new__(Supervisor)
    supervisor._said = ""
    supervisor._say("the disk refuses")
    assert supervisor._said == "the disk refuses"


@pytest.mark.usefixtures("full")
def test_what_a_gateway_does_again_and_again_goes_on_when_neither_it_nor_its_log_has_room() -> None:
    turns: list[int] = []

    async def run() -> None:
        third = asyncio.Event()

        async def refused() -> None:
            turns.append(1)
            if len(turns) == 3:
                third.set()
            raise OSError(28, "No space left on device")

        task = asyncio.create_task(_every(0.001, "saving", refused))
        await asyncio.wait({task, asyncio.create_task(third.wait())}, return_when=asyncio.FIRST_COMPLETED)
        assert third.is_set()
        task.cancel()

    asyncio.run(run())


def end_of(program: str, folder: Path) -> list[str]:
    """What is told when a child that runs this program has ended."""
    told: list[str] = []
    child = Child(
        "c", [sys.executable, "-c", program],
        cwd=folder, output=folder / "out", stdin=0, passed=(), env={}, on_end=told.append,
    )  # fmt: skip
    child.keep()
    while not told:
        child.keep()
        time.sleep(0.01)
    child.kill()
    return told


@pytest.mark.process
@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("x cannot be opened\n    why  no right\n    fix  give it", "exit 1: x cannot be opened"),
        ("Traceback (most recent call last):\n  File a\n    b()\nValueError: 7", "exit 1: ValueError: 7"),
        ("", "exit 1"),
    ],
)
def test_a_childs_end_is_told_with_what_happened_and_not_with_what_to_do(tmp_path: Path, said: str, told: str) -> None:
    program = f"import sys; print({said!r}, file=sys.stderr); raise SystemExit(1)"
    assert end_of(program, tmp_path) == [told]


@pytest.mark.process
@pytest.mark.usefixtures("full")
def test_a_childs_end_is_acted_upon_when_it_cannot_be_told(tmp_path: Path) -> None:
    assert end_of("raise SystemExit(3)", tmp_path) == ["exit 3"]


def test_a_worker_that_has_crashed_holds_up_no_change_of_routes(tmp_path: Path) -> None:
    assert Limits().look_s + Limits().connect_s < ACK_S
    layout = Layout(tmp_path)
    layout.prepare()
    signature = Signature(task="binary", fields=())

    def table(stamp: int) -> Table:
        arm = Arm(version="1.0.0", role="champion", artifact="a" * 64, weight=10_000)
        route = ModelRoute(signature=signature, arms=(arm,), salt=str(stamp))
        return Table(RoutesFile(stamp=stamp, table=RouteTable(epoch=stamp, models={"dead": route})))

    async def run() -> float:
        writer = wal.Writer(layout.log, "g0", reserve_bytes=0)
        key = ids.Ids(ids.load_key(layout.id_key), 0)
        dispatcher = Dispatcher(layout, writer=writer, ids=key, metrics=Metrics(layout, "g0"), limits=Limits(connect_s=0.2))
        await dispatcher.apply(table(1))
        began = time.monotonic()
        await dispatcher.apply(table(2))
        took = time.monotonic() - began
        assert dispatcher.table.epoch == 2
        dispatcher.close()
        writer.close()
        return took

    assert asyncio.run(run()) < 0.2
