"""The error that is expected without labels follows the inputs, and its interval covers what labels would have said."""

from __future__ import annotations

import numpy as np
import pytest

from flyball.stats import errormodel

CELLS = 33
EDGES = np.arange(1, CELLS) / CELLS


def coverage(seed, *, shift, runs=60):
    rng, held, release = np.random.default_rng(seed), 0, 0
    for _ in range(runs):
        x = rng.normal(0, 1, 2_000)
        error, limits = np.abs(np.exp(0.5 * x) * rng.normal(0, 1, 2_000)), np.quantile(x, EDGES)
        fitted = errormodel.fit(error, [np.searchsorted(limits, x)], [CELLS])
        x = rng.normal(shift, 1, 1_000)
        true = np.abs(np.exp(0.5 * x) * rng.normal(0, 1, 1_000)).mean()
        found = errormodel.expect(fitted, [np.bincount(np.searchsorted(limits, x), minlength=CELLS)])
        held += found.low <= true <= found.high
        release += abs(true - error.mean()) < 0.1 * error.mean()
    return held / runs, release / runs


def test_the_interval_covers_without_shift_and_with_a_mild_one_which_the_level_at_release_does_not():
    assert coverage(0, shift=0.0)[0] >= 0.84
    held, release = coverage(1, shift=0.5)
    assert held >= 0.8
    assert release < 0.1


def test_the_telling_columns_are_found_and_noise_is_not():
    rng = np.random.default_rng(2)
    codes = {name: rng.integers(0, 10, 4_000) for name in ("a", "b", "noise")}
    error = 1 + codes["a"] * 0.5 + (codes["b"] > 6) + rng.exponential(0.5, 4_000)
    assert errormodel.telling(error, codes) == ("a", "b")


def test_a_cell_of_a_handful_of_rows_is_near_the_mean():
    error = np.concatenate([np.ones(999), [100.0]])
    cells = np.concatenate([np.zeros(999, dtype=np.int64), [1]])
    found = errormodel.expect(errormodel.fit(error, [cells], [3]), [np.array([0, 0, 500])])
    assert found.value == pytest.approx(error.mean())
    found = errormodel.expect(errormodel.fit(error, [cells], [3]), [np.array([0, 500, 0])])
    assert found.value < 60


def test_constant_errors_columns_without_a_say_and_bad_input():
    assert errormodel.telling(np.ones(100), {"a": np.arange(100) % 2}) == ()
    assert errormodel.telling(np.empty(0), {}) == ()
    with pytest.raises(ValueError, match="finite"):
        errormodel.fit(np.array([1.0, np.nan]), [np.array([0, 0])])
    with pytest.raises(ValueError, match="without rows"):
        errormodel.expect(errormodel.fit(np.ones(3), [np.zeros(3, dtype=np.int64)]), [np.zeros(1)])
