"""What of a declaration reads what: from its columns through views, transforms and slices to the model, as edges. Pure.

A column is named once, however many models declare its data set. Names that a declaration makes (features, transforms) go before columns of
the same name, as they do where a frame is made.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from flyball.declare.checks import Check
from flyball.declare.data import Dataset, Secret, Sql
from flyball.declare.functions import Frame, roots
from flyball.declare.live import sent, shown
from flyball.declare.model import Label, Model
from flyball.declare.reads import looked_at, made_from
from flyball.declare.rules_checks import sentences
from flyball.declare.rules_columns import SCHEMES, feature_names, inputs
from flyball.declare.views import Feature, FeatureView, RowFeature
from flyball.ledger.lineage import Edge, How, Kind, Node

ViewName = Callable[[FeatureView], str]
"""What a view is called in the graph: views of one name that are not defined alike are told apart."""


class Source(NamedTuple):
    """Where a data set's rows come from. `name` is short and holds no secret, `detail` is the query of a database."""

    name: str
    detail: str = ""


def source(data: Dataset) -> Source:
    """What a data set's source is called: a path or URL as it is declared, without a user's password."""
    given = data.source
    if isinstance(given, str):
        return Source(opened(given))
    if isinstance(given, Sql):
        place = f"secret:{given.url.name}" if isinstance(given.url, Secret) else opened(given.url)
        return Source(f"{place}#{hashlib.sha256(given.text.encode()).hexdigest()[:8]}", given.text)
    if isinstance(given, Frame):
        return Source(f"frame:{given.digest[:12]}")
    return Source(str(given) if str(given).count(":") == 1 else f"{type(given).__name__.lower()}:{data.name}")


_LET_IN = re.compile(r"^([^:/]*:[^@]*@)?")
"""A user of a database and a password, which may hold slashes."""
_SAID = re.compile(r"([?&][^=&]+=)[^&]*")


def opened(url: str) -> str:
    """A URL without who is let in by it, nor what else is said to who answers there: of that, the names alone."""
    scheme, found, rest = url.partition("://")
    if not found:
        return url
    if scheme not in SCHEMES:
        rest = _LET_IN.sub("", rest)
    authority, slash, path = rest.partition("/")
    return _SAID.sub(r"\1…", f"{scheme}://{authority.rpartition('@')[2]}{slash}{path}")


def dataset(name: str) -> Node:
    """A data set."""
    return Node(Kind.DATASET, name)


def column(data: str, name: str) -> Node:
    """A column of a data set."""
    return Node(Kind.COLUMN, f"{data}.{name}")


def datasets(model: Model) -> tuple[Dataset, ...]:
    """Every data set that a declaration speaks of, its own first; each name once."""
    told = {**made_from(model), **looked_at(model)}
    for data in (*(suite.data for suite in model.suites), *(batch.source for batch in model.batch)):
        if isinstance(data, Dataset):
            told.setdefault(data.name, data)
    return tuple(told.values())


class Readers(NamedTuple):
    """From where a data set is read, and which views and models read it."""

    sources: tuple[str, ...]
    views: tuple[str, ...]
    models: tuple[str, ...]


def readers(models: Iterable[Model], name: str) -> Readers:
    """Who of these reads the data set of a name."""
    reading = [(model, data) for model in models for data in datasets(model) if data.name == name]
    return Readers(
        sources=tuple(sorted({source(data).name for _, data in reading})),
        views=tuple(sorted({view.name for model, _ in reading for view in model.features if view.data.name == name})),
        models=tuple(sorted(model.name for model, _ in reading)),
    )


def edges(model: Model, name: str, view_name: ViewName) -> Iterator[Edge]:
    """Every edge of a declaration. `name`: what the model is called in the graph."""
    for data in datasets(model):
        yield from of_dataset(data)
    for view in model.features:
        yield from of_view(view, view_name(view))
    yield from of_model(model, name, view_name)


