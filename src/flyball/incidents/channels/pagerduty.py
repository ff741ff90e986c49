"""PagerDuty Events API v2: trigger, acknowledge, resolve, by `dedup_key`. An incident of PagerDuty's is a thread of ours."""

from __future__ import annotations

from typing import Any

from flyball.clock import Instant, rfc3339
from flyball.declare.routes import Route
from flyball.incidents.channels.request import Request, posted
from flyball.records.deliveries import Message

_SUMMARY = 1_024
"""Characters of a summary, as PagerDuty takes them."""


def request(message: Message, route: Route, secret: str, _now: Instant) -> Request:
    """The event that tells a message. An incident that is mitigated is resolved there: it opens again there if it does here."""
    event: dict[str, Any] = {"routing_key": secret, "event_action": message.act, "dedup_key": message.thread}
    if message.act == "trigger":
        details = {
            "what": message.text,
            "owner": message.owner,
            "incident": message.incident,
            "alert": message.alert,
            "command": message.command,
            "models": ", ".join(message.models),
            "message": message.message,
        }
        payload = {
            "summary": message.title[:_SUMMARY],
            "source": message.model,
            "severity": message.severity,
            "timestamp": rfc3339(message.since),
            "component": message.model,
            "group": message.owner,
            "class": message.failure_mode,
            "custom_details": {name: value for name, value in details.items() if value},
        }
        event |= {"client": "flyball", "payload": {name: value for name, value in payload.items() if value}}
        if message.link:
            event |= {"client_url": message.link, "links": [{"href": message.link, "text": message.command}]}
    return posted(route.url, event)
