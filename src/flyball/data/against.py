"""What a source's rows are checked against besides their own contract: the clock, the last good version, and other data sets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import polars as pl

from flyball.clock import Instant
from flyball.data import source
from flyball.data.commit import baseline_of, scan, statistics
from flyball.data.contract import Checker, LastGood
from flyball.data.contract.sets import Again
from flyball.data.sources.access import Access
from flyball.declare.data import Dataset, ForeignKey
from flyball.declare.elsewhere import ANSWER
from flyball.errors import BadInput, Corrupt, NotFound
from flyball.records.data import DatasetVersion
from flyball.store.blobs import Blobs


@dataclass(frozen=True)
class Against:
    """now: without it no time is too far ahead. content: of a data set by name, under which hash the rows of its last good version lie now
    (empty: it has none); where there is none its source is read.
    """

    now: Callable[[], Instant] | None = None
    content: Callable[[str], str] = lambda _name: ""

    def checker(
        self, dataset: Dataset, root: Path | Access, blobs: Blobs | None, head: DatasetVersion | None, again: Again | None = None
    ) -> Checker:
        """A checker of the data set's rows; `head` is its last good version. Without `blobs` there is no earlier version of anything."""
        known = {name: values for name, key in dataset.references.items() if (values := self._values(key, root, blobs)) is not None}
        before = last_good(head, blobs) if head is not None and blobs is not None else None
        now = self.now() if self.now is not None else None
        if isinstance(root, Access) and (root.apart or root.left):
            dataset = may_miss_answers(dataset)
        return Checker(dataset, baseline=before, now=now, known=known, again=again)

    def _values(self, key: ForeignKey, root: Path | Access, blobs: Blobs | None) -> pl.Series | None:
        """The values that a data set has in a column; None where nobody can tell them."""
        content = self.content(key.data.name) if blobs is not None else ""
        try:
            if content and blobs is not None:
                return pl.concat([part[key.column].unique() for part in scan(content, blobs, [key.column])]).unique()
            return pl.concat([batch[key.column].unique() for batch in source.stream(key.data, root)]).unique()
        except (BadInput, NotFound, Corrupt, pl.exceptions.ColumnNotFoundError):
            return None


def may_miss_answers(dataset: Dataset) -> Dataset:
    """A folder of predictions, of which a row may say nothing of what was answered: it was not. A share that is declared stays."""
    columns = {
        name: replace(column, nulls=1.0) if name in ANSWER and not column.nulls else column for name, column in dataset.columns.items()
    }
    return replace(dataset, columns=columns)


def last_good(version: DatasetVersion, blobs: Blobs) -> LastGood:
    """What is known of a version. What is kept of it and cannot be read is not compared with."""
    try:
        stats = {column.name: column for column in statistics(version, blobs)}
        baseline = baseline_of(version, blobs)
    except (NotFound, Corrupt):
        stats, baseline = {}, None
    return LastGood(version.version, version.rows, version.last, stats, baseline)
