"""The loop was dead, and is back: it records that itself, once for each outage, from what the supervisor saw. Pure but for `observe`.

Such an incident is the project's and not one model's: nothing was watched, released or rolled back for anybody.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

from flyball.clock import Instant, Span, rfc3339
from flyball.incidents import rules as incidents
from flyball.incidents.playbook import DEFAULTS
from flyball.loop.findings import incidents_of
from flyball.loop.ports import Ports
from flyball.loop.proposals import ACTOR
from flyball.records.base import Event, Record, State
from flyball.records.incidents import IncidentMoved, IncidentOpened, IncidentState

MODE = "dead_loop"
PROJECT = ""
"""Whose the incident is: of no model."""


class Outage(NamedTuple):
    """When the loop made its last pass before, and its first one after; how often its process was killed for it."""

    began: Instant
    ended: Instant
    killed: int


class NoteDeadLoop(Record, frozen=True):
    """Look at the project's own incidents; with `began`, record an outage that is over."""

    id: str
    actor: str
    began: Instant = 0
    ended: Instant = 0
    killed: int = 0


def decide_note(state: State, command: NoteDeadLoop, now: Instant, *, new_id: Callable[[str], str]) -> Sequence[Event]:
    """An incident that opens and is mitigated at once, for the loop is back; clocks of those before that ran out, and reviewed ones that are closed."""
    rows = incidents_of(state, PROJECT)
    events: list[Event] = [event for row in rows if row.state != IncidentState.CLOSED for event in incidents.progress(row, (), now=now)]
    alert = f"/{MODE}/{command.began}"
    if not command.began or any(row.alert == alert for row in rows):
        return events
    lasted = Span(max(0, command.ended - command.began)).brief
    killed = f"; its process hung and was killed {command.killed} time{'s' if command.killed > 1 else ''}" if command.killed else ""
    opened = IncidentOpened(
        incident=new_id("inc"),
        model=PROJECT,
        failure_mode=MODE,
        alert=alert,
        what=f"dead loop: no pass for {lasted}",
        cause=f"no pass was made from {rfc3339(command.began)} to {rfc3339(command.ended)}{killed}; the control plane's log says more",
        owner="",
        actions=DEFAULTS[MODE],
    )
    back = IncidentMoved(
        incident=opened.incident, source=IncidentState.OPEN, target=IncidentState.MITIGATED, why="the loop makes passes again"
    )
    return (*events, opened, back)


def observe(ports: Ports, now: Instant) -> None:
    """Record what is new."""
    seen = ports.outage()
    began, ended, killed = seen if seen is not None else Outage(0, 0, 0)
    decide = partial(decide_note, new_id=ports.clock.new_id)
    command = NoteDeadLoop(id="", actor=ACTOR, began=began, ended=ended, killed=killed)
    if decide(ports.ledger.state(), command, now):
        given = NoteDeadLoop(id=ports.clock.new_id("cmd"), actor=ACTOR, began=began, ended=ended, killed=killed)
        ports.ledger.execute(given, decide)
