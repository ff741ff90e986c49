"""Reliability tables and threshold curves, against counts by hand."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flyball.errors import BadInput
from flyball.evaluation.answers import Answers
from flyball.evaluation.thresholds import calibration, thresholds


def answers(y, score):
    score = np.asarray(score, dtype=np.float64)
    return Answers("binary", np.asarray(y, dtype=np.float64), (score >= 0.5).astype(np.float64), score)


def test_scores_that_mean_what_they_say_lie_on_the_diagonal():
    random = np.random.default_rng(0)
    score = random.random(20_000)
    found = calibration(answers(random.random(20_000) < score, score))

    assert len(found.bins) == 10
    assert all(each.n == 2_000 for each in found.bins)
    assert sum(each.positive.low <= each.score <= each.positive.high for each in found.bins) >= 9
    assert found.error.value < 0.02


def test_scores_that_promise_too_much_are_off_by_what_they_promise():
    random = np.random.default_rng(1)
    score = random.random(20_000)
    found = calibration(answers(random.random(20_000) < score / 2, score))

    assert found.error.value == pytest.approx(0.25, abs=0.02)
    assert found.bins[-1].positive.value == pytest.approx(found.bins[-1].score / 2, abs=0.04)


def test_a_curve_says_what_each_threshold_would_do():
    found = {
        each.at: each for each in thresholds(answers([0, 1, 0, 1], [0.1, 0.35, 0.35, 0.9]), {"false_positive": 1.0, "false_negative": 10.0})
    }

    assert len(found) == 21
    assert (found[0.0].positive_rate, found[0.0].recall, found[0.0].precision, found[0.0].false_positive_rate) == (1.0, 1.0, 0.5, 1.0)
    assert found[0.35].positive_rate == 0.75, "a score of exactly the threshold is called"
    assert (found[0.4].precision, found[0.4].recall, found[0.4].cost) == (1.0, 0.5, 2_500.0)
    assert found[0.35].cost == 250.0
    assert (found[1.0].precision, found[1.0].recall) == (None, 0.0)


def test_without_costs_there_is_no_price_and_without_scores_no_curve():
    assert thresholds(answers([0, 1], [0.1, 0.9]), {})[3].cost is None
    for make in (calibration, lambda found: thresholds(found, {})):
        with pytest.raises(BadInput, match="no scores"):
            make(Answers("binary", np.array([0.0, 1.0]), np.array([0.0, 1.0])))


@given(st.lists(st.tuples(st.booleans(), st.floats(0, 1)), min_size=1, max_size=60))
def test_a_higher_threshold_never_calls_or_finds_more(rows):
    found = thresholds(answers([y for y, _ in rows], [score for _, score in rows]), {})

    assert all(one.positive_rate >= other.positive_rate for one, other in itertools.pairwise(found))
    recalls = [each.recall for each in found if each.recall is not None]
    assert recalls == sorted(recalls, reverse=True)
    for each in found:
        called = sum(score >= each.at - 1e-12 for _, score in rows)
        assert each.positive_rate == pytest.approx(called / len(rows))
