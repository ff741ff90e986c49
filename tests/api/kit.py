"""The API of a small real project on a Unix socket of its own, and people with tokens who ask it."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import httpx
from starlette.routing import Router

from flyball.api.app import Api
from flyball.api.asking import PREFIX
from flyball.api.gate import Gate
from flyball.api.keeper import Keeper
from flyball.api.openapi import document
from flyball.api.routes import ROUTES
from flyball.loop import tokens
from flyball.loop.local import new_secret
from flyball.records.base import Event, Record
from flyball.records.identity import Role, Scope
from flyball.serving.host import Host
from flyball.wiring import Wired

from ..serving.test_host import reached  # noqa: TID252 - one way to look
from .schema import problems

DOCUMENT = document(ROUTES)
Found = TypeVar("Found")


def eventually(true: Callable[[], Found], why: str, within_s: float = 20.0) -> Found:
    """What `true` gives as soon as it gives anything."""
    until = time.monotonic() + within_s
    while time.monotonic() < until:
        found = true()
        if found:
            return found
        time.sleep(0.02)
    raise AssertionError(why)


class Say(Record, frozen=True):
    """A command that records whatever a test wants to have happened."""

    id: str
    actor: str = "loop"


class Served:
    """The application over a project; every answer is held to the document. `peer`: the address that callers seem to come from."""

    def __init__(self, wired: Wired, socket: Path) -> None:
        self.wired = wired
        self.said: list[str] = []
        self.gate = Gate(wired)
        self.keeper = Keeper(wired, self.gate.failures, self.said.append)
        self.socket = socket
        self.made: Api
        self._host = Host(socket, self._application, self.said.append)
        self._host.start()
        self.http = httpx.Client(transport=httpx.HTTPTransport(uds=str(socket)), base_url="http://flyball", timeout=30)
        eventually(lambda: reached(socket), "the application does not answer")
        self.admin = self.token("ada", Role.ADMIN)

    def _application(self) -> Router:
        self.made = Api(self.wired, self.gate, self.said.append, works=self.keeper.check)
        return self.made.app

    def close(self) -> None:
        self.http.close()
        self._host.stop()

    def token(self, person: str, *roles: Role, scopes: Sequence[str] = ("control",), models: Sequence[str] = (), span_s: float = 0) -> str:
        """The secret of a new token."""
        clock, secret = self.wired.ports.clock, new_secret()
        order = tokens.order(
            command=clock.new_id("cmd"),
            actor="loop",
            token=clock.new_id("tok"),
            person=person,
            secret=secret,
            roles=roles,
            scopes=scopes,
            models=models,
            expires_at=clock.now() + int(span_s * 1e6) if span_s else 0,
        )
        self.wired.ledger.execute(order, tokens.decide_create)
        return secret

    def caller(self, *roles: Role, person: str = "bo") -> str:
        return self.token(person, *roles, scopes=tuple(Scope))

    def happened(self, *events: Event) -> int:
        """Have events recorded as if they had happened; the number of the last one."""
        return self.wired.ledger.execute(Say(id=self.wired.ports.clock.new_id("cmd")), lambda *_: events).last

    def ask(
        self, method: str, path: str, *, token: str | None = None, body: Any = None, peer: str = "10.0.0.1", **more: Any
    ) -> httpx.Response:
        """Ask, as the admin if nobody is named (empty: as nobody); what is answered must be as documented."""
        token = self.admin if token is None else token
        headers = {"Flyball-Peer": peer, **({"Authorization": f"Bearer {token}"} if token else {}), **more.pop("headers", {})}
        response = self.http.request(method, PREFIX + path, headers=headers, **({"json": body} if body is not None else {}), **more)
        hold(response, method, path.partition("?")[0])
        return response

    def get(self, path: str, **more: Any) -> httpx.Response:
        return self.ask("GET", path, **more)

    def post(self, path: str, body: Any = None, **more: Any) -> httpx.Response:
        return self.ask("POST", path, body=body, **more)


def hold(response: httpx.Response, method: str, path: str) -> None:
    """Look that an answer is as the document says."""
    media = response.headers.get("content-type", "")
    if media == "application/problem+json":
        found = list(problems({"$ref": "#/components/schemas/Problem"}, response.json(), DOCUMENT))
        assert found == []
        assert response.json()["status"] == response.status_code
        return
    told = operation(method, path)["responses"][str(response.status_code)]
    content = told["content"][media.partition(";")[0]]
    if media == "application/json":
        assert list(problems(content["schema"], response.json(), DOCUMENT)) == []


def operation(method: str, path: str) -> dict[str, Any]:
    """What the document says of a path."""
    for known, operations in DOCUMENT["paths"].items():
        if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", known), PREFIX + path) and method.lower() in operations:
            found = operations[method.lower()]
            assert isinstance(found, dict)
            return found
    raise AssertionError(f"{method} {path} is not in the document")


def serve(wired: Wired, folder: Path) -> Iterator[Served]:
    served = Served(wired, folder / "s")
    try:
        yield served
    finally:
        served.close()
        assert served.said == []
