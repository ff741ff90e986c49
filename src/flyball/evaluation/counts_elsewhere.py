"""What is different about rows that were answered elsewhere: they come on their own way, and so do their labels, each when it may.

A row is judged by its own time all the same: on the label known by its time + the label delay. But that a label is not here by then says nothing
of when it was known, so that a row without one waits on for `Watch.patience`. And what is sent twice is counted once.
"""

from __future__ import annotations

from collections import OrderedDict, deque

import polars as pl

from flyball.clock import Instant, Span
from flyball.evaluation.counts_columns import ATTRIBUTE
from flyball.evaluation.counts_labels import Found, LabelBook

REMEMBERED = 500_000
"""Ids that are known again, the newest ones: what is sent again after so many others is counted again."""

_CHUNKS = 64
_JUDGED = ("label", "loss", "wrong")


class Underway:
    """Ids that came, and judged rows whose labels may still be on their way."""

    def __init__(self) -> None:
        self._ids: OrderedDict[int, None] = OrderedDict()
        self._waiting: deque[tuple[Instant, pl.DataFrame]] = deque()
        self._fresh: list[str] = []

    def once(self, rows: pl.DataFrame) -> pl.DataFrame:
        """The rows whose ids were not there before."""
        known, first = self._ids, []
        for request in rows["request_id"].to_list():
            key = hash(request)
            first.append(key not in known)
            known[key] = None
        while len(known) > REMEMBERED:
            known.popitem(last=False)
        return rows if all(first) else rows.filter(pl.Series(first, dtype=pl.Boolean))

    def told(self, labels: pl.DataFrame) -> None:
        """Labels that came: for the next look at the rows that wait."""
        self._fresh += labels["request_id"].to_list()

    def keep(self, matured: pl.DataFrame, until: Instant) -> None:
        """Judged rows: those without a label wait on."""
        if matured.is_empty():
            return
        judged = [name for name in matured.columns if name in _JUDGED or name.startswith(ATTRIBUTE)]
        without = matured.filter(pl.col("label").is_null()).drop(judged)
        if without.height:
            self._waiting.append((until, without))
        if len(self._waiting) > _CHUNKS:
            self._join()

    def _join(self) -> None:
        """Fewer and larger frames: two neighbours are one, and wait as long as the later."""
        parts = list(self._waiting)
        pairs = [parts[place : place + 2] for place in range(0, len(parts), 2)]
        self._waiting = deque((pair[-1][0], pl.concat([rows for _, rows in pair], how="diagonal_relaxed")) for pair in pairs)

    def requests(self) -> list[pl.Series]:
        """The ids of the rows that wait."""
        return [rows["request_id"] for _, rows in self._waiting]

    def found(self, book: LabelBook, until: Instant, patience: Span) -> list[tuple[pl.DataFrame, Found]]:
        """Rows whose label came by now, with what was found; they wait no more, nor do those that have waited long enough."""
        fresh, self._fresh = self._fresh, []
        while self._waiting and self._waiting[0][0] + patience < until:
            self._waiting.popleft()
        if not fresh:
            return []
        ids = pl.Series("request_id", fresh, dtype=pl.String).implode()
        told: list[tuple[pl.DataFrame, Found]] = []
        left: deque[tuple[Instant, pl.DataFrame]] = deque()
        for since, rows in self._waiting:
            here = rows["request_id"].is_in(ids)
            if here.any():
                mine = rows.filter(here)
                found = book.known_by(mine["request_id"], mine["mature_at"].to_numpy(), mine["value"].dtype)
                labelled = found.labels.is_not_null()
                told.append((mine.filter(labelled), found.taken(labelled.to_numpy())))
                rows = pl.concat([rows.filter(~here), mine.filter(~labelled)])
            if rows.height:
                left.append((since, rows))
        self._waiting = left
        return [(rows, found) for rows, found in told if rows.height]
