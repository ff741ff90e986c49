"""Drift: silent without a change, whatever the window's size; found with its cause, whatever the column's kind."""

from __future__ import annotations

import math

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import fdtrc, ndtr, ndtri

from flyball.evaluation.reference import bin_frame, reference
from flyball.records.evidence import Bins, InputCounts
from flyball.stats import drift
from flyball.stats.cause import cause
from flyball.stats.cells import pooling
from flyball.stats.contrasts import Cells, contrasts, in_cells

MINUTE = 60_000_000


def mixed(rng, n, *, shift=0.0, spread=1.0, nulls=0.001, unseen=0.0, swapped=False):
    """Columns of every awkward kind; only the first of a kind is changed."""
    codes = rng.choice(20, n, p=np.arange(1, 21) / 210)
    other = (codes + 10) % 20 if swapped else codes
    data = {
        "normal": rng.normal(size=n) * spread + shift,
        "heavy": rng.standard_t(2, size=n),
        "zeros": np.where(rng.random(n) < 0.6, 0.0, rng.lognormal(size=n)),
        "mostly_zero": np.where(rng.random(n) < 0.95, 0.0, rng.lognormal(size=n)),
        "many": [f"v{k}" for k in rng.integers(0, 5000, n)],
        "codes": [f"c{k}" for k in other],
        "with_nulls": [
            None if miss else ("brand-new" if fresh else "ab"[k])
            for miss, fresh, k in zip(rng.random(n) < nulls, rng.random(n) < unseen, rng.integers(0, 2, n), strict=True)
        ],
    }
    return pl.DataFrame(data)


@pytest.fixture(scope="module")
def bins():
    rng = np.random.default_rng(0)
    frame = mixed(rng, 10_000).with_columns(__time=pl.Series(np.arange(10_000) * MINUTE))
    return reference(frame, [column for column in frame.columns if column != "__time"])


def look(bins, frame, **kind):
    counts = bin_frame(bins, frame)
    return drift.hits([test for own, found in zip(bins, counts, strict=True) for test in drift.column_tests(own, found, **kind)])


@pytest.mark.parametrize(("n", "runs"), [(200, 60), (1_000, 60), (20_000, 20)])
def test_nothing_is_said_without_drift(bins, n, runs):
    rng = np.random.default_rng(n)
    alarms = sum(any(test.level != "none" for test in look(bins, mixed(rng, n))) for _ in range(runs))
    # the share of windows with any alarm is at most .005; two of 140 windows would be a surprise at that rate
    assert alarms <= 1


@pytest.mark.parametrize(
    ("change", "column", "test", "level"),
    [
        ({"shift": 0.25}, "normal", "cells", "warn"),
        ({"shift": 0.5}, "normal", "cells", "alert"),
        ({"spread": 1.25}, "normal", "cells", "warn"),
        ({"spread": 1.5}, "normal", "cells", "alert"),
        ({"nulls": 0.03}, "with_nulls", "nulls", "warn"),
        ({"nulls": 0.06}, "with_nulls", "nulls", "alert"),
        ({"unseen": 0.03}, "with_nulls", "unseen", "warn"),
        ({"swapped": True}, "codes", "cells", "alert"),
    ],
)
def test_a_change_is_found_in_a_thousand_rows(bins, change, column, test, level):
    rank = {"none": 0, "warn": 1, "alert": 2}
    rng = np.random.default_rng(7)
    hits = 0
    for _ in range(20):
        found = {(own.column, own.test): own.level for own in look(bins, mixed(rng, 1_000, **change))}
        hits += rank[found[column, test]] >= rank[level]
        others = [key for key, own in found.items() if key[0] != column and own != "none"]
        assert not others
    # two windows in a row find it when nine in ten do (null .1 → 6% needs three at the 90th percentile)
    assert hits >= (10 if change in ({"nulls": 0.03}, {"nulls": 0.06}) else 18)


def test_the_effect_does_not_grow_with_the_window(bins):
    rng = np.random.default_rng(3)
    effects = [look(bins, mixed(rng, n, shift=0.25))[0].effect for n in (2_000, 50_000)]
    assert effects[0] == pytest.approx(effects[1], rel=0.35)


def test_a_daily_cycle_is_no_drift_between_weeks():
    rng = np.random.default_rng(1)
    minutes = np.arange(0, 70 * 1440, 7)
    cycle = np.sin(minutes / 1440 * 2 * np.pi) * 2 + np.sin(minutes / (7 * 1440) * 2 * np.pi)
    frame = pl.DataFrame({"x": cycle + rng.normal(size=minutes.size), "__time": minutes * MINUTE})
    past, week = frame.filter(pl.col("__time") < 63 * 1440 * MINUTE), frame.filter(pl.col("__time") >= 63 * 1440 * MINUTE)
    bins = reference(past, ["x"])
    assert len(bins[0].windows) == 9
    assert all(test.level == "none" for test in look(bins, week))
    assert not drift.fast_enough(bins[0], 1_000), "a thousand rows are less than five days here, so the cycle shows"


