"""What `flyball check` promises of time: how soon what goes wrong is found at the traffic there is, and how often a page comes of nothing."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

from flyball.clock import Span
from flyball.declare.checks import Drift
from flyball.declare.live import label_delay, loss_metric
from flyball.declare.model import Model
from flyball.declare.objectives import kind_of
from flyball.declare.policy import Objective
from flyball.errors import Problem
from flyball.evaluation.comparison import number
from flyball.evaluation.detection import POINTS, Detection, detections
from flyball.loop.pages import FalsePages, false_pages_of, paging, rounded
from flyball.loop.power import Known, Line, Told, holdout_of
from flyball.loop.tally import DAY, Rate, Tally
from flyball.monitoring.state import PAGE_DAYS
from flyball.monitoring.windows import FAST_ROWS, WEEK
from flyball.monitoring.windows import FEWEST as FEWEST_ROWS
from flyball.stats import burn
from flyball.stats.edetector import threshold

SOON = Span.parse("48h")
"""A rise of the loss by five points is to be found so soon after its labels are there."""

TELLING = 0.05

_TRIES = 6

WINDOWS = 2
"""A shift by half a standard deviation is found in so many windows (docs/statistics.md §2)."""


def promise(model: Model, known: Known, counted: Mapping[str, Tally] = MappingProxyType({}), *, place: str = "") -> Told:
    """The lines on time and on false pages, and a doubt where a rise of five points takes longer than two days of labels."""
    tally = counted.get(model.data.name)
    rate = known.rate or (tally.rate() if tally is not None else None)
    found = _found(model, known, rate)
    lines = [_detection_line(model, found, rate)] if found and rate is not None else []
    doubts = _late(model, known, found, rate, place) if rate is not None else []
    if rate is not None and rate.per_day > 0:
        lines += _drift_lines(model, known, rate)
        lines += [_objective_line(one, rate) for one in model.objectives if kind_of(one) in ("rows", "requests", "slow")]
    per_day = rate.per_day if rate is not None else None
    pages = false_pages_of(model, labels=per_day, requests=per_day, detector=known.detector)
    return Told((*lines, _pages_line(pages)), tuple(doubts))


def _found(model: Model, known: Known, rate: Rate | None, rises: tuple[float, ...] = POINTS) -> tuple[Detection, ...]:
    holdout = holdout_of(model, known)
    if holdout is None or known.result is None or rate is None or rate.per_day <= 0 or not known.detector:
        return ()
    a = threshold(rate.per_day, PAGE_DAYS)
    bound, cap, swing = known.result.wakes_at, known.result.loss_cap, known.result.page_swing
    return detections(holdout, bound=bound, cap=cap, threshold=a, swing=swing, rises=rises)


def _detection_line(model: Model, found: tuple[Detection, ...], rate: Rate) -> Line:
    classes = loss_metric(model.task) == "accuracy"
    what = "the error rate" if classes else "the loss (a share of its cap)"
    points = ", ".join(f"{100 * one.points:g}" for one in found)
    labels = ", ".join(_labels(one.labels[0]) for one in found)
    took = ", ".join(_days(one.labels[0], rate) for one in found)
    delay = label_delay(model)
    later = f", after a label delay of {delay.brief}" if delay else ""
    text = f"a rise of {what} by {points} points is found after about {labels} labels: {took} at {number(rate.per_day)} {rate.of}{later}"
    rises = [
        {
            "points": round(100 * one.points, 6),
            "labels": _finite(one.labels[0]),
            "labels_p90": _finite(one.labels[1]),
            "days": _finite(one.labels[0] / rate.per_day),
            "days_p90": _finite(one.labels[1] / rate.per_day),
        }
        for one in found
    ]
    return Line(text, {"kind": "time_to_detection", "rises": rises, "label_delay_s": int(delay) / 1e6} | _rate(rate))


def _late(model: Model, known: Known, found: tuple[Detection, ...], rate: Rate, place: str) -> list[Problem]:
    one = next((each for each in found if each.points == TELLING), None)
    if one is None or one.labels[0] * DAY / rate.per_day <= SOON:
        return []
    fix, enough = "a longer hold-out narrows its bound", _enough(model, known, one.labels[0], rate)
    if enough is not None:
        fix = f"about {number(enough)} labels a day would do; {fix}"
    return [
        Problem(
            f'{place}  Model "{model.name}"'.strip(),
            "a rise of the loss by 5 points is not found within two days of its labels",
            f"it takes about {_labels(one.labels[0])} labels: {_days(one.labels[0], rate)} at {number(rate.per_day)} {rate.of}",
            fix,
            "/monitors",
        )
    ]


def _enough(model: Model, known: Known, labels: float, rate: Rate) -> float | None:
    """The labels a day with which it is found in time: A grows with them, so more of them are needed than the present ones' number says."""
    for _ in range(_TRIES):
        if not math.isfinite(labels):
            return None
        wanted = labels * DAY / SOON
        if wanted <= rate.per_day:
            break
        # what is simulated is off by a tenth
        rate = rate._replace(per_day=1.1 * wanted)
        labels = _found(model, known, rate, (TELLING,))[0].labels[0]
    return rate.per_day


