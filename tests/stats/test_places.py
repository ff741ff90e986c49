"""The table of buckets says what a binary search says, whatever the edges and the values."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flyball.stats.cells import numeric_edges
from flyball.stats.places import FEW, EdgeTable

FINITE = st.floats(allow_nan=False, allow_infinity=False)


@settings(deadline=None)
@given(st.lists(FINITE, max_size=40, unique=True), st.lists(st.floats(), max_size=40))
def test_it_says_what_a_search_says(edges, values):
    edges = np.sort(np.array(edges, dtype=np.float64))
    # each edge and its neighbours are where a rounded sum could go wrong
    with np.errstate(over="ignore"):
        near = np.concatenate([edges, np.nextafter(edges, -np.inf), np.nextafter(edges, np.inf), np.array(values, dtype=np.float64)])
    asked = np.resize(np.append(near, np.nan), FEW + 100)
    assert EdgeTable(edges).places(asked).tolist() == np.searchsorted(edges, asked, side="left").tolist()


@pytest.mark.parametrize("n", [1, FEW, FEW + 1, 20_000])
@pytest.mark.parametrize("kind", ["normal", "heavy tails", "heavy value", "whole numbers", "times", "one value"])
def test_it_serves_columns_of_every_kind(kind, n):
    rng = np.random.default_rng(n)
    draw = {
        "normal": lambda k: rng.normal(size=k),
        "heavy tails": rng.standard_cauchy,
        "heavy value": lambda k: np.where(rng.random(k) < 0.6, 0.0, rng.lognormal(sigma=2, size=k)),
        "whole numbers": lambda k: rng.integers(0, 20, k).astype(float),
        "times": lambda k: 1.7e15 + rng.integers(0, 10**9, k),
        "one value": lambda k: np.full(k, 3.0),
    }[kind]
    edges, values = numeric_edges(draw(5_000)), draw(n)
    values[rng.random(n) < 0.05] = np.nan
    assert EdgeTable(edges).places(values).tolist() == np.searchsorted(edges, values, side="left").tolist()
