"""Units of a rollout's tests: with sticky assignment a key counts once, at its first exposure and its first bad event.

Counting requests instead lets one key that always fails roll back an equal version (docs/statistics.md §1). Without a key the
request is the unit.

A slow version's exposures are told later than a quick one's, so at any moment the newest would be missing from one arm alone, and the
split would look uneven. While traffic is split, units therefore count once their time is settled: no slower request of it can come.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

WARM_UP = 100
"""A new version's first requests do not count as slow: its caches are cold."""

FULL = 10_000
"""All traffic, in basis points."""


MINUTE = 60_000_000


class Exposed(NamedTuple):
    """Where a unit of a split counts: the key of its `Traffic`, by the minute of its first exposure."""

    version: str
    role: str
    rollout: str
    weight: int
    minute: int


class Mark(NamedTuple):
    """What a row is to a rollout's tests: a unit (of a split only `settled` tells), its first bad and its first slow event.

    `met`: it is the unit's first request, and `failed` with an error; both at once, so a share of them leans neither way.
    """

    unit: bool = False
    unit_bad: bool = False
    unit_slow: bool = False
    met: bool = False
    failed: bool = False


_NOTHING = Mark()


class _Scored(NamedTuple):
    at: int
    rollout: str
    weight: int
    role: str
    version: str
    key: str | None
    stand_in: bool
    status: str
    latency_us: int | None


@dataclass
class _Seen:
    exposed: set[str] = field(default_factory=set)
    bad: set[str] = field(default_factory=set)
    slow: set[str] = field(default_factory=set)


class Units:
    """What each rollout has counted so far.

    While traffic is split, both arms share one memory: a key that failed under the stable version is no news under the canary.
    While one version shadows the other (weight 0) or watches it (weight 10,000), every request meets both, so each has its own.
    """

    def __init__(self) -> None:
        self._seen: dict[tuple[str, str], _Seen] = {}
        self._warm: dict[tuple[str, str], int] = {}
        self._unsettled: deque[tuple[int, Exposed]] = deque()

    def mark(self, rows: pl.DataFrame, slow_us: Mapping[str, int]) -> dict[str, NDArray[np.bool_]]:
        """What `Mark` says of rows in order of time, by its fields, each (n,). Outside a rollout all are false."""
        columns = (rows[name].to_list() for name in _Scored._fields)
        marks = [self._mark(slow_us, _Scored(*row)) for row in zip(*columns, strict=True)]
        return dict(zip(Mark._fields, np.array(marks, dtype=np.bool_).T, strict=True))

    def keep(self, rollouts: set[str]) -> None:
        """Forget every rollout that is not among these."""
        self._seen = {key: seen for key, seen in self._seen.items() if key[0] in rollouts}
        self._warm = {key: count for key, count in self._warm.items() if key[0] in rollouts}
        self._unsettled = deque(one for one in self._unsettled if one[1].rollout in rollouts)

    def settled(self, until: int) -> Counter[Exposed]:
        """Units of a split that were exposed by `until` (µs), each given once."""
        found = Counter(where for at, where in self._unsettled if at <= until)
        if found:
            self._unsettled = deque(one for one in self._unsettled if one[0] > until)
        return found

    def _mark(self, slow_us: Mapping[str, int], row: _Scored) -> Mark:
        split = 0 < row.weight < FULL
        # a stand-in answered for a challenger that failed: that exposure was the challenger's
        if not row.rollout or row.stand_in or row.status == "dropped" or (split and row.role not in {"champion", "challenger"}):
            return _NOTHING
        bad = row.status == "error"
        threshold = slow_us.get(row.rollout)
        slow = threshold is not None and row.latency_us is not None and row.latency_us > threshold and not bad
        if row.role in {"challenger", "shadow"}:
            met = self._warm.get((row.rollout, row.version), 0)
            self._warm[row.rollout, row.version] = met + 1
            slow = slow and met >= WARM_UP
        seen = self._seen.setdefault((row.rollout, "" if split else row.version), _Seen())
        unit = row.key is None or _first(seen.exposed, row.key)
        if unit and split:
            self._unsettled.append((row.at, Exposed(row.version, row.role, row.rollout, row.weight, row.at // MINUTE)))
        failed = unit and bad
        if row.key is not None:
            bad, slow = bad and _first(seen.bad, row.key), slow and _first(seen.slow, row.key)
        return Mark(unit=unit and not split, unit_bad=bad, unit_slow=slow, met=unit, failed=failed)


def _first(seen: set[str], key: str) -> bool:
    if key in seen:
        return False
    seen.add(key)
    return True
