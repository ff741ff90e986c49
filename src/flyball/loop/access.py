"""The command that records requests without a valid token, and how it is decided: few events, however many requests there were."""

from __future__ import annotations

from collections.abc import Sequence

from flyball.clock import Instant
from flyball.records.base import Event, Record, State
from flyball.records.identity import REFUSED_ACCESS, AccessRefused

OTHERS = "others"
"""Under this name go the addresses for which there is no room."""

AT_ONCE = 32
"""Addresses that one command tells by name."""

KNOWN = 1_000
"""Addresses that the record ever tells by name."""


class NoteRefused(Record, frozen=True):
    """Record who was turned away since the last time."""

    id: str
    actor: str
    refused: tuple[AccessRefused, ...]


def decide_note_refused(state: State, command: NoteRefused, _now: Instant) -> Sequence[Event]:
    """One event an address, for those with the most attempts; the others come together in one."""
    known = {key for key, _ in state.scan(REFUSED_ACCESS)}
    named: list[AccessRefused] = []
    rest: list[AccessRefused] = []
    for each in sorted(command.refused, key=lambda each: (-each.count, each.source)):
        room = len(named) < AT_ONCE and (each.source in known or len(known) < KNOWN)
        if room:
            known.add(each.source)
        (named if room else rest).append(each)
    return (*named, *([_together(rest)] if rest else []))


def _together(refused: Sequence[AccessRefused]) -> AccessRefused:
    return AccessRefused(
        source=OTHERS,
        count=sum(each.count for each in refused),
        since=min(each.since for each in refused),
        until=max(each.until for each in refused),
        why=f"{len(refused)} addresses",
    )
