"""What a prediction costs: the processor time of a version's worker over the rows that it scored. Pure; minutes for two hours, hours for a week.

All of it is sums, so any span is the sum of its slabs. A spike needs an effect (twice the reference), one that matters (a fiftieth of a processor),
and persistence (each half of the last hour).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import msgspec

from flyball.clock import Instant
from flyball.declare.units import Money
from flyball.records.alerts import Finding
from flyball.records.base import Record
from flyball.records.evidence import Traffic

COST, SPARE = "a prediction costs what it did", "the worker has time left"
"""Names of the built-in monitors of cost and of saturation."""

MINUTE = 60_000_000
HOUR_MINUTES, DAY_MINUTES, WEEK_MINUTES = 60, 1_440, 10_080
MINUTES_KEPT = 120

SPIKE, FEWEST, MATTERS = 2.0, 1_000, 0.02
"""A spike is so many times the reference, of at least so many predictions in the hour, and takes so many processors more than it did."""

BUSY, BUSY_MINUTES = 0.9, 10
"""A worker has no time left when it took so large a share of a processor for so many minutes: it predicts in one thread."""

MOST_VERSIONS = 6
"""Versions of a model of which counts are kept: the champion, the former one, and what was in shadow last."""


class Used(Record, frozen=True):
    """Processor seconds and scored rows of `width` minutes from minute `start`; `wall_s` is how much of that time was measured."""

    start: int
    width: int = 1
    cpu_s: float = 0.0
    wall_s: float = 0.0
    n: int = 0


class Level(Record, frozen=True):
    """Sums over a span that something is compared with."""

    cpu_s: float = 0.0
    n: int = 0

    @property
    def each(self) -> float:
        """Processor seconds of a prediction; 0 where too few were counted to say."""
        return self.cpu_s / self.n if self.n >= FEWEST else 0.0


class Usage(Record, frozen=True):
    """One model's counts by version. `first` is the champion's first day, `former` what the version before it took, each 0 where it is not known."""

    model: str
    version: str = ""
    released_at: Instant = 0
    first: Level = Level()
    former: Level = Level()
    versions: dict[str, tuple[Used, ...]] = {}


class Reading(NamedTuple):
    """What a version's worker took since it was last looked at, `wall_s` ago."""

    cpu_s: float
    wall_s: float


class Price(Record, frozen=True):
    """What a thousand predictions of the champion take, by the last hour (or day, or week) that had any: seconds of processor time, watt hours (an estimate,
    by the watts of a busy processor), money (None without a price of an hour). `busy` is the share of a processor that its worker takes.
    """

    predictions: int
    cpu_s: float
    watt_hours: float
    busy: float
    money: float | None
    currency: str


def metered(usage: Usage, readings: Mapping[str, Reading], traffic: Iterable[Traffic], *, champion: str, now: Instant) -> Usage:
    """Take in what workers took (by version) and what was scored. A new champion begins a reference of its own."""
    if champion and champion != usage.version:
        known = _sum(usage.versions.get(usage.version, ()), 0)
        usage = msgspec.structs.replace(usage, version=champion, released_at=now, first=Level(), former=Level(cpu_s=known.cpu_s, n=known.n))
    minute = now // MINUTE
    new = [(version, Used(start=minute, cpu_s=one.cpu_s, wall_s=one.wall_s)) for version, one in readings.items()]
    new += [(part.version, Used(start=part.minute, n=part.n)) for part in traffic if part.model == usage.model and part.n]
    if not new:
        return usage
    versions = dict(usage.versions)
    for version, used in new:
        versions[version] = _with(versions.get(version, ()), used)
    kept = sorted(versions, key=lambda one: (one == usage.version, max(used.start for used in versions[one])))[-MOST_VERSIONS:]
    versions = {version: _coarse(versions[version], minute) for version in kept}
    first = usage.first
    if now - usage.released_at <= DAY_MINUTES * MINUTE:
        ours = [used for version, used in new if version == usage.version]
        first = Level(cpu_s=first.cpu_s + sum(used.cpu_s for used in ours), n=first.n + sum(used.n for used in ours))
    return msgspec.structs.replace(usage, versions=versions, first=first)


