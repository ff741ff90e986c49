"""Every kind of gate through pass, fail and insufficient."""

import re
import sys

import numpy as np
import polars as pl
import pytest

from flyball.declare.checks import Drift, approval, at_release, baseline, champion, metric
from flyball.declare.functions import Function
from flyball.errors import Stopped
from flyball.evaluation.fairness import groups
from flyball.evaluation.gates import judge
from flyball.evaluation.holdout import Holdout, Measured
from flyball.evaluation.metrics import measure
from flyball.evaluation.persons import Approved
from flyball.evaluation.verdicts import combine
from flyball.records.estimates import Estimate, Outcome, Verdict

PASS, FAIL, INSUFFICIENT = Outcome.PASS, Outcome.FAIL, Outcome.INSUFFICIENT


def one(gate, frame, task="binary", **rest):
    (verdict,) = judge([gate], Holdout(frame, task, **rest))
    return verdict


def test_a_number_is_compared_with_the_estimate(binary):
    frame = binary(400, 0.8)

    assert one(metric("accuracy") >= 0.7, frame).outcome == PASS
    assert one(metric("accuracy") >= 0.9, frame).outcome == FAIL
    assert one(metric("accuracy") < 0.9, frame).outcome == PASS
    assert one(metric("accuracy") >= 0.7, binary(99, 0.8)).outcome == INSUFFICIENT


def test_a_verdict_carries_its_evidence_as_people_read_it(binary):
    found = one(metric("accuracy") >= 0.7, binary(400, 0.8))

    assert found.check == "accuracy ≥ 0.7"
    assert found.estimate.n == 400
    assert found.estimate.low < found.estimate.value < found.estimate.high
    assert found.why == f"{found.estimate.value:.3f} [{found.estimate.low:.3f}, {found.estimate.high:.3f}] n=400"


def test_a_bound_is_asked_for_by_name(binary):
    frame = binary(400, 0.8)

    assert one(metric("accuracy").lower >= 0.7, frame).outcome == PASS
    assert one(metric("accuracy").lower >= 0.79, frame).outcome == INSUFFICIENT
    assert one(metric("accuracy").lower >= 0.9, frame).outcome == FAIL
    assert one(metric("brier").upper <= 0.3, frame).outcome == PASS
    assert "lower bound" in one(metric("accuracy").lower >= 0.79, frame).why


@pytest.mark.parametrize(
    ("name", "reason"),
    [("precision", "precision rests on"), ("recall", "recall rests on"), ("roc_auc", "roc_auc rests on")],
)
def test_a_metric_that_rests_on_few_rows_is_insufficient(name, reason):
    # 20 positives of 200 rows, 20 called so
    rare = pl.DataFrame({"y": [1] * 20 + [0] * 180, "value": [1] * 20 + [0] * 180, "score": [0.9] * 20 + [0.1] * 180})
    found = one(metric(name) >= 0.1, rare)

    assert found.outcome == INSUFFICIENT
    assert reason in found.why


def test_accuracy_against_the_champion_is_a_paired_test_at_its_margin(binary):
    gate = metric("accuracy") >= champion - 0.02

    assert one(gate, binary(2_000, 0.85, champion=0.75)).outcome == PASS
    assert one(gate, binary(2_000, 0.70, champion=0.80)).outcome == FAIL
    assert one(gate, binary(200, 0.80, champion=0.80, seed=2)).outcome == INSUFFICIENT
    assert one(gate, binary(99, 0.9, champion=0.6)).outcome == INSUFFICIENT


def test_the_reason_of_a_comparison_names_both_and_the_margin(binary):
    found = one(metric("accuracy") >= champion - 0.05, binary(1_344, 0.61, champion=0.70))

    assert found.outcome == FAIL
    assert found.reference.value == pytest.approx(0.70, abs=0.04)
    assert found.why.startswith(f"{found.estimate.value:.3f}, champion {found.reference.value:.3f}: −0.")
    assert found.why.endswith(", margin −0.050, n=1,344")


def test_a_candidate_that_is_the_champion_passes_with_a_margin_and_fails_without(binary):
    frame = binary(2_000, 0.8).with_columns(champion_value="value", champion_score="score")

    for name in ("accuracy", "roc_auc", "brier"):
        sign = metric(name) <= champion + 0.02 if name == "brier" else metric(name) >= champion - 0.02
        assert one(sign, frame).outcome == PASS
    assert one(metric("accuracy") >= champion, frame).outcome == FAIL


