"""Lineage of a project: source → data set → view → training set → run → version → release → predictions, with columns.

It is made from the state and from declarations: those in effect, and those that registered versions were made by. Nothing is read of rows,
nor of artifacts. What a caller's token is not for is not in it at all.
"""

from __future__ import annotations

import gc
import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from dataclasses import dataclass, field

import msgspec

from flyball.data.rules import named_source
from flyball.declare.codec import short, view_digest
from flyball.declare.data import Dataset
from flyball.declare.model import Model
from flyball.declare.owners import of_dataset, of_view
from flyball.declare.views import FeatureView
from flyball.errors import Corrupt, DeclarationError, NotFound, Unavailable
from flyball.ledger.lineage import Edge, Graph, How, Kind, Node
from flyball.loop import lookup, reads
from flyball.loop.ports import Library
from flyball.records.base import Record, State
from flyball.records.data import DATA_COMMITS, DATASET_VERSIONS, DATASETS
from flyball.records.declarations import DECLARATIONS, DeclarationRow
from flyball.records.rollouts import ROLLOUTS
from flyball.records.serving import ANSWERED, ROUTES, AnsweredRow
from flyball.records.training import NO_ATTEMPTS, RUNS, RunRow
from flyball.records.versions import MODELS, VERSIONS, ModelRow, VersionRow, VersionState

_OVER = frozenset({VersionState.REJECTED, VersionState.DELETED})


class Fact(Record, frozen=True):
    """What is told of a node beside its name: as in `records.lineage.LineageNode`."""

    owner: str = ""
    detail: str = ""
    state: str = ""
    production: bool = False
    traffic: float | None = None
    rows: int | None = None
    at: int = 0


@dataclass
class Project:
    """The graph of a project and what is known of its nodes.

    `models` are the declarations in it, and `views` theirs, by the name of their node; `rows` are those in effect, `runs` every run.
    `unread`: models whose declaration cannot be read just now, and why. `over` are runs of versions of which nothing comes any more.
    `contents`: data set versions by the name of the data set and their content. `known`: declarations of data sets that are in the graph, by
    the object that they are.
    """

    graph: Graph = field(default_factory=Graph)
    facts: MutableMapping[Node, Fact] = field(default_factory=dict)
    models: MutableMapping[str, Model] = field(default_factory=dict)
    rows: Mapping[str, DeclarationRow] = field(default_factory=dict)
    runs: tuple[RunRow, ...] = ()
    views: MutableMapping[str, FeatureView] = field(default_factory=dict)
    unread: dict[str, str] = field(default_factory=dict)
    over: frozenset[str] = frozenset()
    contents: dict[tuple[str, str], Node] = field(default_factory=dict)
    known: MutableMapping[int, Dataset] = field(default_factory=dict)

    def fact(self, node: Node) -> Fact:
        """What is known of a node."""
        if node.kind is Kind.FEATURE:
            view, _, name = node.name.partition(".")
            return Fact(detail=reads.detail(self.views[view].features[name]))
        return self.facts.get(node, _NOTHING)

    def model_node(self, model: str, version_digest: str) -> Node:
        """A model as it is declared; as it once was, with the digest of what was trained."""
        row = self.rows.get(model)
        now = row is not None and row.version_digest == version_digest
        return Node(Kind.MODEL, model if now else f"{model}#{short(version_digest)}")


_NOTHING = Fact()


def training_set(data: Mapping[str, str], version_digest: str, as_of: int) -> Node:
    """What a run read, by its content: data set contents, the declaration's version digest, and until when rows were known."""
    content = "\n".join((version_digest, str(as_of), *(f"{name}={data[name]}" for name in sorted(data))))
    return Node(Kind.TRAINING_SET, f"set_{hashlib.sha256(content.encode()).hexdigest()[:16]}")


def version_node(model: str, number: str) -> Node:
    """A registered version."""
    return Node(Kind.VERSION, f"{model}@{number}")


def predictions(model: str, number: str) -> Node:
    """What a version answered."""
    return Node(Kind.PREDICTIONS, f"{model}@{number}/predictions")


@contextmanager
def _kept() -> Iterator[None]:
    """Nothing of a graph is garbage while it is made: to look for some again and again would take a third of the time."""
    on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if on:
            gc.enable()


@_kept()
def project(state: State, library: Library, covers: Callable[[str], bool] | None = None) -> Project:
    """The graph of all models that `covers` covers, and of their data sets; None: of everything. Declarations of the past are not in it yet."""
    sees = covers or (lambda _model: True)
    rows = {name: row for name, row in state.scan(DECLARATIONS) if sees(name)}
    versions = [row for _, row in state.scan(VERSIONS) if sees(row.model)]
    runs = tuple(_told(library, row) for _, row in state.scan(RUNS) if sees(row.model))
    made = Project(rows=rows, runs=runs, over=frozenset(row.run for row in versions if row.state in _OVER))
    for name, row in rows.items():
        model, why = lookup.readable(library, row)
        if model is None:
            made.unread[name] = why
        else:
            made.models[name] = model
    _declared(made, made.models)
    _data(made, state, everything=covers is None)
    _trained(made)
    _versions(made, state, versions)
    _rollouts(made, state)
    return made


