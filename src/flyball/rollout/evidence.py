"""The evidence of one rollout: counts of a batch added to what there is. Pure; the sums are all a decision may use."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from flyball.clock import Instant, Span
from flyball.records.evidence import Batch, Traffic
from flyball.records.rollouts import PairCounts, RolloutEvidence, RolloutRow, StepCounts
from flyball.rollout.states import RUNNING

MINUTE = 60_000_000
FULL = 10_000
"""All traffic, in basis points."""

SLICES = 32
"""Slices of which pairs are kept apart."""


def accumulate(evidence: RolloutEvidence, batch: Batch, row: RolloutRow) -> RolloutEvidence:
    """Add what `batch` holds about this rollout.

    Bad, slow and all units fall under the weight they were counted at. Baked is the time that evidence covers: gaps count up to a
    tenth of the bake (a minute, where that is more), so a clock that jumps bakes next to nothing, and half-hourly rows bake.
    """
    traffic = [own for own in batch.traffic if own.model == row.model and own.rollout == row.rollout]
    matured = [
        own for own in batch.quality if own.model == row.model and own.version == row.version and not own.slice and own.role != "former"
    ]
    pairs = [own.counts for own in batch.pairs if own.rollout == row.rollout and own.new == row.version]
    return msgspec.structs.replace(
        _bake(evidence, traffic, batch.until, row),
        steps=_steps(evidence.steps, traffic, row),
        pairs=_bounded(merged_pairs(evidence.pairs, pairs), evidence.pairs),
        matured=evidence.matured + sum(own.matured for own in matured),
        labelled=evidence.labelled + sum(own.labelled for own in matured),
        shadow_dropped=evidence.shadow_dropped + sum(own.dropped for own in traffic),
    )


def _bounded(pairs: tuple[PairCounts, ...], known: tuple[PairCounts, ...]) -> tuple[PairCounts, ...]:
    """At most so many slices: an event carries the evidence and has a size. Slices that were there first stay."""
    if len(pairs) <= SLICES + 1:
        return pairs
    before = {one.slice for one in known}
    kept = sorted(pairs, key=lambda one: (one.slice != "", one.slice not in before, one.slice))[: SLICES + 1]
    return tuple(sorted(kept, key=lambda one: one.slice))


def follow_on(earlier: RolloutEvidence | None) -> RolloutEvidence:
    """Where the next attempt of the same artifact starts: nothing speaks for it, what spoke against it still does."""
    if earlier is None:
        return RolloutEvidence()
    total = against(earlier)
    return RolloutEvidence(before=RolloutEvidence(steps=total.steps, pairs=total.pairs))


def against(evidence: RolloutEvidence) -> RolloutEvidence:
    """All evidence that may roll back: that of earlier attempts too."""
    before = evidence.before
    if before is None:
        return evidence
    return RolloutEvidence(steps=merged_steps(before.steps, evidence.steps), pairs=merged_pairs(before.pairs, evidence.pairs))


def merged_pairs(*parts: Iterable[PairCounts]) -> tuple[PairCounts, ...]:
    """Sums by slice, the whole first."""
    total: dict[str, PairCounts] = {}
    for counts in (one for part in parts for one in part):
        known = total.get(counts.slice)
        total[counts.slice] = (
            counts
            if known is None
            else PairCounts(
                slice=counts.slice,
                minus=known.minus + counts.minus,
                zero=known.zero + counts.zero,
                plus=known.plus + counts.plus,
                old_loss=known.old_loss + counts.old_loss,
            )
        )
    return tuple(total[name] for name in sorted(total))


def merged_steps(*parts: Iterable[StepCounts]) -> tuple[StepCounts, ...]:
    """Sums by weight, the smallest first."""
    total: dict[int, StepCounts] = {}
    for counts in (one for part in parts for one in part):
        known = total.get(counts.weight)
        total[counts.weight] = (
            counts
            if known is None
            else StepCounts(
                weight=counts.weight,
                canary_units=known.canary_units + counts.canary_units,
                canary_bad=known.canary_bad + counts.canary_bad,
                canary_slow=known.canary_slow + counts.canary_slow,
                canary_met=known.canary_met + counts.canary_met,
                canary_failed=known.canary_failed + counts.canary_failed,
                stable_units=known.stable_units + counts.stable_units,
                stable_bad=known.stable_bad + counts.stable_bad,
                stable_slow=known.stable_slow + counts.stable_slow,
            )
        )
    return tuple(total[weight] for weight in sorted(total))


def _steps(known: tuple[StepCounts, ...], traffic: list[Traffic], row: RolloutRow) -> tuple[StepCounts, ...]:
    found: list[StepCounts] = []
    for own in traffic:
        split = 0 < own.weight < FULL
        if split and own.role not in {"champion", "challenger"}:
            continue
        # a shadow queues behind the answer, so its time says nothing about the version
        slow = own.slow_units if split else 0
        if own.version == row.version:
            found.append(
                StepCounts(
                    weight=own.weight,
                    canary_units=own.units,
                    canary_bad=own.bad_units,
                    canary_slow=slow,
                    canary_met=own.met,
                    canary_failed=own.failed,
                )
            )
        elif own.version == row.champion:
            found.append(StepCounts(weight=own.weight, stable_units=own.units, stable_bad=own.bad_units, stable_slow=slow))
    return merged_steps(known, found) if found else known


def _bake(evidence: RolloutEvidence, traffic: list[Traffic], until: Instant, row: RolloutRow) -> RolloutEvidence:
    if row.state not in RUNNING:
        return evidence
    under = f"{row.state.value}:{row.step}"
    if evidence.under != under:
        evidence = msgspec.structs.replace(evidence, under=under, baked=Span(0), last=row.entered_at)
    step = row.steps[row.step] if row.step < len(row.steps) else None
    weight = step.weight if step is not None and row.state.value != "watching" else None
    moments = sorted({min((own.minute + 1) * MINUTE, until) for own in traffic if own.n and weight in {None, own.weight}})
    largest = _largest_gap(step.bake if step is not None else Span(0))
    baked, last = int(evidence.baked), max(evidence.last, row.entered_at)
    for moment in moments:
        if moment > last:
            baked += min(moment - last, largest)
            last = moment
    return msgspec.structs.replace(evidence, baked=Span(baked), last=last)


def _largest_gap(bake: Span) -> int:
    return max(int(bake) // 10, min(MINUTE, int(bake) // 2))