def test_a_champion_whose_rows_are_too_few_is_no_measure_either():
    # the candidate's precision is .6 of 200 calls; the champion called two rows, both wrong
    y = [1] * 200 + [0] * 200
    frame = pl.DataFrame({"y": y, "value": [1] * 120 + [0] * 80 + [1] * 80 + [0] * 120, "champion_value": [0] * 398 + [1] * 2})
    found = one(metric("precision") >= champion + 0.5, frame, classes=(0, 1))

    assert found.outcome == INSUFFICIENT
    assert found.why.endswith("champion: precision rests on 2 rows < 30")


@pytest.mark.parametrize("scale", [1e-10, 1.0, 1e10])
def test_the_unit_of_a_number_does_not_change_its_verdict(numbers, scale):
    frame = numbers(1_000, 5, champion=10).with_columns(pl.col("y", "value", "champion_value") * scale)

    assert one(metric("mae") <= champion * 0.9, frame, "regression").outcome == PASS
    assert one(metric("mae") <= champion * 0.3, frame, "regression").outcome == FAIL


def test_auc_against_the_champion(binary):
    gate = metric("roc_auc") >= champion - 0.02

    assert one(gate, binary(1_000, 0.85, champion=0.75)).outcome == PASS
    assert one(gate, binary(1_000, 0.70, champion=0.80)).outcome == FAIL
    assert one(gate, binary(150, 0.80, champion=0.80, seed=1)).outcome == INSUFFICIENT


def test_losses_against_the_champion_with_a_factor(numbers):
    gate = metric("mae") <= champion * 1.05

    assert one(gate, numbers(1_000, 8, champion=10), "forecast").outcome == PASS
    assert one(gate, numbers(1_000, 14, champion=10), "forecast").outcome == FAIL
    assert one(gate, numbers(150, 10, champion=10, seed=3), "forecast").outcome == INSUFFICIENT
    assert "champion × 1.05" in one(gate, numbers(1_000, 8, champion=10), "forecast").why


@pytest.mark.parametrize("name", ["rmse", "mape"])
def test_other_losses_follow_the_same_rule(numbers, name):
    gate = metric(name) <= champion * 1.01

    assert one(gate, numbers(1_000, 5, champion=10), "forecast").outcome == PASS
    assert one(gate, numbers(1_000, 15, champion=10), "forecast").outcome == FAIL


@pytest.mark.parametrize("name", ["precision", "recall", "f1", "recall_at_30%", "r2"])
def test_metrics_that_are_ratios_are_compared_too(binary, numbers, name):
    task, make, good, bad = ("forecast", numbers, 5, 20) if name == "r2" else ("binary", binary, 0.9, 0.6)
    gate = metric(name) >= champion - 0.03

    assert one(gate, make(1_000, good, champion=bad), task).outcome == PASS
    assert one(gate, make(1_000, bad, champion=good), task).outcome == FAIL


@pytest.mark.parametrize("wrong", [1e160, -1e300, 1.7e308])
@pytest.mark.filterwarnings("error")
def test_a_prediction_that_is_far_off_fails_and_is_not_taken_for_missing(numbers, wrong):
    near = numbers(200, 5, champion=5)
    gates = [
        metric("mae") <= champion * 1.05,
        metric("rmse") <= champion + 1,
        metric("mape") <= champion * 1.1,
        metric("r2") >= champion - 0.1,
    ]
    gates += [metric("mae").upper <= 10, metric("rmse").upper <= 10, metric("r2").lower >= 0.1, metric("rmse") <= 10]
    for rows in (1, 200):
        far = near.with_columns(
            value=pl.when(pl.int_range(pl.len()) < rows).then(pl.lit(wrong) * (-1) ** pl.int_range(pl.len())).otherwise("value")
        )
        for gate in gates:
            found = one(gate, far, "regression")
            assert found.outcome == FAIL, found
            assert "inf" not in found.why
            assert len(found.why) < 150


