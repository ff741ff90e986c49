"""One look at a source: mark, read, contract, commit. Cheap when the mark is one that was seen before."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import msgspec
import polars as pl

from flyball.data import contract, source
from flyball.data.against import Against
from flyball.data.commit import scan, version_of
from flyball.data.contract.rule import NAMED
from flyball.data.contract.sets import Again
from flyball.data.erasures import NONE, Erasures
from flyball.data.ordering import in_order
from flyball.data.rules import due, is_news, is_pushed, is_timed
from flyball.data.sources import files
from flyball.data.sources.access import Access, access
from flyball.data.sources.pushed import bounded
from flyball.data.sources.spool import Spool
from flyball.data.subjects import heeded
from flyball.data.writing import Written
from flyball.declare.data import Dataset
from flyball.errors import BadInput, FlyballError, Problem
from flyball.ledger.bounds import clipped, counted, fullest
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

    A source that must be read to be known (a query, a function) is read whenever it is looked at; the same rows come to nothing.

    Where files stand `apart`, those that are broken are left out, and said; they are read when the mark changes.

    What is read while somebody writes it is neither committed nor refused: the next look sees another mark and reads it again.
    """
    at, head = root if isinstance(root, Access) else access(root), row.head if row else None
    told: list[Erasures] = []
    if is_pushed(dataset):
        at = bounded(dataset, at, head, lambda: scan(told[0].present(head.content), blobs) if head is not None else iter(()))
    mark, timed = source.mark(dataset, at), is_timed(dataset)
    if not timed and not due(row, mark):
        return None
    told.append(erasures := erased())

    def looked(at: Access) -> DataCommitted | DataRefused | None:
        with Spool(lambda: source.stream(dataset, at), at.folder) as spool:
            # a query asked again may give other rows; a file is what its mark says
            rows = spool if timed else lambda: source.stream(dataset, at)
            reading = _Reading(dataset, at, erasures, lambda again: against.checker(dataset, at, blobs, head, again), mark, rows)
            return _committed(dataset, at, blobs, row, reading, timed=timed)

    try:
        return looked(at)
    except _LeftOutError as error:
        # of the same mark: a file that is whole by now would be left out of a version that says it holds it
        return looked(replace(at, apart=False, left=error.files))


def not_read(dataset: Dataset, root: Path | Access, error: FlyballError) -> DataRefused:
    """What is recorded of a source that could not be looked at. The mark is none that a look ever comes to: the next one reads it again."""
    return DataRefused(name=dataset.name, source_mark=f"{source.mark(dataset, root)}-unread", violations=(clipped(str(error), LONGEST),))


def _committed(
    dataset: Dataset, at: Access, blobs: Blobs, row: DatasetRow | None, reading: _Reading, *, timed: bool
) -> DataCommitted | DataRefused | None:
    mark, erasures, head = reading.mark, reading.erasures, row.head if row else None
    try:
        written = in_order(reading.batches, dataset.time, lambda frames: Written(dataset, frames, blobs), scratch=at.scratch)
    except _ChangedError:
        return None
    except _BrokenError:
        texts = [finding.text for finding in reading.findings if finding.severity == "block"]
        return _news(row, _refused(dataset, mark, texts, reading.findings, timed=timed))
    except BadInput as error:
        if source.mark(dataset, at) != mark:
            return None
        if at.apart and isinstance(error, source.BrokenFiles):
            raise _LeftOutError(error.files) from None
        told = [str(problem) for problem in (*at.left, *error.problems)] or [str(error)]
        return _news(row, _refused(dataset, mark, told, [], timed=timed))
    version = version_of(dataset, written, blobs, head, mark, erasures=erasures, erased=reading.erased)
    every = [*_left_out(dataset, at), *reading.findings]
    found = _bounded(every)
    return _news(row, fullest(lambda n: DataCommitted(version=version, findings=found[:n], unlisted=len(every) - n), len(found)))


