"""Rules on columns: what exists, what may be seen at the moment of prediction, and what never reaches `fit`."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import NamedTuple

from flyball.declare.checks import AnyOf, Check
from flyball.declare.columns import Column
from flyball.declare.data import Dataset, is_pattern
from flyball.declare.elsewhere import answer_columns
from flyball.declare.functions import Expr, obstacle, roots
from flyball.declare.model import Label, Model
from flyball.declare.units import near
from flyball.declare.views import NUMERIC, FeatureView, RowFeature, WindowFeature

SCHEMES = ("s3", "gs", "az", "kafka", "push", "http", "https", "file")


_JUDGED = frozenset({"y", "value", "score"} | {f"{of}_{what}" for of in ("base", "champion") for what in ("value", "score")})
"""Columns of a hold-out beside the slices (evaluation/gates.py)."""


class Found(NamedTuple):
    """One thing that is wrong, before it has a file. `at` is a JSON pointer into the declaration, where one thing in it is meant."""

    what: str
    why: str = ""
    fix: str = ""
    at: str = ""


def inputs(model: Model) -> tuple[str, ...]:
    """The model's inputs: as declared, else the columns known at T − horizon without a role, in declared order."""
    if model.inputs is not None:
        return model.inputs
    roles = model.data.roles | {
        model.label_column,
        model.weight,
        model.group,
        model.item,
        *(key for view in model.features for key in view.key),
        *answer_columns(model),
    }
    return tuple(
        name
        for name, column in model.data.columns.items()
        if name not in roles and not column.personal and not column.protected and known_in_time(model, column)
    )


def known_in_time(model: Model, column: Column) -> bool:
    """Whether a row's value in a column is known at the moment of prediction, T − horizon."""
    return column.known_after <= -model.framing.horizon


def feature_names(model: Model) -> tuple[str, ...]:
    """The names of all views' values, in order."""
    return tuple(name for view in model.features for name in view.features)


def transform_names(model: Model) -> tuple[str, ...]:
    """The names of transforms that are expressions."""
    return tuple(model.transforms) if isinstance(model.transforms, Mapping) else ()


def column_rules(model: Model) -> Iterator[Found]:
    """Every rule on the model's columns."""
    yield from _dataset(model.data, timeless=model.train is not None and model.train.by_share)
    yield from _label(model)
    yield from _inputs(model)
    for view in model.features:
        yield from _view(model, view)
    yield from _clashes(model)
    yield from _reaching_fit(model)
    yield from _transforms(model)
    yield from _slices(model)
    for argument, name in (
        ("weight", model.weight),
        ("group", model.group),
        ("item", model.item),
        ("rollout.sticky", model.rollout.sticky),
    ):
        if name and name not in model.data.names:
            yield _unknown(f'{argument} "{name}"', name, model.data)
    if model.task == "ranking":
        yield from _ranking(model)
    if model.review is not None:
        yield from _expression(model, "review", model.review, {*model.data.columns, *feature_names(model), "score"}, seen_by_fit=False)


ITEM = "item"
"""What a list's items are called by those who send them (serving/lists.py)."""


def ranked(model: Model) -> tuple[str, ...]:
    """The column that names what a ranking orders; none for other tasks."""
    return (model.item,) if model.task == "ranking" and model.item else ()


