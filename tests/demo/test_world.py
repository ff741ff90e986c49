"""The demo's world: seeded, and wrong in the two ways the story tells of."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from flyball.demo.world import BECOMES, RECODED, Climate, applications

CALM, TURNED = Climate(), Climate(economy=1.0, recoded=True)


def people(climate, *, count=4_000, seed=1):
    return applications(np.random.default_rng(seed), count, climate)


def default_rate(chosen):
    return sum(one.defaults for one in chosen) / len(chosen)


@given(seed=st.integers(0, 2**32), count=st.integers(0, 50), economy=st.floats(0, 1), partner=st.floats(0, 1))
def test_equal_seeds_give_equal_people_within_the_contract(seed, count, economy, partner):
    climate = Climate(economy=economy, recoded=True, partner=partner)
    first, again = people(climate, count=count, seed=seed), people(climate, count=count, seed=seed)
    assert first == again
    for one in first:
        assert 500 <= one.row["amount"] <= 100_000
        assert one.row["income"] is None or 0 < one.row["income"] <= 2_000_000
        assert 0 < one.row["debt"] <= 5_000_000
        assert -5 <= one.row["base_rate"] <= 25


def test_customers_are_numbered_on():
    assert [one.customer for one in applications(np.random.default_rng(1), 2, CALM, first=7)] == ["c0000007", "c0000008"]


def test_the_upstream_job_renames_one_category_and_no_other():
    before, after = (Climate(), Climate(recoded=True))
    for one, other in zip(people(before), people(after), strict=True):
        assert other.row["purpose"] == (BECOMES if one.row["purpose"] == RECODED else one.row["purpose"])
        assert {**one.row, "purpose": ""} == {**other.row, "purpose": ""}


def test_when_the_economy_turns_those_with_debts_default_most():
    calm, turned = people(CALM), people(TURNED)
    assert default_rate(turned) > default_rate(calm) + 0.1
    indebted = default_rate([one for one in turned if one.row["purpose"] == BECOMES])
    others = default_rate([one for one in turned if one.row["purpose"] != BECOMES])
    assert indebted > others + 0.4


def test_only_the_partner_does_not_ask_for_the_income():
    assert all(one.row["income"] is not None for one in people(TURNED))
    asked = people(Climate(partner=0.2))
    assert 0.15 < sum(one.row["income"] is None for one in asked) / len(asked) < 0.25
