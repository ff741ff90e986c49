"""A model and everything that keeps it true."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from importlib import import_module
from typing import Any, Literal, TypeAlias

from flyball.clock import Span
from flyball.declare.checks import AnyOf, Approval, Check, Drift, champion, metric, not_a_gate
from flyball.declare.columns import Value
from flyball.declare.data import Dataset
from flyball.declare.functions import Code, Expr, Function, is_expression
from flyball.declare.metrics import CLASSES, NUMBERS
from flyball.declare.policy import Autonomy, Batch, Objective, Playbook, Retrain, Rollout, autonomy, listed
from flyball.declare.training import Train
from flyball.declare.units import (
    Money,
    fail,
    fill,
    finite,
    items,
    mapping,
    maybe_span,
    maybe_text,
    money,
    name_of,
    names,
    one_of,
    share,
    span,
    text,
    words,
)
from flyball.declare.views import FeatureView
from flyball.records.models import Task

Gate: TypeAlias = Check | AnyOf | Approval | Code
Monitor: TypeAlias = Check | AnyOf | Drift
_TASKS: tuple[Task, ...] = ("binary", "multiclass", "regression", "forecast", "ranking")


@dataclass(frozen=True, init=False)
class Framing:
    """The problem, used: only what is known at T − horizon is seen. `risk` sets what governance asks for."""

    purpose: str
    horizon: Span
    act_within: Span | None
    kpi: str
    gain: str
    risk: Literal["low", "limited", "high"]

    def __init__(
        self,
        purpose: str,
        *,
        horizon: str | Span = "0s",
        act_within: str | Span | None = None,
        kpi: str = "",
        gain: str = "",
        risk: str = "limited",
    ) -> None:
        fill(
            self,
            {
                "purpose": words(purpose, "purpose"),
                "horizon": span(horizon, "horizon"),
                "act_within": maybe_span(act_within, "act_within"),
                "kpi": words(kpi, "kpi"),
                "gain": words(gain, "gain"),
                "risk": one_of(risk, ("low", "limited", "high"), "risk"),
            },
        )


@dataclass(frozen=True, init=False)
class Label:
    """A label that arrives in another data set, joined `on` a column, `within` a span of the row; `missing` is what silence means."""

    column: str
    source: Dataset
    on: str
    within: Span
    missing: Value | None

    def __init__(self, column: str, *, source: Dataset, on: str, within: str | Span, missing: Value | None = None) -> None:
        _kind(source, Dataset, "label source")
        fill(
            self,
            {
                "column": text(column, "label"),
                "source": source,
                "on": text(on, "on"),
                "within": span(within, "within", least=1),
                "missing": missing,
            },
        )


@dataclass(frozen=True, init=False)
class Outcome:
    """A business value that arrives later; it becomes a metric."""

    name: str
    source: Dataset
    on: str
    column: str
    within: Span
    how: Literal["sum", "mean", "count"]

    def __init__(self, name: str, *, source: Dataset, on: str, column: str, within: str | Span, how: str = "mean") -> None:
        _kind(source, Dataset, "outcome source")
        fill(
            self,
            {
                "name": text(name, "outcome"),
                "source": source,
                "on": text(on, "on"),
                "column": text(column, "column"),
                "within": span(within, "within", least=1),
                "how": one_of(how, ("sum", "mean", "count"), "how"),
            },
        )


@dataclass(frozen=True)
class Suite:
    """A set of cases of its own; a missing suite is insufficient, never a pass."""

    name: str
    data: Dataset
    metric: str
    at_least: float


def suite(name: str, data: Dataset, *, metric: str, at_least: str | float) -> Suite:
    """Declare a set of cases that a version must do well on."""
    _kind(data, Dataset, "suite data")
    bound = share(at_least, "at_least") if isinstance(at_least, str) else finite(at_least, "at_least")
    return Suite(name_of(name, "suite"), data, text(metric, "metric"), bound)


@dataclass(frozen=True, eq=False)
class Slice:
    """A part of the rows that is judged on its own: by a column's values, or by an expression's."""

    name: str
    expression: Expr | None = None


@dataclass(frozen=True, init=False, eq=False)
class Model:
    """A model and everything that keeps it true. `inputs` None: the columns known in time that have no role."""

    name: str
    task: Task
    data: Dataset
    label: str | Label
    train: Train | None
    owner: str
    framing: Framing
    inputs: tuple[str, ...] | None
    features: tuple[FeatureView, ...]
    transforms: dict[str, Expr] | Code
    group: str
    item: str
    weight: str
    slices: tuple[Slice, ...]
    suites: tuple[Suite, ...]
    outcomes: tuple[Outcome, ...]
    costs: dict[str, Money]
    gates: tuple[Gate, ...]
    rollout: Rollout
    monitors: tuple[Monitor, ...]
    objectives: tuple[Objective, ...]
    retrain: Retrain | None
    autonomy: Autonomy
    review: Expr | None
    batch: tuple[Batch, ...]
    playbook: Playbook
    fallback: Value | None
    tags: dict[str, str]

    def __init__(
        self,
        name: str,
        *,
        task: str,
        data: Dataset,
        label: str | Label,
        train: Train | None = None,
        owner: str = "",
        framing: Framing | None = None,
        inputs: Iterable[str] | None = None,
        features: FeatureView | Iterable[FeatureView] = (),
        transforms: Mapping[str, Any] | Callable[..., Any] | Function | None = None,
        group: str = "",
        item: str = "",
        weight: str = "",
        slices: Iterable[str | Slice | Suite] | Mapping[str, Any] = (),
        suites: Iterable[Suite] = (),
        outcomes: Outcome | Iterable[Outcome] = (),
        costs: Mapping[str, str | Money] | None = None,
        gates: Any = (),
        rollout: Rollout | None = None,
        monitors: Monitor | Iterable[Monitor] | None = None,
        objectives: Objective | Iterable[Objective] = (),
        retrain: Retrain | None = None,
        autonomy: str | Mapping[str, str] | Autonomy | None = None,
        review: Any = None,
        batch: Batch | Iterable[Batch] = (),
        playbook: Playbook | None = None,
        fallback: Value | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> None:
        fill(
            self,
            _subject(name=name, task=task, data=data, label=label, train=train, framing=framing)
            | _columns(inputs, features, transforms, slices),
        )
        tagged = {key: words(value, f"tags[{key!r}]") for key, value in mapping(tags, "tags").items()}
        fill(self, {"owner": words(owner, "owner"), "review": _review(review), "fallback": _fallback(fallback), "tags": tagged})
        fill(self, {"group": maybe_text(group, "group"), "item": maybe_text(item, "item"), "weight": maybe_text(weight, "weight")})
        fill(
            self,
            _rules(gates=gates, suites=suites, slices=slices, monitors=monitors, objectives=objectives, outcomes=outcomes, batch=batch),
        )
        for value, kind, argument in ((rollout, Rollout, "rollout"), (retrain, Retrain, "retrain"), (playbook, Playbook, "playbook")):
            _kind(value, (kind, type(None)), argument)
        amounts = {key: money(value, f"costs[{key!r}]") for key, value in mapping(costs, "costs").items()}
        fill(self, {"rollout": rollout or _default_rollout(task), "playbook": playbook or Playbook(), "costs": amounts})
        fill(self, {"autonomy": _autonomy(autonomy), "retrain": retrain})

    def replace(self, name: str | None = None, **changes: Any) -> Model:
        """Make a variant: `price.replace("price-vic", data=vic)`. Raises DeclarationError for an unknown argument."""
        known = {field.name: getattr(self, field.name) for field in fields(self)}
        for key in changes:
            if key not in known:
                raise fail("replace", f'"{key}" is not an argument of Model', fix=", ".join(known))
        given = known | ({} if name is None else {"name": name}) | changes
        return Model(given.pop("name"), **given)

    def fit(self, **hyperparameters: Value) -> Any:
        """Make the recorded run of `flyball train` with these hyperparameters, in the project of the working directory, and return it.

        For notebooks: the run has `.metrics`, `.verdicts`, `.version` and `.register()`. Code in cells is stored as source. Raises FlyballError.
        """
        # a declaration knows no project: the command line does, and is loaded for this alone
        return import_module("flyball.cli.notebook").fit(self, hyperparameters)

    def frame(self) -> Any:
        """The rows that a run would learn from now, as a Polars frame: time, features, label. For notebooks. Raises FlyballError."""
        return import_module("flyball.cli.notebook").frame(self)

    @property
    def slice_names(self) -> tuple[str, ...]:
        """The names of the declared slices, in order."""
        return tuple(part.name for part in self.slices)

    @property
    def label_column(self) -> str:
        """The label's name, wherever it arrives."""
        return self.label.column if isinstance(self.label, Label) else self.label

    @property
    def label_delay(self) -> Span:
        """How long after a row's time its label is known (the column's `known_after`, or the label's `within`); never below 0."""
        if isinstance(self.label, Label):
            return self.label.within
        declared = self.data.columns.get(self.label)
        return Span(max(0, declared.known_after)) if declared else Span(0)


