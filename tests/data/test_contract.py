"""A contract names every rule that does not hold, with counts and examples."""

from __future__ import annotations

from datetime import datetime, timedelta

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flyball.data.contract import violations, warnings
from flyball.declare.columns import Column
from flyball.declare.data import Dataset
from flyball.errors import DeclarationError

START = datetime(2026, 1, 1)


def dataset(columns, **changes):
    return Dataset("d", source="d.csv", columns=columns, **changes)


def hours(count):
    return [START + timedelta(hours=place) for place in range(count)]


def test_a_frame_that_holds_says_nothing():
    made = dataset({"x": Column(float, between=(0, 1)), "k": Column(str, one_of=("a",))}, min_rows=2, unique=["x"])
    assert violations(made, pl.DataFrame({"x": [0.0, 1.0], "k": ["a", "a"]})) == ()


def test_values_out_of_bounds_are_counted_and_shown():
    made = dataset({"x": Column(float, between=(0, 1))})
    assert violations(made, pl.DataFrame({"x": [0.5, 2.0, -1.0, 2.0, 3.0, 4.0]})) == (
        "x: 5 of 6 values are not between 0 and 1 (2.0, -1.0, 3.0)",
    )


def test_values_that_are_not_among_the_allowed_are_counted_and_shown():
    made = dataset({"k": Column(str, one_of=("a", "b"), nulls="50%")})
    assert violations(made, pl.DataFrame({"k": ["a", "c", None, "d"]})) == ("k: 2 of 4 values are not one of a, b (c, d)",)


def test_missing_values_are_a_share():
    made = dataset({"x": Column(float, nulls="25%")})
    assert violations(made, pl.DataFrame({"x": [1.0, None, 1.0, 1.0]})) == ()
    assert violations(made, pl.DataFrame({"x": [1.0, None, None, 1.0]})) == ("x: 2 of 4 values are missing, at most 25% may be",)


def test_a_value_that_is_not_due_yet_is_not_missing():
    made = dataset({"y": Column(float, known_after="2h")}, time="at")
    rows = pl.DataFrame({"y": [1.0, 1.0, 1.0, None, None], "at": hours(5)})
    assert violations(made, rows) == ()
    assert violations(made, rows.with_columns(y=pl.Series([1.0, None, 1.0, None, None]))) == (
        "y: 1 of 3 values are missing, at most 0% may be",
    )


def test_too_few_rows_rows_without_time_and_repeated_keys_are_said_at_once():
    made = dataset({"k": str}, time="at", min_rows=1_000, unique=["k"])
    rows = pl.DataFrame({"k": ["a", "a", "b"], "at": [START, None, START]})
    assert violations(made, rows) == (
        "3 rows, at least 1,000 are required",
        "at: 1 of 3 rows have no time",
        "k: must be unique, 1 of 3 rows repeat another",
    )


def test_a_key_of_two_columns_is_unique_as_a_pair():
    made = dataset({"a": int, "b": int}, unique=["a", "b"])
    assert violations(made, pl.DataFrame({"a": [1, 1], "b": [1, 2]})) == ()
    assert len(violations(made, pl.DataFrame({"a": [1, 1], "b": [2, 2]}))) == 1


def test_a_column_that_only_warns_does_not_block():
    made = dataset({"x": Column(float, between=(0, 1), on_breach="warn"), "z": Column(float, between=(0, 1))})
    rows = pl.DataFrame({"x": [7.0], "z": [8.0]})
    assert violations(made, rows) == ("z: 1 of 1 values are not between 0 and 1 (8.0)",)
    assert warnings(made, rows) == ("x: 1 of 1 values are not between 0 and 1 (7.0)",)


@settings(max_examples=100, deadline=None)
@given(values=st.lists(st.none() | st.integers(-3, 3).map(float), min_size=1, max_size=30), low=st.integers(-3, 3), width=st.integers(0, 3))
def test_bounds_find_exactly_the_values_outside(values, low, width):
    made = dataset({"x": Column(float, between=(low, low + width), nulls="100%")})
    outside = sum(value is not None and not low <= value <= low + width for value in values)
    found = violations(made, pl.DataFrame({"x": values}, schema={"x": pl.Float64}))
    assert (f"x: {outside} of {len(values)} values" in "".join(found)) == (outside > 0)


@pytest.mark.parametrize("empty", [[], [None]])
def test_no_values_are_within_any_bounds(empty):
    made = dataset({"x": Column(float, between=(0, 1), nulls="100%")})
    assert violations(made, pl.DataFrame({"x": empty}, schema={"x": pl.Float64})) == ()


def test_a_column_that_is_empty_throughout_misses_all_its_values():
    made = dataset({"late": Column(bool, nulls=0)})
    assert violations(made, pl.DataFrame({"late": [None] * 2_767}, schema={"late": pl.Boolean})) == (
        "late: 2,767 of 2,767 values are missing, at most 0% may be",
    )


def test_an_allowed_value_that_no_column_can_hold_is_held_by_none():
    made = dataset({"k": Column(int, one_of=(1, 2**70))})
    assert violations(made, pl.DataFrame({"k": [1]})) == ()
    assert violations(made, pl.DataFrame({"k": [2**63 - 1]})) == (f"k: 1 of 1 values are not one of 1, {2**70} ({2**63 - 1})",)


def test_a_value_that_is_known_after_all_times_is_never_due():
    longest = "104249d"
    made = dataset({"y": Column(float, known_after=longest)}, time="at")
    ends = pl.Series([2**53 - 2, 2**53 - 1]).cast(pl.Datetime("us"))
    assert violations(made, pl.DataFrame({"y": [None, None], "at": ends}, schema_overrides={"y": pl.Float64})) == ()
    with pytest.raises(DeclarationError, match=f"at most {longest}"):
        Column(float, known_after="104250d")


def test_values_are_shown_on_one_line():
    made = dataset({"k": Column(str, one_of=("a",))})
    assert violations(made, pl.DataFrame({"k": ["b\n" * 50]})) == ("k: 1 of 1 values are not one of a (" + (r"b\n" * 20)[:40] + "…)",)
