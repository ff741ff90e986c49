"""What a name means in a project's lineage, and what is told of it: up, down, and as a whole. Reads, and decides nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Literal

import msgspec

from flyball.declare.units import near
from flyball.errors import BadInput, NotFound
from flyball.ledger.lineage import Edge, How, Kind, Node, Part
from flyball.loop import lookup, reads
from flyball.loop.lineage import Project, add_past, project, version_node
from flyball.loop.ports import Library
from flyball.records.base import State
from flyball.records.declarations import IDLE, IDLE_KEY
from flyball.records.lineage import Lineage, LineageEdge, LineageNode, Overview
from flyball.records.models import ModelRef

Direction = Literal["up", "down", "both"]

_OF_DATA = frozenset({Kind.SOURCE, Kind.DATASET, Kind.COLUMN, Kind.FEATURE, Kind.VIEW})
_NAMED_ALIKE = frozenset({Kind.VIEW, Kind.FEATURE, Kind.MODEL, Kind.TRANSFORM, Kind.SLICE})
"""Kinds of which a declaration that is no longer in effect may have one of the same name; its node has a digest in it."""


def trace(
    state: State, library: Library, text: str, direction: Direction = "both", covers: Callable[[str], bool] | None = None
) -> tuple[Project, Lineage]:
    """The lineage of what `text` names. Raises NotFound with a near name, BadInput for a name of several things."""
    return trace_in(project(state, library, covers), state, library, text, direction)


def trace_in(made: Project, state: State, library: Library, text: str, direction: Direction = "both") -> tuple[Project, Lineage]:
    """As `trace`, in a project that is there; what was declared once is added to it."""
    name = _numbered(state, made, text)
    try:
        starts = find(made, name)
    except NotFound:
        # it may have been declared once
        add_past(made, library, (run for run in made.runs if run.run not in made.over))
        starts = find(made, name)
    _complete(made, library, starts)
    return made, _lineage(made, text, find(made, name), direction)


def _complete(made: Project, library: Library, starts: Sequence[Node]) -> None:
    """Bring in what was declared once, as far as it has a part in this."""
    above = made.graph.up(*starts).nodes
    past = {node.name for node in above if node.kind is Kind.MODEL}
    add_past(made, library, (run for run in made.runs if made.model_node(run.model, run.version_digest).name in past))
    if any(node.kind in _OF_DATA for node in starts):
        data = {node.name for node in above if node.kind is Kind.DATASET}
        data |= {edge.target.name for node in starts for edge in made.graph.after(node) if edge.target.kind is Kind.DATASET}
        add_past(made, library, (run for run in made.runs if data & run.data.keys() and run.run not in made.over))


def _numbered(state: State, made: Project, text: str) -> str:
    """`model@champion` and `model@challenger` as the version that it is."""
    plain = text.removeprefix(f"{Kind.VERSION.value}:")
    model, _, part = plain.partition("@")
    if part in ("champion", "challenger") and model in made.rows:
        return f"{Kind.VERSION.value}:{model}@{lookup.version(state, ModelRef(model=model, version=part)).version}"
    return text


def find(made: Project, text: str) -> tuple[Node, ...]:
    """The nodes that a name means: one, but where what goes by it was or is not defined alike everywhere. Raises NotFound, BadInput."""
    prefix, found, rest = text.partition(":")
    kind = Kind(prefix) if found and prefix in set(Kind) else None
    name = rest if kind else text
    nodes = [node for node in made.graph.nodes(kind) if node.name == name or ("#" in node.name and _meant(name, node))]
    if not nodes and len(name) >= 6:
        ends = [node for node in made.graph.nodes(kind) if node.kind in (Kind.RUN, Kind.ROLLOUT) and node.name.endswith(name)]
        nodes = ends if len(ends) == 1 else []
    kinds = {node.kind: None for node in nodes}
    if len(kinds) > 1:
        things = " and ".join(f"a {_words(each)}" for each in kinds)
        fix = f"write {' or '.join(f'{each.value}:{name}' for each in kinds)}"
        raise BadInput(f'"{name[:80]}" is {things}', why="one name may be of several kinds of things", fix=fix)
    if not nodes:
        raise _nowhere(made, name, kind)
    return tuple(nodes)


def _meant(name: str, node: Node) -> bool:
    """Whether a node is what went by this name in a declaration that is no longer in effect."""
    head, _, rest = node.name.partition("#")
    return node.kind in _NAMED_ALIKE and name == head + rest[8:]


def _words(kind: Kind) -> str:
    return kind.value.replace("-", " ").replace("dataset", "data set")


def _nowhere(made: Project, name: str, kind: Kind | None) -> NotFound:
    if kind is not None:
        wanted = {kind}
    elif "@" in name:
        wanted = {Kind.VERSION, Kind.DATASET_VERSION}
    elif "." in name and "/" not in name:
        wanted = {Kind.COLUMN, Kind.FEATURE, Kind.TRANSFORM, Kind.SLICE}
    else:
        wanted = {Kind.SOURCE, Kind.DATASET, Kind.VIEW, Kind.MODEL}
    names = [node.name for node in made.graph.nodes() if node.kind in wanted]
    head = name.partition(".")[0]
    own = [each for each in names if each.startswith(f"{head}.")] if "." in name else []
    why, fix = "it is neither declared nor recorded", near(name, own or names)
    if not len(made.graph):
        why, fix = "nothing is declared", "flyball apply, then flyball train"
    elif not names:
        kinds = " and ".join(sorted(f"no {_words(each)}" for each in wanted))
        why, fix = f"there is {kinds} yet", "flyball lineage lists what there is"
    if made.unread:
        # it may be among what those declare
        model, reason = next(iter(made.unread.items()))
        why = f"the declarations of {len(made.unread)} cannot be read, first {model}: {reason}"
    return NotFound(f'nothing is called "{name[:80]}"', why=why, fix=fix)


def _lineage(made: Project, text: str, starts: tuple[Node, ...], direction: Direction) -> Lineage:
    current = tuple(node for node in starts if "#" not in node.name) or starts
    nothing = Part((), ())
    up = made.graph.up(*current) if direction != "down" else nothing
    down = made.graph.down(*starts) if direction != "up" else nothing
    nodes = dict.fromkeys((*starts, *up.nodes, *down.nodes))
    # whose something is that lies above is told with it, and need not hear of a change here
    below = [made.fact(node) for node in down.nodes if node not in starts]
    owners = {part for fact in below for part in fact.owner.split(", ") if part}
    return Lineage(
        ref=text,
        start=tuple(map(str, starts)),
        nodes=tuple(told(made, node) for node in nodes),
        up=tuple(map(_edge, up.edges)),
        down=tuple(map(_edge, down.edges)),
        production=tuple(node.name for node in down.nodes if node.kind is Kind.VERSION and made.fact(node).production),
        owners=tuple(sorted(owners)),
        unread=made.unread,
    )


def told(made: Project, node: Node) -> LineageNode:
    """A node with all that is known of it."""
    return LineageNode(id=str(node), kind=node.kind.value, name=node.name, **msgspec.structs.asdict(made.fact(node)))


def _edge(edge: Edge) -> LineageEdge:
    return LineageEdge(source=str(edge.source), target=str(edge.target), how=edge.how.value)


def overview(state: State, library: Library, covers: Callable[[str], bool] | None = None) -> Overview:
    """What there is, and what of it is idle or nobody's."""
    return overview_of(project(state, library, covers), state, library, everything=covers is None)


