"""What is known of the last good version, with which the rows of a contract are compared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from flyball.clock import Instant
from flyball.data.baseline import Baseline, ColumnBaseline
from flyball.records.data import ColumnStats
from flyball.records.models import FieldType

_NUMBERS: Final = ("int", "float")


@dataclass(frozen=True)
class LastGood:
    """A version: its number, its rows, the time of its newest one (0: it has none), its statistics by column, its baseline if it has one."""

    version: str
    rows: int
    last: Instant = 0
    stats: Mapping[str, ColumnStats] = field(default_factory=dict)
    baseline: Baseline | None = None

    def column(self, name: str, kind: FieldType) -> ColumnBaseline | None:
        """What a column held; None where its values were of another type than `kind`, which nothing can be compared with."""
        found = self.baseline.of(name) if self.baseline is not None else None
        if found is None:
            return None
        was = self.stats[name].dtype if name in self.stats else kind
        numbers = (was in _NUMBERS, kind in _NUMBERS, found.bins.kind == "numeric")
        return found if all(numbers) or (not any(numbers) and was == kind) else None
