"""Whatever the rows, every value is what a replay of the definition, one row at a time, comes to."""

from __future__ import annotations

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.features.brute import Asked, assert_same, moments, replay

from flyball.declare.columns import Column
from flyball.declare.data import Dataset
from flyball.declare.views import FeatureView, Window
from flyball.features import aggregates, distinct, exact, order, windows

UNIT = 60_000_000
TYPES = {"text": pl.String, "int": pl.Int64, "float": pl.Float64}
KEYS = {"text": ["a", "b", ""], "int": [1, 2, -7], "float": [0.0, -0.0, float("nan"), 1.5]}

minutes = st.integers(0, 30).map(lambda value: value * UNIT)
numbers = st.sampled_from([0.1, 0.2, -0.3, 1e16, -1e16, 1.0, 0.0, -0.0, 5e-324, float("nan")]) | st.integers(-50, 50).map(float)


@st.composite
def cases(draw):
    """(view, frame, asked)."""
    kind = draw(st.sampled_from(["text", "int", "float"]))
    keyed, arriving = draw(st.booleans()), draw(st.booleans())
    after = st.sampled_from(["0s", "0s", "2m", "-5m"])
    data = Dataset(
        "stream",
        source="x.csv",
        time="ts",
        arrived="arrived" if arriving else None,
        columns={
            "who": {"text": str, "int": int, "float": float}[kind],
            "x": Column(float, known_after=draw(after), nulls="100%"),
            "n": Column(int, known_after=draw(after), nulls="100%"),
            "flag": Column(bool, known_after=draw(after), nulls="100%"),
        },
    )
    row = st.tuples(
        minutes,
        st.none() | minutes,
        st.none() | st.sampled_from(KEYS[kind]),
        st.none() | numbers,
        st.none() | st.integers(0, 3),
        st.none() | st.booleans(),
    )
    rows = draw(st.lists(row, max_size=25))
    frame = pl.DataFrame(
        rows,
        schema={"ts": pl.Int64, "arrived": pl.Int64, "who": TYPES[kind], "x": pl.Float64, "n": pl.Int64, "flag": pl.Boolean},
        orient="row",
    )
    frame = frame.with_columns(pl.col("ts", "arrived").cast(pl.Datetime("us")))
    view = FeatureView(
        "v",
        data,
        entity="who" if keyed else None,
        ttl=draw(st.sampled_from([None, "2m", "5m", "1h"])),
        features=features(Window(draw(st.sampled_from(["1m", "3m", "10m", "1h"])), ago=draw(st.sampled_from(["0s", "0s", "2m", "9m"])))),
    )
    keys = st.none() | st.sampled_from(KEYS[kind])
    one = st.builds(Asked, time=minutes, key=keys, horizon=st.sampled_from([0, 0, UNIT, 5 * UNIT]), own=st.booleans())
    return view, frame, draw(st.lists(one, min_size=1, max_size=8)), TYPES[kind] if keyed else None


def features(window):
    return {
        "count": window.count(),
        "flagged": window.count(where="flag"),
        "positive": window.count(where=pl.col("x") > 0),
        "sum": window.sum("x"),
        "sum_n": window.sum("n", where="flag"),
        "mean": window.mean("x"),
        "min": window.min("x"),
        "max": window.max("x"),
        "share": window.mean("flag"),
        "last": window.last("x"),
        "last_who": window.last("who", where=pl.col("n") > 0),
        "distinct": window.distinct("n"),
        "distinct_x": window.distinct("x"),
        "row_x": "x",
        "row_n": "n",
        "row_who": "who",
        "row_time": pl.col("n") + 1,
        "row_ratio": pl.col("x") / pl.col("n"),
        "row_both": pl.when(pl.col("flag")).then(pl.col("n")),
    }


@pytest.fixture(params=["few", "many"])
def sizes(request, monkeypatch):
    """As few rows are gone through, or as many: the same values either way."""
    if request.param == "many":
        monkeypatch.setattr(exact, "FEW", -1)
        monkeypatch.setattr(aggregates, "FEW", -1)
        monkeypatch.setattr(distinct, "MANY", -1)
        monkeypatch.setattr(order, "FEW", -1)
        monkeypatch.setattr(windows, "MANY", -1)
        monkeypatch.setattr(windows, "CHUNK", 3)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(cases())
def test_every_value_is_what_the_definition_says(sizes, case):
    view, frame, asked, key = case
    assert_same(windows.values(view, frame, moments(asked, key)), replay(view, frame, asked))


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(cases())
def test_times_too_far_apart_to_be_one_number_with_the_entity_are_taken_by_their_rank(case):
    view, frame, asked, key = case
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(order, "WIDEST", 0)
        assert_same(windows.values(view, frame, moments(asked, key)), replay(view, frame, asked))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(cases(), st.randoms(use_true_random=False))
def test_rows_in_any_order_give_the_same_unless_only_their_order_tells_them_apart(case, random):
    view, frame, asked, key = case
    distinct_rows = frame.unique(["ts", "arrived"] if view.data.arrived else ["ts"], keep="first", maintain_order=True)
    if view.data.arrived:
        # a row that does not say when it arrived came at its own time
        distinct_rows = distinct_rows.with_columns(pl.col("arrived").fill_null(pl.col("ts"))).unique(
            ["ts", "arrived"], keep="first", maintain_order=True
        )
    places = list(range(distinct_rows.height))
    random.shuffle(places)
    whole = windows.values(view, distinct_rows, moments(asked, key))
    assert windows.values(view, distinct_rows[places], moments(asked, key)).equals(whole)
