"""Rules on functions: `fit` gets what it names, every other parameter is a hyperparameter, and `search` may name only those."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator, Mapping
from typing import Any

from flyball.declare.costs import KINDS, say_costs
from flyball.declare.functions import Code, Function
from flyball.declare.metrics import metric_info, metric_names
from flyball.declare.model import Label, Model
from flyball.declare.rules_columns import Found
from flyball.declare.training import Train
from flyball.declare.units import near

GIVEN = ("X", "y", "X_valid", "y_valid", "weight", "group", "seed", "run")
"""What a fit may ask for by name."""


def hyperparameters(fit: Code) -> dict[str, Any]:
    """Names and defaults of a fit's hyperparameters (`inspect.Parameter.empty` without one); none of a decoded reference."""
    if isinstance(fit, Function):
        return {}
    kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    found = inspect.signature(fit).parameters.values()
    return {item.name: item.default for item in found if item.name not in GIVEN and item.kind in kinds}


def written_hyperparameters(fit: Code, files: Mapping[str, str]) -> tuple[str, ...] | None:
    """Names of a decoded fit's hyperparameters, as its source says; None where that cannot be known without running it.

    files: path → text of the code that the declaration came with. It is parsed, never run.
    """
    if not isinstance(fit, Function):
        return tuple(hyperparameters(fit))
    home = fit.module.replace(".", "/")
    text = files.get(f"{home}.py", files.get(f"{home}/__init__.py", ""))
    named = [node for node in ast.parse(text).body if isinstance(node, ast.FunctionDef) and node.name == fit.name]
    if len(named) != 1 or named[0].decorator_list:
        return None
    taken = named[0].args
    return tuple(one.arg for one in (*taken.args, *taken.kwonlyargs) if one.arg not in GIVEN)


def fit_rules(model: Model) -> Iterator[Found]:
    """Every rule on the functions of `train`. A decoded model has none to look at."""
    train = model.train
    if train is None:
        return
    if not isinstance(train.fit, Function):
        yield from _parameters(model, train)
    for name, code, wanted in (("predict", train.predict, 2), ("save", train.save, 2), ("load", train.load, 1)):
        if code is not None and not isinstance(code, Function) and not _takes(code, wanted):
            form = {"predict": "predict(model, X)", "save": "save(model, folder)", "load": "load(folder)"}[name]
            yield Found(f"{name} cannot be called with {wanted} argument{'s' if wanted > 1 else ''}", "", f"its form is {form}")
    if (train.save is None) != (train.load is None):
        there, lacking = ("save", "load") if train.load is None else ("load", "save")
        yield Found(f"{there} without {lacking}", "a worker could not read what a run writes", f"declare both, or neither: pass {lacking}=")
    if train.objective and (metric_info(train.objective) is None or model.task not in getattr(metric_info(train.objective), "tasks", ())):
        yield Found(
            f'objective "{train.objective}" is not a metric of a {model.task} model', "", near(train.objective, metric_names(model.task))
        )
    if train.objective == "cost_per_1000" and not model.costs and model.task in KINDS:
        yield Found('objective "cost_per_1000": no costs are declared', "what an error costs is what is searched by", say_costs(model.task))
    yield from _split(model, train)


def _split(model: Model, train: Train) -> Iterator[Found]:
    """What is held out, and of what."""
    if train.by_share:
        if train.window != "auto":
            why = f'split="{train.split}" takes rows whatever their time'
            yield Found(f"window {train.window} means nothing", why, 'leave window out, or split="time"')
    elif train.window != "auto" and train.window < train.holdout_span:
        yield Found(f"window {train.window} is shorter than the hold-out {train.holdout}", "", "lengthen window")
    if train.split == "group" and not model.group:
        yield Found('split="group" without a group', "whole groups are held out", "name its column: group=")
    if train.split == "stratified" and model.task == "ranking":
        yield Found('split="stratified" of a ranking', "it would cut lists", 'hold out whole groups: split="group"')
    if train.split == "time" and train.folds > 1:
        yield Found(
            f'folds={train.folds} with split="time"',
            "the hold-out is one span at the end",
            'hold out several, each after the other: split="rolling"',
        )
    if train.split == "rolling" and train.folds < 2:
        yield Found('split="rolling" with one fold', "it is split by time alone", "say how many hold-outs judge: folds=4")
    if model.data.time:
        return
    if model.features:
        why = f'data set "{model.data.name}" has no time, and a view gives values at a moment'
        yield Found(f'view "{model.features[0].name}" cannot be asked', why, 'name its time column: time="ts"')
    if isinstance(model.label, Label):
        why = f'it is looked for within {model.label.within} of a row, and data set "{model.data.name}" has no time'
        yield Found("a label from another data set needs times", why, 'name the time column: time="ts"')


def _parameters(model: Model, train: Train) -> Iterator[Found]:
    name = getattr(train.fit, "__name__", "fit")
    try:
        named = inspect.signature(train.fit).parameters if not isinstance(train.fit, Function) else {}
    except (TypeError, ValueError):
        yield Found(f"{name} does not say its parameters", "fit gets what it names", "wrap it in a plain function fit(X, y, *, ...)")
        return
    for needed in ("X", "y"):
        if needed not in named:
            yield Found(f'{name} has no parameter "{needed}"', "fit gets what it names", f"write {name}(X, y, *, max_depth=6)")
    if "group" in named and not model.group:
        yield Found(f"{name} asks for group, and the model has none", "", "name the column: group=")
    if model.weight and "weight" not in named:
        why = "fit gets what it names, so the weights would change nothing"
        yield Found(
            f'weight "{model.weight}": {name} has no parameter "weight"', why, f"write {name}(X, y, weight, *, …), or leave weight= out"
        )
    own = hyperparameters(train.fit)
    for key in train.search:
        if key in GIVEN:
            yield Found(f'search names "{key}"', f"{name} is given it, so it cannot be searched", "take it out of search")
        elif key not in own:
            yield Found(f'search names "{key}", which {name} does not take', "", near(key, own))
    for key, default in own.items():
        if default is inspect.Parameter.empty and key not in train.search:
            close = near(key, GIVEN) if key.lower() in {item.lower() for item in GIVEN} else f"write {key}=… or search it"
            yield Found(f'{name}: parameter "{key}" has no default', "a hyperparameter's default is what a run uses", close)


def _takes(code: Any, count: int) -> bool:
    try:
        inspect.signature(code).bind(*[None] * count)
    except (TypeError, ValueError):
        return False
    return True