def _ranking(model: Model) -> Iterator[Found]:
    """A ranking's rows are pairs of a list and an item, its label is how relevant the item is."""
    if not model.group:
        yield Found(
            "a ranking model without group",
            "rows are ranked within a group: those of one group and time are a list",
            "name its column: group=",
        )
    if not model.item:
        yield Found("a ranking model without item", "a list is made of items, and answers and labels name them", "name its column: item=")
    item = model.data.columns.get(model.item)
    if item is not None and item.type not in ("int", "str"):
        yield Found(
            f'item "{model.item}" of type {item.type} cannot name an item',
            "an item is told by text or a whole number",
            "name another column",
        )
    elif model.item and item is None and model.item in model.data.names:
        yield Found(
            f'item "{model.item}" is not among columns=',
            "callers send it, and its type is not declared",
            f'columns={{"{model.item}": str, …}}',
        )
    if model.item and model.item in (model.group, model.label_column, model.data.time, model.data.subject):
        yield Found(
            f'item "{model.item}" is something else already', "an item is no group, label, time or subject", "name the column of the item"
        )
    if ITEM in inputs(model) and model.item != ITEM:
        yield Found(
            f'input "{ITEM}" is no item\'s name',
            f'callers send an item\'s name as "{ITEM}"',
            f'rename the column, or name it: item="{ITEM}"',
        )
    label = (model.label.source if isinstance(model.label, Label) else model.data).columns.get(model.label_column)
    if label is not None and label.type not in ("int", "float"):
        yield Found(
            f'label "{model.label_column}" of type {label.type} cannot be the label of a ranking model',
            "relevance is a number, 0 for none",
            "declare it int or float",
        )
    elif label is not None and label.between is not None and label.between[0] < 0:
        yield Found(f'label "{model.label_column}" may be below 0', "relevance is a number, 0 for none", "between=(0, …)")


def _unknown(subject: str, name: str, data: Dataset) -> Found:
    listed = list(data.names)
    return Found(
        f"{subject} is not a column", f'data set "{data.name}" does not declare it', near(name, listed).replace("? ", "? columns: ", 1)
    )


def _dataset(data: Dataset, *, timeless: bool = False) -> Iterator[Found]:
    """`timeless`: rows of no time will do."""
    if not data.time and not timeless:
        yield Found(
            f'data set "{data.name}" has no time column',
            "hold-outs, windows and label delays are made of time",
            'name it: time="ts"; rows that have none are split by share: fb.Train(…, split="stratified")',
        )
    if isinstance(data.source, str) and "://" in data.source and data.source.partition("://")[0] not in SCHEMES:
        scheme = data.source.partition("://")[0]
        yield Found(f'source "{data.source}" has an unknown scheme', "", near(scheme, SCHEMES))
    if isinstance(data.source, str) and data.source.startswith("push://") and data.source not in ("push://", f"push://{data.name}"):
        yield Found(
            f'source "{data.source}" names another data set than "{data.name}"',
            "rows are pushed to a data set by its name",
            'source="push://"',
        )
    for name, column in data.columns.items():
        if column.between is not None and column.type not in ("int", "float"):
            yield Found(f'column "{name}" of type {column.type} has between=', "only numbers have a range", "use one_of= or drop it")
        if (
            column.one_of
            and column.type in ("int", "float", "str", "bool")
            and not all(_fits(value, column.type) for value in column.one_of)
        ):
            yield Found(
                f'column "{name}" of type {column.type} has values of another type in one_of', "", "write values of the column's type"
            )
        if column.one_of is not None and column.type == "time":
            yield Found(f'column "{name}" of type time has one_of=', "times are not listed", "drop it, or declare the column a text")
        if column.unseen is not None and column.type not in ("int", "str"):
            yield Found(f'column "{name}" of type {column.type} has unseen=', "only text and whole numbers are looked up", "use shift=")
        if column.shift is not None and column.type == "time":
            yield Found(f'column "{name}" of type time has shift=', "times move on by themselves", "use gap= of the data set")
        if name in data.identifying and (column.unseen is not None or column.shift is not None):
            yield Found(f'column "{name}" says who a row is of and has unseen= or shift=', "nothing of its values is kept", "drop it")
        if name in data.identifying and column.on_request == "impute":
            why = "what stands in for it would be a person's own value"
            yield Found(f'column "{name}" says who a row is of and is imputed', why, 'use on_request="refuse" or "mark"')
    yield from _of_set(data)
    if data.time in data.columns and data.columns[data.time].type != "time":
        yield Found(
            f'time column "{data.time}" is declared {data.columns[data.time].type}', "", "leave it out of columns, or declare it a time"
        )


