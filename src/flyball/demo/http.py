"""A few connections that stay open, over plain sockets: the demo's callers must not eat the processor that the loop needs."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import msgspec

from flyball.errors import Unavailable

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode
_ANSWER_S = 20.0


class Connection:
    """One connection to the gateways; one request at a time. It is opened when it is needed, and again after it broke."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def post(self, path: str, body: object) -> tuple[int, Any]:
        """(status, JSON document). Raises Unavailable when nothing answers or the connection breaks."""
        content = _encode(body)
        head = f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\ncontent-length: {len(content)}\r\n\r\n"
        try:
            return await asyncio.wait_for(self._exchange(head.encode() + content), _ANSWER_S)
        except (OSError, EOFError, TimeoutError, ValueError, msgspec.DecodeError) as error:
            self.close()
            raise Unavailable(f"no answer from port {self._port}", why=f"{type(error).__name__}: {error}") from error

    async def _exchange(self, request: bytes) -> tuple[int, Any]:
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self._port)
        reader, writer = self._streams
        writer.write(request)
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
        length = int(head.partition("content-length:")[2].partition("\r\n")[0])
        document = _decode(await reader.readexactly(length))
        if "connection: close" in head:
            self.close()
        return int(head.split(" ", 2)[1]), document

    def close(self) -> None:
        """Let go of the connection."""
        if self._streams is not None:
            with contextlib.suppress(OSError, RuntimeError):
                self._streams[1].close()
            self._streams = None
