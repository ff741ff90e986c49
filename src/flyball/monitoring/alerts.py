"""The states of an alert, and how findings move it (docs/architecture.md). Pure.

No data makes an alert stale and never resolves it; a monitor that fails is an alert of its own, beside the one it can no longer keep.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from flyball.clock import Instant
from flyball.errors import Conflict
from flyball.records.alerts import AlertMoved, AlertRow, AlertState, Finding

OK, PENDING, FIRING = AlertState.OK, AlertState.PENDING, AlertState.FIRING
ACKNOWLEDGED, RESOLVED, STALE, BROKEN = AlertState.ACKNOWLEDGED, AlertState.RESOLVED, AlertState.STALE, AlertState.BROKEN

ARROWS: Mapping[AlertState, frozenset[AlertState]] = {
    OK: frozenset({PENDING, FIRING, BROKEN}),
    PENDING: frozenset({OK, FIRING, STALE}),
    # firing → firing: the same episode became graver
    FIRING: frozenset({FIRING, ACKNOWLEDGED, RESOLVED, STALE}),
    ACKNOWLEDGED: frozenset({FIRING, RESOLVED, STALE}),
    RESOLVED: frozenset({PENDING, FIRING, BROKEN}),
    STALE: frozenset({PENDING, FIRING, RESOLVED}),
    BROKEN: frozenset({RESOLVED}),
}
"""Every arrow there is. A new key starts at ok."""

_RANK = {"none": 0, "warn": 1, "alert": 2}
_OPEN = frozenset({PENDING, FIRING, ACKNOWLEDGED})

UNDER_WAY = frozenset({FIRING, ACKNOWLEDGED, STALE})
"""It has fired and is not over."""


def key_of(model: str, finding: Finding) -> str:
    """`model/monitor/column or slice`, or `column in slice`; a broken monitor has a key of its own."""
    seen = " in ".join(part for part in (finding.column, finding.slice) if part)
    part = "broken" if finding.standing == "broken" else seen
    return f"{model}/{finding.monitor}/{part}"


def alerts(model: str, rows: Mapping[str, AlertRow], findings: Sequence[Finding], now: Instant) -> tuple[AlertMoved, ...]:
    """The arrows that `findings` (all of the model's, from one look) cause. `rows` are the model's alerts by key.

    An alert that no finding speaks of goes stale; it is over when no finding is of its monitor, which then is no longer declared.
    """
    moved: list[AlertMoved] = []
    seen: set[str] = set()
    for finding in findings:
        key = key_of(model, finding)
        seen.add(key)
        row = rows.get(key) or AlertRow(key=key, model=model, monitor=finding.monitor, state=OK, episode=0, since=now, finding=finding)
        target = _target(row, finding, now)
        if target is not None:
            # what went stale keeps the last that was known of it
            moved.append(_arrow(row, target, row.finding if target == STALE else finding))
    monitors = {finding.monitor for finding in findings}
    for key, row in rows.items():
        if key not in seen and row.model == model:
            moved.extend(_unspoken(row, watched=row.monitor in monitors or not monitors))
    return tuple(moved)


def _unspoken(row: AlertRow, *, watched: bool) -> list[AlertMoved]:
    """An alert that no finding speaks of: stale while its monitor is there, over once the monitor is no longer declared."""
    if row.state == BROKEN:
        return [_arrow(row, RESOLVED, row.finding)]
    if watched:
        return [_arrow(row, STALE, row.finding)] if row.state in _OPEN else []
    if row.state not in _OPEN and row.state != STALE:
        return []
    gone = msgspec.structs.replace(row.finding, severity="none", why="the monitor is no longer declared")
    return [_arrow(row, OK if row.state == PENDING else RESOLVED, gone)]


def _target(row: AlertRow, finding: Finding, now: Instant) -> AlertState | None:
    """Where the finding takes the alert; None: it stays."""
    state = row.state
    if finding.standing == "broken":
        return None if state == BROKEN else BROKEN
    if finding.standing == "insufficient":
        return STALE if state in _OPEN else None
    if finding.severity == "none":
        if state == PENDING:
            return OK
        # what may be well by chance is over when that has lasted: nothing of the time before it fired is in the span any more
        lasted = finding.standing == "settled" or 0 < finding.wait <= now - row.found_at
        return RESOLVED if state in UNDER_WAY and lasted else None
    if finding.standing == "pending":
        waited = state == PENDING and finding.wait > 0 and now - row.since >= finding.wait
        if state in (FIRING, ACKNOWLEDGED) or (state == PENDING and not waited):
            return None
        return FIRING if waited else PENDING
    graver = _RANK[finding.severity] > _RANK[row.finding.severity]
    if state in (FIRING, ACKNOWLEDGED) and not graver:
        return None
    return FIRING


def acknowledge(row: AlertRow) -> AlertMoved | None:
    """A person has seen it. None where there is nothing to acknowledge."""
    return _arrow(row, ACKNOWLEDGED, row.finding) if row.state == FIRING else None


def require(stands: AlertState, event: AlertMoved) -> None:
    """Raise Conflict unless the event starts where the alert stands and goes along an arrow."""
    if event.source is not stands or event.target not in ARROWS[stands]:
        raise Conflict(
            f"alert {event.key} cannot go from {event.source.value} to {event.target.value}",
            why=f"it is {stands.value}, and from there it goes to {', '.join(sorted(ARROWS[stands]))}",
        )


def _arrow(row: AlertRow, target: AlertState, finding: Finding) -> AlertMoved:
    episode = row.episode + 1 if row.state in (OK, RESOLVED) else row.episode
    return AlertMoved(key=row.key, model=row.model, monitor=row.monitor, source=row.state, target=target, episode=episode, finding=finding)
