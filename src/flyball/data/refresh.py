"""One look at a source: mark, read, contract, commit. Cheap when the mark is one that was seen before."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import polars as pl

from flyball.data import source
from flyball.data.against import Against
from flyball.data.commit import commit
from flyball.data.erasures import NONE, Erasures
from flyball.data.rules import due, is_news
from flyball.data.sources.access import Access
from flyball.data.subjects import heeded
from flyball.declare.data import Dataset
from flyball.errors import BadInput
from flyball.ledger.bounds import clipped, fullest
from flyball.records.data import DataCommitted, DataRefused, DatasetRow, Finding
from flyball.store.blobs import Blobs

MOST, LONGEST = 20, 500
"""Violations that an event lists, and bytes of each; the rest are counted."""


def refresh(
    dataset: Dataset,
    root: Path | Access,
    blobs: Blobs,
    row: DatasetRow | None,
    erased: Callable[[], Erasures] = lambda: NONE,
    against: Against = Against(),  # noqa: B008 - a value
) -> DataCommitted | DataRefused | None:
    """The event that a look at the source comes to; None if it is as it was, or changed while it was being read.

    Rows of persons who were erased are left out, and counted in the version. `erased` tells who they are; it is asked only where the source
    is to be read. `against`: what the rows are compared with.

    What is read while somebody writes it is neither committed nor refused: the next look sees another mark and reads it again.
    """
    mark = source.mark(dataset, root)
    if not due(row, mark):
        return None
    erasures, head = erased(), row.head if row else None
    frames: list[pl.DataFrame] = []
    checker, whole = against.checker(dataset, root, blobs, head, lambda: frames), 0
    try:
        for batch in source.stream(dataset, root):
            whole += batch.height
            frames.append(heeded(dataset, batch, erasures))
            checker.add(frames[-1])
    except BadInput as error:
        if source.mark(dataset, root) != mark:
            return None
        return _news(row, _refused(dataset, mark, [str(problem) for problem in error.problems] or [str(error)], []))
    found = checker.findings()
    if source.mark(dataset, root) != mark:
        return None
    broken = [finding.text for finding in found if finding.severity == "block"]
    if broken:
        return _news(row, _refused(dataset, mark, broken, found))
    frame = source.in_order(dataset, frames)
    version = commit(dataset, frame, blobs, head, mark, erasures=erasures, erased=whole - frame.height)
    told = _bounded(found)
    return _news(row, fullest(lambda n: DataCommitted(version=version, findings=told[:n]), len(told)))


def _news(row: DatasetRow | None, found: DataCommitted | DataRefused) -> DataCommitted | DataRefused | None:
    return found if is_news(row, found) else None


def _refused(dataset: Dataset, mark: str, texts: list[str], findings: Sequence[Finding]) -> DataRefused:
    shown = [clipped(text, LONGEST) for text in texts[:MOST]]
    more = [] if len(texts) <= MOST else [f"and {len(texts) - MOST:,} more"]
    told = _bounded(findings)
    return fullest(
        lambda n: DataRefused(name=dataset.name, source_mark=mark, violations=(*shown, *more), findings=told[:n]),
        len(told),
    )


def _bounded(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """As many findings as an event lists, those that block first, each cut where it is long."""
    first = sorted(findings, key=lambda finding: finding.severity != "block")[:MOST]
    return tuple(msgspec.structs.replace(finding, text=clipped(finding.text, LONGEST)) for finding in first)
