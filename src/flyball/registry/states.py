"""The states of a version and the arrows between them. Champion and challenger are roles, not states."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from flyball.errors import Conflict
from flyball.records.versions import VersionState as S

TRANSITIONS: Mapping[S, frozenset[S]] = MappingProxyType(
    {
        S.REGISTERED: frozenset({S.ELIGIBLE, S.REJECTED, S.HELD, S.QUARANTINED}),
        S.ELIGIBLE: frozenset({S.DEPLOYED, S.REGISTERED, S.QUARANTINED}),
        S.HELD: frozenset({S.REGISTERED, S.QUARANTINED, S.DELETED}),
        S.REJECTED: frozenset({S.REGISTERED, S.QUARANTINED, S.DELETED}),
        S.DEPLOYED: frozenset({S.RETIRED, S.QUARANTINED}),
        S.RETIRED: frozenset({S.DEPLOYED, S.QUARANTINED, S.DELETED}),
        S.QUARANTINED: frozenset({S.REGISTERED, S.DELETED}),
        S.DELETED: frozenset(),
    }
)
"""State → the states that may follow."""

RELEASABLE = frozenset({S.ELIGIBLE, S.DEPLOYED, S.RETIRED})
"""Only what was eligible becomes deployed or retired, so all three have passed their gates."""


RELEASED = (S.DEPLOYED, S.RETIRED)
"""What answers, or has answered."""


def move(version: str, source: S, target: S) -> S:
    """Return `target` if the table has the arrow; else raise Conflict."""
    if target not in TRANSITIONS[source]:
        after = ", ".join(sorted(state.value for state in TRANSITIONS[source])) or "nothing"
        raise Conflict(
            f"{version} is {source.value} and cannot become {target.value}",
            why=f"after {source.value} comes {after}",
            fix="look at the version again: its state has changed",
        )
    return target


def judged(version: str, source: S, target: S) -> S:
    """A verdict on a version. One that is held is registered again first: judging it anew is what it waits for. So is one whose gates were
    declared anew before it was released, and one whose failed gate a person has waived.
    """
    if source in (S.HELD, S.ELIGIBLE, S.REJECTED):
        source = move(version, source, S.REGISTERED)
    return move(version, source, target)