def _of_set(data: Dataset) -> Iterator[Found]:
    """Rules on a data set as a whole."""
    spans = [name for name in ("gap", "ahead", "disorder") if getattr(data, name) is not None]
    if spans and not data.time:
        yield Found(f'data set "{data.name}" has {"=, ".join(spans)}= and no time column', "they are rules on times", 'name it: time="ts"')
    for name, key in data.references.items():
        here, there = _type(data, name), _type(key.data, key.column)
        if here != there:
            what = f'column "{name}" of type {here} must be found in {key.data.name}.{key.column} of type {there}'
            yield Found(what, "no value of one type is found among another's", "declare both as one type")


def _type(data: Dataset, name: str) -> str:
    """A column's type; of an id or a subject that is not declared text."""
    return data.columns[name].type if name in data.columns else "time" if name in (data.time, data.arrived) else "str"


def _fits(value: object, kind: str) -> bool:
    if kind == "bool":
        return isinstance(value, bool)
    if kind == "str":
        return isinstance(value, str)
    return not isinstance(value, bool) and isinstance(value, int if kind == "int" else int | float)


def _label(model: Model) -> Iterator[Found]:
    label = model.label
    if isinstance(label, Label):
        if label.column not in label.source.columns:
            yield _unknown(f'label "{label.column}"', label.column, label.source)
        for data in (model.data, label.source):
            if label.on not in data.names:
                yield _unknown(f'label on="{label.on}"', label.on, data)
        yield from _joined("label", (model.data, label.on), (label.source, label.on))
        return
    column = model.data.columns.get(label)
    if column is None:
        yield _unknown(f'label "{label}"', label, model.data)
        return
    if model.task in ("regression", "forecast") and column.type not in ("int", "float"):
        yield Found(f'label "{label}" of type {column.type} cannot be the label of a {model.task} model', "it predicts a number")
    if model.task in ("binary", "multiclass") and column.type in ("float", "time"):
        yield Found(f'label "{label}" of type {column.type} cannot be the label of a {model.task} model', "it predicts one of a few values")
    if model.task == "binary" and column.one_of is not None and len(column.one_of) != 2:
        yield Found(f'label "{label}" has {len(column.one_of)} values', "a binary label has two", 'use task="multiclass"')


def _joined(place: str, *columns: tuple[Dataset, str]) -> Iterator[Found]:
    """A column that looks rows up by another one can hold a value of it."""
    if any(name not in data.names for data, name in columns):
        return
    here, there = (_type(data, name) for data, name in columns)
    key, entity = (f"{data.name}.{name}" for data, name in columns)
    if here != there and ("time" in (here, there) or {here, there} == {"bool", "str"}):
        yield Found(
            f"{place} looks up {entity} of type {there} by {key} of type {here}",
            "no value of one type is one of the other",
            "declare both as one type",
        )


def _inputs(model: Model) -> Iterator[Found]:
    named = model.inputs or ()
    for name in named:
        column = model.data.columns.get(name)
        if name == model.label_column:
            yield Found(f'input "{name}" is the label', "the model would be given the answer", "take it out of inputs")
        elif name in model.data.roles:
            yield Found(f'input "{name}" says who or when a row is', "time, id and subject are roles, not inputs", "take it out of inputs")
        elif column is None:
            yield _unknown(f'input "{name}"', name, model.data)
        else:
            yield from _seen_by_fit(model, f'input "{name}"', column)
    if len(set(named)) != len(named):
        yield Found("inputs name a column twice", "", "name each once")
    if "prediction" in inputs(model):
        what = 'input "prediction" has the name under which the model\'s own answers are watched'
        yield Found(what, "their drift could not be told from that of the column", "rename the column, or leave it out of inputs")
    if "label" in inputs(model):
        what = 'input "label" has the name under which labels are watched'
        yield Found(what, "their drift could not be told from that of the column", "rename the column, or leave it out of inputs")
    if not inputs(model) and not model.features:
        yield Found(
            "there is nothing to learn from",
            f"no column is known {model.framing.horizon} before a row's time, and there are no features",
            "say when columns are known (known_after=), or declare a feature view",
        )


