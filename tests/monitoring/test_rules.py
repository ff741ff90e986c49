"""What the monitors say: nothing without cause, and with cause its name."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from tests.monitoring.conftest import DAY, HOUR, MINUTE, START, inputs, labels, make_model, quality, rows, traffic

import flyball.declare.checks as checks
from flyball.clock import Span
from flyball.declare.checks import Check, Drift, metric
from flyball.declare.policy import Retrain
from flyball.evaluation.counts import Folder
from flyball.monitoring import rules, windows
from flyball.monitoring.checks import _finding as one_finding
from flyball.monitoring.state import MonitorState, absorb, released
from flyball.records.estimates import Estimate
from flyball.records.evidence import Batch, Watch

DETECTOR = rules.DETECTOR
BUILT_IN = (rules.LABELS, rules.CONTRACT, rules.ARRIVE, rules.LOGGED)


def fresh(m0=0.2, **more):
    return released(MonitorState(model="m"), "1.0.0", m0, START, **more)


def say(model, state, now):
    return {(finding.monitor, finding.column or finding.slice): finding for finding in rules.assess(model, state, now=now).findings}


def run(bins, windows, **change):
    """State after `windows` fast windows of a thousand rows."""
    rng = np.random.default_rng(11)
    state = fresh()
    for number in range(windows):
        state = absorb(state, inputs(bins, rows(rng, 1000, **change), START + (number + 1) * MINUTE), bins)
    return state


def test_no_drift_is_no_finding(bins):
    found = say(make_model(), run(bins, 6), START + HOUR)
    assert {finding.severity for finding in found.values()} == {"none"}


def test_one_window_is_pending_and_two_are_an_alert_that_names_the_column_and_the_direction(bins):
    key = ("drift of inputs", "x")
    one = say(make_model(), run(bins, 1, shift=0.6), START + HOUR)[key]
    assert (one.severity, one.standing) == ("alert", "pending")
    two = say(make_model(), run(bins, 2, shift=0.6), START + HOUR)[key]
    assert (two.severity, two.standing, two.failure, two.value) == ("alert", "settled", "input_drift", "higher")
    assert "values are higher" in two.why
    assert two.effect > two.floor
    assert two.p < 1e-6


def test_a_new_category_is_a_schema_change_and_named(bins):
    found = say(make_model(), run(bins, 2, unseen=0.1), START + HOUR)["drift of inputs", "c"]
    assert (found.severity, found.failure, found.value) == ("alert", "schema_change", "brand-new")
    assert '"brand-new" 0% → ' in found.why


def test_nulls_are_named(bins):
    found = say(make_model(), run(bins, 3, nulls=0.08), START + HOUR)["drift of inputs", "x"]
    assert (found.severity, found.value) == ("alert", "null")
    assert found.why.startswith("x: nulls 0% → ")


def test_only_the_declared_columns_are_watched(bins):
    model = make_model(monitors=[Drift("inputs", ("c",))])
    found = say(model, run(bins, 2, shift=0.6), START + HOUR)
    assert set(found) == {("drift of inputs (c)", "c"), (DETECTOR, ""), *((name, "") for name in BUILT_IN)}


def test_a_loss_that_rises_pages_as_concept_drift():
    rng = np.random.default_rng(1)
    state = absorb(fresh(0.1), labels(rng.random(2000) < 0.09, START + DAY), ())
    assert say(make_model(), state, START + DAY)[DETECTOR, ""].severity == "none"
    state = absorb(state, labels(rng.random(2000) < 0.35, START + 2 * DAY), ())
    off = rules.assess(make_model(), state, now=START + 2 * DAY, detector=False)
    assert (rules.OFF in off.findings, off.alarm) == (True, None)
    found = say(make_model(), state, START + 2 * DAY)[DETECTOR, ""]
    assert (found.severity, found.failure) == ("alert", "concept_drift")
    assert "risen above 0.1" in found.why


def test_no_label_is_insufficient():
    found = say(make_model(), fresh(), START + DAY)[DETECTOR, ""]
    assert (found.severity, found.standing) == ("none", "insufficient")


def accuracy(wrong, n=1000, name=""):
    return absorb(fresh(), Batch(until=START + DAY, quality=(quality(n, wrong, START + DAY, name=name),)), ())


CHECK = metric("accuracy").over("7d") >= 0.6


@pytest.mark.parametrize(
    ("wrong", "n", "severity", "standing"),
    [
        (300, 1000, "none", "settled"),
        (500, 1000, "alert", "settled"),
        (405, 1000, "alert", "pending"),
        (50, 60, "none", "insufficient"),
    ],
)
def test_a_check_fires_on_evidence_waits_within_chance_and_never_on_too_little(wrong, n, severity, standing):
    found = say(make_model(monitors=[CHECK]), accuracy(wrong, n), START + DAY)[str(CHECK), ""]
    assert (found.severity, found.standing) == (severity, standing)
    assert found.wait == (7 * DAY if standing == "pending" else 0)


def test_data_older_than_the_span_does_not_count():
    model = make_model(monitors=[CHECK])
    assert say(model, accuracy(500), START + 20 * DAY)[str(CHECK), ""].standing == "insufficient"


def test_each_slice_is_its_own_finding():
    check = metric("accuracy").by("day").over("7d") >= 0.6
    batch = Batch(
        until=START + DAY, quality=tuple(quality(500, wrong, START + DAY, name=f"day={day}") for day, wrong in ((1, 100), (2, 400)))
    )
    found = say(make_model(monitors=[check]), absorb(fresh(), batch, ()), START + DAY)
    assert (found[str(check), "day=1"].severity, found[str(check), "day=2"].severity) == ("none", "alert")


def test_a_gap_between_groups_is_bias():
    check = metric("accuracy").gap("sex").over("7d") <= 0.1
    batch = Batch(
        until=START + DAY, quality=tuple(quality(900, wrong, START + DAY, name=f"sex={sex}") for sex, wrong in (("f", 90), ("m", 360)))
    )
    found = say(make_model(monitors=[check]), absorb(fresh(), batch, ()), START + DAY)[str(check), ""]
    assert (found.severity, found.failure) == ("alert", "bias")
    assert found.effect == pytest.approx(0.3)


def test_errors_and_latency_are_checked_on_traffic():
    errors, slow = metric("error_rate").over("1h") <= 0.01, metric("latency_p99").over("1h") <= "50ms"
    state = absorb(fresh(), traffic(5000, 200, START + HOUR, latency={110: 4000, 135: 1000}), ())
    found = say(make_model(monitors=[errors, slow]), state, START + HOUR)
    assert (found[str(errors), ""].severity, found[str(errors), ""].failure) == ("alert", "errors")
    assert (found[str(slow), ""].severity, found[str(slow), ""].failure) == ("alert", "latency")
    few = absorb(fresh(), traffic(50, 50, START + HOUR, latency={110: 50}), ())
    assert {finding.severity for finding in say(make_model(monitors=[errors, slow]), few, START + HOUR).values()} == {"none"}


def test_either_check_is_enough():
    either = (metric("accuracy").over("7d") >= 0.6) | (metric("error_rate").over("7d") <= 0.5)
    assert say(make_model(monitors=[either]), accuracy(500), START + DAY)[str(either), ""].standing == "insufficient"
    state = absorb(accuracy(500), traffic(1000, 1, START + DAY), ())
    assert say(make_model(monitors=[either]), state, START + DAY)[str(either), ""].severity == "none"


@pytest.mark.parametrize("of", [(0.44, 0.9), (0.9, 0.44)])
def test_either_check_is_judged_by_the_one_that_speaks_for_its_being_well(of):
    def said(right):
        either = (metric("accuracy").over("7d") >= of[0]) | (metric("accuracy").over("7d") >= of[1])
        found = say(make_model(monitors=[either]), accuracy(1000 - right), START + DAY)[str(either), ""]
        return found.severity, found.standing, found.wait

    assert said(950) == ("none", "settled", 0)
    assert said(600) == ("none", "settled", 0)
    assert said(450) == ("none", "pending", Span.parse("7d")), "by chance"
    assert said(430) == ("alert", "pending", Span.parse("7d")), "one of them may hold"
    assert said(300) == ("alert", "settled", 0)


def test_a_reference_is_the_value_at_release():
    check = metric("accuracy").over("7d") >= checks.at_release - 0.05
    model = make_model(monitors=[check])
    assert say(model, accuracy(500), START + DAY)[str(check), ""].standing == "insufficient"
    state = fresh(at_release={"accuracy": Estimate(value=0.8, n=1000)})
    state = absorb(state, Batch(until=START + DAY, quality=(quality(1000, 500, START + DAY),)), ())
    found = say(model, state, START + DAY)[str(check), ""]
    assert (found.severity, found.floor) == ("alert", pytest.approx(0.75))


def test_a_monitor_that_fails_is_broken_and_silences_no_other():
    unknown = metric("no_such_metric") >= 0.5
    found = say(make_model(monitors=[unknown, CHECK]), accuracy(500), START + DAY)
    assert found[str(unknown), ""].standing == "broken"
    assert found[str(CHECK), ""].severity == "alert"


def retraining(when):
    return make_model(retrain=Retrain(when=when))


def test_the_detector_asks_for_a_training():
    model = retraining([metric("accuracy") < checks.at_release])
    rng = np.random.default_rng(2)
    state = absorb(fresh(0.1), labels(rng.random(1500) < 0.09, START + DAY), ())
    assert rules.retrain_alarm(model, state, START + DAY) is None
    state = absorb(state, labels(rng.random(1500) < 0.3, START + 2 * DAY), ())
    assert "accuracy < at_release: loss above 0.1" in (rules.retrain_alarm(model, state, START + 2 * DAY) or "")
    assert rules.retrain_alarm(model, state, START + 2 * DAY, detector=False) is None


def test_drift_at_alert_asks_for_a_training(bins):
    model = retraining([Drift("inputs")])
    assert rules.retrain_alarm(model, run(bins, 3), START + DAY) is None
    assert rules.retrain_alarm(model, run(bins, 1, shift=0.6), START + DAY) is None
    assert (rules.retrain_alarm(model, run(bins, 2, shift=0.6), START + DAY) or "").startswith("x: values are higher")


def test_a_bound_that_is_evidently_crossed_asks_for_a_training():
    condition: Check = metric("accuracy").over("7d") < 0.6
    assert "accuracy" in (rules.retrain_alarm(retraining([condition]), accuracy(500), START + DAY) or "")
    assert rules.retrain_alarm(retraining([condition]), accuracy(300), START + DAY) is None


def test_what_may_be_chance_asks_for_no_training():
    condition: Check = metric("accuracy").over("7d") < 0.71
    assert rules.retrain_alarm(retraining([condition]), accuracy(300), START + DAY) is None, ".70 [.671, .728]"
    assert rules.retrain_alarm(retraining([condition]), accuracy(350), START + DAY) is not None


def test_a_trigger_with_a_margin_waits_for_the_margin():
    state = fresh(at_release={"accuracy": Estimate(value=0.8, n=1000)})

    def wanted(wrong):
        seen = absorb(state, Batch(until=START + DAY, quality=(quality(1000, wrong, START + DAY),)), ())
        return rules.retrain_alarm(retraining([metric("accuracy") < checks.at_release - 0.1]), seen, START + DAY)

    assert wanted(260) is None
    assert "accuracy < at_release − 0.1" in (wanted(400) or "")


def test_a_list_of_triggers_means_all_and_either_means_either():
    low, lower = metric("accuracy").over("7d") < 0.6, metric("accuracy").over("7d") < 0.3
    assert rules.retrain_alarm(retraining([low, lower]), accuracy(500), START + DAY) is None
    assert rules.retrain_alarm(retraining([low | lower]), accuracy(500), START + DAY) is not None
    assert "; and accuracy over 7d < 0.3" in (rules.retrain_alarm(retraining([low, lower]), accuracy(900), START + DAY) or "")


def test_an_rmse_fires_on_its_interval_and_never_without_one():
    check = metric("rmse").over("7d") <= 1.0

    def found(each, quad):
        sums = quality(200, 0, START + DAY)
        sums = type(sums)(**_fields(sums) | {"sq_error": 200 * each, "quad_error": 200 * quad})
        return say(make_model(monitors=[check]), absorb(fresh(), Batch(until=START + DAY, quality=(sums,)), ()), START + DAY)[
            str(check), ""
        ]

    assert (found(1.2, 20.0).severity, found(1.2, 20.0).standing) == ("alert", "pending")
    assert (found(4.0, 20.0).severity, found(4.0, 20.0).standing) == ("alert", "settled")


def test_without_an_interval_a_missed_bound_is_pending():
    check = metric("accuracy") >= 0.9
    found = one_finding(check, "", Estimate(value=0.5, n=1000), fresh(), span=Span.parse("7d"))
    assert (found.severity, found.standing) == ("alert", "pending")


def test_a_metric_of_scores_lacks_data_where_there_are_none_and_is_not_shown_as_another():
    check = metric("log_loss").over("7d") <= 0.4
    found = say(make_model(monitors=[check]), accuracy(500), START + DAY)[str(check), ""]
    assert (found.severity, found.standing, found.effect) == ("none", "insufficient", None)
    assert "no labelled row has a score" in found.why


def test_a_check_by_a_slice_without_counts_says_so():
    check = metric("accuracy").by("dear").over("7d") >= 0.6
    found = say(make_model(monitors=[check]), accuracy(500), START + DAY)[str(check), ""]
    assert (found.standing, found.why) == ("insufficient", "no matured row with a value of dear in this span")


def test_traffic_is_not_told_by_slice():
    check = metric("error_rate").by("day") <= 0.1
    found = say(make_model(monitors=[check]), absorb(fresh(), traffic(5000, 2000, START + HOUR), ()), START + HOUR)[str(check), ""]
    assert found.standing == "insufficient"


def test_a_model_without_retrain_has_no_alarm():
    rng = np.random.default_rng(2)
    state = absorb(fresh(0.1), labels(rng.random(3000) < 0.4, START + DAY), ())
    assert rules.assess(make_model(), state, now=START + DAY).alarm is None


def test_the_next_look_is_when_a_window_closes_or_in_a_day(bins):
    state = run(bins, 1)
    assert rules.next_due(state, START) == START + DAY
    closes = state.slow.open[0].started + windows.WEEK
    assert rules.next_due(state, closes - Span.parse("5m")) == closes


def test_labels_that_stop_coming_are_a_warning_but_none_ever_is_not():
    missing = quality(0, 0, START + DAY)
    never = Batch(until=START + DAY, quality=(type(missing)(**_fields(missing) | {"matured": 1000}),))
    assert say(make_model(), absorb(fresh(), never, ()), START + DAY)[rules.LABELS, ""].standing == "insufficient"
    state = absorb(absorb(fresh(), labels([0] * 100, START + HOUR), ()), never, ())
    found = say(make_model(), state, START + DAY)[rules.LABELS, ""]
    assert (found.severity, found.failure) == ("warn", "late_labels")
    assert found.why.startswith("9.09% of the 1,100 rows")


def test_labels_that_come_and_match_no_row_are_a_warning_that_says_why():
    missing = quality(0, 0, START + DAY)
    matured = type(missing)(**_fields(missing) | {"matured": 1000})
    state = absorb(fresh(), Batch(until=START + DAY, quality=(matured,), unmatched={"m": 900, "other": 5}), ())
    found = say(make_model(), state, START + DAY)[rules.LABELS, ""]
    assert (found.severity, found.failure) == ("warn", "late_labels")
    assert "900 labels came that no row had waited for: known_after=" in found.why
    assert say(make_model(), state, START + 30 * DAY)[rules.LABELS, ""].standing == "insufficient"


def _fields(record):
    return {name: getattr(record, name) for name in record.__struct_fields__}


def test_twin_runs_say_the_same(bins):
    once, again = (
        rules.assess(
            make_model(monitors=[Drift("inputs"), CHECK]),
            absorb(run(bins, 3, shift=0.6), labels([1, 0] * 500, START + HOUR), bins),
            now=START + HOUR,
        )
        for _ in range(2)
    )
    assert once == again


def test_counts_do_not_depend_on_how_the_time_was_cut(bins):
    rng = np.random.default_rng(8)
    frame, errors = rows(rng, 900), rng.random(640) < 0.3
    whole = absorb(absorb(fresh(), inputs(bins, frame, START + HOUR), bins), labels(errors, START + HOUR), bins)
    parts = fresh()
    for cut in range(0, 900, 100):
        parts = absorb(parts, inputs(bins, frame[cut : cut + 100], START + HOUR), bins)
    for cut in range(0, 640, 64):
        parts = absorb(parts, labels(errors[cut : cut + 64], START + HOUR), bins)
    assert (parts.slow, parts.fast, parts.slabs, parts.labels) == (whole.slow, whole.fast, whole.slabs, whole.labels)
    # the retraining alarm needs the same evidence, if at another cut's end
    assert bool(parts.page.alarmed_at) == bool(whole.page.alarmed_at)


@pytest.mark.parametrize("sizes", [[1_000] * 6, [6_000], [250] * 24, [700, 2_900, 40, 2_360], [5_999, 1]])
def test_fast_windows_hold_the_same_thousand_rows_however_time_was_cut(bins, sizes):
    rng = np.random.default_rng(3)
    frame = rows(rng, 6_000, shift=0.6).with_columns(
        request_id=pl.Series([f"r{number:05d}" for number in range(6_000)]),
        at=pl.Series(START + np.arange(6_000)),
        version=pl.lit("1.0.0"),
        latency_us=pl.lit(1_000),
        value=pl.lit(1.0),
        score=pl.lit(None, dtype=pl.Float64),
        key=pl.lit(None, dtype=pl.String),
    )
    folder = Folder(Watch(model="m", task="binary", label_delay=Span.parse("1d"), bins=bins))
    state, taken = fresh(), 0
    for size in sizes:
        folder.add(frame[taken : taken + size], pl.DataFrame())
        taken += size
        state = absorb(state, folder.take(START + taken), bins)
    fast = [trail for trail in state.trails if trail.pace == "fast"]
    assert {trail.windows for trail in fast} == {6}
    assert {trail.n for trail in fast if trail.test == "cells"} == {1_000}
    assert state.fast is None
    assert sum(trail.verdict == "alert" for trail in fast) == 1, "the column that moved"
