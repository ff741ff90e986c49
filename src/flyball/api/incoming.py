"""What a caller sends, read once: within a limit, as JSON, and closed to what its record does not name."""

from __future__ import annotations

import asyncio
import json
import re
from contextlib import suppress
from typing import TypeVar

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from flyball.declare.units import near
from flyball.errors import BadInput, Problem
from flyball.records.base import Record
from flyball.serving.explain import once
from flyball.serving.problems import NotPlain, TooLarge, Unparsable

RecordT = TypeVar("RecordT", bound=Record)

LARGEST = 1 << 20
"""Bytes of a body: commands are small."""

_DISCARD_S = 10.0
"""How long what is still sent of a request that was answered is thrown away; a gateway ends that at once."""

_WHERE = re.compile(r" - at `\$([^`]*)`$")


class Upload:
    """What a caller sends, as ASGI has it, and whether all of it has come."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self.ended = False

    async def __call__(self) -> Message:
        """ASGI: the next message."""
        message = await self._receive()
        self.ended = message["type"] != "http.request" or not message.get("more_body")
        return message

    async def throw_away(self) -> None:
        """Read what is still to come, for a while."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_DISCARD_S):
                while not self.ended:
                    await self()


async def answered(response: Response, scope: Scope, upload: Upload, send: Send) -> None:
    """Send the answer; where the body was not read, throw it away after that.

    A connection that is closed while its caller sends may lose the answer; a caller that stops sending must not keep others from theirs.
    """

    async def sent(message: Message) -> None:
        if message["type"] == "http.response.body" and not message.get("more_body") and not upload.ended:
            await send({**message, "more_body": True})
            await upload.throw_away()
            message = {"type": "http.response.body", "body": b""}
        await send(message)

    await response(scope, upload, sent)


async def whole_body(request: Request) -> bytes:
    """The body, of whoever may send one.

    Raises TooLarge, NotPlain for one that is compressed, Unparsable for one that ends too soon.
    """
    parts: list[bytes] = []
    size = 0
    try:
        async for part in request.stream():
            size += len(part)
            if size > LARGEST:
                raise TooLarge("the body is too large", why=f"commands are small: {LARGEST:,} bytes at most", fix="send less")
            parts.append(part)
    except ClientDisconnect:
        raise Unparsable("the body was not sent to its end", fix="send it again") from None
    encoding = request.headers.get("content-encoding", "identity")
    if encoding.lower() != "identity":
        raise NotPlain(f"the body is encoded ({encoding[:40]})", why="only plain JSON is taken", fix="send it without Content-Encoding")
    return b"".join(parts)


def decoded(raw: bytes, kind: type[RecordT], content_type: str) -> RecordT:
    """The body as a record; none is an empty one. Raises NotPlain, Unparsable (for a name that is given twice too), BadInput."""
    media = content_type.partition(";")[0].strip().lower()
    if raw and media != "application/json":
        raise NotPlain(
            f"the body is {media[:40] or 'of no type'}", why="only JSON is taken", fix='send it with "Content-Type: application/json"'
        )
    raw = raw or b"{}"
    try:
        found = msgspec.json.decode(raw, type=kind)
        # of two members of one name that has taken the last
        json.loads(raw, object_pairs_hook=once)
    except msgspec.ValidationError as error:
        raise _refused(str(error), kind) from None
    except (ValueError, RecursionError) as error:
        raise Unparsable("the body cannot be read as JSON", why=str(error)[:200], fix="send a JSON object in UTF-8") from None
    return found


def _refused(told: str, kind: type[Record]) -> BadInput:
    found = _WHERE.search(told)
    what = _WHERE.sub("", told)
    where = "/".join(re.findall(r"[^.\[\]]+", found[1])) if found else ""
    fix = f"fields: {', '.join(kind.__struct_encode_fields__) or 'none'}"
    unknown = re.search(r"unknown field `([^`]*)`", what)
    if unknown:
        fix = near(unknown[1], kind.__struct_encode_fields__) if kind.__struct_encode_fields__ else "send no field"
        where = "/".join(part for part in (where, unknown[1]) if part)
    one = Problem(f"/{where}", what[:200], "the body's fields are those of the route", fix)
    return BadInput(
        f"the body is not what this route takes: {one.where} {one.what}", fix="see problems, and /api/v1/openapi.json", problems=(one,)
    )
