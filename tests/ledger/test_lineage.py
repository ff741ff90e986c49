"""What was made from what: everything is reached, once, whatever the graph looks like."""

from __future__ import annotations

from collections import deque
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from flyball.ledger.lineage import Edge, Graph, How, Kind, Node


def node(name: str, kind: Kind = Kind.COLUMN) -> Node:
    return Node(kind, name)


def edge(source: str, target: str, how: How = How.COMPUTED) -> Edge:
    return Edge(node(source), node(target), how)


def names(nodes: tuple[Node, ...]) -> list[str]:
    return [each.name for each in nodes]


CHAIN = Graph([edge("a", "b"), edge("b", "c"), edge("b", "d"), edge("c", "e"), edge("d", "e"), edge("x", "e")])


def test_what_was_made_of_a_node_comes_by_distance_and_once() -> None:
    assert names(CHAIN.down(node("a")).nodes) == ["a", "b", "c", "d", "e"]
    assert names(CHAIN.up(node("e")).nodes) == ["e", "c", "d", "x", "b", "a"]
    assert len(CHAIN.down(node("b")).edges) == 4


def test_two_starts_are_one_question() -> None:
    assert names(CHAIN.up(node("c"), node("x")).nodes) == ["c", "x", "b", "a"]


def test_a_node_is_its_kind_and_its_name() -> None:
    graph = Graph([Edge(node("a", Kind.DATASET), node("a", Kind.MODEL), How.INPUT)])
    assert len(graph) == 2
    assert list(graph.nodes(Kind.MODEL)) == [node("a", Kind.MODEL)]
    assert str(node("a", Kind.DATASET_VERSION)) == "dataset-version:a"


def test_the_shortest_way_is_told_along_the_edges_alone() -> None:
    graph = Graph([edge("a", "b"), edge("b", "c"), edge("a", "c", How.FILTERED), edge("c", "d")])
    assert [(each.source.name, each.target.name) for each in graph.path(node("a"), node("d"))] == [("a", "c"), ("c", "d")]
    assert graph.path(node("d"), node("a")) == ()
    assert graph.path(node("a"), node("a")) == ()
    assert graph.path(node("nobody"), node("a")) == ()


def test_an_unknown_node_is_alone() -> None:
    assert CHAIN.down(node("nobody")) == ((node("nobody"),), ())
    assert node("nobody") not in CHAIN


def test_what_is_only_checked_against_a_column_is_told_and_nothing_behind_it() -> None:
    graph = Graph([edge("merchants.id", "payments.merchant", How.CHECKED), edge("payments.merchant", "mean")])
    assert names(graph.down(node("merchants.id")).nodes) == ["merchants.id", "payments.merchant"]
    graph.add(edge("merchants.id", "payments.merchant", How.COMPUTED))
    assert names(graph.down(node("merchants.id")).nodes) == ["merchants.id", "payments.merchant", "mean"], "data goes along another edge"


def test_the_same_edge_twice_is_one_and_another_how_is_another() -> None:
    graph = Graph([edge("a", "b"), edge("a", "b"), edge("a", "b", How.FILTERED)])
    assert [each.how for each in graph.after(node("a"))] == [How.COMPUTED, How.FILTERED]


pairs = st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12)), max_size=60)


@given(pairs, st.integers(0, 12), st.integers(0, 12))
def test_down_and_up_are_each_others_mirror_and_agree_with_the_path_also_in_circles(
    given_pairs: list[tuple[int, int]], first: int, last: int
) -> None:
    graph = Graph(edge(str(source), str(target)) for source, target in given_pairs)
    start, end = node(str(first)), node(str(last))
    distance = _distances(given_pairs, first)
    assert {each.name for each in graph.down(start).nodes} == {str(each) for each in distance}
    assert (end in graph.down(start).nodes) == (start in graph.up(end).nodes)
    way = graph.path(start, end)
    assert len(way) == distance.get(last, 0)
    assert all(one.target == two.source for one, two in pairwise(way))
    assert not way or (way[0].source, way[-1].target) == (start, end)


def _distances(given_pairs: list[tuple[int, int]], start: int) -> dict[int, int]:
    found, queue = {start: 0}, deque([start])
    while queue:
        here = queue.popleft()
        for source, target in given_pairs:
            if source == here and target not in found:
                found[target] = found[here] + 1
                queue.append(target)
    return found
