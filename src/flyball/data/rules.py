"""What a look at a source comes to: pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from flyball.records.data import DataCommitted, DataRefused, DatasetRow, DatasetVersion


@dataclass(frozen=True)
class Good:
    """The source was read and holds its contract."""

    version: DatasetVersion


@dataclass(frozen=True)
class Bad:
    """The source cannot be read, or does not hold its contract; every reason."""

    name: str
    mark: str
    violations: Sequence[str]


def due(row: DatasetRow | None, mark: str) -> bool:
    """Whether a source with this mark has to be looked at: it was neither committed nor refused as it is."""
    if row is None:
        return True
    return mark != (row.refused_mark or (row.head.source_mark if row.head else ""))


def decide_commit(row: DatasetRow | None, outcome: Good | Bad) -> DataCommitted | DataRefused | None:
    """The event that says what was found; None if the projection says so already.

    The same content under a new mark is committed again as the same version: the mark must be remembered, and what was refused before
    is forgotten.
    """
    if isinstance(outcome, Bad):
        if row is not None and row.refused_mark == outcome.mark:
            return None
        return DataRefused(name=outcome.name, source_mark=outcome.mark, violations=tuple(outcome.violations))
    if row is not None and row.head == outcome.version and not row.refused_mark:
        return None
    return DataCommitted(version=outcome.version)
