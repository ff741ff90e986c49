"""Lineage as OpenLineage events: what other catalogues read. Made from a project's graph and the state; nothing is sent anywhere.

Each commit of a data set, each run and each rollout is a run with its START and its end; a view, and a data set or predictions without such a run,
is an event about the data set alone; a model as it is declared is an event about the job that trains it. Names follow the specification's naming.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.metadata import version as installed
from pathlib import Path
from typing import Any, Literal

import msgspec

from flyball.clock import Instant, rfc3339
from flyball.declare.data import Dataset
from flyball.declare.views import FeatureView, RowFeature
from flyball.errors import Corrupt, NotFound
from flyball.ledger.lineage import Edge, How, Kind, Node
from flyball.loop import reads
from flyball.loop.lineage import Project, add_past, predictions, project, version_node
from flyball.loop.ports import Library
from flyball.loop.tracing import Direction, trace
from flyball.records import openlineage as ol
from flyball.records.base import State
from flyball.records.data import DATA_COMMITS, DATASET_VERSIONS, ColumnStats, DatasetVersion
from flyball.records.declarations import DECLARATIONS
from flyball.records.rollouts import ROLLOUTS, RolloutRow, RolloutState
from flyball.records.training import NO_ATTEMPTS, RunRow, RunState
from flyball.store.blobs import Blobs

_DIRECT = {How.SAME: "IDENTITY", How.INPUT: "TRANSFORMATION", How.COMPUTED: "TRANSFORMATION", How.AGGREGATED: "AGGREGATION"}
_INDIRECT = {How.FILTERED: "FILTER", How.KEY: "JOIN", How.TIME: "WINDOW", How.GROUP: "GROUP_BY", How.GAP: "GROUP_BY"}
_ENDED: dict[RunState, Literal["COMPLETE", "FAIL", "ABORT"]] = {
    RunState.SUCCEEDED: "COMPLETE",
    RunState.FAILED: "FAIL",
    RunState.CANCELLED: "ABORT",
}
_RELEASED: dict[RolloutState, Literal["COMPLETE", "FAIL", "ABORT"]] = {
    RolloutState.COMPLETED: "COMPLETE",
    RolloutState.FAILED: "FAIL",
    RolloutState.ROLLED_BACK: "ABORT",
}
_TYPES = {"count": "int", "distinct": "int", "sum": "float", "mean": "float", "min": "float", "max": "float"}


def lines(
    state: State,
    library: Library,
    blobs: Blobs,
    root: Path,
    thing: str = "",
    direction: Direction = "both",
    covers: Callable[[str], bool] | None = None,
) -> Iterator[str]:
    """The events of what `thing` names and of what is told of it, or of everything, as JSON. Raises NotFound, BadInput.

    The namespace is `flyball://` and the name of the project's folder.
    """
    wanted: set[Node] | None = None
    if thing:
        made, found = trace(state, library, thing, direction, covers)
        ids = {node.id for node in found.nodes}
        wanted = {node for node in made.graph.nodes() if str(node) in ids}
    else:
        made = project(state, library, covers)
        add_past(made, library, (run for run in made.runs if run.run not in made.over))
    exporter = Exporter(made, state, blobs, root, f"flyball://{root.name or 'project'}")
    return (msgspec.json.encode(event).decode() for event in exporter.events(wanted))


@dataclass(frozen=True)
class Exporter:
    """Makes events of a project. `namespace` is that of its jobs and of what it makes itself; `root` is where its paths begin."""

    made: Project
    state: State
    blobs: Blobs
    root: Path
    namespace: str

    def events(self, wanted: Collection[Node] | None = None) -> Iterator[ol.Event]:
        """The events of these nodes, or of all: what is declared first, then what happened, in the order in which it did."""
        named = {f"{row.name}@{row.version}": (key, row) for key, row in self.state.scan(DATASET_VERSIONS)}
        graph = self.made.graph
        nodes = {node: None for node in graph.nodes() if wanted is None or node in wanted}
        happened: list[ol.Event] = []
        runs = {run.run: run for run in self.made.runs}
        for node in nodes:
            match node.kind:
                case Kind.DATASET if not any(edge.how is How.VERSION_OF and edge.target in nodes for edge in graph.after(node)):
                    yield from self._declared(node)
                case Kind.VIEW:
                    yield from self._view(node)
                case Kind.MODEL if node.name in self.made.rows and node.name in self.made.models:
                    yield self._model(node)
                case Kind.DATASET_VERSION if node.name in named:
                    happened += self._commit(*named[node.name])
                case Kind.RUN if node.name in runs:
                    happened += self._run(runs[node.name])
                case Kind.ROLLOUT if (row := self.state.get(ROLLOUTS, node.name)) is not None:
                    happened += self._rollout(row)
                case Kind.PREDICTIONS if not any(edge.source.kind is Kind.ROLLOUT and edge.source in nodes for edge in graph.before(node)):
                    yield self._predictions(node)
                case _:
                    pass
        yield from sorted(happened, key=lambda event: event.time)

    # what is told of a thing wherever it is named

    def _facet(self, kind: type[ol.FacetT], **values: Any) -> dict[str, ol.Facet]:
        return {kind.key: kind(producer=_producer(), schema_url=f"{ol.SPEC}/{kind.schema}", **values)}

    def _said(self, kind: type[ol.EventT], at: Instant, **values: Any) -> ol.EventT:
        return kind(time=rfc3339(at), producer=_producer(), schema_url=kind.schema, **values)

    def _owned(self, kind: type[ol.OwnershipFacet], node: Node) -> dict[str, ol.Facet]:
        owners = [part for part in self.made.fact(node).owner.split(", ") if part]
        return self._facet(kind, owners=tuple(ol.Owner(name=f"team:{owner}", type="OWNER") for owner in owners)) if owners else {}

    @cached_property
    def _datasets(self) -> dict[str, Dataset]:
        return {data.name: data for model in self.made.models.values() for data in reversed(reads.datasets(model))}

    def _about(self, name: str) -> dict[str, ol.Facet]:
        """What is declared of a data set: what it is, whose it is, and where it lies."""
        data = self._datasets.get(name)
        facets = self._facet(ol.DatasetTypeFacet, dataset_type="TABLE") | self._owned(ol.OwnershipFacet, reads.dataset(name))
        if data is not None and data.about:
            facets |= self._facet(ol.DocumentationFacet, description=data.about)
        if origin := self._origin(name):
            facets |= self._facet(ol.DataSourceFacet, name=origin, uri=_uri(*self._place(origin)))
        return facets

    def _origin(self, name: str) -> str:
        """The source that a data set is read from; empty where none is known."""
        return next((edge.source.name for edge in self.made.graph.before(reads.dataset(name)) if edge.how is How.READ), "")

    def _place(self, source: str) -> tuple[str, str]:
        """The namespace and name of a source, by the specification: `file` and a path, `s3://bucket` and a key."""
        if "://" in source:
            scheme, _, rest = source.partition("://")
            place, _, name = rest.partition("/")
            scheme = "postgres" if scheme.startswith("postgres") else scheme
            return f"{scheme}://{place}", name.lstrip("/") or place or scheme
        if source.partition(":")[0] in ("secret", "frame") or ("/" not in source and ":" in source):
            # a query at an address that only a secret tells, a frame, a function: it is somewhere in this project
            return self.namespace, f"sources/{source}"
        return "file", (self.root / source).as_posix()

    def _columns(self, types: Mapping[str, str | None], about: Mapping[str, str]) -> dict[str, ol.Facet]:
        told = tuple(
            ol.SchemaField(name=name, type=kind, description=about.get(name) or None, ordinal_position=place)
            for place, (name, kind) in enumerate(types.items(), 1)
        )
        return self._facet(ol.SchemaFacet, fields=told)

    def _named(self, node: Node) -> tuple[str, str]:
        """The namespace and name of what flyball itself holds or makes."""
        kinds = {Kind.DATASET: "data", Kind.DATASET_VERSION: "data", Kind.VIEW: "views", Kind.VERSION: "models", Kind.MODEL: "models"}
        folder = kinds.get(node.kind, "predictions")
        return self.namespace, f"{folder}/{node.name.partition('@')[0]}"

    def _job(self, verb: str, of: str, kind: str, facets: dict[str, ol.Facet]) -> ol.Job:
        told = self._facet(ol.JobTypeFacet, processing_type="BATCH", integration="FLYBALL", job_type=kind)
        return ol.Job(namespace=self.namespace, name=f"{verb}.{of}", facets=told | facets)

    def _id(self, *parts: str) -> str:
        """A run's UUID: the same thing has the same one in every export."""
        return str(uuid.uuid5(uuid.NAMESPACE_URL, "/".join((self.namespace, *parts))))

    def _begun(self, at: Instant, run: str, job: ol.Job, inputs: tuple[ol.InputDataset, ...]) -> ol.RunEvent:
        return self._said(ol.RunEvent, at, event_type="START", run=self._of_run(run), job=job, inputs=inputs)

    def _of_run(self, run: str, **more: ol.Facet) -> ol.Run:
        engine = self._facet(ol.EngineFacet, name="flyball", version=_release())
        return ol.Run(run_id=run, facets=engine | more)

    # what is declared

    def _declared(self, node: Node) -> Iterator[ol.Event]:
        data = self._datasets.get(node.name)
        if data is None:
            return
        types = {name: data.columns[name].type if name in data.columns else None for name in data.names}
        about = {name: column.about for name, column in data.columns.items()}
        namespace, name = self._named(node)
        facets = self._about(node.name) | self._columns(types, about) | self._copied(node.name, list(types))
        yield self._said(ol.DatasetEvent, self._applied(node), dataset=ol.Dataset(namespace=namespace, name=name, facets=facets))

    def _applied(self, node: Node) -> Instant:
        """When the newest of the declarations was applied that speak of a thing."""
        models = [reached.name for reached in self.made.graph.down(node).nodes if reached.kind is Kind.MODEL]
        rows = [self.made.rows[name].applied_at for name in models if name in self.made.rows]
        return max(rows, default=self._newest)

    @cached_property
    def _newest(self) -> Instant:
        """When the newest of all declarations was applied."""
        return max((row.applied_at for _, row in self.state.scan(DECLARATIONS)), default=0)

    def _copied(self, name: str, columns: Collection[str]) -> dict[str, ol.Facet]:
        """That columns are those of the source, as they are there."""
        origin = self._origin(name)
        if not origin:
            return {}
        namespace, called = self._place(origin)
        fields = {column: ol.ColumnInputs(input_fields=(_same(namespace, called, column),)) for column in columns}
        return self._facet(ol.ColumnLineageFacet, fields=fields)

    def _view(self, node: Node) -> Iterator[ol.Event]:
        found = self.made.views.get(node.name)
        if found is None:
            return
        namespace, name = self._named(node)
        facets = self._view_facets(node, found)
        yield self._said(ol.DatasetEvent, self._applied(node), dataset=ol.Dataset(namespace=namespace, name=name, facets=facets))

    def _view_facets(self, node: Node, view: FeatureView) -> dict[str, ol.Facet]:
        types = {name: _type(view, name) for name in view.features}
        facets = self._facet(ol.DatasetTypeFacet, dataset_type="VIEW") | self._owned(ol.OwnershipFacet, node)
        facets |= self._columns(types, {name: reads.detail(each) for name, each in view.features.items()})
        if view.about:
            facets |= self._facet(ol.DocumentationFacet, description=view.about)
        fields = {name: self._inputs(Node(Kind.FEATURE, f"{node.name}.{name}")) for name in view.features}
        whole = [edge for edge in self.made.graph.before(node) if edge.source.kind is Kind.COLUMN]
        return facets | self._facet(ol.ColumnLineageFacet, fields=fields, dataset=tuple(self._field(edge) for edge in whole))

    def _inputs(self, node: Node) -> ol.ColumnInputs:
        return ol.ColumnInputs(input_fields=tuple(self._field(edge) for edge in self.made.graph.before(node)))

    def _field(self, edge: Edge) -> ol.InputField:
        """One column or feature that another rests on, and how."""
        owner, _, field = edge.source.name.partition(".")
        kind = Kind.VIEW if edge.source.kind is Kind.FEATURE else Kind.DATASET
        namespace, name = self._named(Node(kind, owner))
        direct = edge.how in _DIRECT
        told = ol.Transformation(
            type="DIRECT" if direct else "INDIRECT", subtype=_DIRECT.get(edge.how) or _INDIRECT.get(edge.how), description=edge.how.value
        )
        return ol.InputField(namespace=namespace, name=name, field=field, transformations=(told,))

    def _model(self, node: Node) -> ol.JobEvent:
        model, row = self.made.models[node.name], self.made.rows[node.name]
        inputs = [ol.InputDataset(namespace=self.namespace, name=f"data/{data.name}") for data in reads.datasets(model)]
        inputs += [ol.InputDataset(namespace=self.namespace, name=self._named(each)[1]) for each in self._views(node)]
        made = ol.OutputDataset(namespace=self.namespace, name=f"models/{node.name}", facets=self._answers(node))
        return self._said(ol.JobEvent, row.applied_at, job=self._trains(node), inputs=tuple(inputs), outputs=(made,))

    def _views(self, node: Node) -> list[Node]:
        return [edge.source for edge in self.made.graph.before(node) if edge.how is How.VIEW]

    def _trains(self, node: Node) -> ol.Job:
        facets = self._owned(ol.JobOwnershipFacet, node)
        purpose = self.made.fact(node).detail
        if purpose:
            facets |= self._facet(ol.JobDocumentationFacet, description=purpose)
        return self._job("train", node.name.partition("#")[0], "TRAINING", facets)

    def _answers(self, node: Node) -> dict[str, ol.Facet]:
        """What a model gives, and every column that its answers rest on."""
        if node not in self._given_by:
            self._given_by[node] = self._gives(node)
        return self._given_by[node]

    @cached_property
    def _given_by(self) -> dict[Node, dict[str, ol.Facet]]:
        return {}

    def _gives(self, node: Node) -> dict[str, ol.Facet]:
        whole: list[ol.InputField] = []
        inputs: list[ol.InputField] = []
        for edge in self._resting(node):
            (inputs if edge.how in _DIRECT else whole).append(self._field(edge))
        fields = {"prediction": ol.ColumnInputs(input_fields=tuple(dict.fromkeys(inputs)))}
        facets = self._facet(ol.DatasetTypeFacet, dataset_type="MODEL") | self._owned(ol.OwnershipFacet, node)
        facets |= self._columns({"prediction": None}, {"prediction": self.made.fact(node).detail})
        return facets | self._facet(ol.ColumnLineageFacet, fields=fields, dataset=tuple(dict.fromkeys(whole)))

    def _resting(self, node: Node) -> Iterator[Edge]:
        """The edges from columns and features to a model, those of its views and transforms too."""
        for edge in self.made.graph.before(node):
            match edge.source.kind:
                case Kind.COLUMN if edge.how is not How.BATCH:
                    yield edge
                case Kind.VIEW:
                    features = (each for each in self.made.graph.before(edge.source) if each.how is How.PART)
                    yield from (Edge(each.source, node, How.INPUT) for each in features)
                case Kind.TRANSFORM:
                    yield from (Edge(each, node, How.COMPUTED) for each in self._through(edge.source))
                case Kind.SLICE:
                    yield from (Edge(each, node, How.SLICE) for each in self._through(edge.source))
                case _:
                    pass

    def _through(self, made: Node) -> Iterator[Node]:
        """The columns and features that a transform or a slice reads itself, or through transforms before it."""
        waiting, seen = [made], {made}
        while waiting:
            for edge in self.made.graph.before(waiting.pop()):
                if edge.source.kind is not Kind.TRANSFORM:
                    yield edge.source
                elif edge.source not in seen:
                    seen.add(edge.source)
                    waiting.append(edge.source)

    # what happened

    def _commit(self, key: str, row: DatasetVersion) -> Iterator[ol.Event]:
        committed = self.state.get(DATA_COMMITS, key)
        at = committed.at if committed is not None else row.as_of
        node = Node(Kind.DATASET_VERSION, f"{row.name}@{row.version}")
        run, declared = self._id("commit", row.name, row.content), self._datasets.get(row.name)
        origins = [edge.source.name for edge in (*self.made.graph.before(node), *self.made.graph.before(reads.dataset(row.name)))]
        inputs: tuple[ol.InputDataset, ...] = ()
        facets = self._owned(ol.JobOwnershipFacet, reads.dataset(row.name))
        sources = [each for each in origins if Node(Kind.SOURCE, each) in self.made.graph]
        if sources:
            namespace, called = self._place(sources[0])
            inputs = (ol.InputDataset(namespace=namespace, name=called),)
            if query := self.made.fact(Node(Kind.SOURCE, sources[0])).detail:
                facets |= self._facet(ol.SqlFacet, query=query)
        job = self._job("read", row.name, "DATASET", facets)
        yield self._begun(at, run, job, inputs)
        stats = self._statistics(row)
        about = {name: column.about for name, column in declared.columns.items()} if declared is not None else {}
        held = dict(row.schema) or {each.name: each.dtype for each in stats}
        order = [name for name in (declared.names if declared is not None else ()) if name in held]
        types = {name: held[name] for name in dict.fromkeys((*order, *held))}
        told = self._about(row.name) | self._columns(types, about) | self._copied(row.name, list(types))
        told |= self._facet(ol.VersionFacet, dataset_version=row.version)
        told |= self._facet(ol.QualityFacet, **_quality(row, stats))
        told |= self._facet(ol.LifecycleFacet, lifecycle_state_change=self._change(row))
        wrote = ol.OutputDataset(
            namespace=self.namespace,
            name=f"data/{row.name}",
            facets=told,
            output_facets=self._facet(ol.OutputStatisticsFacet, row_count=row.rows),
        )
        yield self._said(ol.RunEvent, at, event_type="COMPLETE", run=self._of_run(run), job=job, inputs=inputs, outputs=(wrote,))

    def _change(self, row: DatasetVersion) -> Literal["CREATE", "ALTER", "OVERWRITE"]:
        if not row.parents:
            return "CREATE"
        before = self.state.get(DATASET_VERSIONS, f"{row.name}/{row.parents[0]}")
        return "OVERWRITE" if before is None or before.schema_hash == row.schema_hash else "ALTER"

    def _statistics(self, row: DatasetVersion) -> tuple[ColumnStats, ...]:
        from flyball.data.commit import statistics

        try:
            return statistics(row, self.blobs)
        except (NotFound, Corrupt):
            # what a version holds is still told by its row
            return row.stats

    def _run(self, run: RunRow) -> Iterator[ol.Event]:
        node, job = self.made.model_node(run.model, run.version_digest), self._trains(Node(Kind.MODEL, run.model))
        inputs = tuple(self._read(run))
        if node in self.made.graph:
            inputs += tuple(ol.InputDataset(namespace=self.namespace, name=self._named(view)[1]) for view in self._views(node))
        named = self._id("run", run.run)
        yield self._begun(run.queued_at, named, job, inputs)
        if run.state not in _ENDED:
            return
        outputs: tuple[ol.OutputDataset, ...] = ()
        if run.version and run.trigger not in NO_ATTEMPTS:
            facets = self._answers(node) | self._facet(ol.VersionFacet, dataset_version=run.version)
            outputs = (ol.OutputDataset(namespace=self.namespace, name=f"models/{run.model}", facets=facets),)
        error = self._facet(ol.ErrorFacet, message=run.why, programming_language="PYTHON") if run.state is RunState.FAILED else {}
        yield self._said(
            ol.RunEvent,
            run.ended_at,
            event_type=_ENDED[run.state],
            run=self._of_run(named, **error),
            job=job,
            inputs=inputs,
            outputs=outputs,
        )

    def _read(self, run: RunRow) -> Iterator[ol.InputDataset]:
        for read in run.data.items():
            if read not in self._read_by:
                self._read_by[read] = self._input(*read)
            yield self._read_by[read]

    @cached_property
    def _read_by(self) -> dict[tuple[str, str], ol.InputDataset]:
        return {}

    def _input(self, name: str, content: str) -> ol.InputDataset:
        """A version of a data set, as what a run read."""
        row = self.state.get(DATASET_VERSIONS, f"{name}/{content}")
        if row is None:
            return ol.InputDataset(namespace=self.namespace, name=f"data/{name}")
        facets = self._facet(ol.VersionFacet, dataset_version=row.version)
        held = self._facet(ol.InputQualityFacet, **_quality(row, self._statistics(row)))
        return ol.InputDataset(namespace=self.namespace, name=f"data/{name}", facets=facets, input_facets=held)

    def _rollout(self, row: RolloutRow) -> Iterator[ol.Event]:
        version = version_node(row.model, row.version)
        job = self._job("release", row.model, "RELEASE", self._owned(ol.JobOwnershipFacet, version))
        facets = self._facet(ol.VersionFacet, dataset_version=row.version)
        inputs = (ol.InputDataset(namespace=self.namespace, name=f"models/{row.model}", facets=facets),)
        named = self._id("rollout", row.rollout)
        yield self._begun(row.planned_at, named, job, inputs)
        answers = predictions(row.model, row.version)
        outputs: tuple[ol.OutputDataset, ...] = ()
        if answers in self.made.graph:
            counted = self._facet(ol.OutputStatisticsFacet, row_count=self.made.fact(answers).rows)
            outputs = (
                ol.OutputDataset(
                    namespace=self.namespace, name=f"predictions/{row.model}", facets=self._given(answers), output_facets=counted
                ),
            )
        yield self._said(
            ol.RunEvent,
            row.entered_at,
            event_type=_RELEASED.get(row.state, "RUNNING"),
            run=self._of_run(named),
            job=job,
            inputs=inputs,
            outputs=outputs,
        )

    def _given(self, node: Node) -> dict[str, ol.Facet]:
        """What predictions are: a model's, of one version, one column of answers."""
        model, _, rest = node.name.partition("@")
        source = _same(self.namespace, f"models/{model}", "prediction")
        facets = self._facet(ol.DatasetTypeFacet, dataset_type="STREAM") | self._owned(ol.OwnershipFacet, node)
        facets |= self._columns({"prediction": None}, {})
        facets |= self._facet(ol.VersionFacet, dataset_version=rest.removesuffix("/predictions"))
        return facets | self._facet(ol.ColumnLineageFacet, fields={"prediction": ol.ColumnInputs(input_fields=(source,))})

    def _predictions(self, node: Node) -> ol.DatasetEvent:
        facets = self._given(node)
        at = self.made.fact(node).at or self.made.fact(Node(Kind.VERSION, node.name.removesuffix("/predictions"))).at
        dataset = ol.Dataset(namespace=self.namespace, name=f"predictions/{node.name.partition('@')[0]}", facets=facets)
        return self._said(ol.DatasetEvent, at, dataset=dataset)


