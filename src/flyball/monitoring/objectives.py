"""Error budgets: what of each is spent, how fast it burns, and what that says. Pure; everything is read off the counts that are kept.

An objective fires by two windows at once (`stats.burn`), and is over when both are below. Time in which data were fresh is measured, not sampled, so
a burn of it needs no number of events, only some minutes. A check that was held in hours or days has too few of them to burn: it speaks when its
budget is spent.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import Literal, NamedTuple

from flyball.clock import Instant, Span, rfc3339
from flyball.data.staleness import stale_within
from flyball.declare.checks import Check, Metric
from flyball.declare.objectives import HOURS, ROWS, Kind, failure_of, kind_of, metric_of
from flyball.declare.policy import Objective
from flyball.monitoring.checks import estimates
from flyball.monitoring.slabs import DAY_MINUTES, HOUR_MINUTES, MINUTE, Slab, add
from flyball.records.alerts import Finding
from flyball.records.base import Record
from flyball.records.data import StaleTime
from flyball.records.evidence import Quality
from flyball.stats.burn import FEWEST, LEAST_BAD, PAGES, TICKET, Pace, burn_rate, left, reachable

SLOW_BURN = "slow burn"
"""What stands for a slice in the finding of the slow pace: it is a ticket of its own, beside the page."""

LEAST_STALE = 5.0
"""Minutes of stale data in the long window below which nothing is said."""

LEAST_ROWS = 30
"""With fewer rows an hour or a day is neither good nor bad."""

QUALITY: tuple[Kind, ...] = ("rows", "spans")
"""What rests on labels, for the most part: a better version mends it."""

_UNITS = {"requests": "requests", "slow": "requests", "rows": "labelled rows", "freshness": "minutes"}

State = Literal["few", "below", "fading", "burning"]


class Stale(NamedTuple):
    """When a data set was too old, the time that goes on included, and since when it is known at all."""

    data: str
    first_at: Instant
    times: tuple[StaleTime, ...]


class Burn(Record, frozen=True):
    """How fast a budget burns at one pace. `rate` and `short_rate` are of the long and of the short window; `times` is the pace.

    few: too few events to say; fading: the long window is above the pace, the short one no more.
    """

    times: float
    long: Span
    short: Span
    rate: float
    short_rate: float
    bad: float
    events: float
    state: State


class Budget(Record, frozen=True):
    """The error budget of one objective over its window, as it stands. `unit` is what `events` counts; `left` the share of it that is left (below 0:
    more was spent than there was). `back_at`: when it is back if nothing bad comes and as much as before does; 0: it is not spent.
    """

    objective: str
    metric: str
    kind: Kind
    unit: str
    target: float
    window: Span
    events: float
    bad: float
    left: float
    spent: bool
    back_at: Instant
    burns: tuple[Burn, ...] = ()


class _Count(NamedTuple):
    """Events of the minutes [start, end), and how many of them were bad."""

    start: int
    end: int
    bad: float
    events: float


def budgets(objectives: Iterable[Objective], slabs: Sequence[Slab], stale: Sequence[Stale] = (), *, now: Instant) -> tuple[Budget, ...]:
    """The budget of each objective that can be counted. `slabs`: the model's counts, ascending; `stale`: of its data sets."""
    found = []
    for objective in objectives:
        kind = kind_of(objective)
        if kind == "freshness":
            found.append(_of_time(objective, stale, now))
        elif kind is not None:
            found.append(_of_counts(objective, kind, slabs, now))
    return tuple(found)


def _of_counts(objective: Objective, kind: Kind, slabs: Sequence[Slab], now: Instant) -> Budget:
    minute = now // MINUTE
    counts = list(_spans(objective, slabs, minute) if kind == "spans" else _events(objective, kind, slabs))
    window = objective.window // MINUTE
    bad, events = _sum(counts, minute - window, minute)
    allowed = 1 - objective.target
    judged = kind == "spans" or (events >= FEWEST and bad >= LEAST_BAD)
    spent = judged and bad > 0 and bad >= allowed * events
    paces = () if kind == "spans" else (*PAGES, TICKET)
    return Budget(
        objective=str(objective),
        metric=metric_of(objective).name,
        kind=kind,
        unit=_UNITS.get(kind, "hours" if objective.window <= HOURS else "days"),
        target=objective.target,
        window=objective.window,
        events=events,
        bad=bad,
        left=left(bad, events, allowed),
        spent=spent,
        back_at=_back(counts, window, allowed * events if kind == "spans" else max(allowed * events, LEAST_BAD), minute) * MINUTE
        if spent
        else 0,
        burns=tuple(
            _burn(pace, allowed, _sum(counts, minute - pace.long, minute), _sum(counts, minute - pace.short, minute))
            for pace in paces
            if reachable(pace, allowed)
        ),
    )