def _drift_lines(model: Model, known: Known, rate: Rate) -> Iterator[Line]:
    if not any(isinstance(monitor, Drift) for monitor in model.monitors):
        return
    weeks = max(1, math.ceil(FEWEST_ROWS / (rate.per_day * WEEK / DAY)))
    slow, fast = WINDOWS * weeks * WEEK, WINDOWS * FAST_ROWS * DAY / rate.per_day
    quick, columns = known.fast
    who = ""
    # where two thousand rows take longer than two windows of weeks, those find it first
    if fast < slow and (quick or not columns):
        some = f"{quick} of {columns} columns, which do not swing at that scale," if columns else "columns that do not swing at that scale"
        who = f"in {some} after {WINDOWS * FAST_ROWS:,} rows: {_brief(fast)}; in the others "
    text = f"a shift of half a standard deviation is found {who}after two windows of {Span(weeks * WEEK).brief}: {_brief(slow)}"
    days = {"days": slow / DAY, "days_fast": round(min(fast, slow) / DAY, 3)}
    yield Line(text, {"kind": "time_to_drift", "fast_columns": quick, "columns": columns} | days | _rate(rate))


def _objective_line(objective: Objective, rate: Rate) -> Line:
    """When an outage pages, and how often nothing does."""
    budget, per_hour = 1 - objective.target, rate.per_day / 24
    took, wrong = burn.minutes_to_page(1.0, per_hour, budget), burn.false_pages(per_hour, budget)
    document = {"kind": "objective", "objective": str(objective), "minutes_to_page": _finite(took), "false_pages": rounded(wrong)}
    if not any(burn.reachable(pace, budget) for pace in burn.PAGES):
        most = f"its budget of {number(100 * budget)}% burns at most {number(1 / budget)}× as fast as allowed, and {burn.PAGES[-1].times:g}× pages"
        return Line(f'objective "{objective}" never pages, and is a ticket at most: {most}', document | _rate(rate))
    if not math.isfinite(took):
        few = f"fewer than {burn.FEWEST} come in {Span(burn.PAGES[-1].long * 60_000_000).brief} at {number(rate.per_day)} {rate.of}"
        return Line(f'objective "{objective}" never pages: {few}', document | _rate(rate))
    text = f'objective "{objective}": an outage pages after {_brief(took * 60_000_000)} at {number(rate.per_day)} {rate.of}'
    return Line(text, document | _rate(rate))


def _pages_line(pages: FalsePages) -> Line:
    return Line(
        paging(pages.total, pages.checks),
        {"kind": "false_pages", "a_year": rounded(pages.total), "detector": pages.detector, "objectives": rounded(pages.objectives)}
        | {"checks": pages.checks},
    )


def _labels(labels: float) -> str:
    return f"{labels:,.0f}" if math.isfinite(labels) else "∞"


def _days(labels: float, rate: Rate) -> str:
    return _brief(labels * DAY / rate.per_day) if math.isfinite(labels) else "never"


def _brief(micros: float) -> str:
    return Span(min(round(micros), 2**53 - 1)).brief


def _finite(value: float) -> float | None:
    return round(value, 3) if math.isfinite(value) else None


def _rate(rate: Rate) -> dict[str, Any]:
    return {"per_day": round(rate.per_day, 3), "traffic": rate.of}
