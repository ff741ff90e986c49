"""Which data sets a model is made from, and which it only looks at. Pure."""

from __future__ import annotations

from flyball.declare.data import Dataset
from flyball.declare.model import Label, Model


def made_from(model: Model) -> dict[str, Dataset]:
    """The data sets of a model's rows, of its views and of its label, by name: a run reads them all. The model's own comes first."""
    label = [model.label.source] if isinstance(model.label, Label) else []
    return _by_name([model.data, *(view.data for view in model.features), *label])


def judged_on(model: Model) -> dict[str, Dataset]:
    """The data sets of the cases of its suites, by name: a run reads them where they are there."""
    return _by_name([case.data for case in model.suites])


def looked_at(model: Model) -> dict[str, Dataset]:
    """These, and those of outcomes and suites, and those in which their values must be found: what is to be read for the model, in an order in which a
    data set comes after those that it refers to.
    """
    found: dict[str, Dataset] = {}
    for data in (
        *made_from(model).values(),
        *(outcome.source for outcome in model.outcomes),
        *(case.data for case in model.suites),
    ):
        _with_references(data, found, ())
    return found


def _with_references(data: Dataset, found: dict[str, Dataset], above: tuple[str, ...]) -> None:
    if data.name in found or data.name in above:
        return
    for reference in data.references.values():
        _with_references(reference.data, found, (*above, data.name))
    found[data.name] = data


def _by_name(sets: list[Dataset]) -> dict[str, Dataset]:
    found: dict[str, Dataset] = {}
    for data in sets:
        found.setdefault(data.name, data)
    return found
