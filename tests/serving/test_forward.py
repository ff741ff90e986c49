"""Requests for the control plane go through a gateway as they are, and an absent control plane is told at once."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from flyball.serving.address import host_name, is_loopback, loopback_names, url_of
from flyball.serving.forward import Forward
from flyball.serving.http import Gateway
from flyball.serving.limits import Limits
from flyball.serving.ownhost import OwnHost

LIMITS = Limits(body_bytes=1_000)
IN_PARTS = {"transfer-encoding": "chunked"}
Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@pytest.fixture
def path() -> Iterator[Path]:
    # a Unix socket's path is short
    with tempfile.TemporaryDirectory(prefix="fb-") as folder:
        yield Path(folder) / "control.sock"


@asynccontextmanager
async def control(path: Path, handler: Handler) -> AsyncIterator[None]:
    """A control plane that answers with `handler`."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await handler(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_unix_server(handle, str(path))
    async with server:
        yield


class Caller:
    """One request through a gateway's application."""

    def __init__(self, path: Path, limits: Limits = LIMITS, forward: Forward | None = None) -> None:
        self.forward = forward or Forward(path, limits, shared=True)
        self.app = Gateway(None, None, limits, self._fresh, forward=self.forward, own=OwnHost(loopback_names("127.0.0.1")))  # type: ignore[arg-type]
        self.sent: list[Any] = []
        self.gone = asyncio.Event()
        self.begun = asyncio.Event()

    async def _fresh(self) -> None:
        """Nothing to look at."""

    async def ask(
        self,
        *parts: bytes,
        method: str = "POST",
        path: str = "/api/v1/x",
        headers: dict[str, str] | None = None,
        client: str = "192.0.2.9",
        whole: bool = True,
    ) -> Caller:
        more = [True] * (len(parts) - 1) + [not whole]
        messages = [{"type": "http.request", "body": part, "more_body": each} for part, each in zip(parts, more, strict=False)]

        async def receive() -> dict[str, Any]:
            if messages:
                return messages.pop(0)
            await self.gone.wait()
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            self.sent.append(message)
            if len(self.sent) == 2:
                self.begun.set()

        given = {"host": "localhost:7117", **(headers or {})}
        scope = {
            "type": "http",
            "method": method,
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"a=1&b=%20",
            "client": (client, 5),
        }
        encoded = [(name.encode(), value.encode()) for name, value in given.items()]
        await self.app({**scope, "headers": encoded}, receive, send)
        return self

    @property
    def status(self) -> int:
        return int(self.sent[0]["status"])

    @property
    def headers(self) -> dict[str, str]:
        return {name.decode(): value.decode() for name, value in self.sent[0]["headers"]}

    @property
    def body(self) -> bytes:
        return b"".join(message["body"] for message in self.sent[1:])


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer with the head and body that came."""
    head = await reader.readuntil(b"\r\n\r\n")
    lines = head.decode().lower()
    if "transfer-encoding: chunked" in lines:
        body = b""
        while size := int(await reader.readuntil(b"\r\n"), 16):
            body += await reader.readexactly(size)
            await reader.readexactly(2)
    else:
        body = await reader.readexactly(int(lines.partition("content-length: ")[2].partition("\r\n")[0]))
    told = head + b"|" + body
    writer.write(b"HTTP/1.1 201 Created\r\nLocation: /there\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(told) + told)
    await writer.drain()


def through(path: Path, handler: Handler, *parts: bytes, limits: Limits = LIMITS, **more: Any) -> Caller:
    async def run() -> Caller:
        async with control(path, handler):
            return await asyncio.wait_for(Caller(path, limits).ask(*(parts or (b"",)), **more), 20)

    return asyncio.run(run())


def test_a_request_goes_through_with_its_body_and_its_answer_comes_back(path: Path) -> None:
    answer = through(
        path, echo, b'{"reason": "x"}', headers={"content-length": "15", "authorization": "Bearer s", "content-type": "application/json"}
    )
    head, _, body = answer.body.partition(b"|")
    assert (answer.status, answer.headers["location"], body) == (201, "/there", b'{"reason": "x"}')
    assert head.startswith(b"POST /api/v1/x?a=1&b=%20 HTTP/1.1\r\n")
    assert b"authorization: Bearer s\r\n" in head
    assert "connection" not in answer.headers


def test_a_body_that_comes_in_parts_goes_on_in_parts(path: Path) -> None:
    assert through(path, echo, b"one ", b"", b"two", headers=IN_PARTS).body.endswith(b"|one two")


def test_the_callers_address_is_told_and_what_a_caller_says_of_it_is_not(path: Path) -> None:
    headers = {"flyball-peer": "10.0.0.1", "Flyball-Peer": "10.0.0.2", "connection": "x-secret, close", "x-secret": "1", "upgrade": "h2c"}
    told = through(path, echo, headers={name.lower(): value for name, value in headers.items()}).body.decode().lower()
    assert told.count("flyball-peer") == 1
    assert "flyball-peer: 192.0.2.9\r\n" in told
    assert "x-secret" not in told
    assert "upgrade" not in told


def test_events_come_through_as_they_are_told(path: Path) -> None:
    heard: list[int] = []

    async def run() -> None:
        caller, goes_on = Caller(path), asyncio.Event()

        async def events(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n9\r\ndata: 1\n\n\r\n")
            await goes_on.wait()
            heard.append(len(caller.body))
            writer.write(b"9\r\ndata: 2\n\n\r\n0\r\n\r\n")
            await writer.drain()

        async with control(path, events):
            asking = asyncio.ensure_future(caller.ask(b"", method="GET"))
            await asyncio.wait_for(caller.begun.wait(), 10)
            goes_on.set()
            await asyncio.wait_for(asking, 10)
        assert caller.body == b"data: 1\n\ndata: 2\n\n"

    asyncio.run(run())
    assert heard == [9], "the first was there before the second was told"


@pytest.mark.parametrize("end", ["caller", "gateway"])
def test_a_stream_ends_with_its_caller_and_with_its_gateway(path: Path, end: str) -> None:
    ended = asyncio.Event()

    async def run() -> None:
        caller = Caller(path)

        async def for_ever(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n.\r\n")
            while await reader.read(1):
                pass
            ended.set()

        async with control(path, for_ever):
            asking = asyncio.ensure_future(caller.ask(b"", method="GET"))
            await asyncio.wait_for(caller.begun.wait(), 10)
            caller.gone.set() if end == "caller" else caller.forward.close()
            await asyncio.wait_for(asking, 10)
            await asyncio.wait_for(ended.wait(), 10)

    asyncio.run(run())


def test_an_absent_control_plane_is_told_at_once_with_when_to_try_again(path: Path) -> None:
    for there in (False, True):
        if there:
            path.touch()
        started = time.monotonic()
        answer = asyncio.run(Caller(path).ask(b""))
        assert time.monotonic() - started < 1
        assert (answer.status, answer.headers["retry-after"], answer.headers["content-type"]) == (503, "1", "application/problem+json")


def test_one_that_ends_or_takes_too_long_is_absent_too(path: Path) -> None:
    async def ends(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 O")

    async def sleeps(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await reader.read()

    assert through(path, ends).status == 503
    path.unlink(missing_ok=True)
    assert through(path, sleeps, limits=replace(LIMITS, forward_s=0.2)).status == 503


def test_a_body_over_the_limit_is_refused_while_it_comes(path: Path) -> None:
    assert through(path, echo, b"x", headers={"content-length": "1001"}).status == 413
    assert through(path, echo, *[b"x" * 400] * 3, headers=IN_PARTS).status == 413


def test_more_requests_than_may_be_under_way_are_refused(path: Path) -> None:
    assert through(path, echo, limits=replace(LIMITS, forwarded=0)).status == 503


def test_the_control_plane_may_refuse_before_the_body_has_come(path: Path) -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()
        await reader.read()

    async def run() -> list[int]:
        async with control(path, refuse):
            asked = [Caller(path).ask(*parts, headers={"content-length": "10"}, whole=False) for parts in ((), (b"x",))]
            return [(await asyncio.wait_for(one, 10)).status for one in asked]

    assert asyncio.run(run()) == [401, 401]


def test_a_body_that_does_not_come_to_its_end_holds_its_place_for_seconds_alone(path: Path) -> None:
    limits = replace(LIMITS, upload_s=0.2)
    assert through(path, echo, b"x", limits=limits, headers={"content-length": "10"}, whole=False).status == 408


def test_one_address_cannot_hold_every_place(path: Path) -> None:
    limits = replace(LIMITS, forwarded=3, forwarded_each=2, upload_s=20)

    async def run() -> list[int]:
        forward = Forward(path, limits)
        async with control(path, echo):
            slow = [Caller(path, limits, forward) for _ in range(2)]
            held = [asyncio.ensure_future(one.ask(b"x", headers={"content-length": "10"}, whole=False)) for one in slow]
            await asyncio.sleep(0)
            told = [(await Caller(path, limits, forward).ask(b"", client=client)).status for client in ("192.0.2.9", "192.0.2.10")]
            for one in slow:
                one.gone.set()
            await asyncio.gather(*held)
            return [*told, (await Caller(path, limits, forward).ask(b"")).status]

    assert asyncio.run(run()) == [503, 201, 201]


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost:7117", 201),
        ("LOCALHOST", 201),
        ("127.0.0.1:7117", 201),
        ("[::1]:7117", 201),
        ("flyball.example", 403),
        ("localhost.example:7117", 403),
        ("127.0.0.1.example", 403),
        ("", 403),
    ],
)
def test_a_host_that_is_not_this_machine_is_refused_on_a_loopback_address(path: Path, host: str, status: int) -> None:
    assert through(path, echo, headers={"host": host}).status == status


def test_addresses_mean_what_they_are() -> None:
    assert [is_loopback(one) for one in ("127.0.0.1", "127.1.2.3", "::1", "0.0.0.0", "::", "10.0.0.1", "1270.0.0.1")] == [True] * 3 + [
        False
    ] * 4
    assert loopback_names("0.0.0.0") == ()
    assert [url_of(one, 1) for one in ("0.0.0.0", "::", "10.0.0.1")] == ["http://127.0.0.1:1", "http://[::1]:1", "http://10.0.0.1:1"]
    assert [host_name(one) for one in ("A:1", "[::1]:2", "b", "[::1")] == ["a", "[::1]", "b", "[::1]"]
