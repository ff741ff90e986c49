"""How the events of serving change the projections."""

from __future__ import annotations

from collections.abc import Mapping

from flyball.records.base import Event, Fold, Projection, Recorded
from flyball.records.serving import (
    ANSWERED,
    EPOCHS,
    ROUTES,
    SEGMENTS,
    AnsweredRow,
    EpochRow,
    RouteDesired,
    RouteInForce,
    RouteRow,
    SegmentCounted,
    SegmentRow,
    SegmentSealed,
)

EPOCH_KEY = "routes"
"""The one row of EPOCHS."""


def _route_desired(projection: Projection, recorded: Recorded) -> None:
    event = recorded.event
    assert isinstance(event, RouteDesired)
    if event.route is None:
        projection.delete(ROUTES, event.model)
    else:
        projection.put(ROUTES, event.model, RouteRow(epoch=event.epoch, route=event.route, desired_at=recorded.at))
    before = projection.get(EPOCHS, EPOCH_KEY)
    row = EpochRow(
        desired=event.epoch,
        desired_at=recorded.at,
        in_force=before.in_force if before else 0,
        in_force_at=before.in_force_at if before else 0,
        ms=before.ms if before else 0.0,
        waiting=before.waiting if before else (),
    )
    projection.put(EPOCHS, EPOCH_KEY, row)


def _route_in_force(projection: Projection, recorded: Recorded) -> None:
    event = recorded.event
    assert isinstance(event, RouteInForce)
    before = projection.get(EPOCHS, EPOCH_KEY)
    if before is None or event.epoch < before.in_force:
        return
    row = EpochRow(
        desired=before.desired,
        desired_at=before.desired_at,
        in_force=event.epoch,
        in_force_at=recorded.at,
        ms=event.ms,
        waiting=(*before.waiting, *event.waiting) if event.also else event.waiting,
    )
    projection.put(EPOCHS, EPOCH_KEY, row)


def segment_key(gateway: str, number: int) -> str:
    """The key of a segment in SEGMENTS."""
    return f"{gateway}/{number:06d}"


def _segment_sealed(projection: Projection, recorded: Recorded) -> None:
    event = recorded.event
    assert isinstance(event, SegmentSealed)
    row = SegmentRow(
        gateway=event.gateway,
        number=event.number,
        wal_sha256=event.wal_sha256,
        parquet_sha256=event.parquet_sha256,
        rows=event.rows,
        torn_bytes=event.torn_bytes,
        last=event.last,
        erased=event.erased,
    )
    projection.put(SEGMENTS, segment_key(event.gateway, event.number), row)


def _segment_counted(projection: Projection, recorded: Recorded) -> None:
    event = recorded.event
    assert isinstance(event, SegmentCounted)
    segment = projection.get(SEGMENTS, segment_key(event.gateway, event.number))
    for name in dict.fromkeys((*event.answered, *event.shadow)):
        key = name.replace("@", "/", 1)
        before = projection.get(ANSWERED, key) or AnsweredRow()
        row = AnsweredRow(
            answered=before.answered + event.answered.get(name, 0),
            shadow=before.shadow + event.shadow.get(name, 0),
            segments=before.segments + 1,
            last=max(before.last, segment.last if segment else 0),
        )
        projection.put(ANSWERED, key, row)


FOLDS: Mapping[type[Event], Fold] = {
    RouteDesired: _route_desired,
    RouteInForce: _route_in_force,
    SegmentSealed: _segment_sealed,
    SegmentCounted: _segment_counted,
}
"""The folds of this stage."""
