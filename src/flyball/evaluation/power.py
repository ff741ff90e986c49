"""What the checks of a declaration can see: the smallest loss that a gate shows, labels that a rollout needs, labels until a drop is found. Pure.

A gate's *smallest* difference δ_min is the margin at which an equal version passes four times in five (docs/statistics.md §4). It rests on how much
two versions differ from row to row: measured where a run has compared a candidate with a champion, else assumed, and then that is said.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from flyball.declare.checks import Check, Reference
from flyball.declare.metrics import CLASSES, at_k, metric_info
from flyball.evaluation import spreads
from flyball.evaluation.answers import Answers
from flyball.evaluation.comparison import LEAST_ROWS, too_little
from flyball.evaluation.holdout import Holdout
from flyball.evaluation.metrics import estimate
from flyball.evaluation.rows import counted, least_values, row_values
from flyball.evaluation.values import MOST_VALUES
from flyball.stats import power
from flyball.stats.betting import labels_to_promote
from flyball.stats.logspace import Floats
from flyball.stats.paired import smallest_margin, smallest_margin_of_mean
from flyball.stats.unseen import sizes

ASSUMED = 0.10
"""ψ where nobody has measured it: the share of rows on which exactly one of two versions is wrong."""

USUAL = 0.05
"""The drop in accuracy that is asked about where no check names a margin; of other losses a tenth."""


@dataclass(frozen=True)
class Seen:
    """One set of rows. `smallest`: δ_min in the metric's units; `margin`: what the check lets an equal version lose (0 or less: it asks for an
    improvement). Either is None where `why` says that it is not known. `lacking`: why the rows are too few for any verdict.
    """

    slice: str
    n: int
    smallest: float | None
    margin: float | None = None
    lacking: str = ""
    why: str = ""

    @property
    def shows(self) -> bool:
        """Whether an equal version passes here four times in five."""
        return not self.lacking and self.smallest is not None and self.margin is not None and self.smallest <= self.margin


@dataclass(frozen=True)
class GatePower:
    """What one gate sees, whole or in each of its slices, and what that rests on."""

    check: Check
    basis: str
    seen: tuple[Seen, ...]

    @property
    def worst(self) -> Seen:
        """The rows that see least: too few first, then the largest δ_min."""
        return max(self.seen, key=lambda one: (bool(one.lacking), math.inf if one.smallest is None else one.smallest, -one.n))


@dataclass(frozen=True)
class Promotion:
    """Labels with which a guard promotes an equal version: the median and the ninth of ten; and what ψ rests on."""

    check: Check
    margin: float
    labels: tuple[float, float]
    basis: str


@dataclass(frozen=True)
class Discovery:
    """Labels until the sequential detector alarms of a loss that has risen by `drop`: the median, the ninth of ten (infinite: not found).

    `value` is the metric on the hold-out and `unsure` what it may be all the same: only beyond that is there anything to find.
    """

    metric: str
    drop: float
    labels: tuple[float, float]
    value: float
    unsure: float


def is_paired(check: Check, task: str) -> bool:
    """Whether a check compares a version with the champion, row by row."""
    info = metric_info(check.metric.name)
    asked = isinstance(check.bound, Reference) and check.bound.of == "champion" and not check.metric.of_gap
    return asked and info is not None and info.source in ("quality", "prediction") and task in info.tasks


def _comparable(holdout: Holdout) -> Holdout:
    """The rows on which the two are compared; where the champion has seen every one, all of them, as if there had been no champion."""
    if holdout.paired.frame.height or "champion_value" not in holdout.frame.columns:
        return holdout.paired
    return replace(holdout, frame=holdout.frame.drop("champion_value", "champion_score", strict=False))


def of_gate(check: Check, holdout: Holdout) -> GatePower | None:
    """What a paired gate against the champion can see on these rows; None for other gates."""
    holdout = _comparable(holdout)
    bound, other = check.bound, holdout.champion
    if not holdout.frame.height or not is_paired(check, holdout.task) or not isinstance(bound, Reference) or holdout.new is None:
        return None
    parts = tuple(_seen(check, bound, *part) for part in _parts(check, holdout, holdout.new, other))
    if not parts:
        return None
    return GatePower(check, "measured" if other is not None else _assumption(check.metric.name), parts)


def _assumption(name: str) -> str:
    unit = "row" if at_k(name) is None else "list"
    differ = "differ on 10% of rows" if name == "accuracy" else f"differ in a {unit} as one does from its mean"
    return f"assumed: versions {differ}"


def _parts(check: Check, holdout: Holdout, new: Answers, other: Answers | None) -> Iterator[tuple[str, Answers, Answers | None]]:
    if not check.metric.slices:
        yield "", new, other
    for column in check.metric.slices:
        values = holdout.values(column) if column in holdout.frame.columns else []
        for value, rows in values if len(values) <= MOST_VALUES else ():
            yield f"{column}={value}", new.take(rows), other.take(rows) if other is not None else None


def _seen(check: Check, bound: Reference, slice_: str, new: Answers, other: Answers | None) -> Seen:
    name, lacking = check.metric.name, too_little(check.metric.name, new)
    against = other if other is not None else new
    found = estimate(name, against)
    if found.value is None:
        return Seen(slice_, new.n, None, lacking=lacking, why=found.why)
    margin = margin_of(check, bound, found.value)
    # of a ranking, lists
    least = _smallest(check, bound, new, other)
    return Seen(slice_, found.n, least, margin, lacking, "" if least is not None else "too few rows to tell")


def _smallest(check: Check, bound: Reference, new: Answers, other: Answers | None) -> float | None:
    """δ_min by the test that the gate will make (`comparison.compare`); None where there are too few rows to tell."""
    name = check.metric.name
    mine, theirs = counted(name, new), counted(name, other) if other is not None else None
    if mine is not None and new.groups is None and bound.times == 1 and abs(bound.plus) < 1:
        if theirs is not None:
            return smallest_margin(float(np.mean(mine.kept != theirs.kept)), mine.kept.size)
        share = float(mine.kept.mean())
        return smallest_margin(ASSUMED if name == "accuracy" else share * (1 - share), mine.kept.size)
    rows = row_values(name, new)
    if rows.why or (other is not None and row_values(name, other).why):
        return None
    more = check.op in (">=", ">")
    if other is None:
        spread = spreads.of(name, new, rows)
        beyond = spread.mean.value - float(least_values(name, new).values.mean())
    else:
        found = spreads.of_difference(name, new, other, bound.times)
        spread = found.least if more else found.most
        beyond = abs(spread.mean.value - found.observed.mean.value)
    if not math.isfinite(spread.mean.se):
        return None
    size = sizes(*spread)
    return beyond + smallest_margin_of_mean(spread.mean.se, size.below if more else size.above)


def margin_of(check: Check, bound: Reference, value: float) -> float:
    """What a check lets a version lose that is equal to one with this value.

    >>> from flyball.declare.checks import champion, metric
    >>> check = metric("mae") <= champion * 1.25
    >>> margin_of(check, check.bound, 4.0)
    1.0
    """
    lost = value - (bound.times * value + bound.plus)
    margin = lost if check.op in (">=", ">") else -lost
    # the last bits of a difference are rounding, and 0 has no sign
    return float(f"{margin:.12g}") + 0.0


def of_counts(check: Check, rows: Sequence[tuple[str, int]]) -> GatePower | None:
    """What a gate on accuracy can see on so many rows, by slice (empty: the whole), before anything was trained; None for other gates."""
    bound = check.bound
    if check.metric.name != "accuracy" or check.metric.of_gap or not isinstance(bound, Reference) or bound.times != 1:
        return None
    # with an absolute margin an equal version's value does not matter
    margin = margin_of(check, bound, 0.0)
    parts = tuple(
        Seen(part, n, smallest_margin(ASSUMED, n), margin, f"n={n:,} < {LEAST_ROWS}" if n < LEAST_ROWS else "") for part, n in rows
    )
    return GatePower(check, _assumption("accuracy"), parts) if parts else None


def of_guard(check: Check, holdout: Holdout | None, cap: float) -> Promotion | None:
    """Labels that a guard against the champion needs to promote an equal version; None where it asks for more than equality, or nothing is known.

    `cap`: what the live loss is divided by. A loss that is not 0/1 counts with the mean square of the clipped difference in place of ψ.
    """
    bound = check.bound
    if not isinstance(bound, Reference) or bound.of != "champion":
        return None
    holdout = _comparable(holdout) if holdout is not None else None
    new = holdout.new if holdout is not None else None
    other = holdout.champion if holdout is not None else None
    if check.metric.name == "accuracy":
        measured = new is not None and other is not None and new.n > 0
        differ = float(np.mean(new.correct != other.correct)) if measured and new is not None and other is not None else ASSUMED
        value = float(np.mean((other or new).correct)) if new is not None and new.n else None
        if value is None and bound.times != 1:
            return None
        return _promotion(check, margin_of(check, bound, value or 0.0), 1.0, differ, measured=measured)
    if new is None or not new.n or cap <= 0:
        return None
    mine = losses_of(new, cap)
    theirs = losses_of(other, cap) if other is not None else np.full(new.n, float(mine.mean()))
    margin = margin_of(check, bound, float((theirs if other is not None else mine).mean()) * cap)
    return _promotion(check, margin, cap, float(np.mean((mine - theirs) ** 2)), measured=other is not None)


def _promotion(check: Check, margin: float, cap: float, differ: float, *, measured: bool) -> Promotion | None:
    if margin <= 0:
        return None
    basis = "measured" if measured else _assumption(check.metric.name)
    return Promotion(check, margin, labels_to_promote(max(differ, 1e-4), margin / cap), basis)


def losses_of(found: Answers, cap: float) -> Floats:
    """The loss of each row in [0, 1], as live rows are counted: 0/1 for classes, else the absolute error over `cap`, clipped."""
    if found.task in CLASSES:
        return 1 - found.correct
    with np.errstate(invalid="ignore"):
        error = np.abs(found.value - found.y) / cap
    return np.minimum(np.where(np.isfinite(error), error, 1.0), 1.0)


def discoveries(
    checks: Sequence[Check], holdout: Holdout, *, bound: float, cap: float, threshold: float, swing: float = 1.0
) -> tuple[Discovery, ...]:
    """When the detector with m₀ = `bound`, φ = `swing` and A = `threshold` finds that the loss rose by the smallest margin of `checks`; where it does not, when it
    finds twice that, or four times. Empty without rows.
    """
    new = holdout.new
    if new is None or not new.n or cap <= 0 or not 0 < bound <= 1 or holdout.task == "ranking":
        return ()
    losses = losses_of(new, cap)
    classes = holdout.task in CLASSES
    before = power.errors(float(losses.mean())) if classes else power.levels(losses)
    value, unsure = (1 - before.mean, 1 - bound) if classes else (before.mean * cap, bound * cap)
    metric = "accuracy" if classes else "mae"
    named = [margin_of(one, one.bound, value) for one in checks if one.metric.name == metric and isinstance(one.bound, Reference)]
    least = min((one for one in named if one > 0), default=USUAL if classes else value / 10)
    found: list[Discovery] = []
    for drop in (least, 2 * least, 4 * least):
        if not 0 < drop < (value if classes else math.inf):
            break
        after = power.risen(before, drop / (1.0 if classes else cap))
        labels = power.labels_to_find(before, after, bound=bound, threshold=threshold, swing=swing)
        found.append(Discovery(metric, drop, labels, value, unsure))
        if math.isfinite(labels[0]):
            break
    return tuple(found)