def test_a_figure_is_right_whatever_its_size(numbers):
    rows = numbers(200, 5)
    usual = measure("regression", rows, ["mae", "rmse", "mape", "r2"])
    for size in (1e-200, 1e160, 1e290):
        scaled = measure("regression", rows.select(pl.col("y", "value") * size), ["mae", "rmse", "mape", "r2"])
        for name, found in scaled.items():
            unit = size if name in ("mae", "rmse") else 1.0
            assert found.value / unit == pytest.approx(usual[name].value), (name, size)
    rmse = measure("regression", rows.select(pl.col("y", "value") * 1e160), ["rmse"])["rmse"]
    assert (rmse.low / 1e160, rmse.high / 1e160) == pytest.approx((usual["rmse"].low, usual["rmse"].high))


def test_a_baseline_must_be_beaten_by_what_is_asked(binary, numbers):
    assert one(metric("accuracy") >= baseline, binary(500, 0.8, base=0.5)).outcome == PASS
    assert one(metric("accuracy") >= baseline, binary(500, 0.5, base=0.8)).outcome == FAIL
    assert one(metric("roc_auc") >= baseline + 0.01, binary(500, 0.8, base=0.5)).outcome == PASS
    assert one(metric("mae") <= baseline * 0.9, numbers(500, 5, base=10), "forecast").outcome == PASS
    assert one(metric("mae") <= baseline * 0.9, numbers(500, 9.5, base=10), "forecast").outcome != PASS
    assert one(metric("accuracy") >= baseline, binary(500, 0.8)).outcome == INSUFFICIENT


def test_a_first_version_has_no_champion_to_beat(binary):
    found = one(metric("accuracy") >= champion - 0.02, binary(50, 0.8))

    assert found.outcome == PASS
    assert "no champion yet" in found.why


def test_every_value_of_a_named_slice_must_pass(binary):
    gate = metric("accuracy").by("day") >= champion - 0.05
    days = [1] * 1_000 + [2] * 1_000 + [3] * 60
    good, bad = binary(1_000, 0.9, champion=0.7), binary(1_000, 0.6, champion=0.8, seed=1)
    frame = pl.concat([good, bad, binary(60, 0.9, champion=0.7)]).with_columns(day=pl.Series(days))

    found = judge([gate], Holdout(frame, "binary"))

    assert [(each.slice, each.outcome) for each in found] == [("day=1", PASS), ("day=2", FAIL), ("day=3", INSUFFICIENT)]
    assert re.fullmatch(r"day 3: 0\.\d+ \[.*\] n=60 < 100", found[2].why), found[2].why
    assert combine(found) == FAIL
    assert combine(found[::2]) == INSUFFICIENT


def test_a_slice_that_the_hold_out_does_not_have_is_insufficient(binary):
    assert one(metric("accuracy").by("day") >= 0.5, binary(500, 0.8)).outcome == INSUFFICIENT
    assert one(metric("accuracy").by("id") >= 0.5, binary(500, 0.8, id=range(500))).outcome == INSUFFICIENT


def test_a_slice_nobody_named_stops_the_gate_only_when_clearly_worse(binary):
    gate = metric("accuracy") >= champion - 0.02
    fine, worse = binary(3_000, 0.9, champion=0.7), binary(400, 0.5, champion=0.8, seed=1)
    frame = pl.concat([fine, worse]).with_columns(region=pl.Series(["north"] * 3_000 + ["south"] * 400))

    whole, south = judge([gate], Holdout(frame, "binary", slices=("region",)))

    assert whole.outcome == PASS
    assert (south.slice, south.outcome) == ("region=south", FAIL)
    assert "Holm" in south.why
    assert len(judge([gate], Holdout(fine.with_columns(region=pl.lit("north")), "binary", slices=("region",)))) == 1


def test_slices_too_small_to_watch_are_counted(binary):
    frame = binary(500, 0.9, champion=0.7).with_columns(region=pl.Series(["north"] * 460 + ["south"] * 40))

    (whole,) = judge([metric("accuracy") >= champion - 0.02], Holdout(frame, "binary", slices=("region",)))

    assert whole.outcome == PASS
    assert whole.why.endswith("; 1 of 2 slices too small to watch")


def test_many_slices_of_an_equal_version_do_not_stop_it(binary):
    gate = metric("accuracy") >= champion - 0.02
    stopped = 0
    for seed in range(40):
        frame = binary(4_000, 0.8, champion=0.8, seed=seed, part=[i % 20 for i in range(4_000)])
        stopped += len(judge([gate], Holdout(frame, "binary", slices=("part",)))) > 1

    assert stopped <= 2


