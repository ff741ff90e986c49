"""What a route says to flyball: that somebody is on an incident, or calls it over, read from the form of each service. Pure."""

from __future__ import annotations

from typing import Any

import msgspec

from flyball.clock import Instant, instant
from flyball.incidents.signatures import FRESH
from flyball.records.base import Record
from flyball.records.incidents import IncidentRow


class Heard(Record, frozen=True):
    """`act` on a thread, by somebody outside. `id` is the sender's, and signed with the rest; so is `at`, when it happened (0: that is not said)."""

    id: str
    thread: str
    act: str
    by: str = ""
    text: str = ""
    at: Instant = 0


_ACTS = {"incident.acknowledged": "acknowledge", "incident.resolved": "resolve"}


def of_pagerduty(raw: bytes) -> Heard | None:
    """The event of a v3 webhook; None for one that asks for nothing, such as a ping. Raises ValueError for what is none.

    An incident that came from Events API v2 has our thread as its `incident_key`.
    """
    event = _part(msgspec.json.decode(raw), "event")
    kind = event.get("event_type")
    if not isinstance(kind, str):
        raise ValueError("event.event_type is missing")  # noqa: TRY004 - what was sent is wrong, and no argument
    if kind not in _ACTS:
        return None
    data, agent = _part(event, "data"), event.get("agent")
    thread = data.get("incident_key")
    if not isinstance(thread, str) or not isinstance(event.get("id"), str) or not event["id"]:
        raise ValueError("event.id or event.data.incident_key is missing")
    by = agent.get("summary") or agent.get("id") if isinstance(agent, dict) else ""
    return Heard(id=event["id"][:200], thread=thread[:400], act=_ACTS[kind], by=str(by or "")[:200], at=_moment(event.get("occurred_at")))


def words(heard: Heard) -> str:
    """What is noted on the incident. What is resolved outside is acknowledged here: whether it is over is measured."""
    done = "resolved outside; here it is over when that is measured" if heard.act == "resolve" else ""
    by = f"by {heard.by}" if heard.by else ""
    return "; ".join(filter(None, (by, done, " ".join(heard.text.split()))))


def is_of_before(heard: Heard, incident: IncidentRow) -> bool:
    """Whether it was said, by a clock that is right to five minutes, before the incident opened again: that was of something else."""
    return 0 < heard.at < incident.reopened_at - int(FRESH)


def _moment(value: Any) -> Instant:
    try:
        return instant(value) if isinstance(value, str) else 0
    except ValueError:
        return 0


def _part(value: Any, name: str) -> dict[str, Any]:
    found = value.get(name) if isinstance(value, dict) else None
    if not isinstance(found, dict):
        raise ValueError(f"{name} is missing")  # noqa: TRY004 - what was sent is wrong, and no argument
    return found