@_kept()
def add_past(made: Project, library: Library, runs: Iterable[RunRow]) -> None:
    """Add the declarations that these runs were made by and that are not in effect any more."""
    past: dict[str, Model] = {}
    for run in runs:
        name = made.model_node(run.model, run.version_digest).name
        if run.declaration and name not in made.models and name not in past and name != run.model:
            try:
                past[name] = library.model(run.declaration)
            except (NotFound, Corrupt, Unavailable, DeclarationError) as error:
                made.unread[name] = f"{error.what}; {error.fix}"
    made.models.update(past)
    _declared(made, past)


def _declared(made: Project, models: Mapping[str, Model]) -> None:
    called = _view_names(made)
    for name, model in models.items():
        for data in reads.datasets(model):
            # models share data sets: each is looked at once
            if id(data) not in made.known:
                made.known[id(data)] = data
                _put(made, reads.of_dataset(data))
                _data_facts(made.facts, data)
            _owned(made.facts, reads.dataset(data.name), of_dataset(model, data), data.about)
        for view in model.features:
            if called(view) not in made.views:
                made.views[called(view)] = view
                _put(made, reads.of_view(view, called(view)))
        _put(made, reads.of_model(model, name, called))
        _facts(made, name, model, called)


def _put(made: Project, edges: Iterable[Edge]) -> None:
    for edge in edges:
        made.graph.add(edge)


def _view_names(made: Project) -> reads.ViewName:
    """Plain names for the views in effect; with a digest where two of one name are not defined alike, and for those of the past."""
    # a declaration is not taken apart while its graph is made, so an object's id stays its own
    now: dict[str, dict[int, FeatureView]] = {}
    for name, model in made.models.items():
        for view in model.features if name in made.rows else ():
            now.setdefault(view.name, {})[id(view)] = view

    defined: dict[str, set[tuple[object, ...]]] = {}
    known: dict[int, str] = {}

    def plain(view: FeatureView) -> bool:
        alike = now.get(view.name, {})
        if alike.keys() == {id(view)}:
            return True
        if view.name not in defined:
            defined[view.name] = {reads.definition(each) for each in alike.values()}
        return defined[view.name] == {reads.definition(view)}

    def called(view: FeatureView) -> str:
        if id(view) not in known:
            known[id(view)] = view.name if plain(view) else f"{view.name}#{view_digest(view)[:8]}"
        return known[id(view)]

    return called


def _facts(made: Project, name: str, model: Model, called: reads.ViewName) -> None:
    facts = made.facts
    past = "" if name in made.rows else "no longer in effect"
    facts[Node(Kind.MODEL, name)] = Fact(owner=model.owner, detail=model.framing.purpose or model.task, state=past)
    for view in model.features:
        _owned(facts, Node(Kind.VIEW, called(view)), of_view(model, view), view.about)


def _data_facts(facts: MutableMapping[Node, Fact], data: Dataset) -> None:
    origin = reads.source(data)
    facts[Node(Kind.SOURCE, origin.name)] = Fact(detail=origin.detail)
    for name in data.names:
        column, node = data.columns.get(name), reads.column(data.name, name)
        if node not in facts:
            told = [column.type, *(word for word in ("personal", "protected") if getattr(column, word)), column.about] if column else []
            facts[node] = Fact(detail=", ".join(each for each in told if each))


def _owned(facts: MutableMapping[Node, Fact], node: Node, owner: str, about: str) -> None:
    """What several models use and is nobody's own is all of theirs."""
    before = facts.get(node, _NOTHING)
    owners = {part for part in (*before.owner.split(", "), owner) if part}
    facts[node] = Fact(owner=", ".join(sorted(owners)), detail=before.detail or about)


def _told(library: Library, run: RunRow) -> RunRow:
    """A run with what it read; a record from before runs told it says so in the blob of what was asked."""
    if run.version_digest or not run.spec:
        return run
    try:
        spec = library.spec(run.spec)
    except (NotFound, Corrupt, Unavailable, msgspec.MsgspecError):
        return run
    return msgspec.structs.replace(
        run, declaration=spec.declaration, version_digest=spec.version_digest, data=spec.datasets, as_of=spec.as_of
    )


