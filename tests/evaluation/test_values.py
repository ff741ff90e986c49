"""Columns as a few values."""

import datetime as dt

import numpy as np
import polars as pl

from flyball.declare.checks import metric
from flyball.evaluation.gates import judge
from flyball.evaluation.holdout import Holdout
from flyball.evaluation.slices import by_slice
from flyball.evaluation.values import FEW, MOST, OTHERS, few_values, text_of


def named(column: pl.Series) -> list[str]:
    found = few_values(column)
    assert found is not None
    return [found.names[code] for code in found.codes.tolist()]


def test_text_booleans_and_few_numbers_keep_their_values_and_nulls_are_one():
    assert named(pl.Series(["a", None, "b", "a"])) == ["a", "null", "b", "a"]
    assert named(pl.Series([True, None, False])) == ["true", "null", "false"]
    assert named(pl.Series([2, None, 1])) == ["2", "null", "1"]
    assert named(pl.Series([2.5, 1.0, float("nan")])) == ["2.5", "1.0", "nan"]
    assert named(pl.Series(["a", "b"], dtype=pl.Enum(["b", "a"]))) == ["a", "b"]


def test_rare_texts_are_one_value_and_none_where_all_are_rare():
    rare = ["common"] * 500 + [f"seen once {place}" for place in range(200)]

    found = few_values(pl.Series(rare))
    assert found is not None
    assert found.names == ("common", OTHERS)
    assert np.bincount(found.codes).tolist() == [500, 200]
    assert few_values(pl.Series([f"id {place}" for place in range(500)])) is None


def test_of_many_texts_the_most_frequent_are_kept():
    found = few_values(pl.Series([f"t{place % (MOST + 20):03}" for place in range(MOST + 20)]))

    assert found is not None
    assert len(found.names) == MOST + 1


def test_numbers_fall_into_bins_of_equal_mass_that_say_their_ends():
    column = pl.Series([*range(1, 101), None])

    found = few_values(column)
    assert found is not None
    assert found.names[:2] == ("≤ 10", "(10, 20]")
    assert found.names[-2:] == ("> 90", "null")
    assert np.bincount(found.codes).tolist() == [10] * 10 + [1]


def test_a_value_that_is_most_of_a_column_is_a_bin_of_its_own():
    found = few_values(pl.Series(np.r_[np.zeros(900), np.arange(1.0, 101.0)]))

    assert found is not None
    assert np.bincount(found.codes).tolist() == [900, 100]
    assert found.names == ("≤ 0", "> 0")


def test_times_and_lists_and_empty_columns_have_no_values():
    assert few_values(pl.Series([dt.datetime(2026, 1, 1)] * (FEW + 1))) is None
    assert few_values(pl.Series([[1], [2]])) is None
    assert few_values(pl.Series([], dtype=pl.String)) is None


def test_values_are_written_as_people_write_them():
    assert [text_of(each) for each in (None, True, 3, 2.50, "x")] == ["null", "true", "3", "2.5", "x"]


def test_a_value_has_one_name_in_gates_reports_and_live_counts():
    frame = pl.DataFrame({"y": [0, 1] * 100, "value": [0, 1] * 100, "rate": [2.0, 1234567.25] * 100})
    wanted = ["rate=2.0", "rate=1234567.25"]

    judged = judge([metric("accuracy").by("rate") >= 0.5], Holdout(frame, "binary"))
    assert [each.slice for each in judged] == wanted
    assert list(by_slice("binary", frame, ["rate"])) == wanted
    assert frame.select(pl.format("rate={}", "rate")).to_series().unique(maintain_order=True).to_list() == wanted
