"""Whether requests arrive: silence, and traffic that collapsed or exploded, against the model's own weeks. Pure.

Two rules, each with a stated rate of false alarms (docs/statistics.md §2). *Silence*: nothing for an hour and for three times the longest pause of seven
days. *Volume*: the closed hours (as many as hold thirty requests in an ordinary week) came to less than a third of the second lowest of the same
hours in the weeks before, or more than three times the second highest, by more than chance and by more than weeks differ, at two hours running.

Of a model that is served elsewhere predictions are judged by when they were made, and only once those of that time have always come by then: how far behind
the newest one has been when the next ones came is learnt (`receive`).

Both count the time alone in which flyball listened (`monitoring.heard`), and hours of which every request was counted.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Literal, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray
from scipy.special import betainc

from flyball.clock import Instant, Span, rfc3339
from flyball.monitoring.heard import EVER, Heard, by_hour, heard_before
from flyball.monitoring.slabs import MINUTE
from flyball.records.alerts import Finding
from flyball.records.base import Record

ARRIVE = "requests arrive"
"""Name of the built-in monitor of the number of requests."""

HOUR_MINUTES, DAY_MINUTES = 60, 1_440
WEEK_HOURS = 168
WEEKS = 4
"""So many weeks before are compared with."""

KEPT = (WEEKS + 1) * WEEK_HOURS
GAP_DAYS = 7
LONGER, LEAST_GAP, LEAST_REQUESTS = 3, 60, 50
"""Silence is longer than so many times the longest pause, and than so many minutes; fewer requests in the seven days tell no pause."""

MORE = 720
"""Minutes that predictions which are sent later than they are made may come later than ever, at most: of a nightly job half a day."""

ENOUGH = 30
"""Requests that the hours looked at should hold."""

LENGTHS = (1, 3, 6, 12, 24)
"""Hours that are looked at: the first of these that hold enough."""

TIMES, RATE = 3.0, 1e-4
"""How many times fewer or more, and the chance of it among weeks that differ as these did."""

TAU_ALONE, TAU_LEAST = 0.1, 0.02
"""Overdispersion between weeks: where one week is all there is, and the least that is believed."""

WHOLE = 54
"""Minutes of an hour that were heard, from which on it counts as a whole one."""

BLOCK = 6
"""Hours over which weeks are compared to see how much they differ."""


class Arrivals(Record, frozen=True):
    """Requests by hour: `counts` from the hour `first` since 1970 on, at most five weeks. `began` and `last` are the minutes of the first and the newest
    request; `pauses` the longest pause that ended on each of the last days, as (day, minutes that were heard). `partial`: hours of which some requests
    were left out, for the model's declaration could not be read.

    Of predictions that are sent later than they were made, `received` is the minute in which the first ones came (0: nobody kept count, or the model is
    served here), and `lags` how old, in minutes, the newest one was at most when newer ones came, on each of the last days.
    """

    first: int = 0
    counts: tuple[int, ...] = ()
    began: int = 0
    last: int = 0
    pauses: tuple[tuple[int, int], ...] = ()
    partial: tuple[int, ...] = ()
    received: int = 0
    lags: tuple[tuple[int, int], ...] = ()


class Volume(NamedTuple):
    """Requests of some closed hours, and of the same hours of those weeks before in which all of them were heard. `unheard`: of the last day, hours that are
    left out.
    """

    hours: int
    unheard: int
    n: int
    before: tuple[int, ...]
    p: float
    way: str


def arrive(arrivals: Arrivals, minutes: Iterable[tuple[int, int]], heard: Heard = EVER) -> Arrivals:
    """Add (minute since 1970, requests), in any order. What is older than five weeks is left out. heard: what pauses are measured in."""
    new = sorted((minute, n) for minute, n in minutes if n)
    if not new:
        return arrivals
    if not arrivals.counts:
        arrivals = Arrivals(first=new[0][0] // HOUR_MINUTES, began=new[0][0], last=new[0][0])
    newest = max(new[-1][0] // HOUR_MINUTES, arrivals.first + len(arrivals.counts) - 1)
    first = max(arrivals.first, newest + 1 - KEPT)
    counts = list(arrivals.counts[first - arrivals.first :])
    counts += [0] * (newest + 1 - first - len(counts))
    pauses, last = dict(arrivals.pauses), arrivals.last
    for minute, n in new:
        hour = minute // HOUR_MINUTES
        if hour >= first:
            counts[hour - first] += n
        if minute > last:
            day = minute // DAY_MINUTES
            pauses[day] = max(pauses.get(day, 0), heard.minutes(last, minute))
            last = minute
    kept = tuple(sorted((day, pause) for day, pause in pauses.items() if day > last // DAY_MINUTES - GAP_DAYS))
    return msgspec.structs.replace(arrivals, first=first, counts=tuple(counts), last=last, pauses=kept)


def receive(arrivals: Arrivals, minutes: Iterable[tuple[int, int]], at: int, heard: Heard = EVER) -> Arrivals:
    """Add (minute in which they were made, predictions) that came by minute `at`, and note how far behind the newest one was until then."""
    new = arrive(arrivals, minutes)
    if not new.received or not arrivals.counts:
        return msgspec.structs.replace(new, received=at) if new.counts else new
    if new.last <= arrivals.last:
        return new
    day = at // DAY_MINUTES
    lags = dict(arrivals.lags)
    lags[day] = max(lags.get(day, 0), heard.minutes(arrivals.last, at))
    return msgspec.structs.replace(new, lags=tuple(sorted((of, lag) for of, lag in lags.items() if of > day - GAP_DAYS)))


def left_out(arrivals: Arrivals, minute: int) -> Arrivals:
    """Note that requests came until `minute` that were not counted: there was no silence, and the hour tells nothing of volume."""
    if not arrivals.counts:
        return arrivals
    hour = minute // HOUR_MINUTES
    partial = tuple(sorted({*arrivals.partial, hour}))
    return msgspec.structs.replace(arrivals, last=max(arrivals.last, minute), partial=tuple(one for one in partial if one > hour - KEPT))


def volume_findings(arrivals: Arrivals, now: Instant, heard: Heard = EVER) -> Iterator[Finding]:
    """One finding: silence, else how the newest closed hours stand to the weeks before."""
    minute = now // MINUTE
    hour = minute // HOUR_MINUTES
    if not arrivals.counts or minute - arrivals.began < (WEEK_HOURS + max(LENGTHS)) * HOUR_MINUTES:
        yield _say("none", "eight days of requests are needed to know how many to expect", standing="insufficient")
        return
    limit = silence_after(arrivals)
    if limit and (silent := heard.minutes(arrivals.last, minute)) >= limit:
        quiet = Span(silent * MINUTE)
        pause = Span(max(1, limit // LONGER) * MINUTE)
        when = rfc3339(arrivals.last * MINUTE)
        deaf = minute - arrivals.last - silent
        why = f"no request for {quiet}: the last one came at {when}, and the longest pause of seven days before was {pause}"
        why += f". {Span(deaf * MINUTE)} in which flyball was not up do not count" if deaf > 1 else ""
        yield _say("alert", why, effect=float(silent), floor=float(limit), value="silence")
        return
    yield _compared(arrivals, hour, heard, "")


def sent_findings(arrivals: Arrivals, now: Instant, heard: Heard = EVER) -> Iterator[Finding]:
    """The same of a model that is served elsewhere: its predictions are sent when they are sent, a week at once or each night."""
    minute = now // MINUTE
    least = (WEEK_HOURS + max(LENGTHS)) * HOUR_MINUTES
    # what came on one day alone is a file, and no habit
    if not arrivals.lags or arrivals.lags[-1][0] <= arrivals.received // DAY_MINUTES or minute - arrivals.received < least:
        yield _say("none", "it takes eight days to know how predictions are sent, and how many", standing="insufficient")
        return
    behind = max(lag for _, lag in arrivals.lags)
    lag = max(0, behind - max((pause for _, pause in arrivals.pauses), default=0))
    limit = silence_after(arrivals)
    if limit and (age := heard.minutes(arrivals.last, minute)) >= limit + lag + min(lag, MORE):
        why = f"no newer prediction for {Span(age * MINUTE)}: the newest one was made at {rfc3339(arrivals.last * MINUTE)}, and in the seven days before newer"
        why += f" ones came within {Span(max(1, behind) * MINUTE)}"
        yield _say("alert", why, effect=float(age), floor=float(limit + lag + min(lag, MORE)), value="silence")
        return
    settled = lag + max(HOUR_MINUTES, lag // 4)
    if minute - settled - arrivals.began < least:
        yield _say("none", "eight days of predictions are needed to know how many to expect", standing="insufficient")
    elif heard.minutes(minute - settled, minute) < settled - 2:
        yield _say("none", "flyball was not up all the time in which predictions are sent", standing="insufficient")
    else:
        hour = (minute - settled) // HOUR_MINUTES
        yield _compared(arrivals, hour, heard, f", by when they were made, until {rfc3339(hour * HOUR_MINUTES * MINUTE)}")


def _compared(arrivals: Arrivals, hour: int, heard: Heard, until: str) -> Finding:
    """How the newest closed hours before hour `hour` stand to the weeks before. until: words that say when they ended; empty: just now."""
    ends = _ends(arrivals, hour, heard)
    if not ends:
        return _say("none", "no hour of the last day was heard whole: flyball was not up", standing="insufficient")
    now_there, before = _volume(arrivals, ends[-1], heard), _volume(arrivals, ends[-2], heard) if len(ends) > 1 else None
    if now_there is None:
        return _say("none", "too few requests in a day of the weeks before to know how many to expect", standing="insufficient")
    lasts = before is not None and before.way == now_there.way != ""
    return _told(now_there, until, lasts=lasts)


def silence_after(arrivals: Arrivals) -> int:
    """Minutes without a request after which there is silence; 0: too few requests to know."""
    newest = arrivals.last // HOUR_MINUTES
    week = arrivals.counts[max(0, newest + 1 - WEEK_HOURS - arrivals.first) : newest + 1 - arrivals.first]
    if sum(week) < LEAST_REQUESTS:
        return 0
    return max(LEAST_GAP, LONGER * max((pause for _, pause in arrivals.pauses), default=0))


def _ends(arrivals: Arrivals, hour: int, heard: Heard) -> list[int]:
    """The ends of the closed hours of the last day, and the hour before it, that were heard whole; the newest last."""
    there = _whole(arrivals, hour - max(LENGTHS) - 1, hour, heard)
    return [hour - max(LENGTHS) + place for place, one in enumerate(there.tolist()) if one]


def _whole(arrivals: Arrivals, first: int, end: int, heard: Heard) -> NDArray[np.bool_]:
    """Of the hours [first, end), which tell how many requests came."""
    there = by_hour(heard, first, end) >= WHOLE
    for hour in arrivals.partial:
        if first <= hour < end:
            there[hour - first] = False
    return there


def _volume(arrivals: Arrivals, end: int, heard: Heard) -> Volume | None:
    """The newest hours before hour `end` that were heard, as few as hold enough requests; None where those of a whole day do not, or no week is there to
    compare with.
    """
    # what has come since says nothing of closed hours, and they are looked at each second
    closed = msgspec.structs.replace(
        arrivals, counts=arrivals.counts[: max(0, end - arrivals.first)], began=arrivals.began // HOUR_MINUTES, last=0, pauses=(), lags=()
    )
    return _of_closed(closed, end, heard_before(heard, end * HOUR_MINUTES))


@lru_cache(maxsize=2_500)
def _of_closed(arrivals: Arrivals, end: int, heard: Heard) -> Volume | None:
    """The same of hours that are all over; `began` is an hour here."""
    weeks = min(WEEKS, (end - max(LENGTHS) - arrivals.began) // WEEK_HOURS)
    if weeks < 1:
        return None
    grid = _hours(arrivals, end, weeks)
    there = _whole(arrivals, end - grid.size, end, heard).reshape(grid.shape)
    day = np.flatnonzero(there[-1, -max(LENGTHS) :]) + WEEK_HOURS - max(LENGTHS)
    for hours in LENGTHS:
        last = hours >= len(day)
        looked = day[-hours:]
        # a week in which one of these hours was not heard tells nothing of them
        comparable = there[:-1][:, looked].all(axis=1)
        if not comparable.any():
            return None
        sums = grid[:, looked].sum(axis=1)
        n, before = int(sums[-1]), sorted(sums[:-1][comparable].tolist())
        # one week that was out of the ordinary is no measure
        low, high = (before[1], before[-2]) if len(before) >= 3 else (before[0], before[-1])
        if max(low, n) < ENOUGH and not last:
            continue
        if max(low, n) < ENOUGH:
            return None
        few, many = _tails(n, before, _between_weeks(grid[:-1][comparable], there[:-1][comparable]))
        told = len(looked), max(LENGTHS) - len(day), n, tuple(before)
        if n * TIMES < low and few <= RATE:
            return Volume(*told, few, "fewer")
        if n > TIMES * high and n >= ENOUGH and many <= RATE:
            return Volume(*told, many, "more")
        return Volume(*told, min(few, many), "")
    return None


def _hours(arrivals: Arrivals, end: int, weeks: int) -> NDArray[np.int64]:
    """Counts (weeks + 1, 168) of the hours before `end`, oldest week first. Hours of which nothing is kept had no request."""
    wanted = (weeks + 1) * WEEK_HOURS
    found = np.zeros(wanted, dtype=np.int64)
    start = end - wanted
    kept = np.asarray(arrivals.counts, dtype=np.int64)
    low, high = max(start, arrivals.first), min(end, arrivals.first + kept.size)
    if high > low:
        found[low - start : high - start] = kept[low - arrivals.first : high - arrivals.first]
    return found.reshape(weeks + 1, WEEK_HOURS)


def _between_weeks(weeks: NDArray[np.int64], there: NDArray[np.bool_]) -> float:
    """τ of var = m + τm² between the same blocks of `weeks` (k, 168): by moments, over all blocks that were heard (`there`) in each of them."""
    k = len(weeks)
    if k < 2:
        return TAU_ALONE
    heard = there.reshape(k, -1, BLOCK).all(axis=(0, 2))
    blocks = weeks.reshape(k, -1, BLOCK).sum(axis=2)[:, heard].astype(np.float64)
    mean, variance = blocks.mean(axis=0), blocks.var(axis=0, ddof=1)
    # E of the squared mean is m² + var/k
    squares = float(np.sum(mean**2 - variance / k))
    return max(TAU_LEAST, float(np.sum(variance - mean)) / squares) if squares > 0 else TAU_ALONE


def _tails(n: int, before: Sequence[int], spread: float) -> tuple[float, float]:
    """Chance of at most, and at least, `n` beside the sum of `before`: the binomial of n in n + Σ at 1/(k+1), both thinned by φ = 1 + τm."""
    total, k = sum(before), len(before)
    phi = 1 + spread * max(total / k, 1.0)
    a, b, s = n / phi, total / phi, 1 / (k + 1)
    few = 1 - float(betainc(a + 1, b, s)) if b > 0 else 1.0
    many = float(betainc(a, b + 1, s)) if a > 0 else 1.0
    return few, many


def _told(found: Volume, until: str, *, lasts: bool) -> Finding:
    hours = "hour" if found.hours == 1 else f"{found.hours} hours"
    weeks = ", ".join(f"{count:,}" for count in found.before)
    why = f"{found.n:,} {'predictions' if until else 'requests'} in the last {hours}{until}; the same hours of the weeks before had {weeks}"
    # what cannot have mattered is not told
    if found.unheard:
        why += f"; {found.unheard} of the last {max(LENGTHS)} hours do not count: flyball was not up, or could not count"
    if not found.way:
        return _say("none", why, n=found.n)
    wait = "" if lasts else ": the next hour tells"
    why = f"{why}: {found.way} than {'a third' if found.way == 'fewer' else 'three times'} of them, p={found.p:.2g}{wait}"
    middle = found.before[len(found.before) // 2]
    effect = found.n / middle if middle else None
    floor = 1 / TIMES if found.way == "fewer" else TIMES
    return _say("alert", why, effect=effect, floor=floor, value=found.way, n=found.n, p=found.p, standing="settled" if lasts else "pending")


def _say(
    severity: Literal["none", "alert"],
    why: str,
    *,
    standing: Literal["settled", "pending", "insufficient"] = "settled",
    effect: float | None = None,
    floor: float | None = None,
    value: str = "",
    n: int = 0,
    p: float | None = None,
) -> Finding:
    return Finding(
        monitor=ARRIVE,
        severity=severity,
        standing=standing,
        value=value,
        effect=effect,
        floor=floor,
        n=n,
        p=p,
        why=why,
        failure="stale_data",
    )
