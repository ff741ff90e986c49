"""What an objective counts, by its metric, and whether it can be held at all. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from flyball.clock import Span
from flyball.declare.checks import Check, Metric, Reference
from flyball.declare.live import uncounted
from flyball.declare.metrics import METRICS, TRAFFIC, metric_info, metric_names
from flyball.declare.model import Model
from flyball.declare.policy import Objective
from flyball.declare.reads import looked_at
from flyball.declare.rules_columns import Found
from flyball.declare.units import near

Kind = Literal["requests", "slow", "rows", "spans", "freshness"]
"""What is counted as good or bad: failed requests, slow requests, wrong rows, hours or days in which a check held, or time."""

FRESHNESS = "freshness"
"""The metric of an objective on how new data are: it is measured of data sets, and no check names it."""

ROWS = ("accuracy", "precision", "recall", "false_positive_rate")
"""Shares of labelled rows of which each is good or bad by itself."""

LONGEST = Span.parse("100d")
"""Counts are kept for so long."""

HOURS = Span.parse("3d")
"""Counts are kept by the hour for so long: over a longer window a check is judged day by day."""


def metric_of(objective: Objective) -> Metric:
    """The metric that an objective names."""
    return objective.metric.metric if isinstance(objective.metric, Check) else objective.metric


def kind_of(objective: Objective) -> Kind | None:
    """What the objective counts; None where it cannot be counted.

    >>> from flyball.declare.checks import metric
    >>> kind_of(Objective("error_rate", target="99.9%", window="30d")), kind_of(Objective(metric("mae") <= 3, target="95%", window="30d"))
    ('requests', 'spans')
    """
    name, given = metric_of(objective).name, objective.metric
    if isinstance(given, Check):
        if name.startswith("latency_"):
            return "slow" if given.op in ("<=", "<") and not isinstance(given.bound, Reference) else None
        return None if isinstance(given.bound, Reference) or name == FRESHNESS else "spans"
    if name == FRESHNESS:
        return "freshness"
    if name == "error_rate":
        return "requests"
    return "rows" if name in ROWS else None


def failure_of(objective: Objective) -> str:
    """The failure mode that a spent budget is."""
    name = metric_of(objective).name
    if name == FRESHNESS:
        return "stale_data"
    if name == "error_rate":
        return "errors"
    return "latency" if name in TRAFFIC else "performance"


def objective_rules(model: Model) -> Iterator[Found]:
    """Every rule on the model's objectives."""
    for place, objective in enumerate(model.objectives):
        yield from (found._replace(at=f"/objectives/{place}") for found in _one(model, objective))
    named = [str(each) for each in model.objectives]
    for each in dict.fromkeys(named):
        if named.count(each) > 1:
            yield Found(f'objective "{each}" is declared twice', "they would be one alert", "leave one out", "/objectives")


def _one(model: Model, objective: Objective) -> Iterator[Found]:
    sentence, metric = f'objective "{objective}"', metric_of(objective)
    if objective.target >= 1:
        yield Found(f"{sentence}: a target of 100% leaves no budget", "one bad event would spend it for good", 'write such as "99.9%"')
    if objective.target <= 0:
        yield Found(f"{sentence}: a target of 0% asks for nothing", "", 'write such as "99.9%"')
    if objective.window > LONGEST:
        yield Found(f"{sentence}: its window is longer than what is kept", f"counts are kept for {LONGEST}", f'window="{LONGEST}" at most')
    if metric.slices or metric.of_gap or metric.span is not None or metric.bound:
        why = "an objective is held of the model as a whole, over its own window, and every event is good or bad"
        yield Found(f"{sentence}: it names a part, a span or an end of an interval", why, f'write fb.metric("{metric.name}")')
        return
    yield from _metric(model, objective, sentence)


def _metric(model: Model, objective: Objective, sentence: str) -> Iterator[Found]:
    name, info = metric_of(objective).name, metric_info(metric_of(objective).name)
    if name == FRESHNESS:
        if not any(data.freshness is not None for data in looked_at(model).values()):
            yield Found(f"{sentence}: no data set says how old it may be", "", 'say it: freshness="2h" of the data set')
        if isinstance(objective.metric, Check):
            why = "how old a data set may be is declared there"
            yield Found(f"{sentence}: freshness has no bound of its own", why, f'write fb.Objective("{FRESHNESS}", …)')
        return
    if info is None or model.task not in info.tasks or info.source == "run":
        known = [*metric_names(model.task), *(key for key, value in METRICS.items() if value.source == "traffic"), FRESHNESS]
        what = f'"{name}" is not a metric' if info is None else f"{name} says nothing of a {model.task} model in service"
        yield Found(f"{sentence}: {what}", "", near(name, [one for one in known if (told := metric_info(one)) is None or told.counted]))
        return
    if isinstance(objective.metric, Check):
        yield from _check(model, objective.metric, sentence)
    elif name in TRAFFIC and name != "error_rate":
        yield Found(f"{sentence}: nothing says what is slow", "", f'compare: fb.metric("{name}") <= "50ms"')
    elif kind_of(objective) is None:
        why = f"a row is not good or bad by {name}"
        yield Found(f"{sentence}: {name} has no bound", why, f'compare: fb.metric("{name}") <= …; then hours or days are good or bad')


def _check(model: Model, check: Check, sentence: str) -> Iterator[Found]:
    info = metric_info(check.metric.name)
    assert info is not None, "looked up before"
    if isinstance(check.bound, Reference):
        yield Found(f"{sentence}: an objective is held to a number", f"{check.bound} moves with every release", "write a number")
        return
    if info.unit == "ms" and check.unit != "ms":
        yield Found(f"{sentence}: the bound has no unit of time", "", 'write a quantity such as "50ms"')
    if info.unit == "ms" and check.op not in ("<=", "<"):
        yield Found(f"{sentence}: it asks for slow answers", "", "turn it round")
    if why := uncounted(model, check):
        yield Found(f"{sentence}: live rows do not give it", why, "name a metric that counts give, or make it a gate")
