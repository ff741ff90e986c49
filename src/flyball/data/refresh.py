"""One look at a source: mark, read, contract, commit. Cheap when the mark is one that was seen before."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from flyball.data import contract, source
from flyball.data.commit import commit
from flyball.data.erasures import NONE, Erasures
from flyball.data.rules import due, is_news
from flyball.data.subjects import heeded
from flyball.declare.data import Dataset
from flyball.errors import BadInput
from flyball.ledger.bounds import clipped
from flyball.records.data import DataCommitted, DataRefused, DatasetRow
from flyball.store.blobs import Blobs

MOST, LONGEST = 20, 500
"""Violations that an event lists, and bytes of each; the rest are counted."""


def refresh(
    dataset: Dataset, root: Path, blobs: Blobs, row: DatasetRow | None, erased: Callable[[], Erasures] = lambda: NONE
) -> DataCommitted | DataRefused | None:
    """The event that a look at the source comes to; None if it is as it was, or changed while it was being read.

    Rows of persons who were erased are left out, and counted in the version. `erased` tells who they are; it is asked only where the source
    is to be read.

    What is read while somebody writes it is neither committed nor refused: the next look sees another mark and reads it again.
    """
    mark = source.mark(dataset, root)
    if not due(row, mark):
        return None
    erasures = erased()
    try:
        frame = source.read(dataset, root)
    except BadInput as error:
        if source.mark(dataset, root) != mark:
            return None
        return _news(row, _refused(dataset, mark, [str(problem) for problem in error.problems] or [str(error)]))
    whole, frame = frame.height, heeded(dataset, frame, erasures)
    broken = contract.violations(dataset, frame)
    if source.mark(dataset, root) != mark:
        return None
    if broken:
        return _news(row, _refused(dataset, mark, list(broken)))
    head = row.head if row else None
    version = commit(dataset, frame, blobs, head, mark, erasures=erasures, erased=whole - frame.height)
    return _news(row, DataCommitted(version=version))


def _news(row: DatasetRow | None, found: DataCommitted | DataRefused) -> DataCommitted | DataRefused | None:
    return found if is_news(row, found) else None


def _refused(dataset: Dataset, mark: str, texts: list[str]) -> DataRefused:
    shown = [clipped(text, LONGEST) for text in texts[:MOST]]
    more = [] if len(texts) <= MOST else [f"and {len(texts) - MOST:,} more"]
    return DataRefused(name=dataset.name, source_mark=mark, violations=(*shown, *more))
