"""What the counts of a rollout say: one reading per guard, slice and operational test (docs/statistics.md §1). Pure.

Roll back when any cell has E ≥ 1/(.01 π): quality has π = .75 (.5 for the whole and .25 over the slices, where there are slices), the
operational tests .25 in equal parts. Promotion needs each required test at its own α = .05, halved for every earlier attempt.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

import numpy as np

from flyball.declare.checks import Check, Reference
from flyball.declare.policy import Rollout
from flyball.records.rollouts import PairCounts, Reading, RolloutEvidence, RolloutRow, StepCounts
from flyball.rollout.evidence import FULL, against
from flyball.stats import betting, ratio, share
from flyball.stats.logspace import log_mean_exp

ERRORS = "error_rate"
SLOW = "latency_p99"
RATIO = "sample ratio"

ROLL_BACK = 0.01
PROMOTE = 20.0
FREEZE = 1_000.0
QUALITY, WHOLE = 0.75, 0.5
RARE = 0.01
"""A share of errors that is shown to be below this needs no comparison: without it, versions that never fail could never be cleared."""

Loss = Literal["zero_one", "absolute", "squared", "log"]

_LOSSES: Mapping[str, Loss] = MappingProxyType(
    {"accuracy": "zero_one", "mae": "absolute", "rmse": "squared", "mse": "squared", "log_loss": "log"}
)
_LN10 = math.log(10)


def loss_of(task: str) -> Loss:
    """The loss by which two versions of a model with this task are compared on live rows."""
    return "zero_one" if task in {"binary", "multiclass"} else "absolute"


def testable(guard: Check, task: str) -> bool:
    """Whether live evidence can speak on this guard; one that it cannot is shown without a reading and never counts as passed."""
    metric = guard.metric
    if metric.name == ERRORS or metric.name.startswith("latency_p"):
        return True
    if metric.of_gap or _LOSSES.get(metric.name) != loss_of(task):
        return False
    right_way = (">=", ">") if metric.name == "accuracy" else ("<=", "<")
    return guard.op in right_way and (not isinstance(guard.bound, Reference) or guard.bound.of == "champion")


def readings(row: RolloutRow, declaration: Rollout, evidence: RolloutEvidence, *, task: str, loss_cap: float = 1.0) -> tuple[Reading, ...]:
    """Every test's state: quality guards (whole, then slices), errors, slow answers, sample ratio.

    `task` and `loss_cap` are the model's; `loss_cap` is what the clipped loss was divided by. `need_for` and `need_against` are values of
    E, not logarithms; a test without one of the two directions has None there.
    """
    guards = [guard for guard in declaration.guards if not _operational(guard)]
    tested = [guard for guard in guards if testable(guard, task)]
    silent = tuple(Reading(test=str(guard)) for guard in guards if guard not in tested)
    everything = against(evidence)
    quality = _quality(tested, row, evidence, everything, loss_cap)
    return quality + silent + _operations(row, declaration, evidence, everything, alone=not tested)


def fired(found: tuple[Reading, ...]) -> tuple[Reading, ...]:
    """The readings that ask for a roll-back. The sample ratio never does: it freezes."""
    return tuple(one for one in found if one.test != RATIO and reached(one.log10_against, one.need_against))


def cleared(one: Reading) -> bool:
    """Whether a reading has what promotion needs of it."""
    return reached(one.log10_for, one.need_for)


def reached(log10_e: float | None, need: float | None) -> bool:
    """Whether E is at its threshold; a test without evidence or without a threshold is not."""
    return log10_e is not None and need is not None and log10_e >= math.log10(need)


def _operational(guard: Check) -> bool:
    return guard.metric.name == ERRORS or guard.metric.name.startswith("latency_p")


def _quality(
    guards: list[Check], row: RolloutRow, evidence: RolloutEvidence, everything: RolloutEvidence, cap: float
) -> tuple[Reading, ...]:
    ours = {pairs.slice: pairs for pairs in evidence.pairs}
    against_us = {pairs.slice: pairs for pairs in everything.pairs}
    slices = [name for name in against_us if name]
    cells = [(guard, name) for guard in guards for name in slices if _covers(guard, name)]
    share_whole = (WHOLE if slices else QUALITY) / max(len(guards), 1)
    share_slice = (QUALITY - WHOLE) / max(len(cells), 1)
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
    if name == "rmse":
        return float((times * math.sqrt(old * cap) + plus) ** 2 / cap)
    return times * old + plus / cap


def _inside(delta: float) -> float:
    return min(0.999, max(-0.999, delta))


def _operations(
    row: RolloutRow, declaration: Rollout, evidence: RolloutEvidence, everything: RolloutEvidence, *, alone: bool
) -> tuple[Reading, ...]:
    part = (1.0 if alone else 1 - QUALITY) / (1 if row.slow_us is None else 2)
    need = 1 / (ROLL_BACK * part)
    units = sum(step.canary_units for step in evidence.steps)
    split = [step for step in everything.steps if 0 < step.weight < FULL]
    errors = share.log_e([_bad(step) for step in everything.steps], excess=_excess(declaration, 0.25))
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
            n=units,
        ),
        Reading(test=SLOW)
        if row.slow_us is None
        else Reading(test=SLOW, log10_against=slow / _LN10, need_against=need, n=sum(step.canary_units for step in split)),
        Reading(
            test=RATIO,
            log10_against=dealt / _LN10,
            need_against=FREEZE,
            n=sum(step.canary_units + step.stable_units for step in now),
        ),
    )


def _bad(step: StepCounts) -> share.Bad:
    # where both versions meet every request, a failure of one alone is as likely on either side: odds of a half
    weight = step.weight / FULL if 0 < step.weight < FULL else 0.5
    return share.Bad(step.canary_bad, step.stable_bad, weight)


def _errors_cleared(evidence: RolloutEvidence) -> float:
    """Log E against "twice as bad as the old version, and more than rarely": the mean of two tests is a test of both at once."""
    units, bad = sum(step.canary_units for step in evidence.steps), sum(step.canary_bad for step in evidence.steps)
    relative = share.log_e_cleared([_bad(step) for step in evidence.steps])
    rare = betting.evidence(min(bad, units), 0, max(units - bad, 0), 2 * RARE - 1).promote
    return log_mean_exp(np.array([relative, rare]))


def _excess(declaration: Rollout, default: float) -> float:
    for guard in declaration.guards:
        bound = guard.bound
        if guard.metric.name == ERRORS and isinstance(bound, Reference) and bound.of == "champion" and bound.times >= 1:
            return bound.times - 1
    return default
