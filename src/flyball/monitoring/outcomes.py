"""What outcomes say: their means with intervals, how they go together with quality, and an effect where versions were dealt at random. Pure.

That an outcome moved when a version came, or is better where the model is right, is told as a relation and never as an effect: seasons, prices and
whoever is asked move it as well. An effect is claimed of units that were dealt at random alone, and where nothing speaks against the dealing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

import msgspec
import numpy as np

from flyball.clock import Instant, Span
from flyball.declare.checks import Check, Reference
from flyball.declare.metrics import CLASSES
from flyball.declare.model import Model, Outcome
from flyball.declare.outcomes import known_after, outcome_of
from flyball.evaluation.counts_labels import lag_s
from flyball.evaluation.outcomes import DAY
from flyball.monitoring.checks import FEWEST, judged
from flyball.records.alerts import Finding
from flyball.records.estimates import Estimate
from flyball.records.evidence import MOST
from flyball.records.outcomes import (
    OutcomeCounts,
    OutcomeDay,
    OutcomeEffect,
    OutcomeRelation,
    OutcomeSeen,
    OutcomesKept,
    Trial,
)
from flyball.stats import businessmean, rank
from flyball.stats.intervals import t_interval, wilson
from flyball.stats.ratio import Split, log_e

FAILURE = "outcome"
"""The failure mode of an outcome that misses its bound."""

DAILY_FEWEST = 30
"""Due answers, and labels, without which a day says nothing."""

MIXED = 0.01
"""Share of keys that met both versions at one weight, above which units were not dealt by what outcomes are joined by."""

RATIO_E = 1_000.0
"""Evidence against the planned split from which on nothing follows from it."""

K = TypeVar("K", int, str)

_Z = 1.959963984540054
_LN10 = math.log(10)

NO_TRIAL = "no two versions answered side by side, dealt at random: a canary does so, or one of 90% that holds the former version back for the rest"
_SUMS = (
    *("asked", "due", "told", "n", "total", "squares", "other", "labelled", "loss"),
    *("right_n", "right_total", "right_squares", "wrong_n", "wrong_total", "wrong_squares"),
)


def added(days: Iterable[OutcomeDay]) -> OutcomeDay | None:
    """The sum of counts, in the first one's place; None of none."""
    given = tuple(days)
    if not given:
        return None
    lag: dict[int, int] = {}
    for day in given:
        for cell, count in day.lag.items():
            lag[cell] = lag.get(cell, 0) + count
    return msgspec.structs.replace(given[0], lag=lag, **{name: sum(getattr(day, name) for day in given) for name in _SUMS})


def _by(days: Iterable[OutcomeDay], key: Callable[[OutcomeDay], K]) -> dict[K, list[OutcomeDay]]:
    """Counts by what `key` says of them: each is looked at once, however many values there are."""
    found: dict[K, list[OutcomeDay]] = {}
    for day in days:
        found.setdefault(key(day), []).append(day)
    return found


def merged(before: Sequence[OutcomeDay], found: Sequence[OutcomeDay], since: Instant, now: Instant, keep: Span) -> tuple[OutcomeDay, ...]:
    """Days that were counted anew from `since` on take the place of what was known of them; those longer ago than `keep` go."""
    first, oldest = since // DAY, (now - keep) // DAY
    return (*(day for day in before if oldest <= day.day < first), *(day for day in found if day.day >= max(first, oldest)))


def mean_of(n: int, total: float, squares: float, *, other: int = 1) -> Estimate:
    """A mean with its 95% interval: Wilson's where all values are 0 or 1 (`other` of them are not), else Student's."""
    if not n:
        return Estimate(value=None, why="no answer is due yet that has a value")
    if not abs(total) < MOST:
        return Estimate(value=None, n=n, why="the values are too large to be added up")
    value = total / n
    if not squares < MOST:
        return Estimate(value=value, n=n, why="no interval: the values are too large to be squared")
    if not other:
        ends = wilson(total, n)
    else:
        variance = max(0.0, squares / n - value * value) * n / max(n - 1, 1)
        ends = t_interval(value, math.sqrt(variance / n), n - 1)
    if not (math.isfinite(ends.low) and math.isfinite(ends.high)):
        return Estimate(value=value, n=n, why="one answer has no interval")
    return Estimate(value=value, low=ends.low, high=ends.high, n=n)


