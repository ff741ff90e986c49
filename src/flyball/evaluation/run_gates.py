"""Gates on what a run measured beside its hold-out: sizes, times, costs, robustness, the data themselves. Pure.

A run keeps two-sided 95% intervals: `.lower` and `.upper` compare an end of those, hence a one-sided 97.5% bound, stricter than the 95% of a gate on rows.
A number of too few rows, or calls, never passes; it fails where its interval as a whole is beyond the bound.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

from flyball.declare.checks import Check, Reference
from flyball.declare.metrics import metric_info
from flyball.declare.units import shown_size
from flyball.evaluation.comparison import holds, number
from flyball.evaluation.holdout import Measured
from flyball.evaluation.robustness import KINDS
from flyball.evaluation.verdicts import against_number, insufficient, no_champion
from flyball.records.estimates import Estimate, Outcome, Verdict
from flyball.stats.intervals import Z_ONE_SIDED

_ONE_SIDED: Final = Z_ONE_SIDED / 1.959963984540054
"""A two-sided end's distance from the value, times this: a one-sided 95% end's, where estimates are about normal."""

_ROBUSTNESS: Final = tuple(f"robustness_{kind}" for kind in KINDS)
_LATENCIES: Final[Mapping[str, int]] = {"latency_p50": 20, "latency_p95": 20, "latency_p99": 100}
_UNCERTAIN: Final = frozenset({"duplicates", "minority_share", "domain_auc", "recency_gap", *_ROBUSTNESS, *_LATENCIES})
"""Metrics whose ends are missing only where data are too few for them; of others that have none, the number is exact, or a count."""

LEAST: Final[Mapping[str, int]] = {
    **dict.fromkeys(
        ("duplicates", "minority_share", "domain_auc", "recency_gap", "weak_slices", "output_shift", "dominated", *_ROBUSTNESS), 100
    ),
    **_LATENCIES,
}
"""Rows, or calls, below which a number is too little to pass on. Sizes, costs, leaks and shared groups are counted in full: they need none."""


def on_run(check: Check, measured: Measured, *, champion: bool) -> Verdict:
    """The verdict of a check of a number that the run measured. `champion`: whether there is one to compare with.

    The champion's number is that of its own run, so the two are not paired: with intervals they differ where that is shown at α = .05, without
    (a size) where they differ at all.
    """
    name = check.metric.name
    if name == "output_shift" and not champion:
        return no_champion(check)
    found = measured.numbers.get(name)
    if found is None:
        return insufficient(check, measured.missing.get(name, f"{name} was not measured by this run"))
    if not isinstance(check.bound, Reference):
        lack = "" if _beyond(check, found, check.bound) else _too_few(name, found)
        outcome, why = against_number(check, check.bound, found, found, lack)
        return Verdict(check=str(check), outcome=outcome, estimate=found, why=why)
    if check.bound.of == "champion" and not champion:
        return no_champion(check)
    other = measured.champion.get(name) if check.bound.of == "champion" else None
    if other is None or other.value is None or found.value is None:
        why = found.why if found.value is None else f"the run of the {check.bound.of} has not measured {name}"
        return Verdict(check=str(check), outcome=Outcome.INSUFFICIENT, estimate=found, reference=other, why=why)
    bound = other.value * check.bound.times + check.bound.plus
    why = f"{_shown(found.value, name)}, {check.bound.of} {_shown(other.value, name)}"
    outcome, lack = _against(check, found, other, bound)
    return Verdict(check=str(check), outcome=outcome, estimate=found, reference=other, why=_told(f"{why}: {lack}" if lack else why, found))


def _against(check: Check, found: Estimate, other: Estimate, bound: float) -> tuple[Outcome, str]:
    """The outcome, and what is lacking.

    Two numbers lie apart where their distance is more than what the sides of both intervals that face each other come to (Zou & Donner 2008,
    Statistics in Medicine 27:1693): an interval of order statistics has sides of unlike length.
    """
    assert found.value is not None
    assert isinstance(check.bound, Reference)
    name, times = check.metric.name, check.bound.times
    better = holds(check.op, found.value, bound)
    above = found.value > bound
    mine, theirs = _side(name, found, upper=not above), _side(name, other, upper=above)
    apart = None if mine is None or theirs is None else abs(found.value - bound) >= _ONE_SIDED * math.hypot(mine, times * theirs)
    few = _too_few(name, found) or _of_other(check.bound.of, _too_few(name, other))
    if not better:
        return (Outcome.INSUFFICIENT, few) if few and not apart else (Outcome.FAIL, "")
    if few:
        return Outcome.INSUFFICIENT, few
    if apart is None:
        lacking = _open(name, found, upper=not above) if mine is None else _of_other(check.bound.of, _open(name, other, upper=above))
        return Outcome.INSUFFICIENT, lacking
    return (Outcome.PASS if apart else Outcome.INSUFFICIENT), ""


def _side(name: str, found: Estimate, *, upper: bool) -> float | None:
    """How far the interval's end lies from the value; 0 of an exact number, None where there is too little for an end."""
    end = found.high if upper else found.low
    if end is None or found.value is None:
        return None if name in _UNCERTAIN else 0.0
    return abs(end - found.value)


def _beyond(check: Check, found: Estimate, bound: float) -> bool:
    """Whether the interval as a whole misses the bound: then few rows, or calls, are enough to fail."""
    end = found.low if check.op in ("<=", "<") else found.high
    return end is not None and not holds(check.op, end, bound)


def _too_few(name: str, found: Estimate) -> str:
    least = LEAST.get(name, 0)
    if found.value is None or found.n >= least:
        return ""
    return f"{found.n:,} {_units(name)} are too few, {least} are needed"


def _open(name: str, found: Estimate, *, upper: bool) -> str:
    return f"{found.n:,} {_units(name)} are too few for the {'upper' if upper else 'lower'} end of its interval"


def _of_other(of: str, lack: str) -> str:
    return f"of the {of}, {lack}" if lack else ""


def _units(name: str) -> str:
    return "calls" if name in _LATENCIES else "rows"


def _shown(value: float, name: str) -> str:
    info = metric_info(name)
    unit = info.unit if info is not None else ""
    return shown_size(value) if unit == "B" else f"{number(value)} ms" if unit == "ms" else number(value)


def _told(why: str, found: Estimate) -> str:
    """With what the run says of a number that it has, such as which part of a path is slow."""
    return f"{why}; {found.why}" if found.why and found.value is not None else why