def test_a_steady_column_is_hardly_ever_left_out_of_fast_windows():
    rng = np.random.default_rng(11)
    times = np.arange(15_000) * MINUTE // 60
    kinds = [str(kind) for kind in range(5)]
    left_out = 0
    for _ in range(60):
        frame = pl.DataFrame(
            {"x": rng.normal(size=15_000), "kind": rng.choice(kinds, 15_000, p=[0.28, 0.2, 0.21, 0.11, 0.2]), "__time": times}
        )
        left_out += sum(not drift.fast_enough(own) for own in reference(frame, ["x", "kind"]))
    # by the estimate alone it would be about ten of these 120 columns
    assert left_out <= 1


def test_a_steady_column_of_a_thousand_rows_is_hardly_ever_left_out_of_fast_windows():
    # its blocks have 125 rows, and what they differ by is carried over to windows of 1,000
    left_out = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        frame = pl.DataFrame({"x": rng.uniform(0, 400, 1_000), "t": np.arange(1_000) * 50_000})
        left_out += not drift.fast_enough(reference(frame, ["x"], time="t")[0])
    assert left_out <= 6, left_out


def test_day_effects_are_measured_on_the_reference_and_divided_out():
    rng = np.random.default_rng(5)
    level = 0.1 * np.repeat(rng.normal(size=70), 1_000)
    frame = pl.DataFrame({"x": rng.normal(size=70_000) + level, "__time": np.arange(70_000) * 86_400_000})
    bins = reference(frame.head(63_000), ["x"])
    counts = bin_frame(bins, frame.tail(7_000))
    (cells, _nulls) = drift.column_tests(bins[0], counts[0])
    naive = drift.column_tests(msgspec_without_windows(bins[0]), counts[0])[0]
    assert cells.phi > 1.2
    assert cells.p > naive.p


def msgspec_without_windows(bins):
    return Bins(column=bins.column, kind=bins.kind, edges=bins.edges, counts=bins.counts, nulls=bins.nulls, n=bins.n)


@given(st.integers(0, 50), st.integers(50, 500), st.integers(0, 400), st.integers(400, 4000), st.floats(1, 5))
def test_a_p_value_is_a_probability(a, n, b, total, phi):
    assert 0 <= drift.share_p(a, n, b, total, phi) <= 1


@given(st.lists(st.integers(0, 500), min_size=2, max_size=12), st.integers(2, 30))
def test_the_same_shares_have_no_effect_at_any_size(counts, factor):
    window, wide = np.array(counts), np.array(counts) * factor
    assert drift.psi(window, wide) == pytest.approx(0, abs=0.02 if sum(counts) > 500 else 10)
    assert drift.contrast(window, wide).x2 == pytest.approx(0, abs=1e-9)


def test_share_test_agrees_with_the_binomial_tail():
    # given 10 events in all and a window of a tenth of the rows: P(X ≥ 5), doubled
    expected = 2 * sum(_binomial(k, 10, 0.1) for k in range(5, 11))
    assert drift.share_p(5, 100, 5, 900) == pytest.approx(expected, rel=1e-9)


def _binomial(k, n, p):
    return math.comb(n, k) * p**k * (1 - p) ** (n - k)


def test_f_tail_is_the_chi_square_tail_without_overdispersion():
    found = drift.Contrast(x2=18.307, df=10, m=900.0)
    assert drift.cells_p(found, drift.Dispersion(0.0, 8))[0] == pytest.approx(0.05, rel=1e-3)
    spread, _ = drift.cells_p(found, drift.Dispersion(0.001, 8))
    assert spread > 0.05


def test_the_cause_names_the_category_whose_share_moved_most(bins):
    own = next(one for one in bins if one.column == "codes")
    base = np.array(own.counts)
    moved = base.copy()
    moved[own.values.index("c19")] //= 2
    counts = InputCounts(model="m", column="codes", n=int(moved.sum()), nulls=0, cells=tuple(moved.tolist()))
    test = next(one for one in drift.column_tests(own, counts) if one.test == "cells")
    found = cause(own, counts, test)
    assert found.value == "c19"
    assert found.how.startswith("c19 9.")
    assert "→" in found.how


def test_the_cause_names_the_new_value(bins):
    rng = np.random.default_rng(9)
    own = next(one for one in bins if one.column == "with_nulls")
    counts = next(one for one in bin_frame(bins, mixed(rng, 1_000, unseen=0.1)) if one.column == "with_nulls")
    for test in drift.column_tests(own, counts):
        if test.test != "nulls":
            assert cause(own, counts, test).value == "brand-new"


