"""Gates on what a run measures beside its hold-out."""

import numpy as np
import pytest

import flyball as fb
from flyball.evaluation.gates import judge
from flyball.evaluation.holdout import Holdout, Measured
from flyball.evaluation.path import percentile
from flyball.evaluation.run_gates import on_run
from flyball.records.estimates import Estimate, Outcome


def verdict(gate, frame, **measured):
    return judge([gate], Holdout(frame, "binary", classes=(0, 1)), measured=Measured(**measured))[0]


@pytest.fixture
def alone(binary):
    return binary(400, 0.8)


@pytest.fixture
def beside(binary):
    return binary(400, 0.8, champion=0.8)


def test_a_size_is_compared_in_bytes_and_shown_as_people_write_it(alone):
    gate = fb.metric("size") <= "50MB"

    assert str(gate) == "size ≤ 50 MB"
    assert verdict(gate, alone, numbers={"size": Estimate(value=50e6)}).outcome is Outcome.PASS
    failed = verdict(gate, alone, numbers={"size": Estimate(value=51.5e6)})
    assert failed.outcome is Outcome.FAIL
    assert failed.why == "51.5 MB"


def test_what_was_not_measured_is_insufficient_with_its_reason(alone):
    gate = fb.metric("domain_auc").upper <= 0.65

    assert verdict(gate, alone).outcome is Outcome.INSUFFICIENT
    found = verdict(gate, alone, missing={"domain_auc": "nothing was served yet"})
    assert (found.outcome, found.why) == (Outcome.INSUFFICIENT, "nothing was served yet")
    unknown = verdict(fb.metric("train_cost") <= "1 EUR", alone, numbers={"train_cost": Estimate(value=None, why="no price is set")})
    assert (unknown.outcome, unknown.why) == (Outcome.INSUFFICIENT, "no price is set")


def test_a_bound_of_an_interval_that_does_not_clear_the_number_is_insufficient(alone):
    gate = fb.metric("domain_auc").upper <= 0.65

    assert verdict(gate, alone, numbers={"domain_auc": Estimate(value=0.6, low=0.56, high=0.64, n=800)}).outcome is Outcome.PASS
    assert verdict(gate, alone, numbers={"domain_auc": Estimate(value=0.6, low=0.5, high=0.7, n=800)}).outcome is Outcome.INSUFFICIENT
    assert verdict(gate, alone, numbers={"domain_auc": Estimate(value=0.7, low=0.6, high=0.8, n=800)}).outcome is Outcome.FAIL


def test_what_the_run_says_of_a_number_stands_in_the_verdict(alone):
    slow = Estimate(value=2_003.0, low=2_001.0, high=2_008.0, n=50, why="slowest: transform lookup, 2,000 of 2,003 ms")

    found = verdict(fb.metric("latency_p99") <= "200ms", alone, numbers={"latency_p99": slow})
    assert found.outcome is Outcome.FAIL
    assert "transform lookup" in found.why


def test_a_champion_is_compared_by_what_its_own_run_measured(alone, beside):
    gate = fb.metric("size") <= fb.champion * 1.2
    ours = {"size": Estimate(value=110.0)}

    assert verdict(gate, alone, numbers=ours).outcome is Outcome.PASS  # no champion
    assert verdict(gate, beside, numbers=ours, champion={"size": Estimate(value=100.0)}).outcome is Outcome.PASS
    assert verdict(gate, beside, numbers=ours, champion={"size": Estimate(value=90.0)}).outcome is Outcome.FAIL
    unknown = verdict(gate, beside, numbers=ours)
    assert unknown.outcome is Outcome.INSUFFICIENT
    assert "has not measured size" in unknown.why


def test_two_numbers_with_intervals_differ_only_where_that_is_shown(beside):
    gate = fb.metric("latency_p99") <= fb.champion

    def found(ours: Estimate, theirs: Estimate) -> Outcome:
        return verdict(gate, beside, numbers={"latency_p99": ours}, champion={"latency_p99": theirs}).outcome

    assert found(Estimate(value=5.0, low=4.9, high=5.1, n=500), Estimate(value=9.0, low=8.0, high=10.0, n=500)) is Outcome.PASS
    assert found(Estimate(value=8.9, low=7.0, high=11.0, n=500), Estimate(value=9.0, low=8.0, high=10.0, n=500)) is Outcome.INSUFFICIENT
    assert found(Estimate(value=9.5, low=7.0, high=11.0, n=500), Estimate(value=9.0, low=8.0, high=10.0, n=500)) is Outcome.FAIL


def test_a_number_of_few_rows_or_calls_never_passes_and_fails_only_where_all_of_its_interval_does(alone):
    noise, p99 = fb.metric("robustness_noise") <= "5%", fb.metric("latency_p99") <= "2s"

    few = verdict(noise, alone, numbers={"robustness_noise": Estimate(value=0.01, low=0.0, high=0.02, n=10)})
    assert (few.outcome, few.why) == (Outcome.INSUFFICIENT, "0.010 [0.000, 0.020] n=10: 10 rows are too few, 100 are needed")
    poor = Estimate(value=0.06, low=0.04, high=0.08, n=10)
    assert verdict(noise, alone, numbers={"robustness_noise": poor}).outcome is Outcome.INSUFFICIENT
    assert verdict(p99, alone, numbers={"latency_p99": percentile([1.0, 1.1, 1.2], 0.99)}).outcome is Outcome.INSUFFICIENT
    assert verdict(p99, alone, numbers={"latency_p99": percentile([2_100.0, 2_101.0, 2_102.0], 0.99)}).outcome is Outcome.FAIL
    median = percentile([2_100.0] * 6, 0.5)
    assert verdict(fb.metric("latency_p50") <= "2s", alone, numbers={"latency_p50": median}).outcome is Outcome.FAIL


def test_a_first_version_has_not_shifted_however_few_its_rows(alone):
    nothing = {"output_shift": Estimate(value=0.0, why="no champion yet: there is nothing to compare with")}
    assert verdict(fb.metric("output_shift") <= 0.1, alone, numbers=nothing).outcome is Outcome.PASS


def test_an_end_that_too_few_calls_leave_open_is_insufficient_and_says_so(beside):
    rng = np.random.default_rng(0)
    ours, theirs = percentile(rng.lognormal(0, 0.3, 200), 0.99), percentile(rng.lognormal(2, 0.3, 500), 0.99)
    found = verdict(fb.metric("latency_p99") <= fb.champion, beside, numbers={"latency_p99": ours}, champion={"latency_p99": theirs})

    assert found.outcome is Outcome.INSUFFICIENT
    assert "200 calls are too few for the upper end" in found.why


@pytest.mark.parametrize(("slower", "least", "most"), [(1.2, 0, 0.02), (1.0, 0, 0.05), (0.4, 0.9, 1.0)])
def test_a_p99_passes_against_the_champions_only_where_it_is_shown_to_be_lower(beside, slower, least, most):
    rng, gate, reps = np.random.default_rng(0), fb.metric("latency_p99") <= fb.champion, 400
    passed = 0
    for _ in range(reps):
        ours, theirs = (percentile(times * rng.lognormal(0, 0.4, 500), 0.99) for times in (slower, 1.0))
        passed += on_run(gate, Measured({"latency_p99": ours}, {"latency_p99": theirs}), champion=True).outcome is Outcome.PASS
    assert least <= passed / reps <= most
