"""Change windows: when a release may go forward, as people write it: `"Mon-Fri 09:00-17:00 Europe/Berlin"`. No clock: who asks says when.

A window is open whenever the clock on a wall of its time zone shows a time that is in it. So an hour that this clock leaves out in spring is in no
window, and one that it shows twice in autumn is in a window twice.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from functools import lru_cache
from itertools import pairwise
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from flyball.clock import Instant, Span, rfc3339
from flyball.declare.units import fail, near
from flyball.errors import DeclarationError

DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")

CLOSED = "change window closed until"
"""How the reason begins for which nothing goes forward."""

_DAY = 1_440
_WEEK = 7 * _DAY
_PART = re.compile(r"([a-z]+(?:[-,][a-z]+)*) (\d{1,2}:\d\d)-(\d{1,2}:\d\d)(?: (\S+))?", re.IGNORECASE)
_FORM = 'write days, times and a time zone: "Mon-Fri 09:00-17:00 Europe/Berlin"; between several windows stands a ;'
_SAME = frozenset({"Etc/UTC", "UCT", "Etc/UCT", "Zulu", "Etc/Zulu", "Universal", "Etc/Universal"})
"""Other names of UTC."""
_OWN = frozenset({"localtime", "posixrules", "Factory"})
"""Files beside the zones that mean something else on every machine."""
_FARTHEST = Span.parse("22d")
"""A week whose window falls into a gap of the clock is over after fourteen days."""
_LOOK = 86_400
"""Seconds that one look ahead is long at most: no zone changes its offset twice in a day."""

Minutes = tuple[int, int]
"""From and until, in minutes of a week that begins on Monday at midnight."""


@dataclass(frozen=True)
class ChangeWindow:
    """When a release may go forward. `text` is its one form: equal windows have equal texts. `weeks` holds of each zone what is open in a week there,
    in order and apart.
    """

    text: str
    weeks: tuple[tuple[str, tuple[Minutes, ...]], ...]

    def is_open(self, at: Instant) -> bool:
        """Whether a release may go forward at this instant. The last minute ends before the time that is written."""
        return any(any(start * 60 <= shown < end * 60 for start, end in spans) for spans, shown in self._shown(at // 1_000_000))

    def next_change(self, at: Instant) -> Instant | None:
        """The first instant after this one at which it opens or closes; None where it is always open."""
        before, moment = self.is_open(at), at
        while moment < at + _FARTHEST:
            moment = min(_edge(_zone(name), spans, moment // 1_000_000) for name, spans in self.weeks) * 1_000_000
            if self.is_open(moment) is not before:
                return moment
        return None

    def next_open(self, at: Instant) -> Instant | None:
        """The first instant from this one on at which it is open."""
        return at if self.is_open(at) else self.next_change(at)

    def _shown(self, second: int) -> Iterator[tuple[tuple[Minutes, ...], int]]:
        return ((spans, _on_the_wall(_zone(name), second)[0]) for name, spans in self.weeks)


@lru_cache(maxsize=256)
def change_window(text: str) -> ChangeWindow:
    """Read a change window. Raises DeclarationError for what is none, and for a time zone that is unknown or missing."""
    found: dict[str, set[Minutes]] = {}
    for part in text.split(";"):
        zone, spans = _part(part)
        found.setdefault(zone, set()).update(spans)
    weeks = tuple((zone, _merged(found[zone])) for zone in sorted(found))
    return ChangeWindow("; ".join(text for zone, spans in weeks for text in _drawn(zone, spans)), weeks)


def closed(text: str, at: Instant) -> str:
    """Why nothing may go forward at this instant: `change window closed until 2026-11-30T08:00Z`; empty where it may, and without a window.

    What cannot be read, such as a zone that this machine does not know any more, is closed.
    """
    if not text:
        return ""
    try:
        opens = change_window(text).next_open(at)
    except DeclarationError as error:
        return f"{CLOSED} it is declared anew: {error.what}"
    return "" if opens == at else f"{CLOSED} {shown(opens)}"


def opens(text: str, at: Instant) -> Instant | None:
    """When a window that is closed at this instant opens; None where it is open, and where there is none or it cannot be read."""
    if not closed(text, at):
        return None
    try:
        return change_window(text).next_open(at)
    except DeclarationError:
        return None


def document(text: str, at: Instant) -> dict[str, str | None] | None:
    """The same for machines: `closed_until` is null where it is open; null as a whole where there is no window."""
    opening = opens(text, at)
    return {"window": text, "closed_until": None if opening is None else rfc3339(opening)} if text else None


def told(text: str, at: Instant) -> str:
    """A window and how it stands, on one line: `Mon-Fri 09:00-17:00 UTC: open until 2026-11-30T17:00Z`."""
    shut = closed(text, at)
    if shut:
        return f"{text}: {shut.removeprefix('change window ')}"
    until = change_window(text).next_change(at)
    return f"{text}: open until {shown(until)}" if until is not None else f"{text}: always open"


def shown(at: Instant | None) -> str:
    """An instant to the minute, in UTC, as reasons name it; to the second where it is of no whole minute."""
    if at is None:
        return "further notice"
    moment = datetime.fromtimestamp(at // 1_000_000, UTC)
    return moment.strftime("%Y-%m-%dT%H:%MZ" if not moment.second else "%Y-%m-%dT%H:%M:%SZ")


def _part(text: str) -> tuple[str, list[Minutes]]:
    """One window: its zone, and what it opens in a week."""
    plain = re.sub(r"\s*([,-])\s*", r"\1", " ".join(text.replace("–", "-").split()))
    match = _PART.fullmatch(plain)
    if match is None:
        raise fail("change_window", f'"{text.strip()[:80]}" is not a change window', why="it says when a release may go forward", fix=_FORM)
    days, start, end, zone = match.groups()
    if zone is None:
        raise fail(
            "change_window",
            f'"{plain}" names no time zone',
            why="a time of day is another moment elsewhere, and a window that is hours off is found out when it is needed",
            fix=f'say whose clock is meant: "{plain} Europe/Berlin", or "{plain} UTC"',
        )
    _check_zone(zone)
    begin, until = _time(start), _time(end) or _DAY
    if begin % _DAY == until % _DAY and (begin, until) != (0, _DAY):
        raise fail("change_window", f'"{plain}" is empty', why="it ends when it begins", fix="a whole day is 00:00-24:00")
    if begin == _DAY:
        raise fail("change_window", f'"{plain}" begins at 24:00', why="that is the end of a day", fix="write 00:00, and the next day")
    length = until - begin + (_DAY if until < begin else 0)
    starts = [day * _DAY + begin for day in _days(days)]
    return "UTC" if zone in _SAME else zone, [piece for at in starts for piece in _within_week(at, at + length)]


def _within_week(start: int, end: int) -> list[Minutes]:
    return [(start, end)] if end <= _WEEK else [(start, _WEEK), (0, end - _WEEK)]


def _days(text: str) -> Iterator[int]:
    for each in text.split(","):
        first, *rest = (_day(name) for name in each.split("-"))
        if len(rest) > 1:
            raise fail("change_window", f'"{each}" is no range of days', why="a range has two ends", fix=_FORM)
        # from Friday to Monday goes over the end of the week
        yield from ((first + place) % 7 for place in range(((rest or [first])[0] - first) % 7 + 1))


def _day(name: str) -> int:
    if name.capitalize() not in DAYS:
        raise fail("change_window", f'"{name}" is no day of the week', fix=near(name, DAYS))
    return DAYS.index(name.capitalize())


def _time(text: str) -> int:
    hour, minute = map(int, text.split(":"))
    if hour * 60 + minute > _DAY or minute > 59:
        raise fail("change_window", f'"{text}" is no time of day', fix="write hours and minutes, from 00:00 to 24:00")
    return hour * 60 + minute


def _check_zone(name: str) -> None:
    try:
        if name in _OWN or name.startswith(("posix/", "right/")):
            raise ZoneInfoNotFoundError(name)
        _zone(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        names = {each.casefold(): each for each in sorted(available_timezones() - _OWN)}
        # a city is what people remember of a zone
        cities = {each.rpartition("/")[2].casefold(): each for each in names.values()}
        known = cities | names
        close = difflib.get_close_matches(name.casefold(), known, n=1, cutoff=0.75)
        raise fail(
            "change_window",
            f'"{name}" is no time zone',
            why="zones have the names of the IANA database; an offset or an abbreviation knows nothing of summer time",
            fix=f'did you mean "{known[close[0]]}"?' if close else 'write a name such as "Europe/Berlin", "America/New_York" or "UTC"',
        ) from error


def _zone(name: str) -> tzinfo:
    return UTC if name == "UTC" else ZoneInfo(name)


def _on_the_wall(zone: tzinfo, second: int) -> tuple[int, int]:
    """What the clock of a zone shows, as seconds of its week, and how far it is ahead of UTC, in seconds."""
    local = datetime.fromtimestamp(second, zone)
    ahead = local.utcoffset()
    assert ahead is not None
    return local.weekday() * 86_400 + local.hour * 3_600 + local.minute * 60 + local.second, round(ahead.total_seconds())


def _edge(zone: tzinfo, spans: Iterable[Minutes], second: int) -> int:
    """The next second at which these windows may open or close: the clock reaches an end of one, or is put forward or back. A day ahead at most."""
    wall, ahead = _on_the_wall(zone, second)
    left = min((edge * 60 - wall) % (_WEEK * 60) or _WEEK * 60 for span in spans for edge in span)
    low, high = second, second + min(left, _LOOK)
    if _on_the_wall(zone, high)[1] == ahead:
        return high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if _on_the_wall(zone, middle)[1] == ahead else (low, middle)
    return high


def _merged(spans: Iterable[Minutes]) -> tuple[Minutes, ...]:
    found: list[Minutes] = []
    for start, end in sorted(spans):
        if found and start <= found[-1][1]:
            found[-1] = (found[-1][0], max(end, found[-1][1]))
        else:
            found.append((start, end))
    return tuple(found)


def _drawn(zone: str, spans: tuple[Minutes, ...]) -> list[str]:
    """The windows of a zone as text: those of one length on several days together, one over midnight as one if it is shorter than a day."""
    whole = list(spans)
    if len(whole) > 1 and whole[0][0] == 0 and whole[-1][1] == _WEEK:
        whole[-1] = (whole[-1][0], _WEEK + whole.pop(0)[1])
    days: dict[Minutes, list[int]] = {}
    for start, end in whole:
        for begin, until in [(start, end)] if end - start < _DAY else _by_day(start, end):
            days.setdefault((begin % _DAY, until % _DAY or _DAY), []).append(begin // _DAY % 7)
    ordered = sorted((sorted(on), times) for times, on in days.items())
    return [f"{_drawn_days(on)} {_drawn_time(begin)}-{_drawn_time(until)} {zone}" for on, (begin, until) in ordered]


def _by_day(start: int, end: int) -> list[Minutes]:
    cuts = [start, *(day * _DAY for day in range(start // _DAY + 1, -(-end // _DAY))), end]
    return list(pairwise(cuts))


def _drawn_days(days: list[int]) -> str:
    """`Mon-Wed,Sat`: three in a row are a range."""
    runs: list[list[int]] = []
    for day in days:
        if runs and day == runs[-1][-1] + 1:
            runs[-1].append(day)
        else:
            runs.append([day])
    return ",".join(f"{DAYS[run[0]]}-{DAYS[run[-1]]}" if len(run) > 2 else ",".join(DAYS[day] for day in run) for run in runs)


def _drawn_time(minute: int) -> str:
    return f"{minute // 60:02d}:{minute % 60:02d}"
