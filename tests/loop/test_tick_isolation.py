"""What goes wrong with one model keeps no other from its turn."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from flyball.cli.main import run as run_cli
from flyball.data import refresh as refreshing
from flyball.declare.data import Dataset
from flyball.errors import BadInput, Conflict, FlyballError, NotFound, Unavailable
from flyball.loop import tick as ticking
from flyball.loop.compiling import compile_project
from flyball.loop.declaring import apply
from flyball.loop.live import LiveCounts, LiveData
from flyball.loop.ports import Ports
from flyball.loop.proposals import Propose
from flyball.records.base import Event
from flyball.records.data import DatasetRow
from flyball.records.declarations import DECLARATIONS, DeclarationRow
from flyball.records.evidence import Batch, Cursor, Watch
from flyball.records.models import Signature
from flyball.records.proposals import ProposalMade
from flyball.records.serving import ModelRoute, RouteDesired, RouteTable
from flyball.wiring import open_project

LOOP = """
import flyball as fb
rows = fb.Dataset("NAME-rows", source="rows.csv", time="ts", columns={"x": float, "y": fb.column(int, one_of=(0, 1))})
NAME = fb.Model("NAME", task="binary", data=rows, label="y", framing=fb.Framing("test"), train=fb.Train(lambda X, y: None))
"""

NONE = Signature(task="binary", fields=())


@pytest.fixture
def tick(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[FlyballError | None], tuple[FlyballError, list[str]]]:
    """A tick of three models of which the second raises (None: a turn of the test's own); what came out, and which had their turn."""
    (tmp_path / "flyball.toml").write_text("")
    (tmp_path / "loops").mkdir()
    for name in "abc":
        text = LOOP.replace("NAME", name).replace("lambda X, y: None", "fit").replace(f"\n{name} =", f"\ndef fit(X, y): ...\n{name} =")
        (tmp_path / "loops" / f"{name}.py").write_text(text)

    def run(error: FlyballError | None) -> tuple[FlyballError, list[str]]:
        turns: list[str] = []

        def advance(_ports: object, name: str, _kept: object, now: int) -> int:
            turns.append(name)
            if name == "b":
                assert error is not None
                raise error
            return now

        if error is not None:
            monkeypatch.setattr(ticking, "advance", advance)
        wired = open_project(tmp_path, claim=True)
        try:
            apply(compile_project(tmp_path), wired.ports, "loop")
            with pytest.raises(FlyballError if error is None else type(error)) as caught:
                ticking.tick(wired.ports.clock.now(), wired.ports)
        finally:
            wired.close()
        return caught.value, turns

    return run


def test_one_broken_model_among_others_ends_no_look_and_only_a_pass_without_any_is_none(
    tick: Callable[..., tuple[FlyballError, list[str]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def advance(_ports: object, name: str, _kept: object, now: int) -> int:
        if name in broken[-1]:
            raise NotFound(f"{name} has lost a blob")
        return now

    def told(now: int, ports: Ports) -> int:
        return one_pass(now, ports, lambda: looked.append(broken[-1]))

    one_pass, looked, broken = ticking.tick, list[str](), list[str]()
    monkeypatch.setattr(ticking, "advance", advance)
    monkeypatch.setattr(ticking, "tick", told)
    for names in ("b", "ab", "abc"):
        broken.append(names)
        tick(None)
    assert looked == ["b", "ab"]


def test_a_manifest_that_is_lost_keeps_no_other_model_from_its_route_and_nobody_from_their_turn(
    tick: Callable[..., tuple[FlyballError, list[str]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    turns, tables = list[str](), list[RouteTable]()

    def routed(now: int, ports: Ports) -> int:
        events = [
            RouteDesired(model=name, epoch=epoch, route=ModelRoute(signature=NONE, arms=(), signature_of="9" * 64 if name == "b" else ""))
            for epoch, name in enumerate("abc", 1)
        ]
        command = Propose(id="r", actor="loop", proposal="r", model="a", action="train", mode="record", target="", reason="")
        ports.ledger.execute(command, lambda *_: events)
        routes = SimpleNamespace(desire=lambda table, *_: tables.append(table), status=lambda: SimpleNamespace(epoch=0))
        return one_pass(now, replace(ports, routes=routes))

    one_pass = ticking.tick
    monkeypatch.setattr(ticking, "tick", routed)
    monkeypatch.setattr(ticking, "advance", lambda _ports, name, _kept, now: turns.append(name) or now)
    error, _ = tick(None)
    assert "9" * 64 in str(error)
    assert turns == ["a", "b", "c"]
    assert {model: route.signature_of != "" for model, route in tables[-1].models.items()} == {"a": False, "b": True, "c": False}


def test_the_others_have_their_turn_before_it_is_raised(tick: Callable[..., tuple[FlyballError, list[str]]]) -> None:
    error = NotFound("a blob is gone")
    assert tick(error) == (error, ["a", "b", "c"])


@pytest.mark.parametrize("error", [Unavailable("the disk is full"), Conflict("another took over", code="fenced")])
def test_what_is_not_the_models_own_ends_the_tick_at_once(tick: Callable[..., tuple[FlyballError, list[str]]], error: FlyballError) -> None:
    assert tick(error) == (error, ["a", "b"])


@pytest.mark.parametrize("part", ["data", "runs"])
def test_data_or_a_run_that_goes_wrong_for_one_model_keeps_no_other_from_its_turn(
    part: str, tick: Callable[..., tuple[FlyballError, list[str]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    error = NotFound("its source is gone")

    def goes_wrong(*_: object) -> None:
        raise error

    monkeypatch.setattr(LiveData, "refresh", goes_wrong if part == "data" else lambda *_: None)
    if part == "runs":
        monkeypatch.setattr(ticking, "active_run", lambda *_: SimpleNamespace(run="run_1", attempt=0, state="queued"))
        monkeypatch.setattr(ticking, "observe_run", goes_wrong)
    assert tick(NotFound("another")) == (error, ["a", "b", "c"])


def test_a_declaration_that_is_gone_keeps_no_other_model_from_its_turn_and_status_names_it(
    tick: Callable[..., tuple[FlyballError, list[str]]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    turns: list[str] = []

    def turn(ports: Ports, name: str, _kept: object, now: int) -> int:
        ports.library.model(ports.ledger.state().get(DECLARATIONS, name).body)
        turns.append(name)
        return now

    def without_one(now: int, ports: Ports) -> int:
        ports.blobs.remove(ports.ledger.state().get(DECLARATIONS, "b").body)
        return one_pass(now, ports)

    one_pass = ticking.tick
    monkeypatch.setattr(ticking, "tick", without_one)
    monkeypatch.setattr(ticking, "advance", turn)
    error, _ = tick(None)
    assert "is not in this machine's store" in str(error)
    assert turns == ["a", "c"]
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        assert run_cli(["status", "--project", str(tmp_path), "--json"]) == 0
    told = {each["name"]: each["doing"] for each in json.loads(out.getvalue())["models"]}
    assert told["b"].startswith("cannot be read: blob ")
    assert told["a"] == told["c"] == ""


def test_evidence_of_the_others_is_counted_where_one_declaration_is_gone(
    tick: Callable[..., tuple[FlyballError, list[str]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    counted: list[set[str]] = []

    def since(_self: LiveCounts, cursor: Cursor, _until: int, watches: dict[str, Watch]) -> tuple[Batch, Cursor]:
        counted.append(set(watches))
        return Batch(until=cursor.until), cursor

    def routed(_now: int, ports: Ports) -> None:
        route = ModelRoute(signature=Signature(task="binary", fields=()), arms=())
        events = [RouteDesired(model=name, route=route, epoch=epoch) for epoch, name in enumerate("abc", 1)]
        command = Propose(id="r", actor="loop", proposal="r", model="a", action="train", mode="record", target="", reason="")
        ports.ledger.execute(command, lambda *_: events)
        ports.blobs.remove(ports.ledger.state().get(DECLARATIONS, "b").body)
        failed: list[FlyballError] = []
        ticking.absorb(ports, ports.clock.now(), failed)
        raise failed[0]

    monkeypatch.setattr(LiveCounts, "since", since)
    monkeypatch.setattr(ticking, "tick", routed)
    error, _ = tick(None)
    assert "is not in this machine's store" in str(error)
    assert counted == [{"a", "c"}]


def test_a_fault_of_ours_while_a_source_is_read_is_not_said_to_be_the_datas(
    tick: Callable[..., tuple[FlyballError, list[str]]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def goes_wrong(*_: object) -> None:
        raise TypeError("two frames cannot be added")

    def at_once(self: LiveData, dataset: Dataset, row: DatasetRow | None, declared: DeclarationRow) -> Event | None:
        look(self, dataset, row, declared)
        self._reading[dataset.name].join()
        return look(self, dataset, row, declared)

    look = LiveData.refresh
    monkeypatch.setattr(refreshing, "refresh", goes_wrong)
    monkeypatch.setattr(LiveData, "refresh", at_once)
    error, turns = tick(FlyballError("another"))
    assert str(error).startswith('data set "a-rows" was not read: TypeError\n')
    assert "two frames cannot be added" not in str(error), "what a fault says may hold a value of a row"
    assert "a fault of flyball's own" in str(error)
    assert turns == ["a", "b", "c"]
    assert "in goes_wrong" in capsys.readouterr().err


def test_an_event_of_one_model_that_is_too_large_keeps_no_other_from_its_turn(
    tick: Callable[..., tuple[FlyballError, list[str]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The ledger refuses what is larger than an event may be, after it took the lock: the others still write."""
    left: list[str] = []

    def turn(ports: Ports, name: str, _kept: object, now: int) -> int:
        event = ProposalMade(
            proposal=name, model=name, action="train", mode="record", target="", reason=("x" * 20_000 if name == "b" else "due")
        )
        command = Propose(id=name, actor="loop", proposal=name, model=name, action="train", mode="record", target="", reason="")
        ports.ledger.execute(command, lambda *_: (event,))
        left.append(name)
        return now

    monkeypatch.setattr(ticking, "advance", turn)
    error, _ = tick(None)
    assert isinstance(error, BadInput)
    assert "proposal.made" in error.what
    assert left == ["a", "c"]
