"""The reference of drift, and served rows in its cells."""

from __future__ import annotations

import os
from datetime import datetime, timedelta
from pathlib import Path

import msgspec
import numpy as np
import polars as pl
import pytest

from flyball.errors import BadInput
from flyball.evaluation.reference import bin_frame, count_column, reference
from flyball.records.evidence import Bins
from flyball.stats import drift

DAY = 86_400_000_000


def test_counts_of_the_reference_in_its_own_cells_are_the_reference():
    rng = np.random.default_rng(0)
    frame = pl.DataFrame(
        {
            "number": pl.Series([None, *rng.normal(size=499)]),
            "whole": rng.integers(0, 7, 500),
            "text": rng.choice(["a", "b", None], 500).tolist(),
            "flag": rng.random(500) < 0.5,
            "when": [datetime(2024, 1, 1) + timedelta(hours=int(k)) for k in range(500)],
        }
    )
    bins = reference(frame, frame.columns)
    assert [own.kind for own in bins] == ["numeric", "numeric", "categorical", "categorical", "numeric"]
    for own, counts in zip(bins, bin_frame(bins, frame), strict=True):
        assert counts.cells == own.counts
        assert (counts.n, counts.nulls, counts.unseen_n) == (own.n, own.nulls, 0)
        assert sum(own.counts) + own.nulls == own.n == 500


@pytest.mark.parametrize("name", ["n", "count", "value"])
def test_a_column_of_text_may_have_any_name(name):
    [bins] = reference(pl.DataFrame({name: ["a", "b", "a", None] * 9}), [name])
    assert (bins.column, bins.nulls, bins.values) == (name, 9, ("a", "b"))
    assert count_column(bins, pl.Series(name, ["a", "c"])).unseen == {"c": 1}


def test_windows_are_weeks_where_there_are_eight_and_blocks_where_there_are_not():
    for days, rows in ((70, 10), (20, 8)):
        stamps = np.arange(days * 24) * (DAY // 24)
        frame = pl.DataFrame({"x": np.arange(days * 24) % 24, "__time": stamps})
        (own,) = reference(frame, ["x"])
        assert len(own.windows) == rows
        assert own.days == days
        assert sum(window[-1] for window in own.windows) == days * 24


def test_the_windows_do_not_depend_on_the_order_of_rows():
    rng = np.random.default_rng(2)
    frame = pl.DataFrame({"x": rng.normal(size=1000), "c": rng.choice(["a", "b"], 1000), "__time": np.arange(1000) * DAY // 10})
    assert reference(frame, ["x", "c"]) == reference(frame.sample(fraction=1.0, shuffle=True, seed=1), ["x", "c"])


def test_without_time_independence_is_assumed():
    (own,) = reference(pl.DataFrame({"x": range(1000)}), ["x"])
    assert (own.windows, own.days, own.fast) == ((), 0, ())


def test_values_that_only_one_window_has_are_counted_as_unseen_there():
    frame = pl.DataFrame({"c": ["a"] * 400 + ["late"] * 5 + ["a"] * 5, "__time": range(410)})
    (own,) = reference(frame, ["c"])
    assert [window[-2] for window in own.windows] == [0, 0, 0, 0, 0, 0, 0, 5]


def test_seen_once_and_twice_are_kept_for_the_unseen_share():
    (own,) = reference(pl.DataFrame({"c": ["x"] * 90 + ["p", "q", "r", "r"]}), ["c"])
    assert (own.once, own.twice) == (2, 1)


def test_a_number_that_is_text_counts_as_null():
    (own,) = reference(pl.DataFrame({"x": [1.0, 2.0, 3.0]}), ["x"])
    assert count_column(own, pl.Series("x", ["2", "two"])).nulls == 1


def test_a_value_outside_the_reference_is_named():
    (own,) = reference(pl.DataFrame({"flag": [True, False] * 50}), ["flag"])
    assert count_column(own, pl.Series("flag", ["true", "maybe"])).unseen == {"maybe": 1}


def test_the_reference_survives_json():
    rng = np.random.default_rng(3)
    frame = pl.DataFrame({"x": np.where(rng.random(500) < 0.5, 0.0, rng.normal(size=500)), "__time": np.arange(500) * DAY})
    bins = reference(frame, ["x"])
    assert msgspec.json.decode(msgspec.json.encode(bins), type=tuple[Bins, ...]) == bins


def test_a_column_that_cannot_be_counted_is_refused():
    with pytest.raises(BadInput, match="not in the reference"):
        reference(pl.DataFrame({"x": [1]}), ["y"])
    with pytest.raises(BadInput, match="List"):
        reference(pl.DataFrame({"x": [[1]]}), ["x"])


@pytest.mark.skipif("FLYBALL_TEST_DATA" not in os.environ, reason="FLYBALL_TEST_DATA names no folder with data/electricity.csv")
def test_electricity_is_silent_before_its_known_change_and_loud_after():
    frame = pl.read_csv(Path(os.environ["FLYBALL_TEST_DATA"]) / "data/electricity.csv", try_parse_dates=True)
    stamps = frame["ts"].dt.epoch("us").to_numpy()
    week = (stamps - stamps[0]) // (7 * DAY)
    columns = ["nswprice", "nswdemand", "vicprice", "vicdemand", "transfer"]
    bins = reference(frame.with_columns(__time=pl.Series(stamps)).filter(pl.Series(week < 8)), columns)
    levels = []
    for number in range(8, 60):
        counts = bin_frame(bins, frame.filter(pl.Series(week == number)))
        tests = drift.hits([test for own, found in zip(bins, counts, strict=True) for test in drift.column_tests(own, found)])
        levels.append({test.column for test in tests if test.level != "none"})
    quiet = levels[:43]
    assert sum(bool(found) for found in quiet) <= 4, "at most .09 of the 43 weeks before the change"
    # vicprice, vicdemand and transfer start to be measured: constant until then
    assert any({"vicprice", "vicdemand", "transfer"} & found for found in levels[43:47])
