"""The sequential detector of a risen loss: fast after a change, rarely wrong before it."""

import math

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flyball.stats import edetector
from flyball.stats.betting import log_growth
from flyball.stats.intervals import wilson_bound


def losses(errors: int, rows: int) -> list[float]:
    return [1.0] * errors + [0.0] * (rows - errors)


def test_the_worked_numbers_are_reproduced():
    state, means = edetector.START, []
    for errors in (10, 16, 18):
        state, log_m = edetector.update(state, losses(errors, 100), 0.1)
        means.append(math.exp(log_m))

    assert [round(means[0], 3), round(means[1], 2), round(means[2], 2)] == [31.536, 297.84, 3396.07]


@given(st.lists(st.floats(0, 1), max_size=20), st.floats(0.05, 0.95))
def test_at_the_bound_the_mean_grows_by_one_a_row_on_average(losses, bound):
    state, _ = edetector.update(edetector.START, losses, bound)
    now = math.exp(edetector.log_mean(state))
    error = math.exp(edetector.update(state, [1.0], bound)[1])
    right = math.exp(edetector.update(state, [0.0], bound)[1])

    assert bound * error + (1 - bound) * right == pytest.approx(now + 1, rel=1e-6)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=40), st.integers(0, 40), st.floats(0.05, 0.9), st.floats(1, 50))
def test_labels_fed_one_by_one_alarm_alike_however_they_are_cut(losses, cut, bound, threshold):
    expected, alarms = edetector.START, []
    for place, loss in enumerate(losses):
        expected, log_m = edetector.update(expected, [loss], bound)
        if log_m >= math.log(threshold) - 1e-12:
            expected = edetector.START
            alarms.append(place)

    first, before = edetector.feed(edetector.START, losses[:cut], bound, math.log(threshold) - 1e-12)
    second, after = edetector.feed(first, losses[cut:], bound, math.log(threshold) - 1e-12)

    assert [*before, *(place + len(losses[:cut]) for place in after)] == alarms
    assert second == pytest.approx(expected, rel=1e-6, abs=1e-9)


def test_feeding_refuses_losses_outside_their_range():
    with pytest.raises(ValueError, match="must lie"):
        edetector.feed(edetector.START, [2.0], 0.1, 7.0)


def test_an_empty_bucket_changes_nothing():
    state, log_m = edetector.update(edetector.START, [0.3, 0.9], 0.2)

    assert edetector.update(state, [], 0.2) == (state, pytest.approx(log_m))
    assert edetector.log_mean(edetector.START) == -math.inf


def test_the_state_survives_json():
    state, _ = edetector.update(edetector.START, losses(90, 100), 0.1)

    assert msgspec.json.decode(msgspec.json.encode(state), type=edetector.State) == state
    assert msgspec.json.decode(msgspec.json.encode(edetector.START), type=edetector.State) == edetector.START


@pytest.mark.parametrize(("losses", "bound"), [([1.5], 0.1), ([-0.1], 0.1), ([math.nan], 0.1), ([0.5], 0.0), ([0.5], 1.5)])
def test_losses_and_bounds_outside_their_range_are_refused(losses, bound):
    with pytest.raises(ValueError, match="must lie"):
        edetector.update(edetector.START, losses, bound)


def test_the_threshold_is_labels_of_the_given_days_and_a_thousand_at_least():
    assert edetector.threshold(48, 365) == 17_520
    assert edetector.threshold(1, 90) == 1_000


def rows_to_alarm(random, bound, *, rate, before, after, threshold, bucket=20):
    """(false alarms before the change, rows after it until the alarm)."""
    state, false = edetector.START, 0
    for errors in random.binomial(bucket, rate, size=before // bucket):
        state, log_m = edetector.update(state, losses(int(errors), bucket), bound)
        if log_m >= math.log(threshold):
            state, false = edetector.START, false + 1
    for place, errors in enumerate(random.binomial(bucket, after, size=20_000 // bucket)):
        state, log_m = edetector.update(state, losses(int(errors), bucket), bound)
        if log_m >= math.log(threshold):
            return false, bucket * (place + 1)
    return false, math.inf


# A = 1e5, error .10 for 10,000 rows, then the change; 40 runs for the table's thousands
@pytest.mark.parametrize(("bound", "after", "median"), [(0.10, 0.15, 478), (0.10, 0.12, 2_019), (0.11, 0.15, 802)])
def test_a_change_is_found_in_the_stated_number_of_rows(bound, after, median):
    random = np.random.default_rng(0)
    runs = [rows_to_alarm(random, bound, rate=0.1, before=10_000, after=after, threshold=1e5) for _ in range(40)]

    assert sum(false for false, _ in runs) <= 0.1 * 40 + 6
    assert np.median([rows for _, rows in runs]) == pytest.approx(median, rel=0.35)


def test_a_bound_from_a_gate_of_2000_rows_finds_it_in_about_970():
    random = np.random.default_rng(1)
    bounds = [wilson_bound(int(errors), 2_000, "upper") for errors in random.binomial(2_000, 0.1, size=40)]
    runs = [rows_to_alarm(random, bound, rate=0.1, before=10_000, after=0.15, threshold=1e5) for bound in bounds]

    assert np.median([rows for _, rows in runs]) == pytest.approx(970, rel=0.35)


def test_rows_between_false_alarms_are_at_least_the_threshold():
    random = np.random.default_rng(2)
    lengths = [rows_to_alarm(random, 0.2, rate=0.2, before=0, after=0.2, threshold=200, bucket=5)[1] for _ in range(40)]

    assert np.mean(np.minimum(lengths, 20_000)) >= 200


@given(st.lists(st.floats(0, 1), min_size=1, max_size=60), st.floats(0.05, 0.9), st.floats(1, 20))
def test_thinned_evidence_grows_by_at_most_one_a_row_on_average(losses, bound, swing):
    state, _ = edetector.feed(edetector.START, losses, bound, math.inf, swing)
    now = math.exp(edetector.log_mean(state))
    error, right = (math.exp(edetector.log_mean(edetector.feed(state, [x], bound, math.inf, swing)[0])) for x in (1.0, 0.0))

    assert bound * error + (1 - bound) * right <= (now + 1) * (1 + 1e-6)


def test_thinning_by_less_than_one_is_refused():
    with pytest.raises(ValueError, match="at least 1"):
        edetector.feed(edetector.START, [0.5], 0.5, 1.0, 0.9)


def test_evidence_that_is_held_is_what_label_by_label_gives_however_it_is_cut():
    rng = np.random.default_rng(4)
    for high, low in ((0.5, 0.02), (0.2, 0.1), (0.3, 0.3)):
        values = np.concatenate([rng.random(700) < high, rng.random(900) < low]).astype(float)
        wanted = np.zeros(16)
        for one in values:
            wanted = np.logaddexp(0.0, np.minimum(log_growth(np.array([one]), 0.12)[:, 0] + wanted, 12.0))
        assert edetector.feed_held(edetector.START, values, 0.12, 12.0) == pytest.approx(wanted.tolist(), abs=1e-9)
        assert edetector.feed_held(
            edetector.feed_held(edetector.START, values[:333], 0.12, 12.0), values[333:], 0.12, 12.0
        ) == pytest.approx(wanted.tolist(), abs=1e-9)
