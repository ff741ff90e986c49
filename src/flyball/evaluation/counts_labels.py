"""Labels that wait for their rows: what was known about a request at a moment, kept no longer than a row may wait."""

from __future__ import annotations

from collections import deque

import polars as pl

from flyball.clock import Instant, Span

LabelValue = float | str


class LabelBook:
    """The labels of the last label delay, by request id.

    A label is found by one look-up for each row that matures: a join against all waiting labels would cost the more the longer
    labels take. `unmatched` counts labels that expired without a row (unknown requests, and rows that had matured already),
    `duplicates` labels that repeat what was known, `corrected` those that change it.
    """

    def __init__(self) -> None:
        self.unmatched = 0
        self.duplicates = 0
        self.corrected = 0
        self._known: dict[str, list[tuple[Instant, LabelValue]]] = {}
        self._used: set[str] = set()
        self._order: deque[tuple[Instant, list[str]]] = deque()

    def add(self, labels: pl.DataFrame) -> None:
        """Take labels in: `request_id` text, `at` µs (when it was known), `value`, `came` µs (when flyball came to know it; not there: then).
        Nulls are no labels.
        """
        labels = labels.drop_nulls(["request_id", "value"])
        if labels.is_empty():
            return
        ids = labels["request_id"].to_list()
        moments = labels["at"].to_list()
        for request, moment, value in zip(ids, moments, plain(labels["value"]).to_list(), strict=True):
            known = self._known.get(request)
            if known is None:
                self._known[request] = [(moment, value)]
                continue
            if any(earlier == value for _, earlier in known):
                self.duplicates += 1
            else:
                self.corrected += 1
            known.append((moment, value))
        self._order.append((max(labels["came"].to_list()) if "came" in labels.columns else max(moments), ids))

    def known_by(self, requests: list[str], deadlines: list[Instant]) -> list[LabelValue | None]:
        """For each request the newest label known at its deadline, or None."""
        found: list[LabelValue | None] = []
        for request, deadline in zip(requests, deadlines, strict=True):
            known = self._known.get(request)
            if known is None:
                found.append(None)
                continue
            in_time = [entry for entry in known if entry[0] <= deadline]
            found.append(max(in_time, key=lambda entry: entry[0])[1] if in_time else None)
            if in_time:
                self._used.add(request)
        return found

    def expire(self, until: Instant, delay: Span) -> int:
        """Forget labels that no row can want any more; return how many of them none had wanted.

        A row is older than its label, so it has matured `delay` after the label.
        """
        before = self.unmatched
        while self._order and self._order[0][0] + delay <= until:
            for request in self._order.popleft()[1]:
                known = self._known.get(request)
                if known is None or known[-1][0] + delay > until:
                    continue
                del self._known[request]
                if request in self._used:
                    self._used.discard(request)
                else:
                    self.unmatched += 1
        return self.unmatched - before

    def __len__(self) -> int:
        return len(self._known)


def plain(values: pl.Series) -> pl.Series:
    """Values in the two forms that are compared: numbers and booleans as Float64, anything else as text."""
    if values.dtype.is_numeric() or values.dtype in (pl.Boolean, pl.Null):
        return values.cast(pl.Float64)
    return values.cast(pl.String)
