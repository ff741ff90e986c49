"""Percentiles of a few calls have honest intervals, and the slow part is named."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flyball.evaluation import path
from flyball.records.path import PathSeen


def seen(*, views=0.1, transforms=0.2, model=0.7, alone=None, calls=200) -> PathSeen:
    parts = {"views": (views,) * calls, "transforms": (transforms,) * calls, "model": (model,) * calls}
    whole = tuple(views + transforms + model + 0.01 * call for call in range(calls))
    return PathSeen(whole=whole, parts=parts, alone=alone or {}, memory=200_000_000)


def test_a_percentile_is_one_of_the_calls_and_lies_in_its_interval():
    found = path.percentile(list(range(1, 201)), 0.95)
    assert (found.value, found.n) == (190, 200)
    assert found.low < 190 < found.high
    assert path.percentile([7.0], 0.99).value == 7.0


def test_too_few_calls_leave_an_end_open():
    found = path.percentile([1.0, 2.0, 3.0], 0.99)
    assert (found.value, found.high) == (3.0, None)


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=300), st.sampled_from([0.5, 0.95, 0.99]))
@settings(max_examples=60, deadline=None)
def test_ends_are_in_order(values, q):
    found = path.percentile(values, q)
    assert min(values) <= found.value <= max(values)
    assert found.low is None or found.low <= found.value
    assert found.high is None or found.high >= found.value


def test_the_interval_of_the_median_holds_it_nineteen_times_in_twenty():
    rng = np.random.default_rng(0)
    held = 0
    for _ in range(400):
        found = path.percentile(rng.exponential(size=100).tolist(), 0.5)
        held += found.low <= np.log(2) <= found.high
    assert held / 400 >= 0.93


@pytest.mark.parametrize(
    ("given_", "slowest"),
    [
        (seen(), "model"),
        (seen(views=9.0), "views"),
        (seen(transforms=9.0, alone={"quick": 0.1, "slow": 8.0}), "transform slow"),
        (seen(transforms=9.0), "transforms"),
        (seen(alone={"quick": 0.1}), "model"),
    ],
)
def test_the_slow_part_is_named_and_within_the_transforms_the_slow_one(given_, slowest):
    assert path.summary(given_).slowest == slowest
    why = path.estimates(given_)["latency_p99"].why
    assert why.startswith(f"the slowest part is {slowest}, ")
    assert f"{max(given_.parts[name][0] for name in given_.parts):.3g} ms of it" in why


def test_every_metric_of_the_path_is_given_in_its_unit():
    found = path.estimates(seen(calls=50))
    assert set(found) == {"latency_p50", "latency_p95", "latency_p99", "memory"}
    assert found["memory"].value == 200_000_000
    assert found["latency_p50"].value < found["latency_p95"].value <= found["latency_p99"].value


def test_seconds_are_told_without_an_exponent():
    seen = PathSeen(whole=(2007.0,) * 40, parts={"transforms": (2000.3,) * 40, "model": (6.0,) * 40}, alone={"lookup": 2000.3}, memory=1)
    assert path.estimates(seen)["latency_p99"].why == "the slowest part is transform lookup, 2,000 ms of it"
