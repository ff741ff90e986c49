"""Rules on suites: a metric of the task of which more is better, and cases that have what the model is asked and judged by."""

from __future__ import annotations

from collections.abc import Iterator

from flyball.declare.functions import is_expression, roots
from flyball.declare.metrics import metric_info, metric_names
from flyball.declare.model import Label, Model, Suite
from flyball.declare.rules_columns import Found, inputs
from flyball.declare.units import near


def suite_rules(model: Model) -> Iterator[Found]:
    """Every rule on the model's suites."""
    seen: set[str] = set()
    for place, case in enumerate(model.suites):
        at = f"/suites/{place}"
        if case.name in seen:
            yield Found(f'two suites are called "{case.name}"', "a verdict names its suite", "give each its own name", at)
        seen.add(case.name)
        yield from (found._replace(at=at) for found in (*_metric(model, case), *_cases(model, case)))


def _metric(model: Model, case: Suite) -> Iterator[Found]:
    info = metric_info(case.metric)
    known = metric_names(model.task)
    if info is None or model.task not in info.tasks or info.source not in ("quality", "prediction") or case.metric == "equalised_odds":
        what = "is not a metric" if info is None else f"is not measured of the cases of a {model.task} model"
        yield Found(f'suite "{case.name}": "{case.metric}" {what}', "", near(case.metric, known))
        return
    if info.higher_is_better is not True:
        better = [name for name in known if (one := metric_info(name)) and one.higher_is_better]
        yield Found(
            f'suite "{case.name}" asks for at_least={case.at_least:g} of {case.metric}',
            f"{info.meaning}: more of it is {'worse' if info.higher_is_better is False else 'neither better nor worse'}",
            f"name a metric of which more is better: {', '.join(better)}",
        )
    elif info.bounded and not 0 <= case.at_least <= 1:
        yield Found(
            f'suite "{case.name}": {case.metric} is between 0 and 1', f"at_least is {case.at_least:g}", 'write such as 0.9 or "90%"'
        )


def _cases(model: Model, case: Suite) -> Iterator[Found]:
    data = case.data
    if data.name == model.data.name:
        yield Found(
            f'suite "{case.name}" is the model\'s own data set', "its rows train the model", "give the cases a data set of their own"
        )
        return
    for name, what in _needed(model).items():
        column, own = data.columns.get(name), model.data.columns.get(name)
        if column is None and name not in data.names:
            yield Found(f'suite "{case.name}": data set "{data.name}" has no column "{name}"', what, f'declare "{name}" there')
        elif column is not None and own is not None and column.type != own.type:
            yield Found(
                f'suite "{case.name}": column "{name}" of data set "{data.name}" is {column.type}, and the model\'s is {own.type}',
                what,
                f"declare it as {own.type}",
            )


def _needed(model: Model) -> dict[str, str]:
    """Columns that cases must have, and what for."""
    found = dict.fromkeys(inputs(model), "it is an input of the model")
    found |= dict.fromkeys((key for view in model.features for key in view.key), "a view is looked up by it")
    if isinstance(model.transforms, dict):
        made = {*model.transforms, *(name for view in model.features for name in view.features)}
        read = [root for value in model.transforms.values() if is_expression(value) for root in roots(value)]
        found |= dict.fromkeys((name for name in read if name in model.data.columns and name not in made), "a transform reads it")
    if isinstance(model.label, Label):
        found[model.label.on] = "labels are found by it"
    else:
        found[model.label] = "it is the label"
    if model.task == "ranking":
        found |= {model.group: "its lists are told by it", model.item: "it is what is ranked"}
    return found
