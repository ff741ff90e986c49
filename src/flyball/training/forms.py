"""Frames and series in the form a user's function asks for by annotation: Polars (the default), pandas or NumPy."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import polars as pl

from flyball.errors import BadInput

Form = Callable[[Any], Any]


def frame_for(function: Any, names: tuple[str, ...] = ("X", "X_valid")) -> Form:
    """How to turn a `pl.DataFrame` into what the parameter `X` of `function` wants."""
    return _form(function, names)


def series_for(function: Any, names: tuple[str, ...] = ("y", "y_valid", "weight", "group")) -> Form:
    """How to turn a `pl.Series` into what the parameter `y` of `function` wants."""
    return _form(function, names)


def _form(function: Any, names: tuple[str, ...]) -> Form:
    try:
        parameters = inspect.signature(function).parameters
    except (TypeError, ValueError):
        return _same
    for name in names:
        if name in parameters:
            # with `from __future__ import annotations` an annotation is its text
            written = parameters[name].annotation
            text = (
                written if isinstance(written, str) else f"{getattr(written, '__module__', '')}.{getattr(written, '__qualname__', written)}"
            )
            return _by_text(text.strip("'\" "))
    return _same


def _by_text(text: str) -> Form:
    if text.startswith(("pd.", "pandas.")):
        return _pandas
    if text.startswith(("np.", "numpy.", "npt.", "numpy.typing.")) or "ndarray" in text or "NDArray" in text:
        return _numpy
    return _same


def _same(value: Any) -> Any:
    return value


def _numpy(value: pl.DataFrame | pl.Series) -> Any:
    if isinstance(value, pl.DataFrame):
        text = [name for name, dtype in value.schema.items() if not (dtype.is_numeric() or dtype == pl.Boolean)]
        if not text:
            return value.cast(pl.Float64).to_numpy()
    return value.to_numpy()


def _pandas(value: pl.DataFrame | pl.Series) -> Any:
    try:
        return value.to_pandas()
    except ModuleNotFoundError as error:
        raise BadInput(
            "a function asks for pandas, which is not installed",
            why="flyball works with Polars and does not bring pandas",
            fix="pip install pandas, or annotate X: pl.DataFrame",
        ) from error
