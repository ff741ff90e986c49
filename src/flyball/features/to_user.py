"""Frames and columns as the user's function asks for them: Polars, pandas or NumPy, by the parameter's annotation."""

from __future__ import annotations

import importlib.util
import inspect
import typing
from collections.abc import Callable
from typing import Any, Literal

import polars as pl

from flyball.errors import DeclarationError

Kind = Literal["polars", "pandas", "numpy"]


def kind_of(function: Callable[..., Any], parameter: str) -> Kind:
    """What `function` wants `parameter` to be; Polars where nothing, or nothing known, is written there."""
    annotation = _annotation(function, parameter)
    if isinstance(annotation, str):  # a name that could not be resolved here: what it is called must do
        known: dict[str, Kind] = {"pd.": "pandas", "pandas.": "pandas", "np.": "numpy", "numpy.": "numpy", "npt.": "numpy"}
        return next((kind for start, kind in known.items() if annotation.strip("'\"").startswith(start)), "polars")
    home = getattr(typing.get_origin(annotation) or annotation, "__module__", "").split(".")[0]
    return "pandas" if home == "pandas" else "numpy" if home == "numpy" else "polars"


def given(function: Callable[..., Any], parameter: str, value: pl.DataFrame | pl.Series) -> Any:
    """`value` as `function` wants its `parameter`. Raises DeclarationError if that needs pandas and pandas is not installed."""
    return as_kind(value, kind_of(function, parameter))


def as_kind(value: pl.DataFrame | pl.Series, kind: Kind) -> Any:
    """`value` as Polars, pandas or NumPy.

    NumPy: a frame of numbers and bools is float64 (n, k) with NaN for null, any other frame is an object array; a column keeps its own type.
    """
    if kind == "numpy":
        if isinstance(value, pl.Series):
            return value.to_numpy()
        numbers = all(dtype.is_numeric() or dtype == pl.Boolean for dtype in value.dtypes)
        return (value.cast(pl.Float64) if numbers else value).to_numpy()
    if kind == "pandas":
        if importlib.util.find_spec("pandas") is None:
            raise DeclarationError(
                "a function asks for pandas, and pandas is not installed",
                why="a parameter is annotated with a pandas type",
                fix="pip install pandas, or annotate it pl.DataFrame",
            )
        return value.to_pandas()
    return value


def _annotation(function: Callable[..., Any], parameter: str) -> Any:
    try:
        return typing.get_type_hints(function).get(parameter)
    except (NameError, TypeError, AttributeError):
        # the annotation names something that only a type checker imports
        found = inspect.signature(function).parameters.get(parameter)
        return None if found is None or found.annotation is inspect.Parameter.empty else found.annotation
