"""What the live detector takes from a hold-out."""

import numpy as np
import polars as pl
import pytest

from flyball.evaluation.detector import loss_bound
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
