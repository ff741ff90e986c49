"""Rows of a stored version, a page at a time. Whose they are is not shown: for that there is `flyball data export`, which asks for more rights."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import polars as pl

from flyball.api import pages
from flyball.api.answers import DataRow
from flyball.api.asking import Asked
from flyball.api.pages import Page
from flyball.data import manifest
from flyball.data.commit import baseline_of
from flyball.declare.data import Dataset
from flyball.errors import Conflict
from flyball.loop import comparing
from flyball.loop.erasing import datasets, declared_models
from flyball.records.data import DATASET_VERSIONS, DatasetVersion
from flyball.store.blobs import Blobs


def page(asked: Asked, version: DatasetVersion) -> Page:
    """Some rows of a version. Raises BadInput, Conflict where no declaration says which columns are of persons, NotFound where its rows were let go,
    Corrupt.
    """
    state, library = asked.state(), asked.ports.library
    declared = datasets(declared_models(state, library)).get(version.name)
    if declared is None:
        raise Conflict(
            f"rows of data set {version.name} are not shown",
            why="no model declares it any more, so nobody says which columns are of persons",
            fix="declare it, then flyball apply",
        )
    list_name = f"{DATASET_VERSIONS.name}/{version.content}"
    limit, after = pages.limit_of(asked.query), pages.after_of(asked.query, list_name)
    start = pages.number_of(after) or 0
    frame = _part(comparing.held(state, version), asked, start, limit + 1)
    may = _shown(declared, version, asked.wired.blobs)
    shown = frame.head(limit).select(name for name in frame.columns if name in may)
    items = [DataRow(index=start + place, row=_plain(row)) for place, row in enumerate(shown.iter_rows(named=True))]
    if not shown.width:
        items = [DataRow(index=start + place, row={}) for place in range(min(frame.height, limit))]
    return Page(items, pages.cursor(list_name, str(start + limit)) if frame.height > limit else None)


def _shown(declared: Dataset, version: DatasetVersion, blobs: Blobs) -> set[str]:
    """The columns of a version that say of nobody whose a row is: as it is declared now, and of what is declared no more, as it was then."""
    then = baseline_of(version, blobs)
    told = {column.bins.column for column in then.columns} if then is not None else set()
    return ({*declared.names} | told) - {*declared.identifying, version.subject}


def _part(content: str, asked: Asked, start: int, rows: int) -> pl.DataFrame:
    """Some rows of a content; of the chunks before and behind them, none is read."""
    blobs = asked.wired.blobs
    whole = manifest.manifest(content, blobs)
    found = [manifest.nothing(whole)]
    for chunk in whole.chunks:
        if rows <= 0:
            break
        if start < chunk.rows:
            found.append(manifest.read(chunk.content, blobs).slice(start, rows))
            rows -= found[-1].height
        start = max(0, start - chunk.rows)
    return pl.concat(found)


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    return {name: f"{value.isoformat()}Z" if isinstance(value, datetime) else value for name, value in row.items()}
