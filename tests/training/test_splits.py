"""Splits by time."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from flyball.clock import Span
from flyball.training.splits import anchor, choose, refit, smoothed, split

DAY = int(Span.parse("1d"))


def days(count: int, each: int = 4) -> np.ndarray:
    return np.arange(count * each, dtype=np.int64) * (DAY // each)


def span(count: float) -> Span:
    return Span(int(count * DAY))


@given(count=st.integers(1, 200), holdout=st.integers(1, 30), window=st.integers(1, 120), gap=st.floats(0, 5))
def test_parts_are_in_order_of_time_and_the_gap_is_kept(count, holdout, window, gap):
    times = days(count)
    end = int(times[-1]) + 1
    cut = split(times, end, span(holdout), span(window), span(gap))
    assert 0 <= cut.start <= cut.inner <= cut.valid <= cut.stop <= cut.holdout <= cut.end == len(times)
    if cut.stop and cut.holdout < len(times):
        assert times[cut.stop - 1] < end - holdout * DAY - span(gap)
        assert times[cut.holdout] >= end - holdout * DAY
    if cut.start < cut.inner and cut.valid < cut.stop:
        assert times[cut.inner - 1] < times[cut.valid] - span(gap), "what validates is as far from what it judges as the hold-out is"
    if cut.start < cut.stop:
        assert times[cut.start] >= end - holdout * DAY - span(gap) - window * DAY


def test_a_refit_uses_the_hold_out_and_is_as_long_as_the_window():
    times = days(100)
    cut = refit(times, int(times[-1]) + 1, span(7), span(28), span(1))
    assert (cut.stop, cut.holdout, cut.end) == (400, 400, 400)
    assert cut.stop - cut.start == 28 * 4
    assert cut.valid == 400 - 23
    assert cut.inner == cut.valid - 4


def test_the_hold_out_ends_where_labels_are_known():
    times = days(10)
    assert anchor(times, 20 * DAY, Span(0)) == int(times[-1]) + 1
    assert anchor(times, 5 * DAY, Span(0)) == 5 * DAY + 1
    assert anchor(times, 5 * DAY, span(1)) == 4 * DAY + 1
    assert anchor(times[:0], 5 * DAY, Span(0)) == 5 * DAY


def test_the_largest_smoothed_score_wins_and_of_equals_the_longer():
    assert smoothed(None, 0.8) == 0.8
    assert smoothed(1.0, 0.8) == 1.5
    assert choose({span(28): 1.0, span(60): 1.0, span(120): 0.9}) == span(60)
