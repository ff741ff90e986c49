"""One port for all: requests for the control plane are handed on to it over a Unix socket, both ways as a stream.

It looks into nothing: who a caller is, the control plane finds out. While that one is not there the answer is 503, at once.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import httptools

from flyball.errors import FlyballError, Unavailable
from flyball.serving.failures import source_of
from flyball.serving.limits import Limits
from flyball.serving.problems import TooLarge, TooSlow

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
_Headers = list[tuple[bytes, bytes]]

PEER = b"flyball-peer"
"""The header that tells the control plane which address a request came from. A caller's own is taken away."""

_HOP_BY_HOP = frozenset(
    b"connection keep-alive proxy-authenticate proxy-authorization proxy-connection te trailer transfer-encoding upgrade expect".split()
) | {b"content-length", PEER}
_PART = 1 << 16
CONNECT_S = 5.0
"""A control plane that is not there refuses at once; one that is there takes longer only where the whole machine is out of breath."""


class _Answer:
    """The control plane's answer as far as it was read."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: _Headers = []
        self.parts: list[bytes] = []
        self.headed = False
        self.complete = False
        self._started = False
        self._parser = httptools.HttpResponseParser(self)

    async def tell(self, data: bytes, send: Send, *, bodiless: bool) -> bool:
        """Hand on what was read; whether that was the end. `bodiless`: there is nothing after the headers."""
        self._parser.feed_data(data)
        if self.headed and not self._started:
            self._started = True
            told = [(name, value) for name, value in self.headers if name not in _HOP_BY_HOP or name == b"content-length"]
            await send({"type": "http.response.start", "status": self.status, "headers": told})
        if self.parts:
            body, self.parts = b"".join(self.parts), []
            await send({"type": "http.response.body", "body": body, "more_body": True})
        over = self.complete or (self.headed and bodiless)
        if over:
            await send({"type": "http.response.body", "body": b""})
        return over

    def on_header(self, name: bytes, value: bytes) -> None:
        """httptools: a header."""
        self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """httptools: all headers are there."""
        self.status = self._parser.get_status_code()
        self.headed = True

    def on_body(self, body: bytes) -> None:
        """httptools: a part of the body."""
        self.parts.append(body)

    def on_message_complete(self) -> None:
        """httptools: the end."""
        self.complete = True


class Forward:
    """Hands requests on. `shared`: all callers have one address, for they are on this machine."""

    def __init__(self, path: Path, limits: Limits, *, shared: bool = False) -> None:
        self._path = path
        self._limits = limits
        self._shared = shared
        self._open: Counter[str] = Counter()
        self._closing = asyncio.Event()

    def close(self) -> None:
        """End what is still being streamed: this gateway goes."""
        self._closing.set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI. Raises TooLarge, TooSlow and Unavailable before anything was sent; what breaks later ends the connection."""
        client = scope.get("client")
        source = source_of(client[0] if client else "")
        self._take_place(source)
        try:
            await self._relay(scope, receive, send)
        finally:
            self._open -= Counter((source,))

    def _take_place(self, source: str) -> None:
        """Count a request of this address. Raises Unavailable when it, or all together, have as many under way as they may."""
        under_way = self._open.total()
        if under_way >= self._limits.forwarded:
            raise Unavailable(
                "the control plane has too many open requests", why=f"{under_way} go through this gateway", fix="try again shortly"
            )
        if not self._shared and self._open[source] >= self._limits.forwarded_each:
            raise Unavailable(
                f"{source} has too many open requests to the control plane",
                why=f"{self._limits.forwarded_each} of one address go through a gateway at once",
                fix="end one, a stream of events perhaps; or try again shortly",
            )
        self._open[source] += 1

    async def _relay(self, scope: Scope, receive: Receive, send: Send) -> None:
        head, length = _head(scope)
        if length is not None and length > self._limits.body_bytes:
            raise _too_large(self._limits)
        try:
            reader, writer = await asyncio.wait_for(asyncio.open_unix_connection(str(self._path)), CONNECT_S)
        except TimeoutError:
            raise _absent(f"its socket takes no connection for {CONNECT_S:g} s") from None
        except OSError as error:
            raise _absent(f"nothing answers on its socket: {error.strerror or error}") from None
        upload = asyncio.ensure_future(self._upload(head, length, receive, writer))
        try:
            await self._download(scope, reader, send, upload)
        finally:
            upload.cancel()
            with suppress(asyncio.CancelledError, OSError, FlyballError):
                await upload
            writer.close()

    async def _upload(self, head: bytes, length: int | None, receive: Receive, writer: asyncio.StreamWriter) -> None:
        """Send the request, then wait for the caller to go: then nobody wants the answer. Raises TooLarge, TooSlow."""
        # without waiting for the body: the control plane refuses by the head whom it does not know
        writer.write(head)
        try:
            async with asyncio.timeout(self._limits.upload_s):
                gone = await self._send_body(length, receive, writer)
        except TimeoutError:
            writer.transport.abort()
            raise _too_slow(self._limits) from None
        while not gone:
            gone = (await receive())["type"] == "http.disconnect"
        writer.transport.abort()

    async def _send_body(self, length: int | None, receive: Receive, writer: asyncio.StreamWriter) -> bool:
        """Send what comes; whether the caller has gone before its end. Raises TooLarge."""
        size, more = 0, True
        while more:
            message = await receive()
            if message["type"] != "http.request":
                return True
            part, more = message.get("body", b""), bool(message.get("more_body"))
            size += len(part)
            if size > self._limits.body_bytes:
                writer.transport.abort()
                raise _too_large(self._limits)
            if part:
                writer.write(b"%x\r\n%b\r\n" % (len(part), part) if length is None else part)
            with suppress(ConnectionError):  # it has answered before it had read all: the answer tells why
                await writer.drain()
        if length is None:
            writer.write(b"0\r\n\r\n")
        return False

    async def _download(self, scope: Scope, reader: asyncio.StreamReader, send: Send, upload: asyncio.Future[None]) -> None:
        answer = _Answer()
        closing = asyncio.ensure_future(self._closing.wait())
        try:
            while data := await self._next(reader, answer, closing):
                if await answer.tell(data, send, bodiless=scope["method"] == "HEAD"):
                    return
        finally:
            closing.cancel()
        if upload.done() and not upload.cancelled() and (error := upload.exception()) is not None and not answer.headed:
            raise error
        if not answer.headed:
            raise _absent("it ended, or took too long, before it had answered")

    async def _next(self, reader: asyncio.StreamReader, answer: _Answer, closing: asyncio.Future[Any]) -> bytes:
        """What comes next; nothing at the end, after a silence that is too long, and when this gateway goes."""
        reading = asyncio.ensure_future(reader.read(_PART))
        limit = self._limits.silence_s if answer.headed else self._limits.forward_s
        await asyncio.wait((reading, closing), timeout=limit, return_when=asyncio.FIRST_COMPLETED)
        if not reading.done():
            reading.cancel()
            return b""
        try:
            return reading.result()
        except OSError:
            return b""


