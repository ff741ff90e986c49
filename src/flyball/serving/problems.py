"""Errors of the data plane and how they are told: RFC 9457, `application/problem+json` (docs/errors.md)."""

from __future__ import annotations

from math import ceil

import msgspec

from flyball.errors import BadInput, FlyballError, Unauthenticated, Unavailable, problem

CONTENT_TYPE = b"application/problem+json"


class Unparsable(BadInput):
    """The body is not JSON, or not JSON of this shape at all."""

    code = "unparsable"
    title = "The body cannot be read"
    status = 400


class TooLarge(BadInput):
    """The request holds more than one may: a body over the limit is not read to its end."""

    code = "too-large"
    title = "The request is too large"
    status = 413


class TooSlow(Unavailable):
    """The body did not come within the time that it may take."""

    code = "too-slow"
    title = "The request came too slowly"
    status = 408


class NotPlain(BadInput):
    """The body is compressed, or has binary parts where none are taken."""

    code = "not-plain"
    title = "The body is not plain JSON"
    status = 415


class WrongMethod(BadInput):
    """The route is there, with another method."""

    code = "method"
    title = "This route has another method"
    status = 405


class TooMany(Unavailable):
    """More attempts from one address than one may make."""

    code = "too-many"
    title = "Too many attempts"
    status = 429


class ModelError(FlyballError):
    """The model itself raised, or gave nothing usable, and nothing could stand in for it."""

    code = "model-failed"
    title = "The model failed on this input"
    status = 500


def body(error: FlyballError) -> bytes:
    """The error as a problem document."""
    return msgspec.json.encode(problem(error))


def headers(error: FlyballError) -> list[tuple[bytes, bytes]]:
    """The headers that go with an error: when another try can help (in whole seconds, never too early), and what would let the caller in."""
    if isinstance(error, Unavailable):
        return [(b"retry-after", str(max(1, ceil(error.retry_after))).encode())]
    return [(b"www-authenticate", b"Bearer")] if isinstance(error, Unauthenticated) else []
