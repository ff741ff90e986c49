"""Whether trainings help: one that comes again and again and gives no better champion costs, and hides that something else is wrong. Pure.

What is trained by a schedule is asked for, whatever comes of it: a champion that is not beaten in a world that stands still is no storm. What an
alarm asks for is another matter: the alarm stands, and training does not end it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from flyball.clock import Instant, Span
from flyball.records.alerts import Finding

HELPS = "trainings help"
"""Name of the built-in monitor of trainings."""

ALARMED, DECLARED = "alarm", "declaration"

ATTEMPTS, COOLDOWNS, DAY = 3, 4, Span.parse("24h")
"""So many attempts because of an alarm, within so many cool-downs and at least a day, none of which gave the champion, are a storm."""

DECLARATIONS = 6
"""So many attempts in a day because the declaration differs are one: a loop file that says something else each time it is read."""


class Attempt(NamedTuple):
    """A training that is over: why it was made, when, and what came of it (`rejected`, `failed` …)."""

    trigger: str
    at: Instant
    came_of_it: str


class Storm(NamedTuple):
    """The attempts that make a storm, of which kind, and within how long they came."""

    kind: str
    attempts: tuple[Attempt, ...]
    within: Span


def storms(attempts: Iterable[Attempt], *, champion_at: Instant, cooldown: Span, now: Instant) -> tuple[Storm, ...]:
    """The storms that the attempts which are over, since the champion took over, make: one of a kind at most."""
    since = [one for one in attempts if one.at > champion_at]
    found: list[Storm] = []
    for kind, trigger, most, within in (
        (ALARMED, "monitor", ATTEMPTS, max(DAY, Span(COOLDOWNS * cooldown))),
        (DECLARED, "declaration", DECLARATIONS, DAY),
    ):
        mine = tuple(one for one in since if one.trigger == trigger and one.at > now - within)
        if len(mine) >= most:
            found.append(Storm(kind, mine, within))
    return tuple(found)


def storm_findings(found: Sequence[Storm]) -> tuple[Finding, ...]:
    """What the monitor says of each kind: an alert that is over is told to be over, or it would stand for ever."""
    standing = {one.kind: one for one in found}
    return tuple(_finding(kind, standing.get(kind)) for kind in (ALARMED, DECLARED))


def _finding(kind: str, found: Storm | None) -> Finding:
    about = "an alarm asked for" if kind == ALARMED else "a changed declaration asked for"
    if found is None:
        why = f"no training that {about} has come in vain again and again"
        return Finding(monitor=HELPS, severity="none", column=kind, failure="retrain_storm", why=why)
    last = ", ".join(one.came_of_it for one in found.attempts[-3:])
    most = ATTEMPTS if kind == ALARMED else DECLARATIONS
    return Finding(
        monitor=HELPS,
        severity="alert",
        column=kind,
        effect=float(len(found.attempts)),
        floor=float(most),
        n=len(found.attempts),
        failure="retrain_storm",
        why=f"{len(found.attempts)} trainings that {about} within {found.within.brief}, and none gave a better champion (the last: {last})",
    )