def test_a_gap_between_groups_is_bounded(binary):
    equal = binary(4_000, 0.9, sex=["f", "m"] * 2_000)
    apart = pl.concat([binary(1_000, 0.9), binary(1_000, 0.6, seed=1)]).with_columns(sex=pl.Series(["f"] * 1_000 + ["m"] * 1_000))

    assert one(metric("recall").gap("sex").upper <= 0.1, equal).outcome == PASS
    assert one(metric("recall").gap("sex").upper <= 0.1, apart).outcome == FAIL
    assert one(metric("recall").gap("sex").upper <= 0.03, binary(300, 0.9, sex=["f", "m"] * 150)).outcome in (FAIL, INSUFFICIENT)
    small = binary(220, 0.9, sex=["f"] * 200 + ["m"] * 20)
    assert one(metric("recall").gap("sex") <= 0.1, small).outcome == INSUFFICIENT
    assert one(metric("recall").gap("age") <= 0.1, small).outcome == INSUFFICIENT
    assert one(metric("recall").gap("sex") <= champion, equal.with_columns(champion_value="value")).outcome == INSUFFICIENT


def test_an_approval_waits_for_enough_people_with_the_role(binary):
    gate, holdout = approval("risk-officer", count=2), Holdout(binary(200, 0.8), "binary")

    def outcome(*given):
        return judge([gate], holdout, approvals=[Approved(*each) for each in given])[0].outcome

    assert outcome() == INSUFFICIENT
    assert outcome(("risk-officer", "ana"), ("risk-officer", "ana")) == INSUFFICIENT
    assert outcome(("risk-officer", "ana"), ("engineer", "bo")) == INSUFFICIENT
    assert outcome(("risk-officer", "ana"), ("risk-officer", "bo")) == PASS


def test_either_is_enough(binary):
    frame = binary(400, 0.8)
    holdout = Holdout(frame, "binary")
    yes, no, unknown = metric("accuracy") >= 0.5, metric("accuracy") >= 0.99, approval("lead")

    def outcome(gate, **rest):
        return judge([gate], holdout, **rest)[0].outcome

    assert outcome(no | yes) == PASS
    assert outcome(no | (metric("accuracy") >= 0.98)) == FAIL
    assert outcome(no | unknown) == INSUFFICIENT
    assert outcome(no | unknown, approvals=[Approved("lead", "ana")]) == PASS
    assert "fail" in judge([no | yes], holdout)[0].why


def test_what_was_measured_elsewhere_is_compared_too(binary):
    gate, holdout = metric("latency_p99") <= "30ms", Holdout(binary(200, 0.8), "binary")

    assert judge([gate], holdout)[0].outcome == INSUFFICIENT
    assert judge([gate], holdout, measured=Measured({"latency_p99": Estimate(value=12.0, n=2_000)}))[0].outcome == PASS
    assert judge([gate], holdout, measured=Measured({"latency_p99": Estimate(value=42.0, n=2_000)}))[0].outcome == FAIL
    assert judge([gate], holdout, measured=Measured({"latency_p99": Estimate(value=None, why="no traffic")}))[0].outcome == INSUFFICIENT


def test_a_time_is_told_in_its_unit_beside_a_number_and_beside_the_champions(binary):
    own = {"latency_p99": Estimate(value=3.57, n=2_000)}
    then = {"latency_p99": Estimate(value=4.1, n=2_000)}
    plain = judge([metric("latency_p99") <= "200ms"], Holdout(binary(200, 0.8), "binary"), measured=Measured(own))[0]
    assert plain.why == "3.57 ms n=2,000"
    held = Holdout(binary(200, 0.8, champion=0.8), "binary")
    beside = judge([metric("latency_p99") <= champion * 2], held, measured=Measured(own, then))[0]
    assert beside.why.startswith("3.57 ms, champion 4.1 ms"), beside.why


def test_what_lacks_rows_says_its_figures_once(binary):
    frame = binary(99, 0.9, champion=0.6)
    [found] = judge([metric("accuracy") >= champion], Holdout(frame, "binary"))
    assert found.outcome == INSUFFICIENT
    assert re.fullmatch(r"0\.\d+ \[.*\] n=99 < 100", found.why), found.why


