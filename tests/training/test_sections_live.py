"""Whether the hold-out looks like what is asked now: told by a classifier, with the columns that give it away."""

import time

import numpy as np
import polars as pl
import pytest

from flyball.clock import Span
from flyball.evaluation.told import row_lines
from flyball.records import codec
from flyball.records.estimates import Outcome
from flyball.records.evaluation import Report
from flyball.training.domain import told_apart
from flyball.training.run import perform

HOUR = int(Span.parse("1h"))
LOOP = """
import flyball as fb
import polars as pl
from sklearn.linear_model import LogisticRegression

rows = fb.Dataset("rows", source="rows.csv", TIME columns={"a": fb.column(float, known_after="-1d"),
    "town": fb.column(str, known_after="-1d"), "up": fb.column(int, one_of=(0, 1), known_after="KNOWN")})

def fit(X: pl.DataFrame, y: pl.Series):
    return LogisticRegression().fit(X.select("a"), y)

def predict(model, X: pl.DataFrame):
    return model.predict_proba(X.select("a"))

m = fb.Model("m", task="binary", data=rows, label="up", framing=fb.Framing("test"),
    train=fb.Train(fit, predict=predict, SPLIT), gates=[fb.metric("domain_auc").lower <= 0.65])
"""


def rows(days: int = 80, seed: int = 0) -> pl.DataFrame:
    rng, n = np.random.default_rng(seed), days * 24
    a = rng.normal(0, 1, n)
    ts = pl.Series(1_700_000_000_000_000 // HOUR * HOUR + np.arange(n) * HOUR).cast(pl.Datetime("us"))
    return pl.DataFrame({"ts": ts, "a": a, "town": rng.choice(["u", "v", "w"], n), "up": (a + rng.normal(0, 1, n) > 0).astype(int)})


@pytest.fixture
def run(project):
    def made(frame: pl.DataFrame, *, known: str = "20d", timed: bool = True):
        text = LOOP.replace("KNOWN", known).replace("TIME", 'time="ts",' if timed else "")
        done = project(text.replace("SPLIT", 'window="30d", holdout="20d"' if timed else 'split="stratified"'), "m")
        done.frames = {"rows": frame}
        as_of = int(frame["ts"].cast(pl.Int64).max()) if timed else 0
        result = perform(done.spec(as_of=as_of), done.model, done.frames, done.blobs).result
        return result, codec.decode(done.blobs.get(result.report), Report)

    return made


def test_a_hold_out_like_what_is_asked_now_passes(run):
    result, report = run(rows())
    found = report.live
    assert found.auc.low < 0.5 < found.auc.high
    assert (found.holdout_rows, found.live_rows) == (480, 480)
    assert found.columns == {}
    assert result.verdicts[0].outcome == Outcome.PASS


def test_what_is_asked_now_and_was_not_held_out_is_told_with_the_column_that_gives_it_away(run):
    frame = rows().with_columns(town=pl.when(pl.int_range(pl.len()) >= 60 * 24).then(pl.lit("x")).otherwise(pl.col("town")))
    result, report = run(frame)
    assert report.live.auc.low > 0.95
    assert next(iter(report.live.columns)) == "town"
    assert "a" not in report.live.columns
    assert result.verdicts[0].outcome == Outcome.FAIL
    assert "town (1.00 by itself)" in result.verdicts[0].why
    assert "tells the hold-out from 480 rows of data set" in dict(row_lines(report))["live"]


def test_where_labels_are_known_at_once_it_is_insufficient(run):
    result, report = run(rows(), known="0s")
    assert report.live is None
    assert result.verdicts[0].outcome == Outcome.INSUFFICIENT
    assert "0 rows are newer than the newest whose label is known, and 480 are held out" in result.verdicts[0].why


def test_rows_that_a_split_by_share_leaves_out_are_not_taken_for_what_is_asked_now(project):
    text = LOOP.replace("KNOWN", "0s").replace("TIME", 'time="ts",').replace("SPLIT", 'split="stratified"')
    done = project(text, "m")
    done.frames = {"rows": rows()}
    as_of = int(done.frames["rows"]["ts"].cast(pl.Int64).max())
    result = perform(done.spec(as_of=as_of), done.model, done.frames, done.blobs).result
    assert result.verdicts[0].outcome == Outcome.INSUFFICIENT
    assert "0 rows are newer than the newest whose label is known" in result.verdicts[0].why


def test_of_data_without_a_time_the_rows_without_a_label_are_what_is_asked(run):
    frame = rows().drop("ts").with_columns(up=pl.when(pl.int_range(pl.len()) >= 60 * 24).then(None).otherwise(pl.col("up")))
    result, report = run(frame, timed=False)
    assert report.live.live_rows == 480
    assert result.verdicts[0].outcome == Outcome.PASS


def test_the_interval_covers_a_half_where_the_sides_are_one_and_it_stays_cheap():
    rng = np.random.default_rng(0)
    began, covered = time.process_time(), 0
    for _ in range(10):
        frame = pl.DataFrame({f"x{place}": rng.normal(0, 1, 1_000) for place in range(5)})
        found = told_apart(frame[:500], frame[500:], rng)
        covered += found.low < 0.5 < found.high
    assert covered >= 8
    assert time.process_time() - began < 30
