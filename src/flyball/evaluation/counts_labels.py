"""Labels that wait for their rows: what was known about a request at a moment, kept no longer than a row may wait."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from flyball.clock import Instant, Span
from flyball.evaluation import direct
from flyball.evaluation.counts_arrivals import MINUTE, Arrivals
from flyball.evaluation.counts_columns import ATTRIBUTE
from flyball.evaluation.counts_groups import parted
from flyball.evaluation.counts_index import Hashes, Index, in_order
from flyball.evaluation.counts_judged import Judged, remembered
from flyball.evaluation.counts_shelf import Shelf
from flyball.records.evidence import Labels

Integers = NDArray[np.int64]
Flags = NDArray[np.bool_]

MOST_WAITING = 2_000_000
"""Beyond so many labels, those of rows that nobody has seen are given up at once: a burst of strangers must not fill the memory."""

_CAME = "came"


class Found(NamedTuple):
    """What was known of rows when they were judged, shapes (n,): the label (null: none), the slices that came with it (None: with no label), when
    the first label came (−1: none in time), at which place a label stands, in time or not (−1: none), and the hashes of the ids.
    """

    labels: pl.Series
    slices: list[tuple[str, ...]] | None
    first: Integers
    places: Integers
    hashes: Hashes

    def taken(self, rows: Flags) -> Found:
        """Of these rows alone."""
        slices = None if self.slices is None else [each for each, here in zip(self.slices, rows.tolist(), strict=True) if here]
        return Found(self.labels.filter(pl.Series(rows)), slices, self.first[rows], self.places[rows], self.hashes[rows])


class LabelBook:
    """The labels of the last label delay, by request id.

    A label is found by one look-up for each row that matures: a join against all waiting labels would cost the more the longer
    labels take. `unmatched` counts labels that expired without a row (unknown requests, and rows that had been judged already).

    Labels of a model that is served elsewhere bear the time at which they were known beside that at which they came (`came`). By the first it is said
    what was known of a row when, and which labels are late; by the second how long they are kept, and in which minute they are counted.
    """

    def __init__(self) -> None:
        self.unmatched = 0
        self.arrivals = Arrivals()
        self._incoming: list[pl.DataFrame] = []
        self._shelf = Shelf()
        self._index = Index()
        # of each request the first label is in the index; the others, by the first one's place
        self._more: dict[int, list[int]] = {}
        # labels below this place are wanted by nobody any more, but for those that were said again
        self._live = 0
        self._kept: set[int] = set()
        self._order: deque[tuple[Instant, int]] = deque()
        self._judged = Judged()
        self._told = 0

    def add(self, labels: pl.DataFrame) -> None:
        """Take labels in: `request_id` text, `at` µs (when it was known), `value`, slices as `attribute:…`, and `came` µs (when flyball came to know
        it) where that was not then. Nulls are no labels.
        """
        if labels["request_id"].null_count() or labels["value"].null_count():
            labels = labels.drop_nulls(["request_id", "value"])
        if labels.height:
            told = [
                pl.Series("request_id", direct.hashes(labels["request_id"])),
                *(labels[name].cast(pl.Int64) for name in ("at", _CAME) if name in labels.columns),
            ]
            told += [plain(labels["value"]), *(labels[name].cast(pl.String) for name in labels.columns if name.startswith(ATTRIBUTE))]
            self._incoming.append(pl.DataFrame(told))

    def know(self, until: Instant, delay: Span, wait: Span) -> None:
        """Labels that came up to `until` are known from here on. `wait`: how long one may be wanted, the label delay at least."""
        if not self._incoming:
            return
        labels = self._incoming[0] if len(self._incoming) == 1 else pl.concat(self._incoming, how="diagonal_relaxed")
        came = "at"
        if _CAME in labels.columns:
            came, labels = _CAME, labels.with_columns(pl.col(_CAME).fill_null(pl.col("at")))
        labels, later = parted(labels, labels[came].to_numpy() <= until)
        self._incoming = [later] if later.height else []
        if labels.is_empty():
            return
        if bool((np.diff(labels[came].to_numpy()) < 0).any()):
            labels = labels.sort(came, maintain_order=True)
        self.arrivals.came(labels[came].to_numpy())
        waiting = self._late(labels, delay, came)
        if waiting.height:
            self._keep(waiting, wait, came)

    def _late(self, labels: pl.DataFrame, delay: Span, came: str) -> pl.DataFrame:
        """Count the labels that were known after their rows were to be judged, of rows that have been; the others."""
        known, moments = labels["at"].to_numpy(), labels[came].to_numpy()
        asked, first = self._judged.find(labels["request_id"].to_numpy(), known, delay)
        late = asked >= 0
        if not late.any():
            return labels
        self._given_up(int(first.sum()))
        self.arrivals.late(moments[late])
        # the first label of a row that had none says how long labels take
        self.arrivals.lags(moments[first] // MINUTE, known[first] - asked[first])
        return labels.filter(pl.Series(~late))

    def _keep(self, labels: pl.DataFrame, wait: Span, came: str) -> None:
        hashes, moments = labels["request_id"].to_numpy(), labels[came].to_numpy()
        known = labels["at"].to_numpy()
        start = self._shelf.add(hashes, known, labels["value"], _slices(labels), came=None if came == "at" else moments)
        places = np.arange(start, start + hashes.size)
        again = self._find(hashes) >= 0
        order = in_order(hashes)
        again[order[1:]] |= hashes[order[1:]] == hashes[order[:-1]]
        self._index.add(hashes[~again], places[~again], self._oldest())
        for place in places[again].tolist():
            self._again_or_first(place, wait)
        self._order.append((int(moments[-1]), start + hashes.size))

    def _find(self, hashes: Hashes) -> Integers:
        places = self._index.find(hashes)
        gone = places < self._live
        if self._kept and gone.any():
            gone &= ~np.isin(places, list(self._kept))
        places[gone] = -1
        return places

    def _oldest(self) -> int:
        return min(self._live, min(self._kept, default=self._live))

    def _again_or_first(self, place: int, wait: Span) -> None:
        hashes = self._shelf.hashes(place, place + 1)
        first = int(self._find(hashes)[0])
        if first >= 0 and self._newest(first) + wait <= self._shelf.came(place):
            # nothing that is known of it so far can be wanted any more
            self._forget(first)
            first = -1
        if first < 0:
            self._index.add(hashes, np.array([place]), self._oldest())
            return
        more = self._more.setdefault(first, [])
        before = more[-1] if more else first
        self.arrivals.again(self._shelf.came(place), same=self._shelf.value(before) == self._shelf.value(place))
        self._shelf.use(np.array([place]))
        more.append(place)

    def known_by(self, requests: pl.Series, deadlines: Integers, dtype: Any) -> Found:
        """For each request the newest label known at its deadline, with what came with it. `dtype`: Float64 or String."""
        hashes = direct.hashes(requests)
        places = self._find(hashes)
        first = self._shelf.moments(places)
        in_time = (places >= 0) & (first <= deadlines)
        newest = np.where(in_time, places, -1)
        sliced = newest.copy()
        for at in np.flatnonzero(self._repeated(places)).tolist():
            known = [one for one in (int(places[at]), *self._more[int(places[at])]) if self._shelf.moment(one) <= deadlines[at]]
            if not known:
                continue
            # where labels bear their own times, the first that came need not be the first that was known
            known.sort(key=self._shelf.moment)
            newest[at], first[at], in_time[at] = known[-1], self._shelf.moment(known[0]), True
            # a correction that says nothing of the groups takes none back
            sliced[at] = next((one for one in reversed(known) if self._shelf.slices_of(one)), known[-1])
        self._shelf.use(places[in_time])
        return Found(self._shelf.values(newest, dtype), self._shelf.slices(sliced), np.where(in_time, first, -1), places, hashes)

    def _repeated(self, places: Integers) -> Flags:
        """At which places there are more labels."""
        if not self._more:
            return np.zeros(places.size, dtype=np.bool_)
        return np.isin(places, np.fromiter(self._more, dtype=np.int64, count=len(self._more)))

    def judge(self, asked: Integers, champion: Flags, found: Found, *, delay: Span, until: Instant) -> None:
        """Rows that were asked at `asked` (µs) are judged on what was `found`. Of the champion's, and no other version's of the same request, it is
        counted how long labels took and which came too late.
        """
        first, places, hashes = found.first, found.places, found.hashes
        if not champion.all():
            asked, first, places, hashes = asked[champion], first[champion], places[champion], hashes[champion]
        came = first >= 0
        with_label = came.copy()
        self.arrivals.lags((asked[came] + int(delay)) // MINUTE, first[came] - asked[came])
        for at in np.flatnonzero((places >= 0) & (~came | self._repeated(places))).tolist():
            if self._after(int(places[at]), int(asked[at]), delay):
                with_label[at] = True
        self._judged.add(hashes, asked, with_label, delay, until)

    def _after(self, first: int, asked: Instant, delay: Span) -> bool:
        """Count the labels that came after a row was to be judged; whether any did."""
        deadline = asked + delay
        places = [first, *self._more.get(first, ())]
        after = [place for place in places if deadline < self._shelf.moment(place) <= deadline + remembered(delay)]
        for place in after:
            before = next((one for one in reversed(places) if one < place), None)
            same = None if before is None else self._shelf.value(before) == self._shelf.value(place)
            self.arrivals.late_after_all(self._shelf.came(place), same=same)
        self._said_again(places, after, deadline)
        if after and len(after) == len(places):
            earliest = min(after, key=self._shelf.moment)
            self.arrivals.lags(np.array([self._shelf.came(earliest) // MINUTE]), np.array([self._shelf.moment(earliest) - asked]))
        return bool(after)

    def _said_again(self, places: Sequence[int], after: Sequence[int], deadline: Instant) -> None:
        """A label in time that was compared with a late one is compared with the one in time before that: where labels bear their own times."""
        kept: int | None = None
        for before, place in pairwise(places):
            kept = kept if before in after else before
            if before in after and self._shelf.moment(place) <= deadline:
                self.arrivals.not_again(self._shelf.came(place), same=self._shelf.value(before) == self._shelf.value(place))
                if kept is not None:
                    self.arrivals.again(self._shelf.came(place), same=self._shelf.value(kept) == self._shelf.value(place))

    def found(self, asked: Integers, found: Found, delay: Span) -> None:
        """Rows that were judged without a label have one that was known in time, and came since."""
        # known as labelled from here on, and counted once: a label that was known too late may have come before
        there, fresh = self._judged.find(found.hashes, asked + int(delay) + 1, delay)
        fresh &= there == asked
        self.arrivals.lags((asked[fresh] + int(delay)) // MINUTE, found.first[fresh] - asked[fresh])

    def told(self, model: str) -> tuple[Labels, ...]:
        """What was counted of labels since the last call, a record a minute."""
        return self.arrivals.told(model)

    def expire(self, until: Instant, wait: Span) -> int:
        """Forget labels that no row can want any more; return how many of them none had wanted since the last call.

        A row is older than its label, so it has matured `wait` (the label delay at least) after the label came.
        """
        for first in [one for one in self._kept if self._newest(one) + wait <= until]:
            self._forget(first)
        live = self._live
        while self._order and self._order[0][0] + wait <= until:
            live = self._order.popleft()[1]
        if live > self._live:
            self._expired(live, until - wait)
        given_up, self._told = self._told, 0
        return given_up

    def _expired(self, live: int, before: Instant) -> None:
        kept = {first for first in self._more if self._live <= first < live and self._newest(first) > before}
        gone = np.arange(self._live, live)
        if kept:
            gone = gone[~np.isin(gone, list(kept))]
        self._given_up(self._shelf.unused(gone))
        self._kept |= kept
        self._live = live
        self._more = {first: more for first, more in self._more.items() if first >= live or first in self._kept}
        self._shelf.forget(self._oldest())
        if not self._order and not self._kept:
            self._index = Index()

    def relieve(self, waiting: Callable[[], Sequence[pl.Series]]) -> None:
        """Give up the labels of strangers where more than `MOST_WAITING` labels wait; `waiting` gives the ids of the rows that do."""
        end = self._shelf.end
        if end - self._live <= MOST_WAITING:
            return
        rows = np.concatenate([np.empty(0, dtype=np.uint64), *(direct.hashes(ids) for ids in waiting())])
        places = np.arange(self._oldest(), end)
        kept = np.isin(self._shelf.hashes(self._oldest(), end), rows)
        self._given_up(self._shelf.unused(places[~kept & (places >= self._live)]))
        places = places[kept]
        # the same labels at other places: the shelf has no gaps
        self._shelf, start = self._shelf.taken(places)
        moved = dict(zip(places.tolist(), range(start, start + places.size), strict=True))
        self._more = {moved[first]: [moved[one] for one in more] for first, more in self._more.items() if first in moved}
        again = {one for more in self._more.values() for one in more}
        self._kept, self._live, self._index = set(), start, Index()
        first = np.array([place for place in range(start, start + places.size) if place not in again], dtype=np.int64)
        self._index.add(self._shelf.hashes(start, start + places.size)[first - start], first, start)
        newest = self._shelf.came(start + places.size - 1) if places.size else 0
        self._order = deque([(newest, start + places.size)] if places.size else [])

    def _newest(self, first: int) -> Instant:
        more = self._more.get(first)
        return self._shelf.came(more[-1] if more else first)

    def _forget(self, first: int) -> None:
        self._given_up(self._shelf.unused(np.array([first])))
        self._shelf.use(np.array([first]))
        self._more.pop(first, None)
        self._kept.discard(first)

    def _given_up(self, count: int) -> None:
        self.unmatched += count
        self._told += count

    def __len__(self) -> int:
        return self._shelf.end - self._live + sum(part.height for part in self._incoming)


def _slices(labels: pl.DataFrame) -> list[tuple[str, ...]] | None:
    names = [name for name in labels.columns if name.startswith(ATTRIBUTE)]
    if not names:
        return None
    rows = zip(*(labels[name].to_list() for name in names), strict=True)
    return [tuple(each for each in row if each is not None) for row in rows]


def plain(values: pl.Series) -> pl.Series:
    """Values in the two forms that are compared: numbers and booleans as Float64, anything else as text."""
    if values.dtype.is_numeric() or values.dtype in (pl.Boolean, pl.Null):
        return values.cast(pl.Float64)
    return values.cast(pl.String)


def lag_s(lag: dict[int, int], share: float) -> float | None:
    """The upper edge, in seconds, of the cell in which the `share` quantile of label lags lies; None without a label. Cells are 9% wide."""
    total, run = sum(lag.values()), 0
    for cell in sorted(lag):
        run += lag[cell]
        if run >= share * total:
            return math.exp2((cell + 1) / 8) / 1_000_000
    return None
