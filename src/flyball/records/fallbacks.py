"""Models whose declared fallback answers in place of a version, because of an incident."""

from __future__ import annotations

from flyball.clock import Instant
from flyball.records.base import Event, Record, Table


class FallbackBegan(Event, frozen=True, tag="fallback.began"):
    """The declared fallback answers everybody, marked as such; the versions go on being asked, unheard, so that their recovery is seen."""

    model: str
    incident: str
    reason: str


class FallbackEnded(Event, frozen=True, tag="fallback.ended"):
    """The model's versions answer again."""

    model: str
    incident: str
    reason: str


class FallbackRow(Record, frozen=True):
    """Which incident the fallback answers for, and since when."""

    model: str
    incident: str
    since: Instant


FALLBACKS = Table("fallback", FallbackRow)
"""Keyed by model; no row while its versions answer."""

EVENTS = (FallbackBegan, FallbackEnded)