def overview_of(made: Project, state: State, library: Library, *, everything: bool) -> Overview:
    """As `overview`, of a project that is there. `everything`: it is of all models."""
    found = Counter(node.kind for node in made.graph.nodes())
    counts = {kind.value: found[kind] for kind in Kind}
    columns = list(made.graph.nodes(Kind.COLUMN))
    owned = [node for node in made.graph.nodes() if node.kind in (Kind.MODEL, Kind.DATASET, Kind.VIEW) and "#" not in node.name]
    # what is declared now, and a version that answers reads by a declaration of before, is in use
    add_past(made, library, (run for run in made.runs if run.version and made.fact(version_node(run.model, run.version)).production))
    used = _used(made)
    read = {Node(node.kind, node.name.partition("#")[0]) for node in made.graph.nodes() if node.kind in (Kind.VIEW, Kind.DATASET)}
    # what no model uses is of no model: it is told to those who see all of them
    row = state.get(IDLE, IDLE_KEY) if everything else None
    idle = [Node(Kind(kind), name) for kind, _, name in (each.partition(":") for each in (row.names if row else ()))]
    idle = [node for node in idle if node not in read]
    return Overview(
        counts={name: count for name, count in counts.items() if count},
        unused_views=tuple(node.name for node in idle if node.kind is Kind.VIEW),
        unused_columns=tuple(sorted(node.name for node in columns if node not in used)),
        without_model=tuple(sorted(node.name for node in (*made.graph.nodes(Kind.DATASET), *idle) if _without_model(made, node))),
        ownerless=tuple(str(node) for node in owned if not made.fact(node).owner and node.name not in made.unread),
        unread=made.unread,
    )


def _used(made: Project) -> set[Node]:
    """Columns that something is made of, that a contract looks at, or that say who or when a row is."""
    roles = {reads.column(data.name, name) for data in made.known.values() for name in (*data.roles, *data.unique)}
    return roles | {edge.source for edge in made.graph.edges() if edge.source.kind is Kind.COLUMN}


def _without_model(made: Project, node: Node) -> bool:
    """Whether a node is a data set that leads to no model."""
    if node.kind is not Kind.DATASET:
        return False
    below = [edge.target for edge in made.graph.after(node) if edge.how is not How.VERSION_OF]
    return all(reached.kind is not Kind.MODEL for reached in made.graph.down(*below).nodes)
