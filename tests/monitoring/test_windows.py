"""Windows: a row counts in the week, or day, of its own time, in whatever order rows come; slices are one family with the whole."""

from __future__ import annotations

import msgspec
import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.monitoring.conftest import DAY, START, make_model

import flyball.declare.checks as checks
from flyball.evaluation.reference import bin_frame, reference
from flyball.evaluation.sliced import texts
from flyball.incidents.playbook import actions
from flyball.monitoring import rules
from flyball.monitoring.alerts import key_of
from flyball.monitoring.drift import drift_findings, drift_reason
from flyball.monitoring.state import MonitorState, absorb, released
from flyball.monitoring.windows import FAST_ROWS, Window, judge, reference_of
from flyball.records.evidence import Batch

WEEK = 7 * DAY
INPUTS = checks.Drift("inputs")


def fresh():
    return released(MonitorState(model="m"), "1.0.0", 0.2, START)


def rows(rng, n, *, shift=0.0, only=None, part=0):
    values = rng.normal(size=n)
    parts = rng.integers(0, 4, n)
    moved = np.ones(n, dtype=bool) if only is None else parts == only
    return pl.DataFrame({"x": values + shift * moved, "z": rng.normal(size=n), "part": parts + part})


@pytest.fixture(scope="module")
def bins():
    rng = np.random.default_rng(0)
    frame = rows(rng, 40_000).with_columns(__time=pl.Series(START - 60 * DAY + np.arange(40_000) * (60 * DAY // 40_000)))
    labels = pl.Series("label", (rng.random(40_000) < 0.2).astype(float))
    return reference(frame.with_columns(labels), ["x", "z", "part", "label"], slices={"part": "part"})


def counted(bins, frame, *, week=0, day=0):
    slices = [texts(frame["part"], "part")] if "part" in frame.columns else []
    found = bin_frame(bins, frame, model="m", slices=slices)
    return tuple(msgspec.structs.replace(counts, week=week, day=day) for counts in found)


def week_of(state, bins, frame, number):
    """One whole week of rows, and the moment it is over."""
    batch = Batch(until=START + (number + 1) * WEEK, inputs=counted(bins, frame, week=START + number * WEEK))
    return absorb(state, batch, bins)


def say(monitor, state):
    return {(found.column, found.slice): found for found in drift_findings(monitor, state)}


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_rows_that_come_late_by_up_to_three_weeks_give_the_same_trails_in_any_order(data):
    rng = np.random.default_rng(data.draw(st.integers(0, 5)))
    bins = REFERENCE
    sizes = [data.draw(st.sampled_from([30, 120, 400])) for _ in range(6)]
    parts = [
        (number, counted(bins, rows(rng, size, shift=0.8 * (number >= 2)), week=START + number * WEEK))
        for number, size in enumerate(sizes)
        for _ in range(2)
    ]
    # from while its week is open until it is the third that has closed
    lags = [data.draw(st.integers(0, 3)) for _ in parts]

    def run(weeks_late, order):
        state = fresh()
        for week in range(11):
            inputs = tuple(counts for place in order if parts[place][0] + weeks_late[place] == week for counts in parts[place][1])
            state = absorb(state, Batch(until=START + week * WEEK + WEEK // 2, inputs=inputs), bins)
        return [trail for trail in state.trails if trail.pace == "slow"], state.slow.late

    in_order = run([0] * len(parts), range(len(parts)))
    shuffled = run(lags, data.draw(st.permutations(range(len(parts)))))
    assert shuffled == in_order
    assert in_order[1] == 0


_RNG = np.random.default_rng(1)
REFERENCE = reference(
    rows(_RNG, 8_000).with_columns(__time=pl.Series(START - 60 * DAY + np.arange(8_000) * (60 * DAY // 8_000))),
    ["x", "z", "part"],
    slices={"part": "part"},
)


def test_late_rows_make_the_verdict_of_their_week_anew(bins):
    rng = np.random.default_rng(2)
    state = fresh()
    for number in range(2):
        state = week_of(state, bins, rows(rng, 500), number)
    assert {trail.verdict for trail in state.trails if trail.pace == "slow"} == {"none"}
    # three thousand rows of either week, uploaded in the third: they had drifted
    for number in range(2):
        part = counted(bins, rows(rng, 3_000, shift=0.8), week=START + number * WEEK)
        state = absorb(state, Batch(until=START + 2 * WEEK + (number + 1) * DAY, inputs=part), bins)
    found = say(INPUTS, state)["x", ""]
    assert (found.severity, found.standing, found.n) == ("alert", "settled", 3_500)
    assert not [trail for trail in state.trails if trail.pace == "fast" and trail.verdict != "none"], (
        "what is late says nothing of the present"
    )


def test_an_upload_in_many_parts_is_judged_once_a_minute(bins):
    rng = np.random.default_rng(17)
    state = week_of(fresh(), bins, rows(rng, 500), 0)
    seen = []
    for second in range(1, 130):
        part = counted(bins, rows(rng, 50), week=START)
        state = absorb(state, Batch(until=START + WEEK + second * 1_000_000, inputs=part), bins)
        seen.append(next(trail.n for trail in state.trails if trail.column == "x" and trail.test == "nulls" and trail.pace == "slow"))
    assert (set(seen[:59]), set(seen[59:119]), set(seen[119:])) == ({500}, {500 + 60 * 50}, {500 + 120 * 50})


def test_what_comes_more_than_three_weeks_late_is_counted_and_told(bins):
    rng = np.random.default_rng(3)
    state = fresh()
    for number in range(5):
        state = week_of(state, bins, rows(rng, 300), number)
    before = state.trails
    state = absorb(state, Batch(until=START + 5 * WEEK + 1, inputs=counted(bins, rows(rng, 700, shift=3), week=START)), bins)
    assert (state.trails, state.slow.late) == (before, 700)
    assert say(INPUTS, state)["x", ""].why.endswith("; 700 rows came too late for any window")


def test_rows_from_before_the_release_are_another_champions(bins):
    rng = np.random.default_rng(4)
    state = absorb(fresh(), Batch(until=START + DAY, inputs=counted(bins, rows(rng, 2_000, shift=3), week=START - WEEK)), bins)
    assert (state.slow.windows, state.slow.late, state.fast, state.trails) == ((), 0, None, ())


def test_a_slice_that_moves_alone_is_told_with_its_column(bins):
    rng = np.random.default_rng(5)
    state = fresh()
    for number in range(2):
        # one of four: the whole moves by an eighth of a standard deviation, below its floor
        state = week_of(state, bins, rows(rng, 4_000, shift=0.5, only=2), number)
    found = say(INPUTS, state)
    assert (found["x", ""].severity, found["x", "part=2"].severity, found["x", "part=2"].standing) == ("none", "alert", "settled")
    assert found["x", "part=2"].why.startswith("x in part=2: values are higher: median ")
    assert {key for key, one in found.items() if one.severity != "none"} == {("x", "part=2")}
    assert key_of("m", found["x", "part=2"]) == "m/drift of inputs/x in part=2"
    assert drift_reason(INPUTS, state) is None, "a model is trained on the whole"


def test_what_moves_as_a_whole_is_told_once(bins):
    rng = np.random.default_rng(6)
    state = fresh()
    for number in range(3):
        state = week_of(state, bins, rows(rng, 8_000, shift=0.6), number)
    assert [trail.slice for trail in state.trails if trail.column == "x" and trail.verdict == "alert" and trail.slice], (
        "it moved in the slices, too"
    )
    found = say(INPUTS, state)
    assert [key for key, one in found.items() if one.severity != "none"] == [("x", "")]
    assert found["x", "part=1"].why == "x in part=1: as the whole of x, which drifts"


def test_a_slice_that_recovered_says_so(bins):
    rng = np.random.default_rng(7)
    state = fresh()
    for number in range(2):
        state = week_of(state, bins, rows(rng, 4_000, shift=0.5, only=2), number)
    for number in range(2, 5):
        state = week_of(state, bins, rows(rng, 4_000), number)
    assert (say(INPUTS, state)["x", "part=2"].severity, say(INPUTS, state)["x", "part=2"].standing) == ("none", "settled")


def test_without_drift_nothing_is_said_of_slices_either(bins):
    rng = np.random.default_rng(8)
    alarms = looks = 0
    for n in (250, 1_000, 20_000):
        for _ in range(30):
            state = week_of(fresh(), bins, rows(rng, n), 0)
            alarms += any(trail.hits[-1] != "none" for trail in state.trails)
            looks += 1
    # at most .005 of windows have any alarm; two of 90 would be a surprise at that rate (7%)
    assert alarms <= 2
    assert looks == 90


def labelled(bins, rng, n, share, week):
    frame = pl.DataFrame({"label": (rng.random(n) < share).astype(float)})
    return tuple(msgspec.structs.replace(counts, week=week) for counts in bin_frame(bins, frame, model="m"))


def test_labels_whose_shares_moved_are_a_ticket_of_their_own_name(bins):
    rng = np.random.default_rng(9)
    monitor = checks.drift("labels")
    quiet, moved = fresh(), fresh()
    for number in range(2):
        until, week = START + (number + 1) * WEEK, START + number * WEEK
        quiet = absorb(quiet, Batch(until=until, inputs=labelled(bins, rng, 2_000, 0.2, week)), bins)
        moved = absorb(moved, Batch(until=until, inputs=labelled(bins, rng, 2_000, 0.45, week)), bins)
    assert say(monitor, quiet)["label", ""].severity == "none"
    found = say(monitor, moved)["label", ""]
    assert (found.severity, found.standing, found.failure) == ("alert", "settled", "label_drift")
    assert ("label", "") not in say(INPUTS, moved)
    assert actions(make_model().playbook, "label_drift") == ("ticket",)


def seasonal(rng, days, per_day, *, weekend=2.0, shift=0.0, first=0):
    """Weekends lie `weekend` higher: as a whole each day but a few looks drifted."""
    day = np.repeat(np.arange(first, first + days), per_day)
    return pl.DataFrame(
        {"x": rng.normal(size=day.size) + weekend * (day % 7 >= 5) + shift, "__time": START + day * DAY + rng.integers(0, DAY, day.size)}
    )


def daily_run(bins, frame, days, first):
    state = released(MonitorState(model="m"), "1.0.0", 0.2, START + first * DAY)
    for day in range(first, first + days):
        begin = START + day * DAY
        mine = frame.filter((pl.col("__time") >= begin) & (pl.col("__time") < begin + DAY))
        inputs = tuple(
            msgspec.structs.replace(counts, week=START + first * DAY + (day - first) // 7 * WEEK, day=begin)
            for counts in bin_frame(bins, mine, model="m")
        )
        state = absorb(state, Batch(until=begin + DAY, inputs=inputs), bins)
    return state


def test_days_are_compared_with_the_same_day_of_the_week():
    rng = np.random.default_rng(10)
    bins = reference(seasonal(rng, 84, 300).sort("__time"), ["x"])
    monitor = checks.drift(window="1d")
    quiet = daily_run(bins, seasonal(rng, 28, 300, first=84), 28, 84)
    days = [trail for trail in quiet.trails if trail.pace == "day" and trail.test == "cells"]
    assert [(trail.windows, trail.verdict) for trail in days] == [(28, "none")]
    assert say(monitor, quiet)["x", ""].severity == "none"
    moved = daily_run(bins, seasonal(rng, 3, 300, first=84, shift=0.6), 3, 84)
    found = say(monitor, moved)["x", ""]
    assert (found.severity, found.monitor) == ("alert", "drift of inputs in windows of 1d")
    assert say(INPUTS, moved).keys() <= {("", ""), ("x", "")}, "weeks are told by their own monitor"


def test_a_day_of_few_rows_and_a_reference_of_few_days_are_not_looked_at():
    rng = np.random.default_rng(11)
    long, short = reference(seasonal(rng, 84, 300).sort("__time"), ["x"]), reference(seasonal(rng, 40, 300).sort("__time"), ["x"])
    few = daily_run(long, seasonal(rng, 4, 150, first=84, shift=2), 4, 84)
    without = daily_run(short, seasonal(rng, 4, 300, first=84, shift=2), 4, 84)
    for state in (few, without):
        assert not [trail for trail in state.trails if trail.pace == "day"]
        found = say(checks.drift(window="1d"), state)["", ""]
        assert found.standing == "insufficient"
        assert "eight whole days of each day of the week" in found.why


def test_a_month_of_twenty_columns_in_ten_slices_is_small():
    rng = np.random.default_rng(12)

    def wide(n):
        data = {f"c{k}": rng.normal(size=n) if k % 2 else rng.choice([f"v{j}" for j in range(60)], n) for k in range(20)}
        return pl.DataFrame(data).with_columns(part=pl.Series(rng.integers(0, 10, n)))

    frame = wide(20_000)
    bins = reference(
        frame.with_columns(__time=START - 60 * DAY + np.arange(20_000) * (60 * DAY // 20_000)),
        [f"c{k}" for k in range(20)],
        slices={"part": "part"},
    )
    assert sum(bool(own.slice) for own in bins) == 200
    state = fresh()
    for number in range(5):
        state = week_of(state, bins, wide(5_000), number)
    # 20 MB are promised for all that is kept of a model in a month, of which this is the part that slices add to
    assert len(msgspec.json.encode(state)) < 2_000_000
    assert len(msgspec.json.encode(bins)) < 1_000_000


def test_a_release_begins_all_windows_anew(bins):
    rng = np.random.default_rng(13)
    state = week_of(fresh(), bins, rows(rng, 500), 0)
    after = released(state, "1.1.0", 0.2, START + WEEK)
    assert (after.slow.windows, after.daily.windows, after.fast, after.fast_labels, after.trails) == ((), (), None, None, ())
    assert rules.next_due(after, START + WEEK) == START + WEEK + DAY


AWKWARD = {
    "null": [None] * 600,
    "nan": [float("nan")] * 600,
    "infinite": [float("inf"), float("-inf"), 0.5] * 200,
    "constant": [7.0] * 600,
    "number": [float(k % 50) for k in range(600)],
}


@pytest.mark.parametrize("was", AWKWARD)
@pytest.mark.parametrize("comes", AWKWARD)
def test_awkward_columns_break_no_monitor_and_are_told_only_where_they_changed(was, comes):
    stamps = START - 60 * DAY + np.arange(600) * (DAY // 10)
    before, after = (pl.DataFrame({"x": pl.Series(AWKWARD[name], dtype=pl.Float64)}) for name in (was, comes))
    bins = reference(before.with_columns(__time=stamps), ["x"])
    state = fresh()
    for number in range(3):
        inputs = tuple(msgspec.structs.replace(one, week=START + number * WEEK) for one in bin_frame(bins, after, model="m"))
        state = absorb(state, Batch(until=START + (number + 1) * WEEK, inputs=inputs), bins)
    findings = rules.assess(make_model(), state, now=START + 3 * WEEK).findings
    assert not [found for found in findings if found.standing == "broken"]
    # not a number is null
    same = was == comes or {was, comes} == {"null", "nan"}
    assert {found.severity for found in findings if found.column == "x"} == ({"none"} if same else {"alert"})


def test_labels_of_one_class_and_labels_that_are_all_new_break_nothing():
    one = reference(pl.DataFrame({"label": ["yes"] * 600}), ["label"])
    for values, severity in ((["yes"] * 400, "none"), (["no"] * 400, "alert"), ([None] * 400, "alert")):
        state = fresh()
        for number in range(2):
            frame = pl.DataFrame({"label": pl.Series(values, dtype=pl.String)})
            inputs = tuple(msgspec.structs.replace(own, week=START + number * WEEK) for own in bin_frame(one, frame, model="m"))
            state = absorb(state, Batch(until=START + (number + 1) * WEEK, inputs=inputs), one)
        assert say(checks.drift("labels"), state)["label", ""].severity == severity


def test_a_window_without_rows_and_a_model_without_a_reference_say_nothing(bins):
    empty = absorb(fresh(), Batch(until=START + 3 * WEEK), bins)
    blind = absorb(fresh(), Batch(until=START + WEEK, inputs=counted(bins, rows(np.random.default_rng(15), 300), week=START)), ())
    for state in (empty, blind):
        assert state.trails == ()
        assert say(INPUTS, state)["", ""].standing == "insufficient"


def test_a_monitor_that_raises_is_broken_alone(bins, monkeypatch):
    rng = np.random.default_rng(16)
    state = fresh()
    for number in range(2):
        state = week_of(state, bins, rows(rng, 4_000, shift=0.6), number)

    def fails(*_):
        raise ZeroDivisionError("no requests")

    for name in ("contract_findings", "volume_findings"):
        monkeypatch.setattr(rules, name, fails)
    found = rules.assess(make_model(), state, now=START + 2 * WEEK).findings
    assert {one.monitor for one in found if one.standing == "broken"} == {rules.CONTRACT, rules.ARRIVE}
    assert any(one.column == "x" and one.severity == "alert" for one in found), "the others speak as ever"


def test_windows_that_close_together_are_judged_as_one_after_the_other(bins):
    rng, kind = np.random.default_rng(12), reference_of(bins)
    frames = [rows(rng, FAST_ROWS, shift=shift) for shift in (0.0, 1.0, 1.0, 0.0, 1.0, 0.0, 0.0, 0.0)]
    closed = [(Window(started=at, n=FAST_ROWS, columns=counted(bins, frame)), at + 1) for at, frame in enumerate(frames)]
    at_once = judge((), closed, kind, pace="fast")
    trails = ()
    for one in closed:
        trails = judge(trails, [one], kind, pace="fast")
    assert at_once == trails
    assert any(trail.slice for trail in trails)
    assert any(trail.verdict != "none" for trail in trails)