def _left_out(dataset: Dataset, at: Access) -> list[Finding]:
    """What is said of the files that were left out: one finding at most, which leaves room for all others."""
    if not at.left:
        return []
    one, there, left = at.left[0], len(files.paths(dataset, at.root)), len(at.left)
    why = f" ({one.why.rstrip('.')})" if one.why else ""
    out = f"it and {left - 1:,} more are left out" if left > 1 else "it is left out"
    taken = f"the {there - left:,} other files are taken" if there - left != 1 else "the other file is taken"
    named = tuple(each.where for each in at.left[:NAMED])
    rest = f", and {left - NAMED:,} more" if left > NAMED else ""
    others = f"; broken, too: {', '.join(named[1:])}{rest}" if left > 1 else ""
    text = f"{one.where}: {one.what}{why}; {out}, {taken}{others}"
    return [Finding(rule="broken", severity="warn", text=text, count=left, of=there, values=named)]


Rows = Callable[[], Iterator[pl.DataFrame]]
"""Gives the rows of a source, each time the same ones."""


class _ChangedError(Exception):
    """Somebody writes the source: what was read is not used."""


class _LeftOutError(Exception):
    """Broken files are to be left out, and all others read anew."""

    def __init__(self, files: tuple[Problem, ...]) -> None:
        super().__init__()
        self.files = files


class _BrokenError(Exception):
    """What was read does not hold its contract."""


class _Reading:
    """One look at the rows of a source, which are checked as they pass. What is wrong is raised at their end, before the last of them are used."""

    def __init__(
        self, dataset: Dataset, at: Access, erasures: Erasures, checker: Callable[[Again], contract.Checker], mark: str, rows: Rows
    ) -> None:
        self._dataset, self._at, self._checker, self._rows = dataset, at, checker, rows
        self.erasures, self.mark = erasures, mark
        self.findings: list[Finding] = []
        self.erased = 0

    def batches(self) -> Iterator[pl.DataFrame]:
        """All rows that may be held, in the source's order. Raises BadInput, and the two errors above."""
        checker, self.erased = self._checker(self._held), 0
        for whole in self._rows():
            frame = heeded(self._dataset, whole, self.erasures)
            self.erased += whole.height - frame.height
            checker.add(frame)
            yield frame
        self.findings = checker.findings()
        if source.mark(self._dataset, self._at) != self.mark:
            raise _ChangedError
        if any(finding.severity == "block" for finding in self.findings):
            raise _BrokenError

    def _held(self) -> Iterator[pl.DataFrame]:
        return (heeded(self._dataset, whole, self.erasures) for whole in self._rows())


def _news(row: DatasetRow | None, found: DataCommitted | DataRefused) -> DataCommitted | DataRefused | None:
    return found if is_news(row, found) else None


def _refused(dataset: Dataset, mark: str, texts: list[str], findings: Sequence[Finding], *, timed: bool) -> DataRefused:
    """What is wrong. The mark of a source that must be read says nothing of what it holds: there, what is wrong with it tells it from others."""
    if timed:
        mark = f"{mark}-{hashlib.sha256(chr(0).join(texts).encode()).hexdigest()[:16]}"
    shown = [clipped(text, LONGEST) for text in texts[:MOST]]
    more = [] if len(texts) <= MOST else [f"and {counted(texts) - MOST:,} more"]
    told = _bounded(findings)
    return fullest(
        lambda n: DataRefused(
            name=dataset.name, source_mark=mark, violations=(*shown, *more), findings=told[:n], unlisted=len(findings) - n
        ),
        len(told),
    )


def _bounded(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """As many findings as an event lists, those that block first, each cut where it is long."""
    first = sorted(findings, key=lambda finding: finding.severity != "block")[:MOST]
    return tuple(msgspec.structs.replace(finding, text=clipped(finding.text, LONGEST)) for finding in first)
