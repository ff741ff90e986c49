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
    """When the loop made its last pass before, and the first one after; how often its process was killed for it, and has ended in all until one lasted;
    whether passes were made in between, by processes that did not last.
    """

    began: Instant
    ended: Instant
    killed: int
    ends: int = 0
    between: bool = False


class NoteDeadLoop(Record, frozen=True):
    """Look at the project's own incidents; with `began`, record an outage that is over."""

    id: str
    actor: str
    began: Instant = 0
    ended: Instant = 0
    killed: int = 0
    ends: int = 0
    between: bool = False


def decide_note(state: State, command: NoteDeadLoop, now: Instant, *, new_id: Callable[[str], str]) -> Sequence[Event]:
    """An incident that opens and is mitigated at once, for the loop is back; clocks of those before that ran out, and reviewed ones that are closed."""
    rows = incidents_of(state, PROJECT)
    events: list[Event] = [event for row in rows if row.state != IncidentState.CLOSED for event in incidents.progress(row, (), now=now)]
    alert = f"/{MODE}/{command.began}"
    if not command.began or any(row.alert == alert for row in rows):
        return events
    opened = IncidentOpened(
        incident=new_id("inc"),
        model=PROJECT,
        failure_mode=MODE,
        alert=alert,
        what=_what(command),
        cause=_cause(command),
        owner="",
        actions=DEFAULTS[MODE],
    )
    back = IncidentMoved(
        incident=opened.incident, source=IncidentState.OPEN, target=IncidentState.MITIGATED, why="the loop makes passes again"
    )
    return (*events, opened, back)


def _what(command: NoteDeadLoop) -> str:
    lasted = Span(max(0, command.ended - command.began)).brief
    return f"dead loop: no lasting passes for {lasted}" if command.between else f"dead loop: no pass for {lasted}"


def _cause(command: NoteDeadLoop) -> str:
    passes = "passes were made only between the ends of the control plane," if command.between else "no pass was made"
    parts = [f"{passes} from {rfc3339(command.began)} to {rfc3339(command.ended)}"]
    if command.killed:
        parts.append(f"its process hung and was killed {_times(command.killed)}")
    if (others := command.ends - command.killed) > 0:
        parts.append(f"{'it also' if command.killed else 'its process'} ended {_times(others)} before one lasted")
    return "; ".join((*parts, "the control plane's log says more"))


def _times(number: int) -> str:
    return f"{number} time{'' if number == 1 else 's'}"


def observe(ports: Ports, now: Instant) -> None:
    """Record what is new."""
    seen = ports.outage() or Outage(0, 0, 0)
    decide = partial(decide_note, new_id=ports.clock.new_id)
    if decide(ports.ledger.state(), NoteDeadLoop(id="", actor=ACTOR, **seen._asdict()), now):
        ports.ledger.execute(NoteDeadLoop(id=ports.clock.new_id("cmd"), actor=ACTOR, **seen._asdict()), decide)
