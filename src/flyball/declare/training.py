"""How a version is made: a plain `fit`, what to search, on which data, held out how."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeAlias

from flyball.clock import Span
from flyball.declare.checks import Metric
from flyball.declare.columns import Value
from flyball.declare.functions import Code, Function
from flyball.declare.units import count, fail, fill, finite, mapping, one_of, size, span, words


class Run(Protocol):
    """The run a `fit` may ask for, by a parameter named `run`."""

    def log(self, **values: float) -> None:
        """Record numbers of this run by name."""
        ...

    def report(self, step: int, value: float) -> None:
        """Tell how good the fit is after `step` steps, by the objective on rows it does not learn from. A trial of a search may end here."""
        ...


@dataclass(frozen=True)
class Integers:
    """Whole numbers from `low` to `high`, both included."""

    low: int
    high: int
    log: bool = False


@dataclass(frozen=True)
class Floats:
    """Numbers from `low` to `high`."""

    low: float
    high: float
    log: bool = False


@dataclass(frozen=True)
class Choice:
    """One of a few values."""

    options: tuple[Value, ...]


Space: TypeAlias = Integers | Floats | Choice


def integers(low: int, high: int, *, log: bool = False) -> Integers:
    """Search whole numbers."""
    for value in (low, high):
        if isinstance(value, bool) or not isinstance(value, int):
            raise fail("integers", f"{value!r} is not a whole number", fix="use fb.floats for others")
    _ordered("integers", low, high, log=log)
    return Integers(low, high, log)


def floats(low: float, high: float, *, log: bool = False) -> Floats:
    """Search numbers; `log` spreads trials evenly over orders of magnitude."""
    made = Floats(finite(low, "floats"), finite(high, "floats"), log)
    _ordered("floats", made.low, made.high, log=log)
    return made


def choice(*options: Value) -> Choice:
    """Search a few values."""
    if not options:
        raise fail("choice", "no options are given")
    for option in options:
        if not isinstance(option, int | float | str | bool):
            raise fail("choice", f"{option!r} is not a number, text or bool")
    return Choice(options)


def _ordered(name: str, low: float, high: float, *, log: bool) -> None:
    if low > high:
        raise fail(name, f"{low} to {high} is empty", fix="write the low end first")
    if log and low <= 0:
        raise fail(name, f"log=True from {low}", why="a logarithm needs positive numbers", fix="start above 0")


@dataclass(frozen=True, init=False, eq=False)
class Train:
    """How a version is made. `window` "auto" is chosen among spans on the hold-out; `memory` is in bytes.

    `objective` is the metric that the search optimises; empty: the task's own.
    """

    fit: Code
    search: dict[str, Space]
    trials: int
    objective: str
    window: Span | Literal["auto"]
    holdout: Span
    split: Literal["time"]
    folds: int
    seed: int
    timeout: Span
    memory: int | None
    predict: Code | None
    save: Code | None
    load: Code | None

    def __init__(
        self,
        fit: Code,
        *,
        search: Mapping[str, Space] | None = None,
        trials: int = 20,
        objective: str | Metric = "",
        window: str | Span = "auto",
        holdout: str | Span = "7d",
        split: str = "time",
        folds: int = 1,
        seed: int = 0,
        timeout: str | Span = "1h",
        memory: str | int | None = None,
        predict: Code | None = None,
        save: Code | None = None,
        load: Code | None = None,
    ) -> None:
        spaces = mapping(search, "search")
        for key, space in spaces.items():
            if not isinstance(space, Integers | Floats | Choice):
                raise fail(f"search[{key!r}]", f"{space!r} is not a search space", fix="use fb.integers, fb.floats or fb.choice")
        fill(
            self,
            {
                "fit": _code(fit, "fit"),
                "search": spaces,
                "trials": count(trials, "trials"),
                "objective": objective.name if isinstance(objective, Metric) else words(objective, "objective"),
                "window": "auto" if window == "auto" else span(window, "window", least=1),
                "holdout": span(holdout, "holdout", least=1),
                "split": one_of(split, ("time",), "split"),
                "folds": count(folds, "folds", least=1),
                "seed": count(seed, "seed"),
                "timeout": span(timeout, "timeout", least=1),
                "memory": None if memory is None else size(memory, "memory"),
                "predict": None if predict is None else _code(predict, "predict"),
                "save": None if save is None else _code(save, "save"),
                "load": None if load is None else _code(load, "load"),
            },
        )


def _code(value: Any, argument: str) -> Code:
    if isinstance(value, Function) or callable(value):
        return value  # type: ignore[no-any-return]  # callable() narrows to a bare callable
    raise fail(argument, f"{value!r} is not a function", fix="pass the function itself, without calling it")
