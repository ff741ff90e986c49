"""How a version is made: a plain `fit`, what to search, on which data, held out how."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeAlias

from flyball.clock import Span
from flyball.declare.checks import Metric
from flyball.declare.columns import Value
from flyball.declare.functions import Code, Function
from flyball.declare.units import count, fail, fill, finite, mapping, one_of, share, size, span, words

SPLITS = ("time", "rolling", "group", "stratified")
"""Which rows judge: the newest; the newest of several moments; all rows of some groups; a share of all rows."""

BY_SHARE = frozenset({"group", "stratified"})

SHARE, MOST_HELD = 0.2, 0.5
"""What is held out of rows without a time, where nothing is declared, and at most."""


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

    `holdout` is a span of time (splits "time" and "rolling"), or a share of the rows ("group" and "stratified"). `objective` is the metric that the search optimises; empty: the task's own.
    """

    fit: Code
    search: dict[str, Space]
    trials: int
    objective: str
    window: Span | Literal["auto"]
    holdout: Span | float
    split: Literal["time", "rolling", "group", "stratified"]
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
        holdout: str | Span | float | None = None,
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
        kind, parts = one_of(split, SPLITS, "split"), count(folds, "folds", least=1)
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
                "holdout": _holdout(holdout, kind, parts),
                "split": kind,
                "folds": parts,
                "seed": count(seed, "seed"),
                "timeout": span(timeout, "timeout", least=1),
                "memory": None if memory is None else size(memory, "memory"),
                "predict": None if predict is None else _code(predict, "predict"),
                "save": None if save is None else _code(save, "save"),
                "load": None if load is None else _code(load, "load"),
            },
        )

    @property
    def by_share(self) -> bool:
        """Whether a share of the rows is held out, wherever in time they lie."""
        return self.split in BY_SHARE

    @property
    def holdout_span(self) -> Span:
        """The time that is held out; none where a share of the rows is."""
        return self.holdout if isinstance(self.holdout, Span) else Span(0)

    @property
    def held(self) -> str:
        """What is held out, as people write it: `7d`, `20%`."""
        return str(self.holdout) if isinstance(self.holdout, Span) else f"{100 * self.holdout:.4g}%"


def _holdout(value: str | Span | float | None, split: str, folds: int) -> Span | float:
    """A span where time splits, else a share: of several parts each is held out once."""
    if split not in BY_SHARE:
        if isinstance(value, float) or (isinstance(value, str) and value.strip().endswith("%")):
            raise fail(
                "holdout",
                f'{value!r} is a share, and split="{split}" holds out the newest rows',
                fix='write a span such as "7d"; or hold out a share of the rows: split="stratified"',
            )
        return span("7d" if value is None else value, "holdout", least=1)
    if isinstance(value, Span) or (isinstance(value, str) and not value.strip().endswith("%")):
        raise fail(
            "holdout",
            f'"{value}" is no share, and split="{split}" holds out a share of the rows, whatever their time',
            fix='write a share such as "20%"; or hold out the newest rows: split="time"',
        )
    held = 1 / folds if folds > 1 else SHARE
    given = held if value is None else share(value, "holdout")
    if folds > 1 and abs(given - held) > 0.005:
        raise fail(
            "holdout", f"{100 * given:.4g}% of {folds} folds", why=f"each of {folds} parts is held out once", fix="leave holdout out"
        )
    if not 0 < given <= MOST_HELD:
        raise fail(
            "holdout",
            f"{100 * given:.4g}% is held out",
            why="something must be left to judge on, and to learn from",
            fix='write such as "20%"',
        )
    return held if folds > 1 else given


def _code(value: Any, argument: str) -> Code:
    if isinstance(value, Function) or callable(value):
        return value  # type: ignore[no-any-return]  # callable() narrows to a bare callable
    raise fail(argument, f"{value!r} is not a function", fix="pass the function itself, without calling it")
