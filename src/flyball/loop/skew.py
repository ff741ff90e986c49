"""What was found of served features, as a command: what of it is news, and the event that says so. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from flyball.clock import Instant
from flyball.ledger.bounds import fullest
from flyball.records.base import Event, Record, State
from flyball.records.skew import SKEWS, FeatureSkew, FeaturesVerified, Skew, SkewExample, added

_WORST = (Skew.WRONG, Skew.MISSING, Skew.EXTRA, Skew.STALE)


class NoteVerified(Record, frozen=True):
    """Note how feature values that one version was served stand."""

    id: str
    actor: str
    model: str
    version: str
    rows: int
    features: tuple[FeatureSkew, ...]
    examples: tuple[SkewExample, ...] = ()


def decide_note_verified(state: State, command: NoteVerified, _now: Instant) -> Sequence[Event]:
    """The first that can be said of a version is recorded; after that, what stands otherwise than before: another feature, another way."""
    if not sum(one.checked for one in command.features):
        return ()
    before = state.get(SKEWS, f"{command.model}/{command.version}")
    if before is not None and _standing(command.features) == _standing(before.features):
        return ()
    concerned = {(one.view, one.feature) for one in (before.features if before is not None else ()) if _differs(one)}
    told = [one for one in command.features if _differs(one) or (one.view, one.feature) in concerned]
    told.sort(key=lambda one: (-one.wrong, -one.skewed, -one.stale))
    return (fullest(lambda count: _event(command, told, count), len(told)),)


def _event(command: NoteVerified, told: Sequence[FeatureSkew], count: int) -> FeaturesVerified:
    """The event with `count` of the features that it is about, and the examples of these."""
    kept = {(one.view, one.feature) for one in told[:count]}
    total = {skew: sum(getattr(one, skew.value) for one in command.features) for skew in Skew}
    return FeaturesVerified(
        model=command.model,
        version=command.version,
        rows=command.rows,
        checked=sum(one.checked for one in command.features),
        equal=total[Skew.EQUAL],
        missing=total[Skew.MISSING],
        extra=total[Skew.EXTRA],
        stale=total[Skew.STALE],
        wrong=total[Skew.WRONG],
        unknown=total[Skew.UNKNOWN],
        features=tuple(told[:count]),
        examples=tuple(one for one in command.examples if (one.view, one.feature) in kept),
        unlisted=len(told) - count,
    )


def _differs(one: FeatureSkew) -> bool:
    return bool(one.skewed or one.stale)


def _standing(features: Iterable[FeatureSkew]) -> frozenset[tuple[str, str, Skew]]:
    """Which features stand how, without how many."""
    return frozenset((one.view, one.feature, skew) for one in added(features) for skew in _WORST if getattr(one, skew.value))
