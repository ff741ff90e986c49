"""Brings what is to be told to its routes: what the record says waits, and is not delivered, is sent until it is. One step after each pass.

The loop never waits for a receiver. What a try came to is recorded by the next step; a process that is killed in between sends the message again,
with the same id. How often a route has failed is operational: lost, it is only tried sooner.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import msgspec

from flyball.clock import Instant, Span
from flyball.declare.model import Model
from flyball.declare.routes import Routes
from flyball.incidents import retries
from flyball.incidents.channels.alertmanager import EVERY
from flyball.incidents.retries import RouteState, Tried
from flyball.loop.ports import Memory, Outbox, Ports
from flyball.loop.queueing import NoteSent, Sent, Tell, decide_note_sent, decide_tell, decide_tell_project
from flyball.loop.together import Peer
from flyball.records import codec
from flyball.records.base import Record, State
from flyball.records.deliveries import DELIVERIES, LIVE, OUTBOX, DeliveryRow

ACTOR = "loop"

KEEPS: Mapping[str, Span] = {"alertmanager": EVERY}
"""Kinds of routes that forget what is not told again, and how often it is."""

TOGETHER = "default and link"

_STATE, _KNOWN = "deliveries/", "routes"


def tell(ports: Ports, model: Model, peers: Sequence[Peer] = ()) -> None:
    """Queue what is to be said of a model's incidents and warnings now. peers: of all models, for what is behind several is told once (`peers_of`)."""
    if ports.outbox is None:
        return
    state = ports.ledger.state()
    command = Tell(id=ports.clock.new_id("cmd"), actor=ACTOR, model=model.name)
    decide = partial(decide_tell, model=model, routes=ports.outbox.routes, peers=peers)
    if decide(state, command, ports.clock.now()):
        ports.ledger.execute(command, decide)


def tell_project(ports: Ports) -> None:
    """Queue what is to be said of the project's own incidents now."""
    if ports.outbox is None:
        return
    command = Tell(id=ports.clock.new_id("cmd"), actor=ACTOR, model="")
    decide = partial(decide_tell_project, routes=ports.outbox.routes)
    if decide(ports.ledger.state(), command, ports.clock.now()):
        ports.ledger.execute(command, decide)


class Known(Record, frozen=True):
    """The routes that the process knows which tells people: by name a mark of what is declared, `TOGETHER` for what is said of all together."""

    marks: dict[str, str]


