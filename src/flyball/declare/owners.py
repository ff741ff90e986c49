"""Whose each part of a model is: the team that hears of what goes wrong in it. Pure.

A data set or a view without a team of its own is the model's. A gate is the model's team's, but for one that asks for a person: it is theirs.
"""

from __future__ import annotations

from flyball.declare.checks import Approval
from flyball.declare.data import Dataset
from flyball.declare.functions import Function
from flyball.declare.model import Model
from flyball.declare.reads import looked_at
from flyball.declare.views import FeatureView

_OF_DATA = frozenset({"schema_change", "stale_data"})


def of_dataset(model: Model, data: Dataset) -> str:
    """The team of a data set; empty where nobody is named."""
    return data.owner or model.owner


def of_view(model: Model, view: FeatureView) -> str:
    """The team of a view."""
    return view.owner or model.owner


def of_gate(model: Model, gate: object) -> str:
    """The team of a gate, or the role or job whose yes it asks for."""
    return gate.role if isinstance(gate, Approval) else model.owner


def of_failure(model: Model, failure_mode: str, column: str = "") -> str:
    """The team of the layer that failed: what is wrong with the data is the data set's, skew the view's, all else the model's.

    column: where the failure was seen, empty if that is not known; of stale data, which data set. Drift of what no data set has, such as the answers, is the model's.
    """
    views = [view for view in model.features if column in view.features]
    if failure_mode in _OF_DATA:
        return of_dataset(model, looked_at(model).get(column, model.data))
    if failure_mode == "input_drift":
        if column in ("", *model.data.columns):
            return of_dataset(model, model.data)
        return of_view(model, views[0]) if views else model.owner
    if failure_mode == "skew":
        return of_view(model, (views or list(model.features))[0]) if model.features else model.owner
    return model.owner


def owners(model: Model) -> dict[str, str]:
    """Every part of a model by name, with whose it is."""
    found = {f"model {model.name}": model.owner}
    for data in (model.data, *(view.data for view in model.features)):
        found.setdefault(f"data set {data.name}", of_dataset(model, data))
    found |= {f"view {view.name}": of_view(model, view) for view in model.features}
    found |= {f"gate {_named(gate)}": of_gate(model, gate) for gate in model.gates}
    return found


def _named(gate: object) -> str:
    return gate.name if isinstance(gate, Function) else str(getattr(gate, "__name__", gate))
