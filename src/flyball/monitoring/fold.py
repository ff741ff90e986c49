"""How alerts, what is known of served features and of versions that are served elsewhere, and estimates without labels follow from events."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from flyball.clock import Instant
from flyball.monitoring.alerts import require
from flyball.monitoring.estimates import remembered
from flyball.records.alerts import ALERTS, RAISED_BOUNDS, AlertMoved, AlertRow, AlertState, BoundRaised, RaisedBound
from flyball.records.base import Event, Fold, Projection, Recorded
from flyball.records.elsewhere import ELSEWHERE, SEEN, ElsewhereRow, ReferenceMade, SeenRow, VersionSeen
from flyball.records.feedback import FEEDBACKS, FeedbackExamined, FeedbackRow
from flyball.records.skew import SKEWS, FeaturesVerified, SkewRow
from flyball.records.unlabelled import ESTIMATES, PerformanceEstimated


def alert_moved(projection: Projection, recorded: Recorded) -> None:
    """Write the alert as it stands now."""
    event = recorded.event
    assert isinstance(event, AlertMoved)
    before = projection.get(ALERTS, event.key)
    require(AlertState.OK if before is None else before.state, event)
    graver = before is not None and event.source == event.target == AlertState.FIRING
    row = AlertRow(
        key=event.key,
        model=event.model,
        monitor=event.monitor,
        state=event.target,
        episode=event.episode,
        since=before.since if before is not None and graver else recorded.at,
        finding=event.finding,
        found_at=_found_at(before, recorded.at, event),
    )
    projection.put(ALERTS, event.key, row)


def _found_at(before: AlertRow | None, now: Instant, event: AlertMoved) -> Instant:
    """As in `AlertRow`."""
    if event.target == AlertState.FIRING:
        return now
    return before.found_at if before is not None and event.target in (AlertState.ACKNOWLEDGED, AlertState.STALE) else 0


def bound_raised(projection: Projection, recorded: Recorded) -> None:
    """What wakes people of this version from here on."""
    event = recorded.event
    assert isinstance(event, BoundRaised)
    row = RaisedBound(incident=event.incident, bound=event.bound, swing=event.swing)
    projection.put(RAISED_BOUNDS, f"{event.model}/{event.version}", row)


def features_verified(projection: Projection, recorded: Recorded) -> None:
    """What is now known of the features that a version is served."""
    event = recorded.event
    assert isinstance(event, FeaturesVerified)
    row = SkewRow(
        model=event.model,
        version=event.version,
        at=recorded.at,
        rows=event.rows,
        checked=event.checked,
        features=event.features,
        examples=event.examples,
    )
    projection.put(SKEWS, f"{event.model}/{event.version}", row)


def version_seen(projection: Projection, recorded: Recorded) -> None:
    """It answers from here on, unless what came is of a time before the one that does: predictions of a former version may be sent later. One that is
    back has what was normal for it; until another one has its own reference, that of the one before goes on being used.
    """
    event = recorded.event
    assert isinstance(event, VersionSeen)
    before, key = projection.get(ELSEWHERE, event.model), f"{event.model}/{event.version}"
    known = projection.get(SEEN, key)
    seen = known or SeenRow(model=event.model, version=event.version, seen_at=recorded.at)
    if known is None:
        projection.put(SEEN, key, seen)
    if before is None:
        new = ElsewhereRow(model=event.model, version=event.version, seen_at=seen.seen_at, since=event.since)
        projection.put(ELSEWHERE, event.model, new)
    elif event.since >= before.since:
        new = msgspec.structs.replace(before, version=event.version, seen_at=seen.seen_at, since=event.since, back=known is not None)
        if seen.made is not None and before.watched != event.version:
            new = _watched(new, seen.made, seen.made_at)
        projection.put(ELSEWHERE, event.model, new)


def reference_made(projection: Projection, recorded: Recorded) -> None:
    """What is normal from now on, and whenever this version answers again."""
    event = recorded.event
    assert isinstance(event, ReferenceMade)
    before, key = projection.get(ELSEWHERE, event.model), f"{event.model}/{event.version}"
    seen = projection.get(SEEN, key)
    assert before is not None, "a version has a reference once it was seen"
    assert seen is not None, "a version has a reference once it was seen"
    projection.put(ELSEWHERE, event.model, _watched(before, event, recorded.at))
    projection.put(SEEN, key, msgspec.structs.replace(seen, made=event, made_at=recorded.at))


def _watched(row: ElsewhereRow, made: ReferenceMade, at: Instant) -> ElsewhereRow:
    """The version that answers is compared with what was `made` of it, at `at`."""
    return msgspec.structs.replace(
        row,
        watched=made.version,
        watched_since=row.watched_since if row.watched == made.version else row.since,
        made_at=at,
        until=made.until,
        reference=made.reference,
        rows=made.rows,
        of=made.of,
        predictions=made.predictions,
        labels=made.labels,
        loss_bound=made.loss_bound,
        loss_cap=made.loss_cap,
        metrics=made.metrics,
        by_slice=made.by_slice,
    )


def performance_estimated(projection: Projection, recorded: Recorded) -> None:
    """The newest estimate of a model, with those before it that labels are to confirm."""
    event = recorded.event
    assert isinstance(event, PerformanceEstimated)
    projection.put(ESTIMATES, event.model, remembered(projection.get(ESTIMATES, event.model), event, recorded.at))


def feedback_examined(projection: Projection, recorded: Recorded) -> None:
    """What a version learned from."""
    event = recorded.event
    assert isinstance(event, FeedbackExamined)
    projection.put(FEEDBACKS, f"{event.model}/{event.version}", FeedbackRow(newest=event, at=recorded.at))


FOLDS: Mapping[type[Event], Fold] = {
    AlertMoved: alert_moved,
    BoundRaised: bound_raised,
    FeaturesVerified: features_verified,
    VersionSeen: version_seen,
    ReferenceMade: reference_made,
    PerformanceEstimated: performance_estimated,
    FeedbackExamined: feedback_examined,
}
"""The folds of this stage."""
