"""Two versions on the same rows: the observed advantage over the stated margin, and whether it is shown at α = .05."""

from __future__ import annotations

import math
from typing import NamedTuple

from scipy.special import ndtr

from flyball.declare.checks import Op, Reference
from flyball.evaluation.answers import Answers
from flyball.evaluation.rows import row_values
from flyball.records.estimates import Estimate
from flyball.stats import delong, paired
from flyball.stats.intervals import Z_ONE_SIDED, Interval, t_interval
from flyball.stats.regression import paired_losses

LEAST_ROWS = 100
LEAST_DENOMINATOR = 30
LEAST_CLUSTERS = 30
_EXACT = 1e-12
"""A difference of shares is a whole number of rows over n: what is nearer to 0 than this is 0 and rounding."""


class Compared(NamedTuple):
    """`difference` = new − times × old, with its two-sided 95% interval; `advantage`: by how much it beats the margin (> 0: it does).

    `shown`: the one-sided test at α = .05 says so; `p_worse`: chance of an advantage as small as this if there were exactly none.
    """

    difference: float
    interval: Interval
    advantage: float
    shown: bool
    p_worse: float


def holds(op: Op, left: float, right: float) -> bool:
    """`left op right`."""
    if op in (">=", ">"):
        return left >= right if op == ">=" else left > right
    return left <= right if op == "<=" else left < right


def too_little(name: str, found: Answers) -> str:
    """Why these rows are too few for `name`, in words; empty if they are enough."""
    if found.n < LEAST_ROWS:
        return f"n={found.n:,} < {LEAST_ROWS}"
    rows = row_values(name, found)
    if rows.why:
        return rows.why
    if rows.denominator < LEAST_DENOMINATOR:
        return f"{name} rests on {rows.denominator} {'rows' if found.lists is None else 'lists'} < {LEAST_DENOMINATOR}"
    if found.groups is not None and found.units < LEAST_CLUSTERS:
        return f"{found.units} entities < {LEAST_CLUSTERS}"
    return ""


def doubled(reference: Reference, op: Op) -> Reference:
    """The margin that a slice is allowed when no gate names it: twice the gate's, or none where the gate asks for an improvement."""
    sign = 1 if op in (">=", ">") else -1
    times = 2 * reference.times - 1 if sign * (1 - reference.times) > 0 else 1.0
    plus = 2 * reference.plus if sign * reference.plus < 0 else 0.0
    return Reference(reference.of, times=times, plus=plus)


def compare(name: str, new: Answers, old: Answers, reference: Reference, op: Op) -> Compared:
    """Test new OP times × old + plus on the same rows, in which `name` must be defined for both.

    Accuracy with an absolute margin: Tango; AUC: DeLong; else t of the paired row values; rows that share an entity: t over entities.
    """
    sign = 1 if op in (">=", ">") else -1
    if new.groups is None and name == "accuracy" and reference.times == 1 and sign == 1 and abs(reference.plus) < 1:
        return _accuracy(new, old, -reference.plus)
    if new.groups is None and name == "roc_auc" and new.score is not None and old.score is not None:
        found = delong.paired(new.y == 1, new.score, old.score, times=reference.times)
        value, se, df = found.value, found.se, math.inf
        z = _ratio(sign * (value - reference.plus), se)
        return Compared(value, t_interval(value, se, df), sign * (value - reference.plus), z >= Z_ONE_SIDED, float(ndtr(z)))
    first, second = row_values(name, new).values, row_values(name, old).values
    # the test wants losses: less is better
    test = paired_losses(-sign * first, -sign * second, times=reference.times, plus=-sign * reference.plus, groups=new.groups)
    value = float(first.mean() - reference.times * second.mean())
    advantage = -test.value if abs(test.value) > _EXACT else 0.0
    interval = t_interval(value, test.se, test.df)
    return Compared(value, interval, advantage, advantage > 0 and test.p_below <= 0.05, 1 - test.p_below)


def _ratio(value: float, se: float) -> float:
    if se > 0:
        return value / se
    return math.copysign(math.inf, value) if value else 0.0


def _accuracy(new: Answers, old: Answers, delta: float) -> Compared:
    mine, theirs = new.correct, old.correct
    new_wrong, old_wrong = float(((1 - mine) * theirs).sum()), float((mine * (1 - theirs)).sum())
    z = paired.tango(new_wrong, old_wrong, new.n, delta)
    difference = (old_wrong - new_wrong) / new.n
    advantage = difference + delta
    return Compared(
        difference,
        paired.difference_interval(new_wrong, old_wrong, new.n),
        advantage if abs(advantage) > _EXACT else 0.0,
        z >= Z_ONE_SIDED,
        float(ndtr(z)),
    )


def number(value: float | None) -> str:
    """A figure for people: three significant digits, a real minus sign."""
    if value is None:
        return "?"
    size = abs(value)
    text = f"{value:,.0f}" if size >= 1000 else f"{value:.3g}" if size >= 1 else f"{value:.3f}"
    return text.replace("-", "−")


def shown(found: Estimate, unit: str = "") -> str:
    """An estimate for people: `0.768 [0.700, 0.830] n=144`."""
    ends = f" [{number(found.low)}, {number(found.high)}]" if found.low is not None or found.high is not None else ""
    note = f"; {found.why}" if found.why and found.value is not None else ""
    return f"{number(found.value)}{unit}{ends}" + (f" n={found.n:,}" if found.n else "") + note


def lacking(figures: str, lack: str) -> str:
    """Figures and what they lack, with n told once.

    >>> lacking("0.900 [0.810, 0.950] n=60", "n=60 < 100")
    '0.900 [0.810, 0.950] n=60 < 100'
    """
    n = lack.partition(" ")[0]
    return f"{figures.removesuffix(n)}{lack}" if n.startswith("n=") and figures.endswith(n) else f"{figures}: {lack}"


def explain(mine: Estimate, theirs: Estimate, reference: Reference, found: Compared) -> str:
    """A comparison for people: `0.61, champion 0.70: −0.09 [−0.12, −0.06], margin −0.05, n=1,344`."""
    factor = f" × {reference.times:g}" if reference.times != 1 else ""
    margin = f", margin {number(reference.plus)}" if reference.plus or not factor else ""
    ends = f"[{number(found.interval.low)}, {number(found.interval.high)}]"
    return f"{number(mine.value)}, {reference.of}{factor} {number(_scaled(theirs, reference))}: {number(found.difference)} {ends}{margin}, n={mine.n:,}"


def _scaled(theirs: Estimate, reference: Reference) -> float | None:
    return None if theirs.value is None else theirs.value * reference.times
