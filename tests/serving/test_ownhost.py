"""What a browser is made to send to a gateway that asks nobody for a token."""

from __future__ import annotations

import asyncio
import timeit
from typing import Any

import pytest

from flyball.errors import Refused
from flyball.serving.address import loopback_names
from flyball.serving.http import ROUTES, Gateway
from flyball.serving.ownhost import OwnHost

from .conftest import Border


def asked(method: str, **headers: str) -> dict[str, Any]:
    given = [(name.encode(), value.encode()) for name, value in headers.items()]
    return {
        "type": "http",
        "method": method,
        "headers": [*given, (b"accept", b"*/*"), (b"user-agent", b"x"), (b"content-type", b"text/plain")],
    }


def code(method: str, **headers: str) -> str:
    try:
        OwnHost(loopback_names("127.0.0.1")).check(asked(method, **headers))
    except Refused as error:
        return error.code
    return ""


def test_a_page_of_another_site_sends_nothing() -> None:
    own = {"host": "localhost:7117"}
    strangers = ["https://shop.example", "http://localhost.example:7117", "http://127.0.0.1.example", "null", "", "file://"]
    assert {code("POST", **own, origin=origin) for origin in strangers} == {"wrong-origin"}
    friends = ["http://localhost:7117", "http://127.0.0.1:3000", "http://[::1]:7117", "https://LOCALHOST"]
    assert {code("POST", **own, origin=origin) for origin in friends} == {""}
    assert {code("POST", **own), code("GET", **own, origin="https://shop.example")} == {""}, (
        "programs tell no origin; who asks hears by CORS"
    )
    assert code("DELETE", **own, origin="https://shop.example") == "wrong-origin"


def test_a_page_that_was_made_to_resolve_to_this_machine_reads_nothing() -> None:
    assert {code("GET", host=host) for host in ("shop.example", "shop.example:7117", "", "localhost.example")} == {"wrong-host"}
    assert code("GET") == "wrong-host"
    assert {code("GET", host=host) for host in ("localhost", "127.0.0.1:7117", "[::1]:7117")} == {""}


@pytest.mark.parametrize("route", ROUTES)
def test_every_route_is_closed_to_them(border: Border, route: str) -> None:
    border.app = Gateway(border.dispatcher, border.app._metrics, border.app._limits, border._fresh, own=OwnHost(loopback_names("::1")))
    method, _, path = route.format(model="price").partition(" ")

    def status(**headers: str) -> int:
        sent: list[Any] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": b"{}"}

        async def send(message: Any) -> None:
            sent.append(message)

        asyncio.run(border.app({**asked(method, **headers), "path": path, "client": ("::1", 1)}, receive, send))
        return int(sent[0]["status"])

    assert status(host="shop.example") == 403
    assert status(host="localhost:7117") != 403
    assert (status(host="localhost:7117", origin="https://shop.example") == 403) == (method == "POST")


def test_it_costs_a_microsecond_at_most() -> None:
    own, request = OwnHost(loopback_names("127.0.0.1")), asked("POST", host="localhost:7117")
    best = min(timeit.repeat(lambda: own.check(request), number=2_000, repeat=20)) / 2_000
    assert best < 2e-6, "twice what it may take on an idle machine, which other tests do not leave it"
