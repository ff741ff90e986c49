"""When a release may go forward: what is read, its one form, and what the clock of a time zone does to it."""

from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import flyball as fb
from flyball.clock import instant, rfc3339
from flyball.declare import codec
from flyball.declare.change_window import DAYS, change_window, closed, document, opens, shown, told
from flyball.declare.difference import differences
from flyball.declare.model import Model
from flyball.errors import DeclarationError

MINUTE = 60_000_000
HOUR = 60 * MINUTE
DAY = 24 * HOUR


def at(text: str) -> int:
    return instant(f"{text}Z")


def turns(text: str, start: str, end: str) -> list[str]:
    """Each moment at which it opens or closes in a time, and which."""
    window, moment, found = change_window(text), at(start), []
    while (then := window.next_change(moment)) is not None and then < at(end):
        found.append(f"{'opens' if window.is_open(then) else 'closes'} {shown(then)}")
        moment = then
    return found


@pytest.mark.parametrize(
    ("written", "one"),
    [
        ("mon-thu 08:00-16:00 Europe/Paris", "Mon-Thu 08:00-16:00 Europe/Paris"),
        ("Tue, Thu  9:00 – 16:00 UTC", "Tue,Thu 09:00-16:00 UTC"),
        ("Mon,Tue,Wed 09:00-17:00 UTC", "Mon-Wed 09:00-17:00 UTC"),
        ("Wed 09:00-17:00 UTC; Mon-Tue 09:00-17:00 Etc/UTC", "Mon-Wed 09:00-17:00 UTC"),
        ("Mon 09:00-13:00 UTC; Mon 12:00-17:00 UTC", "Mon 09:00-17:00 UTC"),
        ("Mon 09:00-13:00 UTC; Mon 13:00-17:00 UTC", "Mon 09:00-17:00 UTC"),
        ("Sat 22:00-24:00 UTC; Sun 00:00-04:00 UTC", "Sat 22:00-04:00 UTC"),
        ("Sun 22:00-04:00 UTC", "Sun 22:00-04:00 UTC"),
        ("Sun 22:00-00:00 UTC", "Sun 22:00-24:00 UTC"),
        ("Fri-Mon 00:00-24:00 UTC", "Mon,Fri-Sun 00:00-24:00 UTC"),
        ("Mon-Sun 00:00-12:00 UTC; Mon-Sun 12:00-00:00 UTC", "Mon-Sun 00:00-24:00 UTC"),
        ("Mon 09:00-10:00 UTC; Mon 09:00-10:00 Asia/Tokyo", "Mon 09:00-10:00 Asia/Tokyo; Mon 09:00-10:00 UTC"),
    ],
)
def test_a_window_has_one_form_however_it_is_written(written: str, one: str) -> None:
    assert change_window(written).text == one
    assert change_window(one) == change_window(written)
    assert fb.Rollout(change_window=written).change_window == one
    assert fb.Rollout(change_window=written) == fb.Rollout(change_window=one)


def model(window: str) -> Model:
    data = fb.Dataset("d", source="d.csv", time="t", columns={"a": float, "y": fb.column(int, one_of=(0, 1))})
    return fb.Model("m", task="binary", data=data, label="y", rollout=fb.Rollout(change_window=window).shadow("1h"))


def test_equal_windows_have_equal_digests_and_others_have_not() -> None:
    one, same, other = (
        codec.encode(model(text)) for text in ("mon,tue,wed 9:00-17:00 UTC", "Mon-Wed 09:00-17:00 Zulu", "Mon-Wed 09:00-17:30 UTC")
    )
    assert codec.digests(one) == codec.digests(same)
    assert codec.digests(other).policy != codec.digests(one).policy
    assert codec.digests(other).version == codec.digests(one).version
    assert codec.digests(other).gates == codec.digests(one).gates
    assert one == same


def test_what_is_different_is_named_by_its_argument() -> None:
    [told] = differences(model(""), model("mon-wed 9:00-17:00 UTC"))
    assert str(told) == "rollout change_window: none → Mon-Wed 09:00-17:00 UTC"


