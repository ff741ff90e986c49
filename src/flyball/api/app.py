"""The API as an ASGI application: a request is authenticated, authorised, read, answered. One way for every route of the table.

Handlers run in threads; neither they nor the loop wait for each other but in the ledger's write lock, for the milliseconds of a commit.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any
from urllib.parse import urlencode

import msgspec
from anyio import CapacityLimiter, to_thread
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route as Path
from starlette.routing import Router
from starlette.types import Receive, Scope, Send

from flyball.api import reading
from flyball.api.asking import PREFIX, Answer, Asked
from flyball.api.bodies import NoBody
from flyball.api.gate import Gate
from flyball.api.hooks import Hooks, command_of
from flyball.api.idempotency import KEPT_BYTES, Keys, checked, place_of
from flyball.api.incoming import Upload, answered, decoded, whole_body
from flyball.api.nowhere import no_route
from flyball.api.openapi import document
from flyball.api.outward import Outward
from flyball.api.pages import Page
from flyball.api.routes import ADMIN, OPEN, READ, RECORD, ROUTES, SELF, SIGNED, WITH_SLASHES, Route
from flyball.api.shape import shown
from flyball.api.stream import Streams
from flyball.errors import BadInput, FlyballError
from flyball.errors import problem as details
from flyball.governance.authority import Caller, may_read, may_read_record, may_see_tokens
from flyball.ledger.ledger import error_of
from flyball.loop.authority import may_give
from flyball.records.base import Refusal
from flyball.records.commands import keyed_id
from flyball.serving import problems
from flyball.serving.problems import WrongMethod
from flyball.wiring import Wired

_JSON = "application/json"
_NOBODY = Caller(actor="")
_AT_THE_DOOR = 40
"""Threads in which requests are let in."""
_OPEN = 4
"""Threads for those that need not be let in."""
_LOOKS: Mapping[str, Callable[[Caller], Refusal | None]] = MappingProxyType(
    {READ: may_read, RECORD: may_read_record, ADMIN: may_see_tokens}
)
"""What a route needs that gives no command → why a caller has it not."""


class Api:
    """Answers requests about one project. `say` takes what is a fault of ours; `works` raises Unavailable where the ledger did not answer a
    moment ago; `ending` tells whether this process goes.
    """

    def __init__(
        self, wired: Wired, gate: Gate, say: Callable[[str], None], *, works: Callable[[], None], ending: Callable[[], bool] = lambda: False
    ) -> None:
        self._wired = wired
        self._gate = gate
        self._say = say
        self._works = works
        self._keys = Keys(wired.ports.memory, wired.ports.clock)
        self._hooks = Hooks(wired, gate.failures)
        self._streams = Streams(wired, ending)
        self._outward = Outward(wired.root, wired.database.name)
        # who waits to be let in takes no thread from those who are in, and neither from /health
        self._door = CapacityLimiter(_AT_THE_DOOR)
        self._open = CapacityLimiter(_OPEN)
        self._openapi = b""
        by_path: dict[str, list[Route]] = {}
        for route in ROUTES:
            by_path.setdefault(route.path, []).append(route)
        listed = [
            Path(PREFIX + path.replace(WITH_SLASHES, WITH_SLASHES.replace("}", ":path}")), _Resource(self, routes))
            for path, routes in by_path.items()
        ]
        listed.append(Path(PREFIX + SELF, _Resource(self, ())))
        self.app = Router(listed, redirect_slashes=False, default=_Nowhere())

    async def answer(self, request: Request, routes: Sequence[Route]) -> Response:
        """The answer to a request to a path whose routes are these (none: the document itself)."""
        try:
            if not routes:
                return await run_in_threadpool(self._document, request)
            return await self._answer(request, _with_method(request, routes))
        except FlyballError as error:
            return _problem(error, self._outward.problem(error))
        except Exception as error:  # noqa: BLE001 - a mistake of ours is told to its caller, and in one line to the log
            self._say(f"{request.method} {request.url.path[:200]!r} failed: {type(error).__name__}: {ascii(str(error))[:300]}")
            what = "the request could not be answered, by a mistake of flyball's own"
            return problem(FlyballError(what, fix="the control plane's log names it; please report it"))

    async def _answer(self, request: Request, route: Route) -> Response:
        header = request.headers.get("authorization", "")
        peer = request.headers.get("flyball-peer", "")
        if route.needs == SIGNED:
            return await self._signed(request, route, peer)
        caller = _NOBODY if route.needs == OPEN else await to_thread.run_sync(self._let_in, route, header, peer, limiter=self._door)
        query = _query(request, route)
        if route.streams and "text/event-stream" in request.headers.get("accept", ""):
            return await self._stream(request, caller, query, lambda: self._let_in(route, header, peer))
        # who may not send anything is not waited for
        raw = await whole_body(request) if route.acts else b""
        body = decoded(raw, route.body, request.headers.get("content-type", "")) if route.acts else NoBody()
        key = request.headers.get("idempotency-key")
        place = place_of(caller, checked(key)) if route.acts and key is not None else ""
        parts = (request.method, request.url.path, urlencode(sorted(query.items())))
        digest = hashlib.sha256("\n".join(parts).encode() + b"\n" + raw).hexdigest()
        # the id follows from all of the request: the ledger refuses another one under this key, however long ago that was
        command = keyed_id(f"key_{place}", digest) if place else self._wired.ports.clock.new_id("cmd")
        ports = self._wired.acting(caller)
        asked = Asked(self._wired, caller, ports, request.path_params, query, body, command, self._works)
        if not place:
            limiter = self._open if route.needs == OPEN else None
            return await to_thread.run_sync(lambda: _looked(route, asked), limiter=limiter)
        return await run_in_threadpool(self._once, route, asked, place, digest)

    async def _signed(self, request: Request, route: Route, peer: str) -> Response:
        """The answer to what a route sends: its signature is of the very bytes that are read."""
        query = _query(request, route)
        expected = self._hooks.expected(request.path_params["route"], request.headers, peer)
        raw = await whole_body(request)
        caller, taken = await to_thread.run_sync(self._hooks.taken, expected, request.headers, raw, peer, limiter=self._door)
        ports = self._wired.acting(caller)
        asked = Asked(self._wired, caller, ports, request.path_params, query, taken, command_of(taken), self._works)
        return await run_in_threadpool(_looked, route, asked)

    def _let_in(self, route: Route, header: str, peer: str) -> Caller:
        """Who asks, if they may. Raises Unauthenticated, TooMany, Refused."""
        caller = self._gate.caller(header, peer)
        look = _LOOKS.get(route.needs)
        refused = look(caller) if look else may_give(caller, route.needs)
        if refused is not None:
            raise error_of(refused)
        return caller

    def _once(self, route: Route, asked: Asked, place: str, digest: str) -> Response:
        """Carry it out, unless it was: then its first answer is told again."""
        before = self._keys.begin(place, digest)
        if before is not None:
            return _response(route, before.body.encode(), before.location, {})
        try:
            answer = route.handler(asked)
            body, location, headers = _rendered(answer)
            kept = body if answer.kept is None else msgspec.json.encode(shown(answer.kept))
        except BaseException:  # whatever it was, nobody is told that it was done
            self._keys.drop(place)
            raise
        if len(kept) <= KEPT_BYTES:
            self._keys.keep(place, digest, route.status, location, kept.decode())
        else:
            # it is answered anew, from what the ledger says that it came to
            self._keys.drop(place)
        return _response(route, body, location, headers)

    async def _stream(self, request: Request, caller: Caller, query: Mapping[str, str], still: Callable[[], object]) -> Response:
        seen = request.headers.get("last-event-id", "")
        asked = Asked(self._wired, caller, self._wired.acting(caller), {}, {"after": seen} if seen else query)
        parts = self._streams.events(reading.start_of(asked), still)
        first = await anext(parts)

        async def whole() -> Any:
            yield first
            async for part in parts:
                yield part

        return StreamingResponse(whole(), media_type="text/event-stream", headers={"cache-control": "no-store"})

    def _document(self, request: Request) -> Response:
        if request.method != "GET":
            raise WrongMethod(f"{request.url.path} does not take {request.method}", fix="use GET")
        self._openapi = self._openapi or msgspec.json.encode(document(ROUTES))
        return Response(self._openapi, media_type=_JSON)


class _Resource:
    """A path, as Starlette calls it."""

    def __init__(self, api: Api, routes: Sequence[Route]) -> None:
        self._api = api
        self._routes = routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        upload = Upload(receive)
        response = await self._api.answer(Request(scope, upload), self._routes)
        await answered(response, scope, upload, send)


class _Nowhere:
    """Every other path."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await answered(problem(no_route(scope["path"])), scope, Upload(receive), send)


