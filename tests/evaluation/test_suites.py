"""Suites: absent is insufficient, never a pass, and never passed over in silence."""

import numpy as np
import polars as pl

import flyball as fb
from flyball.evaluation.overlap import share
from flyball.evaluation.suites import judge_suites, of_learned
from flyball.records.estimates import Estimate, Outcome

CASES = fb.Dataset("german", source="german.csv", columns={"x": float, "y": int})


def case(at_least=0.9, metric="accuracy"):
    return fb.suite("german", CASES, metric=metric, at_least=at_least)


def cases(n, right, **columns):
    """Cases of which that many are answered right; half of them are positive."""
    y = np.arange(n) % 2
    return pl.DataFrame({"__time": np.arange(n), "y": y, "value": np.where(np.arange(n) < right, y, 1 - y), **columns})


def verdict(given, suite=None, task="binary"):
    suite = suite or case()
    (found,) = judge_suites([suite], {suite.name: given}, task, classes=(0, 1), group="__group")
    return found


def test_cases_that_are_answered_well_enough_pass_and_others_fail():
    assert verdict(cases(200, 180)).outcome is Outcome.PASS
    failed = verdict(cases(200, 179))
    assert (failed.check, failed.outcome) == ("suite german: accuracy ≥ 0.9", Outcome.FAIL)
    assert failed.why.startswith("0.895 [")
    assert failed.estimate.n == 200


def test_what_cannot_be_asked_is_insufficient_with_the_reason():
    absent = verdict('data set "german" has no version that may be used')

    assert absent.outcome is Outcome.INSUFFICIENT
    assert absent.why == 'data set "german" has no version that may be used'
    (unasked,) = judge_suites([case()], {}, "binary", classes=(0, 1))
    assert (unasked.outcome, unasked.why) == (Outcome.INSUFFICIENT, "its cases were not asked")


def test_too_few_cases_or_none_with_a_label_are_insufficient_however_good():
    few = verdict(cases(99, 99))
    assert few.outcome is Outcome.INSUFFICIENT
    assert "n=99 < 100" in few.why
    unlabelled = verdict(cases(200, 200).with_columns(y=pl.lit(None, dtype=pl.Int64)))
    assert (unlabelled.outcome, unlabelled.why) == (Outcome.INSUFFICIENT, "it has no cases with a label")
    rare = verdict(cases(200, 200).with_columns(y=pl.lit(0), value=pl.lit(0)), case(metric="recall"))
    assert rare.outcome is Outcome.INSUFFICIENT
    assert "there are no positive rows" in rare.why


def learned(count, n=200, copied=None):
    given = cases(n, n, __seen=np.arange(n) < count)
    return judge_suites([case()], {"german": given}, "binary", classes=(0, 1), copied=copied)[0]


def test_cases_that_were_learned_by_heart_pass_nobody():
    most = learned(180)
    assert most.outcome is Outcome.INSUFFICIENT
    assert most.why.endswith("180 of its 200 rows are in training too (90.0%): what was learned by heart says nothing of new cases")
    assert of_learned(most)
    half = learned(100)
    assert (half.outcome, half.why.endswith("; 100 of its 200 rows are in training too (50.0%)")) == (Outcome.PASS, True)
    assert not of_learned(half)
    assert "training" not in learned(0).why
    assert "training" not in verdict(cases(200, 180)).why, "nobody knows what answers from before it was kept were asked"


def test_rows_of_few_kinds_are_alike_without_having_been_copied():
    alike = learned(180, copied=share(172, 200, ""))
    assert (alike.outcome, "180 of its 200 rows are in training too" in alike.why) == (Outcome.PASS, True)
    assert learned(180, copied=share(20, 200, "")).outcome is Outcome.INSUFFICIENT
    assert learned(200, copied=Estimate(value=None, why="there are no held-out rows")).outcome is Outcome.INSUFFICIENT


def test_cases_that_share_an_entity_count_as_one():
    shared = verdict(cases(200, 200, __group=np.arange(200) // 10))

    assert shared.outcome is Outcome.INSUFFICIENT
    assert "20 entities < 30" in shared.why


def test_every_suite_has_its_verdict_in_order():
    one, other = case(), fb.suite("french", CASES, metric="recall", at_least=0.5)
    found = judge_suites([one, other], {"german": cases(200, 200), "french": "why not"}, "binary", classes=(0, 1))

    assert [each.check for each in found] == ["suite german: accuracy ≥ 0.9", "suite french: recall ≥ 0.5"]
    assert [each.outcome for each in found] == [Outcome.PASS, Outcome.INSUFFICIENT]
