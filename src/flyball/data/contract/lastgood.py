"""What is known of the last good version, with which the rows of a contract are compared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from flyball.clock import Instant
from flyball.data.baseline import Baseline, ColumnBaseline
from flyball.records.data import ColumnStats


@dataclass(frozen=True)
class LastGood:
    """A version: its number, its rows, the time of its newest one (0: it has none), its statistics by column, its baseline if it has one."""

    version: str
    rows: int
    last: Instant = 0
    stats: Mapping[str, ColumnStats] = field(default_factory=dict)
    baseline: Baseline | None = None

    def column(self, name: str) -> ColumnBaseline | None:
        """What a column held."""
        return self.baseline.of(name) if self.baseline is not None else None
