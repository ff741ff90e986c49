"""Errors of the data plane and how they are told: RFC 9457, `application/problem+json` (docs/errors.md)."""

from __future__ import annotations

import msgspec

from flyball.errors import BadInput, FlyballError, Unavailable

CONTENT_TYPE = b"application/problem+json"

_TITLES = {
    "bad-input": "The input is not what the signature says",
    "unparsable": "The body cannot be read",
    "too-large": "The body is too large",
    "not-found": "There is no such thing",
    "method": "This route has another method",
    "unavailable": "Not now",
    "model-failed": "The model failed on this input",
    "forged-id": "This request id was not given by this project",
}


class Unparsable(BadInput):
    """The body is not JSON, or not JSON of this shape at all."""

    code = "unparsable"
    status = 400


class TooLarge(BadInput):
    """The body is over the limit; it was not read to its end."""

    code = "too-large"
    status = 413


class WrongMethod(BadInput):
    """The route is there, with another method."""

    code = "method"
    status = 405


class ModelError(FlyballError):
    """The model itself raised, or gave nothing usable, and nothing could stand in for it."""

    code = "model-failed"
    status = 500


def body(error: FlyballError) -> bytes:
    """The error as a problem document."""
    document: dict[str, object] = {
        "type": f"/docs/errors#{error.code}",
        "code": error.code,
        "title": _TITLES.get(error.code, "The request failed"),
        "status": error.status,
        "detail": f"{error.what}: {error.why}" if error.why else error.what,
        "fix": error.fix,
        "problems": [{"where": one.where, "what": one.what, "why": one.why, "fix": one.fix} for one in error.problems],
        "retry": error.retry,
    }
    return msgspec.json.encode(document)


def headers(error: FlyballError) -> list[tuple[bytes, bytes]]:
    """Headers that go with it: `Retry-After` when another try can help."""
    found = [(b"content-type", CONTENT_TYPE)]
    if isinstance(error, Unavailable):
        found.append((b"retry-after", str(max(1, round(error.retry_after))).encode()))
    return found
