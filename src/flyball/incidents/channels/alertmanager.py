"""Alertmanager API v2: an alert of the same labels is the same alert, and one that is not told again ends by itself.

So an alert is told with an end that lies ahead, and again long before it: a control plane that is away for a few minutes resolves nothing.
"""

from __future__ import annotations

from typing import Any

from flyball.clock import Instant, Span, rfc3339
from flyball.declare.routes import Route
from flyball.incidents.channels.request import Request, posted
from flyball.records.deliveries import Message

HOLDS = Span.parse("15m")
"""How long an alert lasts that is not told again."""

EVERY = Span.parse("1m")
"""How often what lasts is told again: before Alertmanager's own `resolve_timeout`, which is 5 minutes unless it is set."""

_PATH = "/api/v2/alerts"


def request(message: Message, route: Route, secret: str, now: Instant) -> Request:
    """The alerts that tell a message. What was acknowledged goes on there: Alertmanager knows silences alone."""
    ends = now if message.act == "resolve" else now + HOLDS
    page = message.page or message.urgent
    alerts = [_alert(message, ends, page=page)]
    if message.told == "raised":
        # its labels differ: the one that was no page ends
        alerts.append(_alert(message, now, page=False))
    if message.act == "resolve":
        # whichever it was last
        alerts.append(_alert(message, now, page=not page))
    url = route.url.rstrip("/")
    headers = {"authorization": f"Bearer {secret}"} if secret else {}
    return posted(url if url.endswith(_PATH) else url + _PATH, alerts, **headers)


def _alert(message: Message, ends: Instant, *, page: bool) -> dict[str, Any]:
    labels = {
        "alertname": "FlyballIncident" if message.incident else "FlyballWarning",
        "model": message.model,
        "failure_mode": message.failure_mode,
        "thread": message.thread,
        "severity": "critical" if page else "warning",
    }
    annotations = {
        "summary": message.title,
        "description": message.text,
        "owner": message.owner,
        "command": message.command,
        "models": ", ".join(message.models),
    }
    alert = {
        "labels": {name: value for name, value in labels.items() if value},
        "annotations": {name: value for name, value in annotations.items() if value},
        "startsAt": rfc3339(min(message.since, ends)),
        "endsAt": rfc3339(ends),
    }
    return alert | ({"generatorURL": message.link} if message.link else {})
