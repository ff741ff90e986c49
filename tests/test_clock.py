"""Time as values."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flyball.clock import FARTHEST, Span, VirtualClock, instant, rfc3339


@given(st.integers(-(2**50), 2**50))
def test_a_span_is_read_back_from_what_it_writes(micros: int) -> None:
    assert Span.parse(str(Span(micros))) == micros


@given(st.integers(0, 4_000_000_000_000_000))
def test_an_instant_is_read_back_from_what_it_writes(moment: int) -> None:
    assert instant(rfc3339(moment)) == moment


@pytest.mark.parametrize(
    ("text", "brief"),
    [("3s51ms46us", "3s51ms"), ("2d4h13m", "2d4h"), ("0s", "0s"), ("71ms467us", "71ms"), ("467us", "467us"), ("90s", "1m30s")],
)
def test_a_measured_span_is_told_in_its_two_largest_units(text: str, brief: str) -> None:
    assert Span.parse(text).brief == brief


@pytest.mark.parametrize("text", ["", "7", "1.5", "1x", "h1", "1h 30m", "one day"])
def test_a_span_without_units_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a time span"):
        Span.parse(text)


def test_a_span_is_as_long_as_times_lie_apart_and_no_longer() -> None:
    assert Span.parse(str(Span(FARTHEST))) == FARTHEST
    assert Span.parse(f"-{Span(FARTHEST)}") == -FARTHEST
    for text in ("104250d", "-104250d", "9" * 320 + "d", "9" * 5_000 + "us", "104249d24h"):
        with pytest.raises(ValueError, match="is too long for a time span: it is at most 104249d"):
            Span.parse(text)


def test_what_lies_a_span_ahead_is_said_to_lie_too_far_where_no_time_does() -> None:
    assert Span.parse("1d").after(FARTHEST - Span.parse("1d")) == FARTHEST
    with pytest.raises(ValueError, match="it is at most 1d from now"):
        Span.parse("2d").after(FARTHEST - Span.parse("1d"))


def test_a_virtual_clock_never_goes_back_and_repeats_its_ids() -> None:
    first, second = VirtualClock(1_000_000), VirtualClock(1_000_000)
    assert [first.new_id("x") for _ in range(3)] == [second.new_id("x") for _ in range(3)]
    first.advance_to(500)
    assert first.now() == 1_000_000
