"""Every served value is told apart exactly: right, late, absent, too many, or wrong; and what cannot be told is not called right."""

from __future__ import annotations

import dataclasses
from dataclasses import replace

import polars as pl
import pytest

import flyball as fb
from flyball.features.assemble import moments
from flyball.features.skew import Held, Judged, ServedRow, State, Truth, judge, logged, needed, same
from flyball.features.windows import prepare
from flyball.records.skew import FeatureSkew, Skew, added

DAY = 86_400_000_000
NOW = 20 * DAY

payments = fb.Dataset("payments", source="x.csv", time="ts", columns={"who": str, "amount": float})
loans = fb.Dataset("loans", source="y.csv", time="ts", columns={"who": str, "good": fb.column(int, known_after="1d")})


def view(spent: str = "7d") -> fb.FeatureView:
    features = {
        "spent": fb.window(spent).sum("amount"),
        "times": fb.window("7d").count(),
        "largest": fb.window("7d").max("amount"),
    }
    return fb.FeatureView("habits", payments, entity="who", features=features)


HABITS = view()
MODEL = fb.Model(
    "credit", task="binary", data=loans, label="good", features=[HABITS], train=fb.Train(lambda X, y: None, window="30d", holdout="7d")
)


def rows(days: int = 30) -> pl.DataFrame:
    """A payment a day of each of three people, of which cy stopped on day 14."""
    found = [
        (who, day * DAY, 0.1 * day + n) for n, who in enumerate(("ana", "bo", "cy")) for day in range(days) if who != "cy" or day <= 14
    ]
    ts = pl.Series("ts", [moment for _, moment, _ in found]).cast(pl.Datetime("us"))
    return pl.DataFrame({"who": [who for who, _, _ in found], "amount": [amount for _, _, amount in found], "ts": ts})


def known(frame: pl.DataFrame, until: int) -> pl.DataFrame:
    return frame.filter(pl.col("ts").cast(pl.Int64) <= until)


TRUTH = Truth(Held(rows(), 29 * DAY), "newest")


def served(
    by: fb.FeatureView, frame: pl.DataFrame, keys: list[str], *, at: int = NOW, content: str = "newest", as_of: int = 0
) -> list[ServedRow]:
    """What a store over `frame` that computes `by` gives for these keys."""
    times = pl.Series([at] * len(keys), dtype=pl.Int64).to_numpy()
    found = prepare(by, frame).values(moments(MODEL, by, times, pl.DataFrame({"who": keys})))
    given = [dict(zip(found.columns, values, strict=True)) for values in logged(found)]
    return [
        ServedRow(f"r{n}", at, (key,), values, (State(content, as_of),)) for n, (key, values) in enumerate(zip(keys, given, strict=True))
    ]


def judged(*given: ServedRow, truth: Truth = TRUTH, taken=lambda _content: None) -> Judged:
    return judge(MODEL, HABITS, given, truth, taken)


def counts(found: Judged) -> dict[str, dict[str, int]]:
    shown = ("equal", "missing", "extra", "stale", "wrong", "unknown")
    return {one.feature: {name: getattr(one, name) for name in shown if getattr(one, name)} for one in found.features}


def test_what_the_same_engine_gave_on_the_same_rows_is_equal() -> None:
    found = judged(*served(HABITS, rows(), ["ana", "bo", "cy", "nobody"]))
    assert counts(found) == {name: {"equal": 4} for name in ("spent", "times", "largest")}
    assert found.differences == ()


def test_a_five_day_window_in_place_of_seven_days_is_found_by_feature_row_and_class_and_nothing_else() -> None:
    given = served(view("5d"), rows(), ["ana", "bo", "cy", "nobody"])
    found = judged(*given)
    assert counts(found) == {"spent": {"equal": 1, "wrong": 3}, "times": {"equal": 4}, "largest": {"equal": 4}}
    assert {(one.row, one.feature, one.skew) for one in found.differences} == {
        (row.row, "spent", Skew.WRONG) for row in given if row.key != ("nobody",)
    }
    [ana] = [one for one in found.differences if one.key == ("ana",)]
    assert (ana.served, ana.offline) == (
        pytest.approx(sum(0.1 * day for day in range(16, 21))),
        pytest.approx(sum(0.1 * day for day in range(14, 21))),
    )


