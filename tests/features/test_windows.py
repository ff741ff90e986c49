"""How views are looked up: in any order, in any number, late rows and none, and what cannot be looked up."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from flyball.clock import Span
from flyball.declare.columns import Column
from flyball.declare.data import Dataset
from flyball.declare.views import FeatureView, Window
from flyball.errors import DeclarationError
from flyball.features import distinct, windows

UNIT = 60_000_000
SCHEMA = {"ts": pl.Datetime("us"), "arrived": pl.Datetime("us"), "who": pl.String, "x": pl.Float64, "flag": pl.Boolean, "n": pl.Int64}


def data(*, arrived=False, known_after="0s", flag_after="0s"):
    return Dataset(
        "stream",
        source="x.csv",
        time="ts",
        arrived="arrived" if arrived else None,
        columns={
            "who": str,
            "x": Column(float, known_after=known_after, nulls="100%"),
            "n": Column(int, nulls="100%"),
            "flag": Column(bool, known_after=flag_after, nulls="100%"),
        },
    )


def view(dataset, window, *, entity=None, ttl=None):
    features = {
        "count": window.count(),
        "flagged": window.count(where="flag"),
        "filled": window.count(where=pl.col("x") > 0),
        "sum": window.sum("x"),
        "mean": window.mean("x"),
        "min": window.min("x"),
        "max": window.max("x"),
        "last": window.last("x"),
        "last_n": window.last("n", where="flag"),
        "distinct": window.distinct("n"),
        "newest": "n",
        "ratio": pl.col("x") / (pl.col("n") + 1),
    }
    return FeatureView("v", dataset, entity=entity, features=features, ttl=ttl)


def frame_of(rows):
    return pl.DataFrame(
        [{**row, "ts": row["ts"], "arrived": row["arrived"]} for row in rows],
        schema={**SCHEMA, "ts": pl.Int64, "arrived": pl.Int64},
    ).with_columns(pl.col("ts", "arrived").cast(pl.Datetime("us")))


def stream(count, *, seed=0):
    rng = np.random.default_rng(seed)
    return pl.DataFrame(
        {
            "ts": pl.Series(np.sort(rng.integers(0, count * UNIT, count))).cast(pl.Datetime("us")),
            "arrived": pl.Series([None] * count, dtype=pl.Datetime("us")),
            "who": [f"k{value}" for value in rng.integers(0, 5, count)],
            "x": rng.normal(size=count) * 10.0 ** rng.integers(-6, 6, count),
            "flag": rng.random(count) < 0.5,
            "n": rng.integers(0, 9, count),
        }
    )


def moments_of(frame):
    times = frame["ts"].cast(pl.Int64)
    return pl.DataFrame({"row_time": times, "moment": times - 3 * UNIT, "key": frame["who"]})


@pytest.mark.parametrize("entity", [None, "who"])
def test_a_value_depends_on_its_window_alone_to_the_last_bit(entity):
    rows = stream(2_000)
    feature_view = view(data(), Window("30m"), entity=entity)
    whole = windows.values(feature_view, rows, moments_of(rows))
    for place in (500, 1_234, 1_999):
        tail = rows.slice(place - 400, 401).sample(fraction=1, shuffle=True, seed=place)
        alone = windows.values(feature_view, tail, moments_of(rows).slice(place, 1))
        assert alone.equals(whole.slice(place, 1))


def test_rows_come_back_in_the_order_asked_each_once_however_often_a_moment_is_asked():
    rows = stream(300)
    feature_view = view(data(), Window("30m"), entity="who")
    asked = moments_of(rows).sample(n=700, with_replacement=True, seed=1)
    once = windows.values(feature_view, rows, asked)
    singly = pl.concat([windows.values(feature_view, rows, asked.slice(place, 1)) for place in range(0, 700, 50)])
    assert once.height == 700
    assert once.gather_every(50).equals(singly)


@pytest.mark.parametrize("entity", [None, "who"])
def test_many_moments_looked_up_in_order_come_back_as_they_were_asked(monkeypatch, entity):
    rows = stream(300)
    feature_view = view(data(), Window("30m"), entity=entity)
    asked = moments_of(rows).sample(fraction=1, shuffle=True, seed=2)
    plain = windows.values(feature_view, rows, asked)
    monkeypatch.setattr(windows, "MANY", 10)
    assert windows.values(feature_view, rows, asked).equals(plain)


def test_late_rows_are_laid_out_in_chunks_without_changing_a_value(monkeypatch):
    rows = stream(400).with_columns((pl.col("ts") + pl.duration(minutes=pl.int_range(pl.len()) % 17)).alias("arrived"))
    feature_view = view(data(arrived=True), Window("1h"), entity=None)
    whole = windows.values(feature_view, rows, moments_of(rows))
    monkeypatch.setattr(windows, "CHUNK", 500)
    assert windows.values(feature_view, rows, moments_of(rows)).equals(whole)


def test_a_late_row_is_not_seen_before_it_arrives():
    rows = frame_of([{"ts": 0, "arrived": 10 * UNIT, "who": "a", "x": 1.0, "flag": True, "n": 1}])
    feature_view = view(data(arrived=True), Window("1h"))
    moments = pl.DataFrame({"row_time": [10 * UNIT, 10 * UNIT + 1], "moment": [10 * UNIT, 10 * UNIT + 1]})
    assert windows.values(feature_view, rows, moments)["count"].to_list() == [0, 1]


def test_a_row_never_sees_itself_nor_another_row_of_its_time():
    rows = frame_of([{"ts": UNIT, "arrived": None, "who": "a", "x": float(value), "flag": True, "n": value} for value in range(3)])
    got = windows.values(view(data(), Window("1h")), rows, pl.DataFrame({"row_time": [UNIT] * 3, "moment": [UNIT] * 3}))
    assert got["count"].to_list() == [0, 0, 0]
    assert got["last"].to_list() == [None, None, None]


def test_with_a_horizon_the_row_exactly_at_the_moment_is_seen():
    rows = frame_of([{"ts": UNIT, "arrived": None, "who": "a", "x": 7.0, "flag": True, "n": 1}])
    got = windows.values(view(data(), Window("30m")), rows, pl.DataFrame({"row_time": [5 * UNIT], "moment": [UNIT]}))
    assert got["last"].to_list() == [7.0]


def test_a_view_without_rows_counts_nothing_and_knows_nothing():
    got = windows.values(
        view(data(), Window("30m"), entity="who"), frame_of([]), pl.DataFrame({"row_time": [5], "moment": [5], "key": ["a"]})
    )
    assert got.row(0, named=True) == {
        "count": 0, "flagged": 0, "filled": 0, "sum": 0.0, "mean": None, "min": None, "max": None, "last": None, "last_n": None, "distinct": 0,
        "newest": None, "ratio": None,
    }  # fmt: skip


def test_no_moment_gives_a_frame_of_the_right_types():
    feature_view = view(data(), Window("30m"))
    empty = windows.values(feature_view, stream(50), pl.DataFrame(schema={"row_time": pl.Int64, "moment": pl.Int64}))
    full = windows.values(feature_view, stream(50), moments_of(stream(50)))
    assert empty.height == 0
    assert empty.schema == full.schema


def test_many_keys_are_looked_up_as_few_are():
    rows = stream(300)
    feature_view = view(data(), Window("30m"), entity="who")
    asked = moments_of(rows)
    assert windows.values(feature_view, rows, asked).head(10).equals(windows.values(feature_view, rows, asked.head(10)))


def test_a_mean_of_text_is_refused_with_the_column_named():
    dataset = data()
    feature_view = FeatureView("v", dataset, features={"m": Window("1h").mean("who")})
    with pytest.raises(DeclarationError, match='the mean of column "who"'):
        windows.prepare(feature_view, stream(3))


def test_a_view_over_a_data_set_without_time_is_refused():
    dataset = Dataset("table", source="x.csv", columns={"x": float})
    feature_view = FeatureView("v", dataset, features={"m": Window("1h").mean("x")})
    with pytest.raises(DeclarationError, match="needs a data set with a time"):
        windows.prepare(feature_view, pl.DataFrame({"x": [1.0]}))


def test_last_and_distinct_work_on_text():
    rows = stream(50)
    feature_view = FeatureView("v", data(), features={"l": Window("1h").last("who"), "d": Window("1h").distinct("who")})
    got = windows.values(feature_view, rows, pl.DataFrame({"row_time": [60 * UNIT], "moment": [60 * UNIT]}))
    assert got["l"].item() == rows["who"][-1]
    assert got["d"].item() == rows["who"].n_unique()


def test_ttl_counts_from_the_end_of_the_window_not_from_the_moment():
    rows = frame_of([{"ts": 0, "arrived": None, "who": "a", "x": 1.0, "flag": True, "n": 1}])
    feature_view = FeatureView("v", data(), features={"ago": Window("5m", ago="3h").last("x")}, ttl=Span.parse("1h"))
    got = windows.values(feature_view, rows, pl.DataFrame({"row_time": [183 * UNIT], "moment": [183 * UNIT]}))
    assert got["ago"].to_list() == [1.0]


@pytest.mark.parametrize("many", [4, -1])
def test_values_without_end_are_as_many_different_ones_as_they_are(monkeypatch, many):
    monkeypatch.setattr(distinct, "MANY", many)
    values = [float("inf"), 1.0, float("inf"), float("-inf"), 1.0, float("inf")]
    rows = frame_of([{"ts": place, "arrived": None, "who": "a", "x": x, "flag": True, "n": 1} for place, x in enumerate(values)])
    feature_view = FeatureView("v", data(), features={"d": Window("1h").distinct("x")})
    got = windows.values(feature_view, rows, pl.DataFrame({"row_time": [60 * UNIT], "moment": [60 * UNIT]}))
    assert got["d"].to_list() == [3]
