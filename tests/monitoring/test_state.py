"""What monitors keep: sums that do not depend on how time was cut, in bounded space."""

from __future__ import annotations

import itertools

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.monitoring.conftest import DAY, HOUR, MINUTE, START, inputs, labels, quality, rows, traffic

from flyball.monitoring import detector as detectors
from flyball.monitoring import windows
from flyball.monitoring.slabs import extend, latency_ms, slabs_of, within
from flyball.monitoring.state import MonitorState, absorb, attempted, released
from flyball.records.evidence import Batch, LabelBlock


@given(st.lists(st.tuples(st.integers(0, 20 * 1440), st.integers(1, 50)), min_size=1, max_size=60))
def test_a_span_of_quality_is_the_sum_of_its_minutes(marks):
    slabs = ()
    for minute, n in sorted(marks):
        slabs = extend(slabs, slabs_of([quality(n, 0, START + minute * MINUTE)], []), START + minute * MINUTE)
    newest = START + max(minute for minute, _ in marks) * MINUTE
    total = within(slabs, START - DAY, newest)
    assert sum(part.labelled for part in total.quality) == sum(n for _, n in marks)
    assert all(left.end <= right.start for left, right in itertools.pairwise(slabs))


def test_a_year_of_minutes_stays_small():
    slabs = ()
    for hour in range(0, 365 * 24, 6):
        at = START + hour * HOUR
        slabs = extend(slabs, slabs_of([quality(1, 0, at), quality(1, 0, at, name="day=1")], []), at)
    assert len(slabs) < 120 + 72 + 110
    assert within(slabs, at - 90 * DAY, at).quality[0].labelled in range(360, 366)


def test_late_counts_join_the_slab_that_covers_their_minute():
    slabs = extend((), slabs_of([quality(5, 0, START)], []), START)
    slabs = extend(slabs, slabs_of([quality(5, 0, START + 30 * HOUR)], []), START + 30 * HOUR)
    slabs = extend(slabs, slabs_of([quality(7, 1, START + 20 * MINUTE)], []), START + 30 * HOUR)
    assert [slab.quality[0].labelled for slab in slabs] == [12, 5]


def test_latency_quantiles_come_from_the_histogram():
    cells = {int(8 * np.log2(1000)): 990, int(8 * np.log2(50_000)): 10}
    assert latency_ms(cells, 0.5) == pytest.approx(1.0, rel=0.1)
    assert latency_ms(cells, 0.995) == pytest.approx(50.0, rel=0.1)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=60), st.integers(0, 60), st.floats(0.05, 0.9), st.floats(0.001, 20))
def test_labels_give_the_same_detector_however_they_are_cut(losses, cut, bound, days):
    def fed(*parts):
        found = detectors.Detector(days=days)
        for part in parts:
            found = detectors.take(found, part, bound=bound, per_day=1.0, at=START)
        return found

    whole, parts = fed(losses), fed(losses[:cut], losses[cut:])
    assert whole.alarmed_at == parts.alarmed_at
    assert whole.state == pytest.approx(parts.state, abs=1e-9)
    assert (whole.since_n, whole.since_loss) == pytest.approx((parts.since_n, parts.since_loss))


def test_an_alarm_within_a_batch_is_not_lost_when_the_batch_ends_well():
    losses = [1.0] * 30 + [0.0] * 100
    found = detectors.take(detectors.Detector(days=90), losses, bound=0.1, per_day=10.0, at=START)
    assert found.alarmed_at == START
    assert found.log_m >= found.log_a
    assert 0 < found.since_n < 130


def test_what_asks_for_a_training_asks_only_while_the_loss_is_high():
    def follow(found, *losses):
        for part in losses:
            found = detectors.follow(found, part, bound=0.1, per_day=10.0, at=START)
        return found

    risen = follow(detectors.Detector(days=90), [1.0] * 30)
    assert risen.alarmed_at == START
    assert risen.log_m >= risen.log_a
    whole = follow(risen, [0.0] * 300)
    assert whole.alarmed_at == 0, "the loss has come down again: there is nothing to train for"
    parts = follow(risen, [0.0] * 100, [], [0.0] * 200)
    assert parts.state == pytest.approx(whole.state, abs=1e-9)
    assert follow(whole, [1.0] * 30).alarmed_at == START


def test_a_loss_that_was_high_for_days_and_came_down_asks_for_no_training_a_day_later():
    rng = np.random.default_rng(0)
    found = detectors.Detector(days=90)
    for day in range(6):
        losses = (rng.random(1_000) < (0.3 if day < 5 else 0.08)).astype(float)
        found = detectors.follow(found, losses.tolist(), bound=0.12, per_day=1_000.0, at=START + day * DAY)
        assert bool(found.alarmed_at) is (day < 5)


def test_the_state_survives_json(bins):
    rng = np.random.default_rng(1)
    state = released(MonitorState(model="m"), "1.0.0", 0.2, START)
    state = absorb(state, inputs(bins, rows(rng, 1500), START + HOUR), bins)
    state = absorb(state, labels(rng.random(300) < 0.1, START + 2 * HOUR), bins)
    state = absorb(state, traffic(100, 1, START + 2 * HOUR, latency={80: 100}), bins)
    assert msgspec.json.decode(msgspec.json.encode(state), type=MonitorState) == state