def of_model(model: Model, name: str, view_name: ViewName) -> Iterator[Edge]:
    """The edges of a declaration without those of its data sets and views themselves."""
    yield from _made(model, name, view_name)
    yield from _roles(model, Node(Kind.MODEL, name), view_name)


def of_dataset(data: Dataset) -> Iterator[Edge]:
    """The edges of a data set: from its source, to its columns, and from what their values are checked against."""
    yield Edge(Node(Kind.SOURCE, source(data).name), dataset(data.name), How.READ)
    for name in data.names:
        yield Edge(dataset(data.name), column(data.name, name), How.COLUMN_OF)
    for name, key in data.references.items():
        yield Edge(column(key.data.name, key.column), column(data.name, name), How.CHECKED)


def of_view(view: FeatureView, name: str) -> Iterator[Edge]:
    """The edges of a view: from columns to its features, and from these, its entity and times to itself. `name`: what it is called in the graph."""
    node, data = Node(Kind.VIEW, name), view.data
    yield from (Edge(column(data.name, key), node, How.KEY) for key in view.entity)
    for role in _times(data):
        yield Edge(role, node, How.TIME)
    for called, feature in view.features.items():
        own = Node(Kind.FEATURE, f"{name}.{called}")
        for root, how in feature_reads(feature):
            yield Edge(column(data.name, root), own, how)
        if not isinstance(feature, RowFeature) and feature.how == "count" and data.time:
            # a count is of rows, whatever is in them
            yield Edge(column(data.name, data.time), own, How.AGGREGATED)
        yield Edge(own, node, How.PART)


def _times(data: Dataset) -> Iterator[Node]:
    return (column(data.name, name) for name in (data.time, data.arrived) if name)


def feature_reads(feature: Feature) -> Iterator[tuple[str, How]]:
    """The columns that a feature reads, and what each is to it."""
    if isinstance(feature, RowFeature):
        yield from (
            [(feature.value, How.SAME)] if isinstance(feature.value, str) else ((root, How.COMPUTED) for root in roots(feature.value))
        )
        return
    if feature.column:
        yield feature.column, How.AGGREGATED
    if feature.where is not None:
        for root in (feature.where,) if isinstance(feature.where, str) else roots(feature.where):
            yield root, How.FILTERED


class _Names:
    """What a name means inside a model: a transform, a view's feature, or a column of its own data set."""

    def __init__(self, model: Model, name: str, view_name: ViewName) -> None:
        self._data = model.data
        self._made = {called: Node(Kind.FEATURE, f"{view_name(view)}.{called}") for view in model.features for called in view.features}
        self._model = name

    def transform(self, called: str) -> Node:
        """A new transform; from here on its name means it."""
        self._made[called] = node = Node(Kind.TRANSFORM, f"{self._model}.{called}")
        return node

    def of(self, called: Iterable[str]) -> Iterator[Node]:
        """What these names mean; one that means nothing is left out."""
        for name in called:
            if name in self._made:
                yield self._made[name]
            elif name in self._data.names:
                yield column(self._data.name, name)


def _made(model: Model, name: str, view_name: ViewName) -> Iterator[Edge]:
    """Transforms and slices."""
    node, names = Node(Kind.MODEL, name), _Names(model, name, view_name)
    if isinstance(model.transforms, Mapping):
        for called, expression in model.transforms.items():
            # a transform reads what was there before it, a namesake of its own too
            read = list(names.of(roots(expression)))
            made = names.transform(called)
            yield from (Edge(each, made, How.COMPUTED) for each in read)
            yield Edge(made, node, How.TRANSFORM)
    else:
        # what a function reads of what it is given is its own affair: it may be all of it
        made = Node(Kind.TRANSFORM, f"{name}.{function_name(model.transforms)}")
        yield from (Edge(each, made, How.COMPUTED) for each in names.of((*shown(model), *feature_names(model))))
        yield Edge(made, node, How.TRANSFORM)
    for part in model.slices:
        if part.expression is None:
            yield from (Edge(each, node, How.SLICE) for each in names.of((part.name,)))
            continue
        own = Node(Kind.SLICE, f"{name}.{part.name}")
        yield from (Edge(each, own, How.COMPUTED) for each in names.of(roots(part.expression)))
        yield Edge(own, node, How.SLICE)
    if model.review is not None:
        yield from (Edge(each, node, How.REVIEW) for each in names.of(roots(model.review)))