def _head(scope: Scope) -> tuple[bytes, int | None]:
    """The request's head, and the length of its body; None: it comes in parts."""
    headers: _Headers = scope["headers"]
    named = {part.strip().lower() for name, value in headers if name == b"connection" for part in value.split(b",")}
    kept = [(name, value) for name, value in headers if name not in _HOP_BY_HOP and name not in named]
    client = scope.get("client")
    kept += [(PEER, (client[0] if client else "").encode("latin-1", "replace")), (b"connection", b"close")]
    target = scope["raw_path"] + (b"?" + scope["query_string"] if scope["query_string"] else b"")
    in_parts = any(name == b"transfer-encoding" for name, _ in headers)
    told = next((value for name, value in headers if name == b"content-length"), b"0")
    length = int(told) if told.isdigit() and not in_parts else None
    kept.append((b"transfer-encoding", b"chunked") if length is None else (b"content-length", b"%d" % length))
    lines = [b"%b %b HTTP/1.1" % (scope["method"].encode(), target), *(b"%b: %b" % pair for pair in kept)]
    return b"\r\n".join(lines) + b"\r\n\r\n", length


def _too_large(limits: Limits) -> TooLarge:
    return TooLarge(f"the body has more than {limits.body_bytes:,} bytes", why="a gateway takes no more", fix="send less a request")


def _too_slow(limits: Limits) -> TooSlow:
    return TooSlow(
        "the body did not come to its end", why=f"it may take {limits.upload_s:g} s: commands are small", fix="send it again, and all of it"
    )


def _absent(why: str) -> Unavailable:
    return Unavailable("the control plane does not answer", why=why, fix="it is started again by itself; predictions go on meanwhile")
