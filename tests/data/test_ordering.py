"""Rows come out in order of time, those of one time in the order in which they came, whatever fits into memory."""

from __future__ import annotations

import contextlib

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from flyball.data import ordering
from flyball.data.ordering import DisorderError, in_order, sorted_by_time, straight
from flyball.data.sources.access import PREFIX


def batches(times, size=7):
    at = pl.Series("at", times, dtype=pl.Int64).cast(pl.Datetime("us"))
    whole = pl.DataFrame({"n": range(len(times)), "t": [f"row {n}" for n in range(len(times))]}).with_columns(at)
    return whole, [whole.slice(place, size) for place in range(0, whole.height, size)]


def wanted(whole):
    return whole.sort("at", maintain_order=True)


TIMES = st.lists(st.one_of(st.none(), st.integers(0, 30)), min_size=1, max_size=150)


@given(TIMES, st.integers(1, 9), st.sampled_from([0, 200, 600, 10**6]))
@settings(max_examples=60, deadline=None)
def test_any_rows_come_in_order_whatever_is_held(times, size, held):
    whole, parts = batches(times, size)
    found = in_order(lambda: iter(parts), "at", lambda frames: pl.concat(list(frames)), held=held)
    assert_frame_equal(found, wanted(whole))


@given(TIMES, st.integers(1, 9))
@settings(max_examples=40, deadline=None)
def test_runs_on_disk_are_merged_block_by_block(tmp_path_factory, times, size):
    whole, parts = batches(times, size)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ordering, "BLOCK", 3)
        found = list(sorted_by_time(iter(parts), "at", tmp_path_factory.mktemp("sort"), 150))
    assert_frame_equal(pl.concat(found), wanted(whole))


def test_what_comes_in_order_is_read_once_and_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.setattr(ordering, "_written", lambda *_: pytest.fail("written to disk"))
    whole, parts = batches(sorted(range(100)))
    reads = []
    found = in_order(lambda: reads.append(1) or iter(parts), "at", lambda frames: pl.concat(list(frames)), scratch=tmp_path, held=300)
    assert_frame_equal(found, whole)
    assert reads == [1]


def test_a_row_that_is_late_by_less_than_what_is_held_is_put_in_its_place_on_the_way():
    times = [*range(40), 35, *range(40, 80)]
    whole, parts = batches(times)
    assert_frame_equal(pl.concat(list(straight(iter(parts), "at", 2000))), wanted(whole))
    with pytest.raises(DisorderError):
        list(straight(iter(batches([*range(400), 5])[1]), "at", 500))


def test_the_first_rows_come_before_the_last_are_read():
    taken = []

    def coming():
        for number, part in enumerate(batches(list(range(1000)))[1]):
            taken.append(number)
            yield part

    next(straight(coming(), "at", 500))
    assert len(taken) < 10


def test_the_scratch_folder_is_empty_afterwards_even_if_its_reader_fails(tmp_path):
    _, parts = batches([*range(400), 5])
    for use in (lambda frames: len(list(frames)), lambda frames: [1 / 0 for _ in frames]):
        with contextlib.suppress(ZeroDivisionError):
            in_order(lambda: iter(parts), "at", use, scratch=tmp_path / "new", held=500)
        assert list((tmp_path / "new").iterdir()) == []


def test_what_a_killed_sort_leaves_is_swept_like_other_reads(tmp_path):
    _, parts = batches([*range(400), 5])
    kept = in_order(
        lambda: iter(parts), "at", lambda frames: (list(frames), list(tmp_path.glob(f"{PREFIX}*")))[1], scratch=tmp_path, held=500
    )
    assert kept, "what lies on the disk meanwhile is called as the sweep looks for it"


def test_without_a_time_rows_stay_as_they_came():
    whole, parts = batches([3, 1, 2])
    assert_frame_equal(in_order(lambda: iter(parts), "", lambda frames: pl.concat(list(frames))), whole)
