"""Frames and series in the form a user's function asks for by annotation: Polars (the default), pandas or NumPy; and back.

Every function of a loop file that takes a frame is asked here: fit and predict, transforms, gates.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any, Final, get_args

import polars as pl

from flyball.errors import BadInput

Form = Callable[[Any], Any]


def frame_for(function: Any) -> Form:
    """How to turn a `pl.DataFrame` into what the parameter `X` (or `X_valid`) of `function` wants."""
    return _form(function, ("X", "X_valid"))


def series_for(function: Any) -> Form:
    """How to turn a `pl.Series` into what the first of the parameters `y`, `y_valid`, `weight` and `group` of `function` wants."""
    return _form(function, ("y", "y_valid", "weight", "group"))


def first_for(function: Any) -> Form:
    """How to turn a `pl.DataFrame` into what the first parameter of `function` wants, whatever its name."""
    return _form(function, tuple(_parameters(function))[:1])


def asks_pandas(function: Any) -> bool:
    """Whether the first parameter of `function` is a pandas frame."""
    return first_for(function) is _pandas


def polars_of(value: Any) -> pl.DataFrame | None:
    """A Polars frame of what a function gave: a frame of Polars (lazy too), pandas (its index is none of its columns) or Arrow; None for all
    else.

    Raises ValueError for a column of mixed types, or one that is there twice.
    """
    if isinstance(value, pl.DataFrame):
        return value
    if isinstance(value, pl.LazyFrame):
        return value.collect()
    kind = type(value)
    home, name = kind.__module__.partition(".")[0], kind.__name__
    if (home, name) == ("pandas", "DataFrame"):
        return _of_pandas(value)
    if (home, name) == ("pyarrow", "Table"):
        made = pl.from_arrow(value)
        assert isinstance(made, pl.DataFrame)
        return made
    return None


def _of_pandas(frame: Any) -> pl.DataFrame:
    """By way of Arrow, which says no to a column of mixed types."""
    import pyarrow as pa

    names = [str(name) for name in frame.columns]
    twice = next((name for name in names if names.count(name) > 1), "")
    if twice:
        raise ValueError(f'column "{twice}" is there twice')
    made = pl.from_arrow(pa.Table.from_pandas(frame, preserve_index=False))
    assert isinstance(made, pl.DataFrame)
    return made


def _form(function: Any, names: tuple[str, ...]) -> Form:
    parameters = _parameters(function)
    found = next((parameters[name].annotation for name in names if name in parameters), None)
    return next((_FORMS[kind] for kind in _kinds(found) if kind in _FORMS), _same)


def _parameters(function: Any) -> Mapping[str, inspect.Parameter]:
    """What it takes; annotations that are text as what they name, where that is there."""
    for told in (True, False):
        with suppress(Exception):  # an annotation is the user's own code, and may name what only a type checker imports
            return inspect.signature(function, eval_str=told).parameters
    return {}


def _kinds(annotation: Any) -> Iterator[str]:
    """The library of every type that an annotation names: one, or those of `A | None`, `Optional[A]`, `Annotated[A, …]`."""
    if isinstance(annotation, str):
        text = annotation.strip("'\" ")
        array = "ndarray" in text or "NDArray" in text
        yield "numpy" if array else _SHORT.get(text.partition(".")[0], text.partition(".")[0])
        return
    yield str(getattr(annotation, "__module__", "")).partition(".")[0]
    for one in get_args(annotation):
        yield from _kinds(one)


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
            fix="pip install pandas, or annotate the parameter as pl.DataFrame",
        ) from error


_SHORT: Final = {"pd": "pandas", "np": "numpy", "npt": "numpy"}
_FORMS: Final[dict[str, Form]] = {"pandas": _pandas, "numpy": _numpy, "polars": _same}
