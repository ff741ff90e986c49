"""The difference of two business means, looked at often, against the rates of docs/statistics.md §1."""

from __future__ import annotations

import numpy as np
import pytest

from flyball.stats.businessmean import FEWEST, Arm, difference


def arms(values: np.ndarray, new: np.ndarray, weight: float) -> list[Arm]:
    return [
        Arm(side, weight, int(here.sum()), float(values[here].sum()), float((values[here] ** 2).sum()))
        for side, here in ((True, new), (False, ~new))
    ]


def missed(weight: float, *, effect: float = 0.0, runs: int = 150) -> float:
    """How often the interval left the truth out at any of thirty looks, of log-normal values that are cut off."""
    rng, misses = np.random.default_rng(int(weight * 100)), 0
    cap = float(np.quantile(rng.lognormal(0, 2, 50_000), 0.99))
    for _ in range(runs):
        new = rng.random(30_000) < weight
        values = np.minimum(rng.lognormal(0, 2, 30_000), cap) + effect * new
        found = [difference(arms(values[:t], new[:t], weight)) for t in range(1_000, 30_001, 1_000)]
        misses += any(one is not None and one.smaller >= FEWEST and not one.low <= effect <= one.high for one in found)
    return misses / runs


@pytest.mark.parametrize("weight", [0.05, 0.5])
def test_looking_thirty_times_leaves_the_truth_out_in_less_than_one_run_of_twenty(weight: float) -> None:
    assert missed(weight) <= 0.05
    assert missed(weight, effect=2.0, runs=60) <= 0.05


def test_a_real_difference_is_found() -> None:
    rng = np.random.default_rng(1)
    new = rng.random(40_000) < 0.25
    values = (rng.random(40_000) < np.where(new, 0.10, 0.07)).astype(float)
    found = difference(arms(values, new, 0.25))
    assert found is not None
    assert 0 < found.low < 0.03 < found.high


def test_steps_of_other_weights_add_up() -> None:
    one = Arm(True, 0.05, 100, 50.0, 50.0), Arm(False, 0.05, 1_900, 950.0, 950.0)
    two = Arm(True, 0.5, 1_000, 500.0, 500.0), Arm(False, 0.5, 1_000, 500.0, 500.0)
    found = difference([*one, *two])
    assert found is not None
    assert found.value == pytest.approx(0.0)
    assert (found.n, found.smaller) == (4_000, 1_100)


def test_one_side_alone_is_no_difference_and_a_weight_without_chance_is_refused() -> None:
    assert difference([Arm(True, 0.5, 10, 1.0, 1.0)]) is None
    with pytest.raises(ValueError, match="at random"):
        difference([Arm(True, 1.0, 10, 1.0, 1.0), Arm(False, 1.0, 10, 1.0, 1.0)])
