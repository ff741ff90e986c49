"""What was made from what, as a graph: nodes of a few kinds, edges from what was read to what was made of it. Pure.

It knows nothing of where nodes come from. Circles are no error: whatever is asked comes to an end, and is told once.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from enum import StrEnum
from typing import NamedTuple


class Kind(StrEnum):
    """What a node is. In the order in which data goes through them."""

    SOURCE = "source"
    DATASET = "dataset"
    DATASET_VERSION = "dataset-version"
    COLUMN = "column"
    FEATURE = "feature"
    VIEW = "view"
    TRANSFORM = "transform"
    SLICE = "slice"
    MODEL = "model"
    TRAINING_SET = "training-set"
    RUN = "run"
    VERSION = "version"
    ROLLOUT = "rollout"
    PREDICTIONS = "predictions"


class How(StrEnum):
    """What the target of an edge has of its source."""

    READ = "read"
    COLUMN_OF = "column"
    VERSION_OF = "version"
    SAME = "value"
    COMPUTED = "computed"
    AGGREGATED = "aggregated"
    FILTERED = "where"
    KEY = "key"
    TIME = "time"
    PART = "feature"
    INPUT = "input"
    VIEW = "view"
    TRANSFORM = "transform"
    LABEL = "label"
    WEIGHT = "weight"
    GROUP = "group"
    ITEM = "item"
    SLICE = "slice"
    GAP = "gap"
    REVIEW = "review"
    OUTCOME = "outcome"
    SUITE = "suite"
    BATCH = "batch"
    CHECKED = "checked against"
    DECLARED = "declared"
    TRAINED = "trained on"
    JUDGED = "judged on"
    MADE = "made"
    RELEASED = "released"
    ANSWERED = "answered"


class Node(NamedTuple):
    """One thing. Its name is unlike that of all others of its kind."""

    kind: Kind
    name: str

    def __str__(self) -> str:
        """Write `dataset:payments`."""
        return f"{self.kind.value}:{self.name}"


class Edge(NamedTuple):
    """`target` was made of `source`, among others."""

    source: Node
    target: Node
    how: How


class Part(NamedTuple):
    """What was reached: nodes by their distance from where it began (those first), and every edge between them that was gone along."""

    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]


STOPS = frozenset({How.CHECKED})
"""Along these no data goes: what they lead to is told, and what lies behind it is not reached through them."""


class Graph:
    """Nodes and edges, each told once however often it was added. `over`: another one, which stays as it is, and all of which is in this one."""

    __slots__ = ("_after", "_before", "_over")

    def __init__(self, edges: Iterable[Edge] = (), over: Graph | None = None) -> None:
        # in a large project edges are many and few of them are looked at: whether one is there twice is found out when it is
        self._after: dict[Node, list[Edge]] = {}
        self._before: dict[Node, list[Edge]] = {}
        self._over = over
        for edge in edges:
            self.add(edge)

    def put(self, node: Node) -> None:
        """Have a node, with edges or without."""
        if node not in self._after:
            self._after[node], self._before[node] = [], []

    def add(self, edge: Edge) -> None:
        """Have an edge, and its ends."""
        source, target, _ = edge
        if source not in self._after:
            self.put(source)
        if target not in self._after:
            self.put(target)
        self._after[source].append(edge)
        self._before[target].append(edge)

    def __contains__(self, node: object) -> bool:
        return node in self._after or (self._over is not None and node in self._over)

    def __len__(self) -> int:
        return sum(1 for _ in self.nodes())

    def nodes(self, kind: Kind | None = None) -> Iterator[Node]:
        """Every node, or those of a kind, in the order in which they came."""
        below = self._over
        if below is not None:
            yield from below.nodes(kind)
        yield from (node for node in self._after if (kind is None or node.kind is kind) and (below is None or node not in below))

    def edges(self) -> Iterator[Edge]:
        """Every edge."""
        return (edge for node in self.nodes() for edge in self.after(node))

    def after(self, node: Node) -> tuple[Edge, ...]:
        """The edges to what was made of a node; none of an unknown one."""
        below = () if self._over is None else self._over.after(node)
        return tuple(dict.fromkeys((*below, *self._after.get(node, ()))))

    def before(self, node: Node) -> tuple[Edge, ...]:
        """The edges from what a node was made of; none of an unknown one."""
        below = () if self._over is None else self._over.before(node)
        return tuple(dict.fromkeys((*below, *self._before.get(node, ()))))

    def down(self, *starts: Node) -> Part:
        """All that was made of these nodes, however indirectly."""
        return _reach(starts, self.after, lambda edge: edge.target)

    def up(self, *starts: Node) -> Part:
        """All that these nodes were made of, however indirectly."""
        return _reach(starts, self.before, lambda edge: edge.source)

    def path(self, start: Node, end: Node) -> tuple[Edge, ...]:
        """The shortest way along edges from one node to another; empty if there is none, or they are the same."""
        came: dict[Node, Edge] = {}
        queue = deque([start])
        while queue and end not in came:
            for edge in self.after(queue.popleft()):
                if edge.target != start and edge.target not in came:
                    came[edge.target] = edge
                    queue.append(edge.target)
        way: list[Edge] = []
        here = end
        while here != start and here in came:
            way.append(came[here])
            here = came[here].source
        return tuple(reversed(way))


def _reach(starts: Iterable[Node], edges: Callable[[Node], tuple[Edge, ...]], end: Callable[[Edge], Node]) -> Part:
    """Breadth first, so that nodes come by distance. What is reached along a stopping edge alone is not gone on from."""
    found = dict.fromkeys(starts)
    seen: dict[Edge, None] = {}
    queue, expanded = deque(found), set(found)
    while queue:
        for edge in edges(queue.popleft()):
            seen[edge] = None
            node = end(edge)
            found.setdefault(node)
            if edge.how not in STOPS and node not in expanded:
                expanded.add(node)
                queue.append(node)
    return Part(tuple(found), tuple(seen))
