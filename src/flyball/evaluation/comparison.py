"""Two versions on the same rows: the observed advantage over the stated margin, and whether it is shown."""

from __future__ import annotations

from typing import NamedTuple

from scipy.special import ndtr, ndtri

from flyball.declare.checks import Op, Reference
from flyball.declare.units import extreme
from flyball.evaluation import spreads
from flyball.evaluation.answers import Answers
from flyball.evaluation.rows import counted, row_values
from flyball.records.estimates import Estimate
from flyball.stats import paired, unseen
from flyball.stats.intervals import Interval
from flyball.stats.logspace import Floats
from flyball.stats.regression import held_to_zero

LEAST_ROWS = 100
LEAST_DENOMINATOR = 30
LEAST_CLUSTERS = 30
ALPHA = 0.05
LOOKS = 8
"""How often a version's gates are judged at most: on its hold-out, and after each seventh of its length that passed since."""
_ROUNDING = 1e-12
"""A difference that is smaller, as a share of the numbers it is made of, is 0 and rounding."""


class Compared(NamedTuple):
    """`difference` = new − times × old, with its two-sided 95% interval; `advantage`: by how much it beats the margin (> 0: it does).

    `shown`: the one-sided test at the α that was asked says so; `p_worse`: chance of an advantage as small as this if there were exactly none.
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
    return "" if found.groups is None else _too_few_entities(name, found, rows.among)


def _too_few_entities(name: str, found: Answers, among: Floats | None) -> str:
    """Why the entities that share the rows are too few, counting those of what the metric divides by; a few large ones say little more than few."""
    entities, alike = found.entities(among)
    if entities < LEAST_CLUSTERS:
        return f"{entities} entities < {LEAST_CLUSTERS}" + ("" if among is None else f" have what {name} rests on")
    if round(alike) < LEAST_CLUSTERS:
        return f"{entities:,} entities say as much as {alike:.0f} of one size < {LEAST_CLUSTERS}: a few have most of what {name} rests on"
    return ""


def doubled(reference: Reference, op: Op) -> Reference:
    """The margin that a slice is allowed when no gate names it: twice the gate's, or none where the gate asks for an improvement."""
    sign = 1 if op in (">=", ">") else -1
    times = 2 * reference.times - 1 if sign * (1 - reference.times) > 0 else 1.0
    plus = 2 * reference.plus if sign * reference.plus < 0 else 0.0
    return Reference(reference.of, times=times, plus=plus)


def alpha_of(look: int) -> float:
    """The error that one of the looks at a version's growing evidence may make: what the first has for itself, an eighth of it for each later one.

    >>> alpha_of(1), alpha_of(2)
    (0.05, 0.00625)
    """
    return ALPHA if look == 1 else ALPHA / LOOKS


def compare(name: str, new: Answers, old: Answers, reference: Reference, op: Op, alpha: float = ALPHA) -> Compared:
    """Test new OP times × old + plus on the same rows, in which `name` must be defined for both, at the one-sided level `alpha`.

    Shares of rows that the truth picks (accuracy, recall, …) with an absolute margin: Tango; AUC: DeLong; else t of the paired row values; rows that
    share an entity: t over entities.
    """
    sign = 1 if op in (">=", ">") else -1
    mine, theirs = counted(name, new), counted(name, old)
    if mine is not None and theirs is not None and new.groups is None and reference.times == 1 and abs(reference.plus) < 1:
        return _counted(mine.kept, theirs.kept, -reference.plus, sign, alpha)
    observed, least, most = spreads.of_difference(name, new, old, reference.times)
    beside = float(row_values(name, new).values.mean())

    def ahead(spread: spreads.Spread) -> tuple[float, float]:
        """The advantage, and the p of its test."""
        value = spread.mean.value
        advantage = _exactly(sign * (value - reference.plus), value, reference.plus, beside)
        # the test wants losses: less is better
        turned = spread.mean._replace(value=-advantage, third=-sign * spread.mean.third)
        return advantage, held_to_zero(turned, spread.unseen).p_below

    worst, best = (ahead(end) for end in ((least, most) if sign > 0 else (most, least)))
    ends = Interval(unseen.interval(*least).low, unseen.interval(*most).high)
    return Compared(observed.mean.value, ends, ahead(observed)[0], worst[0] > 0 and worst[1] <= alpha, 1 - best[1])


def _exactly(advantage: float, *beside: float) -> float:
    """An advantage that is only the rounding of the numbers `beside` it is none."""
    return advantage if abs(advantage) > _ROUNDING * max(map(abs, beside)) else 0.0


def _counted(new: Floats, old: Floats, delta: float, sign: int, alpha: float) -> Compared:
    """Hits of the same rows; with a `sign` of −1 fewer are better."""
    lost, won = float(((1 - new) * old).sum()), float((new * (1 - old)).sum())
    n = new.size
    z = paired.tango(lost, won, n, delta) if sign > 0 else paired.tango(won, lost, n, -delta)
    difference = (won - lost) / n
    advantage = _exactly(sign * (difference + delta), difference, delta, 1.0)
    shows = advantage > 0 and z >= ndtri(1 - alpha)
    return Compared(difference, paired.difference_interval(lost, won, n), advantage, bool(shows), float(ndtr(z)))


def number(value: float | None) -> str:
    """A figure for people: three significant digits, a real minus sign; `?` for one that is not known, or has no bound."""
    if value is None or extreme(value):
        return extreme(value)
    size = abs(value)
    text = f"{value:,.0f}" if size >= 1000 else f"{value:.3g}" if size >= 1 else f"{value:.3f}"
    return text.replace("-", "−")


def between(low: float | None, high: float | None) -> str:
    """An interval for people: `[0.700, 0.830]`, `[0.700, ?]` where an end is not known, `[unknown]` where neither is."""
    return "[unknown]" if extreme(low) == extreme(high) == "?" else f"[{number(low)}, {number(high)}]"


def shown(found: Estimate, unit: str = "") -> str:
    """An estimate for people: `0.768 [0.700, 0.830] n=144`."""
    ends = f" {between(found.low, found.high)}" if found.low is not None or found.high is not None else ""
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
    ends = between(found.interval.low, found.interval.high)
    return f"{number(mine.value)}, {reference.of}{factor} {number(_scaled(theirs, reference))}: {number(found.difference)} {ends}{margin}, n={mine.n:,}"


def _scaled(theirs: Estimate, reference: Reference) -> float | None:
    return None if theirs.value is None else theirs.value * reference.times
