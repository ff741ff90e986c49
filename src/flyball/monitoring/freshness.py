"""Whether the data sets of a model are as fresh as they have to be. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from flyball.clock import Instant, Span, to_second
from flyball.records.alerts import Finding

FRESH = "data is fresh"
"""Name of the built-in monitor of data sets that declare `freshness`."""


class Age(NamedTuple):
    """The newest row of a data set was known at `as_of`; it may be `freshness` old. `refused`: what is wrong with its source, if anything."""

    data: str
    as_of: Instant
    freshness: Span
    refused: str = ""


def freshness_findings(ages: Iterable[Age], now: Instant) -> Iterator[Finding]:
    """One finding a data set; its name stands as the column, so that it finds its owner."""
    for age in ages:
        old = now - age.as_of
        stale = old > age.freshness
        why = f"{age.data}: its newest row was known at {to_second(age.as_of)}, and may be {age.freshness} old"
        if stale and age.refused:
            why += f"; what came since is refused: {age.refused}"
        yield Finding(
            monitor=FRESH,
            severity="alert" if stale else "none",
            column=age.data,
            effect=old / 1e6 if stale else None,
            floor=age.freshness / 1e6,
            why=why,
            failure="stale_data",
        )
