"""The answer without a model."""

import polars as pl
import pytest

from flyball.errors import BadInput
from flyball.evaluation import baselines


def test_classes_get_the_majority_and_its_chance():
    found = baselines.fit("binary", pl.Series([1, 0, 1, 1, None]))
    answered = found.predict(2)

    assert found.kind == "majority"
    assert answered.value.to_list() == [1, 1]
    assert answered.score.to_list() == [0.75, 0.75]
    assert baselines.fit("multiclass", pl.Series(["b", "a", "b"])).predict(1).value.to_list() == ["b"]
    assert baselines.fit("multiclass", pl.Series(["b", "a", "b"])).predict(1).score is None


def test_a_tie_goes_to_the_smaller_class_every_time():
    assert baselines.fit("binary", pl.Series([1, 0])).constant == 0


def test_numbers_get_the_constant_with_the_smaller_absolute_error():
    found = baselines.fit("regression", pl.Series([1.0, 1.0, 1.0, 10.0]))

    assert found.kind == "median"
    assert found.predict(1).value.to_list() == [1.0]


def test_a_series_that_moves_slowly_is_best_answered_by_its_last_value():
    y = pl.Series([float(i // 5) for i in range(100)])
    found = baselines.fit("forecast", y, y.shift(1))

    assert found.kind == "persistence"
    assert found.predict(3, pl.Series([4.0, None, 6.0])).value.to_list() == [4.0, found.constant, 6.0]
    assert found.predict(2).value.to_list() == [found.constant] * 2


def test_persistence_of_a_class_has_the_chance_after_that_class():
    y = pl.Series([0, 0, 0, 0, 1, 1, 1, 1] * 20)
    found = baselines.fit("binary", y, y.shift(1))
    answered = found.predict(3, pl.Series([0, 1, None]))

    assert found.kind == "persistence"
    assert answered.value.to_list() == [0, 1, 0]
    assert answered.score.to_list() == pytest.approx([0.25, 0.75, 0.5], abs=0.01)


def test_a_last_value_that_says_nothing_is_not_used():
    y = pl.Series([0, 1, 1] * 30)

    assert baselines.fit("binary", y, y.shift(1)).kind == "majority"
    assert baselines.fit("binary", y, pl.Series([None] * 90, dtype=pl.Int64)).kind == "majority"


def test_booleans_stay_booleans():
    answered = baselines.fit("binary", pl.Series([True, True, False])).predict(1)

    assert answered.value.to_list() == [True]
    assert answered.score.to_list() == pytest.approx([2 / 3])


def test_no_label_is_a_clear_refusal():
    with pytest.raises(BadInput, match="no training row with a label"):
        baselines.fit("binary", pl.Series([None, None], dtype=pl.Int64))
