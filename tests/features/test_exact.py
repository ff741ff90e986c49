"""Every sum is the double nearest to the true sum, in whatever order and from whatever parts it was made."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flyball.features import exact

finite = st.floats(allow_nan=False, allow_infinity=False)
kinds = st.one_of(
    st.lists(finite, max_size=30),
    st.lists(st.floats(-1e6, 1e6), max_size=60),
    st.lists(st.integers(-(2**60), 2**60).map(float), max_size=40),
    st.lists(st.sampled_from([0.0, -0.0, 5e-324, -5e-324, 2.2250738585072014e-308, -1.5e-310]), max_size=20),
    st.lists(st.builds(lambda part, power: part * 2.0**power, st.sampled_from([1.0, -1.0, 1.5, -1.75]), st.integers(-60, 60)), max_size=40),
    st.lists(st.sampled_from([1.0, 2.0**-53, 2.0**-54, -(2.0**-53), 1 + 2.0**-52, -1.0]), max_size=20),
    st.lists(st.sampled_from([1.7976931348623157e308, -1.7976931348623157e308, 1e292, -1e292]), max_size=6),
)


@pytest.fixture(autouse=True, params=[0, exact.FEW], ids=["at once", "one by one"])
def few(request, monkeypatch):
    monkeypatch.setattr(exact, "FEW", request.param)


def same(made, wanted):
    return np.float64(made).tobytes() == np.float64(wanted).tobytes()


def sums(column, low, high):
    """The sums of rows [low, high) for each pair."""
    return exact.Sums(column).of(low, high, np.empty(0, dtype=np.int64), np.zeros(len(low) + 1, dtype=np.int64))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(kinds)
def test_a_total_is_the_exact_sum(values):
    assert same(exact.value(exact.of(values)), exact.fsum(values))
    assert exact.unpack(exact.pack(exact.of(values))) == exact.of(values)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(kinds, st.data())
def test_any_stretch_of_a_column_is_summed_exactly(values, data):
    column = np.array(values, dtype=np.float64)
    places = st.integers(0, len(values))
    low = np.array(data.draw(st.lists(places, min_size=1, max_size=6)), dtype=np.int64)
    high = np.maximum(low, data.draw(places))
    made = sums(column, low, high)
    for place, found in enumerate(made):
        assert same(found, exact.fsum(values[low[place] : high[place]]))


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(kinds.filter(bool), st.data())
def test_a_stretch_and_rows_beside_it_are_summed_as_one(values, data):
    column = np.array(values, dtype=np.float64)
    rows = st.integers(0, len(values) - 1)
    cut = data.draw(rows)
    picked = [data.draw(st.lists(rows, max_size=8)) for _ in range(3)]
    bounds = np.cumsum([0, *map(len, picked)])
    others = np.array([row for rows in picked for row in rows], dtype=np.int64)
    made = exact.Sums(column).of(np.zeros(3, dtype=np.int64), np.full(3, cut), others, bounds)
    for found, beside in zip(made, picked, strict=True):
        assert same(found, exact.fsum([*values[:cut], *(values[row] for row in beside)]))


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(kinds.filter(bool), st.data())
def test_totals_of_stretches_merge_to_the_sum_of_all(values, data):
    starts = sorted({0, *data.draw(st.lists(st.integers(0, len(values) - 1), max_size=4))})
    totals = [exact.of(values[start:stop]) for start, stop in zip(starts, [*starts[1:], len(values)], strict=True)]
    assert same(exact.value(sum(totals)), exact.fsum(values))


@pytest.mark.parametrize("seed", range(6))
def test_long_columns_of_far_apart_values_are_summed_exactly(seed):
    rng = np.random.default_rng(seed)
    column = rng.normal(size=20_000) * 10.0 ** rng.integers(-seed * 5, seed * 5 + 1, 20_000)
    low = rng.integers(0, 19_000, 100)
    high = low + rng.integers(0, 1_000, 100)
    low[0], high[0] = 0, 20_000
    made = sums(column, low, high)
    assert all(same(found, math.fsum(column[start:stop])) for found, start, stop in zip(made, low, high, strict=True))


def test_values_too_far_apart_for_limbs_are_summed_one_stretch_at_a_time():
    column = np.array([1e300, 1e-300, -1e300, 1.0])
    assert exact.Sums(column)._runs is None
    assert sums(column, np.array([0]), np.array([3])).tolist() == [1e-300]


def test_a_sum_beyond_doubles_is_infinite_and_one_that_comes_back_is_not():
    most = 1.7976931348623157e308
    assert exact.value(exact.of([most, most])) == math.inf
    assert exact.value(exact.of([-most, -most])) == -math.inf
    assert sums(np.array([most, most, -most]), np.array([0, 0]), np.array([2, 3])).tolist() == [math.inf, most]


def test_a_sum_of_zeros_has_no_sign():
    assert math.copysign(1, exact.value(exact.of([-0.0, -0.0]))) == 1
    assert math.copysign(1, sums(np.array([-0.0]), np.array([0]), np.array([1]))[0]) == 1


def test_a_total_of_usual_values_takes_few_bytes():
    assert len(exact.pack(exact.of([12.5, 99.0] * 1_000))) <= 6
    assert len(exact.pack(exact.of([0.1] * 1_000_000))) <= 13