def _burn(pace: Pace, allowed: float, long: tuple[float, float], short: tuple[float, float], least: float = LEAST_BAD) -> Burn:
    """`long` and `short`: bad events and events of the two windows."""
    rate, now_rate = burn_rate(*long, allowed), burn_rate(*short, allowed)
    state: State = "below"
    if long[1] < (FEWEST if least == LEAST_BAD else pace.long):
        state = "few"
    elif long[0] >= least and rate >= pace.times:
        state = "burning" if now_rate >= pace.times else "fading"
    return Burn(
        times=pace.times,
        long=Span(pace.long * MINUTE),
        short=Span(pace.short * MINUTE),
        rate=rate,
        short_rate=now_rate,
        bad=long[0],
        events=long[1],
        state=state,
    )


def _sum(counts: Iterable[_Count], first: int, last: int) -> tuple[float, float]:
    """Bad events and events of all counts that reach into (first, last]; the oldest counts whole."""
    inside = [each for each in counts if each.end > first and each.start <= last]
    return sum(each.bad for each in inside), sum(each.events for each in inside)


def _back(counts: Sequence[_Count], window: int, allowed: float, minute: int) -> int:
    """The minute in which so much has left the window that the budget is not spent any more."""
    inside = [each for each in counts if each.end > minute - window]
    bad = sum(each.bad for each in inside)
    for each in inside:
        bad -= each.bad
        if bad < allowed or not bad:
            return each.end + window
    return minute


def _events(objective: Objective, kind: Kind, slabs: Iterable[Slab]) -> Iterator[_Count]:
    name, given = metric_of(objective).name, objective.metric
    most = _cell(given.bound) if isinstance(given, Check) and isinstance(given.bound, float | int) else 0
    for slab in slabs:
        if kind == "requests":
            bad, events = slab.errors, slab.n
        elif kind == "slow":
            bad, events = sum(n for cell, n in slab.latency.items() if cell > most), sum(slab.latency.values())
        else:
            whole = next((part for part in slab.quality if not part.slice), None)
            bad, events = _rows(name, whole) if whole is not None else (0, 0)
        yield _Count(slab.start, slab.end, bad, events)


def _cell(bound: float) -> int:
    """The latency cell in which a bound (ms) lies: what lies in a later one is slow, and that is at most 9% beyond the bound."""
    return math.floor(8 * math.log2(max(bound, 1e-3) * 1_000))


def _rows(name: str, part: Quality) -> tuple[int, int]:
    """Wrong rows, and rows, that the metric speaks of."""
    assert name in ROWS, f"{name} is no share of rows"
    if name == "accuracy":
        return part.labelled - part.correct, part.labelled
    if name == "precision":
        return part.fp, part.tp + part.fp
    if name == "recall":
        return part.fn, part.tp + part.fn
    return part.fp, part.fp + part.tn


