"""Older periods and age: a model that holds for recent rows alone is seen, and so is how fast it goes stale."""

import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import polars as pl
import pytest

from flyball.clock import Span
from flyball.evaluation.told import periods_line, row_lines
from flyball.records import codec
from flyball.records.estimates import Estimate, Outcome
from flyball.records.evaluation import Report
from flyball.records.rows import Periods
from flyball.training import sections_periods
from flyball.training.run import perform

LOOP = """
import flyball as fb
import polars as pl
from sklearn.linear_model import LinearRegression

rows = fb.Dataset("rows", source="rows.csv", time="ts", columns={"x": fb.column(float, known_after="-1d"), "y": float})

def fit(X: pl.DataFrame, y: pl.Series):
    return LinearRegression().fit(X, y)

m = fb.Model("m", task="regression", data=rows, label="y", framing=fb.Framing("test"),
    train=fb.Train(fit, window="WINDOW", holdout="5d"), gates=[fb.metric("recency_gap").upper <= 0.2])
"""
HOUR = int(Span.parse("1h"))
DAY = 24 * HOUR


def rows(slope, days: int = 60) -> pl.DataFrame:
    """`slope(share of the time)` is what x is worth at a moment."""
    rng, n = np.random.default_rng(0), days * 24
    x = rng.normal(0, 1, n)
    y = slope(np.arange(n) / n) * x + rng.normal(0, 0.1, n)
    ts = pl.Series(1_700_000_000_000_000 // HOUR * HOUR + np.arange(n) * HOUR).cast(pl.Datetime("us"))
    return pl.DataFrame({"ts": ts, "x": x, "y": y})


@pytest.fixture
def run(project):
    def made(frame: pl.DataFrame, window: str = "20d"):
        done = project(LOOP.replace("WINDOW", window), "m")
        done.frames = {"rows": frame}
        known = done.spec(as_of=int(frame["ts"].cast(pl.Int64).max()))
        result = perform(known, done.model, done.frames, done.blobs).result
        return result, codec.decode(done.blobs.get(result.report), Report)

    return made


def test_what_holds_for_recent_rows_alone_fails_its_gate(run):
    # the sign turned 30 days ago: the window of 20 days has seen nothing of what was before
    result, report = run(rows(lambda t: np.where(t < 0.5, -1.0, 1.0)))
    assert len(report.periods.older) == 4
    assert report.periods.holdout.value < 0.1
    assert all(each.value.value > 1 for each in report.periods.older[2:])
    assert result.measured["recency_gap"].low > 0.5
    assert result.verdicts[0].outcome == Outcome.FAIL
    assert "from before the training window" in result.verdicts[0].why


def test_the_word_says_the_sign_of_what_changed_on_the_newest_rows():
    def told(*gap):
        return periods_line(Periods(objective="accuracy", holdout=Estimate(value=0.5), older=(), gap=Estimate(*gap)))

    assert told(-0.258, -0.3, -0.2).endswith("; 0.258 [0.200, 0.300] worse on the newest rows")
    assert told(0.258, 0.2, 0.3).endswith("; 0.258 [0.200, 0.300] better on the newest rows")


def test_what_always_held_passes_and_older_periods_lie_before_the_window_one_after_the_other(run):
    frame = rows(lambda t: 1.0 + 0 * t)
    result, report = run(frame)
    assert result.verdicts[0].outcome == Outcome.PASS
    assert abs(result.measured["recency_gap"].value) < 0.02
    end = int(frame["ts"].cast(pl.Int64).max()) + 1
    older = report.periods.older
    assert [each.last - each.first for each in older] == [5 * DAY - HOUR] * 4
    assert older[0].last < end - 25 * DAY
    assert [a.first - b.last for a, b in pairwise(older)] == [HOUR] * 3


def test_where_the_window_reaches_back_to_the_first_row_it_is_insufficient(run):
    result, report = run(rows(lambda t: 1.0 + 0 * t, days=24), window="28d")
    assert report.periods is None
    assert result.verdicts[0].outcome == Outcome.INSUFFICIENT
    assert "before the training window" in result.verdicts[0].why


def test_a_model_of_a_world_that_moves_goes_stale_with_age(run):
    _, report = run(rows(lambda t: 4 * t), window="12d")
    curve = report.staleness.curve
    assert len(curve) == 4
    assert [round(b.days - a.days, 6) for a, b in pairwise(curve)] == [5.0] * 3
    values = [each.value.value for each in curve]
    assert values == sorted(values)
    # x is worth 4 more in 60 days; 18 days from the middle of the window to the middle of the newest span but for its age
    assert values[-1] == pytest.approx((4 / 60) * (6 + curve[-1].days) * math.sqrt(2 / math.pi), rel=0.25)
    assert "mae by the age of what it was fitted on" in dict(row_lines(report))["staleness"]


def test_no_fit_is_made_for_the_curve_alone_where_fits_are_dear(run, monkeypatch):
    monkeypatch.setattr(sections_periods, "MOST_S", -1.0)
    _, report = run(rows(lambda t: 1.0 + 0 * t))
    assert report.staleness is None
    assert "none is made for the curve alone" in report.missing["staleness"]


def test_rows_that_are_split_whatever_their_time_have_neither(project):
    done = project(LOOP.replace("WINDOW", "20d"), "m")
    done.frames = {"rows": rows(lambda t: 1.0 + 0 * t)}
    model = done.model.replace(train=replace(done.model.train, split="stratified", holdout=0.2, window="auto"))
    known = done.spec(as_of=int(done.frames["rows"]["ts"].cast(pl.Int64).max()))
    result = perform(known, model, done.frames, done.blobs).result
    report = codec.decode(done.blobs.get(result.report), Report)
    assert report.missing["periods"].startswith("rows are split whatever their time")
    assert result.verdicts[0].outcome == Outcome.INSUFFICIENT
