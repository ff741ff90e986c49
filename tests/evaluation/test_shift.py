"""A candidate's answers beside the champion's, on rows with known answers."""

import numpy as np
import pytest

from flyball.evaluation.answers import Answers
from flyball.evaluation.shift import output_shift


def binary(score):
    score = np.asarray(score, dtype=np.float64)
    return Answers("binary", np.zeros(score.size), (score >= 0.5).astype(np.float64), score)


def numbers(value):
    return Answers("regression", np.zeros(len(value)), np.asarray(value, dtype=np.float64))


def test_equal_answers_have_not_shifted():
    score = np.random.default_rng(0).random(5_000)

    found = output_shift(binary(score), binary(score))
    assert (found.of, found.psi, found.changed.value) == ("score", 0.0, 0.0)
    assert output_shift(numbers(score), numbers(score)).distance.value == 0.0


def test_scores_that_moved_are_measured_and_so_are_the_classes_that_changed():
    score = np.random.default_rng(1).random(10_000)

    found = output_shift(binary(np.minimum(1, score + 0.1)), binary(score))
    assert found.changed.low < 0.1 < found.changed.high
    assert 0.05 < found.psi < 1.0
    assert output_shift(binary(np.minimum(1, score + 0.2)), binary(score)).psi > found.psi


def test_rows_may_change_their_class_while_the_distribution_stays():
    value = np.tile([0.0, 1.0], 500)
    found = output_shift(Answers("binary", value, value), Answers("binary", value, 1 - value))

    assert (found.of, found.psi, found.changed.value) == ("class", 0.0, 1.0)


def test_numbers_are_compared_by_their_distribution_and_row_by_row():
    value = np.random.default_rng(2).normal(100, 10, 10_000)

    found = output_shift(numbers(value + 5), numbers(value))
    assert (found.of, found.difference.value, found.distance.value) == ("value", pytest.approx(5), pytest.approx(5))
    assert found.psi == pytest.approx(0.25, abs=0.06)  # (5/10)², that of two normals half a spread apart
    assert output_shift(numbers(value - 5), numbers(value)).difference.value == pytest.approx(-5)


def test_a_champion_that_always_says_the_same_has_a_cell_of_its_own():
    found = output_shift(numbers(np.r_[np.ones(500), np.full(500, 9.0)]), numbers(np.ones(1_000)))

    assert found.psi > 1.0
    assert output_shift(numbers(np.ones(1_000)), numbers(np.ones(1_000))).psi == 0.0


def test_rows_of_one_entity_count_as_one_in_the_interval():
    value = np.repeat(np.arange(20) < 5, 100).astype(np.float64)
    of = np.repeat(np.arange(20), 100)
    alone = output_shift(Answers("binary", value, value), Answers("binary", value, np.zeros(2_000)))
    together = output_shift(Answers("binary", value, value, groups=of), Answers("binary", value, np.zeros(2_000), groups=of))

    assert together.changed.value == alone.changed.value == 0.25
    assert together.changed.high - together.changed.low > 5 * (alone.changed.high - alone.changed.low)
