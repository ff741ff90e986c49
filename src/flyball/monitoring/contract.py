"""Whether requests keep the contract of their columns: a column that is missing, renamed, of another type or out of its bounds. Pure.

What the gateway refuses no model sees, so that neither drift nor errors would ever tell of it. Looked at in the last hour against the seven days
before it: a share of requests that rose by points, by more than chance, and in most of the newest minutes. A client that sends wrong rows for four
minutes, or one whose requests are few among all, pages nobody.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from flyball.clock import Instant
from flyball.monitoring.slabs import MINUTE, Slab
from flyball.records.alerts import Finding
from flyball.records.evidence import tallied
from flyball.stats.cause import share
from flyball.stats.drift import FLOORS, Level, share_p

CONTRACT = "requests keep their contract"
"""Name of the built-in monitor of requests that were refused, and of values that were imputed or marked."""

SPANS = (60, 6 * 60, 24 * 60)
"""Minutes that are looked at: the first of these with enough requests."""

BEFORE = 7 * 24 * 60
"""Minutes before them that they are compared with."""

FEWEST = 20
"""Requests below which nothing is said."""

COMPARED = 50
"""With fewer requests before there is nothing to compare with: no request should break its contract."""

RATE = 1e-3
"""Chance of so many breaches without a change, below which there was one."""

LOOKS, BAD = 10, 5
"""Of so many of the newest minutes that had requests (hours, where minutes are kept no more), in so many the share has to be up."""

_TOLD = {
    "missing": "missing in",
    "unknown": "unknown field in",
    "type": "of another type in",
    "range": "out of its bounds in",
    "value": "none of its declared values in",
    "imputed": "broke its contract and was imputed in",
    "marked": "broke its contract and was taken as it is in",
    "refused": "refused in",
    "other": "refused without a look at a column:",
}
_RANK: dict[Level, int] = {"none": 0, "warn": 1, "alert": 2}


class Breach(NamedTuple):
    """One kind of breach of one column: its share now and before, how grave that is, and whether it lasts."""

    kind: str
    column: str
    now: float
    before: float
    p: float
    level: Level
    lasts: bool


def contract_findings(slabs: Sequence[Slab], now: Instant) -> Iterator[Finding]:
    """One finding for requests as a whole, and one for each column that ever broke its contract while counts are kept: its gravest breach."""
    minute = now // MINUTE
    span = next((span for span in SPANS if _requests(_between(slabs, minute - span, minute)) >= FEWEST), SPANS[0])
    recent, before = _between(slabs, minute - span, minute), _between(slabs, minute - span - BEFORE, minute - span)
    n = _requests(recent)
    if n < FEWEST:
        yield Finding(
            monitor=CONTRACT,
            severity="none",
            standing="insufficient",
            failure="schema_change",
            n=n,
            why=f"{n} requests in a day are too few to speak of",
        )
        return
    counts, earlier = _breaches(recent), _breaches(before)
    looks = [slab for slab in recent if slab.asked + slab.refused][-LOOKS:]
    found = [_breach(key, counts.get(key, 0), n, earlier.get(key, 0), _requests(before), looks) for key in {**earlier, **counts}]
    missing = max((each.now for each in found if each.kind == "missing" and each.level != "none"), default=0.0)
    named: dict[str, list[Breach]] = {}
    for each in found:
        # a field under another name is missing under its own: there both are told
        renamed = each.kind == "unknown" and 0 < each.now <= 1.05 * missing
        named.setdefault("" if each.column == "*" else each.column, []).append(each._replace(level="none") if renamed else each)
    unknown = [each for each in found if each.kind == "unknown" and each.now >= FLOORS["nulls"][0]]
    named.setdefault("", [Breach("other", "*", 0.0, 0.0, 1.0, "none", lasts=False)])
    hours = "hour" if span == SPANS[0] else f"{span // 60} hours"
    for column in sorted(named):
        yield _finding(column, max(named[column], key=lambda each: (_RANK[each.level], each.now)), unknown, n, hours)


def _between(slabs: Iterable[Slab], first: int, last: int) -> list[Slab]:
    """The slabs that begin after minute `first`, by `last`: each is in one span only."""
    return [slab for slab in slabs if first < slab.start <= last]


def _requests(slabs: Iterable[Slab]) -> int:
    return sum(slab.asked + slab.refused for slab in slabs)


def _breaches(slabs: Iterable[Slab]) -> dict[str, int]:
    found: dict[str, int] = {}
    for slab in slabs:
        found = tallied(found, slab.breaches) if slab.breaches else found
    return found


def _breach(key: str, a: int, n: int, b: int, total: int, looks: Sequence[Slab]) -> Breach:
    kind, _, column = key.partition(" ")
    now, before = a / n, b / total if total >= COMPARED else 0.0
    p = share_p(a, n, b, total) if total >= COMPARED else 0.0
    warn, alert = FLOORS["nulls"]
    rose = now - before
    level: Level = "none" if p > RATE else "alert" if rose >= alert else "warn" if rose >= warn else "none"
    bad = sum(slab.breaches.get(key, 0) >= (before + warn) * (slab.asked + slab.refused) for slab in looks if key in slab.breaches)
    return Breach(kind, column, now, before, p, level, lasts=bad >= BAD)


def _finding(column: str, found: Breach, unknown: Sequence[Breach], n: int, hours: str) -> Finding:
    others = [each for each in unknown if each.column != column and found.kind == "missing"]
    told = "; ".join(f"unknown field {each.column} in {share(each.now)}" for each in others)
    what = f"{column}: {_TOLD.get(found.kind, found.kind)}" if column else _TOLD.get(found.kind, found.kind)
    why = f"{what} {share(found.now)} of {n:,} requests of the last {hours}, {share(found.before)} in the week before"
    if found.level == "none" and not column:
        why = f"no rise in what is refused in {n:,} requests of the last {hours}"
    return Finding(
        monitor=CONTRACT,
        severity=found.level,
        column=column,
        value=found.kind if found.level != "none" else "",
        effect=found.now - found.before,
        floor=FLOORS["nulls"][1 if found.level == "alert" else 0],
        p=found.p,
        n=n,
        why=f"{why}; {told}" if told and found.level != "none" else why,
        failure="schema_change",
        standing="pending" if found.level != "none" and not found.lasts else "settled",
    )
