"""What monitors find, and the alerts that follow."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from flyball.clock import Instant
from flyball.records.base import Event, Record, Table


class AlertState(StrEnum):
    """States of an alert (docs/architecture.md)."""

    OK = "ok"
    PENDING = "pending"
    FIRING = "firing"
    ACKNOWLEDGED = "acknowledged"
    RESOLVED = "resolved"
    STALE = "stale"
    BROKEN = "broken"


class Finding(Record, frozen=True):
    """What a monitor saw: the effect with its floor, and the cause named as far as it is known.

    `standing`: settled (the severity holds), pending (seen, but not yet for long enough), insufficient (too little data to say),
    broken (the monitor itself failed). `failure` is the failure mode it would be, such as `input_drift`; `slice` as in `day=6`.
    `wait` µs of being pending make it fire (0: waiting alone does not); or, where the severity is none, so many since it fired make it resolve.
    """

    monitor: str
    severity: Literal["none", "warn", "alert"]
    column: str = ""
    value: str = ""
    effect: float | None = None
    floor: float | None = None
    p: float | None = None
    n: int = 0
    why: str = ""
    slice: str = ""
    failure: str = ""
    standing: Literal["settled", "pending", "insufficient", "broken"] = "settled"
    wait: int = 0

    @property
    def where(self) -> str:
        """`column`, `column in slice` or `in slice`, so that a column and a slice of one name are two; empty: all that there is."""
        return " ".join(filter(None, (self.column, f"in {self.slice}" if self.slice else "")))


class AlertMoved(Event, frozen=True, tag="alert.moved"):
    """An alert went along one arrow. `key` is model/monitor/slice."""

    key: str
    model: str
    monitor: str
    source: AlertState
    target: AlertState
    episode: int
    finding: Finding


class AlertRow(Record, frozen=True):
    """An alert as it stands. `since` is when it came into its state; `found_at` when it fired, or what fired became graver (0: it did not): that somebody is
    on it, or that nothing comes to judge it by, is no later finding.
    """

    key: str
    model: str
    monitor: str
    state: AlertState
    episode: int
    since: Instant
    finding: Finding
    found_at: Instant = 0


ALERTS = Table("alert", AlertRow)
"""Keyed by alert key."""


class BoundRaised(Event, frozen=True, tag="bound.raised"):
    """A person closed `incident` as a false alarm, so what `version` has lost since its release is normal: m₀ and φ of the detector that wakes people are
    `bound` and `swing` from here on, of so many `labels` with a mean loss of `loss` in [0, 1]. Fewer than 200 leave both as they are, and M begins anew.
    """

    model: str
    version: str
    incident: str
    bound: float
    swing: float
    labels: int
    loss: float


class RaisedBound(Record, frozen=True):
    """The newest of a version."""

    incident: str
    bound: float
    swing: float


RAISED_BOUNDS = Table("raised_bound", RaisedBound)
"""Keyed by `model/version`."""

EVENTS = (AlertMoved, BoundRaised)
