"""What the counts of a rollout say: one reading per guard, slice and operational test (docs/statistics.md §1). Pure.

Roll back when any cell has E ≥ 1/(.01 π): quality has π = .75 (.5 for the whole and .25 over the slices, where there are slices), the
operational tests .25 in equal parts. Promotion needs each required test at its own α = .05, halved for every earlier attempt.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np

from flyball.declare.checks import Check, Reference
from flyball.declare.live import ERRORS, SLOW, loss_metric, untested
from flyball.declare.policy import Rollout
from flyball.records.rollouts import PairCounts, Reading, RolloutEvidence, RolloutRow, StepCounts
from flyball.rollout.evidence import FULL, against
from flyball.stats import betting, ratio, share
from flyball.stats.logspace import log_mean_exp

RATIO = "sample ratio"

ROLL_BACK = 0.01
PROMOTE = 20.0
FREEZE = 1_000.0
QUALITY, WHOLE = 0.75, 0.5
RARE = 0.01
"""A share of errors that is shown to be below this needs no comparison: without it, versions that never fail could never be cleared."""

_LN10 = math.log(10)


def loss_of(task: str) -> Literal["zero_one", "absolute"]:
    """The loss by which two versions of a model with this task are compared on live rows."""
    return "zero_one" if loss_metric(task) == "accuracy" else "absolute"


def tested(declaration: Rollout, task: str) -> list[Check]:
    """The guards on which live evidence can speak. One on which it cannot is shown without a reading and never counts as passed."""
    return [guard for guard in declaration.guards if not untested(guard, task)]


def on_quality(declaration: Rollout, task: str) -> list[Check]:
    """The guards that labelled live rows can test."""
    return [guard for guard in tested(declaration, task) if guard.metric.name not in (ERRORS, SLOW)]


def readings(row: RolloutRow, declaration: Rollout, evidence: RolloutEvidence, *, task: str, loss_cap: float = 1.0) -> tuple[Reading, ...]:
    """Every test's state: quality guards (whole, then slices), guards that nothing tests, errors, slow answers, sample ratio.

    `task` and `loss_cap` are the model's; `loss_cap` is what the clipped loss was divided by. `need_for` and `need_against` are values of
    E, not logarithms; a test without one of the two directions has None there.
    """
    guards = tested(declaration, task)
    silent = tuple(Reading(test=str(guard)) for guard in declaration.guards if guard not in guards)
    everything = against(evidence)
    quality = on_quality(declaration, task)
    operations = [guard for guard in guards if guard not in quality]
    return (
        *_quality(quality, row, evidence, everything, loss_cap),
        *silent,
        *_operations(operations, row, evidence, everything, alone=not quality),
    )


def fired(found: tuple[Reading, ...]) -> tuple[Reading, ...]:
    """The readings that ask for a roll-back. The sample ratio never does: it freezes."""
    return tuple(one for one in found if one.test != RATIO and reached(one.log10_against, one.need_against))


def cleared(one: Reading) -> bool:
    """Whether a reading has what promotion needs of it."""
    return reached(one.log10_for, one.need_for)


def reached(log10_e: float | None, need: float | None) -> bool:
    """Whether E is at its threshold; a test without evidence or without a threshold is not."""
    return log10_e is not None and need is not None and log10_e >= math.log10(need)


def _quality(
    guards: list[Check], row: RolloutRow, evidence: RolloutEvidence, everything: RolloutEvidence, cap: float
) -> tuple[Reading, ...]:
    ours = {pairs.slice: pairs for pairs in evidence.pairs}
    against_us = {pairs.slice: pairs for pairs in everything.pairs}
    slices = [name for name in against_us if name]
    cells = [(guard, name) for guard in guards for name in slices if _covers(guard, name)]
    # evidence as an event carries it may leave out slices that had their share of the level all the same
    left_out = sum(count for guard in guards for column, count in evidence.unlisted.items() if _covers(guard, column))
    share_whole = (WHOLE if slices or evidence.unlisted else QUALITY) / max(len(guards), 1)
    share_slice = (QUALITY - WHOLE) / max(len(cells) + left_out, 1)
    need_for = PROMOTE * 2 ** (row.attempt - 1)
    found = []
    for guard, name in [*((guard, "") for guard in guards), *cells]:
        own, all_of_it = ours.get(name, PairCounts(slice=name)), against_us.get(name, PairCounts(slice=name))
        whole = not name
        found.append(
            Reading(
                test=str(guard),
                slice=name,
                log10_for=_bet(guard, own, cap).promote / _LN10 if whole else None,
                need_for=need_for if whole else None,
                log10_against=_bet(guard, all_of_it, cap).roll_back / _LN10,
                need_against=1 / (ROLL_BACK * (share_whole if whole else share_slice)),
                n=round(own.minus + own.zero + own.plus),
            )
        )
    return tuple(found)


def _covers(guard: Check, name: str) -> bool:
    return not guard.metric.slices or name.split("=", 1)[0] in guard.metric.slices


def _bet(guard: Check, pairs: PairCounts, cap: float) -> betting.Evidence:
    """Against the champion: the paired test at the guard's margin. Against a number: the same bet on the new version's loss alone."""
    n = pairs.minus + pairs.zero + pairs.plus
    if n <= 0:
        return betting.Evidence(0.0, 0.0)
    old = pairs.old_loss / n
    if isinstance(guard.bound, Reference):
        delta = _highest_loss(guard, old, cap) - old
        return betting.evidence(pairs.minus, pairs.zero, pairs.plus, _inside(delta))
    wrong = min(max(pairs.old_loss + pairs.minus - pairs.plus, 0.0), n)
    return betting.evidence(wrong, 0.0, n - wrong, _inside(2 * _highest_loss(guard, old, cap) - 1))


def _highest_loss(guard: Check, old: float, cap: float) -> float:
    """The mean clipped loss that the guard allows the new version, where the old one has `old`.

    A relative margin takes the old version's loss from the evidence itself: a plug-in, close once there are rows enough to decide.
    """
    bound, name = guard.bound, guard.metric.name
    times, plus = (bound.times, bound.plus) if isinstance(bound, Reference) else (0.0, bound)
    if name == "accuracy":
        return 1 - (times * (1 - old) + plus)
    return times * old + plus / cap


def _inside(delta: float) -> float:
    return min(0.999, max(-0.999, delta))


def _operations(
    guards: list[Check], row: RolloutRow, evidence: RolloutEvidence, everything: RolloutEvidence, *, alone: bool
) -> tuple[Reading, ...]:
    alone_held = [guard for guard in guards if guard.metric.name == ERRORS and not isinstance(guard.bound, Reference)]
    part = (1.0 if alone else 1 - QUALITY) / ((1 if row.slow_us is None else 2) + len(alone_held))
    need = 1 / (ROLL_BACK * part)
    split = [step for step in everything.steps if 0 < step.weight < FULL]
    errors = share.log_e([_bad(step) for step in everything.steps], excess=_excess(guards))
    slow = share.log_e([share.Bad(step.canary_slow, step.stable_slow, step.weight / FULL) for step in split], excess=0.5)
    now = [step for step in evidence.steps if 0 < step.weight < FULL]
    dealt = ratio.log_e([ratio.Split(step.canary_units, step.canary_units + step.stable_units, step.weight / FULL) for step in now])
    return (
        Reading(
            test=ERRORS,
            log10_for=_errors_cleared(evidence) / _LN10,
            need_for=PROMOTE * 2 ** (row.attempt - 1),
            log10_against=errors / _LN10,
            need_against=need,
            n=sum(step.canary_met for step in evidence.steps),
        ),
        *(_held_to(guard, row, evidence, everything, need) for guard in alone_held),
        Reading(test=SLOW)
        if row.slow_us is None
        else Reading(test=SLOW, log10_against=slow / _LN10, need_against=need, n=sum(step.canary_met for step in split)),
        Reading(
            test=RATIO,
            log10_against=dealt / _LN10,
            need_against=FREEZE,
            n=sum(step.canary_units + step.stable_units for step in now),
        ),
    )


def _held_to(guard: Check, row: RolloutRow, evidence: RolloutEvidence, everything: RolloutEvidence, need: float) -> Reading:
    """Errors against a number: of the units' first requests to the new version, the share that failed."""
    assert not isinstance(guard.bound, Reference), "only a number is held alone"
    delta = _inside(2 * guard.bound - 1)

    def bet(found: RolloutEvidence) -> betting.Evidence:
        met, failed = sum(step.canary_met for step in found.steps), sum(step.canary_failed for step in found.steps)
        return betting.evidence(failed, 0, met - failed, delta)

    return Reading(
        test=str(guard),
        log10_for=bet(evidence).promote / _LN10,
        need_for=PROMOTE * 2 ** (row.attempt - 1),
        log10_against=bet(everything).roll_back / _LN10,
        need_against=need,
        n=sum(step.canary_met for step in evidence.steps),
    )


def _bad(step: StepCounts) -> share.Bad:
    # where both versions meet every request, a failure of one alone is as likely on either side: odds of a half
    weight = step.weight / FULL if 0 < step.weight < FULL else 0.5
    return share.Bad(step.canary_bad, step.stable_bad, weight)


def _errors_cleared(evidence: RolloutEvidence) -> float:
    """Log E against "twice as bad as the old version, and more than rarely": the mean of two tests is a test of both at once.

    A share of the new version alone need not wait until the split is settled: its units and its bad ones are told alike.
    """
    met, bad = sum(step.canary_met for step in evidence.steps), sum(step.canary_bad for step in evidence.steps)
    relative = share.log_e_cleared([_bad(step) for step in evidence.steps])
    rare = betting.evidence(min(bad, met), 0, max(met - bad, 0), 2 * RARE - 1).promote
    return log_mean_exp(np.array([relative, rare]))


def _excess(guards: list[Check]) -> float:
    """The relative excess of errors that is allowed: the least that a guard names, else a quarter."""
    return min(
        (guard.bound.times - 1 for guard in guards if guard.metric.name == ERRORS and isinstance(guard.bound, Reference)), default=0.25
    )