def test_the_cause_says_which_way_numbers_went_and_by_how_much(bins):
    rng = np.random.default_rng(9)
    for shift, word in ((0.5, "higher"), (-0.5, "lower")):
        counts = bin_frame(bins, mixed(rng, 1_000, shift=shift))[0]
        test = drift.column_tests(bins[0], counts)[0]
        assert cause(bins[0], counts, test).how.startswith(f"values are {word}: median")


def test_a_constant_column_that_changes_is_found():
    frame = pl.DataFrame({"x": [1.0] * 5_000, "__time": range(5_000)})
    bins = reference(frame, ["x"])
    found = look(bins, pl.DataFrame({"x": [2.0] * 500}))
    assert found[0].level == "alert"


def test_an_empty_window_has_no_tests(bins):
    assert drift.column_tests(bins[0], InputCounts(model="m", column="normal", n=0, nulls=0, cells=(0,) * len(bins[0].counts))) == ()


def test_few_windows_that_lie_close_together_are_not_taken_for_a_swing_that_is_known():
    found = drift.Contrast(x2=45.0, df=9, m=3_000.0)
    spread = 0.2 / found.m
    plugged = 1 / 1.2
    by_itself = float(fdtrc(1 / (plugged**2 / 9 + (1 - plugged) ** 2), 7 / (1 - plugged) ** 2, 45 / (9 * 1.2)))
    few, many = (drift.cells_p(found, drift.Dispersion(spread, windows))[0] for windows in (8, 2_000))
    assert few > 5 * by_itself
    assert many < few
    # more weeks teach more, and none of them makes a large shift go unseen
    assert drift.cells_p(drift.Contrast(x2=400.0, df=9, m=3_000.0), drift.Dispersion(spread, 8))[0] < 1e-6


def days_of(rng, keeps, days=63, rows=1_440):
    """Counts of ten cells a day, moved by effects of .2 standard deviations of which a day keeps so much of the day before."""
    effects = np.empty(days)
    effects[0] = rng.normal()
    for day in range(1, days):
        effects[day] = keeps * effects[day - 1] + np.sqrt(1 - keeps**2) * rng.normal()
    edges = ndtri(np.arange(1, 10) / 10)
    shares = np.diff(ndtr(edges - 0.2 * effects[:, None]), axis=1, prepend=0.0, append=1.0)
    return np.array([rng.multinomial(rows, share) for share in shares])


def test_days_that_follow_each_other_count_as_fewer_than_days_that_do_not():
    # squares of a series with r = .7 correlate by .49: a third of its days say as much as independent ones
    rng = np.random.default_rng(11)
    weekday = [day % 7 for day in range(63)]
    for keeps, least, most in ((0.7, 10, 32), (0.0, 42, 63)):
        known = [drift.overdispersion(days_of(rng, keeps), weekday).windows for _ in range(60)]
        assert least < np.mean(known) < most, (keeps, np.mean(known))


def test_a_handful_of_weeks_count_as_they_are():
    rng = np.random.default_rng(12)
    assert {drift.overdispersion(days_of(rng, 0.7, days=8)).windows for _ in range(20)} == {8}


@pytest.mark.parametrize("perday", [100, 480])
def test_weeks_that_differ_by_day_effects_are_seldom_called_rare(perday):
    # AR(.7) day effects of .2 standard deviations; by φ itself, p < 10⁻³ comes 30 and 8 times as often as it should
    rng = np.random.default_rng(5)
    edges = ndtri(np.arange(1, 10) / 10)
    rare = 0
    for _ in range(400):
        effects = np.empty(63)
        effects[0] = rng.normal()
        for day in range(1, 63):
            effects[day] = 0.7 * effects[day - 1] + np.sqrt(0.51) * rng.normal()
        shares = np.diff(ndtr(edges - 0.2 * effects[:, None]), axis=1, prepend=0.0, append=1.0)
        weeks = np.array([rng.multinomial(7 * perday, shares[7 * week : 7 * week + 7].mean(axis=0)) for week in range(9)])
        trained, window = weeks[:8], weeks[8]
        rare += drift.cells_p(drift.contrast(window, trained.sum(axis=0)), drift.overdispersion(trained), 56)[0] < 1e-3
    assert rare <= 8, rare


def test_a_share_of_nulls_that_swings_between_weeks_is_held_against_how_little_weeks_teach():
    weeks = tuple((300 + step, 300 - step, 30 + step, 0, 600 + 30 + step) for step in (-9, 6, 12, -3, 0, 9, -12, 3))
    own = Bins(
        column="x",
        kind="numeric",
        edges=(0.0,),
        counts=(sum(week[0] for week in weeks), sum(week[1] for week in weeks)),
        nulls=sum(week[2] for week in weeks),
        n=sum(week[4] for week in weeks),
        windows=weeks,
        days=56,
    )
    window = InputCounts(model="m", column="x", n=630, nulls=130, cells=(250, 250))
    found = next(test for test in drift.column_tests(own, window) if test.test == "nulls")
    assert found.phi > 1
    assert found.p > 10 * drift.share_p(130, 630, own.nulls, own.n, found.phi)