def test_without_a_window_everything_is_as_it_was() -> None:
    assert fb.Rollout().change_window == ""
    assert fb.Rollout(change_window="").shadow("1h") == fb.Rollout().shadow("1h")
    assert (closed("", 0), opens("", 0), document("", 0)) == ("", None, None)


@pytest.mark.parametrize(
    ("text", "what", "fix"),
    [
        ("mon-thu", "is not a change window", 'write days, times and a time zone: "Mon-Fri 09:00-17:00 Europe/Berlin"'),
        ("nightly", "is not a change window", "write days"),
        ("Mon 9-17 UTC", "is not a change window", "write days"),
        ("Mon 09:00-17:00 UTC;", '"" is not a change window', "write days"),
        ("Mon 09:00-17:00 UTC or later", "is not a change window", "write days"),
        ("Mon 09:00-17:00", "names no time zone", '"Mon 09:00-17:00 Europe/Berlin", or "Mon 09:00-17:00 UTC"'),
        ("Mon 09:00-17:00 Europe/Berln", '"Europe/Berln" is no time zone', 'did you mean "Europe/Berlin"?'),
        ("Mon 09:00-17:00 europe/berlin", '"europe/berlin" is no time zone', 'did you mean "Europe/Berlin"?'),
        ("Mon 09:00-17:00 Tokyo", '"Tokyo" is no time zone', 'did you mean "Asia/Tokyo"?'),
        ("Mon 09:00-17:00 PST", '"PST" is no time zone', 'write a name such as "Europe/Berlin"'),
        ("Mon 09:00-17:00 +02:00", '"+02:00" is no time zone', "write a name"),
        ("Mon 09:00-17:00 Europe", '"Europe" is no time zone', ""),
        ("Mon 09:00-17:00 ../../etc/passwd", "is no time zone", ""),
        ("Mon 09:00-17:00 localtime", '"localtime" is no time zone', ""),
        ("Mon 09:00-17:00 right/UTC", '"right/UTC" is no time zone', ""),
        ("Monday 09:00-17:00 UTC", '"Monday" is no day of the week', 'did you mean "Mon"?'),
        ("Mon-Wed-Fri 09:00-17:00 UTC", "is no range of days", ""),
        ("Mon 09:00-24:01 UTC", '"24:01" is no time of day', "00:00 to 24:00"),
        ("Mon 09:60-17:00 UTC", '"09:60" is no time of day', "00:00 to 24:00"),
        ("Mon 09:00-09:00 UTC", "is empty", "a whole day is 00:00-24:00"),
        ("Mon 24:00-09:00 UTC", "begins at 24:00", "write 00:00"),
    ],
)
def test_a_bad_window_is_refused_by_the_argument_s_name_with_what_to_do(text: str, what: str, fix: str) -> None:
    with pytest.raises(DeclarationError) as refused:
        fb.Rollout(change_window=text)
    assert refused.value.what.startswith("change_window: ")
    assert what in refused.value.what
    assert fix in refused.value.fix
    assert refused.value.fix


def test_a_window_of_working_hours_follows_summer_time() -> None:
    assert turns("Mon-Fri 09:00-17:00 Europe/Berlin", "2026-03-27T00:00", "2026-03-31T00:00") == [
        "opens 2026-03-27T08:00Z",
        "closes 2026-03-27T16:00Z",
        "opens 2026-03-30T07:00Z",
        "closes 2026-03-30T15:00Z",
    ]
    assert turns("Mon-Fri 09:00-17:00 America/New_York", "2026-10-30T00:00", "2026-11-03T00:00") == [
        "opens 2026-10-30T13:00Z",
        "closes 2026-10-30T21:00Z",
        "opens 2026-11-02T14:00Z",
        "closes 2026-11-02T22:00Z",
    ]


