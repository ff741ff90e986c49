"""Calling a user's `fit` with what it names, in the form it names.

`fit` gets what its parameters ask for: X, y, X_valid, y_valid, weight, group, seed and run by these names; every other parameter is
a hyperparameter with a default. The form of a frame follows the annotation.
"""

from __future__ import annotations

import inspect
import math
import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl

from flyball.data.forms import frame_for, series_for
from flyball.declare.functions import Code, Function
from flyball.errors import BadInput, DeclarationError, Stopped

ROLES = ("X", "y", "X_valid", "y_valid", "weight", "group", "seed", "run")
Parameters = dict[str, int | float | str | bool]


class Pruned(BaseException):
    """A trial has reported that it is not worth going on with. No Exception: a fit that catches all of those must not catch this."""


class OutOfTime(BaseException):
    """A trial has had the time that it may take."""


OURS = (Stopped, Pruned, OutOfTime, KeyboardInterrupt)
"""What goes through a user's function and is not theirs. Ctrl-C among it: a rehearsal and a notebook fit where a person waits."""


def raised(name: str, error: BaseException) -> str:
    """What a user's function did instead of coming back."""
    return (
        f"{name} called sys.exit({error})"
        if isinstance(error, SystemExit)
        else f"{name} raised {type(error).__name__}: {' '.join(str(error).split())}"
    )


@dataclass
class RunLog:
    """The `run` that a fit may ask for: numbers by name, and by step what it reported."""

    values: dict[str, float] = field(default_factory=dict)
    reports: dict[int, float] = field(default_factory=dict)

    def log(self, **values: float) -> None:
        """Record numbers of this run by name. Raises BadInput for what is no number."""
        for name, value in values.items():
            try:
                number = float(value)
            except (TypeError, ValueError) as error:
                raise BadInput(f"run.log({name}={value!r}) is not a number", fix="log numbers") from error
            if not math.isfinite(number):
                raise BadInput(
                    f"run.log({name}={value!r}) is not finite", why="a run's result holds numbers", fix="log it only where it is defined"
                )
            self.values[name] = number

    def report(self, step: int, value: float) -> None:
        """Tell how good the fit is after `step` steps. Raises BadInput for what is no whole step or no number."""
        if type(step) is not int or step < 0:
            raise BadInput(f"run.report({step!r}, …) is no step", fix="count steps from 0 on: run.report(step, value)")
        try:
            self.reports[step] = float(value)
        except (TypeError, ValueError) as error:
            raise BadInput(f"run.report({step}, {value!r}) is not a number", fix="report numbers") from error


@dataclass(frozen=True)
class Part:
    """Rows to fit on. `X` [n, features], `y` [n]; `weight` and `group` [n] where the model has them."""

    X: pl.DataFrame
    y: pl.Series
    weight: pl.Series | None = None
    group: pl.Series | None = None


def hyperparameters(fit: Callable[..., Any]) -> Parameters:
    """The names and defaults of a fit's hyperparameters. Raises DeclarationError for one without a usable default."""
    found: Parameters = {}
    for name, parameter in inspect.signature(fit).parameters.items():
        if name in ROLES or parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        if parameter.default is parameter.empty:
            raise DeclarationError(
                f'fit has a parameter "{name}" without a default',
                why=f"{', '.join(ROLES)} are given by these names; any other parameter is a hyperparameter",
                fix=f"give it a default: {name}=…",
            )
        if isinstance(parameter.default, float) and not math.isfinite(parameter.default):
            raise DeclarationError(
                f"fit: the default of {name} is {parameter.default}",
                why="a run's hyperparameters are written down, and JSON has no such number",
                fix=f"give it a finite default, or {name}: float | None = None",
            )
        if isinstance(parameter.default, int | float | str | bool):
            found[name] = parameter.default
    return found


def call_fit(code: Code, part: Part, valid: Part, parameters: Mapping[str, Any], *, seed: int, run: RunLog) -> Any:
    """Fit. NumPy's and Python's global generators are seeded for the call and put back after it.

    Raises BadInput (code "fit-failed") when fit raises, calls `sys.exit`, or returns nothing.
    """
    if isinstance(code, Function):
        raise DeclarationError(
            f"{code} is a reference to code", why="a decoded declaration cannot run", fix="load the model from its files"
        )
    names = inspect.signature(code).parameters
    frame, series = frame_for(code), series_for(code)
    given: dict[str, Any] = {"X": frame, "y": series, "X_valid": frame, "y_valid": series, "weight": series, "group": series}
    values: dict[str, pl.DataFrame | pl.Series | None] = {
        "X": part.X,
        "y": part.y,
        "X_valid": valid.X,
        "y_valid": valid.y,
        "weight": part.weight if part.weight is not None else pl.Series("weight", np.ones(part.X.height)),
        "group": part.group,
    }
    arguments = {name: None if values[name] is None else make(values[name]) for name, make in given.items() if name in names}
    arguments |= {name: value for name, value in (("seed", seed), ("run", run)) if name in names}
    try:
        with _seeded(seed):
            fitted = code(**arguments, **parameters)
    except OURS:
        raise
    except BaseException as error:  # the user's own fit runs here: whatever it raises is theirs to read
        raise BadInput(
            raised("fit", error),
            why=f"on {part.X.height} rows and {part.X.width} columns, with {_shown(parameters)}; at {place_of(error)}",
            fix="correct fit, then train again",
            code="fit-failed",
        ) from error
    if fitted is None:
        raise BadInput("fit returned None", why="what fit returns is the model", fix="end fit with `return model`", code="fit-failed")
    return fitted


def _shown(parameters: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={value}" for name, value in parameters.items()) or "no hyperparameters"


def place_of(error: BaseException) -> str:
    """File name and line, in the user's code if the traceback shows any beyond this call."""
    trace, place = error.__traceback__, "an unknown line"
    while trace is not None:
        code = trace.tb_frame.f_code
        if "site-packages" not in code.co_filename and code.co_filename != __file__:
            place = f"{code.co_filename.rsplit('/', 1)[-1]}:{trace.tb_lineno}"
        trace = trace.tb_next
    return place


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    # estimators without a random_state draw from these: seeded, the same run gives the same bytes
    numpys, pythons = np.random.get_state(), random.getstate()  # noqa: NPY002 - the global generator is the one they use
    np.random.seed(seed)  # noqa: NPY002
    random.seed(seed)
    try:
        yield
    finally:
        np.random.set_state(numpys)  # noqa: NPY002
        random.setstate(pythons)