class Delivering:
    """Keeps what each route is given next. `chance` gives numbers of 0..1; `stays`: the process goes on, so that its start says that somebody may have
    mended something, and the routes that it knows are those that count.
    """

    def __init__(self, memory: Memory, chance: Callable[[], float] = random.random, *, stays: bool = False) -> None:
        self._memory = memory
        self._chance = chance
        self._stays = stays
        self._known = False
        self._states: dict[str, RouteState] = {}
        self._begun: set[str] = set()
        """Routes that are no more left alone for what failed before this process."""
        self._unsaid: list[Sent] = []
        self._told: dict[tuple[str, str], Instant] = {}
        """When what lasts was told again to a route that forgets."""

    def step(self, ports: Ports, now: Instant) -> None:
        """Record what tries came to, and begin what is due. Raises what the ledger raises: what was not recorded then is by the next step."""
        if ports.outbox is None:
            return
        if self._stays and not self._known:
            self._memory.save({_KNOWN: codec.encode(Known(marks=marks_of(ports.outbox.routes)))})
            self._known = True
        self._note(ports, ports.outbox.ended())
        state = ports.ledger.state()
        waiting = waiting_of(state)
        self._away(ports, ports.outbox, waiting)
        for route in ports.outbox.routes.routes:
            rows = waiting.get(route, [])
            if self._stays and route not in self._begun:
                self._begun.add(route)
                self._states[route] = retries.begun(self.state(route), rows)
            self._keep(route, retries.kept(self.state(route), rows))
            letters = [*retries.next_of(rows, self.state(route), now), *self._lasting(ports.outbox, state, route, rows, now)]
            if letters:
                ports.outbox.begin(route, letters)

    def finish(self, ports: Ports, seconds: float) -> None:
        """Wait for what was begun, so long at most, and record it."""
        if ports.outbox is not None:
            ports.outbox.wait(seconds)
            self._note(ports, ports.outbox.ended())

    def due(self, state: State, now: Instant) -> Instant | None:
        """When something that waits is to be tried again; None: nothing waits."""
        waiting = waiting_of(state)
        return retries.next_due(waiting, {route: self.state(route) for route in waiting}, now)

    def state(self, route: str) -> RouteState:
        """How a route has behaved."""
        if route not in self._states:
            self._states[route] = state_of(self._memory, route)
        return self._states[route]

    def _note(self, ports: Ports, ended: Sequence[Tried]) -> None:
        for one in ended:
            before = self.state(one.route)
            if one.kept:
                self._told[one.route, one.message] = one.at
            else:
                attempts = retries.attempts(before, one.message) + 1
                barred = one.outcome in ("refused", "barred")
                self._unsaid.append(
                    Sent(
                        route=one.route,
                        message=one.message,
                        attempts=attempts,
                        receipt=one.receipt,
                        why=one.why,
                        refused=barred,
                        missed=one.missed,
                    )
                )
            self._keep(one.route, retries.tried(before, one, self._chance()))
        if self._unsaid:
            command = NoteSent(id=ports.clock.new_id("cmd"), actor=ACTOR, sent=tuple(self._unsaid))
            if decide_note_sent(ports.ledger.state(), command, ports.clock.now()):
                ports.ledger.execute(command, decide_note_sent)
            self._unsaid = []

    def _keep(self, route: str, state: RouteState) -> None:
        if state != self.state(route):
            self._states[route] = state
            self._memory.save({_STATE + route: codec.encode(state)})

    def _away(self, ports: Ports, outbox: Outbox, waiting: Mapping[str, Sequence[DeliveryRow]]) -> None:
        """What waits for a route that is declared no more is said to, once."""
        gone = [row for route, rows in waiting.items() if route not in outbox.routes.routes for row in rows if not row.undelivered_at]
        if gone:
            why = "its route is not declared in flyball.toml any more"
            sent = tuple(Sent(route=row.route, message=row.said.message, attempts=0, why=why, refused=True) for row in gone)
            ports.ledger.execute(NoteSent(id=ports.clock.new_id("cmd"), actor=ACTOR, sent=sent), decide_note_sent)

    def _lasting(self, outbox: Outbox, state: State, route: str, waiting: Sequence[DeliveryRow], now: Instant) -> list[DeliveryRow]:
        """What was told to a route that forgets and lasts still, where it is time to tell it again and nothing newer waits."""
        every = KEEPS.get(outbox.routes.routes[route].kind)
        if every is None or now < self.state(route).again_at:
            return []
        newer = {row.said.thread for row in waiting}
        live = [row for _, row in state.scan(LIVE, f"{route}/") if row.said.thread not in newer]
        due = [row for row in live if now - self._told.get((route, row.said.message), row.delivered_at) >= every]
        return due[: retries.AT_ONCE]


def marks_of(routes: Routes) -> dict[str, str]:
    """The marks of routes, as in `Known`."""
    said: dict[str, object] = {TOGETHER: (routes.default, routes.link), **routes.routes}
    return {name: hashlib.sha256(msgspec.json.encode(one)).hexdigest()[:16] for name, one in said.items()}


def news_of(memory: Memory, routes: Routes) -> list[str]:
    """What the process that tells people does not know of the routes as flyball.toml has them now, in words; nothing where none has noted what it knows."""
    raw = memory.load(_KNOWN)
    try:
        known = codec.decode(raw, Known).marks if raw else None
    except msgspec.DecodeError:
        known = None
    now = marks_of(routes)
    if known is None or known == now:
        return []
    changed = {
        name: "changed" if name in known and name in now else "added" if name in now else "taken out" for name in known.keys() | now.keys()
    }
    return [f"{name} ({what})" for name, what in sorted(changed.items()) if known.get(name) != now.get(name)]


def waiting_of(state: State) -> dict[str, list[DeliveryRow]]:
    """What waits for each route, oldest first."""
    found: dict[str, list[DeliveryRow]] = {}
    for _, row in state.scan(OUTBOX):
        found.setdefault(row.route, []).append(row)
    return {route: sorted(rows, key=lambda row: row.seq) for route, rows in found.items()}


def told_of(state: State, incident: str) -> list[tuple[str, DeliveryRow]]:
    """What was told of an incident by its keys, oldest first; one thing may be behind several, which are told in the thread of one."""
    found = [(key, row) for key, row in state.scan(DELIVERIES) if incident in (row.said.incident, *row.said.along)]
    return sorted(found, key=lambda pair: pair[1].seq)


def state_of(memory: Memory, route: str) -> RouteState:
    """How a route has behaved, as it was saved last. What another version of flyball has saved in another form is not read."""
    raw = memory.load(_STATE + route)
    try:
        return codec.decode(raw, RouteState) if raw else RouteState()
    except msgspec.DecodeError:
        return RouteState()
