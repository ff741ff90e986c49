"""What people are told of incidents and alerts: messages, to whom they are to go, and what became of each."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from flyball.clock import Instant
from flyball.records.base import Event, Record, Table

Told = Literal["opened", "raised", "joined", "reopened", "again", "acknowledged", "overdue", "mitigated", "closed", "warned", "recovered"]
"""What a message says has happened."""

Act = Literal["trigger", "acknowledge", "resolve"]
"""What a receiver that keeps a state of its own is to do with the thread."""


class DeliveryState(StrEnum):
    """Where a message to one route is. Superseded: a later one of its thread was delivered, and it would only be wrong after that."""

    WAITING = "waiting"
    DELIVERED = "delivered"
    SUPERSEDED = "superseded"


class Message(Record, frozen=True):
    """One thing that is said. `thread` is the incident's id (or an alert's episode): receivers group by it; `message` is the id by which one that
    comes twice is known. `since` is when what it is about began; `urgent`: a person is to be woken, `page`: the thread is one for which people are. Where one thread tells of several models, `models` are all
    of them and `along` the incidents beside the one whose thread it is.
    """

    message: str
    thread: str
    told: Told
    act: Act
    severity: Literal["critical", "warning", "info"]
    urgent: bool
    title: str
    text: str
    model: str
    owner: str
    since: Instant
    command: str
    incident: str = ""
    alert: str = ""
    failure_mode: str = ""
    link: str = ""
    mark: str = ""
    models: tuple[str, ...] = ()
    along: tuple[str, ...] = ()
    page: bool = False


class AlertQueued(Event, frozen=True, tag="alert.queued"):
    """A message is to reach a route: from here on it is tried until it is delivered, or a later one of its thread was."""

    route: str
    said: Message


class AlertDelivered(Event, frozen=True, tag="alert.delivered"):
    """A route has taken a message. `ms` since it was queued; `receipt` is what the receiver answered."""

    incident: str
    message: str
    route: str
    attempts: int
    ms: int
    receipt: str = ""


class AlertUndelivered(Event, frozen=True, tag="alert.undelivered"):
    """A route has not taken a message, and why. Said once for each message and route, not at every try. `refused`: waiting alone will not help; where it
    comes to that only later, it is said once more.
    """

    incident: str
    message: str
    route: str
    why: str
    refused: bool = False


class DeliveryRow(Record, frozen=True):
    """A message to one route as it stands. `seq` is the place of the event that queued it."""

    route: str
    said: Message
    seq: int
    queued_at: Instant
    state: DeliveryState = DeliveryState.WAITING
    attempts: int = 0
    delivered_at: Instant = 0
    receipt: str = ""
    undelivered_at: Instant = 0
    why: str = ""
    refused: bool = False


class SaidRow(Record, frozen=True):
    """What was said of a thread on a route, while there is more to say. `woken_at` is when a person was last woken by it."""

    thread: str
    route: str
    model: str
    urgent: bool
    marks: tuple[str, ...]
    woken_at: Instant = 0
    again: int = 0


DELIVERIES = Table("delivery", DeliveryRow)
"""Every message, keyed by `thread/seq`: what is asked of one incident."""

OUTBOX = Table("outbox", DeliveryRow)
"""The same rows while they wait, keyed by `route/message`."""

SAID = Table("said", SaidRow)
"""Keyed by `model/thread/route`; gone when all is said."""

LIVE = Table("live_delivery", DeliveryRow)
"""What was delivered last of a thread that is not resolved there, keyed by `route/thread`: some receivers forget what is not told again."""


def delivery_key(row: DeliveryRow) -> str:
    """The key of a row in DELIVERIES."""
    return f"{row.said.thread}/{row.seq:012d}"


def outbox_key(route: str, message: str) -> str:
    """The key of a row in OUTBOX."""
    return f"{route}/{message}"


def said_key(model: str, thread: str, route: str) -> str:
    """The key of a row in SAID."""
    return f"{model}/{thread}/{route}"


EVENTS = (AlertQueued, AlertDelivered, AlertUndelivered)
