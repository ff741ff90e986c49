"""What is promised of the detector is what the detector itself does, label by label."""

from __future__ import annotations

import math

import numpy as np
import polars as pl
import pytest

from flyball.evaluation.detection import POINTS, detections
from flyball.evaluation.holdout import Holdout
from flyball.stats.betting import GRID
from flyball.stats.edetector import START, feed


def holdout(error: float, rows: int = 2_000) -> Holdout:
    y = np.zeros(rows, dtype=int)
    wrong = np.arange(rows) < round(error * rows)
    return Holdout(pl.DataFrame({"y": y, "value": np.where(wrong, 1, 0)}), "binary", classes=(0, 1))


@pytest.mark.parametrize(("error", "bound", "threshold"), [(0.1, 0.112, 100_000), (0.25, 0.27, 20_000), (0.04, 0.05, 365_000)])
def test_the_labels_that_are_promised_are_those_that_the_detector_takes(error: float, bound: float, threshold: float) -> None:
    found = {one.points: one.labels[0] for one in detections(holdout(error), bound=bound, cap=1.0, threshold=threshold)}
    assert list(found) == list(POINTS)
    random = np.random.default_rng(4)
    for points in POINTS[1:]:
        took = []
        for _ in range(60):
            before = (random.random(round(threshold / 10)) < error).astype(float)
            state, _ = feed(START, before, bound, math.log(threshold))
            after = (random.random(round(4 * found[points])) < error + points).astype(float)
            _, alarms = feed(state, after, bound, math.log(threshold))
            took.append(alarms[0] + 1 if alarms else len(after))
        assert found[points] == pytest.approx(np.median(took), rel=0.25)


def test_log_m_grows_by_its_drift_and_what_came_before_takes_off_the_rest() -> None:
    """log A / E[log L] is what it would take from nothing, at the best bet: never less than what is promised, by half at most."""
    error, bound, threshold = 0.1, 0.112, 100_000
    for one in detections(holdout(error), bound=bound, cap=1.0, threshold=threshold)[1:]:
        p = error + one.points
        growth = max(p * math.log1p(bet * (1 - bound)) + (1 - p) * math.log1p(-bet * bound) for bet in GRID / bound)
        assert 0.45 < one.labels[0] / (math.log(threshold) / growth) < 1.1


def test_what_the_bound_allows_is_never_found_and_what_there_is_no_room_for_is_not_asked() -> None:
    unsure = detections(holdout(0.1), bound=0.13, cap=1.0, threshold=10_000)
    assert unsure[0].labels == (math.inf, math.inf)
    assert math.isfinite(unsure[1].labels[0])
    assert [one.points for one in detections(holdout(0.93), bound=0.94, cap=1.0, threshold=10_000)] == [0.02, 0.05]
    assert detections(holdout(0.1), bound=0.0, cap=1.0, threshold=10_000) == ()