def _seen_by_fit(model: Model, subject: str, column: Column) -> Iterator[Found]:
    if column.personal or column.protected:
        yield Found(f"{subject} is {'personal' if column.personal else 'protected'}", "such columns never reach fit", "leave it out")
    elif not known_in_time(model, column):
        yield Found(
            f"{subject} is not known at the moment of prediction",
            f"it is known {column.known_after} after a row's time, and the model predicts {model.framing.horizon} before it",
            "read it through a feature view's window, or correct known_after",
        )


def _hidden(data: Dataset, name: str) -> str:
    """Why a column is hidden from `fit`; empty for one that is not."""
    column = data.columns.get(name)
    if column is not None and (column.protected or column.personal):
        return "protected" if column.protected else "personal"
    return "who a row is of" if name in data.identifying else ""


def _reaching_fit(model: Model) -> Iterator[Found]:
    """Label and weight reach `fit` as they are; a group is given to it without its name."""
    for argument, name in (("label", model.label if isinstance(model.label, str) else ""), ("weight", model.weight)):
        if kind := _hidden(model.data, name):
            yield Found(f'{argument} "{name}" is {kind}', "such columns never reach fit", "name another column, or correct its declaration")


def _view(model: Model, view: FeatureView) -> Iterator[Found]:
    place = f'view "{view.name}"'
    if view.data.name != model.data.name:
        yield from (Found(f"{place}: {found.what}", found.why, found.fix) for found in _dataset(view.data))
    yield from (_unknown(f'{place} entity "{name}"', name, view.data) for name in view.entity if name not in view.data.names)
    yield from (_unknown(f'{place} key "{name}"', name, model.data) for name in view.key if name not in model.data.names)
    for key, entity in zip(view.key, view.entity, strict=True):
        yield from _joined(place, (model.data, key), (view.data, entity))
    for name, feature in view.features.items():
        if isinstance(feature, RowFeature):
            yield from _row_feature(view, f'{place} feature "{name}"', feature)
        else:
            yield from _aggregate(view, f'{place} feature "{name}"', feature)


def _row_feature(view: FeatureView, place: str, feature: RowFeature) -> Iterator[Found]:
    if not isinstance(feature.value, str) and (reason := obstacle(feature.value)):
        yield Found(f"{place} cannot be used", reason, "write it row by row with Polars expressions on named columns")
        return
    for name in (feature.value,) if isinstance(feature.value, str) else roots(feature.value):
        if name not in view.data.names:
            yield _unknown(f'{place} column "{name}"', name, view.data)
        elif kind := _hidden(view.data, name):
            yield Found(f'{place} reads "{name}", which is {kind}', "such columns never reach fit", "leave it out")


def _aggregate(view: FeatureView, place: str, feature: WindowFeature) -> Iterator[Found]:
    column = view.data.columns.get(feature.column)
    if feature.how != "count" and column is None:
        if feature.column not in view.data.names:
            yield _unknown(f'{place} column "{feature.column}"', feature.column, view.data)
    elif column is not None and feature.how in NUMERIC and column.type not in ("int", "float", "bool"):
        yield Found(f'{place}: no {feature.how} of "{feature.column}"', f"it is {column.type}", "use last, distinct or count")
    kind = _hidden(view.data, feature.column)
    # how many different ones there are says nothing of who they are
    if kind == "protected" or (kind and feature.how != "distinct"):
        yield Found(f'{place} reads "{feature.column}", which is {kind}', "such columns never reach fit", "leave it out")
    yield from _where(view, place, feature)


def _where(view: FeatureView, place: str, feature: WindowFeature) -> Iterator[Found]:
    for root in (feature.where,) if isinstance(feature.where, str) else () if feature.where is None else roots(feature.where):
        where = view.data.columns.get(root)
        if where is None:
            yield _unknown(f'{place} where "{root}"', root, view.data)
        elif kind := _hidden(view.data, root):
            yield Found(f'{place} where reads "{root}", which is {kind}', "such columns never reach fit", "leave it out")
        elif isinstance(feature.where, str) and where.type != "bool":
            yield Found(f'{place} where "{root}" is {where.type}', "rows are kept where it is true", "name a bool column")
    if feature.where is not None and not isinstance(feature.where, str) and obstacle(feature.where):
        yield Found(f"{place} where cannot be used", obstacle(feature.where), "write it with Polars expressions on named columns")


