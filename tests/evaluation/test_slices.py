"""Slices: the same numbers as measuring each part alone, from one group-by a column."""

import polars as pl
import pytest

from flyball.errors import BadInput
from flyball.evaluation import slices
from flyball.evaluation.metrics import measure
from flyball.evaluation.slices import MOST_VALUES, by_slice


def test_a_slice_is_its_rows_measured_alone(binary):
    frame = binary(600, 0.8, day=[1, 2, 3] * 200, sex=["f", "m"] * 300)
    names = ["accuracy", "precision", "recall", "positive_rate", "log_loss", "roc_auc"]

    found = by_slice("binary", frame, ["day", "sex"], names)

    assert list(found) == ["day=1", "day=2", "day=3", "sex=f", "sex=m"]
    for key, part in (("day=2", frame.filter(day=2)), ("sex=m", frame.filter(sex="m"))):
        alone = measure("binary", part, names)
        for name in names:
            assert (found[key][name].value, found[key][name].low, found[key][name].n) == pytest.approx(
                (alone[name].value, alone[name].low, alone[name].n),
            )


def test_numbers_and_many_classes_have_slices_too(numbers):
    frame = numbers(200, 5, shift=[True, False] * 100)
    found = by_slice("forecast", frame, ["shift"])
    assert found["shift=true"]["mae"].value == pytest.approx(measure("forecast", frame.filter("shift"), ["mae"])["mae"].value)

    classes = pl.DataFrame({"y": ["a", "b", "c"], "value": ["a", "b", "b"], "g": [1, 1, 2]})
    assert by_slice("multiclass", classes, ["g"])["g=1"]["accuracy"].value == 1


def test_nulls_are_a_slice_and_unlabelled_rows_are_in_none():
    frame = pl.DataFrame({"y": [1, 0, None], "value": [1, 1, 1], "score": [0.5] * 3, "g": ["x", None, "z"]})
    found = by_slice("binary", frame, ["g"], ["accuracy"])

    assert {key: each["accuracy"].n for key, each in found.items()} == {"g=x": 1, "g=null": 1}


def test_a_column_of_many_values_keeps_the_most_frequent():
    n = 3 * MOST_VALUES
    frame = pl.DataFrame({"y": [1] * n, "value": [1] * n, "g": [*range(2 * MOST_VALUES), *([7] * MOST_VALUES)]})
    found = by_slice("binary", frame, ["g"])

    assert len(found) == MOST_VALUES
    assert found["g=7"]["accuracy"].n == MOST_VALUES + 1


def test_a_slice_that_is_not_there_is_refused(binary):
    with pytest.raises(BadInput, match='no slice "dya"'):
        by_slice("binary", binary(10, 0.8), ["dya"])


def test_no_rows_have_no_slices(binary):
    assert by_slice("binary", binary(10, 0.8, g=[1] * 10).clear(), ["g"]) == {}


def test_values_that_are_left_out_are_not_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    measured: list[int] = []
    measure_one = slices.estimate
    monkeypatch.setattr(slices, "estimate", lambda name, part: measured.append(part.n) or measure_one(name, part))
    rows = 3 * MOST_VALUES
    frame = pl.DataFrame({"y": [place % 2 for place in range(rows)], "value": [0] * rows, "score": [0.5] * rows}).with_columns(
        who=pl.Series([place // 2 for place in range(rows)]), area=pl.Series([None if place < 4 else place for place in range(rows)])
    )
    found = by_slice("binary", frame, ["area"], ["accuracy"], group="who")
    assert len(found) == MOST_VALUES
    assert len(measured) == MOST_VALUES
    assert found["area=null"]["accuracy"].n == 4