def test_a_row_that_looks_a_view_up_by_two_columns_is_judged_by_both() -> None:
    visits = fb.Dataset("visits", source="v.csv", time="ts", columns={"who": str, "shop": int, "amount": float})
    pair = fb.FeatureView("pair", visits, entity=("who", "shop"), features={"spent": fb.window("7d").sum("amount")})
    own = fb.Dataset("own", source="o.csv", time="ts", columns={"who": str, "at": int, "good": fb.column(int, known_after="1d")})
    model = MODEL.replace("pairs", data=own, features=[pair.on("who", "at")])
    frame = pl.concat([rows().with_columns(shop=pl.lit(1)), rows().with_columns(shop=pl.lit(2), amount=pl.lit(1.0))])
    asked = [("ana", 1), ("ana", 2), ("bo", 2), ("bo", 3), ("bo", None)]
    keys = pl.DataFrame(asked, schema={"who": pl.String, "at": pl.Int64}, orient="row")
    found = prepare(pair, frame).values(moments(model, model.features[0], pl.Series([NOW] * 5, dtype=pl.Int64).to_numpy(), keys))
    assert found["spent"].to_list() == [pytest.approx(sum(0.1 * day for day in range(14, 21))), 7.0, 7.0, 0.0, 0.0]
    given = [
        ServedRow(f"r{n}", NOW, key, {"spent": value}, (State("newest"),))
        for n, (key, value) in enumerate(zip(asked, found["spent"], strict=True))
    ]
    given[2] = ServedRow("r2", NOW, ("bo", 2), {"spent": 9.0}, (State("newest"),))
    needs = needed(model, model.features[0], given)
    kept = frame.filter(needs.rows).select(needs.columns)
    assert set(needs.columns) == {"who", "shop", "amount", "ts"}
    judged = judge(model, model.features[0], given, Truth(Held(kept, 29 * DAY), "newest"), lambda _content: None)
    assert [(one.row, one.key, one.skew, one.offline) for one in judged.differences] == [("r2", ("bo", 2), Skew.WRONG, 7.0)]


def test_a_store_that_was_behind_is_stale_and_not_wrong() -> None:
    behind = known(rows(), NOW - 2 * DAY)
    given = served(HABITS, behind, ["ana", "cy"], content="older")
    found = judged(*given, taken={"older": Held(behind, NOW - 2 * DAY)}.get)
    assert counts(found) == {"spent": {"stale": 1, "equal": 1}, "times": {"stale": 1, "equal": 1}, "largest": {"stale": 1, "equal": 1}}


def test_a_store_that_had_taken_up_a_part_of_the_newest_version_is_stale_as_well() -> None:
    given = served(HABITS, known(rows(), NOW - 2 * DAY), ["ana"], as_of=NOW - 2 * DAY)
    assert counts(judged(*given)) == {name: {"stale": 1} for name in ("spent", "times", "largest")}


def test_a_store_that_had_gone_on_since_the_worker_looked_at_it_is_not_wrong() -> None:
    older, old = known(rows(), NOW - 3 * DAY), known(rows(), NOW - 2 * DAY)
    [row] = served(HABITS, old, ["ana"])
    versions = {"older": Held(older, NOW - 3 * DAY), "old": Held(old, NOW - 2 * DAY)}
    found = judged(replace(row, states=(State("older"), State("old"))), taken=versions.get)
    assert counts(found) == {name: {"stale": 1} for name in ("spent", "times", "largest")}
    assert counts(judged(replace(row, states=(State("older"),)), taken=versions.get)) == {
        name: {"wrong": 1} for name in ("spent", "times", "largest")
    }


def test_rows_that_were_pushed_and_were_of_no_version_then_count_as_taken_up() -> None:
    pushed = known(rows(), NOW - DAY)
    given = served(HABITS, pushed, ["ana"], content="older", as_of=NOW - DAY)
    versions = {"older": Held(known(rows(), NOW - 3 * DAY), NOW - 3 * DAY)}
    assert counts(judged(*given, taken=versions.get)) == {name: {"stale": 1} for name in ("spent", "times", "largest")}
    # and until a version has them nothing can be said
    truth = Truth(Held(known(rows(), NOW - 2 * DAY), NOW - 2 * DAY), "newest")
    assert counts(judged(*given, truth=truth, taken=versions.get)) == {name: {"unknown": 1} for name in ("spent", "times", "largest")}


