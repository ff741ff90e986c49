"""How deliveries and mutes follow from events."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from flyball.incidents.messages import after
from flyball.records.base import Event, Fold, Projection, Recorded
from flyball.records.deliveries import (
    DELIVERIES,
    LIVE,
    OUTBOX,
    SAID,
    AlertDelivered,
    AlertQueued,
    AlertUndelivered,
    DeliveryRow,
    DeliveryState,
    delivery_key,
    outbox_key,
    said_key,
)
from flyball.records.mutes import MUTES, AlertMuted, AlertUnmuted, MuteRow, mute_key


def alert_queued(projection: Projection, recorded: Recorded) -> None:
    """The message waits for its route; it is said, as far as its thread goes on."""
    event = recorded.event
    assert isinstance(event, AlertQueued)
    said, route = event.said, event.route
    _put(projection, DeliveryRow(route=route, said=said, seq=recorded.seq, queued_at=recorded.at))
    key = said_key(said.model, said.thread, route)
    row = after(projection.get(SAID, key), said, route, recorded.at)
    if row is None:
        projection.delete(SAID, key)
    else:
        projection.put(SAID, key, row)


def alert_delivered(projection: Projection, recorded: Recorded) -> None:
    """It has reached its route, and whatever of its thread was to come before it is not sent any more."""
    event = recorded.event
    assert isinstance(event, AlertDelivered)
    row = projection.get(OUTBOX, outbox_key(event.route, event.message))
    if row is None:
        return
    changed = msgspec.structs.replace(
        row, state=DeliveryState.DELIVERED, attempts=event.attempts, delivered_at=recorded.at, receipt=event.receipt
    )
    _end(projection, changed)
    for _, other in projection.scan(OUTBOX, f"{event.route}/"):
        if other.said.thread == row.said.thread and other.seq < row.seq:
            _end(projection, msgspec.structs.replace(other, state=DeliveryState.SUPERSEDED))
    live = f"{row.route}/{row.said.thread}"
    if row.said.act == "resolve":
        projection.delete(LIVE, live)
    elif row.said.act == "trigger":
        projection.put(LIVE, live, changed)


def alert_undelivered(projection: Projection, recorded: Recorded) -> None:
    """It goes on being tried; since when and why it fails is known."""
    event = recorded.event
    assert isinstance(event, AlertUndelivered)
    row = projection.get(OUTBOX, outbox_key(event.route, event.message))
    if row is not None:
        _put(projection, msgspec.structs.replace(row, undelivered_at=recorded.at, why=event.why, refused=event.refused))


def alert_muted(projection: Projection, recorded: Recorded) -> None:
    """Nobody hears of it until then. A later mute takes the place of the one before."""
    event = recorded.event
    assert isinstance(event, AlertMuted)
    row = MuteRow(model=event.model, monitor=event.monitor, until=event.until, reason=event.reason, actor=recorded.actor, at=recorded.at)
    projection.put(MUTES, mute_key(event.model, event.monitor), row)


def alert_unmuted(projection: Projection, recorded: Recorded) -> None:
    """It is heard again."""
    event = recorded.event
    assert isinstance(event, AlertUnmuted)
    projection.delete(MUTES, mute_key(event.model, event.monitor))


def _put(projection: Projection, row: DeliveryRow) -> None:
    projection.put(OUTBOX, outbox_key(row.route, row.said.message), row)
    projection.put(DELIVERIES, delivery_key(row), row)


def _end(projection: Projection, row: DeliveryRow) -> None:
    projection.delete(OUTBOX, outbox_key(row.route, row.said.message))
    projection.put(DELIVERIES, delivery_key(row), row)


FOLDS: Mapping[type[Event], Fold] = {
    AlertQueued: alert_queued,
    AlertDelivered: alert_delivered,
    AlertUndelivered: alert_undelivered,
    AlertMuted: alert_muted,
    AlertUnmuted: alert_unmuted,
}
"""The folds of what is told."""