def _spans(objective: Objective, slabs: Iterable[Slab], minute: int) -> Iterator[_Count]:
    """Each hour, or day, that is over and has enough rows, as one event: bad when the check did not hold in it."""
    check = objective.metric
    assert isinstance(check, Check), "only a check is held in spans of time"
    assert isinstance(check.bound, float | int), "an objective is held to a number"
    width = HOUR_MINUTES if objective.window <= HOURS else DAY_MINUTES
    for unit, parts in groupby(slabs, lambda slab: slab.start // width):
        if (unit + 1) * width > minute:
            return
        whole = Slab(start=unit * width, width=width)
        for part in parts:
            whole = add(whole, part)
        estimate = estimates(Metric(check.metric.name), whole)[0][1]
        if estimate.value is None or estimate.n < LEAST_ROWS:
            continue
        value, bound = estimate.value, check.bound
        holds = {">=": value >= bound, ">": value > bound, "<=": value <= bound, "<": value < bound}[check.op]
        yield _Count(unit * width, (unit + 1) * width, 0 if holds else 1, 1)


def _of_time(objective: Objective, stale: Sequence[Stale], now: Instant) -> Budget:
    """Of several data sets the one that was stale longest: the model is as old as its oldest data."""

    def inside(span: int) -> tuple[float, float]:
        """Stale minutes, and minutes that are known, of the last `span` minutes."""
        since = now - span * MINUTE
        found = [
            (stale_within(each.times, max(since, each.first_at), now) / MINUTE, (now - max(since, each.first_at)) / MINUTE)
            for each in stale
            if each.first_at < now
        ]
        return max(found, default=(0.0, 0.0))

    allowed, window = 1 - objective.target, objective.window // MINUTE
    bad, known = inside(window)
    spent = bad >= LEAST_STALE and bad >= allowed * known
    counts = [
        _Count(one.start // MINUTE, -(-one.end // MINUTE), one.stale / MINUTE, 0.0)
        for each in stale
        for one in each.times
        if one.end > now - window * MINUTE
    ]
    counts.sort(key=lambda each: each.end)
    return Budget(
        objective=str(objective),
        metric=metric_of(objective).name,
        kind="freshness",
        unit="minutes",
        target=objective.target,
        window=objective.window,
        events=known,
        bad=bad,
        left=left(bad, known, allowed),
        spent=spent,
        back_at=_back(counts, window, max(allowed * known, LEAST_STALE), now // MINUTE) * MINUTE if spent else 0,
        burns=tuple(
            _burn(pace, allowed, inside(pace.long), inside(pace.short), LEAST_STALE)
            for pace in (*PAGES, TICKET)
            if reachable(pace, allowed)
        ),
    )


def objective_findings(objectives: Iterable[Objective], found: Iterable[Budget]) -> Iterator[Finding]:
    """A page and a ticket of each budget, under its objective's name: whichever of them can come at all."""
    failures = {str(each): failure_of(each) for each in objectives}
    for budget in found:
        failure = failures[budget.objective]
        if budget.kind == "spans":
            yield _spent(budget, failure)
            continue
        for name, severity, burns in (
            ("", "alert", [burn for burn in budget.burns if burn.times > TICKET.times]),
            (SLOW_BURN, "warn", [burn for burn in budget.burns if burn.times <= TICKET.times]),
        ):
            if burns:
                yield _burning(budget, burns, failure, name, "alert" if severity == "alert" else "warn")


_ORDER: Sequence[State] = ("few", "below", "fading", "burning")


def _burning(budget: Budget, burns: Sequence[Burn], failure: str, name: str, severity: Literal["warn", "alert"]) -> Finding:
    worst = max(burns, key=lambda burn: (_ORDER.index(burn.state), burn.long if burn.state == "few" else burn.times))
    sentence = (
        f"{budget.objective}: {_amount(worst.bad)} of {_amount(worst.events)} {budget.unit} in {worst.long} were bad, {worst.rate:.3g}× what its "
        f"budget allows ({worst.short_rate:.3g}× in the last {worst.short}; {worst.times:g}× in both {'pages' if severity == 'alert' else 'is a ticket'}); "
        f"{_left(budget)}"
    )
    if worst.state == "few":
        why = f"{budget.objective}: {_amount(worst.events)} {budget.unit} in {worst.long} are too few to say ({FEWEST})"
        return Finding(monitor=budget.objective, slice=name, severity="none", failure=failure, standing="insufficient", why=why)
    return Finding(
        monitor=budget.objective,
        slice=name,
        severity="none" if worst.state == "below" else severity,
        standing="pending" if worst.state == "fading" else "settled",
        effect=worst.rate,
        floor=worst.times,
        n=round(worst.events),
        failure=failure,
        why=sentence,
    )


def _spent(budget: Budget, failure: str) -> Finding:
    told = f"{budget.objective}: it did not hold in {_amount(budget.bad)} of {_amount(budget.events)} {budget.unit}; {_left(budget)}"
    return Finding(
        monitor=budget.objective,
        severity="warn" if budget.spent else "none",
        standing="settled" if budget.events else "insufficient",
        effect=budget.bad / budget.events if budget.events else None,
        floor=1 - budget.target,
        n=round(budget.events),
        failure=failure,
        why=told if budget.events else f"{budget.objective}: no {budget.unit.removesuffix('s')} with {LEAST_ROWS} rows is over yet",
    )


def _left(budget: Budget) -> str:
    if budget.spent:
        return f"the budget of {budget.window} is spent until {rfc3339(budget.back_at)[:10]}"
    return f"{100 * budget.left:.3g}% of the budget of {budget.window} is left"


def _amount(number: float) -> str:
    return f"{round(number):,}"


def held_by(found: Iterable[Budget]) -> list[str]:
    """Why nothing is released while a budget is spent, in words."""
    return [f'the error budget of "{each.objective}" is spent until {rfc3339(each.back_at)[:10]}' for each in found if each.spent]


def next_due(found: Iterable[Budget], now: Instant) -> Instant | None:
    """When time alone changes what is said: a window of a burn empties minute by minute, and a budget is back. None: it does not."""
    due = [each.back_at for each in found if each.spent]
    if any(burn.state in ("burning", "fading") for each in found for burn in each.burns):
        due.append(now + MINUTE)
    return min((max(now + MINUTE, at) for at in due), default=None)
