"""Which rows a moment sees.

A row's value is known at the latest of its event time, its arrival, and its event time + the `known_after` of the columns that are read
(one that is known beforehand is used from the row's event time on, no earlier). A moment sees the rows that are known by it.

Rows are mostly known in the order of their times. Where they are not, what is known by a moment is a stretch of rows from the first,
all of them known, and behind it a tail whose rows are looked at one by one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import numpy as np

from flyball.features.order import Axis, Ints, Ordered

NOBODY: Final = -1


@dataclass(frozen=True)
class Asked:
    """Moments: whose values are wanted (−1: nobody's), the moment M, and the newest instant at which a row may be known to be seen.

    `found` keeps what is looked up once for all features.
    """

    entity: Ints
    moment: Ints
    bound: Ints
    found: dict[tuple[str, int], Ints] = field(default_factory=dict)


class Known:
    """When a view's rows are known, for features whose columns are known `delay` (≥ 0) after a row's time."""

    def __init__(self, rows: Ordered, delay: int) -> None:
        self._rows = rows
        self._delay = delay
        self.at = np.maximum(rows.arrived, rows.time + delay)
        """When each row is known, i64 µs."""
        self._axis = Axis(self.at, rows.entities.count)
        known = self._axis.at(rows.entity, self.at)
        self._order: Ints | None = None
        self.in_order = bool((known[1:] >= known[:-1]).all())
        """Whether each entity's rows become known in the order of their times."""
        self._all = self._some = known
        if not self.in_order:
            # entities ascend in these numbers, so a running maximum (minimum) never carries over from one to the next
            self._all = np.maximum.accumulate(known)
            self._some = np.minimum.accumulate(known[::-1])[::-1]
            by = self._by_known(known)
            self._sorted, self._order = known[by], np.maximum.accumulate(by)

    def _by_known(self, known: Ints) -> Ints:
        """The order in which rows become known: most of them in that of their times, among which the late ones are put."""
        late = self.at > self._rows.time + self._delay
        prompt, others = np.flatnonzero(~late), np.flatnonzero(late)
        others = others[np.argsort(known[others])]
        among = np.searchsorted(known[prompt], known[others], side="right") + np.arange(len(others))
        by = np.empty(len(known), dtype=np.int64)
        free = np.ones(len(known), dtype=np.bool_)
        free[among] = False
        by[among], by[free] = others, prompt
        return by

    def newest(self, asked: Asked) -> Ints:
        """The newest row, in the order of rows, that each moment sees; −1 where it sees none."""
        key = ("newest", self._delay)
        if key not in asked.found:
            last = self._upto(self._all if self._order is None else self._sorted, asked) - 1
            # row numbers ascend by entity, so the newest of the first rows to be known is the entity's own if any of them is
            row = last if self._order is None else np.where(last >= 0, self._order[last], NOBODY) if len(self._order) else last
            mine = (row >= 0) & (asked.entity >= 0)
            mine[mine] = self._rows.entity[row[mine]] == asked.entity[mine]
            asked.found[key] = np.where(mine, row, NOBODY)
        return asked.found[key]

    def known(self, asked: Asked) -> Ints:
        """Up to which row all rows of the entity are known."""
        return self._place("all", self._all, asked)

    def unknown(self, asked: Asked) -> Ints:
        """From which row on none of the entity's is known."""
        return self.known(asked) if self.in_order else self._place("some", self._some, asked)

    def _place(self, name: str, numbers: Ints, asked: Asked) -> Ints:
        key = (name, self._delay)
        if key not in asked.found:
            asked.found[key] = self._upto(numbers, asked)
        return asked.found[key]

    def _upto(self, numbers: Ints, asked: Asked) -> Ints:
        return np.searchsorted(numbers, self._axis.at(asked.entity, asked.bound), side="right").astype(np.int64, copy=False)