def test_rows_that_share_an_entity_need_thirty_entities_and_prove_less(binary):
    once = binary(100, 0.85, champion=0.8, seed=4).with_columns(entity=pl.Series(range(100)))
    repeated = pl.concat([once] * 30)
    gate = metric("accuracy") >= champion - 0.03

    assert one(gate, repeated).outcome == PASS
    assert one(gate, repeated, group="entity").outcome == INSUFFICIENT
    few = repeated.with_columns(pl.col("entity") % 20)
    assert "20 entities < 30" in one(gate, few, group="entity").why


def test_a_function_may_be_a_gate(binary):
    frame = binary(200, 0.8)

    def no_answer(evidence):
        raise RuntimeError("boom")

    assert one(lambda evidence: evidence.height == 200, frame).outcome == PASS
    assert one(lambda evidence: False, frame).outcome == FAIL
    assert one(lambda evidence: None, frame).outcome == INSUFFICIENT
    assert one(lambda evidence: "yes", frame).outcome == INSUFFICIENT

    def exits(evidence):
        sys.exit(3)

    def told_to_end(evidence):
        raise Stopped(143)

    assert one(no_answer, frame).why == "it raised RuntimeError: boom"
    assert (one(exits, frame).outcome, one(exits, frame).why) == (INSUFFICIENT, "it called sys.exit(3)")
    with pytest.raises(Stopped):
        one(told_to_end, frame)
    assert one(Function("loop", "no_regret", "sha256:0"), frame).outcome == INSUFFICIENT


def test_what_cannot_be_judged_on_a_hold_out_is_never_a_pass(binary, numbers):
    frame = binary(400, 0.8, champion=0.8)

    assert one(metric("accuracy") >= at_release, frame).outcome == INSUFFICIENT
    assert one(metric("cost_per_1000") <= champion, frame).outcome == INSUFFICIENT  # no costs are declared
    assert one(metric("train_cost") <= champion, frame).outcome == INSUFFICIENT  # nobody measured it
    assert one(Drift("inputs"), frame).outcome == INSUFFICIENT
    assert one(metric("accuracy") >= 0.5, numbers(400, 5), "forecast").outcome == INSUFFICIENT
    assert one(metric("roc_auc") >= 0.5, frame.drop("score", "champion_score")).outcome == INSUFFICIENT


def test_an_empty_hold_out_passes_nothing(binary):
    empty = binary(100, 0.8, champion=0.8, base=0.5, day=[1] * 100).clear()
    gates = [
        metric("accuracy") >= 0.1,
        metric("accuracy") >= champion - 0.5,
        metric("roc_auc") >= baseline,
        metric("accuracy").by("day") >= 0.1,
        metric("recall").gap("day").upper <= 0.9,
    ]

    assert {verdict.outcome for verdict in judge(gates, Holdout(empty, "binary"))} == {INSUFFICIENT}


def test_combining_takes_the_worst_and_a_waiver_counts_as_a_pass():
    def verdicts(*outcomes):
        return [Verdict(check="c", outcome=outcome) for outcome in outcomes]

    assert combine([]) == PASS
    assert combine(verdicts(PASS, Outcome.WAIVED)) == PASS
    assert combine(verdicts(PASS, INSUFFICIENT)) == INSUFFICIENT
    assert combine(verdicts(INSUFFICIENT, FAIL, PASS)) == FAIL


def test_a_function_as_a_gate_gets_the_evidence_in_the_form_it_names():
    seen = []

    def by_pandas(rows: "pd.DataFrame"):  # noqa: F821 - resolved by its text
        seen.append(type(rows).__module__.partition(".")[0])
        return bool((rows["y"] == 1.0).all())

    def by_numpy(rows: np.ndarray):
        seen.append(type(rows).__module__)
        return rows.shape == (3, 2)

    frame = pl.DataFrame({"y": [1.0, 1.0, 1.0], "value": [1.0, 0.0, 1.0]})
    verdicts = judge([by_pandas, by_numpy], Holdout(frame, "regression"))
    assert [verdict.outcome for verdict in verdicts] == [Outcome.PASS, Outcome.PASS]
    assert seen == ["pandas", "numpy"]


