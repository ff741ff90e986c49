"""Paired quality: evidence that holds whenever one looks."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flyball.stats import betting
from flyball.stats.logspace import log_mean_exp

counts = st.integers(0, 3_000)
margins = st.floats(0, 0.2)


def test_the_worked_number_is_reproduced():
    found = betting.evidence(60, 2880, 60, 0.01)

    assert round(found.promote, 4) == 2.1755
    assert round(found.roll_back, 4) == -1.6088


def test_no_rows_are_no_evidence():
    assert betting.evidence(0, 0, 0, 0.01) == (0.0, 0.0)


def test_a_million_rows_do_not_overflow():
    found = betting.evidence(500_000, 0, 1_500_000, 0.01)

    assert math.isfinite(found.promote)
    assert found.promote > 1_000
    assert math.isfinite(found.roll_back)


@given(minus=counts, zero=counts, plus=counts, delta=margins, share=st.floats(0.001, 0.3))
def test_at_the_margin_the_next_row_adds_nothing_on_average(minus, zero, plus, delta, share):
    """At a mean of D of exactly −δ both E are martingales: that is what bounds the chance of a false decision."""
    worse, better = share + delta, share
    same = 1 - worse - better

    now = betting.evidence(minus, zero, plus, delta)
    after = [
        (worse, betting.evidence(minus + 1, zero, plus, delta)),
        (same, betting.evidence(minus, zero + 1, plus, delta)),
        (better, betting.evidence(minus, zero, plus + 1, delta)),
    ]

    assert sum(chance * math.exp(found.promote - now.promote) for chance, found in after) == pytest.approx(1, rel=1e-9)
    assert sum(chance * math.exp(found.roll_back - now.roll_back) for chance, found in after) == pytest.approx(1, rel=1e-9)


@given(minus=counts, zero=counts, plus=counts, delta=margins)
def test_swapping_the_versions_swaps_the_questions(minus, zero, plus, delta):
    assert betting.evidence(minus, zero, plus, delta).roll_back == pytest.approx(
        betting.evidence(plus, zero, minus, -delta).promote, abs=1e-6
    )


@given(st.lists(st.floats(-1, 1), min_size=1, max_size=60), margins)
def test_fractions_of_a_row_never_claim_more_than_the_exact_bet(differences, delta):
    parts = np.array([betting.split(difference) for difference in differences]).sum(axis=0)
    centre = (1 - delta) / 2
    stakes = np.outer(betting.GRID / centre, (np.array(differences) + 1) / 2 - centre)
    against = np.outer(-betting.GRID / (1 - centre), (np.array(differences) + 1) / 2 - centre)

    found = betting.evidence(*parts, delta)

    assert found.promote <= log_mean_exp(np.log1p(stakes).sum(axis=1)) + 1e-9
    assert found.roll_back <= log_mean_exp(np.log1p(against).sum(axis=1)) + 1e-9


def test_labels_to_promote_follow_the_rule_of_thumb():
    assert betting.labels_to_promote(0.04, 0.01) == (3_200, 6_800)


@pytest.mark.parametrize(("counts", "delta"), [((-1, 0, 0), 0.01), ((0, 0, 0), 1.0), ((0, 0, 0), -1.0)])
def test_impossible_input_is_refused(counts, delta):
    with pytest.raises(ValueError, match=r"margin|negative"):
        betting.evidence(*counts, delta)


def test_a_target_without_margin_cannot_be_planned():
    with pytest.raises(ValueError, match="margin"):
        betting.labels_to_promote(0.04, 0)


def rollouts(difference, *, runs, most, psi=0.04, delta=0.01, seed=0):
    """Runs of one rollout looked at every 100 rows: how many were promoted, rolled back, and the labels they took."""
    random = np.random.default_rng(seed)
    worse, better = (psi - difference) / 2, (psi + difference) / 2
    promoted, rolled_back, labels = 0, 0, []
    for _ in range(runs):
        looks = np.cumsum(random.multinomial(100, [worse, 1 - psi, better], size=most // 100), axis=0)
        for place, (minus, zero, plus) in enumerate(looks):
            found = betting.evidence(minus, zero, plus, delta)
            if found.promote >= math.log(20) or found.roll_back >= math.log(100):
                promoted += found.promote >= math.log(20)
                rolled_back += found.roll_back >= math.log(100)
                labels.append(100 * (place + 1))
                break
    return promoted / runs, rolled_back / runs, float(np.median(labels)) if labels else math.inf


# 2,000 runs a cell in the full table; here fewer, and bounds wider by about three binomial standard errors
def test_an_equal_version_is_promoted_in_about_3300_labels():
    promoted, rolled_back, median = rollouts(0.0, runs=300, most=60_000)

    assert promoted >= 0.99
    assert rolled_back <= 0.01
    assert 2_800 <= median <= 3_900


def test_a_version_at_the_margin_is_promoted_in_less_than_a_twentieth_however_often_one_looks():
    promoted, rolled_back, _ = rollouts(-0.01, runs=300, most=60_000, seed=1)

    assert promoted <= 0.05 + 0.03
    assert rolled_back <= 0.01 + 0.02


def test_two_points_worse_is_rolled_back_in_about_4400_labels():
    promoted, rolled_back, median = rollouts(-0.02, runs=300, most=60_000, seed=2)

    assert promoted <= 0.01
    assert rolled_back >= 0.99
    assert 3_800 <= median <= 5_100


def test_three_points_worse_is_rolled_back_in_about_1100_labels():
    promoted, rolled_back, median = rollouts(-0.03, runs=300, most=20_000, seed=3)

    assert promoted == 0
    assert rolled_back == 1
    assert 900 <= median <= 1_400