def _clashes(model: Model) -> Iterator[Found]:
    owner: dict[str, str] = dict.fromkeys(model.data.names, f'a column of data set "{model.data.name}"')
    views: set[str] = set()
    for view in model.features:
        if view.name in views and not view.entity:
            yield Found(f'view "{view.name}" is listed twice', "", "list it once")
        views.add(view.name)
        for name in view.features:
            if name in owner:
                yield Found(f'feature "{name}" of view "{view.name}" is also {owner[name]}', "one name is one column", "rename one of them")
            owner[name] = f'a feature of view "{view.name}"'
    for name in (*feature_names(model), *transform_names(model)):
        if is_pattern(name):
            yield Found(f'"{name}" stands for other columns, to whoever reads frames', "it is the name of a feature", "rename it")
    for name in transform_names(model):
        if name in owner:
            yield Found(f'transform "{name}" is also {owner[name]}', "transforms add columns and replace none", "rename the transform")


def _transforms(model: Model) -> Iterator[Found]:
    before: list[str] = []
    for name, expression in model.transforms.items() if isinstance(model.transforms, Mapping) else ():
        known = {*model.data.columns, *feature_names(model), *before}
        yield from _expression(model, f'transform "{name}"', expression, known, seen_by_fit=True)
        before.append(name)


def _expression(model: Model, place: str, expression: Expr, known: Collection[str], *, seen_by_fit: bool) -> Iterator[Found]:
    reason = obstacle(expression)
    if reason:
        yield Found(f"{place} cannot be used", reason, "write it row by row with Polars expressions on named columns")
    for root in roots(expression):
        if root not in known:
            seen = {*known} - ({model.label_column} - {*feature_names(model)} if seen_by_fit else set())
            yield Found(f'{place} reads "{root}", which is nothing it can see', "", near(root, sorted(seen)))
        elif seen_by_fit and _hidden(model.data, root) == "who a row is of":
            yield Found(f'{place} reads "{root}", which is who a row is of', "such columns never reach fit", "leave it out")
        elif seen_by_fit and root == model.label_column and root not in feature_names(model):
            yield Found(
                f'{place} reads "{root}", which is the label',
                "the model would be given the answer",
                "read what is known of it through a window",
            )
        elif seen_by_fit and root in model.data.columns and root not in feature_names(model):
            yield from _seen_by_fit(model, f'{place} reads "{root}", which', model.data.columns[root])


def _judged(model: Model) -> Iterator[Found]:
    parts = [part for gate in model.gates for part in (gate.checks if isinstance(gate, AnyOf) else (gate,)) if isinstance(part, Check)]
    for name in dict.fromkeys([*(part.name for part in model.slices), *(part.metric.of_gap for part in parts)]):
        if name in _JUDGED:
            why = "a gate would look at the groups of that instead"
            fix = f'slice by an expression of another name: slices={{"{name}_of_row": pl.col("{name}")}}'
            yield Found(f'slice "{name}" has the name of what a hold-out says of every row', why, fix)


def _slices(model: Model) -> Iterator[Found]:
    seen: set[str] = set()
    known = {*model.data.columns, *feature_names(model), *transform_names(model)}
    yield from _judged(model)
    for part in model.slices:
        if part.name in seen:
            yield Found(f'slice "{part.name}" is declared twice', "", "name each once")
        seen.add(part.name)
        if part.expression is not None:
            yield from _expression(model, f'slice "{part.name}"', part.expression, known, seen_by_fit=False)
        elif part.name not in known:
            yield _unknown(f'slice "{part.name}"', part.name, model.data)
        elif part.name in model.data.identifying:
            why = "its values would stand in the record, beside how the model does on each of them"
            yield Found(f'slice "{part.name}" says who a row is of', why, "slice by what many persons share")
        elif part.name == model.label_column:
            yield Found(f'slice "{part.name}" is the label', "a slice by the answer says nothing about where the model errs", "take it out")
