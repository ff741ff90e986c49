"""Cells of a reference: what falls where, and that counts add up."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from flyball.records.evidence import Bins
from flyball.stats import cells

floats = st.floats(-1e6, 1e6) | st.just(float("nan")) | st.sampled_from([0.0, 1.0, float("inf"), float("-inf")])


@given(arrays(np.float64, st.integers(0, 300), elements=floats), st.integers(0, 300))
def test_counts_of_two_parts_sum_to_the_counts_of_the_whole(values, cut):
    edges = cells.numeric_edges(values)
    whole = cells.assign_numeric(edges, values)
    left, right = cells.assign_numeric(edges, values[:cut]), cells.assign_numeric(edges, values[cut:])
    assert (whole.cells == left.cells + right.cells).all()
    assert whole.nulls == left.nulls + right.nulls
    assert int(whole.cells.sum()) + whole.nulls == whole.n == values.size


@pytest.mark.parametrize("n", [7, 999, 1_000, 5_000])
@pytest.mark.parametrize("bins", [0, 1, 20, 21, 99])
def test_however_many_values_and_edges_there_are_each_value_is_counted_in_its_bin(n, bins):
    chance = np.random.default_rng(bins)
    edges = np.sort(chance.choice(np.arange(-100.0, 100.0), bins, replace=False)) / 10
    values = np.concatenate(
        [chance.normal(0, 5, n // 2).round(1), [np.nan, np.inf, -np.inf], chance.choice([*edges, 0.0, -0.0], n - n // 2)]
    )
    found = cells.assign_numeric(edges, values)
    limits = [-np.inf, *edges, np.inf]
    plain = [int(((values > low) & (values <= high)).sum()) for low, high in pairwise(limits)]
    plain[0] += int((values == -np.inf).sum())
    assert (found.cells.tolist(), found.nulls, found.n) == (plain, 1, len(values))


def test_a_quantile_bin_holds_one_hundredth_of_a_continuous_reference():
    values = np.random.default_rng(0).normal(size=10_000)
    counts = cells.assign_numeric(cells.numeric_edges(values), values).cells
    assert counts.size == 100
    assert set(counts.tolist()) == {100}


def test_a_heavy_value_has_a_bin_of_its_own():
    values = np.concatenate([np.zeros(600), np.random.default_rng(1).exponential(size=400)])
    edges = cells.numeric_edges(values)
    counts = cells.assign_numeric(edges, values).cells
    assert counts[np.searchsorted(edges, 0.0)] == 600


def test_edges_are_finite_so_that_json_can_hold_them():
    edges = cells.numeric_edges(np.array([np.inf] * 50 + [-np.inf] * 50 + [1.0] * 10))
    assert np.isfinite(edges).all()


def test_an_outlier_moves_one_count():
    values = np.arange(1000.0)
    edges = cells.numeric_edges(values)
    moved = values.copy()
    moved[-1] = 1e300
    assert (cells.assign_numeric(edges, values).cells == cells.assign_numeric(edges, moved).cells).all()


def test_an_empty_reference_has_one_bin():
    edges = cells.numeric_edges(np.array([np.nan, np.nan]))
    assert edges.size == 0
    assert cells.assign_numeric(edges, np.array([1.0, np.nan])).cells.tolist() == [1]


def test_rare_values_share_hash_buckets_and_new_ones_are_named():
    values = [f"v{index}" for index in range(200)]
    counts = np.array([1000] * 5 + [1] * 195)
    own = cells.own_values(values, counts)
    assert own == ("v0", "v1", "v2", "v3", "v4")
    found = cells.assign_categorical(own, cells.known_hashes(values), ["v0", "v7", "brand-new"], np.array([3, 2, 4]), nulls=6)
    assert found.n == 15
    assert found.cells.size == 5 + cells.BUCKETS
    assert found.cells[0] == 3
    assert found.cells[5:].sum() == 6
    assert (found.unseen, found.unseen_n, found.nulls) == ({"brand-new": 4}, 4, 6)


def test_too_many_known_values_are_not_remembered_and_nothing_is_then_unseen():
    assert cells.known_hashes([str(index) for index in range(10_001)]) == ()
    assert cells.assign_categorical(["a"], (), ["b"], np.array([1])).unseen_n == 0


def test_only_the_largest_unseen_values_are_named_but_all_are_counted():
    values = [f"n{index:03d}" for index in range(50)]
    found = cells.assign_categorical([], cells.known_hashes(["x"]), values, np.arange(1, 51))
    assert len(found.unseen) == cells.UNSEEN
    assert found.unseen["n049"] == 50
    assert found.unseen_n == 50 * 51 // 2


def test_the_hash_is_the_same_on_every_machine():
    assert cells.value_hash("a") == 73912390445837


@given(arrays(np.int64, st.integers(1, 120), elements=st.integers(0, 1000)))
def test_test_cells_keep_the_order_and_hold_two_hundredths_each(counts):
    labels = cells.merge_bins(counts)
    total = counts.sum()
    if total == 0 or (np.diff(labels) < 0).any():
        # one value has nearly everything: it against the rest
        assert counts.max() >= 0.9 * total
        return
    assert (np.diff(labels) >= 0).all()
    assert set(np.diff(labels).tolist()) <= {0, 1}
    grouped = cells.merged(labels, counts)
    assert grouped.sum() == total
    if grouped.size > 2:
        assert (grouped >= 0.02 * total).all()


@pytest.mark.parametrize(
    ("counts", "labels"),
    [
        ([5] * 20, [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 8, 9, 9]),
        ([1, 50, 49], [0, 0, 1]),
        ([3, 50, 47], [0, 1, 2]),
        ([60, 39, 1], [0, 1, 1]),
        ([100], [0]),
        ([1, 98, 1], [1, 0, 1]),
    ],
)
def test_bins_merge_into_test_cells(counts, labels):
    assert cells.merge_bins(np.array(counts)).tolist() == labels


def test_cells_that_expect_fewer_than_five_are_pooled():
    assert cells.pooling(np.array([900, 90, 9, 1]), 100).tolist() == [0, 1, 2, 2]
    assert cells.pooling(np.array([900, 90, 9, 1]), 10_000_000).tolist() == [0, 1, 2, 3]


def test_cells_are_named_as_people_read_them():
    numeric = Bins(column="x", kind="numeric", edges=(float(np.nextafter(0, -1)), 0.0, 2.5))
    assert [cells.cell_name(numeric, cell) for cell in range(4)] == ["< 0", "0", "(0, 2.5]", "> 2.5"]
    text = Bins(column="c", kind="categorical", values=("red",))
    assert [cells.cell_name(text, cell) for cell in (0, 3)] == ["red", "other values (bucket 2)"]
