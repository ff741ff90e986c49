"""Rows that are made up to try transforms on hold the contract that they stand for."""

from __future__ import annotations

import pytest

import flyball as fb
from flyball.data.contract import violations
from flyball.loop.sample import made_up


@pytest.mark.parametrize(
    ("kind", "between"), [(int, (0, 1e19)), (int, (-1e300, 1e300)), (float, (-1.7e308, 1.7e308)), (float, (0.25, 0.5))]
)
def test_made_up_rows_hold_a_range_however_wide(kind, between) -> None:
    data = fb.Dataset("d", source="d.csv", time="at", columns={"x": fb.column(kind, between=between, nulls="90%")})
    assert violations(data, made_up(data)) == ()
