"""What a look at a source comes to: pure."""

from __future__ import annotations

from flyball.records.data import DataCommitted, DataRefused, DatasetRow


def due(row: DatasetRow | None, mark: str) -> bool:
    """Whether a source with this mark has to be looked at: it was neither committed nor refused as it is."""
    if row is None:
        return True
    return mark != (row.refused_mark or (row.head.source_mark if row.head else ""))


def is_news(row: DatasetRow | None, found: DataCommitted | DataRefused) -> bool:
    """Whether the projection does not say so already.

    The same content under a new mark is committed again as the same version: the mark must be remembered, and what was refused before
    is forgotten.
    """
    if row is None:
        return True
    if isinstance(found, DataRefused):
        return row.refused_mark != found.source_mark
    return row.head != found.version or bool(row.refused_mark)