@pytest.mark.parametrize(
    ("window", "found"),
    [
        # on 29 March 2026 the clock goes from 02:00 to 03:00, at 01:00 UTC
        ("Sun 01:30-02:30", ["opens 2026-03-29T00:30Z", "closes 2026-03-29T01:00Z"]),
        ("Sun 02:30-04:00", ["opens 2026-03-29T01:00Z", "closes 2026-03-29T02:00Z"]),
        ("Sun 02:00-03:00", []),
        ("Sat 23:00-05:00", ["opens 2026-03-28T22:00Z", "closes 2026-03-29T03:00Z"]),
    ],
)
def test_an_hour_that_the_clock_leaves_out_is_in_no_window(window: str, found: list[str]) -> None:
    assert turns(f"{window} Europe/Berlin", "2026-03-28T12:00", "2026-03-29T12:00") == found


def test_a_window_that_falls_into_the_gap_opens_a_week_later() -> None:
    window = change_window("Sun 02:00-03:00 Europe/Berlin")
    assert window.next_open(at("2026-03-22T02:00")) == at("2026-04-05T00:00")


@pytest.mark.parametrize(
    ("window", "found"),
    [
        # on 25 October 2026 the clock goes back from 03:00 to 02:00, at 01:00 UTC
        ("Sun 01:00-04:00", ["opens 2026-10-24T23:00Z", "closes 2026-10-25T03:00Z"]),
        (
            "Sun 02:00-02:30",
            ["opens 2026-10-25T00:00Z", "closes 2026-10-25T00:30Z", "opens 2026-10-25T01:00Z", "closes 2026-10-25T01:30Z"],
        ),
        (
            "Sun 02:30-03:30",
            ["opens 2026-10-25T00:30Z", "closes 2026-10-25T01:00Z", "opens 2026-10-25T01:30Z", "closes 2026-10-25T02:30Z"],
        ),
        ("Sun 02:00-03:00", ["opens 2026-10-25T00:00Z", "closes 2026-10-25T02:00Z"]),
    ],
)
def test_an_hour_that_the_clock_shows_twice_is_in_a_window_twice(window: str, found: list[str]) -> None:
    assert turns(f"{window} Europe/Berlin", "2026-10-24T12:00", "2026-10-25T12:00") == found


def test_a_zone_that_is_half_an_hour_off_or_skips_a_day_is_followed() -> None:
    # the clocks of Lord Howe go forward by half an hour
    assert turns("Sun 01:00-02:15 Australia/Lord_Howe", "2026-10-03T00:00", "2026-10-04T00:00") == [
        "opens 2026-10-03T14:30Z",
        "closes 2026-10-03T15:30Z",
    ]
    # there was no Friday the 30th in Samoa
    assert change_window("Fri 00:00-24:00 Pacific/Apia").next_open(at("2011-12-25T00:00")) == at("2012-01-05T10:00")


def test_over_midnight_the_day_is_that_on_which_it_begins() -> None:
    assert turns("Sat 22:00-04:00 UTC", "2026-11-28T00:00", "2026-11-30T00:00") == ["opens 2026-11-28T22:00Z", "closes 2026-11-29T04:00Z"]
    assert turns("Sun 22:00-04:00 UTC", "2026-11-29T00:00", "2026-12-01T00:00") == ["opens 2026-11-29T22:00Z", "closes 2026-11-30T04:00Z"]


def test_it_is_open_from_its_first_moment_to_just_before_its_last() -> None:
    window = change_window("Mon 09:00-17:00 UTC")
    first, last = at("2026-11-30T09:00"), at("2026-11-30T17:00")
    assert [window.is_open(moment) for moment in (first - 1, first, last - 1, last)] == [False, True, True, False]
    assert (window.next_open(first - 1), window.next_open(first), window.next_open(last - 1)) == (first, first, last - 1)
    assert window.next_change(first) == last


def test_a_window_that_never_closes_has_no_next_change() -> None:
    window = change_window("Mon-Sun 00:00-24:00 Europe/Berlin")
    assert window.next_change(at("2026-03-28T12:00")) is None
    assert told(window.text, 0) == "Mon-Sun 00:00-24:00 Europe/Berlin: always open"


