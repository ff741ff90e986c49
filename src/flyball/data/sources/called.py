"""Frames and functions of a loop file: read in this process where they are at hand, else from what a child that holds the code has written."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import polars as pl
from polars.exceptions import PolarsError

from flyball.data.forms import polars_of
from flyball.data.sources import parquet
from flyball.data.sources.access import Access
from flyball.data.sources.typed import keys, typed
from flyball.data.sources.wrong import Wrong
from flyball.data.types import schema
from flyball.declare.data import Dataset
from flyball.declare.functions import Frame, Function
from flyball.declare.source import is_project_file
from flyball.errors import BadInput


def batches(dataset: Dataset, access: Access, wrong: Wrong) -> Iterator[pl.DataFrame]:
    """The rows of a frame, or of what a function gives. Raises BadInput for code that raises, and what the child's keeper raises."""
    shown = f'data set "{dataset.name}"'
    types = schema(dataset)
    if not isinstance(dataset.source, Function | Frame):
        for frame in frames(dataset):
            made = typed(frame, types, shown, wrong)
            if made is not None:
                keys(dataset, made, shown, wrong)
                yield made
        return
    with access.folder() as folder:
        access.run(dataset, Path(folder))
        files = sorted(Path(folder).glob("*.parquet"))
        # of many parts each has its own number; of one, nobody asks which it is
        named = [(path, shown if len(files) == 1 else f"{shown} part {place:,}") for place, path in enumerate(files, 1)]
        for made, part, first in parquet.batches(named, types, wrong):
            keys(dataset, made, part, wrong, first)
            yield made


def frames(dataset: Dataset) -> Iterator[pl.DataFrame]:
    """What the source of a data set gives within this process: one frame, or those that a generator yields. Raises BadInput."""
    source = dataset.source
    if not callable(source):
        yield polars(dataset, source)
        return
    try:
        given = source()
        parts = iter(given) if _many(given) else iter((given,))
    except Exception as error:  # the user's own code runs here: whatever it raises is theirs to read
        raise _raised(dataset, error, source) from error
    # one part at a time: a generator is how a source gives more than memory holds
    while (part := _next(dataset, parts, source)) is not _END:
        yield polars(dataset, part)


def polars(dataset: Dataset, frame: Any) -> pl.DataFrame:
    """A frame of any of the kinds that are taken: Polars, Arrow, pandas. Raises BadInput for what is none."""
    try:
        made = polars_of(frame)
    except (PolarsError, ValueError, TypeError) as error:
        # which may show a value
        why = type(error).__name__ if dataset.identifying else (str(error).splitlines() or [""])[0][:200]
        raise BadInput(f'data set "{dataset.name}": its frame cannot be read', why=why, fix="keep one type a column") from error
    if made is not None:
        return made
    raise BadInput(
        f'data set "{dataset.name}": its source gives {type(frame).__name__}',
        why="a frame of Polars, pandas or Arrow is a data set, or a generator of such frames",
        fix="return a pl.DataFrame",
    )


_END: Final = object()


def _next(dataset: Dataset, parts: Iterator[Any], source: Callable[..., Any]) -> Any:
    try:
        return next(parts, _END)
    except Exception as error:  # as above
        raise _raised(dataset, error, source) from error


def _many(value: Any) -> bool:
    return isinstance(value, Iterator) or (isinstance(value, list | tuple) and not hasattr(value, "_fields"))


def _raised(dataset: Dataset, error: Exception, source: Callable[..., Any] | Any) -> BadInput:
    at = place(error)
    where = f", at {at}" if at else ""
    name = getattr(source, "__name__", "")
    return BadInput(
        f'data set "{dataset.name}": its source raised {type(error).__name__}: {error}',
        why=f"{name or 'the function'} is the project's own code{where}",
        fix="correct the function, or name a file",
    )


def place(error: BaseException) -> str:
    """File and line of the innermost frame of the project's own code; empty where none is."""
    trace, found = error.__traceback__, ""
    while trace is not None:
        file = trace.tb_frame.f_code.co_filename
        if is_project_file(file):
            own = Path(file)
            inside = bool(sys.path) and own.is_relative_to(sys.path[0])
            found = f"{own.relative_to(sys.path[0]).as_posix() if inside else own.name}:{trace.tb_lineno}"
        trace = trace.tb_next
    return found
