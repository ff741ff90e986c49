"""What a look at a source comes to: pure."""

from __future__ import annotations

from flyball.declare.data import Dataset
from flyball.records.data import DataCommitted, DataRefused, DatasetRow, DatasetVersion


def due(row: DatasetRow | None, mark: str) -> bool:
    """Whether a source with this mark has to be looked at: it was neither committed nor refused as it is."""
    if row is None:
        return True
    return mark != (row.refused_mark or (row.head.source_mark if row.head else ""))


def named_source(dataset: Dataset) -> str:
    """The path or glob of a data set; empty for a frame or a callable, which has no name that lasts."""
    return dataset.source if isinstance(dataset.source, str) else ""


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
    return row.head != found.version or bool(row.refused_mark) or row.findings != found.findings