def problem(error: FlyballError) -> Response:
    """The error as it is told, where it can name no place of this machine."""
    return _problem(error, details(error))


def _problem(error: FlyballError, told: Mapping[str, Any]) -> Response:
    headers = {name.decode(): value.decode() for name, value in problems.headers(error)}
    if isinstance(error, WrongMethod):
        headers["allow"] = error.fix.removeprefix("use ")
    return Response(msgspec.json.encode(told), error.status, headers, media_type=problems.CONTENT_TYPE.decode())


def _with_method(request: Request, routes: Sequence[Route]) -> Route:
    for route in routes:
        if route.method == request.method:
            return route
    raise WrongMethod(f"{request.url.path[:200]} does not take {request.method}", fix=f"use {', '.join(route.method for route in routes)}")


def _query(request: Request, route: Route) -> dict[str, str]:
    """The query as it was sent. Raises BadInput on what the route does not know, or one that is given twice."""
    given = request.query_params.multi_items()
    for name, _ in given:
        if name not in route.query:
            known = ", ".join(route.query)
            raise BadInput(f'"{name[:40]}" means nothing to {route}', why=f"it knows: {known}" if known else "it takes no query")
    query = dict(given)
    if len(query) != len(given):
        raise BadInput("a query parameter is given twice", why="either may be meant", fix="give it once")
    return query


def _looked(route: Route, asked: Asked) -> Response:
    answer = route.handler(asked)
    return _long(answer) if isinstance(answer.value, Iterator) else _response(route, *_rendered(answer))


def _long(answer: Answer) -> Response:
    """A text that is made while it is sent."""
    headers = {"cache-control": "no-store", **answer.headers}
    return StreamingResponse(answer.value, media_type="text/plain; charset=utf-8", headers=headers)


def _rendered(answer: Answer) -> tuple[bytes, str, Mapping[str, str]]:
    value = answer.value
    if isinstance(value, Page):
        value = {"items": value.items, "next": value.next}
    body = value if isinstance(value, bytes) else msgspec.json.encode(shown(value))
    return body, answer.location, answer.headers


def _response(route: Route, body: bytes, location: str, headers: Mapping[str, str]) -> Response:
    more = {"cache-control": "no-store", **headers, **({"location": location} if location else {})}
    return Response(body, route.status, more, media_type=_JSON if route.answer is not None else "text/plain; charset=utf-8")
