"""A graph that is kept tells what a fresh one tells, whatever was asked of it before, and is made again only when something happened."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest

import flyball as fb
from flyball.errors import Corrupt
from flyball.ledger.lineage import Edge, Graph, How, Kind, Node
from flyball.loop import graphs as module
from flyball.loop.graphs import Graphs, over
from flyball.loop.library import BlobLibrary
from flyball.loop.lineage import Project
from flyball.loop.tracing import overview, overview_of, trace, trace_in

from .lineage_kit import CARD, PAYMENTS, World, fraud

DATA = {"payments": "c" * 64}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A model whose champion was made by a declaration of before, with another definition of its view."""
    world = World(tmp_path)
    former = fb.FeatureView("card", PAYMENTS, entity="card_id", ttl="7d", features={"spent": fb.window("2h").sum("amount")})
    for number, changes in enumerate(({"features": [former], "transforms": {"usual": pl.col("spent") / 2}}, {}, {"name": "other"})):
        world.declare(
            fraud(**changes)
            if "name" not in changes
            else fb.Model(
                "other",
                task="binary",
                data=PAYMENTS,
                label="fraud",
                features=[CARD],
                inputs=["amount"],
                owner="risk",
                framing=fb.Framing("hold a payment"),
            )
        )  # type: ignore[arg-type]
        if not number:
            world.commit("payments", "1.0.0", DATA["payments"])
            world.version("fraud", "1.0.0", DATA)
            world.release("fraud", "1.0.0")
    world.version("fraud", "1.1.0", DATA)
    yield world
    world.close()


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sizes of which graphs were made."""
    sizes: list[int] = []
    make = module.project

    def counted(state, library, covers):  # type: ignore[no-untyped-def]
        sizes.append(state.size)
        return make(state, library, covers)

    monkeypatch.setattr(module, "project", counted)
    return sizes


def test_whatever_was_asked_before_the_answers_are_those_of_a_fresh_graph(world: World, made: list[int]) -> None:
    graphs, library = Graphs(world.wired.ports.library), world.wired.ports.library
    state = world.wired.ledger.state()
    names = [str(node) for node in trace(state, library, "payments")[0].graph.nodes()]
    assert any("#" in name for name in names)
    for _ in range(2):
        for name in names:
            for way in ("up", "down"):
                kept = trace_in(graphs.project(state, (), None), state, library, name, way)[1]  # type: ignore[arg-type]
                assert kept == trace(state, library, name, way)[1]  # type: ignore[arg-type]
        kept_overview = overview_of(graphs.project(state, (), None), state, library, everything=True)
        assert kept_overview == overview(state, library)
    assert made == [state.size]


def test_what_happens_is_told_from_then_on(world: World, made: list[int]) -> None:
    graphs, library = world.wired.graphs, world.wired.ports.library
    for number in ("1.2.0", "1.3.0"):
        world.version("fraud", number, DATA)
        for _ in range(2):
            state = world.wired.ledger.state()
            found = trace_in(graphs.project(state, (), None), state, library, f"fraud@{number}", "up")[1]
            assert found == trace(state, library, f"fraud@{number}", "up")[1]
    assert len(made) == 2


def test_who_may_see_some_models_has_a_graph_of_these(world: World, made: list[int]) -> None:
    graphs, state = Graphs(world.wired.ports.library), world.wired.ledger.state()
    for _ in range(2):
        every, some = graphs.project(state, (), None), graphs.project(state, ("other",), "other".__eq__)
        assert {node.name for node in every.graph.nodes(Kind.MODEL)} > {node.name for node in some.graph.nodes(Kind.MODEL)} == {"other"}
    assert len(made) == 2
    graphs.project(state, ("none",), "none".__eq__)
    graphs.project(state, (), None)
    assert len(made) == 4, "few are kept, and the last that were asked for"


def test_what_cannot_be_read_just_now_is_looked_for_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def lost(_self: BlobLibrary, _body: str) -> fb.Model:
        raise Corrupt("the bytes were changed", fix="restore them")

    with monkeypatch.context() as patched:
        patched.setattr(BlobLibrary, "_model", lost)
        graphs, state = Graphs(BlobLibrary(world.wired.blobs)), world.wired.ledger.state()
        assert set(graphs.project(state, (), None).unread) == {"fraud", "other"}
    graphs._library = BlobLibrary(world.wired.blobs)
    assert graphs.project(state, (), None).unread == {}


def test_what_is_added_to_a_layer_is_not_in_what_lies_below() -> None:
    a, b, c = (Node(Kind.MODEL, name) for name in "abc")
    first, again = Edge(a, b, How.READ), Edge(b, c, How.READ)
    below = Project(graph=Graph([first]))
    layer = over(below)
    for edge in (first, again):
        layer.graph.add(edge)
    layer.graph.put(a)
    assert list(layer.graph.nodes()) == [a, b, c]
    assert (len(layer.graph), len(below.graph)) == (3, 2)
    assert list(layer.graph.edges()) == [first, again]
    assert (layer.graph.down(a).nodes, layer.graph.up(c).nodes) == ((a, b, c), (c, b, a))
    assert below.graph.down(a).nodes == (a, b)
    assert c in layer.graph
    assert c not in below.graph