def _data(made: Project, state: State, *, everything: bool) -> None:
    """Data sets that were read, and their versions: of those that a model in here speaks of or was made from, or of all."""
    heads = dict(state.scan(DATASETS))
    commits, graph = dict(state.scan(DATA_COMMITS)), made.graph
    declared: dict[str, set[str]] = {}
    for each in made.known.values():
        declared.setdefault(each.name, set()).add(named_source(each))
    told = {node.name for node in graph.nodes(Kind.DATASET)} | {name for run in made.runs for name in run.data}
    for name, row in heads.items():
        node = reads.dataset(name)
        if everything or name in told:
            graph.put(node)
            wrong = f"refused: {row.violations[0]}" if row.violations else ""
            made.facts[node] = msgspec.structs.replace(made.fact(node), state=wrong, rows=row.head.rows if row.head else None)
    for key, version in state.scan(DATASET_VERSIONS):
        if not everything and version.name not in told:
            continue
        data, node = reads.dataset(version.name), Node(Kind.DATASET_VERSION, f"{version.name}@{version.version}")
        row_of = heads.get(version.name)
        newest = row_of is not None and row_of.head is not None and row_of.head.content == version.content
        made.contents[version.name, version.content] = node
        made.facts[node] = Fact(
            owner=made.fact(data).owner,
            detail=version.content[:12],
            state="newest" if newest else "",
            rows=version.rows,
            at=commits[key].at if key in commits else version.as_of,
        )
        graph.add(Edge(data, node, How.VERSION_OF))
        if version.source and version.source not in declared.get(version.name, ()):
            # it was read from elsewhere than what is declared now
            graph.add(Edge(Node(Kind.SOURCE, reads.opened(version.source)), node, How.READ))


def _trained(made: Project) -> None:
    for run in made.runs:
        node, declared = Node(Kind.RUN, run.run), made.model_node(run.model, run.version_digest)
        # what judged a version again taught it nothing
        judged = run.trigger in NO_ATTEMPTS
        owner = made.fact(Node(Kind.MODEL, run.model)).owner
        made.graph.put(node)
        made.facts[node] = Fact(owner=owner, detail=f"{run.trigger}: {run.reason}".rstrip(": "), state=run.state.value, at=run.queued_at)
        if run.version_digest:
            read = training_set(run.data, run.version_digest, run.as_of)
            made.facts[read] = Fact(owner=owner, at=run.as_of)
            made.facts.setdefault(declared, Fact(owner=owner, state="no longer in effect"))
            for name, content in run.data.items():
                version = made.contents.get((name, content), Node(Kind.DATASET_VERSION, f"{name}@{content[:12]}"))
                made.graph.add(Edge(version, read, How.READ))
            made.graph.add(Edge(declared, read, How.DECLARED))
            made.graph.add(Edge(read, node, How.JUDGED if judged else How.TRAINED))
        if run.version:
            made.graph.add(Edge(node, version_node(run.model, run.version), How.JUDGED if judged else How.MADE))


def _versions(made: Project, state: State, versions: list[VersionRow]) -> None:
    traffic = {name: {arm.version: arm.weight / 10_000 for arm in row.route.arms if arm.weight} for name, row in state.scan(ROUTES)}
    models, answered = dict(state.scan(MODELS)), dict(state.scan(ANSWERED))
    for row in versions:
        node, model = version_node(row.model, row.version), models.get(row.model) or ModelRow(model=row.model)
        owner = made.fact(Node(Kind.MODEL, row.model)).owner
        # where nothing was ever routed, the champion is who would answer
        share = traffic.get(row.model, {model.champion: 1.0}).get(row.version)
        part = {model.former: "former champion", model.champion: "champion"}.get(row.version, "challenger" if share is not None else "")
        made.facts[node] = Fact(
            owner=owner,
            state=f"{row.state.value}, {part}" if part else row.state.value,
            production=share is not None,
            traffic=share,
            at=row.registered_at,
        )
        made.graph.add(Edge(Node(Kind.RUN, row.run), node, How.MADE))
        counted = answered.get(f"{row.model}/{row.version}", AnsweredRow() if share is not None else None)
        if counted is not None:
            told, more = predictions(row.model, row.version), f"{counted.shadow:,} more in shadow" if counted.shadow else ""
            made.facts[told] = Fact(
                owner=owner, detail=more, production=share is not None, traffic=share, rows=counted.answered, at=counted.last
            )
            made.graph.add(Edge(node, told, How.ANSWERED))


def _rollouts(made: Project, state: State) -> None:
    for name, rollout in state.scan(ROLLOUTS):
        version, node = version_node(rollout.model, rollout.version), Node(Kind.ROLLOUT, name)
        if version not in made.graph:
            continue
        detail = f"by {rollout.by}: {rollout.why}".rstrip(": ")
        made.facts[node] = Fact(owner=made.fact(version).owner, detail=detail, state=rollout.state.value, at=rollout.planned_at)
        made.graph.add(Edge(version, node, How.RELEASED))
        if (answers := predictions(rollout.model, rollout.version)) in made.graph:
            made.graph.add(Edge(node, answers, How.ANSWERED))
