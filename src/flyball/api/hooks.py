"""What comes from a route: known by its signature and by no token, read once, and given as the very command that a person gives.

Whoever signs as a route acknowledges what the route was told of, and nothing else. What is resolved outside is acknowledged: that it is over is seen
here. What was sent before, and is sent again by whomever, does nothing.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Mapping

import msgspec

from flyball.api import answers, bodies
from flyball.api.asking import Answer, Asked
from flyball.api.incoming import decoded
from flyball.clock import Instant
from flyball.declare.routes import Route
from flyball.errors import BadInput, Conflict, NotFound, Unauthenticated
from flyball.governance.authority import Caller, route_caller
from flyball.incidents import inbound
from flyball.incidents.inbound import Heard
from flyball.incidents.signatures import PAGERDUTY, SIGNATURE, holds, holds_pagerduty
from flyball.loop import orders
from flyball.loop.ports import Memory
from flyball.loop.together import told_with
from flyball.records.base import Record
from flyball.records.deliveries import DELIVERIES
from flyball.records.incidents import INCIDENTS, IncidentState
from flyball.serving.failures import Failures
from flyball.serving.problems import Unparsable
from flyball.wiring import Wired

_SEEN, _MOST = "hooks/seen", 2_000


class Seen(Record, frozen=True):
    """Ids of what was taken, and when."""

    ids: dict[str, Instant] = {}


class Taken(Record, frozen=True):
    """What a route says, read. `heard` is None where it asks for nothing."""

    route: str
    kind: str
    heard: Heard | None


class Hooks:
    """Lets routes in. Threads may share it."""

    def __init__(self, wired: Wired, failures: Failures) -> None:
        self._wired = wired
        self._failures = failures

    def expected(self, name: str, headers: Mapping[str, str], peer: str) -> Route:
        """The route, before its body is read. Raises Unauthenticated, of a route that is not there as of one without a signature; TooMany."""
        outbox = self._wired.ports.outbox
        route = outbox.routes.routes.get(name) if outbox is not None else None
        if route is None or not route.inbound or not headers.get(_header(route)):
            self._turn_away(peer, "a route sent no signature")
            raise _unsigned()
        return route

    def taken(self, route: Route, headers: Mapping[str, str], raw: bytes, peer: str) -> tuple[Caller, Taken]:
        """Who asks, and for what. Raises Unauthenticated, TooMany, and for what is signed and cannot be read Unparsable, BadInput, NotPlain."""
        if not self._holds(route, headers.get(_header(route), ""), raw):
            self._turn_away(peer, "a route's signature does not hold")
            raise _unsigned()
        if route.kind == "pagerduty":
            heard = _of_pagerduty(raw)
        else:
            hook = decoded(raw, bodies.Hook, headers.get("content-type", ""))
            heard = Heard(id=hook.id, thread=hook.thread, act=hook.act, by=hook.by, text=hook.text)
        return route_caller(route.name), Taken(route=route.name, kind=route.kind, heard=heard)

    def _holds(self, route: Route, given: str, raw: bytes) -> bool:
        try:
            secret = self._wired.reader.secrets.get(route.inbound)
        except BadInput:
            return False
        if route.kind == "pagerduty":
            return holds_pagerduty(secret, given, raw)
        return holds(secret, given, raw, self._wired.ports.clock.now())

    def _turn_away(self, peer: str, why: str) -> None:
        self._failures.failed(peer, why)


def command_of(taken: Taken) -> str:
    """The id of the command that it is: the same again is the same command."""
    if taken.heard is None:
        return ""
    return "hook_" + hashlib.sha256(f"{taken.route} {taken.heard.id}".encode()).hexdigest()[:40]


_ONE_BY_ONE = threading.Lock()
"""What comes twice at once is taken once."""


def take(asked: Asked) -> Answer:
    """Take what a route says of an incident. It is noted that somebody is on it; what is resolved outside is not closed by that."""
    taken: Taken = asked.body
    if taken.heard is None:
        return _answer(taken, "", "it asks for nothing")
    with _ONE_BY_ONE:
        answer = _take(asked, taken, taken.heard)
        _note(asked.ports.memory, asked.command, asked.now)
    return answer


def _take(asked: Asked, taken: Taken, heard: Heard) -> Answer:
    told = [
        row for _, row in asked.state().scan(DELIVERIES, f"{heard.thread}/") if (row.route, row.said.thread) == (taken.route, heard.thread)
    ]
    if not told:
        raise NotFound(
            f'the route "{taken.route}" was told of no thread "{heard.thread[:80]}"', fix="send the `thread` of a message that it was sent"
        )
    incident = asked.state().get(INCIDENTS, told[0].said.incident)
    name = incident.incident if incident is not None else ""
    # of what is told in one thread, somebody is on all of it
    going = (
        [row for row in told_with(asked.state(), name, incident.model, taken.route) if row.state != IncidentState.CLOSED]
        if incident
        else []
    )
    if asked.wired.ledger.knows(asked.command) or asked.command in _seen(asked.ports.memory):
        if taken.kind == "pagerduty":
            # it sends again what was not answered in time
            return _answer(taken, name, "it was taken before")
        raise Conflict(
            f"{heard.id[:80]} was taken before", why="an id is taken once", fix="give what is new an id of its own", code="replayed"
        )
    if not going:
        return _answer(taken, name, "the incident is closed" if incident is not None else "it is a warning, and no incident")
    going = [row for row in going if not inbound.is_of_before(heard, row)]
    if not going:
        return _answer(taken, name, "it is of before the incident opened again")
    last = 0
    for row in reversed(going):
        # the one that is known by the hook's id comes last: a hook that was cut short is taken again
        own = asked.command if row is going[0] else f"{asked.command}_{row.incident}"
        command, decide = orders.settle(row, "ack", command=own, actor=asked.caller.actor, text=inbound.words(heard))
        last = max(last, asked.ports.ledger.execute(command, decide).last or 0)
    why = "" if last else "it was acknowledged already"
    return Answer(answers.Heard(route=taken.route, incident=name, taken=bool(last), why=why, event=last))


def _answer(taken: Taken, incident: str, why: str) -> Answer:
    return Answer(answers.Heard(route=taken.route, incident=incident or None, taken=False, why=why, event=0))


def _seen(memory: Memory) -> dict[str, Instant]:
    """The commands that were taken last, and when: one that records nothing is known by this alone."""
    raw = memory.load(_SEEN)
    try:
        return msgspec.json.decode(raw, type=Seen).ids if raw else {}
    except msgspec.DecodeError:
        return {}


def _note(memory: Memory, command: str, now: Instant) -> None:
    """Remember a command. By no age: PagerDuty signs no moment, and whoever tries again signs anew."""
    kept = dict(sorted(_seen(memory).items(), key=lambda one: one[1])[-_MOST:])
    memory.save({_SEEN: msgspec.json.encode(Seen(ids={**kept, command: now}))})


def _of_pagerduty(raw: bytes) -> Heard | None:
    try:
        return inbound.of_pagerduty(raw)
    except (ValueError, RecursionError) as error:
        raise Unparsable(
            "this is no webhook of PagerDuty's", why=str(error)[:200], fix="subscribe to V3 webhooks, and the incident events"
        ) from None


def _header(route: Route) -> str:
    return PAGERDUTY if route.kind == "pagerduty" else SIGNATURE


def _unsigned() -> Unauthenticated:
    return Unauthenticated(
        "there is no valid signature",
        why="a route is known by the signature of its secret, made within five minutes",
        fix=f"{SIGNATURE}: t=SECONDS,v1=HEX (docs/alerts.md)",
    )
