"""What may have caused an incident, ranked by the evidence. Pure.

Nothing here claims to know: a score weighs how often a thing of that kind breaks a model, how large its effect is against its floor, and whether
it began before the trouble did. What began after the trouble cannot have caused it, but for what its detector needs to see it. What was a likely
cause while the trouble stood stays one when it is mended.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from flyball.clock import Instant, Span, to_second
from flyball.ledger.bounds import NAME, clipped
from flyball.records.alerts import AlertRow, AlertState
from flyball.records.incidents import Cause

MOST = 5
"""Causes that are named."""

Kind = Literal["data", "feature", "version", "upstream"]

_OF_FINDINGS: dict[str, tuple[Kind, float]] = {
    "stale_data": ("upstream", 0.9),
    "late_labels": ("upstream", 0.5),
    "schema_change": ("data", 0.9),
    "input_drift": ("data", 0.6),
    "skew": ("feature", 0.9),
}
_SEEN = frozenset({AlertState.FIRING, AlertState.ACKNOWLEDGED, AlertState.STALE})
_WARNED = 0.5
"""What only warns weighs half of what alerts."""

_SLACK, _DAY, _WEEK = Span.parse("1h"), Span.parse("1d"), Span.parse("7d")
_OVERTAKES = 0.1
"""A cause takes the first place from another when it is likelier by so much: evidence that wavers changes nothing."""


@dataclass(frozen=True)
class Change:
    """Something that was changed, and when (0: not known): a version took over, a declaration was applied, a data set has a new version, or is refused."""

    kind: Kind
    what: str
    at: Instant
    weight: float
    evidence: str = ""


def ranked(alerts: Iterable[AlertRow], changes: Iterable[Change], onset: Instant) -> tuple[Cause, ...]:
    """The likely causes of what began at `onset`, the likeliest first."""
    found = [*filter(None, (_of_alert(row, onset) for row in alerts)), *(_of_change(change, onset) for change in changes)]
    best: dict[tuple[str, str], Cause] = {}
    for cause in sorted(found, key=lambda cause: (-cause.score, cause.since, cause.evidence)):
        best.setdefault((cause.kind, cause.what), cause)
    return tuple(sorted(best.values(), key=lambda cause: (-cause.score, cause.kind, cause.what))[:MOST])


def with_known(found: Sequence[Cause], known: Sequence[Cause]) -> tuple[Cause, ...]:
    """The causes found now, and those known before that are found no more: that one is mended, or was rolled back, does not clear it."""
    names = {(cause.kind, cause.what) for cause in found}
    left = [cause for cause in known if (cause.kind, cause.what) not in names]
    return tuple(sorted([*found, *left], key=lambda cause: (-cause.score, cause.kind, cause.what))[:MOST])


def differ(known: Sequence[Cause], now: Sequence[Cause]) -> bool:
    """Whether a ranking says something new: another cause, or clearly another first one."""
    names = {(cause.kind, cause.what) for cause in known}
    if any((cause.kind, cause.what) not in names for cause in now):
        return True
    if not known or not now or (known[0].kind, known[0].what) == (now[0].kind, now[0].what):
        return False
    held = next((cause.score for cause in now if (cause.kind, cause.what) == (known[0].kind, known[0].what)), 0.0)
    return now[0].score >= held + _OVERTAKES


def _of_alert(row: AlertRow, onset: Instant) -> Cause | None:
    finding = row.finding
    named = _OF_FINDINGS.get(finding.failure)
    if named is None or row.state not in _SEEN or finding.severity == "none":
        return None
    kind, weight = named
    what = f"{finding.failure.replace('_', ' ')}{f' ({finding.where})' if finding.where else ''}"
    weight *= 1.0 if finding.severity == "alert" else _WARNED
    return Cause(
        kind=kind,
        what=clipped(what, NAME),
        score=round(weight * _strength(finding.effect, finding.floor) * _before(row.found_at or row.since, onset), 2),
        since=row.found_at or row.since,
        evidence=clipped(finding.why, NAME),
    )


def _of_change(change: Change, onset: Instant) -> Cause:
    told = change.evidence
    if change.at:
        apart = Span(abs(onset - change.at) // 1_000_000 * 1_000_000).brief
        told = f"{f'{told}; ' if told else ''}{to_second(change.at)}, {apart} {'before' if change.at <= onset else 'after'} it began"
    return Cause(
        kind=change.kind,
        what=clipped(change.what, NAME),
        score=round(change.weight * _before(change.at, onset), 2),
        since=change.at,
        evidence=clipped(told, NAME),
    )


def _strength(effect: float | None, floor: float | None) -> float:
    """From two thirds, at its floor, to 1, at three times its floor. What has no such number counts whole."""
    if effect is None or not floor:
        return 1.0
    return min(1.0, 0.5 + abs(effect / floor) / 6)


def _before(since: Instant, onset: Instant) -> float:
    """How well a moment agrees with having caused what began at `onset`; one that is not known counts half."""
    if not since:
        return 0.5
    lag = onset - since
    if lag < -_DAY:
        return 0.1
    if lag < -_SLACK:
        return 0.5
    return 1.0 if lag <= _DAY else 0.6 if lag <= _WEEK else 0.2