def value_of(day: OutcomeDay | None) -> Estimate:
    """The mean of what is counted."""
    if day is None:
        return Estimate(value=None, why="no answer is counted yet in this span")
    return mean_of(day.n, day.total, day.squares, other=day.other)


def relation_of(days: Sequence[OutcomeDay], task: str) -> OutcomeRelation:
    """How the outcome goes together with quality, in these counts of the whole."""
    metric = "accuracy" if task in CLASSES else "mae"
    by_day = [whole for _, parts in sorted(_by(days, lambda each: each.day).items()) if (whole := added(parts))]
    told = [day for day in by_day if min(day.n, day.labelled) >= DAILY_FEWEST]
    # less loss is better; where ranks are compared, accuracy and the share of errors with its sign turned are one
    quality = np.array([-day.loss / day.labelled for day in told])
    value = np.array([day.total / day.n for day in told])
    found = rank.spearman(quality, value)
    if found is None:
        few = f"{len(told)} days have {DAILY_FEWEST} due answers and {DAILY_FEWEST} labels, and {rank.FEWEST} are needed"
        why = few if len(told) < rank.FEWEST else "one of the two never changed"
        daily = Estimate(value=None, n=len(told), why=why)
    else:
        daily = Estimate(value=found[0], low=found[1].low, high=found[1].high, n=len(told))
    whole = added(days)
    right = _side(whole, "right")
    wrong = _side(whole, "wrong")
    return OutcomeRelation(metric=metric, daily=daily, right=right, wrong=wrong, difference=_difference(right, wrong))


def _side(whole: OutcomeDay | None, name: str) -> Estimate:
    n = 0 if whole is None else getattr(whole, f"{name}_n")
    if whole is None or n < FEWEST:
        return Estimate(value=None, n=n, why=f"n={n} < {FEWEST} due answers whose label says that they were {name}")
    return mean_of(n, getattr(whole, f"{name}_total"), getattr(whole, f"{name}_squares"), other=whole.other)


def _difference(right: Estimate, wrong: Estimate) -> Estimate:
    """From the two ends that speak for each end (Newcombe 1998)."""
    if right.value is None or wrong.value is None:
        return Estimate(value=None, why=right.why or wrong.why)
    n, apart = right.n + wrong.n, right.value - wrong.value
    if right.low is None or right.high is None or wrong.low is None or wrong.high is None:
        return Estimate(value=apart, n=n, why="one of the two has no interval")
    down, up = math.hypot(right.value - right.low, wrong.high - wrong.value), math.hypot(right.high - right.value, wrong.value - wrong.low)
    return Estimate(value=apart, low=apart - down, high=apart + up, n=n)


def effect_of(trial: Trial) -> OutcomeEffect:
    """What may be claimed of two versions that were dealt at random, or why nothing is."""
    splits, log10 = _ratios(trial)
    names = {"rollout": trial.rollout, "new": trial.new, "old": trial.old}
    n = sum(arm.n for arm in trial.arms)

    def none(why: str) -> OutcomeEffect:
        return OutcomeEffect(**names, difference=Estimate(value=None, n=n, why=why), log10_ratio=log10)

    if not splits:
        return none("no unit is due yet")
    if log10 is not None and log10 >= math.log10(RATIO_E):
        return none(f"units were not dealt as planned (evidence 10^{log10:.1f}): whoever is missing on one side may be what differs")
    if trial.joined and trial.mixed > MIXED * trial.joined:
        share = 100 * trial.mixed / trial.joined
        return none(f"{share:.3g}% of the keys met both versions: deal by what outcomes are joined by (Rollout(sticky=…))")
    if not trial.bounded and trial.cap is None:
        return none("too few outcomes before the rollout say where extreme values are cut off, without which no interval holds")
    if not all(max(abs(arm.total), arm.squares) < MOST for arm in trial.arms):
        return none("the values are too large to be squared, and no interval holds")
    found = businessmean.difference([businessmean.Arm(arm.new, arm.weight / 10_000, arm.n, arm.total, arm.squares) for arm in trial.arms])
    if found is None or found.smaller < businessmean.FEWEST:
        least = 0 if found is None else found.smaller
        return none(f"{least:,} units of the smaller side are due, and {businessmean.FEWEST:,} are needed")
    why = "" if trial.bounded else f"values beyond {trial.cap:.4g} count as that much"
    return OutcomeEffect(**names, difference=Estimate(value=found.value, low=found.low, high=found.high, n=n, why=why), log10_ratio=log10)


