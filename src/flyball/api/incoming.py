"""What a caller sends, read once: within a limit, as JSON, and closed to what its record does not name."""

from __future__ import annotations

import re
from typing import TypeVar

import msgspec
from starlette.requests import ClientDisconnect, Request

from flyball.declare.units import near
from flyball.errors import BadInput, Problem
from flyball.records.base import Record
from flyball.serving.problems import NotPlain, TooLarge, Unparsable

RecordT = TypeVar("RecordT", bound=Record)

LARGEST = 1 << 20
"""Bytes of a body: commands are small."""

_WHERE = re.compile(r" - at `\$([^`]*)`$")


async def whole_body(request: Request) -> bytes:
    """The body, read to its end in any case: whoever is answered before that sees a broken connection instead of the answer.

    Raises TooLarge, NotPlain for one that is compressed, Unparsable for one that ends too soon.
    """
    parts: list[bytes] = []
    size = 0
    try:
        async for part in request.stream():
            size += len(part)
            # what is too much is thrown away; gateways hand on so much and no more
            if size <= LARGEST:
                parts.append(part)
    except ClientDisconnect:
        raise Unparsable("the body was not sent to its end", fix="send it again") from None
    if size > LARGEST:
        raise TooLarge(f"the body has {size:,} bytes", why=f"commands are small: {LARGEST:,} at most", fix="send less")
    encoding = request.headers.get("content-encoding", "identity")
    if encoding.lower() != "identity":
        raise NotPlain(f"the body is encoded ({encoding[:40]})", why="only plain JSON is taken", fix="send it without Content-Encoding")
    return b"".join(parts)


def decoded(raw: bytes, kind: type[RecordT], content_type: str) -> RecordT:
    """The body as a record; none is an empty one. Raises NotPlain, Unparsable, BadInput."""
    media = content_type.partition(";")[0].strip().lower()
    if raw and media != "application/json":
        raise NotPlain(
            f"the body is {media[:40] or 'of no type'}", why="only JSON is taken", fix='send it with "Content-Type: application/json"'
        )
    try:
        return msgspec.json.decode(raw or b"{}", type=kind)
    except msgspec.ValidationError as error:
        raise _refused(str(error), kind) from None
    except (ValueError, RecursionError) as error:
        raise Unparsable("the body cannot be read as JSON", why=str(error)[:200], fix="send a JSON object in UTF-8") from None


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
