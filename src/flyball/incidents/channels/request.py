"""What every form of a message has in common: message, route and secret in, an HTTP request out."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import msgspec

from flyball.clock import Instant
from flyball.declare.routes import Route
from flyball.records.deliveries import Message


class Request(NamedTuple):
    """An HTTP request. `body` is sent as it is."""

    method: str
    url: str
    headers: dict[str, str]
    body: bytes


class Channel(Protocol):
    """One form of messages over HTTP."""

    def __call__(self, message: Message, route: Route, secret: str, now: Instant, /) -> Request:
        """The request that tells a message now. `secret` is the value of the route's secret; empty where it has none."""
        ...


def posted(url: str, document: object, **headers: str) -> Request:
    """A JSON document to be posted; header names are written with `_` for `-`."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Request("POST", url, {"content-type": "application/json", **named}, msgspec.json.encode(document))
