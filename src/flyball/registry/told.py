"""Verdicts as an event carries them: the run's result has them all, the event those that matter, and how many it leaves out. Pure."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence

import msgspec

from flyball.evaluation.persons import of_card, of_persons
from flyball.ledger.bounds import clipped, fullest, named
from flyball.records.estimates import Outcome, Verdict
from flyball.records.versions import VersionEligible, VersionHeld, VersionJudged, VersionRejected, VersionRow

Judged = VersionEligible | VersionRejected | VersionHeld | VersionJudged

_GRAVITY = {Outcome.FAIL: 0, Outcome.INSUFFICIENT: 1, Outcome.WAIVED: 2, Outcome.PASS: 3}
_TEXT = 1_000


def shortest(build: Callable[[tuple[Verdict, ...], dict[str, int]], Judged], verdicts: Sequence[Verdict]) -> Judged:
    """The event that `build` makes of as many verdicts as fit, in their order, and of the number of the others by outcome.

    What does not pass goes before what does, each gate's worst before its others. So an event that leaves out verdicts of an outcome names every
    gate that has it, as far as there is room for one of each.
    """
    short = [_clipped(verdict) for verdict in verdicts]
    ranked = _ranked(short)

    def event(listed: int) -> Judged:
        kept, left = sorted(ranked[:listed]), ranked[listed:]
        return build(tuple(short[place] for place in kept), dict(Counter(short[place].outcome.value for place in left)))

    return fullest(event, len(ranked))


def gate_name(check: object) -> str:
    """How a gate is called in the verdicts of an event."""
    return named(str(check), _TEXT)


def slice_name(text: str) -> str:
    """How a slice is called in the verdicts of an event."""
    return named(text)


def count(row: VersionRow, outcome: Outcome) -> int:
    """How many of a version's verdicts have this outcome, listed or not."""
    return sum(verdict.outcome == outcome for verdict in row.verdicts) + row.unlisted.get(outcome.value, 0)


def _clipped(verdict: Verdict) -> Verdict:
    # a gate is a user's function, and a slice a user's text: either may say anything
    return msgspec.structs.replace(
        verdict, check=gate_name(verdict.check), slice=slice_name(verdict.slice), why=clipped(verdict.why, _TEXT)
    )


def _ranked(verdicts: Sequence[Verdict]) -> list[int]:
    """The places of the verdicts, those first that an event must not leave out."""

    def grave(place: int) -> tuple[int, bool, bool, float, int]:
        verdict = verdicts[place]
        # an open approval is named after what lacks data: the one waits for a person, the other for rows
        approval = of_persons(verdict) or of_card(verdict)
        return _GRAVITY[verdict.outcome], approval, verdict.reference is None, _margin(verdict), place

    ordered = sorted(range(len(verdicts)), key=grave)
    first: dict[tuple[str, int], int] = {}
    for place in ordered:
        first.setdefault((verdicts[place].check, _GRAVITY[verdicts[place].outcome]), place)
    leading = set(first.values())
    return sorted(ordered, key=lambda place: (_GRAVITY[verdicts[place].outcome], place not in leading))


def _margin(verdict: Verdict) -> float:
    """What orders the slices of one gate: the smaller, the worse."""
    estimate, reference = verdict.estimate, verdict.reference
    if estimate is None or estimate.value is None:
        return math.inf
    ahead = estimate.value - ((reference.value or 0.0) if reference is not None else 0.0)
    return -ahead if any(f" {sign} " in verdict.check for sign in "≤<") else ahead
