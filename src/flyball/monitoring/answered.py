"""Champions' answers by day, in bounded space: how they fell into cells for nine days, what became of them for as long as labels may take. Pure.

Only additive counts: the sum of days is a window, whatever its length.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from flyball.clock import Instant
from flyball.evaluation.counts_answered import DAY, add, joined
from flyball.records.unlabelled import AnsweredDay

CELLS_KEPT, DAYS_KEPT = 9, 400
"""Days for which cells are kept: a window of seven and what is late. And days for which the rest is: labels of a year, and some weeks."""


def extend(days: Sequence[AnsweredDay], new: Sequence[AnsweredDay], until: Instant) -> tuple[AnsweredDay, ...]:
    """Add counts; of old days let the cells go, and the oldest go whole."""
    if not new:
        return tuple(days)
    today = until // DAY
    kept = (day for day in joined([*days, *new]) if today - day.day <= DAYS_KEPT)
    return tuple(
        day if today - day.day <= CELLS_KEPT or not (day.scores or day.columns) else msgspec.structs.replace(day, scores={}, columns={})
        for day in kept
    )


def within(days: Iterable[AnsweredDay], version: str, since: Instant, until: Instant) -> AnsweredDay:
    """The sum of a version's days that lie in [since, until), both at midnight UTC."""
    found = AnsweredDay(version=version, day=since // DAY)
    for day in days:
        if day.version == version and since // DAY <= day.day < until // DAY:
            found = add(found, day)
    return found
