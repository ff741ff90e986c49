"""Rows are counted as a run would hold them out, however they come."""

from datetime import datetime, timedelta

import polars as pl
import pytest

import flyball as fb
from flyball.clock import Span
from flyball.loop import tally as tally_module
from flyball.loop.enough import tallies
from flyball.loop.tally import Tally
from flyball.training.splits import anchor, split

DATA = fb.Dataset("d", source="d.csv", time="ts", columns={"day": fb.column(int, known_after="-1d"), "y": fb.column(int, one_of=(0, 1))})
MODEL = fb.Model("one", task="binary", data=DATA, label="y", slices=["day"], train=fb.Train(print, holdout="7d"))  # type: ignore[arg-type]  # it is never called


def test_rows_are_tallied_over_the_newest_hold_out_in_any_batches() -> None:
    rows = 24 * 30
    start = datetime(2024, 1, 1)
    frame = pl.DataFrame(
        {"ts": [start + timedelta(hours=hour) for hour in range(rows)], "day": [hour // 24 % 7 + 1 for hour in range(rows)]}
    )
    tally = Tally(DATA, ("day",), span=int(Span.parse("21d")))
    for at in range(0, rows, 7):
        tally.add(frame[at : at + 7])
    newest = fb.Train(print, holdout="7d")  # type: ignore[arg-type]  # it is never called
    assert tally.held(newest, ()) == [("", 7 * 24)]
    assert tally.held(newest, ("day",)) == [(f"day={day}", 24) for day in range(1, 8)]
    rolling = fb.Train(print, holdout="7d", split="rolling", folds=3)  # type: ignore[arg-type]
    assert tally.held(rolling, ()) == [("", 3 * 7 * 24)]
    assert tally.held(fb.Train(print, holdout="25%", split="stratified"), ()) == [("", 180)]  # type: ignore[arg-type]
    assert tally.held(fb.Train(print, folds=5, split="stratified"), ()) == [("", 720)], "of five parts each is held out once"  # type: ignore[arg-type]
    tally.add(frame.with_columns(pl.lit(None, pl.Datetime("us")).alias("ts"))[:3])
    assert tally.held(newest, ()) == [("", 7 * 24)], "rows without their time are in no hold-out"
    tally.rows -= 3
    rate = tally.rate()
    assert rate is not None
    assert rate.per_day == pytest.approx(24)
    assert rate.of == 'rows a day of data set "d"'


@pytest.mark.parametrize(("delay", "folds"), [("0s", 1), ("5h", 1), ("5h", 3)])
def test_rows_are_counted_as_a_run_holds_them_out_to_the_row(delay: str, folds: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows lie seven minutes apart, and some have no label."""
    monkeypatch.setattr(tally_module, "_LEAST_KEPT", 3_000)
    start = datetime(2024, 1, 1)
    at = [start + timedelta(minutes=7 * place) for place in range(6_000)]
    frame = pl.DataFrame({"ts": at, "day": [1] * len(at), "y": [None if place % 5 == 0 else place % 2 for place in range(len(at))]})
    data = fb.Dataset("d", source="d.csv", time="ts", columns={"day": int, "y": fb.column(int, nulls="50%", known_after=delay)})
    more = {"split": "rolling", "folds": folds} if folds > 1 else {}
    model = MODEL.replace(data=data, label="y", slices=["day"], train=fb.Train(print, holdout="7d", **more))  # type: ignore[arg-type]  # it is never called
    tally = tallies([model])["d"]
    tally._height = 3_000
    for place in range(0, len(at), 500):
        tally.add(frame[place : place + 500])
    assert model.train is not None
    known = frame.filter(pl.col("y").is_not_null())["ts"].dt.epoch("us").to_numpy()
    as_of, label_delay = int(frame["ts"].dt.epoch("us")[-1]), int(model.label_delay)
    known = known[known <= as_of - label_delay]
    holdout = model.train.holdout_span
    end, held = anchor(known, as_of, model.label_delay), 0
    for fold in range(folds):
        cut = split(known, end - fold * holdout, holdout, Span.parse("10d"), Span(0))
        held += cut.end - cut.holdout
    assert tally.held(model.train, (), delay=label_delay) == [("", held)]
    assert tally.held(model.train, ("day",), delay=label_delay) == [("day=1", held)]
    assert sum(part.height for part in tally._newest[""]) < len(at), "of rows before the hold-outs no time is kept"


MONTHS = [datetime(2023, month, 1) for month in range(1, 13)]


@pytest.mark.parametrize("since", [datetime(2023, 1, 1), datetime(1958, 1, 1)])
@pytest.mark.parametrize("batch", [50, 500, 50_000])
def test_rows_that_come_in_bursts_are_counted_whatever_the_batches_and_the_century(
    since: datetime, batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The newest month has labels that nobody could know yet: a run holds out the one before."""
    monkeypatch.setattr(tally_module, "_LEAST_KEPT", 100)
    data = fb.Dataset("d", source="d.csv", time="ts", columns={"day": int, "y": fb.column(int, one_of=(0, 1), known_after="7d")})
    model = MODEL.replace(data=data, slices=["day"])
    tally = tallies([model])["d"]
    tally._height = 100
    shift = since - MONTHS[0]
    frame = pl.DataFrame({"ts": [month + shift for month in MONTHS for _ in range(300)], "day": [1, 2, 2] * 1_200, "y": [0] * 3_600})
    for part in frame.iter_slices(batch):
        tally.add(part)
    assert model.train is not None
    assert tally.held(model.train, (), delay=int(model.label_delay)) == [("", 300)]
    assert tally.held(model.train, ("day",), delay=int(model.label_delay)) == [("day=1", 100), ("day=2", 200)]
    rate = tally.rate()
    assert rate is not None
    assert rate.per_day == pytest.approx(3_600 / 334, rel=0.01)


def test_of_a_large_hold_out_times_are_kept_to_the_hour_and_no_row_is_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tally_module, "_LEAST_KEPT", 1_000)
    monkeypatch.setattr(tally_module, "_MOST_EXACT", 2_000)
    at = [datetime(2024, 1, 1) + timedelta(seconds=97 * place) for place in range(20_000)]
    tally = tallies([MODEL])["d"]
    tally._height = 1_000
    for part in pl.DataFrame({"ts": at, "day": [1] * len(at), "y": [0] * len(at)}).iter_slices(900):
        tally.add(part)
    assert MODEL.train is not None
    week = 7 * 24 * 3_600 / 97
    [(_, held)] = tally.held(MODEL.train, ())
    assert week <= held <= week + 2 * 3_600 / 97
    assert sum(part.height for part in tally._newest[""]) < 4_000
