"""The fixed-sample tests of gates keep their level, and see what they promise to see."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flyball.stats import calibration, clusters, delong, intervals, multiplicity, paired, regression

Z = intervals.Z_ONE_SIDED


def test_tango_reproduces_the_worked_number():
    assert round(paired.tango(60, 50, 2000, 0.01), 4) == 0.9471


@given(st.integers(0, 200), st.integers(0, 200))
def test_tango_without_margin_is_mcnemar(new_wrong, old_wrong):
    expected = (old_wrong - new_wrong) / math.sqrt(new_wrong + old_wrong) if new_wrong + old_wrong else 0

    assert paired.tango(new_wrong, old_wrong, 1_000, 0) == pytest.approx(expected)


@given(st.integers(0, 300), st.integers(0, 300), st.floats(-0.3, 0.3), st.floats(0.001, 0.2))
def test_a_wider_margin_is_easier(new_wrong, old_wrong, delta, more):
    assert paired.tango(new_wrong, old_wrong, 1_000, delta + more) >= paired.tango(new_wrong, old_wrong, 1_000, delta) - 1e-9


@given(st.integers(0, 100), st.integers(0, 100))
def test_the_interval_of_a_difference_holds_it_and_mirrors(new_wrong, old_wrong):
    low, high = paired.difference_interval(new_wrong, old_wrong, 500)
    mirrored = paired.difference_interval(old_wrong, new_wrong, 500)

    assert low - 1e-6 <= (old_wrong - new_wrong) / 500 <= high + 1e-6
    assert (low, high) == pytest.approx((-mirrored.high, -mirrored.low), abs=1e-6)


@pytest.mark.parametrize("bad", [(-1, 0, 10, 0.1), (6, 6, 10, 0.1), (0, 0, 0, 0.1), (1, 1, 10, 1.0)])
def test_tango_refuses_the_impossible(bad):
    with pytest.raises(ValueError, match=r"impossible|margin"):
        paired.tango(*bad)


@pytest.mark.parametrize(("n", "psi", "delta"), [(300, 0.1, 0.02), (1_000, 0.04, 0.01), (2_000, 0.2, 0.02)])
def test_tango_keeps_its_level_where_wald_does_not(n, psi, delta):
    random = np.random.default_rng(0)
    # new alone wrong more often by exactly the margin
    draws = random.multinomial(n, [(psi + delta) / 2, (psi - delta) / 2, 1 - psi], size=6_000)

    level = np.mean([paired.tango(b, c, n, delta) >= Z for b, c, _ in draws])

    # .04–.051 with three standard errors of 6,000 runs
    assert 0.030 <= level <= 0.060


def test_the_smallest_margin_passes_an_equal_version_four_times_in_five():
    random, n, psi = np.random.default_rng(1), 2_000, 0.1
    delta = paired.smallest_margin(psi, n)
    draws = random.multinomial(n, [psi / 2, psi / 2, 1 - psi], size=2_000)

    assert np.mean([paired.tango(b, c, n, delta) >= Z for b, c, _ in draws]) == pytest.approx(0.8, abs=0.04)
    assert paired.smallest_margin(psi, 0) == math.inf
    assert paired.smallest_margin_of_mean(0.01) == pytest.approx(0.02487)


def brute_auc(y, score):
    up, down = score[y], score[~y]
    return float(np.mean((up[:, None] > down[None, :]) + 0.5 * (up[:, None] == down[None, :])))


@given(st.integers(0, 2**32 - 1))
def test_auc_is_the_share_of_pairs_in_order_with_ties_at_half(seed):
    random = np.random.default_rng(seed)
    y = np.concatenate([[True, False], random.random(40) < 0.4])
    score = random.integers(0, 6, 42).astype(float)

    assert delong.auc(y, score).value == pytest.approx(brute_auc(y, score))
    assert delong.influence(y, score).mean() == pytest.approx(brute_auc(y, score))


def test_auc_against_itself_has_no_difference_and_no_error():
    random = np.random.default_rng(0)
    y, score = random.random(200) < 0.5, random.random(200)
    same = delong.paired(y, score, score)

    assert same.value == 0
    assert same.se == 0


def test_auc_needs_both_classes_and_finite_scores():
    with pytest.raises(ValueError, match="both classes"):
        delong.auc(np.array([True, True]), np.array([0.1, 0.2]))
    with pytest.raises(ValueError, match="NaN"):
        delong.auc(np.array([True, False]), np.array([0.1, math.nan]))
    assert delong.auc(np.array([True, False]), np.array([0.2, 0.1])).se == math.inf


def test_delong_keeps_its_level_from_thirty_of_each_class():
    random, delta, shown, runs = np.random.default_rng(2), 0.05, 0, 2_000
    y = np.arange(60) < 30
    # normal scores: AUC = Φ(shift/√2); the new one's is lower by exactly the margin
    old_shift, new_shift = math.sqrt(2) * 1.0364, math.sqrt(2) * 0.8416
    for _ in range(runs):
        common = random.normal(size=60)
        old = common * 0.7 + random.normal(size=60) * math.sqrt(0.51) + y * old_shift
        new = common * 0.7 + random.normal(size=60) * math.sqrt(0.51) + y * new_shift
        found = delong.paired(y, new, old)
        shown += (found.value + delta) / found.se >= Z

    # .050–.057 with three standard errors of 2,000 runs
    assert 0.035 <= shown / runs <= 0.075


def test_paired_losses_keep_their_level_with_a_ratio_margin():
    random, shown, runs = np.random.default_rng(3), 0, 2_000
    for _ in range(runs):
        hard = random.exponential(size=300)
        old = hard * random.exponential(size=300)
        new = 1.05 * hard * random.exponential(size=300)
        shown += regression.paired_losses(new, old, times=1.05).p_below <= 0.05

    # .035–.06 with three standard errors
    assert 0.02 <= shown / runs <= 0.077


def test_paired_losses_without_spread_are_certain():
    ones = np.ones(10)

    assert regression.paired_losses(ones, ones).t == 0
    assert regression.paired_losses(ones, 2 * ones).p_below == 0
    assert regression.paired_losses(2 * ones, ones).p_below == 1
    assert regression.paired_losses(ones[:1], ones[:1]).p_below == 0.5


def test_rows_that_repeat_an_entity_are_not_more_evidence():
    random = np.random.default_rng(4)
    once = random.normal(size=50)
    repeated, groups = np.repeat(once, 20), np.repeat(np.arange(50), 20)

    assert clusters.mean(repeated, groups).se == pytest.approx(clusters.mean(once).se, rel=1e-9)
    assert clusters.mean(repeated).se < clusters.mean(once).se / 4
    assert clusters.mean(repeated, groups).df == 49
    with pytest.raises(ValueError, match="no rows"):
        clusters.mean(np.empty(0))


def mean_interval(values):
    return intervals.t_interval(float(values.mean()), float(values.std(ddof=1)) / math.sqrt(values.size), values.size - 1)


def test_intervals_cover_what_they_should():
    random = np.random.default_rng(5)
    hits = [intervals.wilson(int(k), 50) for k in random.binomial(50, 0.1, size=2_000)]
    assert np.mean([low <= 0.1 <= high for low, high in hits]) == pytest.approx(0.95, abs=0.025)
    means = [mean_interval(random.normal(size=8)) for _ in range(2_000)]
    assert np.mean([low <= 0 <= high for low, high in means]) == pytest.approx(0.95, abs=0.02)


def test_no_errors_and_nothing_but_errors_have_an_exact_end():
    for n in (1, 3, 7, 1_000):
        assert intervals.wilson(0, n).low == 0
        assert intervals.wilson(n, n).high == 1


def test_intervals_of_next_to_nothing_say_so():
    assert intervals.wilson(0, 0) == (0, 1)
    assert math.isnan(intervals.bootstrap(np.empty((0, 1)), lambda sums: sums[:, 0]).low)
    with pytest.raises(ValueError, match="impossible"):
        intervals.wilson(3, 2)


def test_a_bootstrap_repeats_with_its_seed_and_agrees_with_t_on_a_mean():
    random = np.random.default_rng(6)
    rows = np.column_stack([random.normal(size=5_000), np.ones(5_000)])

    first = intervals.bootstrap(rows, lambda sums: sums[:, 0] / sums[:, 1], seed=7)
    assert first == intervals.bootstrap(rows, lambda sums: sums[:, 0] / sums[:, 1], seed=7)
    assert first == pytest.approx(mean_interval(rows[:, 0]), abs=0.006)


def test_scores_that_mean_what_they_say_have_little_calibration_error():
    random = np.random.default_rng(8)
    score = random.random(20_000)
    y = (random.random(20_000) < score).astype(float)

    assert calibration.reliability(y, score).error < 0.02
    assert calibration.reliability(y, score**2).error > 0.1
    assert calibration.reliability(y, score).rows.sum() == 20_000
    assert len(calibration.reliability(y, score).rows) == 10
    with pytest.raises(ValueError, match="no rows"):
        calibration.reliability(y[:0], score[:0])


p_values = st.lists(st.floats(0, 1), min_size=1, max_size=30)


@given(p_values)
def test_corrections_are_ordered(p):
    holm, bh = multiplicity.holm(p), multiplicity.benjamini_hochberg(p)

    assert (np.asarray(p) <= bh + 1e-12).all()
    assert (bh <= holm + 1e-12).all()
    assert (holm <= np.minimum(1, np.asarray(p) * len(p)) + 1e-12).all()


def test_corrections_of_nothing_are_nothing():
    assert multiplicity.holm([]).size == 0
    assert multiplicity.benjamini_hochberg([]).size == 0
    assert multiplicity.e_benjamini_hochberg([]).size == 0


def test_e_bh_flags_the_k_largest_that_clear_their_bar():
    # K = 4, α = .05: bars 80, 40, 26.7, 20
    assert multiplicity.e_benjamini_hochberg(np.log([30.0, 90.0, 45.0, 1.0])).tolist() == [True, True, True, False]
    assert multiplicity.e_benjamini_hochberg(np.log([30.0, 30.0, 1.0, 1.0])).tolist() == [False] * 4
