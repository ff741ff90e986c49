"""Rows of an outcome go to answers once each, whatever the order, and add up by version, slice and day."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flyball.clock import Instant
from flyball.evaluation.counts_columns import SLICE
from flyball.evaluation.outcomes import ANSWERS, DAY, OTHER, Asked, days, join, judged, trial
from flyball.evaluation.sliced import VALUES
from flyball.records import codec
from flyball.records.evidence import MOST
from flyball.records.outcomes import OutcomeCounts, Trial
from flyball.records.rollouts import RolloutRow, RolloutState

HOUR = 3_600_000_000
COUNT = Asked(how="count", within=DAY, known=100 * DAY)


def answers(*rows: tuple[Any, ...], **more: list[Any]) -> pl.DataFrame:
    """Answers of (id, at, on) of version 1.0.0; `more` overrides columns."""
    told: dict[str, list[Any]] = {
        "request_id": [row[0] for row in rows],
        "at": [row[1] for row in rows],
        "version": ["1.0.0"] * len(rows),
        "role": ["champion"] * len(rows),
        "rollout": [""] * len(rows),
        "weight": [0] * len(rows),
        "unit": [row[0] for row in rows],
        "given": [True] * len(rows),
        "stand_in": [False] * len(rows),
    } | {name: values for name, values in more.items() if name in ANSWERS}
    base = pl.DataFrame([pl.Series(name, told[name], dtype=dtype) for name, dtype in ANSWERS.items()])
    beside = {"value": [1.0] * len(rows)} | {name: values for name, values in more.items() if name not in ANSWERS}
    return base.with_columns(pl.Series("on", [row[2] for row in rows]), *(pl.Series(name, values) for name, values in beside.items()))


def rows(*told: tuple[Any, Instant, float]) -> pl.DataFrame:
    return pl.DataFrame(
        {"on": [row[0] for row in told], "when": [row[1] for row in told], "value": [row[2] for row in told]},
        schema_overrides={"when": pl.Int64, "value": pl.Float64},
    )


def test_a_row_belongs_to_the_newest_answer_of_its_key_that_came_before_it_within_the_span() -> None:
    given_ = answers(("a", 0, "ana"), ("b", 5 * HOUR, "ana"), ("c", 5 * HOUR, "bea"))
    found = join(
        given_, rows(("ana", HOUR, 1.0), ("ana", 6 * HOUR, 2.0), ("ana", 6 * HOUR, 4.0), ("bea", HOUR, 8.0), ("bea", 9 * DAY, 9.0)), COUNT
    )
    assert found.answers.select("request_id", "rows", "total").rows() == [("a", 1, 1.0), ("b", 2, 6.0), ("c", 0, 0.0)]
    assert (found.rows, found.unmatched) == (5, 2), "one came before the answer, one long after"


def test_an_arm_that_failed_and_the_one_that_stood_in_are_one_answer() -> None:
    given_ = answers(("a", 0, "ana"), ("a", 0, "ana"), given=[False, True], version=["1.1.0", "1.0.0"], stand_in=[False, True])
    found = join(given_, rows(("ana", HOUR, 1.0)), COUNT)
    assert found.answers.select("version", "rows").rows() == [("1.0.0", 1)]


def test_rows_without_a_key_or_a_value_are_none() -> None:
    found = join(answers(("a", 0, None), ("b", 0, "ana")), rows((None, HOUR, 1.0), ("ana", HOUR, None)), COUNT)  # type: ignore[arg-type]
    assert found.answers["rows"].to_list() == [0, 0]
    assert found.rows == 0


@given(
    st.lists(st.tuples(st.integers(0, 5 * DAY), st.sampled_from("abc")), min_size=1, max_size=30),
    st.lists(st.tuples(st.sampled_from("abcd"), st.integers(0, 7 * DAY), st.floats(-10, 10)), max_size=40),
    st.randoms(use_true_random=False),
)
def test_every_row_counts_once_at_most_and_order_changes_nothing(asked: list[Any], brought: list[Any], random: Any) -> None:
    given_ = answers(*[(f"p{place}", at, on) for place, (at, on) in enumerate(asked)])
    found = join(given_, rows(*brought), COUNT)
    assert int(found.answers["rows"].sum()) == found.rows - found.unmatched == found.touched.height
    mixed = list(brought)
    random.shuffle(mixed)
    again = join(given_.sample(fraction=1.0, shuffle=True, seed=1), rows(*mixed), COUNT)
    assert again.answers.sort("request_id")["rows"].to_list() == found.answers.sort("request_id")["rows"].to_list()
    whole = [day for day in days(judged(found.answers, pl.DataFrame(), task="binary", near=None), COUNT, 0) if not day.slice]
    assert sum(day.total for day in whole) == found.touched.height
    assert sum(day.asked for day in whole) == len(asked)


@pytest.mark.parametrize(("how", "n", "total"), [("count", 3, 3.0), ("sum", 3, 10.0), ("mean", 2, 8.0)])
def test_silence_is_nothing_for_a_sum_and_unknown_for_a_mean(how: str, n: int, total: float) -> None:
    asked = Asked(how=how, within=DAY, known=50 * DAY)
    found = join(answers(("a", 0, "ana"), ("b", 0, "bea"), ("c", 0, "cem")), rows(("ana", 1, 1.0), ("ana", 2, 3.0), ("bea", 1, 6.0)), asked)
    made = days(judged(found.answers, pl.DataFrame(), task="binary", near=None), asked, 0)
    assert (made[0].n, made[0].total, made[0].told) == (n, total, 2)


def test_an_answer_whose_time_is_not_over_as_far_as_the_data_reach_is_not_judged() -> None:
    asked = Asked(how="sum", within=DAY, known=2 * DAY)
    given_ = answers(("a", 0, "ana"), ("b", DAY + HOUR, "bea"))
    found = join(given_, rows(("ana", HOUR, 1.0), ("bea", DAY + 2 * HOUR, 5.0)), asked)
    first, second = days(judged(found.answers, pl.DataFrame(), task="binary", near=None), asked, 0)
    assert (first.asked, first.due, first.n, first.total) == (1, 1, 1, 1.0)
    assert (second.asked, second.due, second.n, second.total) == (1, 0, 0, 0.0)


def test_answers_are_counted_by_slice_and_by_what_their_label_said() -> None:
    given_ = answers(("a", 0, "ana"), ("b", 0, "bea"), ("c", 0, "cem"), **{SLICE + "region": ["north", None, "north"]})
    labels = pl.DataFrame({"request_id": ["a", "b", "b"], "known": [1, 1, 2], "label": [1.0, 1.0, 0.0]})
    found = join(given_, rows(("ana", 1, 1.0), ("bea", 1, 1.0)), COUNT)
    whole, north = days(judged(found.answers, labels, task="binary", near=None), COUNT, 0)
    assert (whole.labelled, whole.loss, whole.right_n, whole.wrong_n) == (2, 1.0, 1, 1), "the newest label counts"
    assert (north.slice, north.asked, north.total, north.right_n) == ("region=north", 2, 1.0, 1)


def test_of_very_many_values_of_a_slice_the_largest_are_counted_and_the_rest_together() -> None:
    regions = [f"r{place % 30:02d}" if place < 300 else f"r{place % 5:02d}" for place in range(400)]
    given_ = answers(*[(f"p{place}", 0, f"c{place}") for place in range(400)], **{SLICE + "region": regions})
    found = days(judged(join(given_, rows(("c0", 1, 1.0)), COUNT).answers, pl.DataFrame(), task="binary", near=None), COUNT, 0)
    parts = {day.slice: day.asked for day in found if day.slice}
    assert len(parts) == VALUES + 1
    assert (parts["region=r00"], parts[f"region={OTHER}"]) == (30, 100)
    assert sum(parts.values()) == 400


def test_a_number_is_right_where_it_is_nearer_than_what_it_was_at_its_release() -> None:
    given_ = answers(("a", 0, "ana"), ("b", 0, "bea"), value=[1.0, 1.0])
    labels = pl.DataFrame({"request_id": ["a", "b"], "known": [1, 1], "label": [1.2, 3.0]})
    [day] = days(judged(join(given_, rows(("ana", 1, 1.0)), COUNT).answers, labels, task="regression", near=0.5), COUNT, 0)
    assert (day.labelled, day.right_n, day.wrong_n, day.right_total) == (2, 1, 1, 1.0)
    assert day.loss == pytest.approx(2.2)


@pytest.mark.parametrize("worth", [1.4e154, 1e300, 1.7e308, -1.7e308])
def test_values_too_large_to_be_squared_are_counts_that_can_be_sent(worth: float) -> None:
    asked = Asked(how="sum", within=DAY, known=50 * DAY)
    given_ = answers(("a", 0, "ana"), ("b", 0, "bea"), value=[float("inf"), 1.0])
    labels = pl.DataFrame({"request_id": ["a", "b"], "known": [1, 1], "label": [1.2, 3.0]})
    joined = join(given_, rows(("ana", 1, worth), ("ana", 2, worth), ("bea", 1, -worth)), asked)
    [day] = days(judged(joined.answers, labels, task="regression", near=0.5), asked, 0)
    counts = OutcomeCounts(outcome="o", content="", known=1, days=(day,))
    assert codec.decode(codec.encode(counts), OutcomeCounts) == counts
    assert (day.n, day.squares, day.labelled, day.loss, day.wrong_n) == (2, MOST, 1, 2.0, 1), (
        "an answer that is infinite is off by no number"
    )


def test_so_are_those_of_units_that_were_dealt_at_random() -> None:
    asked = Asked(how="sum", within=DAY, known=100 * DAY)
    records = split(200, np.random.default_rng(0))
    brought = rows(*[(f"c{place}", 11 * DAY + 2 * HOUR, 1.7e308) for place in range(200)])
    found = trial(join(records, brought, asked), records, asked, ROLLOUT)
    assert found is not None
    assert codec.decode(codec.encode(found), Trial) == found
    assert {arm.squares for arm in found.arms} == {MOST}


ROLLOUT = RolloutRow(
    rollout="ro_1", model="m", version="1.1.0", champion="1.0.0", steps=(), evidence="live", attempt=1,
    state=RolloutState.CANARY, step=0, planned_at=10 * DAY, entered_at=10 * DAY, why="",
)  # fmt: skip


def split(n: int, rng: np.random.Generator, *, sticky: bool = True) -> pl.DataFrame:
    """Two requests of each of n customers, an hour apart, half of them dealt to the new version."""
    first = rng.random(n) < 0.5
    second = first if sticky else rng.random(n) < 0.5
    new = np.concatenate([first, second])
    told = [(f"p{place}", 11 * DAY + place * 1000 + (place >= n) * HOUR, f"c{place % n}") for place in range(2 * n)]
    return answers(
        *told,
        version=["1.1.0" if each else "1.0.0" for each in new],
        role=["challenger" if each else "champion" for each in new],
        rollout=["ro_1"] * (2 * n),
        weight=[5_000] * (2 * n),
        unit=[f"c{place % n}" if sticky else f"p{place}" for place in range(2 * n)],
    )


def test_a_unit_counts_once_under_the_version_that_it_met_first() -> None:
    records = split(200, np.random.default_rng(0))
    brought = rows(*[(f"c{place}", 11 * DAY + 2 * HOUR, 1.0) for place in range(0, 200, 2)])
    found = trial(join(records, brought, COUNT), records, COUNT, ROLLOUT)
    assert found is not None
    assert sum(arm.units for arm in found.arms) == 200
    assert sum(arm.total for arm in found.arms) == 100
    assert (found.bounded, found.mixed, found.joined) == (True, 0, 200)


def test_keys_that_meet_both_versions_are_told() -> None:
    records = split(200, np.random.default_rng(0), sticky=False)
    found = trial(join(records, rows(("c1", 11 * DAY + 2 * HOUR, 1.0)), COUNT), records, COUNT, ROLLOUT)
    assert found is not None
    assert found.mixed > 60


def test_values_are_cut_off_at_what_was_usual_before_the_rollout() -> None:
    rng = np.random.default_rng(1)
    before = answers(*[(f"q{place}", 8 * DAY + HOUR + place, f"old{place}") for place in range(300)])
    records = pl.concat([before, split(100, rng)])
    usual = rows(*[(f"old{place}", 8 * DAY + 2 * HOUR, 1.0 + place) for place in range(300)])
    brought = pl.concat([usual, rows(("c5", 11 * DAY + 2 * HOUR, 1e9))])
    asked = Asked(how="sum", within=DAY, known=100 * DAY)
    found = trial(join(records, brought, asked), records, asked, ROLLOUT)
    assert found is not None
    assert found.cap == 297.0
    assert sum(arm.total for arm in found.arms) == 297.0


def test_where_nothing_was_dealt_there_is_no_trial() -> None:
    records = answers(("a", 11 * DAY, "ana"))
    assert trial(join(records, rows(("ana", 11 * DAY + 1, 1.0)), COUNT), records, COUNT, ROLLOUT) is None
