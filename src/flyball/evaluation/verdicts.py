"""Verdicts as such: the outcome of a comparison with a number, and one outcome of many. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from flyball.declare.checks import Check, Sentence
from flyball.declare.units import shown_size
from flyball.evaluation import comparison
from flyball.evaluation.comparison import number, shown
from flyball.records.estimates import Estimate, Outcome, Verdict


def insufficient(check: Sentence, why: str, slice_: str = "") -> Verdict:
    """Not enough to judge a check on, and why."""
    return Verdict(check=str(check), outcome=Outcome.INSUFFICIENT, slice=slice_, why=why)


NO_CHAMPION = "no champion yet: there is nothing to compare with"


def no_champion(check: Check) -> Verdict:
    """A comparison with a champion where there is none."""
    return Verdict(check=str(check), outcome=Outcome.PASS, why=NO_CHAMPION)


_LONGEST = 400


def shortened(text: str) -> str:
    """What is told of many groups, as far as a verdict has room for it."""
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def against_number(check: Check, bound: float, found: Estimate, one_sided: Estimate, lack: str) -> tuple[Outcome, str]:
    """The outcome of a comparison with a number. `one_sided`: the estimate with one-sided bounds as its ends."""
    why = shown_in(found, check.unit)
    if found.value is None:
        return Outcome.INSUFFICIENT, found.why
    if lack:
        return Outcome.INSUFFICIENT, comparison.lacking(why, lack)
    if not check.metric.bound:
        return (Outcome.PASS if comparison.holds(check.op, found.value, bound) else Outcome.FAIL), why
    end = one_sided.low if check.metric.bound == "lower" else one_sided.high
    if end is None:
        # beyond the bound as it stands, whatever its interval would be
        beyond = not comparison.holds(check.op, found.value, bound)
        return Outcome.FAIL if beyond else Outcome.INSUFFICIENT, f"{why}: its {check.metric.bound} bound is not defined"
    why = f"{why}, {check.metric.bound} bound {_with_unit(end, check.unit)}"
    if comparison.holds(check.op, end, bound):
        return Outcome.PASS, why
    if comparison.holds(check.op, found.value, bound):
        return Outcome.INSUFFICIENT, f"{why}: the estimate holds, and so few rows do not show it"
    return Outcome.FAIL, why


def shown_in(found: Estimate, unit: str) -> str:
    """An estimate for people, in a check's unit: `12 [11, 13] ms n=200`, `1.5 MB`."""
    if unit != "B" or found.value is None:
        return shown(found, f" {unit}" if unit else "")
    note = f"; {found.why}" if found.why else ""
    return shown_size(found.value) + (f" n={found.n:,}" if found.n else "") + note


def _with_unit(value: float, unit: str) -> str:
    return shown_size(value) if unit == "B" else f"{number(value)} {unit}".strip()


def why_of(verdicts: Sequence[Verdict]) -> str:
    """What the gravest of the verdicts says."""
    worst = combine(verdicts)
    return next((verdict.why for verdict in verdicts if verdict.outcome == worst), "")


def combine(verdicts: Sequence[Verdict]) -> Outcome:
    """One outcome of many verdicts: any fail fails, else any insufficient is insufficient, else pass; a waived one counts as a pass."""
    counts = Counter(verdict.outcome for verdict in verdicts)
    return next((outcome for outcome in (Outcome.FAIL, Outcome.INSUFFICIENT) if counts[outcome]), Outcome.PASS)
