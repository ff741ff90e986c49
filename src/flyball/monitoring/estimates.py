"""How good a model is on rows whose labels nobody knows yet: an estimate, with its interval, or why there is none. Pure.

It rests on the assumption that scores and inputs mean what they meant on the hold-out. So it is always shown as an estimate and beside a domain
classifier; it never pages, never rolls back, passes no gate and is no live quality. Labels that come later are held against what was estimated: when they
lay outside in two of three windows, nothing is estimated any more.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from flyball.clock import Instant, Span
from flyball.declare.checks import Check
from flyball.declare.live import label_delay
from flyball.declare.metrics import CLASSES
from flyball.declare.model import Model
from flyball.evaluation.counts_answered import DAY
from flyball.monitoring.answered import within
from flyball.records.alerts import Finding
from flyball.records.estimates import Estimate
from flyball.records.unlabelled import AnsweredDay, ErrorModel, EstimateRow, Expected, Kept, PerformanceEstimated
from flyball.stats import cbpe, errormodel

ESTIMATED = "estimated performance"
"""Name of the built-in monitor of performance without labels."""

WHOLE = "rows as a whole"
"""Name of the built-in monitor of what the domain classifier finds: drift that no column shows by itself."""

SPAN = Span.parse("7d")
"""Of a window: whole days UTC, the newest that are over; fewer after a release."""

MARGIN, MARGIN_TIMES = 0.02, 1.1
"""By how much an estimate may lie below its level at release, in a share; and how many times the error may be as large."""

BLIND_DELAY, COVERAGE = Span.parse("1d"), 0.8
"""Labels that take longer, or come for fewer rows, do not tell how good a model is today."""

WARN, ALERT = 0.55, 0.65
"""Lower bounds of the domain classifier's AUC, less what is usual."""

CONFRONTED, MOST_OUTSIDE = 3, 2
"""Of so many windows whose labels have come, from how many outside of their interval on nothing is estimated."""

FEWEST_LABELS = 200
"""Labels of a window, and half of its rows, from which it can be confronted."""

KEPT = 120
"""Past estimates that wait for labels, at most."""

_CONFIRMED = ("accuracy", "precision", "recall", "f1")
"""What counts of labels say of a binary model."""

_Z = 1.959963984540054


def metric_of(model: Model) -> str:
    """The metric that is watched: the first declared one that can be estimated, else accuracy, or the mean absolute error of numbers."""
    if model.task not in CLASSES:
        return "mae"
    checks = (each for each in (*model.monitors, *model.rollout.guards, *model.gates) if isinstance(each, Check))
    names = (check.metric.name for check in checks if not (check.metric.slices or check.metric.of_gap))
    return next((name for name in names if name in cbpe.METRICS and name != "positive_rate"), "accuracy")