def _ratios(trial: Trial) -> tuple[list[Split], float | None]:
    """Units by weight, of all that are due and of those that have a value, and the stronger evidence against the split."""
    worst: float | None = None
    splits: list[Split] = []
    for count in ("units", "n"):
        splits = []
        for weight in sorted({arm.weight for arm in trial.arms}):
            here = [arm for arm in trial.arms if arm.weight == weight]
            new, total = sum(getattr(arm, count) for arm in here if arm.new), sum(getattr(arm, count) for arm in here)
            splits.append(Split(new, total, weight / 10_000))
        found = log_e(splits) / _LN10
        worst = found if worst is None else max(worst, found)
    return splits, worst if splits else None


def counts_of(kept: OutcomesKept, outcome: str) -> OutcomeCounts | None:
    """What is counted of one outcome; None where it was not looked at yet."""
    return next((each for each in kept.counts if each.outcome == outcome), None)


def seen(model: Model, outcome: Outcome, kept: OutcomesKept, version: str) -> OutcomeSeen:
    """All that is known of an outcome. `version`: the champion."""
    counts = counts_of(kept, outcome.name) or OutcomeCounts(outcome=outcome.name, content="", known=0)
    own = _by((day for day in counts.days if day.version == version and day.role == "champion"), lambda day: day.slice)
    whole = added(own.pop("", ()))
    answered = [day for day in counts.days if day.role in ("champion", "challenger") and not day.slice]
    versions = {name: added(days) for name, days in _by(answered, lambda day: day.version).items()}
    lag = whole.lag if whole is not None else {}
    effects = tuple(effect_of(one) for one in sorted(counts.trials, key=lambda each: -each.started))
    return OutcomeSeen(
        outcome=outcome.name,
        how=outcome.how,
        within=str(outcome.within),
        version=version,
        value=value_of(whole),
        asked=whole.asked if whole is not None else 0,
        due=whole.due if whole is not None else 0,
        coverage=whole.told / whole.due if whole is not None and whole.due else None,
        lag_p50_s=lag_s(lag, 0.5),
        lag_p90_s=lag_s(lag, 0.9),
        known_at=counts.known,
        unmatched=counts.unmatched,
        slices={name: value_of(added(days)) for name, days in sorted(own.items())},
        versions={name: value_of(day) for name, day in sorted(versions.items())},
        relation=relation_of(answered, model.task),
        effects=effects,
        no_effect="" if effects else NO_TRIAL,
    )


def outcome_findings(model: Model, kept: OutcomesKept, version: str, now: Instant) -> Iterator[Finding]:
    """What the declared monitors of outcomes say: of champions' answers that are due, the newest over so long a span; without one, of all of `version`."""
    for check in model.monitors:
        outcome = outcome_of(model, check)
        if outcome is None or not isinstance(check, Check):
            continue
        counts = counts_of(kept, outcome.name)
        own = [day for day in counts.days if day.role == "champion"] if counts is not None else []
        if check.metric.span is not None:
            # an answer takes so long until it is due
            since = now - check.metric.span - outcome.within - known_after(outcome)
            own = [day for day in own if day.day >= since // DAY]
        else:
            own = [day for day in own if day.version == version]
        span = check.metric.span or Span(DAY * len({day.day for day in own}))
        parts = _by(own, lambda day: day.slice)
        names = [""] if not check.metric.slices else sorted(name for name in parts if name.partition("=")[0] in check.metric.slices)
        for name in names or [""]:
            found = value_of(added(parts.get(name, ())))
            bound = None if isinstance(check.bound, Reference) else check.bound
            yield judged(check, name, found, bound, span=Span(span), failure=FAILURE)
