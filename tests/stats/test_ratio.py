"""Sample ratio: a broken split is noticed, a right one is not."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flyball.stats import ratio
from flyball.stats.ratio import Split


@given(canary=st.integers(0, 500), others=st.integers(0, 5_000), weight=st.sampled_from([0.05, 0.25, 0.5]))
def test_at_the_planned_weight_the_next_unit_adds_nothing_on_average(canary, others, weight):
    now = ratio.log_e([Split(canary, canary + others, weight)])
    hit = ratio.log_e([Split(canary + 1, canary + others + 1, weight)])
    miss = ratio.log_e([Split(canary, canary + others + 1, weight)])

    assert weight * math.exp(hit - now) + (1 - weight) * math.exp(miss - now) == pytest.approx(1, rel=1e-6)


def test_steps_add_up_and_none_are_nothing():
    first, second = Split(60, 1_000, 0.05), Split(240, 1_000, 0.25)

    assert ratio.log_e([]) == 0
    assert ratio.log_e([first, second]) == pytest.approx(ratio.log_e([first]) + ratio.log_e([second]))


@pytest.mark.parametrize("step", [Split(1, 2, 0.0), Split(1, 2, 1.0), Split(3, 2, 0.5), Split(-1, 2, 0.5)])
def test_impossible_splits_are_refused(step):
    with pytest.raises(ValueError, match=r"weight|canary"):
        ratio.log_e([step])


def units_until_frozen(share, *, runs, most, seed):
    random = np.random.default_rng(seed)
    out = []
    for _ in range(runs):
        counts = np.cumsum(random.binomial(100, share, size=most // 100))
        looks = (100 * (place + 1) for place, n in enumerate(counts) if ratio.log_e([Split(n, 100 * (place + 1), 0.05)]) >= math.log(1_000))
        out.append(next(looks, math.inf))
    return np.array(out)


def test_four_percent_for_five_is_found_in_about_7500_requests():
    assert np.median(units_until_frozen(0.04, runs=60, most=40_000, seed=0)) == pytest.approx(7_500, rel=0.3)


def test_a_right_split_does_not_freeze():
    assert np.isinf(units_until_frozen(0.05, runs=100, most=30_000, seed=1)).all()
