"""Whether trainings help: one that comes again and again and gives no better champion costs, and hides that something else is wrong. Pure.

What is trained by a schedule is asked for, whatever comes of it: a champion that is not beaten in a world that stands still is no storm. What an
alarm asks for is another matter: the alarm stands, and training does not end it.
"""

from __future__ import annotations

from collections.abc import Iterable
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
    """The attempts that make a storm, and of which kind; no kind: there is none."""

    kind: str
    attempts: tuple[Attempt, ...]
    within: Span


def storm(attempts: Iterable[Attempt], *, champion_at: Instant, cooldown: Span, now: Instant) -> Storm:
    """Whether the attempts that are over, since the champion took over, are a storm."""
    since = [one for one in attempts if one.at > champion_at]
    for kind, trigger, most, within in (
        (ALARMED, "monitor", ATTEMPTS, max(DAY, Span(COOLDOWNS * cooldown))),
        (DECLARED, "declaration", DECLARATIONS, DAY),
    ):
        found = tuple(one for one in since if one.trigger == trigger and one.at > now - within)
        if len(found) >= most:
            return Storm(kind, found, within)
    return Storm("", (), Span(0))


def storm_finding(found: Storm) -> Finding:
    """What the monitor says."""
    if not found.kind:
        return Finding(monitor=HELPS, severity="none", failure="retrain_storm", why="no training has come in vain again and again")
    last = ", ".join(one.came_of_it for one in found.attempts[-3:])
    about = "an alarm asked for" if found.kind == ALARMED else "a changed declaration asked for"
    most = ATTEMPTS if found.kind == ALARMED else DECLARATIONS
    return Finding(
        monitor=HELPS,
        severity="alert",
        column=found.kind,
        effect=float(len(found.attempts)),
        floor=float(most),
        n=len(found.attempts),
        failure="retrain_storm",
        why=f"{len(found.attempts)} trainings that {about} within {found.within.brief}, and none gave a better champion (the last: {last})",
    )