def test_other_models_shadows_and_other_versions_do_not_count(bins):
    state = released(MonitorState(model="m"), "1.0.0", 0.2, START)
    foreign = Batch(until=START + HOUR, quality=(quality(9, 9, START, model="other"), quality(9, 9, START, role="shadow")))
    state = absorb(state, foreign, bins)
    state = absorb(state, labels([1] * 50, START + HOUR, version="0.9.0"), bins)
    assert state.labels == 0
    assert within(state.slabs, START - DAY, START + DAY).quality[0].labelled == 50


def test_a_small_week_is_joined_with_the_next(bins):
    rng = np.random.default_rng(2)
    state = released(MonitorState(model="m"), "1.0.0", 0.2, START)
    for day in range(1, 15):
        state = absorb(state, inputs(bins, rows(rng, 20), START + day * DAY), bins)
        if day == 7:
            assert not state.trails, "140 rows are too few"
    assert {trail.n for trail in state.trails if trail.test == "nulls"} == {280}


def test_a_thousand_rows_close_a_fast_window(bins):
    rng = np.random.default_rng(3)
    state = released(MonitorState(model="m"), "1.0.0", 0.2, START)
    state = absorb(state, inputs(bins, rows(rng, 999), START + MINUTE), bins)
    assert not state.trails
    state = absorb(state, inputs(bins, rows(rng, 1), START + 2 * MINUTE), bins)
    assert {trail.pace for trail in state.trails} == {"fast"}
    assert state.fast is None


def test_a_release_starts_windows_and_detectors_anew_but_keeps_the_counts(bins):
    rng = np.random.default_rng(4)
    state = released(MonitorState(model="m"), "1.0.0", 0.2, START)
    state = absorb(state, inputs(bins, rows(rng, 1500), START + HOUR), bins)
    state = absorb(state, labels([1] * 100, START + 2 * HOUR), bins)
    after = released(state, "1.1.0", 0.3, START + 3 * HOUR)
    assert (after.trails, after.slow, after.fast, after.labels, after.m0) == ((), windows.Series(), None, 0, 0.3)
    assert after.slabs == state.slabs


def test_an_attempt_ends_the_retraining_alarm(bins):
    rng = np.random.default_rng(5)
    state = released(MonitorState(model="m"), "1.0.0", 0.1, START)
    state = absorb(state, labels(rng.random(2000) < 0.4, START + DAY), bins)
    state = absorb(state, labels(rng.random(2000) < 0.4, START + 2 * DAY), bins)
    assert state.retrain.alarmed_at == START + DAY, "it stands since then"
    assert attempted(state).retrain.alarmed_at == 0


def test_a_page_ends_with_a_measured_recovery(bins):
    rng = np.random.default_rng(6)
    state = released(MonitorState(model="m"), "1.0.0", 0.1, START)
    state = absorb(state, labels(rng.random(3000) < 0.4, START + DAY), bins)
    assert state.page.alarmed_at
    state = released(state, "1.1.0", 0.15, START + 2 * DAY)
    assert state.page.alarmed_at, "a release is no recovery"
    state = absorb(state, labels(rng.random(100) < 0.1, START + 3 * DAY, version="1.1.0"), bins)
    assert state.page.alarmed_at, "a hundred labels are too few"
    state = absorb(state, labels(rng.random(150) < 0.1, START + 4 * DAY, version="1.1.0"), bins)
    assert not state.page.alarmed_at


@pytest.mark.parametrize(
    ("before", "hits", "effects", "after"),
    [
        ("none", ("warn",), (0.03,), "none"),
        ("none", ("warn", "warn"), (0.03, 0.03), "warn"),
        ("none", ("alert", "none", "alert"), (0.2, 0.0, 0.2), "alert"),
        ("none", ("alert", "warn"), (0.2, 0.05), "warn"),
        ("none", ("alert", "alert", "none"), (0.2, 0.2, 0.01), "none"),
        ("warn", ("warn", "none", "none"), (0.03, 0.0, 0.0), "warn"),
        ("warn", ("none", "none", "none"), (0.013, 0.01, 0.0), "none"),
        ("warn", ("none", "none", "none"), (0.015, 0.01, 0.0), "warn"),
        ("alert", ("none", "none", "none"), (0.0, 0.0, 0.0), "none"),
        ("alert", ("warn", "warn", "warn"), (0.05, 0.05, 0.05), "warn"),
        ("alert", ("warn", "warn"), (0.05, 0.05), "alert"),
        ("warn", ("alert", "alert"), (0.2, 0.2), "alert"),
    ],
)
def test_verdicts_are_entered_on_two_of_three_and_left_after_three(before, hits, effects, after):
    assert windows.verdict(before, "cells", hits, effects) == after


def test_what_swings_wakes_nobody_and_is_trained_upon_all_the_same():
    calm = released(MonitorState(model="m"), "1.0.0", 0.1, START)
    swinging = released(MonitorState(model="m"), "1.0.0", 0.1, START, page_m0=0.15, swing=20.0)
    losses = [1.0 if place % 5 == 0 else 0.0 for place in range(600)]
    seen = [
        absorb(
            state, Batch(until=START + DAY, blocks=(LabelBlock(model="m", version="1.0.0", until=START + DAY, losses=tuple(losses)),)), ()
        )
        for state in (calm, swinging)
    ]

    assert calm.wakes_at == 0.1
    assert [bool(state.page.alarmed_at) for state in seen] == [True, False]
    assert [bool(state.retrain.alarmed_at) for state in seen] == [True, True]
