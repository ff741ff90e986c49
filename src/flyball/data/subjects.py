"""Which rows of a frame are whose, and which of a source's may be held. Pure."""

from __future__ import annotations

import polars as pl

from flyball.data.erasures import Erasures
from flyball.data.types import instants
from flyball.declare.data import Dataset


def texts(frame: pl.DataFrame, column: str) -> pl.Series:
    """The values of a column as a person writes them: whole numbers without a point."""
    return frame[column].cast(pl.String)


def heeded(dataset: Dataset, frame: pl.DataFrame, erasures: Erasures) -> pl.DataFrame:
    """The rows of a source (as `source.read` gives them) that may be held.

    A row counts as known when it arrived, else at its time; where a data set has neither, whoever was erased stays out for good.
    """
    if not dataset.subject or not erasures.until:
        return frame
    who = texts(frame, dataset.subject)
    hashed = {value: erasures.keyed(value) for value in who.unique().to_list() if value is not None}
    until = {value: erasures.until[subject] for value, subject in hashed.items() if subject in erasures.until}
    if not until:
        return frame
    limit = who.replace_strict(list(until), list(until.values()), default=None, return_dtype=pl.Int64)
    known = dataset.arrived or dataset.time
    moment = frame.select(instants(known)).to_series() if known else pl.repeat(None, frame.height, dtype=pl.Int64, eager=True)
    return frame.filter(~(limit.is_not_null() & (moment.is_null() | (moment <= limit))))
