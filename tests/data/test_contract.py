"""A contract names every rule that does not hold, with counts and examples."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import pairwise

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flyball.data.baseline import Gathering
from flyball.data.contract import Checker, LastGood, checker, findings, times, violations, warnings
from flyball.data.profile import profile
from flyball.declare.columns import Column
from flyball.declare.data import Dataset
from flyball.errors import DeclarationError

START = datetime(2026, 1, 1)


def dataset(columns, **changes):
    return Dataset("d", source="d.csv", columns=columns, **changes)


def hours(count):
    return [START + timedelta(hours=place) for place in range(count)]


def test_a_frame_that_holds_says_nothing():
    made = dataset({"x": Column(float, between=(0, 1)), "k": Column(str, one_of=("a",))}, min_rows=2, unique=["x"])
    assert violations(made, pl.DataFrame({"x": [0.0, 1.0], "k": ["a", "a"]})) == ()


def test_values_out_of_bounds_are_counted_and_shown():
    made = dataset({"x": Column(float, between=(0, 1))})
    assert violations(made, pl.DataFrame({"x": [0.5, 2.0, -1.0, 2.0, 3.0, 4.0]})) == (
        "x: 5 of 6 values are not between 0 and 1 (row 2: 2.0, row 3: -1.0, row 5: 3.0)",
    )


def test_values_that_are_not_among_the_allowed_are_counted_and_shown():
    made = dataset({"k": Column(str, one_of=("a", "b"), nulls="50%")})
    assert violations(made, pl.DataFrame({"k": ["a", "c", None, "d"]})) == ("k: 2 of 4 values are not one of a, b (row 2: c, row 4: d)",)


def test_missing_values_are_a_share():
    made = dataset({"x": Column(float, nulls="25%")})
    assert violations(made, pl.DataFrame({"x": [1.0, None, 1.0, 1.0]})) == ()
    assert violations(made, pl.DataFrame({"x": [1.0, None, None, 1.0]})) == (
        "x: 2 of 4 values are missing, at most 25% may be (row 2, row 3)",
    )


def test_a_value_that_is_not_due_yet_is_not_missing():
    made = dataset({"y": Column(float, known_after="2h")}, time="at")
    rows = pl.DataFrame({"y": [1.0, 1.0, 1.0, None, None], "at": hours(5)})
    assert violations(made, rows) == ()
    assert violations(made, rows.with_columns(y=pl.Series([1.0, None, 1.0, None, None]))) == (
        "y: 1 of 3 values are missing, at most 0% may be (row 2)",
    )


def test_too_few_rows_rows_without_time_and_repeated_keys_are_said_at_once():
    made = dataset({"k": str}, time="at", min_rows=1_000, unique=["k"])
    rows = pl.DataFrame({"k": ["a", "a", "b"], "at": [START, None, START]})
    assert violations(made, rows) == (
        "3 rows, at least 1,000 are required",
        "at: 1 of 3 rows have no time (row 2)",
        "k: must be unique, 1 of 3 rows repeat another (row 2 repeats row 1)",
    )


def test_a_key_of_two_columns_is_unique_as_a_pair():
    made = dataset({"a": int, "b": int}, unique=["a", "b"])
    assert violations(made, pl.DataFrame({"a": [1, 1], "b": [1, 2]})) == ()
    assert len(violations(made, pl.DataFrame({"a": [1, 1], "b": [2, 2]}))) == 1


def test_a_column_that_only_warns_does_not_block():
    made = dataset({"x": Column(float, between=(0, 1), on_breach="warn"), "z": Column(float, between=(0, 1))})
    rows = pl.DataFrame({"x": [7.0], "z": [8.0]})
    assert violations(made, rows) == ("z: 1 of 1 values are not between 0 and 1 (row 1: 8.0)",)
    assert warnings(made, rows) == ("x: 1 of 1 values are not between 0 and 1 (row 1: 7.0)",)


@settings(max_examples=100, deadline=None)
@given(values=st.lists(st.none() | st.integers(-3, 3).map(float), min_size=1, max_size=30), low=st.integers(-3, 3), width=st.integers(0, 3))
def test_bounds_find_exactly_the_values_outside(values, low, width):
    made = dataset({"x": Column(float, between=(low, low + width), nulls="100%")})
    outside = sum(value is not None and not low <= value <= low + width for value in values)
    found = violations(made, pl.DataFrame({"x": values}, schema={"x": pl.Float64}))
    assert (f"x: {outside} of {len(values)} values" in "".join(found)) == (outside > 0)


@pytest.mark.parametrize("empty", [[], [None]])
def test_no_values_are_within_any_bounds(empty):
    made = dataset({"x": Column(float, between=(0, 1), nulls="100%")})
    assert violations(made, pl.DataFrame({"x": empty}, schema={"x": pl.Float64})) == ()


def test_a_column_that_is_empty_throughout_misses_all_its_values():
    made = dataset({"late": Column(bool, nulls=0)})
    assert violations(made, pl.DataFrame({"late": [None] * 2_767}, schema={"late": pl.Boolean})) == (
        "late: 2,767 of 2,767 values are missing, at most 0% may be (row 1, row 2, row 3)",
    )


def test_a_value_that_is_known_after_all_times_is_never_due():
    longest = "104249d"
    made = dataset({"y": Column(float, known_after=longest)}, time="at")
    ends = pl.Series([2**53 - 2, 2**53 - 1]).cast(pl.Datetime("us"))
    assert violations(made, pl.DataFrame({"y": [None, None], "at": ends}, schema_overrides={"y": pl.Float64})) == ()
    with pytest.raises(DeclarationError, match=f"at most {longest}"):
        Column(float, known_after="104250d")


def test_values_are_shown_on_one_line():
    made = dataset({"k": Column(str, one_of=("a",))})
    assert violations(made, pl.DataFrame({"k": ["b\n" * 50]})) == (
        "k: 1 of 1 values are not one of a (row 1: " + (r"b\n" * 20)[:40] + "…)",
    )


NOW = 1_767_225_600_000_000 + 100 * 86_400_000_000
"""A hundred days after START."""


def good(made, frame, version="1.2.0"):
    """A version of this frame, as the contract knows it."""
    gathering = Gathering(made)
    gathering.add(frame)
    last = int(frame[made.time].max().timestamp() * 1e6) if made.time else 0
    stats = {one.name: one for one in profile(made, frame)}
    return LastGood(version, frame.height, last, stats, gathering.baseline())


def checked(made, *frames, **more):
    checker = Checker(made, **more)
    for frame in frames:
        checker.add(frame)
    return checker.findings()


def words(*parts):
    """(word, count) … as a column."""
    return [word for word, count in parts for _ in range(count)]


def timed(values, name="word", first=0):
    return pl.DataFrame({name: values, "at": [START + timedelta(minutes=first + place) for place in range(len(values))]})


# against the last good version


def test_a_category_that_was_never_there_is_named_with_its_count_and_since_when():
    made = dataset({"word": str}, time="at")
    before = timed(words(("debt", 400), ("home", 600)))
    after = pl.concat([before, timed(words(("debt_consolidation", 41), ("home", 171)), first=1440)])
    found = checked(made, after, baseline=good(made, before))
    assert [one.text for one in found] == [
        "word: 41 of 212 new rows have a value that was never there: debt_consolidation (41); 0 in version 1.2.0; new since 2026-01-02"
    ]
    assert (found[0].rule, found[0].severity, found[0].column, found[0].count, found[0].of) == ("unseen", "warn", "word", 41, 212)
    assert (found[0].examples[0].row, found[0].examples[0].value) == (1001, "debt_consolidation")


def test_history_that_was_written_anew_shows_among_all_rows():
    made = dataset({"word": str}, time="at")
    before = timed(words(("debt", 400), ("home", 600)))
    found = checked(made, timed(words(("DEBT", 400), ("home", 600))), baseline=good(made, before))
    assert found[0].text.startswith("word: 400 of 1,000 rows have a value that was never there: DEBT (400); 0 in version 1.2.0")


def test_rare_new_values_of_a_column_that_always_has_some_say_nothing():
    made = dataset({"word": str}, time="at")
    before = timed([*words(("a", 900)), *(f"once {place}" for place in range(100))])
    after = pl.concat([before, timed([*words(("a", 90)), *(f"again {place}" for place in range(10))], first=2_000)])
    assert checked(made, after, baseline=good(made, before)) == []


def test_few_unseen_values_are_told_only_where_the_contract_asks():
    before = timed(words(("a", 5_000)))
    after = timed(words(("a", 4_990), ("b", 10)))
    assert checked(dataset({"word": str}, time="at"), after, baseline=good(dataset({"word": str}, time="at"), before)) == []
    strict = dataset({"word": Column(str, unseen="0.1%")}, time="at")
    assert [(one.rule, one.severity) for one in checked(strict, after, baseline=good(strict, before))] == [("unseen", "block")]
    lax = dataset({"word": Column(str, unseen="0.2%")}, time="at")
    assert checked(lax, after, baseline=good(lax, before)) == []


def test_a_declared_rule_holds_for_many_known_values_and_for_whole_numbers():
    many = dataset({"word": Column(str, unseen=0, on_breach="warn")})
    before = pl.DataFrame({"word": [f"w{place}" for place in range(3_000)] * 2})
    found = checked(many, pl.DataFrame({"word": [*before["word"], "new"]}), baseline=good(many, before))
    assert [(one.severity, one.values) for one in found] == [("warn", ("new (1)",))]
    codes = dataset({"code": Column(int, unseen=0)})
    before = pl.DataFrame({"code": [1, 2, 3] * 100})
    found = checked(codes, pl.DataFrame({"code": [1, 2, 3, 4]}), baseline=good(codes, before))
    assert [(one.rule, one.examples[0].row, one.examples[0].value) for one in found] == [("unseen", 4, "4")]


def test_mass_that_moves_is_told_with_where_it_went():
    made = dataset({"x": float, "word": str})
    chance = np.random.default_rng(0)
    calm, wild = chance.normal(0, 1, 5_000), chance.normal(2, 1, 5_000)
    before = pl.DataFrame({"x": calm, "word": words(("a", 4_000), ("b", 1_000))})
    after = pl.DataFrame({"x": wild, "word": words(("a", 2_000), ("b", 3_000))})
    found = {one.column: one for one in checked(made, after, baseline=good(made, before))}
    assert found["word"].text == "word: 39% of the values have moved since version 1.2.0, most of them to b (20% → 60%)"
    assert "most of them to > 1." in found["x"].text
    assert {one.severity for one in found.values()} == {"warn"}
    assert {one.rule for one in found.values()} == {"shift"}


def test_a_declared_shift_blocks_and_a_small_sample_does_not():
    made = dataset({"word": Column(str, shift="5%")})
    before = good(made, pl.DataFrame({"word": words(("a", 5_000), ("b", 5_000))}))
    moved = pl.DataFrame({"word": words(("a", 5_800), ("b", 4_200))})
    assert [(one.rule, one.severity) for one in checked(made, moved, baseline=before)] == [("shift", "block")]
    assert checked(made, pl.DataFrame({"word": words(("a", 7), ("b", 3))}), baseline=before) == []


@pytest.mark.parametrize("n", [30, 300, 3_000])
def test_where_nothing_has_moved_a_strict_rule_is_silent_in_hundreds_of_looks(n):
    made = dataset({"x": Column(float, shift=0), "word": Column(str, shift=0)})
    chance = np.random.default_rng(n)

    def drawn(size):
        return pl.DataFrame({"x": chance.lognormal(size=size), "word": chance.choice([f"w{place}" for place in range(60)], size)})

    before = good(made, drawn(3_000))
    found = [checked(made, drawn(n).with_columns(pl.col("word").cast(pl.String)), baseline=before) for _ in range(150)]
    assert [one for each in found for one in each if one.rule == "shift"] == []


def test_how_many_such_rows_the_last_version_had_is_said():
    made = dataset({"x": Column(float, between=(0, 9), nulls="50%"), "k": Column(str, one_of=("a", "b"))}, time="at", min_rows=9)
    before = good(made, timed([1.0, None, 9.0, 4.0] * 3, "x").with_columns(k=pl.lit("a")))
    after = timed([None, None, None, 10.0], "x", first=5_000).with_columns(k=pl.lit("c"))
    assert [one.text for one in checked(made, after, baseline=before)] == [
        "4 rows, at least 9 are required; 12 in version 1.2.0",
        "x: 3 of 4 values are missing, at most 50% may be (row 1, row 2, row 3); 3 in version 1.2.0",
        "x: 1 of 4 values are not between 0 and 9 (row 4: 10.0); 0 in version 1.2.0; new since 2026-01-04",
        "k: 4 of 4 values are not one of a, b (row 1: c); 0 in version 1.2.0; new since 2026-01-04",
    ]


# found elsewhere


def test_values_that_the_other_data_set_does_not_have_are_counted_and_shown():
    shops = Dataset("shops", source="s.csv", id="shop", columns={"city": str})
    made = dataset({"shop": str, "x": float}, references={"shop": shops})
    frame = pl.DataFrame({"shop": ["s1", "s9", None, "s9", "s8"], "x": [1.0] * 5}, schema={"shop": pl.String, "x": pl.Float64})
    made = dataset({"shop": Column(str, nulls=1), "x": float}, references={"shop": shops})
    found = checked(made, frame, known={"shop": pl.Series(["s1", "s2"])})
    assert [one.text for one in found] == ["shop: 3 of 5 values are not in shops.shop: s9 (2), s8 (1) (row 2: s9, row 5: s8)"]
    assert checked(made, frame.head(1), known={"shop": pl.Series(["s1", None])}) == []


def test_a_value_that_one_rule_of_its_column_allows_and_another_does_not_is_told_by_that_one_alone():
    lines = Dataset("lines", source="lines.csv", id="line", columns={"name": str})
    data = Dataset("rides", source="rides.csv", columns={"line": Column(str, one_of=("red", "blue", "green"))}, references={"line": lines})
    known = {"line": pl.Series(["red", "blue", "gold", "gone"])}
    checker = Checker(data, known=known)
    checker.add(pl.DataFrame({"line": ["red", "green", None, "gold", "blue"]}))
    told = {found.rule: found.values for found in checker.findings()}
    assert told["references"] == ("green (1)",)
    assert told["one_of"] == ("gold (1)",)


@pytest.mark.parametrize("name", ["rows in all", "count", "value", "row"])
def test_a_column_may_have_any_name(name):
    data = Dataset("rides", source="rides.csv", columns={name: Column(str, one_of=("red", "blue"))})
    gathering = Gathering(data)
    gathering.add(pl.DataFrame({name: ["red", "blue"] * 50}))
    checker = Checker(data, baseline=LastGood("1.0.0", 100, 0, {}, gathering.baseline()))
    checker.add(pl.DataFrame({name: ["red", "gold"]}))
    [found] = checker.findings()
    assert found.values == ("gold (1)",)


def test_a_data_set_that_nobody_has_read_holds_no_value():
    shops = Dataset("shops", source="s.csv", id="shop", columns={"city": str})
    made = dataset({"shop": str}, references={"shop": shops}, on_breach="warn")
    found = checked(made, pl.DataFrame({"shop": ["s1"]}))
    assert [(one.severity, one.text) for one in found] == [("warn", "shop: nothing is known of shops.shop, where its values must be found")]


# times


def test_a_gap_is_found_in_whatever_order_rows_come():
    made = dataset({"x": int}, time="at", gap="2h", on_breach="warn")
    at = [START + timedelta(hours=hour) for hour in (0, 1, 2, 8, 9, 30)]
    text = (
        "at: 2 of 5 steps are longer than 2h, the longest 21h"
        " (2026-01-01T09:00:00Z to 2026-01-02T06:00:00Z, 2026-01-01T02:00:00Z to 2026-01-01T08:00:00Z)"
    )
    for order in ([0, 1, 2, 3, 4, 5], [5, 3, 1, 0, 2, 4]):
        rows = pl.DataFrame({"x": 1, "at": [at[place] for place in order]})
        for cut in range(7):
            assert [one.text for one in checked(made, rows[:cut], rows[cut:])] == [text]
    assert checked(made, pl.DataFrame({"x": 1, "at": at[:3]})) == []


def test_a_clock_that_goes_back_is_found_in_the_order_of_the_source():
    made = dataset({"x": int}, time="at", disorder="1h")
    at = [START + timedelta(minutes=minute) for minute in (0, 60, 30, 0, 90, 29, 120)]
    rows = pl.DataFrame({"x": 1, "at": at})
    text = "at: 1 of 7 rows lie more than 1h behind an earlier row of the source, at most 1h1m (row 6: 2026-01-01 00:29:00)"
    for cut in range(8):
        assert [one.text for one in checked(made, rows[:cut], rows[cut:])] == [text]
    assert checked(dataset({"x": int}, time="at", disorder="61m"), rows) == []


def test_times_beyond_now_are_found_and_told_of_more_than_a_day_where_nothing_is_declared():
    rows = pl.DataFrame({"x": 1, "at": [START, START + timedelta(days=100, hours=3), START + timedelta(days=102)]})
    found = checked(dataset({"x": int}, time="at", ahead="1h"), rows, now=NOW)
    assert [(one.severity, one.count) for one in found] == [("block", 2)]
    assert "(row 2: 2026-04-11 03:00:00, row 3: 2026-04-13 00:00:00)" in found[0].text
    told = checked(dataset({"x": int}, time="at"), rows, now=NOW)
    assert [(one.severity, one.count) for one in told] == [("warn", 1)]
    assert checked(dataset({"x": Column(int, known_after="-1d")}, time="at"), rows, now=NOW) == []


# keys


def test_keys_that_only_seem_alike_are_looked_at(monkeypatch):
    made = dataset({"k": str}, unique=["k"])
    frame = pl.DataFrame({"k": ["a", "b", "a", "c"]})
    monkeypatch.setattr(pl.Series, "hash", lambda series, *_: pl.Series([7] * len(series), dtype=pl.UInt64))
    assert [one.text for one in checked(made, frame)] == ["k: must be unique, 1 of 4 rows repeat another (row 3 repeats row 1)"]
    batches = [frame[:1], frame[1:]]
    assert [one.count for one in checked(made, *batches, again=lambda: batches)] == [1]


# all at once, and the same whatever the batches


def rich():
    shops = Dataset("shops", source="s.csv", id="shop", columns={"city": str})
    return dataset(
        {
            "x": Column(float, between=(0, 1)),
            "k": Column(str, one_of=("a", "b")),
            "word": Column(str, unseen="1%", shift="10%"),
            "late": Column(int, known_after="90m"),
            "shop": str,
            "name": Column(str, personal=True, one_of=("Ann",)),
        },
        time="at",
        id="who",
        min_rows=500,
        unique=["who"],
        references={"shop": shops, "name": (shops, "city")},
        gap="3h",
        disorder="30m",
        ahead="0s",
        on_breach="warn",
    )


def rich_rows(count, seed):
    chance = np.random.default_rng(seed)
    minutes = chance.integers(0, 60 * 24 * 30, count) if seed % 2 else np.sort(chance.integers(0, 60 * 24 * 30, count))
    return pl.DataFrame(
        {
            "x": chance.normal(0.5, 0.4, count),
            "k": [str(word) for word in chance.choice(["a", "b", "c", "d", "e"], count)],
            "word": [str(word) for word in chance.choice(["old", "older", "new"], count)],
            "late": [None if chance.random() < 0.2 else 1 for _ in range(count)],
            "shop": [str(word) for word in chance.choice(["s1", "s2", "s7"], count)],
            "name": [str(word) for word in chance.choice(["Ann", "Beatrix Unmistakable"], count)],
            "at": [START + timedelta(minutes=int(minute)) for minute in minutes],
            "who": [f"Carl Unmistakable {place}" for place in chance.integers(0, 2 * count, count)],
        },
        schema_overrides={"late": pl.Int64},
    )


def rich_before():
    made = rich()
    frame = rich_rows(300, 4).with_columns(word=pl.Series(words(("old", 200), ("older", 100))))
    return good(made, frame.filter(pl.col("x").is_between(0, 1)))


KNOWN = {"shop": pl.Series(["s1", "s2"]), "name": pl.Series(["Ann"])}


def test_everything_that_is_wrong_is_said_at_once_and_nobody_is_named():
    found = checked(rich(), rich_rows(400, 3), baseline=rich_before(), now=NOW - 90 * 86_400_000_000, known=KNOWN)
    assert [(one.rule, one.column) for one in found] == [
        ("min_rows", ""),
        ("unique", "who"),
        ("references", "shop"),
        ("references", "name"),
        ("gap", "at"),
        ("disorder", "at"),
        ("ahead", "at"),
        ("between", "x"),
        ("one_of", "k"),
        ("unseen", "word"),
        ("shift", "word"),
        ("nulls", "late"),
        ("one_of", "name"),
    ]
    assert "Unmistakable" not in str(found)
    assert "not shown: the column is personal" in next(one.text for one in found if (one.rule, one.column) == ("references", "name"))


@settings(max_examples=40, deadline=None)
@given(count=st.integers(1, 60), seed=st.integers(0, 50), cuts=st.lists(st.integers(0, 60), max_size=4))
def test_batches_say_what_the_whole_says(count, seed, cuts):
    frame = rich_rows(count, seed)
    ends = sorted({0, count, *(min(cut, count) for cut in cuts)})
    batches = [frame[start:stop] for start, stop in pairwise(ends)]
    more = {"baseline": rich_before(), "now": NOW - 90 * 86_400_000_000, "known": KNOWN}
    assert checked(rich(), *batches, **more) == checked(rich(), frame, **more)


@pytest.mark.parametrize("count", [1, 7, 8, 60])
def test_so_does_a_frame_that_is_looked_at_in_parts(monkeypatch, count):
    more = {"baseline": rich_before(), "now": NOW - 90 * 86_400_000_000, "known": KNOWN}
    whole = checked(rich(), rich_rows(count, 1), **more)
    monkeypatch.setattr(checker, "_PART", 7)
    monkeypatch.setattr(times, "_PART", 7)
    assert checked(rich(), rich_rows(count, 1), **more) == whole
    assert checked(rich(), rich_rows(0, 1), **more)[0].rule == "min_rows"


@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(st.tuples(st.none() | st.integers(0, 6), st.booleans()), min_size=1, max_size=25),
    after=st.integers(1, 4),
    cuts=st.lists(st.integers(0, 25), max_size=4),
)
def test_late_values_are_missed_once_they_are_due_in_any_order_and_any_batches(rows, after, cuts):
    made = dataset({"y": Column(int, known_after=f"{after}h", on_breach="warn")}, time="at")
    newest = max((hour for hour, _ in rows if hour is not None), default=None)
    due = [empty for hour, empty in rows if hour is not None and newest is not None and hour + after <= newest]
    frame = pl.DataFrame(
        {
            "y": [None if empty else 1 for _, empty in rows],
            "at": [None if hour is None else START + timedelta(hours=hour) for hour, _ in rows],
        },
        schema={"y": pl.Int64, "at": pl.Datetime("us")},
    )
    ends = sorted({0, len(rows), *(min(cut, len(rows)) for cut in cuts)})
    found = [one for one in checked(made, *(frame[start:stop] for start, stop in pairwise(ends))) if one.rule == "nulls"]
    assert [(one.count, one.of) for one in found] == ([(sum(due), len(due))] if any(due) else [])


@settings(max_examples=60, deadline=None)
@given(keys=st.lists(st.tuples(st.none() | st.integers(0, 5), st.sampled_from("ab")), min_size=1, max_size=25), cut=st.integers(0, 25))
def test_repeated_keys_are_exactly_those_that_an_earlier_row_has(keys, cut):
    made = dataset({"a": Column(int, nulls=1), "b": str}, unique=["a", "b"])
    frame = pl.DataFrame({"a": [one for one, _ in keys], "b": [two for _, two in keys]}, schema={"a": pl.Int64, "b": pl.String})
    repeats = [place + 1 for place, key in enumerate(keys) if key in keys[:place]]
    found = checked(made, frame[:cut], frame[cut:])
    assert [(one.count, [each.row for each in one.examples]) for one in found] == ([(len(repeats), repeats[:3])] if repeats else [])


@settings(max_examples=60, deadline=None)
@given(hours=st.lists(st.none() | st.integers(0, 40), min_size=1, max_size=20), limit=st.integers(0, 9), cut=st.integers(0, 20))
def test_order_and_gaps_are_those_of_a_walk_along_the_rows(hours, limit, cut):
    made = dataset({"x": int}, time="at", disorder=f"{limit}h", gap=f"{limit + 1}h")
    rows = pl.DataFrame(
        {"x": 1, "at": [None if hour is None else START + timedelta(hours=hour) for hour in hours]},
        schema={"x": pl.Int64, "at": pl.Datetime("us")},
    )
    behind, newest = [], None
    for place, hour in enumerate(hours):
        if hour is not None:
            newest = hour if newest is None else max(newest, hour)
            behind += [place + 1] if newest - hour > limit else []
    present = sorted(hour for hour in hours if hour is not None)
    gaps = sum(later - earlier > limit + 1 for earlier, later in pairwise(present))
    found = {one.rule: one for one in checked(made, rows[:cut], rows[cut:])}
    assert (found["disorder"].count if "disorder" in found else 0) == len(behind)
    assert (found["gap"].count if "gap" in found else 0) == gaps


def test_a_frame_alone_is_held_against_no_version_no_clock_and_no_other_data_set():
    assert [one.rule for one in findings(dataset({"word": str}, time="at"), timed(["a"] * 3, first=10**8))] == []
