"""The commands by which people are told: what is to be said is queued, what became of it is noted. Pure: who sends is `loop.delivering`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from flyball.clock import Instant
from flyball.declare.model import Model
from flyball.declare.routes import Routes
from flyball.incidents import messages
from flyball.incidents.threads import joint
from flyball.ledger.bounds import clipped
from flyball.loop.findings import alerts_of, incidents_of
from flyball.loop.nextstep import can_go_back, made_urgent
from flyball.loop.together import Peer, Together, told_with
from flyball.records.alerts import AlertRow, AlertState
from flyball.records.base import Event, Record, State
from flyball.records.deliveries import OUTBOX, SAID, AlertDelivered, AlertQueued, AlertUndelivered, Message, SaidRow, outbox_key
from flyball.records.incidents import INCIDENTS, IncidentRow, IncidentState
from flyball.records.mutes import is_muted, mutes_of


class Tell(Record, frozen=True):
    """Queue what is to be said of one model's incidents and warnings now; of the project's own incidents where no model is named."""

    id: str
    actor: str
    model: str


def decide_tell(state: State, command: Tell, now: Instant, *, model: Model, routes: Routes, peers: Sequence[Peer] = ()) -> Sequence[Event]:
    """Messages for the model's route; a route that heard of a thread before, and is not the model's any more, hears of its end.

    peers: incidents of all models, which may be told in one thread with this one's.
    """
    said = {(row.thread, row.route): row for _, row in state.scan(SAID, f"{command.model}/")}
    own = routes.of(model.playbook.route)
    if not own and not said:
        return ()
    incidents = {row.incident: row for row in incidents_of(state, command.model)}
    alerts = alerts_of(state, command.model)
    muted, together = mutes_of(state, command.model, now), Together(state, routes, peers, now)
    models = {peer.incident: peer.model for peer in peers}
    events: list[Event] = []
    for row in incidents.values():
        for route in _routes(row.incident, own, said):
            told = said.get((row.incident, route))
            if told is None and row.state == IncidentState.CLOSED:
                # incidents are kept for ever, and whose thread this would have been nobody asks any more
                continue
            thread = together.thread(row, model, route, told)
            if thread is None:
                continue
            rows = [row, *(other for each in thread.others if (other := state.get(INCIDENTS, each)) is not None)]
            found = messages.of_incident(
                thread.row,
                told,
                model,
                now,
                muted=thread.muted or route != own,
                link=routes.link,
                others=thread.others,
                back=can_go_back(state, thread.row),
                raised=made_urgent(state, rows, models | {row.incident: model}) if told is not None and not told.urgent else None,
            )
            events += [AlertQueued(route=route, said=each) for each in found]
    for alert in alerts.values():
        for each in (alert, msgspec.structs.replace(alert, episode=alert.episode - 1)):
            episode = messages.thread_of(each)
            for route in _routes(episode, own if each is alert else "", said):
                found = _of_alert(
                    each, alert, said.get((episode, route)), model, now, quiet=is_muted(muted, alert.monitor), link=routes.link
                )
                events += [AlertQueued(route=route, said=each_said) for each_said in found]
    return tuple(events)


def decide_tell_project(state: State, command: Tell, now: Instant, *, routes: Routes) -> Sequence[Event]:
    """Messages of what is the project's and no model's, such as a dead loop, for the route of everybody who names none."""
    said = {(row.thread, row.route): row for _, row in state.scan(SAID, f"{command.model}/")}
    own = routes.of("")
    return tuple(
        AlertQueued(route=route, said=each)
        for row in incidents_of(state, command.model)
        for route in _routes(row.incident, own, said)
        for each in messages.of_incident(row, said.get((row.incident, route)), None, now, muted=route != own, link=routes.link)
    )


def _routes(thread: str, own: str, said: dict[tuple[str, str], SaidRow]) -> list[str]:
    """The model's own route, and others that have heard of the thread."""
    heard = [route for of, route in said if of == thread and route != own]
    return [*([own] if own else []), *heard]


def _of_alert(
    row: AlertRow, newest: AlertRow, said: SaidRow | None, model: Model, now: Instant, *, quiet: bool, link: str
) -> Iterator[Message]:
    """Of an episode that was followed by another before its end was told, the end is told."""
    if row is not newest and said is not None:
        row = msgspec.structs.replace(row, state=AlertState.RESOLVED)
    return messages.of_alert(row, said, model, now, muted=quiet, link=link)


def due(state: State, model: Model, routes: Routes, now: Instant) -> list[Instant]:
    """When there will be something to say although nothing happens: a person is woken again, a mute ends."""
    route = routes.of(model.playbook.route)
    said = {row.thread: row for _, row in state.scan(SAID, f"{model.name}/") if row.route == route}
    rows: list[IncidentRow] = [row for row in incidents_of(state, model.name) if row.incident in said] if said else []
    rows = [joint(told_with(state, row.incident, model.name, route), said[row.incident]) for row in rows]
    return [*messages.due(rows, lambda row: said.get(row.incident)), *(row.until for row in mutes_of(state, model.name, now).values())]


class Sent(Record, frozen=True):
    """What one try to send a message came to. An empty `why`: its route has taken it, for all but `missed`."""

    route: str
    message: str
    attempts: int
    receipt: str = ""
    why: str = ""
    refused: bool = False
    missed: str = ""


class NoteSent(Record, frozen=True):
    """Record what tries to send messages came to."""

    id: str
    actor: str
    sent: tuple[Sent, ...]


def decide_note_sent(state: State, command: NoteSent, now: Instant) -> Sequence[Event]:
    """Delivered once, and that it fails once, for each message and route. What was superseded meanwhile is not noted."""
    events: list[Event] = []
    told: set[tuple[str, str]] = set()
    for each in command.sent:
        row = state.get(OUTBOX, outbox_key(each.route, each.message))
        if row is None or (each.route, each.message) in told:
            continue
        own = {"incident": row.said.incident, "message": each.message, "route": each.route}
        if not each.why:
            told.add((each.route, each.message))
            if each.missed:
                events.append(AlertUndelivered(**own, why=clipped(each.missed, 300), refused=True))
            events.append(
                AlertDelivered(**own, attempts=each.attempts, ms=(now - row.queued_at) // 1000, receipt=clipped(each.receipt, 300))
            )
        elif not row.undelivered_at or (each.refused and not row.refused):
            told.add((each.route, each.message))
            events.append(AlertUndelivered(**own, why=clipped(each.why, 300), refused=each.refused))
    return tuple(events)
