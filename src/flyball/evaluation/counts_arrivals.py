"""How labels come: how many, how late, how often twice, by minute. Sums, told once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from flyball.clock import Instant
from flyball.records.evidence import Labels

Integers = NDArray[np.int64]
MINUTE = 60_000_000
_LAGS = 512
"""More than there are cells of a lag: 63 bits of µs."""


@dataclass
class _Minute:
    came: int = 0
    duplicates: int = 0
    corrected: int = 0
    late: int = 0
    early: int = 0
    lag: dict[int, int] = field(default_factory=dict)


class Arrivals:
    """Counts of `records.evidence.Labels`, and how many labels were `duplicates`, `corrected` and came `too_late` so far."""

    def __init__(self) -> None:
        self.duplicates = 0
        self.corrected = 0
        self.too_late = 0
        self._minutes: dict[int, _Minute] = {}

    def came(self, moments: Integers) -> None:
        """Labels came at these moments (µs)."""
        for minute, count in _counted(moments // MINUTE):
            self._minute(minute).came += count

    def late(self, moments: Integers) -> None:
        """Labels came at these moments after their rows were judged."""
        self.too_late += moments.size
        for minute, count in _counted(moments // MINUTE):
            self._minute(minute).late += count

    def again(self, moment: Instant, *, same: bool) -> None:
        """A label of a row that had one, the same or another."""
        self._repeated(moment, 1, same=same)

    def not_again(self, moment: Instant, *, same: bool) -> None:
        """A label that was taken for a second one is none, or is one of another."""
        self._repeated(moment, -1, same=same)

    def late_after_all(self, moment: Instant, *, same: bool | None) -> None:
        """A label that was taken for one in time; `same` as the one before it (None: there was none): it is late and nothing else."""
        self.too_late += 1
        self._minute(moment // MINUTE).late += 1
        if same is not None:
            self._repeated(moment, -1, same=same)

    def _repeated(self, moment: Instant, count: int, *, same: bool) -> None:
        minute = self._minute(moment // MINUTE)
        if same:
            self.duplicates += count
            minute.duplicates += count
        else:
            self.corrected += count
            minute.corrected += count

    def lags(self, minutes: Integers, lags: Integers) -> None:
        """Rows had their first label `lags` (µs, below 0: before they were asked about) after the prediction; counted in `minutes`."""
        if not lags.size:
            return
        cells = np.floor(8 * np.log2(np.maximum(lags, 1))).astype(np.int64)
        for key, count in _counted(minutes * _LAGS + cells):
            lag, cell = self._minute(key // _LAGS).lag, key % _LAGS
            lag[cell] = lag.get(cell, 0) + count
        for minute, count in _counted(minutes[lags < 0]):
            self._minute(minute).early += count

    def _minute(self, minute: int) -> _Minute:
        found = self._minutes.get(minute)
        if found is None:
            found = self._minutes[minute] = _Minute()
        return found

    def told(self, model: str) -> tuple[Labels, ...]:
        """What was counted since the last call, a record a minute."""
        minutes, self._minutes = self._minutes, {}
        return tuple(Labels(model=model, minute=minute, **vars(one)) for minute, one in sorted(minutes.items()))


def _counted(values: Integers) -> Iterator[tuple[int, int]]:
    """Each value and how often it is there."""
    found, counts = np.unique(values, return_counts=True)
    return zip(found.tolist(), counts.tolist(), strict=True)