def test_what_was_taken_up_of_pushed_rows_is_not_told_where_one_came_late() -> None:
    """It says no other time than its own, so that it seems to have been there; whose values it does not touch are judged as ever."""
    there = known(rows(), NOW - DAY).filter((pl.col("who") != "ana") | (pl.col("ts").cast(pl.Int64) != NOW - 3 * DAY))
    versions = {"older": Held(known(rows(), NOW - 4 * DAY), NOW - 4 * DAY)}
    ana, bo = (served(view("5d"), there, [who], content="older", as_of=NOW - DAY) for who in ("ana", "bo"))
    found = counts(judged(*ana, *bo, taken=versions.get))
    assert found["times"] == {"unknown": 1, "stale": 1}
    assert found["spent"] == {"unknown": 2}, "five days of what was on its way are not told from seven"
    cy = served(view("5d"), there, ["cy"], content="older", as_of=NOW - DAY)
    assert counts(judged(*cy, taken=versions.get))["spent"] == {"wrong": 1}, "none of whose rows was on its way"


def test_a_row_that_was_pushed_late_is_not_called_wrong_before_a_version_holds_it() -> None:
    """It lies before the newest row of the version that it was added to."""
    late = pl.DataFrame({"who": ["ana"], "amount": [100.0], "ts": [NOW - DAY // 2]}).with_columns(pl.col("ts").cast(pl.Datetime("us")))
    there = pl.concat([rows(), late])
    [given] = served(HABITS, there, ["ana"], as_of=29 * DAY)
    given = dataclasses.replace(given, states=(State("newest", 29 * DAY, pushed=7),))
    assert counts(judged(given, truth=Truth(TRUTH.held, "newest", through=6)))["largest"] == {"unknown": 1}
    after = Truth(Held(there, 29 * DAY), "later", through=7)
    assert counts(judged(given, truth=after, taken={"newest": TRUTH.held}.get))["largest"] == {"equal": 1}
    [wrong] = served(view("5d"), there, ["bo"])
    wrong = dataclasses.replace(wrong, states=given.states)
    assert counts(judged(wrong, truth=after, taken={"newest": TRUTH.held}.get))["spent"] == {"wrong": 1}


def test_a_value_of_a_state_between_two_that_the_worker_looked_at_is_not_called_wrong() -> None:
    versions = {str(days): Held(known(rows(), NOW - days * DAY), NOW - days * DAY) for days in (1, 2, 3)}
    [between] = served(HABITS, versions["2"].rows, ["ana"])
    between = dataclasses.replace(between, states=(State("3"), State("1")))
    assert counts(judged(between, taken=versions.get))["times"] == {"unknown": 1}
    lost = dataclasses.replace(between, values={"spent": 0.0, "times": 0, "largest": None})
    assert counts(judged(lost, taken=versions.get))["times"] == {"missing": 1}, "no state that it was in has no rows"
    [wrong] = served(view("5d"), versions["2"].rows, ["cy"])
    wrong = dataclasses.replace(wrong, states=(State("3"), State("1")))
    assert counts(judged(wrong, taken=versions.get))["spent"] == {"wrong": 1}


def test_of_a_version_only_the_rows_are_needed_that_a_value_can_rest_on() -> None:
    given = served(HABITS, rows(), ["ana", "nobody"])
    found = needed(MODEL, HABITS, given)
    kept = rows().filter(found.rows).select(found.columns)
    assert kept["who"].unique().to_list() == ["ana"]
    days = kept["ts"].cast(pl.Int64) // DAY
    assert (days.min(), days.max()) == (13, 20), "seven days up to the moment"
    assert (found.columns, found.first, found.last) == (["who", "amount", "ts"], 13 * DAY, 20 * DAY)
    assert judged(*given, truth=Truth(Held(kept, 29 * DAY), "newest")) == judged(*given)


def test_of_a_value_of_the_newest_row_no_rows_are_needed_from_before_its_ttl() -> None:
    newest = fb.FeatureView("newest", HABITS.data, entity="who", features={"amount": "amount"}, ttl="3d")
    given = served(newest, rows(), ["ana", "bo"])
    found = needed(MODEL, newest, given)
    assert (found.first, found.last) == (17 * DAY, 20 * DAY)
    kept = Truth(Held(rows().filter(found.rows).select(found.columns), 29 * DAY), "newest")
    whole, part = (judge(MODEL, newest, given, truth, lambda _content: None) for truth in (TRUTH, kept))
    assert counts(part) == counts(whole) == {"amount": {"equal": 2}}
    assert needed(MODEL, fb.FeatureView("newest", HABITS.data, entity="who", features={"amount": "amount"}), given).first < 0


def test_a_wrong_computation_over_a_store_that_was_behind_is_wrong() -> None:
    behind = known(rows(), NOW - 2 * DAY)
    given = served(view("5d"), behind, ["ana"], content="older")
    assert counts(judged(*given, taken={"older": Held(behind, NOW - 2 * DAY)}.get)) == {
        "spent": {"wrong": 1},
        "times": {"stale": 1},
        "largest": {"stale": 1},
    }


def test_a_key_that_the_store_has_lost_is_missing_its_counts_too() -> None:
    found = judged(*served(HABITS, rows().filter(pl.col("who") != "ana"), ["ana", "bo"]))
    assert counts(found) == {name: {"missing": 1, "equal": 1} for name in ("spent", "times", "largest")}
    assert {(one.row, one.served) for one in found.differences} == {("r0", 0.0), ("r0", 0), ("r0", None)}


def test_a_value_where_there_is_none_is_extra() -> None:
    [row] = served(HABITS, rows(), ["nobody"])
    found = judged(ServedRow(row.row, row.moment, row.key, row.values | {"largest": 3.5}, row.states))
    assert counts(found) == {"spent": {"equal": 1}, "times": {"equal": 1}, "largest": {"extra": 1}}


def test_a_moment_that_the_newest_version_does_not_reach_is_not_called_right_yet_but_wrong_is_wrong() -> None:
    truth = Truth(Held(known(rows(), NOW - DAY), NOW - DAY), "newest")
    assert counts(judged(*served(HABITS, truth.held.rows, ["ana"]), truth=truth)) == {
        name: {"unknown": 1} for name in ("spent", "times", "largest")
    }
    found = judged(*served(view("5d"), truth.held.rows, ["ana"]), truth=truth)
    assert counts(found) == {"spent": {"wrong": 1}, "times": {"unknown": 1}, "largest": {"unknown": 1}}
    lost = judged(*served(HABITS, truth.held.rows.filter(pl.col("who") != "ana"), ["ana"]), truth=truth)
    assert counts(lost) == {name: {"missing": 1} for name in ("spent", "times", "largest")}


def test_what_was_taken_up_and_is_not_held_any_more_leaves_what_differs_unknown() -> None:
    behind = known(rows(), NOW - 2 * DAY)
    for as_of in (0, 19 * DAY):
        found = judged(*served(HABITS, behind, ["ana"], content="gone", as_of=as_of))
        assert counts(found)["spent"] == {"unknown": 1}
    found = judged(*served(HABITS, behind, ["ana", "cy"], content="gone"))
    assert counts(found) == {name: {"unknown": 1, "equal": 1} for name in ("spent", "times", "largest")}


def test_what_rested_on_erased_rows_is_unknown_even_where_it_is_the_same() -> None:
    truth = Truth(Held(rows(), 29 * DAY), "newest", erased=lambda key, moment: key == ("ana",) and moment == NOW)
    found = judged(*served(HABITS, rows(), ["ana", "bo"]), truth=truth)
    assert counts(found) == {name: {"unknown": 1, "equal": 1} for name in ("spent", "times", "largest")}


def test_a_worker_that_had_no_data_yet_is_behind() -> None:
    found = judged(*served(HABITS, rows().clear(), ["ana"], content=""))
    assert counts(found) == {name: {"stale": 1} for name in ("spent", "times", "largest")}


def test_a_view_that_cannot_be_computed_any_more_is_unknown_and_says_why() -> None:
    found = judged(*served(HABITS, rows(), ["ana"]), truth=Truth(Held(rows().drop("amount"), 29 * DAY), "newest"))
    assert counts(found) == {name: {"unknown": 1} for name in ("spent", "times", "largest")}
    assert "amount" in found.problem


@pytest.mark.parametrize(("one", "other"), [(1, 1.0), (1, True), (0, False), (None, 0), (None, 0.0), ("", None), (0.1 + 0.2, 0.3)])
def test_values_of_another_type_or_one_bit_apart_are_not_the_same(one: object, other: object) -> None:
    assert not same(one, other)
    assert same(one, one)
    assert same(other, other)


def test_counts_of_parts_are_those_of_the_whole() -> None:
    parts = [
        FeatureSkew(view="v", feature="a", equal=2, wrong=1),
        FeatureSkew(view="v", feature="b", stale=4),
        FeatureSkew(view="v", feature="a", equal=3),
    ]
    assert added(parts) == [FeatureSkew(view="v", feature="a", equal=5, wrong=1), FeatureSkew(view="v", feature="b", stale=4)]