def _two_groups(rate_of_f: float, rate_of_m: float, n: int = 2_000) -> pl.DataFrame:
    """Half of each group is positive; so many of its rows are called positive, right or wrong alike."""
    rng = np.random.default_rng(0)
    sex = np.repeat(["f", "m"], n // 2)
    called = rng.random(n) < np.where(sex == "f", rate_of_f, rate_of_m)
    return pl.DataFrame({"y": np.tile([0, 1], n // 2), "value": called.astype(int), "sex": sex})


def test_a_gap_names_both_groups_with_their_values_and_its_interval():
    found = judge([metric("positive_rate").gap("sex").upper <= 0.05], Holdout(_two_groups(0.2, 0.5), "binary", classes=(0, 1)))[0]

    assert found.outcome == FAIL
    assert re.match(r"f 0\.\d+, m 0\.\d+: 0\.\d+ \[0\.\d+, 0\.\d+\] n=2,000, upper bound 0\.\d+", found.why), found.why
    assert (
        judge([metric("positive_rate").gap("sex").upper <= 0.2], Holdout(_two_groups(0.5, 0.5), "binary", classes=(0, 1)))[0].outcome
        == PASS
    )


def test_equalised_odds_are_the_larger_of_the_gaps_in_recall_and_in_false_positives():
    frame = _two_groups(0.3, 0.3)
    # m's negatives are called positive far more often, its positives are not
    frame = frame.with_columns(value=pl.when((pl.col("sex") == "m") & (pl.col("y") == 0)).then(1).otherwise(pl.col("value")))

    found = judge([metric("equalised_odds").gap("sex").upper <= 0.1], Holdout(frame, "binary", classes=(0, 1)))[0]
    assert found.outcome == FAIL
    assert found.why.startswith("false_positive_rate f 0.")
    recall = judge([metric("recall").gap("sex") <= 0.1], Holdout(frame, "binary", classes=(0, 1)))[0]
    assert recall.outcome == PASS


def _regions(wrong: str = "") -> pl.DataFrame:
    """200 rows each of n and s, answered rightly but for those of one region."""
    y, region = np.tile([0, 1], 200), np.repeat(["n", "s"], 200)
    return pl.DataFrame({"y": y, "value": np.where(region == wrong, 1 - y, y), "region": region})


def test_a_value_that_is_declared_and_has_no_row_is_insufficient_in_its_slice():
    gate, declared = metric("accuracy").by("region") >= 0.5, {"region": ("n", "s", "w")}

    found = judge([gate], Holdout(_regions(), "binary", declared=declared))
    assert [(each.slice, each.outcome) for each in found] == [("region=n", PASS), ("region=s", PASS), ("region=w", INSUFFICIENT)]
    assert found[2].why == "region w: n=0: none of the rows that judge has this value"
    assert combine(judge([gate], Holdout(_regions(), "binary"))) == PASS, "of values that nobody declared those there are judged"


def test_of_a_boolean_slice_both_values_are_judged():
    frame = _regions().with_columns(far=pl.lit(value=False))

    found = judge([metric("accuracy").by("far") >= 0.5], Holdout(frame, "binary"))
    assert {each.slice: each.outcome for each in found} == {"far=false": PASS, "far=true": INSUFFICIENT}


def test_a_value_of_which_the_champion_has_seen_every_row_is_insufficient_in_its_slice():
    frame = _regions(wrong="s").with_columns(champion_value=pl.when(pl.col("region") == "n").then(pl.col("y")))

    found = judge([metric("accuracy").by("region") >= champion - 0.05], Holdout(frame, "binary", slices=("region",)))
    assert {each.slice: each.outcome for each in found} == {"region=n": PASS, "region=s": INSUFFICIENT}


def test_a_declared_group_without_a_row_keeps_a_gap_from_passing():
    gate = metric("positive_rate").gap("region") <= 0.1

    assert one(gate, _regions()).outcome == PASS
    found = one(gate, _regions(), declared={"region": ("n", "s", "w")})
    assert found.outcome == INSUFFICIENT
    assert "w: n=0" in found.why


def test_a_gap_is_judged_in_each_value_of_the_slices_that_it_names():
    sex, region, y = np.tile(["f", "m"], 2_000), np.repeat(["n", "s"], 2_000), np.repeat(np.tile([0, 1], 1_000), 2)
    # in the north men are called negative, in the south women: no gap in the whole, one in each
    missed = ((region == "n") == (sex == "m")) & (y == 1) & (np.arange(4_000) % 8 < 4)
    frame = pl.DataFrame({"y": y, "value": np.where(missed, 0, y), "sex": sex, "region": region})

    assert one(metric("recall").gap("sex") <= 0.1, frame).outcome == PASS
    found = judge([metric("recall").by("region").gap("sex") <= 0.1], Holdout(frame, "binary"))
    assert [(each.slice, each.outcome) for each in found] == [("region=n", FAIL), ("region=s", FAIL)]
    assert found[0].why.startswith("region n: m 0.5"), found[0].why


def test_a_gap_that_is_too_wide_fails_though_another_group_is_too_small():
    frame = _two_groups(0.2, 0.6).with_columns(sex=pl.when(pl.int_range(pl.len()) < 25).then(pl.lit("x")).otherwise("sex"))
    declared = {"sex": ("f", "m", "x")}

    for gate in (metric("positive_rate").gap("sex") <= 0.1, metric("positive_rate").gap("sex").upper <= 0.1):
        found = one(gate, frame, classes=(0, 1), declared=declared)
        assert found.outcome == FAIL, found
        assert "x: n=25 < 100" in found.why
    wide = metric("positive_rate").gap("sex") <= 0.5
    assert one(wide, frame, classes=(0, 1), declared=declared).outcome == INSUFFICIENT, "few rows are enough to fail, never to pass"


def test_a_gap_across_many_numbers_is_one_between_the_groups_of_the_report():
    frame = _two_groups(0.3, 0.3).with_columns(age=pl.Series(np.random.default_rng(1).uniform(18, 90, 2_000)))

    found = one(metric("positive_rate").gap("age") <= 0.3, frame, classes=(0, 1))
    assert found.outcome == PASS, found.why
    named = [each.value for each in groups(Holdout(frame, "binary", classes=(0, 1)).new, frame["age"], protected=False).groups]
    assert len(named) == 5
    assert any(found.why.startswith(f"{name} 0.") for name in named), (found.why, named)
    texts = frame.with_columns(who=pl.format("person {}", pl.int_range(pl.len())))
    assert one(metric("positive_rate").gap("who") <= 0.3, texts, classes=(0, 1)).outcome == INSUFFICIENT


def test_what_is_told_of_many_groups_is_bounded():
    frame = _two_groups(0.3, 0.3).with_columns(part=pl.format("a part with a long name, {}", pl.int_range(pl.len()) % 40))

    found = one(metric("positive_rate").gap("part") <= 0.3, frame, classes=(0, 1))
    assert found.outcome == INSUFFICIENT
    assert len(found.why) < 600
    assert len(found.estimate.why) < 600


def test_a_gap_against_another_version_is_insufficient_for_the_first_one_too():
    assert one(metric("positive_rate").gap("sex") <= champion + 0.02, _two_groups(0.3, 0.3)).outcome == INSUFFICIENT


def test_of_alternatives_a_comparison_without_a_champion_leaves_the_others_to_decide(binary):
    frame, beside = binary(400, 0.8), metric("accuracy") >= champion

    def outcome(gate):
        return judge([gate], Holdout(frame, "binary"))[0].outcome

    assert outcome((metric("accuracy") >= 0.999) | beside) == FAIL
    assert outcome(beside | (metric("accuracy") >= 0.5)) == PASS
    assert outcome(approval("lead") | beside) == INSUFFICIENT
    assert outcome(beside | (metric("roc_auc") >= champion)) == PASS, "the first version has nothing else to be judged by"
    why = judge([(metric("accuracy") >= 0.999) | beside], Holdout(frame, "binary"))[0].why
    assert "accuracy ≥ champion: not judged (no champion yet" in why


def test_a_comparison_says_which_of_the_champions_fits_answered(binary):
    frame = binary(2_000, 0.85, champion=0.75).with_columns(__champion=pl.lit("champion as it was judged, fitted until 2026-04-15"))

    beside, alone = judge([metric("accuracy") >= champion - 0.02, metric("accuracy") >= 0.5], Holdout(frame, "binary"))
    assert beside.why.endswith("; champion as it was judged, fitted until 2026-04-15")
    assert "champion" not in alone.why
