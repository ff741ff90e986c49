"""`flyball lineage`: what a thing was made of, and what was made of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from flyball.cli import common
from flyball.cli.common import HERE, BadArgument, Env, Json, Project, Quiet
from flyball.cli.output import Output, ago, counted, dated
from flyball.clock import rfc3339
from flyball.errors import BadInput, plain

if TYPE_CHECKING:
    from flyball.clock import Instant
    from flyball.loop.tracing import Direction
    from flyball.records.lineage import Lineage, LineageEdge, LineageNode, Overview
    from flyball.wiring import Wired

app = common.app()
MOST = 12
"""Things of one kind that are drawn below one other; the rest are counted. Under --json there are all of them."""
DEEP = 40
"""How far from X is drawn; what lies behind is named by where it begins."""


@app.command()
def lineage(
    thing: Annotated[
        str,
        typer.Argument(
            metavar="[X]",
            show_default=False,
            help="a source's path, data set, data set@version, data set.column, view, view.feature, run, model, model@version or rollout",
        ),
    ] = "",
    *,
    up: Annotated[bool, typer.Option("--up", help="only what it was made of")] = False,
    down: Annotated[bool, typer.Option("--down", help="only what was made of it: what a change of it affects")] = False,
    openlineage: Annotated[
        bool, typer.Option("--openlineage", help="OpenLineage events instead, one a line: of X and what is told of it, or of all")
    ] = False,
    file: Annotated[Path | None, typer.Option("--out", metavar="FILE", help="write the events there; a file is replaced whole")] = None,
    env: Env = "",
    project: Project = HERE,
    as_json: Json = False,
    quiet: Quiet = False,
) -> int:
    """What X was made of, and what was made of it. Without X: what there is, and what of it is unused or nobody's."""
    out = Output(as_json=as_json, quiet=quiet)
    if not thing and (up or down):
        raise BadArgument("--up and --down are of one thing", why="no X is named", fix="flyball lineage X --down")
    if openlineage and as_json:
        raise BadArgument("--openlineage is JSON already", why="an event a line is no single document", fix="leave --json out")
    if file is not None and not openlineage:
        raise BadArgument("--out is of --openlineage", fix="flyball lineage --openlineage --out FILE")
    direction: Direction = "both" if up == down else "up" if up else "down"
    with common.opened(project, env) as wired:
        if openlineage:
            _export(out, wired, thing, file, direction)
            return 0
        if not thing:
            _overview(out, wired)
            return 0
        from flyball.loop.tracing import trace

        found = trace(wired.ports.ledger.state(), wired.ports.library, thing, direction, common.seen(wired))[1]
        if as_json:
            out.document(_document(found))
        else:
            _draw(out, found, direction, wired.ports.clock.now())
    return 0


def _export(out: Output, wired: Wired, thing: str, file: Path | None, direction: Direction) -> None:
    """Every event on a line of its own, on stdout or in a file that is written beside and then put in its place."""
    from flyball.ledger.export import whole_file
    from flyball.loop.openlineage import lines

    if file is not None and (file.is_dir() or not file.parent.is_dir()):
        raise BadInput(f"{file} cannot be written", why="it is a folder" if file.is_dir() else "there is no such folder", fix="name a file")
    told = lines(wired.ports.ledger.state(), wired.ports.library, wired.blobs, wired.root, thing, direction, common.seen(wired))
    if file is None:
        for line in told:
            print(line)
        return
    count = whole_file(file, (f"{line}\n".encode() for line in told))
    out.line(f"wrote  {file}   {counted(count, 'event')}")


def _document(found: Lineage) -> Mapping[str, object]:
    nodes = [dated(node) | {"at": rfc3339(node.at) if node.at else None} for node in found.nodes]
    return dated(found) | {"nodes": nodes}


def _overview(out: Output, wired: Wired) -> None:
    from flyball.loop.tracing import overview

    found = overview(wired.ports.ledger.state(), wired.ports.library, common.seen(wired))
    if not found.counts:
        out.line("nothing is declared yet: flyball apply, or flyball up")
    else:
        out.line(", ".join(f"{count:,} {_plural(kind, count)}" for kind, count in found.counts.items()))
    for word, names in _amiss(found):
        out.line(f"{word:<22}{', '.join(names)}")
    out.document(found)


def _amiss(found: Overview) -> Iterator[tuple[str, Sequence[str]]]:
    told = (
        ("unused views", found.unused_views),
        ("unused columns", found.unused_columns),
        ("data without a model", found.without_model),
        ("nobody's", [name.replace(":", " ", 1).replace("dataset", "data set") for name in found.ownerless]),
        ("unread", [f"{name}: {why}" for name, why in found.unread.items()]),
    )
    yield from ((word, names) for word, names in told if names)


def _plural(kind: str, count: int) -> str:
    name = _KINDS.get(kind, kind).replace("-", " ")
    return name if count == 1 or name.endswith("s") else f"{name}s"


_KINDS = {"dataset": "data set", "dataset-version": "data set version"}


class _Branch(NamedTuple):
    """What is drawn below one node: the edges to the next ones, by node. `order`: nodes by their distance."""

    nodes: Mapping[str, LineageNode]
    order: Mapping[str, int]
    next: Mapping[str, Mapping[str, list[str]]]
    served: frozenset[str]
    now: Instant


