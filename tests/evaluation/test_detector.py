"""What the live detector takes from a hold-out."""

import numpy as np
import polars as pl
import pytest

from flyball.evaluation.detector import loss_bound, page_bound
from flyball.stats.intervals import wilson_bound


def test_the_bound_of_an_error_is_wilsons():
    frame = pl.DataFrame({"y": [1] * 100, "value": [1] * 90 + [0] * 10})

    assert loss_bound("binary", frame) == (pytest.approx(wilson_bound(10, 100, "upper")), 1.0)


def test_the_bound_of_a_number_lies_above_its_mean_clipped_loss(numbers):
    frame = numbers(2_000, 5)
    bound, cap = loss_bound("forecast", frame)
    mean = np.minimum(np.abs(frame["value"] - frame["y"]) / cap, 1).mean()

    assert cap == pytest.approx(np.quantile(np.abs(frame["value"] - frame["y"]), 0.999), rel=0.1)
    assert mean < bound < 1.1 * mean


def test_the_bound_is_above_the_true_error_in_nineteen_of_twenty_gates():
    random = np.random.default_rng(0)
    wrong = random.binomial(500, 0.1, size=400)
    bounds = [loss_bound("binary", pl.DataFrame({"y": [1] * 500, "value": [0] * int(k) + [1] * (500 - int(k))}))[0] for k in wrong]

    assert np.mean(np.array(bounds) >= 0.1) >= 0.91


@pytest.mark.parametrize("task", ["binary", "regression"])
def test_without_rows_the_detector_cannot_alarm(task):
    empty = pl.DataFrame({"y": [None], "value": [None]}, schema={"y": pl.Float64, "value": pl.Float64})

    assert loss_bound(task, empty) == (1.0, 1.0)


def test_a_perfect_hold_out_of_numbers_has_a_bound_that_can_be_used():
    assert loss_bound("regression", pl.DataFrame({"y": [1.0, 2.0], "value": [1.0, 2.0]})) == (1.0, 1.0)


def held(days: float) -> pl.DataFrame:
    """A week of 500 rows a day, 20% of them wrong, and days that differ by so much."""
    random = np.random.default_rng(3)
    times = np.sort(random.integers(0, 7 * 86_400_000_000, size=3_500))
    share = 0.2 + days * np.array([1, -1, 1, -1, 1, -1, 0])[times // 86_400_000_000]
    return pl.DataFrame({"__time": times, "y": 1, "value": (random.uniform(size=3_500) >= share).astype(int)})


def test_days_that_differ_widen_the_bound_of_pages_and_thin_their_evidence():
    plain, swinging = ((loss_bound("binary", frame), frame) for frame in (held(0.0), held(0.05)))
    (alike, few), (apart, many) = (page_bound("binary", frame, bound=bound, cap=cap) for (bound, cap), frame in (plain, swinging))

    assert few < 3 < many
    mean = 1 - swinging[1]["value"].mean()
    assert apart - mean == pytest.approx((swinging[0][0] - mean) * many**0.5)
    assert alike >= plain[0][0]


def test_without_a_time_pages_have_the_bound_of_the_hold_out():
    frame = held(0.05).drop("__time")

    assert page_bound("binary", frame, bound=0.22, cap=1.0) == (0.22, 1.0)
    assert page_bound("binary", held(0.05).clear(), bound=1.0, cap=1.0) == (1.0, 1.0)
