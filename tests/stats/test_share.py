"""Bad events in the canary: found fast when there are more, never by looking often."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flyball.stats import share
from flyball.stats.share import Bad

weights = st.sampled_from([0.01, 0.05, 0.25, 0.5])
few = st.integers(0, 300)


def test_the_worked_numbers_are_reproduced():
    assert round(share.log_e([Bad(6, 9, 0.05)]), 4) == 5.9135
    assert round(share.log_e([Bad(2, 30, 0.05), Bad(20, 40, 0.25)]), 4) == -2.0439
    assert round(share.log_e([Bad(0, 20_000, 0.05)]), 2) == -125.85


def test_no_step_is_no_evidence():
    assert share.log_e([]) == 0
    assert share.log_e_cleared([]) == 0


def test_a_canary_without_errors_never_rolls_back():
    assert share.log_e([Bad(0, 11_000, 0.05)]) <= 0


@given(canary=few, stable=few, weight=weights, excess=st.sampled_from([0.25, 0.5]))
def test_at_the_allowed_excess_the_next_bad_event_adds_nothing_on_average(canary, stable, weight, excess):
    odds = weight * (1 + excess) / (1 - weight)
    before = [Bad(2, 3, 0.05)]

    now = share.log_e([*before, Bad(canary, stable, weight)], excess=excess)
    on_canary = share.log_e([*before, Bad(canary + 1, stable, weight)], excess=excess)
    on_stable = share.log_e([*before, Bad(canary, stable + 1, weight)], excess=excess)

    mean = (odds * math.exp(on_canary - now) + math.exp(on_stable - now)) / (1 + odds)
    assert mean == pytest.approx(1, rel=1e-9)


@given(canary=few, stable=few, weight=weights)
def test_at_twice_the_rate_clearing_gains_nothing_on_average(canary, stable, weight):
    odds = 2 * weight / (1 - weight)
    now = share.log_e_cleared([Bad(canary, stable, weight)])
    mean = (
        odds * math.exp(share.log_e_cleared([Bad(canary + 1, stable, weight)]) - now)
        + math.exp(share.log_e_cleared([Bad(canary, stable + 1, weight)]) - now)
    ) / (1 + odds)

    assert mean == pytest.approx(1, rel=1e-9)


def test_evidence_carries_over_to_the_next_weight():
    apart = share.log_e([Bad(8, 40, 0.05)]), share.log_e([Bad(30, 40, 0.25)])

    assert share.log_e([Bad(8, 40, 0.05), Bad(30, 40, 0.25)]) > max(apart)


@pytest.mark.parametrize("step", [Bad(1, 1, 0.0), Bad(1, 1, 1.0), Bad(-1, 1, 0.5)])
def test_a_step_that_compares_nothing_is_refused(step):
    with pytest.raises(ValueError, match=r"weight|negative"):
        share.log_e([step])


def requests_until_found(ratio, *, runs, most, weight=0.05, rate=0.005, seed=0):
    """Canary requests until E ≥ 1,000 (infinite: not found within `most`), one run each."""
    random = np.random.default_rng(seed)
    out = []
    for _ in range(runs):
        canary_at = np.flatnonzero(random.random(most) < rate * ratio)
        stable_at = random.random(round(most * (1 - weight) / weight)) < rate
        # each canary request comes with (1 − w)/w stable ones
        stable_before = np.concatenate([[0], np.cumsum(stable_at)])
        found = math.inf
        for place, when in enumerate(canary_at):
            stable = stable_before[round(when * (1 - weight) / weight)]
            if share.log_e([Bad(place + 1, float(stable), weight)]) >= math.log(1_000):
                found = when + 1
                break
        out.append(found)
    return np.array(out)


# evidence grows only when the canary fails, so looking there is looking always
@pytest.mark.parametrize(("ratio", "median", "p90"), [(20, 57, 111), (5, 590, 1_104), (3, 2_105, 3_880)])
def test_more_errors_are_found_in_the_stated_number_of_requests(ratio, median, p90):
    found = requests_until_found(ratio, runs=120, most=12_000)

    assert np.median(found) == pytest.approx(median, rel=0.3)
    assert np.quantile(found, 0.9, method="lower") == pytest.approx(p90, rel=0.35)


@pytest.mark.parametrize("ratio", [1.0, 1.25])
def test_no_excess_is_not_found(ratio):
    assert np.isinf(requests_until_found(ratio, runs=120, most=10_000, seed=1)).mean() >= 0.98


@pytest.mark.parametrize(("weight", "events"), [(0.05, 270), (0.25, 90), (0.5, 85)])
def test_equal_rates_are_cleared_in_about_the_stated_number_of_bad_events(weight, events):
    random = np.random.default_rng(0)
    took = []
    for _ in range(60):
        on_canary = np.cumsum(random.random(2_000) < weight)
        took.append(
            next(
                n for n in range(5, 2_000, 5) if share.log_e_cleared([Bad(on_canary[n - 1], n - on_canary[n - 1], weight)]) >= math.log(20)
            )
        )

    assert np.median(took) == pytest.approx(events, rel=0.35)


def test_carrying_evidence_over_finds_what_restarting_at_each_step_misses():
    """Twice the errors in 60,000 requests over 5, 25 and 50%: found in 39% when carried over, in 19% with restarts."""
    random = np.random.default_rng(2)
    carried, restarted, runs = 0, 0, 150
    for _ in range(runs):
        steps, hits = [], [False, False]
        for weight in (0.05, 0.25, 0.5):
            canary = stable = 0
            for n in [1_000] * 20:
                units = random.binomial(n, weight)
                canary, stable = canary + random.binomial(units, 0.01), stable + random.binomial(n - units, 0.005)
                hits[0] |= share.log_e([*steps, Bad(canary, stable, weight)]) >= math.log(1_000)
                hits[1] |= share.log_e([Bad(canary, stable, weight)]) >= math.log(1_000)
            steps.append(Bad(canary, stable, weight))
        carried, restarted = carried + hits[0], restarted + hits[1]

    assert carried / runs == pytest.approx(0.39, abs=0.12)
    assert carried >= 1.7 * restarted


def test_keys_that_always_fail_do_not_roll_back_an_equal_version_when_each_counts_once():
    random, keys, rolled_back = np.random.default_rng(3), 5_000, 0
    chances = 1 / np.arange(1, keys + 1)
    for _ in range(60):
        failing, canary = random.random(keys) < 0.01, random.random(keys) < 0.05
        seen = random.choice(keys, size=20_000, p=chances / chances.sum())
        first = np.sort(np.unique(seen[failing[seen]], return_index=True)[1])
        on_canary = np.cumsum(canary[seen[failing[seen]][first]])
        rolled_back += any(share.log_e([Bad(float(a), float(n + 1 - a), 0.05)]) >= math.log(400) for n, a in enumerate(on_canary))

    assert rolled_back == 0
