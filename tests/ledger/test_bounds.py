"""What is cut so that it fits into an event."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flyball.ledger.bounds import LARGEST, clipped, fits, fullest, named
from flyball.ledger.canonical import write_body
from flyball.records.training import RunFailed

ANY = st.text(st.characters(categories=("L", "N", "Cc", "Cs", "So")) | st.sampled_from('"\\\n\x00😀'), max_size=200)


@given(ANY, st.integers(20, 300))
def test_a_text_is_cut_by_its_bytes_in_the_record_and_stays_text(text: str, most: int) -> None:
    for short in (clipped(text, most), named(text, most)):
        assert len(msgspec.json.encode(short)) - 2 <= most
        write_body(1, "loop", "c", RunFailed(run="r", why=short))


@given(st.text(st.characters(codec="utf-8"), max_size=60))
def test_a_short_text_stays_as_it_is(text: str) -> None:
    assert clipped(text, 400) == named(text, 400) == text


def test_names_that_differ_beyond_the_cut_still_differ() -> None:
    assert named("a" * 500 + "1") != named("a" * 500 + "2")
    assert named("a" * 500) == named("a" * 500)


@pytest.mark.parametrize("most", [0, 1, 2, 100, 101])
def test_the_fullest_event_is_the_largest_that_fits(most: int) -> None:
    def build(n: int) -> RunFailed:
        return RunFailed(run="r", why="x" * (n * 250))

    found = fullest(build, most)
    number = len(found.why) // 250
    assert fits(found)
    assert number == most or not fits(build(number + 1))


def test_the_smallest_is_given_where_none_fits_and_a_body_has_room_for_what_does() -> None:
    assert fullest(lambda n: RunFailed(run="r", why="x" * (20_000 + n)), 5).why == "x" * 20_000
    event = fullest(lambda n: RunFailed(run="r", why="x" * n), 20_000)
    assert LARGEST - 1 <= len(msgspec.json.encode(event)) <= LARGEST
    write_body(2**52, "user:" + "a" * 200, "c" * 200, event)