def test_the_reason_says_until_when() -> None:
    window = "Mon-Fri 09:00-17:00 Europe/Berlin"
    saturday, monday = at("2026-11-28T18:00"), at("2026-11-30T08:00")
    assert closed(window, saturday) == "change window closed until 2026-11-30T08:00Z"
    assert closed(window, monday) == ""
    assert (opens(window, saturday), opens(window, monday)) == (monday, None)
    assert told(window, saturday) == f"{window}: closed until 2026-11-30T08:00Z"
    assert told(window, monday) == f"{window}: open until 2026-11-30T16:00Z"
    assert document(window, saturday) == {"window": window, "closed_until": "2026-11-30T08:00:00Z"}
    assert document(window, monday) == {"window": window, "closed_until": None}


def test_a_window_that_was_declared_before_it_meant_anything_is_closed_until_it_is_declared_anew() -> None:
    assert closed("mon-thu", 0) == 'change window closed until it is declared anew: change_window: "mon-thu" is not a change window'
    assert opens("mon-thu", 0) is None
    assert "closed until it is declared anew" in told("mon-thu", 0)


ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "Pacific/Apia", "Africa/Casablanca")
QUARTERS = st.integers(0, 95).map(lambda place: 15 * place)


@st.composite
def parts(draw: st.DrawFn) -> tuple[list[int], int, int, str]:
    """Days, begin and end (at or before the begin: on the next day), and a zone."""
    days = draw(st.lists(st.integers(0, 6), min_size=1, max_size=4, unique=True))
    begin, end = draw(QUARTERS), draw(QUARTERS)
    return days, begin, end if end != begin else (begin + 15) % 1440, draw(st.sampled_from(ZONES))


def written(windows: list[tuple[list[int], int, int, str]]) -> str:
    return "; ".join(
        f"{','.join(DAYS[day] for day in days)} {begin // 60:02d}:{begin % 60:02d}-{end // 60:02d}:{end % 60:02d} {zone}"
        for days, begin, end, zone in windows
    )


def on_the_wall(windows: list[tuple[list[int], int, int, str]], moment: int) -> bool:
    """The definition: whether the clock of one of the zones shows a time that is in its window."""
    from datetime import UTC, datetime

    for days, begin, end, zone in windows:
        local = datetime.fromtimestamp(moment // 1_000_000, UTC).astimezone(ZoneInfo(zone))
        minute, day = local.hour * 60 + local.minute, local.weekday()
        if begin < end and day in days and begin <= minute < end:
            return True
        if begin > end and ((day in days and minute >= begin) or ((day - 1) % 7 in days and minute < end)):
            return True
    return False


# a time at which something happens to the clocks: Berlin both ways, New York, Lord Howe, Casablanca, Apia
STARTS = ("2026-03-28", "2026-10-24", "2026-11-01", "2026-04-04", "2026-02-14", "2011-12-29", "2026-07-01")


@settings(deadline=None, max_examples=60)
@given(windows=st.lists(parts(), min_size=1, max_size=3), start=st.sampled_from(STARTS))
def test_it_is_open_when_the_clock_on_the_wall_says_so_and_changes_when_that_does(
    windows: list[tuple[list[int], int, int, str]], start: str
) -> None:
    window, begin = change_window(written(windows)), at(f"{start}T00:00")
    assert change_window(window.text) == window
    grid = [begin + place * 15 * MINUTE for place in range(4 * 48)]
    opened = [on_the_wall(windows, moment) for moment in grid]
    assert [window.is_open(moment) for moment in grid] == opened
    turned = [later for (_, was), (later, now) in pairwise(zip(grid, opened, strict=True)) if was != now]
    found, moment = [], begin
    while (then := window.next_change(moment)) is not None and then <= grid[-1]:
        found.append(then)
        moment = then
    assert list(map(rfc3339, found)) == list(map(rfc3339, turned))
    for place, moment in enumerate(grid):
        first = next((later for later in grid[place:] if window.is_open(later)), None)
        assert first is None or window.next_open(moment) == first


@settings(deadline=None, max_examples=100)
@given(windows=st.lists(parts(), min_size=1, max_size=4), order=st.randoms(use_true_random=False))
def test_order_and_division_change_nothing(windows: list[tuple[list[int], int, int, str]], order) -> None:
    split = [([day], begin, end, zone) for days, begin, end, zone in windows for day in days]
    order.shuffle(split)
    assert change_window(written(split)) == change_window(written(windows))
