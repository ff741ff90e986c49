"""Columns by slice: bounded references, counts that add up to the whole, and rows cut where their windows are."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from flyball.clock import Span
from flyball.evaluation import sliced
from flyball.evaluation.counts import Folder
from flyball.evaluation.reference import DAY, WEEK, bin_frame, reference
from flyball.evaluation.sliced import texts
from flyball.records.evidence import Watch

START = 1_700_000_000_000_000 // DAY * DAY


def frame(rng, n, days=70):
    return pl.DataFrame(
        {
            "x": pl.Series(np.where(rng.random(n) < 0.05, np.nan, rng.normal(size=n))).fill_nan(None),
            "c": rng.choice(["a", "b", None], n).tolist(),
            "day": rng.integers(0, 4, n),
            "__time": START + np.arange(n) * (days * DAY // n),
        }
    )


def test_the_slices_of_a_column_are_its_rows_in_its_own_cells():
    rows = frame(np.random.default_rng(0), 4_000)
    bins = reference(rows, ["x", "c", "day"], slices={"day": "day"})
    for column in ("x", "c"):
        whole = next(own for own in bins if own.column == column and not own.slice)
        parts = [own for own in bins if own.column == column and own.slice]
        assert [own.slice for own in parts] == ["day=0", "day=1", "day=2", "day=3"]
        assert np.sum([own.counts for own in parts], axis=0).tolist() == list(whole.counts)
        assert (sum(own.n for own in parts), sum(own.nulls for own in parts)) == (whole.n, whole.nulls)
        assert all(not own.edges and not own.values and len(own.spread) == len(own.fast) == 4 for own in parts)
    assert not [own for own in bins if own.column == "day" and own.slice], "in its own value a slice never moves"


def test_rows_that_come_are_counted_in_the_cells_of_their_slice():
    rng = np.random.default_rng(1)
    bins = reference(frame(rng, 4_000), ["x", "c", "day"], slices={"day": "day"})
    new = frame(rng, 500).with_columns(day=pl.Series(rng.integers(0, 6, 500)))
    found = {(own.column, own.slice): own for own in bin_frame(bins, new, slices=[texts(new["day"], "day")])}
    assert {name for _, name in found} == {"", "day=0", "day=1", "day=2", "day=3"}, "a value without a reference is in the whole alone"
    for number in range(4):
        alone = bin_frame(bins, new.filter(pl.col("day") == number))
        for own in alone:
            if own.column != "day":
                part = found[own.column, f"day={number}"]
                assert (part.n, part.nulls, part.cells) == (own.n, own.nulls, own.cells)


def test_the_reference_of_slices_is_bounded():
    rng = np.random.default_rng(2)
    n = 60_000
    rows = pl.DataFrame(
        {"x": rng.normal(size=n), "many": rng.integers(0, 100, n), "rare": rng.integers(0, 3_000, n), "also": rng.integers(0, 50, n)}
    )
    bins = reference(rows, ["x", "many"], slices={"many": "many", "rare": "rare", "also": "also"})
    of_x = [own.slice for own in bins if own.column == "x" and own.slice]
    assert len(of_x) == sliced.MOST_VALUES
    assert sum(name.startswith("many=") for name in of_x) == sum(name.startswith("also=") for name in of_x) == sliced.VALUES
    assert not any(name.startswith("rare=") for name in of_x), "twenty rows a value tell nothing"
    wide = pl.DataFrame({f"x{number}": rng.normal(size=n) for number in range(100)}).with_columns(part=pl.Series(rng.integers(0, 10, n)))
    assert (
        sum(bool(own.slice) for own in reference(wide, [f"x{number}" for number in range(100)], slices={"part": "part"}))
        <= sliced.MOST_PAIRS
    )


def test_days_of_the_week_need_eight_whole_days_each():
    rng = np.random.default_rng(3)
    long, short = (reference(frame(rng, 7_000, days), ["x"])[0] for days in (70, 50))
    assert len(long.weekdays) == 7
    assert long.daily[-1] == 68, "the first and the last day are not whole"
    assert sum(row[-1] for row in long.weekdays) == 6_800
    assert (short.weekdays, short.daily) == ((), ())


def watched(**more):
    bins = reference(
        frame(np.random.default_rng(4), 3_000).with_columns(label=pl.Series([0.0, 1.0, 1.0] * 1_000)),
        ["x", "c", "label"],
        slices={"day": "day"},
    )
    return Watch(model="m", task="binary", label_delay=Span.parse("1d"), slices=("day",), bins=bins, origin=START + 5, **more)


def rows_at(rng, times):
    n = len(times)
    return (
        frame(rng, n)
        .with_columns(
            request_id=pl.Series([f"r{at}-{number}" for number, at in enumerate(times)]),
            at=pl.Series(times),
            version=pl.lit("1.0.0"),
            latency_us=pl.lit(1_000),
            value=pl.lit(1.0),
            score=pl.lit(None, dtype=pl.Float64),
            key=pl.lit(None, dtype=pl.String),
        )
        .drop("__time")
    )


def test_no_count_spans_two_weeks_or_two_days():
    rng = np.random.default_rng(5)
    times = np.sort(rng.integers(START + 5, START + 5 + 2 * WEEK, 300))
    folder = Folder(watched(daily=True))
    folder.add(rows_at(rng, times), pl.DataFrame())
    whole = [counts for counts in folder.take(START + 3 * WEEK).inputs if counts.column == "x" and not counts.slice]
    expected: dict[tuple[int, int], int] = {}
    for at in times.tolist():
        key = START + 5 + (at - START - 5) // WEEK * WEEK, at // DAY * DAY
        expected[key] = expected.get(key, 0) + 1
    assert {(counts.week, counts.day): counts.n for counts in whole} == expected


def test_labels_are_counted_when_their_rows_mature_whole_and_by_slice():
    rng = np.random.default_rng(6)
    times = START + 5 + np.arange(2_400) * DAY // 240
    rows = rows_at(rng, times)
    labels = pl.DataFrame({"request_id": rows["request_id"], "at": pl.Series(times + 1), "value": pl.Series([1.0, 0.0] * 1_200)})
    folder = Folder(watched())
    folder.add(rows, labels)
    found = [counts for counts in folder.take(START + 12 * DAY).inputs if counts.column == "label"]
    whole = [counts for counts in found if not counts.slice]
    assert sum(counts.n for counts in whole) == 2_400
    assert [counts.n for counts in whole] == [1_000, 440, 560, 400], "at each thousandth label, and between weeks"
    # a day later than their rows
    assert [(counts.week - START - 5) // WEEK for counts in whole] == [0, 0, 1, 1]
    bins = next(own for own in watched().bins if own.column == "label" and not own.slice)
    assert len(whole[0].cells) == len(bins.counts)
    parts = {name: sum(own.n for own in found if own.slice == name) for name in ("day=0", "day=1", "day=2", "day=3")}
    assert parts == {f"day={number}": rows.filter(pl.col("day") == number).height for number in range(4)}


def test_an_input_called_label_keeps_its_reference():
    rng = np.random.default_rng(7)
    times = START + 5 + np.arange(300) * DAY // 300
    rows = rows_at(rng, times).with_columns(label=pl.lit(0.0))
    labels = pl.DataFrame({"request_id": rows["request_id"], "at": pl.Series(times + 1), "value": pl.Series([1.0] * 300)})
    folder = Folder(watched())
    folder.add(rows, labels)
    told = [counts for counts in folder.take(START + 3 * DAY).inputs if counts.column == "label" and not counts.slice]
    assert sum(counts.n for counts in told) == 300, "its values once, and no labels beside them"


@pytest.mark.parametrize("values", [[None] * 300, [float("nan")] * 300, [float("inf"), float("-inf"), 1.0] * 100, [7.0] * 300])
def test_awkward_columns_have_references_and_counts(values):
    rows = pl.DataFrame({"x": pl.Series(values, dtype=pl.Float64), "s": ["a"] * 300, "__time": START + np.arange(300) * DAY})
    bins = reference(rows, ["x", "s"], slices={"s": "s"})
    for counts in bin_frame(bins, rows, slices=[texts(rows["s"], "s")]):
        own = next(each for each in bins if (each.column, each.slice) == (counts.column, counts.slice))
        assert (counts.cells, counts.nulls, counts.n) == (own.counts, own.nulls, 300)
