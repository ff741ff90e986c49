"""A move as an event: it carries the evidence that it rests on, cut to an event's size. The decision was made on all of it. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection

import msgspec

from flyball.ledger.bounds import clipped, fits, fullest
from flyball.records.rollouts import PairCounts, Reading, RolloutEvidence, RolloutMoved, RolloutRow, RolloutState
from flyball.rollout.evidence import against

TOLD = 12
"""Readings of slices that an event carries at most: those nearest to a roll-back, which are also those that `why` names."""

WHY = 3_000
"""Bytes of the reason at most."""


def move(
    row: RolloutRow,
    target: RolloutState,
    why: str,
    *,
    step: int | None = None,
    found: tuple[Reading, ...] = (),
    evidence: RolloutEvidence | None = None,
) -> RolloutMoved:
    """The arrow from where `row` stands to `target`, with the readings `found` and the counts that they were read from.

    Slices are left out from the one farthest from a roll-back on, their counts and readings together, until the event fits; the counts say how
    many were. A plan of so many guards and steps that even the whole does not fit moves without its numbers: a guard that fires must act.
    """
    nearest = sorted((one for one in found if one.slice), key=lambda one: one.log10_against or 0.0, reverse=True)
    told = {(one.test, one.slice) for one in nearest[:TOLD]}
    ranked = list(dict.fromkeys((*(one.slice for one in nearest), *_slices(evidence))))

    def event(slices: int) -> RolloutMoved:
        kept = {"", *ranked[:slices]}
        return RolloutMoved(
            rollout=row.rollout,
            model=row.model,
            source=row.state,
            target=target,
            step=row.step if step is None else step,
            why=clipped(why, WHY),
            readings=tuple(one for one in found if not one.slice or (one.slice in kept and (one.test, one.slice) in told)),
            counts=None if evidence is None else _only(evidence, kept),
        )

    moved = fullest(event, len(ranked))
    return moved if fits(moved) else msgspec.structs.replace(moved, readings=(), counts=None)


def column_of(name: str) -> str:
    """The column of a slice `column=value`."""
    return name.split("=", 1)[0]


def _slices(evidence: RolloutEvidence | None) -> list[str]:
    return [] if evidence is None else [one.slice for one in against(evidence).pairs if one.slice]


def _only(evidence: RolloutEvidence, kept: Collection[str]) -> RolloutEvidence:
    """The evidence with the pairs of these slices alone, and how many slices of each column were left out."""
    left = [name for name in _slices(evidence) if name not in kept]
    if not left:
        return evidence

    def pairs(of: RolloutEvidence) -> tuple[PairCounts, ...]:
        return tuple(one for one in of.pairs if one.slice in kept)

    before = None if evidence.before is None else msgspec.structs.replace(evidence.before, pairs=pairs(evidence.before))
    return msgspec.structs.replace(evidence, pairs=pairs(evidence), before=before, unlisted=dict(Counter(map(column_of, left))))
