"""Alerts that nobody wants to hear of for a while."""

from __future__ import annotations

from flyball.clock import Instant
from flyball.records.base import Event, Record, State, Table


class AlertMuted(Event, frozen=True, tag="alert.muted"):
    """A model's alerts, or those of one of its monitors, open no incident and are told to nobody until then. They are watched all the same."""

    model: str
    until: Instant
    reason: str
    monitor: str = ""


class AlertUnmuted(Event, frozen=True, tag="alert.unmuted"):
    """They are heard again: what still fires is told."""

    model: str
    reason: str = ""
    monitor: str = ""


class MuteRow(Record, frozen=True):
    """A mute as it was last given; over when `until` is past. An empty `monitor` means all of the model's."""

    model: str
    monitor: str
    until: Instant
    reason: str
    actor: str
    at: Instant


MUTES = Table("mute", MuteRow)
"""Keyed by `model/monitor`."""


def mute_key(model: str, monitor: str) -> str:
    """The key of a row in MUTES."""
    return f"{model}/{monitor}"


def mutes_of(state: State, model: str, now: Instant) -> dict[str, MuteRow]:
    """What is muted of a model now, by monitor; the empty name is all of them."""
    return {row.monitor: row for _, row in state.scan(MUTES, f"{model}/") if now < row.until}


def is_muted(mutes: dict[str, MuteRow], monitor: str) -> bool:
    """Whether nobody wants to hear of a monitor's alerts; an empty name is what is of no monitor."""
    return "" in mutes or bool(monitor and monitor in mutes)


EVENTS = (AlertMuted, AlertUnmuted)
