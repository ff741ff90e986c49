"""What a model without `train=` is: one that is served elsewhere, whose predictions and labels are sent here to be watched. Pure.

It has no version that flyball made, so nothing of it is trained, judged, released or taken back here.
"""

from __future__ import annotations

from flyball.declare.columns import Column
from flyball.declare.model import Label, Model

PREDICTION, SCORE, VERSION, LATENCY = "prediction", "score", "version", "latency_ms"
"""What the columns of a folder of predictions are called that are no input: the answer, the probability of the second class, which version gave
it, and how long that took."""

ANSWER = (PREDICTION, SCORE, VERSION, LATENCY)

UNVERSIONED = "unversioned"
"""The version of predictions that name none."""


def is_elsewhere(model: Model) -> bool:
    """Whether the model is served elsewhere."""
    return model.train is None


def is_folder(model: Model) -> bool:
    """Whether the model's data set is its predictions, and not what it was trained on."""
    return is_elsewhere(model) and PREDICTION in model.data.columns


def answer_columns(model: Model) -> tuple[str, ...]:
    """The columns of the data set that say what was answered."""
    return tuple(name for name in ANSWER if name in model.data.columns) if is_folder(model) else ()


def label_declared(model: Model) -> Column | None:
    """The label's column, wherever it arrives."""
    return (model.label.source if isinstance(model.label, Label) else model.data).columns.get(model.label_column)


def classes(model: Model) -> tuple[int | str | bool, ...]:
    """The classes that the label's column declares, in the order in which training has them too: ascending. None for numbers, and where nobody can tell."""
    column = label_declared(model)
    if model.task not in ("binary", "multiclass") or column is None:
        return ()
    if column.one_of:
        return tuple(sorted(value for value in column.one_of if not isinstance(value, float)))
    if column.type == "bool":
        return (False, True)
    return (0, 1) if model.task == "binary" and column.type == "int" else ()
