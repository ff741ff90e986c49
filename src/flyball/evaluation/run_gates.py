"""Gates on what a run measured beside its hold-out: sizes, times, costs, robustness, the data themselves. Pure."""

from __future__ import annotations

import math

from flyball.declare.checks import Check, Reference
from flyball.declare.units import shown_size
from flyball.evaluation.comparison import holds, number
from flyball.evaluation.holdout import Measured
from flyball.evaluation.verdicts import against_number, insufficient, no_champion
from flyball.records.estimates import Estimate, Outcome, Verdict
from flyball.stats.intervals import Z_ONE_SIDED

_Z_TWO_SIDED = 1.959963984540054


def on_run(check: Check, measured: Measured, *, champion: bool) -> Verdict:
    """The verdict of a check of a number that the run measured. `champion`: whether there is one to compare with.

    The champion's number is that of its own run, so the two are not paired: with intervals they differ where that is shown at α = .05, without
    (a size) where they differ at all.
    """
    name = check.metric.name
    found = measured.numbers.get(name)
    if found is None:
        return insufficient(check, measured.missing.get(name, f"{name} was not measured by this run"))
    if not isinstance(check.bound, Reference):
        outcome, why = against_number(check, check.bound, found, found, "")
        return Verdict(check=str(check), outcome=outcome, estimate=found, why=why)
    if check.bound.of == "champion" and not champion:
        return no_champion(check)
    other = measured.champion.get(name) if check.bound.of == "champion" else None
    if other is None or other.value is None or found.value is None:
        why = found.why if found.value is None else f"the run of the {check.bound.of} has not measured {name}"
        return Verdict(check=str(check), outcome=Outcome.INSUFFICIENT, estimate=found, reference=other, why=why)
    bound = other.value * check.bound.times + check.bound.plus
    why = f"{_shown(found.value, name)}, {check.bound.of} {_shown(other.value, name)}"
    outcome = _against(check, found, other, bound)
    return Verdict(check=str(check), outcome=outcome, estimate=found, reference=other, why=_told(why, found))


def _against(check: Check, found: Estimate, other: Estimate, bound: float) -> Outcome:
    assert found.value is not None
    assert isinstance(check.bound, Reference)
    if not holds(check.op, found.value, bound):
        return Outcome.FAIL
    se = math.hypot(_se(found), check.bound.times * _se(other))
    shown = abs(found.value - bound) >= Z_ONE_SIDED * se
    return Outcome.PASS if shown else Outcome.INSUFFICIENT


def _se(found: Estimate) -> float:
    if found.low is None or found.high is None:
        return 0.0
    return (found.high - found.low) / (2 * _Z_TWO_SIDED)


def _shown(value: float, name: str) -> str:
    return shown_size(value) if name in ("size", "memory", "train_memory") else number(value)


def _told(why: str, found: Estimate) -> str:
    """With what the run says of a number that it has, such as which part of a path is slow."""
    return f"{why}; {found.why}" if found.why and found.value is not None else why
