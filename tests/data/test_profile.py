"""Statistics of any values can be recorded."""

from __future__ import annotations

import math

import polars as pl
import pytest

from flyball.data.commit import commit
from flyball.data.profile import profile
from flyball.declare.data import Dataset
from flyball.ledger.canonical import read_body, write_body
from flyball.records.data import DataCommitted

LARGEST = 1.7e308


def of(values, type_):
    made = Dataset("d", source="d.csv", columns={"x": type_})
    return profile(made, pl.DataFrame({"x": values}))[0]


@pytest.mark.parametrize("values", [[LARGEST] * 600, [-LARGEST] * 600, [LARGEST, -LARGEST, None] * 200, [5e-324] * 3])
def test_the_mean_of_numbers_too_large_to_add_up_is_finite(values):
    found = of(values, float)
    there = [value for value in values if value is not None]
    assert math.isclose(found.mean, sum(value / len(there) for value in there), rel_tol=1e-9, abs_tol=1e-300)
    assert found.low - 1e300 <= found.mean <= found.high + 1e300


@pytest.mark.parametrize(
    ("values", "type_"),
    [
        ([-(2**63), 2**63 - 1], int),
        ([2**53, 2**53 + 1], int),
        ([LARGEST, LARGEST], float),
        ([5e-324, -LARGEST], float),
        (["\u0436\n" * 100_000, ""], str),
    ],
)
def test_the_extremes_of_a_type_are_committed_by_an_event_that_can_be_recorded_and_read(blobs, values, type_):
    made = Dataset("d", source="d.csv", columns={"x": type_})
    event = DataCommitted(version=commit(made, pl.DataFrame({"x": values}), blobs, None, "m"))
    assert read_body(1, write_body(1, "loop", "c", event)).event == event
