"""A person closes a page about the loss as a false alarm: what the version has lost since its release is normal from then on."""

from __future__ import annotations

from collections.abc import Sequence

from flyball.clock import Instant
from flyball.loop.ports import Ports
from flyball.monitoring.normal import Losses, Normal, normal
from flyball.monitoring.state import MonitorState
from flyball.records.alerts import RAISED_BOUNDS, BoundRaised
from flyball.records.base import Event, Record, State
from flyball.records.incidents import FALSE_ALARMS

ACTOR = "loop"


class RaiseBound(Record, frozen=True):
    """What wakes people of `version`, released at `since`, is to start from these losses. `before`: m₀ and φ as they are."""

    id: str
    actor: str
    model: str
    version: str
    since: Instant
    losses: Losses
    before: tuple[float, float]


def raise_bound(ports: Ports, state: State, known: MonitorState) -> State:
    """Once for each such incident that opened since the version's release, with the labels that came by now. Returns the state after it."""
    if not _wanted(state, known.model, known.version, known.released_at):
        return state
    command = RaiseBound(
        id=ports.clock.new_id("cmd"),
        actor=ACTOR,
        model=known.model,
        version=known.version,
        since=known.released_at,
        losses=known.losses,
        before=(known.wakes_at, known.swing),
    )
    ports.ledger.execute(command, decide_raise)
    return ports.ledger.state()


def decide_raise(state: State, command: RaiseBound, _now: Instant) -> Sequence[Event]:
    """The event, where nobody was quicker."""
    incident = _wanted(state, command.model, command.version, command.since)
    if not incident:
        return ()
    found, n = normal(command.losses, Normal(*command.before)), command.losses.n
    return (
        BoundRaised(
            model=command.model,
            version=command.version,
            incident=incident,
            bound=found.bound,
            swing=found.swing,
            labels=n,
            loss=command.losses.total / n if n else 0.0,
        ),
    )


def _wanted(state: State, model: str, version: str, since: Instant) -> str:
    """The incident about the loss of this version, released at `since`, that a person closed as a false alarm and that has raised nothing yet; empty text: none."""
    found, raised = state.get(FALSE_ALARMS, f"{model}/concept_drift"), state.get(RAISED_BOUNDS, f"{model}/{version}")
    if found is None or found.opened_at <= since or (raised is not None and raised.incident == found.incident):
        return ""
    return found.incident