def function_name(code: Any) -> str:
    """What a function is called, or its reference."""
    return str(getattr(code, "__name__", None) or getattr(code, "name", code))


def _roles(model: Model, node: Node, view_name: ViewName) -> Iterator[Edge]:
    """What the model itself reads, and as what."""
    own = model.data
    yield from (Edge(column(own.name, name), node, How.INPUT) for name in inputs(model))
    yield from (Edge(role, node, How.TIME) for role in _times(own))
    for view in model.features:
        yield Edge(Node(Kind.VIEW, view_name(view)), node, How.VIEW)
        yield from (Edge(column(own.name, key), node, How.KEY) for key in view.key)
    if isinstance(model.label, Label):
        label = model.label
        yield Edge(column(label.source.name, label.column), node, How.LABEL)
        yield from (Edge(column(data.name, label.on), node, How.KEY) for data in (own, label.source))
        yield from (Edge(role, node, How.TIME) for role in _times(label.source))
    else:
        yield Edge(column(own.name, model.label), node, How.LABEL)
    roles = ((model.weight, How.WEIGHT), (model.group, How.GROUP), (model.item, How.ITEM), (model.rollout.sticky, How.KEY))
    yield from (Edge(column(own.name, name), node, how) for name, how in roles if name)
    gaps = dict.fromkeys(told.check.metric.of_gap for told in sentences(model) if isinstance(told.check, Check))
    yield from (Edge(column(own.name, name), node, How.GAP) for name in gaps if name in own.columns)
    for outcome in model.outcomes:
        yield Edge(column(outcome.source.name, outcome.column), node, How.OUTCOME)
        yield from (Edge(column(data.name, outcome.on), node, How.KEY) for data in (own, outcome.source))
    asked = {*sent(model), model.label_column, *(name for name, _ in roles)}
    yield from (edge for suite in model.suites for edge in _rows(suite.data, asked, node, How.SUITE))
    for batch in model.batch:
        if isinstance(batch.source, Dataset):
            yield from _rows(batch.source, {*sent(model), batch.key}, node, How.BATCH)


def _rows(data: Dataset, asked: Container[str], node: Node, how: How) -> Iterator[Edge]:
    """The edges to a model from a data set whose rows it answers: of the columns that it asks for, and of the whole."""
    yield Edge(dataset(data.name), node, how)
    yield from (Edge(column(data.name, name), node, how) for name in data.names if name in asked)


def definition(view: FeatureView) -> tuple[object, ...]:
    """All that makes a view what it is: equal for views that are defined alike."""
    data = (view.data.name, view.data.time, view.data.arrived)
    return (view.name, *data, view.entity, view.ttl, tuple((name, *_defined(feature)) for name, feature in view.features.items()))


def _defined(feature: Feature) -> tuple[object, ...]:
    if isinstance(feature, RowFeature):
        return ("row", _text(feature.value))
    return (feature.how, feature.column, feature.window.span, feature.window.ago, _text(feature.where))


def _text(value: Any) -> object:
    return getattr(value, "text", None) or (value if isinstance(value, str | None) else str(value))


def detail(feature: Feature) -> str:
    """A feature in a few words: `sum of amount over 1h`."""
    if isinstance(feature, RowFeature):
        return "the newest value" if isinstance(feature.value, str) else f"of {', '.join(roots(feature.value))}"
    window = f"over {feature.window.span}" + (f", {feature.window.ago} ago" if feature.window.ago else "")
    read = f"{feature.how} of {feature.column}" if feature.column else "count of rows"
    where = feature.where if isinstance(feature.where, str) else ", ".join(roots(feature.where)) if feature.where is not None else ""
    return f"{read} {window}" + (f", where {where}" if where else "")