def usage_findings(usage: Usage, now: Instant) -> list[Finding]:
    """Whether a prediction has become dear, and whether the worker has time left; nothing of a model whose worker was never measured."""
    slabs = usage.versions.get(usage.version, ())
    return [_cost(usage, slabs, now // MINUTE), _spare(slabs, now // MINUTE)] if slabs else []


def reference(usage: Usage, now: Instant) -> tuple[float, str]:
    """Processor seconds of a prediction that the last hour is compared with, and whose they are; 0 where nothing is known.

    For a week after its release a version is held to what the former one took; from then on to its own first day.
    """
    if usage.former.each and now - usage.released_at <= WEEK_MINUTES * MINUTE:
        return usage.former.each, "the former version"
    if usage.first.each and now - usage.released_at > DAY_MINUTES * MINUTE:
        return usage.first.each, "its first day"
    return 0.0, ""


def _cost(usage: Usage, slabs: tuple[Used, ...], minute: int) -> Finding:
    hour = _last(slabs, minute, HOUR_MINUTES)
    level, whose = reference(usage, minute * MINUTE)
    if not level or hour.n < FEWEST:
        return Finding(
            monitor=COST, severity="none", standing="insufficient", failure="cost", n=hour.n, why="too little is known to compare"
        )
    late = _last(slabs, minute, HOUR_MINUTES // 2)
    early = Used(start=0, cpu_s=hour.cpu_s - late.cpu_s, n=hour.n - late.n)
    dear = all(half.n and half.cpu_s / half.n >= SPIKE * level for half in (early, late))
    more = (hour.cpu_s - level * hour.n) / (HOUR_MINUTES * 60)
    now_each = hour.cpu_s / hour.n
    return Finding(
        monitor=COST,
        severity="alert" if dear and more >= MATTERS else "none",
        effect=now_each / level,
        floor=SPIKE,
        n=hour.n,
        failure="cost",
        why=f"1,000 predictions took {1000 * now_each:.3g} CPU s in the last hour; {whose} took {1000 * level:.3g}",
    )


def _spare(slabs: tuple[Used, ...], minute: int) -> Finding:
    recent = _last(slabs, minute, BUSY_MINUTES)
    if recent.wall_s < (BUSY_MINUTES - 2) * 60:
        return Finding(monitor=SPARE, severity="none", standing="insufficient", failure="latency", why="not measured for long enough")
    share = recent.cpu_s / recent.wall_s
    return Finding(
        monitor=SPARE,
        severity="warn" if share >= BUSY else "none",
        effect=share,
        floor=BUSY,
        failure="latency",
        why=f"its worker took {100 * share:.0f}% of a processor in the last {BUSY_MINUTES} minutes",
    )


def price(usage: Usage, now: Instant, *, hour_price: Money | None, watts: float) -> Price | None:
    """What 1,000 predictions of the champion cost and take; None where nothing was measured. hour_price: of an hour of processor time."""
    slabs = usage.versions.get(usage.version, ())
    minute = now // MINUTE
    found = next(
        (part for span in (HOUR_MINUTES, DAY_MINUTES, WEEK_MINUTES) if (part := _last(slabs, minute, span)).n and part.cpu_s), None
    )
    if found is None:
        return None
    thousand = 1000 * found.cpu_s / found.n
    busy = found.cpu_s / found.wall_s if found.wall_s else 0.0
    money = None if hour_price is None else thousand / 3600 * hour_price.amount
    return Price(found.n, thousand, thousand * watts / 3600, busy, money, hour_price.currency if hour_price is not None else "")


def _last(slabs: Iterable[Used], minute: int, span: int) -> Used:
    """The sum of the last `span` minutes, of which `minute` is the newest."""
    return _sum(slabs, minute - span + 1)


def _sum(slabs: Iterable[Used], since: int) -> Used:
    """The sum of the slabs that end after minute `since`; the oldest one counts whole."""
    found = [used for used in slabs if used.start + used.width > since]
    return Used(start=since, cpu_s=sum(one.cpu_s for one in found), wall_s=sum(one.wall_s for one in found), n=sum(one.n for one in found))


def _with(slabs: tuple[Used, ...], new: Used) -> tuple[Used, ...]:
    """Add to the slab that covers its minute, or as a slab of its own, in order of time."""
    for place, known in enumerate(slabs):
        if known.start <= new.start < known.start + known.width:
            return (*slabs[:place], _added(known, new), *slabs[place + 1 :])
    return tuple(sorted((*slabs, new), key=lambda used: used.start))


def _added(left: Used, right: Used) -> Used:
    return Used(start=left.start, width=left.width, cpu_s=left.cpu_s + right.cpu_s, wall_s=left.wall_s + right.wall_s, n=left.n + right.n)


def _coarse(slabs: tuple[Used, ...], minute: int) -> tuple[Used, ...]:
    """What is older than two hours in hours, and nothing older than a week."""
    out: list[Used] = []
    for used in slabs:
        if minute - used.start > WEEK_MINUTES:
            continue
        if used.width == 1 and minute - used.start > MINUTES_KEPT:
            used = msgspec.structs.replace(used, start=used.start // HOUR_MINUTES * HOUR_MINUTES, width=HOUR_MINUTES)
        if out and out[-1].start + out[-1].width > used.start:
            out[-1] = _added(out[-1], used)
        else:
            out.append(used)
    return tuple(out)
