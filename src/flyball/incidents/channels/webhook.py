"""A webhook of anybody's: the message as JSON, signed, with an id by which one that comes twice is known."""

from __future__ import annotations

from flyball.clock import Instant, rfc3339
from flyball.declare.routes import Route
from flyball.incidents.channels.request import Request, posted
from flyball.incidents.signatures import DELIVERY, SIGNATURE, signature
from flyball.records.deliveries import Message

VERSION = 1
"""Of the document; whoever changes what a field means adds one."""


def request(message: Message, route: Route, secret: str, now: Instant) -> Request:
    """The request that tells a message."""
    document = {
        "version": VERSION,
        "id": message.message,
        "thread": message.thread,
        "told": message.told,
        "act": message.act,
        "severity": message.severity,
        "urgent": message.urgent,
        "title": message.title,
        "text": message.text,
        "model": message.model,
        "owner": message.owner,
        "incident": message.incident or None,
        "alert": message.alert or None,
        "failure_mode": message.failure_mode,
        "since": rfc3339(message.since),
        "command": message.command,
        "link": message.link or None,
        "models": list(message.models or filter(None, (message.model,))),
        "incidents": [*filter(None, (message.incident,)), *message.along],
    }
    made = posted(route.url, document)
    return made._replace(headers={**made.headers, SIGNATURE: signature(secret, made.body, now), DELIVERY: message.message})
