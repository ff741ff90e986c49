"""How long the detector takes is simulated, and comes to what the table of docs/statistics.md §3 says."""

import math

import numpy as np
import pytest

from flyball.stats.power import errors, labels_to_find, levels, risen


@pytest.mark.parametrize(
    ("bound", "after", "median", "ninth"), [(0.10, 0.15, 478, 853), (0.11, 0.15, 802, 1_484), (0.10, 0.12, 2_019, 4_014)]
)
def test_the_simulated_delays_are_those_of_the_table(bound: float, after: float, median: float, ninth: float) -> None:
    found = labels_to_find(errors(0.1), errors(after), bound=bound, threshold=1e5)
    assert found == pytest.approx((median, ninth), rel=0.2)


def test_what_lies_below_the_bound_is_never_found() -> None:
    assert labels_to_find(errors(0.1), errors(0.13), bound=0.14, threshold=1e4) == (math.inf, math.inf)


def test_a_larger_rise_is_found_sooner_and_the_seed_decides() -> None:
    small, large = (labels_to_find(errors(0.1), errors(share), bound=0.11, threshold=1e4)[0] for share in (0.2, 0.4))
    assert large < small < math.inf
    again = labels_to_find(errors(0.1), errors(0.2), bound=0.11, threshold=1e4)
    assert again[0] == small


def test_losses_rise_by_what_is_asked_and_keep_their_mean_as_levels() -> None:
    losses = np.random.default_rng(0).beta(1, 9, 5_000)
    kept = levels(losses)
    assert kept.mean == pytest.approx(float(losses.mean()))
    assert kept.shares.sum() == pytest.approx(1)
    assert risen(kept, 0.02).mean == pytest.approx(kept.mean + 0.02)
    assert risen(errors(0.1), 0.02).mean == pytest.approx(0.12)
    found = labels_to_find(kept, risen(kept, 0.05), bound=kept.mean + 0.005, threshold=1e4)
    assert 0 < found[0] <= found[1] < math.inf


def test_a_bound_outside_its_range_is_refused() -> None:
    with pytest.raises(ValueError, match="m₀ must lie in"):
        labels_to_find(errors(0.1), errors(0.2), bound=0.0, threshold=1e4)
