"""What a look at a source comes to: pure."""

from __future__ import annotations

import hashlib
from typing import Final

from flyball.declare.data import Dataset, Sql
from flyball.declare.elsewhere import is_elsewhere, is_folder
from flyball.declare.functions import Frame, Function, is_frame
from flyball.declare.model import Model
from flyball.records.data import DataCommitted, DataRefused, DatasetRow, DatasetVersion

PUSHED: Final = "push://"


def due(row: DatasetRow | None, mark: str) -> bool:
    """Whether a source with this mark has to be looked at: it was neither committed nor refused as it is."""
    if row is None:
        return True
    return mark != (row.refused_mark or (row.head.source_mark if row.head else ""))


def is_timed(dataset: Dataset) -> bool:
    """Whether nothing short of reading tells that the source has changed: it is read again after a while."""
    source = dataset.source
    return isinstance(source, Sql | Function) or (callable(source) and not is_frame(source))


def is_pushed(dataset: Dataset) -> bool:
    """Whether callers send its rows."""
    return isinstance(dataset.source, str) and dataset.source.startswith(PUSHED)


def is_form(model: Model, dataset: Dataset) -> bool:
    """Whether a data set only says what the columns of predictions are that callers send of a model that is served elsewhere: nobody reads its rows."""
    return is_elsewhere(model) and dataset.name == model.data.name and is_pushed(dataset) and not is_folder(model)


def is_apart(model: Model, dataset: Dataset) -> bool:
    """Whether the files of a data set stand for themselves, so that a broken one is left out: they are the predictions of a model that is served elsewhere,
    and nothing is learnt from what is missing.
    """
    return is_folder(model) and dataset.name == model.data.name


def named_source(dataset: Dataset) -> str:
    """What tells a data set's source from another: its path, glob or scheme, else a digest of its query, function or frame.

    Empty for a function or frame of this process, which has no name that lasts.
    """
    source = dataset.source
    if isinstance(source, str):
        return source
    if isinstance(source, Sql):
        url = source.url if isinstance(source.url, str) else source.url.name
        return f"sql:{hashlib.sha256(f'{url}{chr(0)}{source.text}'.encode()).hexdigest()[:32]}"
    return f"{type(source).__name__.lower()}:{source.digest[:32]}" if isinstance(source, Function | Frame) else ""


def told_source(dataset: Dataset) -> str:
    """A data set's source in a few words; an address, which may hold a password, is left out."""
    source = dataset.source
    if isinstance(source, str):
        return source
    if isinstance(source, Sql):
        return "a query" if isinstance(source.url, str) else f"a query at {source.url.name}"
    return f"{source}" if isinstance(source, Function) else "a frame" if is_frame(source) else "a function"


def usable(row: DatasetRow | None, dataset: Dataset) -> DatasetVersion | None:
    """The version to train on: the newest good one, unless it was read from another source than the one declared now."""
    head = row.head if row is not None else None
    if head is None or (head.source and named_source(dataset) and head.source != named_source(dataset)):
        return None
    return head


def is_news(row: DatasetRow | None, found: DataCommitted | DataRefused) -> bool:
    """Whether the projection does not say so already.

    The same content under a new mark is committed again as the same version: the mark must be remembered, and what was refused before
    is forgotten.
    """
    if row is None:
        return True
    if isinstance(found, DataRefused):
        return row.refused_mark != found.source_mark
    return row.head != found.version or bool(row.refused_mark) or (row.findings, row.unlisted) != (found.findings, found.unlisted)
