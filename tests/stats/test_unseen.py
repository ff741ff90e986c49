"""Rows that a sample does not have: the interval of a mean is Wilson's where the mean is a share, and the usual one where there is enough spread."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flyball.stats import clusters, intervals, unseen
from flyball.stats.unseen import Unseen


@given(st.integers(30, 2_000), st.data())
def test_of_a_share_it_is_never_narrower_than_wilsons(n, data):
    count = data.draw(st.integers(0, n))
    found = unseen.interval(clusters.mean(np.repeat([1.0, 0.0], [count, n - count])), Unseen(1 / n, 1 / n), 0.90)
    wilson = intervals.wilson(count, n, 0.90)

    assert max(0.0, found.low) <= wilson.low + 1e-12
    assert min(1.0, found.high) >= wilson.high - 1e-12
    # and hardly wider: as if there were a few rows fewer
    assert found.high - found.low <= 1.35 * (wilson.high - wilson.low) + 2.8 / n


def test_differences_to_both_sides_leave_students_interval():
    values = np.random.default_rng(0).normal(size=400)
    found = clusters.mean(values)
    student = intervals.t_interval(found.value, found.se, found.df)

    assert unseen.interval(found, Unseen(1 / 400, 1 / 400)) == pytest.approx(student, abs=0.02 * found.se)


def test_without_spread_nothing_is_shown_that_is_finer_than_an_unseen_row_or_entity():
    rows, entities = clusters.mean(np.ones(600)), clusters.mean(np.ones(600), np.repeat(np.arange(30), 20))
    low = unseen.interval(rows, Unseen(1 / 600, 1 / 600), 0.90).low
    lower = unseen.interval(entities, Unseen(1 / 600, 1 / 30), 0.90).low

    assert 1 - low == pytest.approx(1.647**2 / 600, rel=1e-3)
    assert 1 - lower == pytest.approx(1.699**2 / 30, rel=1e-3)
    assert unseen.interval(rows, unseen.NOTHING) == (1.0, 1.0), "but for what is unseen it would be certain"


def test_a_loss_of_single_rows_weighs_less_than_one_of_whole_entities():
    groups = np.repeat(np.arange(100), 20)
    rows = np.ones(2_000)
    rows[::40] = 0
    whole = np.ones(2_000)
    whole[:40] = 0

    one, all_ = (unseen.sizes(clusters.mean(values, groups), Unseen(1 / 2_000, 1 / 100)).below for values in (rows, whole))

    assert one < 3 / 2_000
    assert all_ == pytest.approx(1 / 100, rel=0.1)


@pytest.mark.parametrize("scale", [1e-150, 1e-10, 1.0, 1e100])
def test_it_has_the_units_of_the_mean(scale):
    values = np.random.default_rng(1).exponential(size=100)
    plain = unseen.interval(clusters.mean(values), Unseen(0.01, 0.01))
    scaled = unseen.interval(clusters.mean(scale * values), Unseen(0.01 * scale, 0.01 * scale))

    assert scaled.low / scale == pytest.approx(plain.low)
    assert scaled.high / scale == pytest.approx(plain.high)


def test_one_unit_says_nothing():
    assert unseen.interval(clusters.mean(np.ones(5), np.zeros(5, dtype=np.int64)), Unseen(0.2, 1.0)) == (-math.inf, math.inf)


def test_a_spread_that_is_as_good_as_none_weighs_as_none():
    nearly = clusters.mean(np.ones(50))._replace(se=1e-308)
    assert unseen.sizes(nearly, Unseen(1e200, 1e200)).below == 1e200
