"""Which columns a model is made of: its inputs, what a caller must send, its slices, and the signature that says so."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TypeAlias

import polars as pl

from flyball.data.types import DTYPES, column, schema
from flyball.declare import rules_columns
from flyball.declare.checks import AnyOf, Check
from flyball.declare.columns import Column
from flyball.declare.costs import HALF, threshold_of
from flyball.declare.model import Model
from flyball.declare.views import Feature, FeatureView, RowFeature
from flyball.errors import DeclarationError
from flyball.features.expressions import expression, roots
from flyball.records.models import Field, Signature

Usual: TypeAlias = int | float | str | bool
"""A value that stands in for one that breaks its column's contract."""


def inputs(model: Model) -> list[str]:
    """The data set's columns that `fit` sees: those named by `inputs=`, else every one known at T − horizon without a role."""
    return list(rules_columns.inputs(model))


def is_own(model: Model, view: FeatureView) -> bool:
    """Whether a view is over the model's own data set, whose rows are those that are predicted."""
    return view.data.name == model.data.name


def view_features(model: Model) -> list[str]:
    """The names of every view's values, in order."""
    return [name for view in model.features for name in view.features]


def request_fields(model: Model) -> list[tuple[str, Column]]:
    """What a caller sends: inputs, entity keys, the item of a ranking, and the columns that transforms and slices read, in that order, each once.

    Raises DeclarationError if a transform reads what is not known at the moment of prediction.
    """
    names = inputs(model) + [key for view in model.features for key in view.key] + list(rules_columns.ranked(model))
    made = {*view_features(model), *expressions(model)}
    for name, value in expressions(model).items():
        for root in roots(value):
            if root in made:
                continue
            if not rules_columns.known_in_time(model, column(model.data, root)):
                raise DeclarationError(
                    f'model "{model.name}": transform "{name}" reads "{root}", which is not known at the moment of prediction',
                    why=f"known_after is {column(model.data, root).known_after}, the horizon {model.framing.horizon}",
                    fix="read it through a feature view's window",
                )
            names.append(root)
    for value in slices(model).values():
        sent = [root for root in roots(value) if root in schema(model.data)]
        names += [root for root in sent if rules_columns.known_in_time(model, column(model.data, root))]
    return [(name, column(model.data, name)) for name in dict.fromkeys(names) if name not in {model.data.time, model.data.arrived}]


def watched(model: Model) -> list[str]:
    """Columns of a request whose values are compared with those of training: inputs, and what only transforms and slices read.

    Never an entity's key or an item's name, whose values are new all the time, nor a personal column: what is found of a value goes into the ledger.
    """
    keys = {*rules_columns.ranked(model), *(key for view in model.features for key in view.key)} - set(inputs(model))
    return [name for name, item in request_fields(model) if name not in keys and not item.personal]


def slices(model: Model) -> dict[str, pl.Expr]:
    """The model's slices as expressions, by name."""
    return {part.name: expression(part.name if part.expression is None else part.expression) for part in model.slices}


def declared_values(model: Model) -> dict[str, tuple[Usual, ...]]:
    """The values that are declared (`one_of`) of each slice, and of each column whose groups are compared, that is a column of the data set."""
    columns = model.data.columns
    named = {name: name for name in gap_columns(model)}
    for name, made in slices(model).items():
        read = roots(made)
        if len(read) == 1 and made.meta.eq(pl.col(read[0])):
            named[name] = read[0]
    values = {name: columns[root].one_of for name, root in named.items() if root in columns}
    return {name: tuple(found) for name, found in values.items() if found}


def gap_columns(model: Model) -> list[str]:
    """Columns whose groups are compared and that are no slices: no caller sends them, and they never reach `fit`."""
    return [name for name in group_columns(model) if name in model.data.columns and name not in model.slice_names]