def _draw(out: Output, found: Lineage, direction: Direction, now: Instant) -> None:
    nodes = {node.id: node for node in found.nodes}
    for start in found.start:
        out.line(_label(out, nodes[start], now))
    for way, edges in (("up", found.up), ("down", found.down)):
        if direction not in (way, "both"):
            continue
        head = {"up": "made of", "down": "from it were made"}[way]
        branch = _Branch(
            nodes, {name: place for place, name in enumerate(nodes)}, _next(edges, up=way == "up"), _leading(found, edges), now
        )
        starts = [start for start in found.start if start in branch.next]
        out.line(f"{head}{'' if starts else ': nothing'}")
        drawn = set(found.start)
        for start in starts:
            for line in _tree(out, branch, start, "", drawn):
                out.line(line)
    if direction != "up":
        _affected(out, found)
    for name, why in found.unread.items():
        out.line(f"{out.paint('unread', 'unsure')}  {name}: {why}")


def _next(edges: Sequence[LineageEdge], *, up: bool) -> dict[str, dict[str, list[str]]]:
    """Each node's neighbours in the direction of drawing, with what they are to it."""
    found: dict[str, dict[str, list[str]]] = {}
    for edge in edges:
        here, there = (edge.target, edge.source) if up else (edge.source, edge.target)
        found.setdefault(here, {}).setdefault(there, []).append(edge.how)
    return found


def _leading(found: Lineage, edges: Sequence[LineageEdge]) -> frozenset[str]:
    """The nodes from which a version in production can be reached: they are drawn first."""
    before: dict[str, list[str]] = {}
    for edge in edges:
        before.setdefault(edge.target, []).append(edge.source)
    queue = [node.id for node in found.nodes if node.production]
    seen = set(queue)
    while queue:
        for node in before.get(queue.pop(), ()):
            if node not in seen:
                seen.add(node)
                queue.append(node)
    return frozenset(seen)


def _tree(out: Output, branch: _Branch, node: str, indent: str, drawn: set[str]) -> Iterator[str]:
    """The lines below a node. What was drawn before is named once more, and not gone on from."""
    below = branch.next.get(node, {})
    if below and len(indent) >= 3 * DEEP:
        yield f"{indent}└─ and so on: flyball lineage {plain(node)}"
        return
    shown, left = _chosen(branch, list(below))
    for place, each in enumerate(shown):
        last = place == len(shown) - 1 and not left
        again = each in drawn and each in branch.next
        how = ", ".join(dict.fromkeys(below[each]))
        label = _label(out, branch.nodes[each], branch.now, brief=again)
        yield f"{indent}{'└─' if last else '├─'} {label}{_how(branch.nodes[each], how)}{'  (above)' if again else ''}"
        if each not in drawn:
            drawn.add(each)
            yield from _tree(out, branch, each, f"{indent}{'   ' if last else '│  '}", drawn)
    for place, (kind, count) in enumerate(left.items()):
        yield f"{indent}{'└─' if place == len(left) - 1 else '├─'} and {count:,} more {_plural(kind, count)}"


def _how(node: LineageNode, how: str) -> str:
    """What a neighbour is to a node, where its kind does not say so already."""
    return "" if how in _PLAIN or how == node.kind else f"  [{how}]"


_PLAIN = frozenset(
    {"read", "column", "version", "feature", "view", "transform", "slice", "declared", "trained on", "made", "released", "answered"}
)


def _chosen(branch: _Branch, names: list[str]) -> tuple[list[str], dict[str, int]]:
    """What is drawn of many, those first that lead to what is in production, then the newest; and how many of each kind are not."""
    places = _places()

    def rank(name: str) -> tuple[int, bool, int, int]:
        node = branch.nodes[name]
        return places[node.kind], name not in branch.served, -node.at, branch.order[name]

    names.sort(key=rank)
    shown: list[str] = []
    counts: dict[str, int] = {}
    for name in names:
        kind = branch.nodes[name].kind
        counts[kind] = counts.get(kind, 0) + 1
        if counts[kind] <= MOST:
            shown.append(name)
    return shown, {kind: count - MOST for kind, count in counts.items() if count > MOST}


@cache
def _places() -> Mapping[str, int]:
    """Kinds by their place in the order in which data goes through them."""
    from flyball.ledger.lineage import Kind

    return {kind.value: place for place, kind in enumerate(Kind)}


_DATED = ("dataset-version", "training-set", "run", "version", "rollout")


def _label(out: Output, node: LineageNode, now: Instant, *, brief: bool = False) -> str:
    kind = _KINDS.get(node.kind, node.kind).replace("-", " ")
    name = node.name.removesuffix("/predictions") if node.kind == "predictions" else node.name
    parts = [f"{kind} {plain(name)}"]
    if not brief:
        rows = "" if node.rows is None else f"{node.rows:,} rows"
        known = "known until " if node.kind == "training-set" else ""
        when = f"{known}{ago(node.at, now)} ago" if node.at and node.kind in _DATED else ""
        parts += [plain(text) for text in (rows, node.state, node.detail, when) if text]
        if node.production:
            share = f" {100 * node.traffic:.4g}%" if node.traffic is not None else ""
            parts.append(out.paint(f"in production{share}", "good"))
        if node.owner and node.kind in ("dataset", "view", "model"):
            parts.append(f"({plain(node.owner)})")
    return "  ".join(parts)


def _affected(out: Output, found: Lineage) -> None:
    """What a change would reach, in one line."""
    below = {edge.target for edge in found.down}
    kinds = [node.kind for node in found.nodes if node.id in below]
    counts = [(kind, kinds.count(kind)) for kind in ("feature", "view", "model", "version")]
    told = ", ".join(f"{count:,} {_plural(kind, count)}" for kind, count in counts if count)
    if not told:
        return
    served = f"; in production: {', '.join(found.production)}" if found.production else "; none in production"
    owners = f"; owners: {', '.join(found.owners)}" if found.owners else "; nobody is named as an owner"
    out.line(f"affected  {told}{served}{owners}")