_autonomy = autonomy


def _default_rollout(task: str) -> Rollout:
    """What is written when no rollout is: errors and, by labels, the loss of the task are held to the champion's."""
    guards = [metric("error_rate") <= champion * 1.25]
    if task in CLASSES:
        guards.append(metric("accuracy") >= champion - 0.05)
    elif task in NUMBERS:
        guards.append(metric("mae") <= champion * 1.1)
    return Rollout(guards=guards).shadow("1d").canary("10%", "1d")


def _kind(value: object, kinds: type[Any] | tuple[type[Any], ...], argument: str) -> None:
    if not isinstance(value, kinds):
        wanted = " or ".join(kind.__name__ for kind in (kinds if isinstance(kinds, tuple) else (kinds,)) if kind is not type(None))
        raise fail(argument, f"{value!r} does not belong here", fix=f"pass a {wanted}")


def _review(given: Any) -> Expr | None:
    if given is None or is_expression(given):
        return given
    raise fail("review", f"{given!r:.80} is not a Polars expression", fix='write pl.col("score") >= 0.5')


def _fallback(given: Any) -> Value | None:
    if isinstance(given, float):
        return finite(given, "fallback")
    if isinstance(given, str):
        return text(given, "fallback")
    if given is None or isinstance(given, int | bool):
        return given
    raise fail("fallback", f"{given!r:.80} is not a number, text or bool")


