"""An estimate is a warning at most, is called an estimate, is held against the labels that come, and is refused in words."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from tests.monitoring.conftest import DAY, START, make_model

from flyball.clock import Span
from flyball.declare.checks import metric
from flyball.monitoring import estimates
from flyball.monitoring.answered import CELLS_KEPT, extend, within
from flyball.records.estimates import Estimate
from flyball.records.unlabelled import AnsweredDay, ErrorColumn, ErrorModel, Expected, Kept, PerformanceEstimated, ToldApart
from flyball.stats.scores import cells_of

SCORES = cells_of(np.array([0.1, 0.3, 0.7, 0.9])).tolist()
CALIBRATED = {SCORES[0]: (900, 100, 0, 0), SCORES[1]: (700, 300, 0, 0), SCORES[2]: (0, 0, 300, 700), SCORES[3]: (0, 0, 100, 900)}


def answers(low=250, mid_low=250, mid_high=250, high=250, **more):
    scores = dict(zip(SCORES, ((low, 0), (mid_low, 0), (0, mid_high), (0, high)), strict=True))
    n = low + mid_low + mid_high + high
    return AnsweredDay(**({"version": "1.0.0", "day": 1, "n": n, "scores": scores} | more))


def estimated(day=None, *, expected=None, metric="accuracy"):
    return estimates.estimated(expected or Expected(scores=CALIBRATED), day or answers(), metric=metric, seed=3)


def event(value=0.8, *, low=0.78, high=0.82, **fields):
    given = {
        "model": "m",
        "version": "1.0.0",
        "since": START - 7 * DAY,
        "until": START,
        "n": 1_000,
        "metric": "accuracy",
        "reference": "",
        "estimates": {"accuracy": Estimate(value=value, low=low, high=high, n=1_000)},
        "level": {"accuracy": 0.8},
        "blind": "a label is known 30d after the answer",
        "apart": apart(0.5, 0.48),
    }
    return PerformanceEstimated(**(given | fields))


def apart(value, low, *, usual=None):
    own = Estimate(value=usual, low=usual - 0.02, high=usual + 0.02, n=5_000) if usual is not None else None
    auc = Estimate(value=value, low=low, high=value + 0.02, n=10_000)
    return ToldApart(auc=auc, usual=own, columns={"income": 0.71}, reference_rows=5_000, rows=5_000)


def findings(*events, version="1.0.0"):
    row = None
    for each in events:
        row = estimates.remembered(row, each, each.until)
    return {found.monitor: found for found in estimates.estimate_findings(row, version)}


def test_the_estimate_lies_near_what_the_scores_say_and_its_level_is_the_hold_outs():
    found, level, own, refused = estimated()
    assert refused == ""
    assert level["accuracy"] == 0.8
    assert found["accuracy"].value == pytest.approx(0.8, abs=0.001)
    assert found["accuracy"].low < 0.8 < found["accuracy"].high
    assert own == ("accuracy", found["accuracy"].value, pytest.approx(0.0155, abs=0.01))
    assert estimated(metric="recall")[2][0] == "recall"
    assert estimated(metric="roc_auc")[2][0] == "accuracy", "counts of labels give no AUC"


def test_answers_the_model_is_less_sure_of_are_expected_to_be_wrong_more_often():
    found, *_ = estimated(answers(low=50, mid_low=450, mid_high=450, high=50))
    assert found["accuracy"].value == pytest.approx(0.72, abs=0.001)


@pytest.mark.parametrize(
    ("day", "why"),
    [(answers(20, 20, 20, 20), "the window has 80 answers"), (AnsweredDay(version="1.0.0", day=1), "the window has 0 answers")],
)
def test_too_few_answers_or_none_are_refused(day, why):
    found, _, own, refused = estimated(day)
    assert (found, own) == ({}, None)
    assert why in refused


def test_a_hold_out_of_one_class_is_refused_and_a_model_without_scores_says_so():
    one = Expected(scores={SCORES[0]: (2_000, 0, 0, 0)})
    assert "0 rows of one class" in estimated(expected=one)[3]
    assert estimated(expected=Expected(why="the model gives no scores"))[3] == "the model gives no scores"


def numbers():
    column = ErrorColumn(column="x", group_of=(0, 1, 1), groups=2)
    zeros = ((0.0,) * 3,) * 3
    return Expected(
        errors=ErrorModel(columns=(column,), effects=(2.0, -1.0, 1.0), covariance=zeros, squares=(1.0, 0.0, 0.0), n=5_000, mean=2.0)
    )


def test_the_error_of_numbers_follows_the_cells_of_the_column_that_tells():
    day = AnsweredDay(version="1.0.0", day=1, n=400, columns={"x": (100, 200, 100)})
    found, level, own, refused = estimated(day, expected=numbers())
    assert (refused, level) == ("", {"mae": 2.0})
    assert found["mae"].value == pytest.approx(0.25 * 1 + 0.75 * 3)
    assert own[2] == pytest.approx(0.05)


def test_a_column_that_is_not_sent_any_more_is_refused():
    day = AnsweredDay(version="1.0.0", day=1, n=400, columns={})
    assert estimated(day, expected=numbers())[3] == "x was not counted for all rows of the window, and the error depends on it"


def test_a_warning_only_when_the_whole_interval_lies_beyond_the_level_less_the_margin():
    assert findings(event(0.75, low=0.71, high=0.79))[estimates.ESTIMATED].severity == "none"
    found = findings(event(0.7, low=0.66, high=0.74))[estimates.ESTIMATED]
    assert (found.severity, found.failure, found.floor) == ("warn", "performance", pytest.approx(0.78))
    assert found.why.startswith(
        "an estimate, for a label is known 30d after the answer: accuracy 0.7 [0.66, 0.74] in 1,000 answers without labels"
    )
    assert "AUC 0.50 [0.48, 0.52]" in found.why
    assert findings(event(0.01, low=0.0, high=0.02))[estimates.ESTIMATED].severity == "warn", "never more than a warning"


def test_an_error_is_worse_when_it_is_larger():
    errors = {"metric": "mae", "level": {"mae": 2.0}}
    for low, severity in ((2.1, "none"), (2.3, "warn")):
        given = errors | {"estimates": {"mae": Estimate(value=2.4, low=low, high=2.6, n=900)}}
        assert findings(event(**given))[estimates.ESTIMATED].severity == severity


def test_where_labels_tell_nothing_is_said_of_an_estimate():
    assert estimates.ESTIMATED not in findings(event(0.1, low=0.05, high=0.15, blind=""))


def test_what_is_refused_lacks_data_and_says_why():
    found = findings(event(estimates={}, refused="the window has 80 answers"))[estimates.ESTIMATED]
    assert (found.severity, found.standing) == ("none", "insufficient")
    assert found.why.startswith("no estimate: the window has 80 answers; a classifier tells")


def test_of_another_champion_nothing_is_said_yet():
    assert {found.standing for found in findings(event(), version="1.1.0").values()} == {"insufficient"}
    assert findings() == {}


def test_rows_that_are_told_apart_twice_in_three_looks_are_drift_of_the_rows_as_a_whole():
    one, two = event(apart=apart(0.7, 0.68)), event(apart=apart(0.71, 0.69), until=START + DAY)
    assert findings(one)[estimates.WHOLE].severity == "none", "once is no drift"
    found = findings(one, two)[estimates.WHOLE]
    assert (found.severity, found.failure, found.value, found.floor) == ("alert", "input_drift", "income", 0.65)
    assert "told by income (0.71 by itself)" in found.why
    weak = event(apart=apart(0.58, 0.56), until=START + DAY)
    assert findings(one, weak)[estimates.WHOLE].severity == "warn"
    assert findings(one, event(until=START + DAY))[estimates.WHOLE].severity == "none"


def test_windows_of_the_hold_out_that_differ_as_much_make_it_no_drift():
    events = [event(apart=apart(0.7, 0.68, usual=0.7), until=START + day * DAY) for day in range(3)]
    assert findings(*events)[estimates.WHOLE].severity == "none"


def kept(week, value=0.8, **more):
    until = START + week * 7 * DAY
    return Kept(**({"metric": "accuracy", "value": value, "sd": 0.01, "n": 700, "since": until - 7 * DAY, "until": until} | more))


def week_of(week, right, *, n=700, labelled=700):
    day = (START + week * 7 * DAY) // DAY - 3
    tp = round(right * labelled)
    return AnsweredDay(version="1.0.0", day=day, n=n, matured=n, labelled=labelled, tp=tp, fp=labelled - tp)


def confronted(past, days, *, delay="30d", weeks=20):
    return estimates.confronted(past, days, "1.0.0", delay=Span.parse(delay), now=START + weeks * 7 * DAY)


def test_labels_that_come_confirm_an_estimate_or_contradict_it():
    past = [kept(week) for week in range(3)]
    assert confronted(past, [week_of(week, 0.8) for week in range(3)]) == (0, 3)
    assert confronted(past, [week_of(0, 0.8), week_of(1, 0.7), week_of(2, 0.7)]) == (2, 3)
    assert estimates.refused_by_labels(1, 3) == ""
    assert "lay outside of their interval in 2" in estimates.refused_by_labels(2, 3)


def test_only_the_newest_three_windows_apart_from_one_another_count():
    past = [kept(week) for week in range(6)]
    days = [week_of(week, 0.6 if week < 3 else 0.8) for week in range(6)]
    assert confronted(past, days) == (0, 3)
    daily = [kept(2, since=kept(2).since - day * DAY, until=kept(2).until - day * DAY) for day in range(7)]
    assert confronted(daily, [week_of(2, 0.8)]) == (0, 1), "windows that overlap are one look"


def test_what_has_not_matured_or_has_few_labels_is_not_confronted():
    assert confronted([kept(2)], [week_of(2, 0.5)], weeks=3) == (0, 0)
    assert confronted([kept(2)], [week_of(2, 0.5, labelled=300)]) == (0, 0)
    assert confronted([], []) == (0, 0)


def test_of_half_the_labels_the_interval_is_wider():
    past = [kept(2)]
    assert confronted(past, [week_of(2, 0.777)]) == (1, 1)
    assert confronted(past, [week_of(2, 0.777, labelled=350)]) == (0, 1)


def test_errors_of_numbers_are_confronted_by_their_mean():
    past = [kept(2, metric="mae", value=2.0, sd=0.1)]
    day = msgspec.structs.replace(week_of(2, 0.0), abs_error=2.05 * 700)
    assert confronted(past, [day]) == (0, 1)
    assert confronted(past, [msgspec.structs.replace(day, abs_error=3.0 * 700)]) == (1, 1)


def test_a_window_too_far_from_the_hold_out_is_refused():
    assert estimates.refused_by_rows(0.75) == ""
    assert "AUC at least 0.80" in estimates.refused_by_rows(0.8)
    assert estimates.refused_by_rows(None) == ""


def test_labels_are_blind_when_they_are_late_or_few():
    now = START + 10 * DAY
    days = [AnsweredDay(version="1.0.0", day=now // DAY - 3, n=100, matured=100, labelled=50)]
    assert estimates.blind(make_model(), days, "1.0.0", now) == "50% of the rows that matured have a label"
    assert estimates.blind(make_model(), [msgspec.structs.replace(days[0], labelled=90)], "1.0.0", now) == ""
    assert estimates.blind(make_model(), [], "1.0.0", now) == ""


def test_the_watched_metric_is_the_first_declared_one_that_can_be_estimated():
    assert estimates.metric_of(make_model()) == "accuracy"
    assert estimates.metric_of(make_model(monitors=[metric("latency_p99") <= 0.1, metric("recall") >= 0.5])) == "recall"


def test_the_past_is_forgotten_with_the_version_and_bounded():
    row = None
    for day in range(200):
        row = estimates.remembered(row, event(until=START + day * DAY, kept=kept(1)), START)
    assert (len(row.past), len(row.apart)) == (estimates.KEPT, 3)
    assert estimates.remembered(row, event(version="1.1.0"), START).past == ()


def test_cells_of_old_days_go_and_their_sums_stay():
    day = answers(day=100, labelled=5)
    kept_days = extend((day,), [answers(day=100 + CELLS_KEPT + 1)], (100 + CELLS_KEPT + 1) * DAY)
    assert (kept_days[0].scores, kept_days[0].n, kept_days[0].labelled) == ({}, 1_000, 5)
    assert kept_days[1].scores
    assert within(kept_days, "1.0.0", 0, 200 * DAY).n == 2_000
    assert within(kept_days, "1.1.0", 0, 200 * DAY).n == 0
