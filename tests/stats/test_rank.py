"""Spearman's rank correlation and its interval."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flyball.stats.rank import FEWEST, ranks, spearman


def test_equal_values_share_their_mean_rank() -> None:
    assert ranks(np.array([3.0, 1.0, 3.0, 2.0])).tolist() == [3.5, 1.0, 3.5, 2.0]


def test_too_few_pairs_and_a_series_that_never_changes_say_nothing() -> None:
    assert spearman(np.arange(FEWEST - 1.0), np.arange(FEWEST - 1.0)) is None
    assert spearman(np.ones(50), np.arange(50.0)) is None


@given(st.lists(st.tuples(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6)), min_size=FEWEST, max_size=60))
def test_it_lies_within_its_interval_and_turns_with_a_series(pairs: list[tuple[float, float]]) -> None:
    x, y = (np.array(side) for side in zip(*pairs, strict=True))
    found, turned = spearman(x, y), spearman(x, -y)
    if found is None:
        assert turned is None
        return
    assert turned is not None
    assert -1 <= found[1].low <= found[0] <= found[1].high <= 1
    assert turned[0] == pytest.approx(-found[0])


def test_the_interval_holds_the_truth_as_often_as_it_says() -> None:
    rng, held = np.random.default_rng(0), 0
    for _ in range(400):
        x, noise = rng.normal(size=40), rng.normal(size=40)
        found = spearman(x, 0.0 * x + noise)
        assert found is not None
        held += found[1].low <= 0 <= found[1].high
    assert 0.92 <= held / 400 <= 0.98