def begins(released_at: Instant, until: Instant) -> Instant:
    """When the window that ends at `until` begins: not before the day of the release."""
    return max(until - int(SPAN), released_at // DAY * DAY)


def blind(model: Model, days: Sequence[AnsweredDay], version: str, now: Instant) -> str:
    """Why labels do not tell how good the model is now; empty where they do."""
    delay = label_delay(model)
    if delay > BLIND_DELAY:
        return f"a label is known {delay} after the answer"
    found = within(days, version, now // DAY * DAY - int(SPAN) - int(delay), now // DAY * DAY)
    if found.matured and found.labelled < COVERAGE * found.matured:
        return f"{100 * found.labelled / found.matured:.3g}% of the rows that matured have a label"
    return ""


def estimated(
    expected: Expected, answers: AnsweredDay, *, metric: str, seed: int
) -> tuple[dict[str, Estimate], dict[str, float], tuple[str, float, float] | None, str]:
    """The estimates by metric, the same metrics on the hold-out, what labels can confirm (metric, value, sd), and why there are none (or empty).

    metric: the one that is watched, which labels confirm where they can, else accuracy. seed: of the draws; the same counts give the same estimate.
    """
    if expected.errors is not None:
        return _numbers(expected.errors, answers)
    if not expected.scores:
        return {}, {}, None, expected.why
    reference = cbpe.scored({cell: (four[0] + four[2], four[1] + four[3]) for cell, four in expected.scores.items()})
    level = _levels(expected.scores)
    window, rng = cbpe.answered(answers.scores), np.random.default_rng(seed)
    if why := cbpe.refusal(reference, window, rng):
        return {}, level, None, why
    found = cbpe.estimate(reference, window, rng)
    shown = {
        name: Estimate(value=one.value, low=one.low, high=one.high, n=window.n)
        for name, one in found.items()
        if math.isfinite(one.value) and math.isfinite(one.sd)
    }
    name = metric if metric in _CONFIRMED and metric in shown else "accuracy"
    return shown, level, (name, found[name].value, found[name].sd), ""


def _levels(scores: Mapping[int, tuple[int, int, int, int]]) -> dict[str, float]:
    table = np.array([scores[cell] for cell in sorted(scores)], dtype=np.float64)
    tn, fn, fp, tp = table.sum(axis=0)
    ratios = {
        "accuracy": (tp + tn, table.sum()),
        "precision": (tp, tp + fp),
        "recall": (tp, tp + fn),
        "f1": (2 * tp, 2 * tp + fp + fn),
        "positive_rate": (tp + fp, table.sum()),
    }
    found = {name: float(part / whole) for name, (part, whole) in ratios.items() if whole > 0}
    area = cbpe.area(table[:, 0] + table[:, 2], table[:, 1] + table[:, 3])
    return found | ({"roc_auc": area} if math.isfinite(area) else {})


def _numbers(model: ErrorModel, answers: AnsweredDay) -> tuple[dict[str, Estimate], dict[str, float], tuple[str, float, float] | None, str]:
    level = {"mae": model.mean}
    if answers.n < cbpe.FEWEST_ANSWERS:
        return {}, level, None, f"the window has {answers.n:,} answers, and {cbpe.FEWEST_ANSWERS} are needed"
    counts = []
    for part in model.columns:
        cells = np.array(answers.columns.get(part.column, ()), dtype=np.int64)
        if cells.size != len(part.group_of) or cells.sum() != answers.n:
            return {}, level, None, f"{part.column} was not counted for all rows of the window, and the error depends on it"
        counts.append(np.bincount(np.array(part.group_of), weights=cells, minlength=part.groups))
    fitted = errormodel.Fitted(np.array(model.effects), np.array(model.covariance), np.array(model.squares))
    found = errormodel.expect(fitted, counts)
    return {"mae": Estimate(value=found.value, low=found.low, high=found.high, n=answers.n)}, level, ("mae", found.value, found.sd), ""


def confronted(past: Sequence[Kept], days: Sequence[AnsweredDay], version: str, *, delay: Span, now: Instant) -> tuple[int, int]:
    """Of the newest windows of a version whose labels have come, apart from one another, how many lay outside of their interval; and how many there are."""
    outside, judged, before = 0, 0, now
    for kept in sorted(past, key=lambda one: -one.until):
        if judged == CONFRONTED:
            break
        if kept.until > before or kept.until + int(delay) > now:
            continue
        found = within(days, version, kept.since, kept.until)
        if found.labelled < max(FEWEST_LABELS, found.n / 2):
            continue
        judged, before = judged + 1, kept.since
        outside += _outside(kept, found)
    return outside, judged


def _outside(kept: Kept, found: AnsweredDay) -> bool:
    """Whether what was measured lies outside; of fewer labels than rows, the interval is as much wider."""
    part, whole = {
        "accuracy": (found.tp + found.tn, found.labelled),
        "precision": (found.tp, found.tp + found.fp),
        "recall": (found.tp, found.tp + found.fn),
        "f1": (2 * found.tp, 2 * found.tp + found.fp + found.fn),
        "mae": (found.abs_error, found.labelled),
    }[kept.metric]
    wider = math.sqrt(max(1.0, kept.n / found.labelled))
    return whole > 0 and abs(part / whole - kept.value) > _Z * kept.sd * wider


def refused_by_labels(outside: int, judged: int) -> str:
    """Why labels that have come since forbid an estimate; empty where they do not."""
    if outside < MOST_OUTSIDE:
        return ""
    return f"what labels said of the last {judged} windows lay outside of their interval in {outside}: scores or inputs no longer mean what they meant"


def refused_by_rows(low: float | None) -> str:
    """Why the lower bound of the domain classifier's AUC forbids an estimate; empty where it does not."""
    if low is None or low <= cbpe.MOST_TOLD_APART:
        return ""
    return f"a classifier tells the window's rows from the hold-out's (AUC at least {low:.2f}): too far to go by what was"


def remembered(row: EstimateRow | None, event: PerformanceEstimated, at: Instant) -> EstimateRow:
    """The model's row after another estimate; of another version nothing is remembered."""
    same = row is not None and row.newest.version == event.version
    past = (row.past if same and row else ()) + ((event.kept,) if event.kept is not None else ())
    apart = (row.apart if same and row else ()) + ((_above_usual(event),) if event.apart is not None else ())
    return EstimateRow(newest=event, at=at, past=past[-KEPT:], apart=apart[-3:])


def _above_usual(event: PerformanceEstimated) -> float:
    """The lower bound of the AUC, less by what the reference's own windows lie above .5: weeks differ where nothing is wrong."""
    assert event.apart is not None
    low, usual = event.apart.auc.low or 0.5, event.apart.usual
    return low if usual is None or usual.value is None else low - max(usual.value - 0.5, 0.0)


def estimate_findings(row: EstimateRow | None, version: str) -> Iterator[Finding]:
    """What the newest estimate says: a warning at most of performance, and what the domain classifier says of the rows. `version`: the champion."""
    if row is None:
        return
    newest = row.newest
    if newest.version != version:
        later = f"nothing is estimated yet of {version}"
        yield Finding(monitor=ESTIMATED, severity="none", standing="insufficient", why=later)
        yield Finding(monitor=WHOLE, severity="none", standing="insufficient", why=later, failure="input_drift")
        return
    if newest.blind:
        yield _performance(newest)
    if newest.apart is not None:
        yield _rows(row)
    elif row.apart:
        yield Finding(monitor=WHOLE, severity="none", standing="insufficient", why=newest.unseen, failure="input_drift")


def _performance(newest: PerformanceEstimated) -> Finding:
    found, level = newest.estimates.get(newest.metric), newest.level.get(newest.metric)
    beside = f"; {_beside(newest)}" if _beside(newest) else ""
    if newest.refused or found is None or found.value is None or level is None:
        why = newest.refused or f"{newest.metric} is not defined on these rows"
        return Finding(monitor=ESTIMATED, severity="none", standing="insufficient", n=newest.n, why=f"no estimate: {why}{beside}")
    less = newest.metric == "mae"
    floor = level * MARGIN_TIMES if less else level - MARGIN
    low, high = found.low or 0.0, found.high if found.high is not None else math.inf
    worse = low > floor if less else high < floor
    told = (
        f"an estimate, for {newest.blind}: {newest.metric} {found.value:.3g} [{low:.3g}, {high:.3g}] in {found.n:,} answers without labels"
    )
    return Finding(
        monitor=ESTIMATED,
        severity="warn" if worse else "none",
        effect=found.value,
        floor=floor,
        n=found.n,
        failure="performance",
        why=f"{told}; {level:.3g} on the hold-out, {'at most' if less else 'at least'} {floor:.3g} is looked for{beside}",
    )


def _beside(newest: PerformanceEstimated) -> str:
    if newest.apart is None:
        return newest.unseen
    found = newest.apart.auc
    return f"a classifier tells these rows from the hold-out's with AUC {found.value or 0.5:.2f} [{found.low or 0.0:.2f}, {found.high or 1.0:.2f}]"


def _rows(row: EstimateRow) -> Finding:
    """Entered when this look and two of the last three reach the level."""
    apart, newest = row.newest.apart, row.apart[-1] if row.apart else 0.5
    assert apart is not None
    reached = {at: newest >= at and sum(low >= at for low in row.apart) >= 2 for at in (WARN, ALERT)}
    telling = ", ".join(f"{name} ({value:.2f} by itself)" for name, value in apart.columns.items()) or "no column by itself"
    usual = "" if apart.usual is None or apart.usual.value is None else f"; the hold-out's own windows: up to {apart.usual.value:.2f}"
    return Finding(
        monitor=WHOLE,
        severity="alert" if reached[ALERT] else "warn" if reached[WARN] else "none",
        value=next(iter(apart.columns), ""),
        effect=newest,
        floor=ALERT if reached[ALERT] else WARN,
        n=apart.rows,
        failure="input_drift",
        why=f"{_beside(row.newest)}, {apart.rows:,} against {apart.reference_rows:,} rows; told by {telling}{usual}",
    )
