"""A baseline says the same whatever batches it is made of, and holds nobody's own values."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import pairwise

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flyball.data import baseline
from flyball.data.baseline import Baseline, Gathering, Sample, places
from flyball.declare.columns import Column
from flyball.declare.data import Dataset
from flyball.records.codec import decode, encode
from flyball.stats import cells


def dataset(**changes):
    columns = {"x": float, "k": int, "word": str, "name": Column(str, personal=True), "late": "time", "ok": bool}
    return Dataset("d", source="d.csv", time="at", id="who", columns=changes.pop("columns", columns), **changes)


def rows(count, seed=0):
    chance = np.random.default_rng(seed)
    at = [datetime(2026, 1, 1) + timedelta(hours=hour) for hour in range(count)]
    return pl.DataFrame(
        {
            "x": chance.normal(size=count),
            "k": chance.integers(0, 9, count),
            "word": chance.choice(["a", "b", "c"], count),
            "name": [f"Ann {place}" for place in range(count)],
            "late": at,
            "ok": chance.random(count) < 0.3,
            "at": at,
            "who": [f"id {place}" for place in range(count)],
        }
    )


def made(frames, of=None):
    gathering = Gathering(of or dataset())
    for frame in frames:
        gathering.add(frame)
    return gathering.baseline()


def test_columns_that_say_who_or_when_have_no_baseline():
    found = made([rows(100)])
    assert [column.bins.column for column in found.columns] == ["x", "k", "word", "ok"]
    assert b"Ann" not in encode(found)


def test_text_is_counted_whole_with_the_values_that_are_known():
    found = made([pl.concat([rows(99), rows(1).with_columns(word=pl.lit("rare"))])]).of("word")
    assert found.known == ("a", "b", "c", "rare")
    assert (found.bins.n, found.bins.once, found.bins.twice) == (100, 1, 0)


def test_numbers_have_the_cells_of_monitoring():
    from flyball.evaluation.reference import reference

    frame = rows(5_000)
    ours, theirs = made([frame]).of("x").bins, reference(frame, ["x"], time=None)[0]
    assert (ours.edges, ours.counts) == (theirs.edges, theirs.counts)


def test_a_column_of_many_values_lists_none_and_one_of_very_many_remembers_none():
    words = pl.Series("word", [f"w{place}" for place in range(300)])
    assert made([rows(300).with_columns(words)]).of("word").known == ()
    assert len(made([rows(300).with_columns(words)]).of("word").bins.known) == 300
    many = pl.Series("word", [f"w{place}" for place in range(10_001)])
    assert made([rows(10_001).with_columns(many)]).of("word").bins.known == ()


@pytest.mark.parametrize(("distinct", "remembered"), [(cells.KNOWN, True), (cells.KNOWN + 1, False)])
@pytest.mark.parametrize("cut", [1, 5_000, 25_000])
def test_as_many_values_are_remembered_as_may_be_whatever_the_batches(distinct, remembered, cut):
    data = Dataset("d", source="d.csv", columns={"t": Column(str, nulls="1%")})
    frame = pl.DataFrame({"t": [None, *(f"w{place % distinct}" for place in range(3 * distinct))]})
    gathering = Gathering(data)
    for part in (frame[:cut], frame[cut:]):
        gathering.add(part)
    assert len(gathering.baseline().columns[0].bins.known) == (distinct if remembered else 0)


def test_text_that_differs_from_row_to_row_is_not_counted(monkeypatch):
    gathering = Gathering(Dataset("d", source="d.csv", columns={"t": str}))
    frame = pl.DataFrame({"t": [f"free text {place}" for place in range(2 * cells.KNOWN)]})
    with monkeypatch.context() as patched:
        patched.setattr(baseline, "_tallied", None)
        gathering.add(frame)
        gathering.add(frame)
    assert gathering.baseline().columns[0].bins.known == ()


def test_whole_numbers_are_listed_where_the_contract_asks_for_unseen_ones():
    asked = dataset(columns={"k": Column(int, unseen="1%"), "x": int})
    found = made([pl.DataFrame({"k": [1, 1, 2], "x": [1, 2, 3]})], asked)
    assert found.of("k").known == ("1", "2")
    assert found.of("x").known == ()


@settings(max_examples=30, deadline=None)
@given(count=st.integers(1, 400), cuts=st.lists(st.integers(0, 400), max_size=5))
def test_batches_come_to_the_same_as_the_whole(count, cuts):
    frame = rows(count)
    ends = sorted({0, count, *(min(cut, count) for cut in cuts)})
    batches = [frame[start:stop] for start, stop in pairwise(ends)]
    assert made(batches) == made([frame])


@settings(max_examples=60, deadline=None)
@given(count=st.integers(0, 500), cuts=st.lists(st.integers(0, 500), max_size=6), most=st.integers(1, 60))
def test_a_sample_is_the_same_whatever_the_batches_and_never_larger_than_it_may_be(count, cuts, most):
    frame = pl.DataFrame({"row": range(count)}, schema={"row": pl.Int64})
    ends = sorted({0, count, *(min(cut, count) for cut in cuts)})
    whole, parts = Sample(["row"], most), Sample(["row"], most)
    whole.add(frame)
    for start, stop in pairwise(ends):
        parts.add(frame[start:stop])
    assert parts.frame()["row"].to_list() == whole.frame()["row"].to_list()
    assert whole.frame().height <= most
    if count <= most:
        assert whole.frame().height == count


def test_a_sample_of_a_cycle_holds_the_cycle():
    taken = places(4, 0, 48 * 16_000) % 48
    shares = np.bincount(taken, minlength=48) / len(taken)
    assert shares.min() > 0.8 / 48
    assert shares.max() < 1.2 / 48


def test_a_baseline_comes_back_as_it_was_written():
    found = made([rows(50)])
    assert decode(encode(found), Baseline) == found


@pytest.mark.parametrize("count", [0, 1])
def test_hardly_any_rows_have_a_baseline_too(count):
    assert made([rows(count)]).rows == count
