"""Where rows are cut follows from the rows: whatever their history, the same rows are the same chunks, and a change touches what lies around it."""

from __future__ import annotations

import itertools

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from flyball.data import chunks
from flyball.data.chunks import cut, mixed


@pytest.fixture(autouse=True)
def _small(monkeypatch):
    """Chunks of 8 to 32 rows of three cells."""
    monkeypatch.setattr(chunks, "MOST", 32 * 24)
    monkeypatch.setattr(chunks, "LEAST", 8 * 24)


def frame(times, values=None):
    at = pl.Series("at", list(times), dtype=pl.Int64).cast(pl.Datetime("us"))
    return pl.DataFrame({"x": list(range(len(at))) if values is None else list(values), "y": [0.5] * len(at)}).with_columns(at)


def rows_of(found):
    return [one.rows() for one in found]


def edited(times, values, edits):
    """The rows after insertions (new), removals and changes at these places."""
    rows = list(zip(times, values, strict=True))
    for kind, place, value in edits:
        at = place % max(len(rows), 1)
        if kind == "insert":
            rows.append((place, value))
        elif rows and kind == "remove":
            del rows[at]
        elif rows:
            rows[at] = (rows[at][0], value)
    rows.sort(key=lambda row: row[0])
    return frame([at for at, _ in rows], [value for _, value in rows])


EDITS = st.lists(st.tuples(st.sampled_from(["insert", "remove", "change"]), st.integers(0, 400), st.integers(1000, 9999)), max_size=4)


@given(st.lists(st.integers(0, 300), max_size=400), st.lists(st.integers(1, 90), min_size=1, max_size=8), st.sampled_from(["at", ""]))
@settings(max_examples=40, deadline=None)
def test_chunks_do_not_depend_on_how_the_rows_come_and_lose_none(times, sizes, time):
    whole = frame(sorted(times))
    pieces, place = [], 0
    while place < whole.height:
        size = sizes[len(pieces) % len(sizes)]
        pieces.append(whole.slice(place, size))
        place += size
    found = list(cut([whole], time))
    assert rows_of(found) == rows_of(cut(pieces, time))
    assert rows_of([pl.concat([whole.clear(), *found])]) == rows_of([whole])
    assert all(8 <= one.height <= 32 for one in found[:-1])


@given(st.integers(40, 400), st.integers(1, 60), st.sampled_from(["at", ""]))
@settings(max_examples=40, deadline=None)
def test_rows_that_are_appended_change_the_last_chunk_alone(count, more, time):
    values = np.random.default_rng(count).integers(0, 10**6, count + more)
    before = rows_of(cut([frame(range(count), values[:count])], time))
    after = rows_of(cut([frame(range(count + more), values)], time))
    assert after[: len(before) - 1] == before[:-1]


@given(st.integers(0, 10**6), EDITS)
@settings(max_examples=30, deadline=None)
def test_an_edit_touches_chunks_around_it_and_no_more(seed, edits):
    chance = np.random.default_rng(seed)
    times = np.sort(chance.integers(0, 4000, 2000))
    before = rows_of(cut([frame(times)], "at"))
    after = rows_of(cut([edited(times, range(2000), edits)], "at"))
    touched = len([one for one in before if one not in after])
    # an edit lies in one chunk; where it moves the cut, those after it may move as well until both agree again
    assert touched <= 12 * len(edits)


def test_a_single_edit_mostly_touches_a_single_chunk():
    chance = np.random.default_rng(5)
    times = np.sort(chance.integers(0, 40_000, 20_000))
    before = rows_of(cut([frame(times)], "at"))
    touched = []
    for place in range(0, 20_000, 997):
        after = rows_of(cut([frame(times, [*range(place), -1, *range(place + 1, 20_000)])], "at"))
        touched.append(len([one for one in before if one not in after]))
    assert touched == [1] * len(touched)
    moved = []
    for place in range(0, 20_000, 997):
        after = rows_of(cut([frame(np.delete(times, place), np.delete(np.arange(20_000), place))], "at"))
        moved.append(len([one for one in before if one not in after]))
    assert sum(moved) <= 2 * len(moved)


def test_rows_of_one_time_stay_together_where_they_fit():
    times = np.repeat(np.arange(60), 5)
    found = list(cut([frame(times)], "at"))
    assert len(found) > 5
    assert all(one["at"][-1] != after["at"][0] for one, after in itertools.pairwise(found))


def test_a_time_with_more_rows_than_a_chunk_may_have_is_cut_by_its_rows():
    values = np.random.default_rng(1).integers(0, 10**9, 300)
    found = list(cut([frame([7] * 300, values)], "at"))
    assert max(one.height for one in found) <= 32
    assert rows_of(cut([frame([7] * 299, np.delete(values, 150))], "at"))[0] == found[0].rows()


def test_long_texts_make_chunks_of_fewer_rows():
    texts = pl.DataFrame({"t": [f"{n:0200}" for n in range(40)], "n": [None] * 40}, schema={"t": pl.String, "n": pl.String})
    assert max(one.height for one in cut([texts], "")) == 3
    assert [one.height for one in cut([pl.DataFrame({"t": ["x" * 10**6] * 3})], "")] == [1, 1, 1]


def test_a_stream_of_nothing_has_no_chunk():
    assert list(cut([], "at")) == []
    assert list(cut([frame([]), frame([])], "at")) == []


def test_the_stream_is_read_no_further_than_it_must_be():
    taken = []

    def coming():
        for start in range(0, 1000, 10):
            taken.append(start)
            yield frame(range(start, start + 10))

    first = next(iter(cut(coming(), "at")))
    assert first.height <= 32
    assert len(taken) <= 4


def test_hashes_of_times_are_the_same_everywhere():
    assert mixed(np.array([0, 1], np.uint64)).tolist() == [16294208416658607535, 10451216379200822465]


def test_a_missing_time_is_a_time(monkeypatch):
    monkeypatch.setattr(chunks, "STEP", 10)
    whole = pl.concat([frame(range(20)).with_columns(at=pl.lit(None, dtype=pl.Datetime("us"))), frame(range(60))])
    assert_frame_equal(pl.concat(list(cut([whole], "at"))), whole)