@cache
def _release() -> str:
    return installed("flyball")


@cache
def _producer() -> str:
    """Who tells it: this package in this version, as a package URL."""
    return f"pkg:pypi/flyball@{_release()}"


def _same(namespace: str, name: str, field: str) -> ol.InputField:
    """A column that is given on as it is."""
    return ol.InputField(
        namespace=namespace, name=name, field=field, transformations=(ol.Transformation(type="DIRECT", subtype="IDENTITY"),)
    )


def _uri(namespace: str, name: str) -> str:
    return f"{namespace}:{name}" if "://" not in namespace else f"{namespace}/{name}"


def _type(view: FeatureView, name: str) -> str | None:
    """The type of a feature, as far as its declaration says it."""
    feature = view.features[name]
    columns = view.data.columns
    if isinstance(feature, RowFeature):
        return columns[feature.value].type if isinstance(feature.value, str) and feature.value in columns else None
    return _TYPES.get(feature.how) or (columns[feature.column].type if feature.column in columns else None)


def _quality(row: DatasetVersion, stats: tuple[ColumnStats, ...]) -> dict[str, Any]:
    metrics = {
        each.name: ol.ColumnMetrics(null_count=each.nulls, distinct_count=each.distinct, min=each.low, max=each.high) for each in stats
    }
    return {"column_metrics": metrics, "row_count": row.rows, "last_updated": rfc3339(row.as_of) if row.as_of else None}