counts_of = st.lists(st.integers(0, 400), min_size=2, max_size=30)


@given(
    st.lists(
        counts_of.flatmap(lambda row: st.tuples(st.just(row), st.lists(st.integers(0, 4_000), min_size=len(row), max_size=len(row)))),
        max_size=6,
    )
)
def test_many_contrasts_at_once_are_each_of_them_alone(pairs):
    windows, references = ([np.array(pair[side]) for pair in pairs] for side in (0, 1))
    found = contrasts(windows, references)
    for place, (window, known) in enumerate(zip(windows, references, strict=True)):
        alone = drift.contrast(window, known)
        assert (found.x2[place], found.df[place], found.m[place]) == pytest.approx(alone, rel=1e-9, abs=1e-9)
        assert found.psi[place] == pytest.approx(drift.psi(window, known), rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("most", [3, 255, 256, 100_000])
def test_windows_are_compared_in_the_cells_of_the_test_whatever_their_counts(most):
    rng = np.random.default_rng(most)
    sides = []
    for cells, merged in ((9, 3), (40, 12), (2, 2)):
        labels = rng.permutation(np.arange(cells) % merged)
        windows = [tuple(rng.integers(0, most + 1, cells).tolist()) for _ in range(4)]
        sides.append(Cells(windows, labels, rng.integers(1, 50_000, merged)))
    summed = [np.bincount(side.labels, weights=window) for side in sides for window in side.windows]
    alone = contrasts(summed, [side.reference for side in sides for _ in side.windows])
    for found, expected in zip(in_cells(sides), alone, strict=True):
        assert found.tolist() == expected.tolist()


def test_what_windows_hit_together_is_what_each_hits_alone(bins):
    rng = np.random.default_rng(5)
    frames = [mixed(rng, 1_000, shift=shift, unseen=unseen) for shift, unseen in ((0, 0), (0.3, 0), (0, 0.2), (0, 0), (1, 0.2))]
    windows = [list(zip(bins, bin_frame(bins, frame), strict=True)) for frame in frames]
    # column by column, as they are judged
    order = [(number, pair) for pairs in zip(*windows, strict=True) for number, pair in enumerate(pairs)]
    tested = drift.Tested.of([pair for _, pair in order], fast=True)
    together = {
        (order[place][0], order[place][1][0].column, drift.TESTS[kind]): level
        for (place, kind), level in tested.hits([number for number, _ in order]).items()
    }
    alone = {
        (number, test.column, test.test): test.level
        for number, pairs in enumerate(windows)
        for test in drift.hits(drift.window_tests(pairs, fast=True))
        if test.level != "none"
    }
    assert together == alone
    assert {number for number, _, _ in alone} == {1, 2, 4}


def test_the_tests_of_a_window_are_those_of_each_column_in_turn(bins):
    rng = np.random.default_rng(21)
    for rows in (250, 1_000, 20_000):
        counts = bin_frame(bins, mixed(rng, rows, shift=0.2, unseen=0.05))
        pairs = list(zip(bins, counts, strict=True))
        for fast in (True, False):
            one_by_one = [test for own, found in pairs for test in drift.column_tests(own, found, fast=fast)]
            for at_once, alone in zip(drift.window_tests(pairs, fast=fast), one_by_one, strict=True):
                assert (at_once.column, at_once.test, at_once.n) == (alone.column, alone.test, alone.n)
                assert (at_once.p, at_once.effect, at_once.phi) == pytest.approx((alone.p, alone.effect, alone.phi), rel=1e-9)


def test_shares_of_many_columns_are_each_of_them_alone():
    rng = np.random.default_rng(4)
    n, total = rng.integers(1, 2_000, 300), rng.integers(1, 90_000, 300)
    # none, all and some of the rows, on either side
    a, b = (np.round(rng.choice([0.0, 1.0, 0.1], 300) * of) for of in (n, total))
    phi = rng.uniform(1, 4, 300)
    found = drift._share_p(a, n, b, total, phi)
    assert found.tolist() == [drift.share_p(*each) for each in zip(a, n, b, total, phi, strict=True)]


@given(n=st.integers(0, 5_000), counts=st.lists(st.integers(0, 50), min_size=1, max_size=40))
def test_cells_are_pooled_by_how_many_rows_a_window_has(n, counts):
    own = Bins(column="c", kind="categorical", counts=tuple(counts), n=sum(counts))
    assert drift.pooled_cells(own, n).tolist() == pooling(np.array(own.counts), n).tolist()
