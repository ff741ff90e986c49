"""Gates on what a run measures beside its hold-out."""

import pytest

import flyball as fb
from flyball.evaluation.gates import judge
from flyball.evaluation.holdout import Holdout, Measured
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

    assert verdict(gate, alone, numbers={"domain_auc": Estimate(value=0.6, low=0.56, high=0.64)}).outcome is Outcome.PASS
    assert verdict(gate, alone, numbers={"domain_auc": Estimate(value=0.6, low=0.5, high=0.7)}).outcome is Outcome.INSUFFICIENT
    assert verdict(gate, alone, numbers={"domain_auc": Estimate(value=0.7, low=0.6, high=0.8)}).outcome is Outcome.FAIL


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

    assert found(Estimate(value=5.0, low=4.9, high=5.1), Estimate(value=9.0, low=8.0, high=10.0)) is Outcome.PASS
    assert found(Estimate(value=8.9, low=7.0, high=11.0), Estimate(value=9.0, low=8.0, high=10.0)) is Outcome.INSUFFICIENT
    assert found(Estimate(value=9.5, low=7.0, high=11.0), Estimate(value=9.0, low=8.0, high=10.0)) is Outcome.FAIL