def _transforms(given: Any) -> dict[str, Expr] | Code:
    if given is None:
        return {}
    if isinstance(given, Mapping):
        for key, value in given.items():
            text(key, "transforms")
            if not is_expression(value):
                raise fail(f"transforms[{key!r}]", f"{value!r} is not a Polars expression", fix='write pl.col("a") - pl.col("b")')
        return dict(given)
    if isinstance(given, Function) or callable(given):
        return given  # type: ignore[no-any-return]  # callable() narrows to a bare callable
    raise fail("transforms", f"{given!r} is neither expressions nor a function", fix='write transforms={"gap": pl.col("a") - pl.col("b")}')


def _slices(given: Any) -> tuple[Slice, ...]:
    if isinstance(given, str):
        return (Slice(text(given, "slices")),)
    if isinstance(given, Mapping):
        for key, value in given.items():
            if not is_expression(value):
                raise fail(f"slices[{key!r}]", f"{value!r} is not a Polars expression", fix='write {"large": pl.col("amount") > 1_000}')
        return tuple(Slice(text(key, "slices"), value) for key, value in given.items())
    return tuple(
        item if isinstance(item, Slice) else Slice(text(item, "slices")) for item in items(given, "slices") if not isinstance(item, Suite)
    )


def _subject(*, name: Any, task: Any, data: Any, label: Any, train: Any, framing: Any) -> dict[str, object]:
    _kind(data, Dataset, "data")
    _kind(label, (str, Label), "label")
    _kind(train, (Train, type(None)), "train")
    _kind(framing, (Framing, type(None)), "framing")
    return {
        "name": name_of(name, "model"),
        "task": one_of(task, _TASKS, "task"),
        "data": data,
        "label": text(label, "label") if isinstance(label, str) else label,
        "train": train,
        "framing": framing or Framing(""),
    }


def _columns(inputs: Any, features: Any, transforms: Any, slices: Any) -> dict[str, object]:
    return {
        "inputs": None if inputs is None else names(inputs, "inputs"),
        "features": listed(features, "features", (FeatureView,), "pass fb.FeatureView objects"),
        "transforms": _transforms(transforms),
        "slices": _slices(slices),
    }


def _rules(*, gates: Any, suites: Any, slices: Any, monitors: Any, objectives: Any, outcomes: Any, batch: Any) -> dict[str, object]:
    cases, rules = _cases(slices, suites, gates)
    watched = (Drift("inputs"),) if monitors is None else monitors
    return {
        "suites": cases,
        "gates": rules,
        "monitors": listed(watched, "monitors", (Check, AnyOf, Drift), 'write monitors=[fb.drift(), fb.metric("accuracy") >= 0.6]'),
        "objectives": listed(objectives, "objectives", (Objective,), "pass fb.Objective objects"),
        "outcomes": listed(outcomes, "outcomes", (Outcome,), "pass fb.Outcome objects"),
        "batch": listed(batch, "batch", (Batch,), "pass fb.Batch objects"),
    }


def _cases(slices: Any, suites: Iterable[Suite], gates: Any) -> tuple[tuple[Suite, ...], tuple[Gate, ...]]:
    """Suites may stand among slices or gates; they are kept apart."""
    rules: tuple[Any, ...] = (gates,) if isinstance(gates, Check | AnyOf | Approval | Suite) else items(gates, "gates")
    for place, rule in enumerate(rules):
        if not isinstance(rule, Check | AnyOf | Approval | Suite | Function) and not callable(rule):
            raise not_a_gate(f"gates[{place}]", rule)
    among = [] if isinstance(slices, Mapping | str) else [item for item in items(slices, "slices") if isinstance(item, Suite)]
    given = listed(suites, "suites", (Suite,), "pass fb.suite(…)")
    found = [*given, *among, *(rule for rule in rules if isinstance(rule, Suite))]
    return tuple(found), tuple(rule for rule in rules if not isinstance(rule, Suite))
