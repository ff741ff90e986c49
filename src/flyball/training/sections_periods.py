"""Other times than the hold-out's: rows from before those that taught, and what becomes of a version as it ages."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import polars as pl

from flyball.clock import Span
from flyball.declare.metrics import metric_info
from flyball.errors import BadInput
from flyball.evaluation.comparison import number
from flyball.evaluation.metrics import measure
from flyball.records.estimates import Estimate
from flyball.records.rows import Aged, Period, Periods, Staleness
from flyball.training.choosing import gap_of
from flyball.training.deciding import take
from flyball.training.evaluating import Found, Section, Subject
from flyball.training.fitting import train_of
from flyball.training.judging import amounts, objective
from flyball.training.predictor import Predictor, answers
from flyball.training.rows import GROUP, MIN_TRAIN
from flyball.training.splits import split

SPANS = 4
"""Older periods that are looked at, at most; and hold-outs by which the fit of the staleness curve is older."""

FEWEST = 30
MOST_ROWS = 100_000
"""Rows of a period that are asked, the newest."""

MOST_S = 10.0
"""Where a fit took longer than this, none is made for the curve."""

_DAY = 86_400_000_000


def periods(subject: Subject) -> Found:
    """The candidate on up to four spans before its window, each as long as the hold-out."""
    holdout = _holdout(subject)
    rows, cut, name = subject.rows, subject.split, objective(subject.model)
    until = int(rows.times[cut.start])
    bounds = np.searchsorted(rows.times, [until - place * holdout for place in range(SPANS + 1)], side="left")
    spans = [(int(first), int(last)) for last, first in pairwise(bounds) if last - first >= FEWEST]
    if not spans:
        raise BadInput(
            f"there are fewer than {FEWEST} rows in each span before the training window",
            why="the window reaches back to where the rows begin",
        )
    older = tuple(
        Period(first=int(rows.times[first]), last=int(rows.times[last - 1]), value=_asked(subject, subject.candidate, first, last))
        for first, last in spans
    )
    newest = _objective(subject, subject.frame)
    together = _objective(subject, pl.concat([_frame(subject, subject.candidate, first, last) for first, last in reversed(spans)]))
    gap = _gap(name, newest, together)
    return Found({"periods": Periods(objective=name, holdout=newest, older=older, gap=gap)}, {"recency_gap": gap})


def staleness(subject: Subject) -> Found:
    """The same recipe on rows that end some hold-outs earlier, asked span by span up to the hold-out: the objective by age."""
    holdout, fitter, rows, cut = _holdout(subject), subject.fitter, subject.rows, subject.split
    if fitter.longest_s > MOST_S:
        raise BadInput(
            f"a fit takes {fitter.longest_s:.0f} s of CPU, and none is made for the curve alone", why=f"it may take {MOST_S:.0f} s"
        )
    gap = gap_of(subject.model, rows)
    end, first = int(rows.times[cut.end - 1]) + 1, int(rows.times[cut.start])
    window = Span(max(end - holdout - gap - first, 1))
    times = rows.times[: cut.end]
    for spans in range(SPANS, 1, -1):
        early = split(times, end - (spans - 1) * holdout, holdout, window, gap)
        if early.stop - early.start >= max(MIN_TRAIN, (cut.stop - cut.start) // 2):
            break
    else:
        raise BadInput("the rows do not reach back far enough", why="a fit of the same window has to end a hold-out earlier")
    fitted = fitter.fit(early, dict(subject.parameters), window="of the staleness curve")
    take(fitted, subject.candidate.signature.threshold)
    edges = [end - place * holdout for place in range(spans, -1, -1)]
    bounds = np.searchsorted(times, edges, side="left")
    curve = tuple(
        # from the newest row that it was fitted on to the middle of the span
        Aged(days=(gap + (place + 0.5) * holdout) / _DAY, value=_asked(subject, fitted, int(start), int(stop)))
        for place, (start, stop) in enumerate(pairwise(bounds))
        if stop - start >= FEWEST
    )
    if len(curve) < 2:
        raise BadInput(f"fewer than two spans have {FEWEST} rows")
    return Found({"staleness": Staleness(objective=objective(subject.model), rows=early.stop - early.start, curve=curve)})


def _holdout(subject: Subject) -> Span:
    train = train_of(subject.model)
    if train.by_share:
        raise BadInput("rows are split whatever their time", why="there is no older and no newer")
    return train.holdout_span


def _frame(subject: Subject, predictor: Predictor, first: int, last: int) -> pl.DataFrame:
    """A predictor's answers to rows `[first, last)`, of which the newest."""
    rows = subject.rows.frame[max(first, last - MOST_ROWS) : last]
    columns = [rows["__time"], rows["__y"].alias("y"), *answers(predictor.predict(rows.select(subject.rows.features)))]
    return pl.DataFrame(columns + ([rows[GROUP]] if GROUP in rows.columns else []))


def _asked(subject: Subject, predictor: Predictor, first: int, last: int) -> Estimate:
    return _objective(subject, _frame(subject, predictor, first, last))


def _objective(subject: Subject, frame: pl.DataFrame) -> Estimate:
    name, group = objective(subject.model), GROUP if GROUP in frame.columns else ""
    classes = subject.candidate.signature.classes
    return measure(subject.model.task, frame, [name], classes=classes, group=group, costs=amounts(subject.model))[name]


def _gap(name: str, newest: Estimate, older: Estimate) -> Estimate:
    """By how much the objective is better on the newest rows: above 0, it is. `n`: of the two, the fewer rows."""
    if newest.value is None or older.value is None:
        return Estimate(value=None, why=newest.why or older.why)
    info = metric_info(name)
    value = (newest.value - older.value) * (-1 if info is not None and info.higher_is_better is False else 1)
    why = f"{name} {number(newest.value)} on the hold-out, {number(older.value)} on {older.n:,} rows from before the training window"
    rows = min(newest.n, older.n)
    ends = (newest.low, newest.high, older.low, older.high)
    if any(end is None for end in ends):
        return Estimate(value=value, n=rows, why=why)
    a, b, c, d = (float(end or 0.0) for end in ends)
    half = math.hypot(b - a, d - c) / 2
    return Estimate(value=value, low=value - half, high=value + half, n=rows, why=why)


SECTIONS = (Section("periods", ("recency_gap",), periods), Section("staleness", (), staleness))