def group_columns(model: Model) -> list[str]:
    """Columns and slices whose groups are compared: those between whose groups a gate looks for a gap, and protected ones, other than the label,
    the group, and what says who a row is of.
    """
    parts = [part for gate in model.gates for part in (gate.checks if isinstance(gate, AnyOf) else (gate,))]
    named = [part.metric.of_gap for part in parts if isinstance(part, Check) and part.metric.of_gap]
    private = {*model.data.identifying, model.group, model.label_column}
    named += [name for name, column in model.data.columns.items() if column.protected and name not in private]
    return [name for name in dict.fromkeys(named) if name in model.data.columns or name in model.slice_names]


def _threshold(model: Model) -> float:
    """What the model's costs say; a run may choose another."""
    costs = {name: each.amount for name, each in model.costs.items()}
    found = threshold_of(costs) if model.task == "binary" else None
    return HALF if found is None else found


def signature(
    model: Model, classes: Sequence[int | str | bool] = (), usual: Mapping[str, Usual] | None = None, *, differing: Collection[str] = ()
) -> Signature:
    """What a version of the model takes and gives. Fields are in order of their names, so that two versions that take the same
    values take them in the same places, however their files list them. `usual`: the values of `usual_values`. `differing`: of a ranking,
    the fields that differ within a list, beside the one that names the item.
    """
    fields = []
    for name, item in sorted(request_fields(model)):
        low, high = item.between or (None, None)
        fields.append(
            Field(
                name=name,
                type=item.type,
                nullable=item.nulls > 0,
                low=None if low is None else float(low),
                high=None if high is None else float(high),
                one_of=tuple(item.one_of) if item.one_of else None,
                on_request=item.on_request,
                usual=usual.get(name) if usual else None,
            )
        )
    of_items = {*differing, *rules_columns.ranked(model)}
    return Signature(
        task=model.task,
        fields=tuple(fields),
        classes=tuple(classes),
        threshold=_threshold(model),
        item=next(iter(rules_columns.ranked(model)), ""),
        item_fields=tuple(field.name for field in fields if field.name in of_items) if model.task == "ranking" else (),
    )


def last_known_label(model: Model) -> str:
    """The feature that is the label's last known value (of several the most recent), for the persistence baseline; empty if there is none."""
    own = [item for view in model.features if is_own(model, view) for item in view.features.items()]
    found = [(age, name) for name, feature in own if (age := _age_of_last(feature, model.label_column)) is not None]
    return min(found)[1] if found else ""


def _age_of_last(feature: Feature, column: str) -> int | None:
    """How long ago the last value of a column is that a feature gives; None where it gives something else."""
    if isinstance(feature, RowFeature):
        return 0 if isinstance(feature.value, str) and feature.value == column else None
    last = feature.how == "last" and feature.column == column and feature.where is None
    return int(feature.window.ago) if last else None


def usual_values(model: Model, rows: pl.DataFrame) -> dict[str, Usual]:
    """What stands in for a value that breaks the contract of a column with `on_request="impute"`: the median of numbers and times, else
    the most frequent value (of several the least), of those `rows` that hold the contract.

    rows: columns as callers name them. One that says who a row is of has no such value: it would stand in the signature for good.
    """
    found: dict[str, Usual] = {}
    for name, item in request_fields(model):
        if item.on_request != "impute" or name not in rows.columns or name in model.data.identifying:
            continue
        values = rows[name].cast(DTYPES[item.type], strict=False).drop_nulls()
        if item.between is not None:
            values = values.filter(values.is_between(*item.between))
        if item.one_of is not None:
            values = values.filter(values.is_in(pl.Series(item.one_of, dtype=values.dtype, strict=False).implode()))
        if values.is_empty():
            continue
        if item.type in ("int", "float", "time") and item.one_of is None:
            found[name] = values.to_physical().sort()[(len(values) - 1) // 2]
        else:
            found[name] = values.mode().sort()[0]
    return found


def expressions(model: Model) -> dict[str, pl.Expr]:
    """The transforms that are named expressions, in order of declaration; none where the transform is a function."""
    if not isinstance(model.transforms, Mapping):
        return {}
    return {name: expression(value) for name, value in model.transforms.items()}
