"""How a request shows who sent it: an HMAC over what it says, by a secret that both sides have. Pure.

Ours and those that we take have one form (docs/alerts.md); PagerDuty signs its own way.
"""

from __future__ import annotations

import hashlib
import hmac

from flyball.clock import Instant, Span

SIGNATURE, DELIVERY = "flyball-signature", "flyball-delivery"
"""Headers of a webhook that flyball sends, and of one that it takes."""

PAGERDUTY = "x-pagerduty-signature"

FRESH = Span.parse("5m")
"""How far the moment of a signature may lie from now."""

_MOST = 10
"""Signatures of one header that are looked at: a secret that is changed has two for a while."""


def signature(secret: str, body: bytes, now: Instant) -> str:
    """`t=SECONDS,v1=HEX`: the HMAC-SHA256 of the seconds since 1970, a dot and the body."""
    seconds = now // 1_000_000
    return f"t={seconds},v1={_hex(secret, b'%d.%b' % (seconds, body))}"


def holds(secret: str, header: str, body: bytes, now: Instant) -> bool:
    """Whether a header of that form signs this body by this secret, and was made within five minutes of now."""
    parts = [part.strip().partition("=") for part in header.split(",")]
    moments = [value for name, _, value in parts if name == "t"]
    if not secret or len(moments) != 1 or not (moments[0].isascii() and moments[0].isdecimal()) or len(moments[0]) > 12:
        return False
    wanted = _hex(secret, moments[0].encode() + b"." + body)
    fresh = abs(now - int(moments[0]) * 1_000_000) <= FRESH
    return _any(wanted, [value for name, _, value in parts if name == "v1"]) and fresh


def holds_pagerduty(secret: str, header: str, body: bytes) -> bool:
    """Whether a header of PagerDuty's v3 webhooks (`v1=HEX`, several after commas) signs this body by this secret."""
    given = [value for name, _, value in (part.strip().partition("=") for part in header.split(",")) if name == "v1"]
    return bool(secret) and _any(_hex(secret, body), given)


def _any(wanted: str, given: list[str]) -> bool:
    """Whether one is as wanted: each is compared whole, in constant time."""
    found = False
    for each in given[:_MOST]:
        found |= hmac.compare_digest(wanted.encode(), each.encode("utf-8", "replace"))
    return found


def _hex(secret: str, body: bytes) -> str:
    return hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
