"""Time, ids and randomness as passed-in values: the same code runs live and in virtual time.

An `Instant` is whole microseconds since 1970-01-01T00:00:00Z, a `Span` whole microseconds; both are plain integers,
so they survive canonical JSON unchanged. Only `wiring` and entry points make a live `Clock`.
"""

from __future__ import annotations

import os
import re
import time
from datetime import UTC, datetime
from typing import Protocol, TypeAlias

Instant: TypeAlias = int
"""Microseconds since 1970-01-01T00:00:00Z."""

FARTHEST: Instant = 2**53 - 1
"""The farthest that a time may lie from 1970, to the years 1684 and 2255: beyond, not every reader of JSON knows the number."""

_UNITS = {"us": 1, "ms": 1_000, "s": 1_000_000, "m": 60_000_000, "h": 3_600_000_000, "d": 86_400_000_000, "w": 604_800_000_000}
_PART = re.compile(r"(\d+(?:\.\d+)?)(us|ms|s|m|h|d|w)")
_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


class Span(int):
    """A length of time in microseconds that prints as people write it: `str(Span.parse("4w")) == "28d"`."""

    @classmethod
    def parse(cls, text: str) -> Span:
        """Read `"90s"`, `"1h30m"`, `"-6h"`, `"0s"`. Raises ValueError on anything else, a bare number included, and beyond `FARTHEST`."""
        body = text.strip()
        sign = -1 if body.startswith("-") else 1
        body = body.lstrip("-")
        parts = list(_PART.finditer(body))
        if not parts or "".join(part.group(0) for part in parts) != body:
            raise ValueError(f'"{text}" is not a time span; write a number and a unit, such as "90s", "1h30m" or "30d" (us ms s m h d w)')
        micros = sum(float(part.group(1)) * _UNITS[part.group(2)] for part in parts)
        if micros > FARTHEST:
            raise ValueError(f'"{text[:40]}" is too long for a time span: it is at most {cls._days(FARTHEST)}')
        return cls(sign * round(micros))

    @staticmethod
    def _days(micros: int) -> str:
        return f"{micros // _UNITS['d']}d"

    def after(self, moment: Instant) -> Instant:
        """The instant that lies this span after `moment`. Raises ValueError beyond `FARTHEST`."""
        if moment + self > FARTHEST:
            raise ValueError(f"it is at most {self._days(FARTHEST - moment)} from now: until the year 2255")
        return moment + self

    @property
    def seconds(self) -> float:
        """The span in seconds."""
        return int(self) / 1e6

    @property
    def brief(self) -> str:
        """The span as a person wants to read a measured one: its two largest units, such as `3s51ms`, `2d4h`, or `71ms` alone."""
        parts = self._parts()[:2]
        return "".join(parts[:1] if parts[-1:] and parts[-1].endswith("us") else parts) or "0s"

    def _parts(self) -> list[str]:
        left, parts = abs(int(self)), []
        for unit in ("d", "h", "m", "s", "ms", "us"):
            count, left = divmod(left, _UNITS[unit])
            parts += [f"{count}{unit}"] if count else []
        return parts

    def __str__(self) -> str:
        """Write all of it, in the largest units that fit, days at most."""
        return ("-" if self < 0 else "") + ("".join(self._parts()) or "0s")

    def __repr__(self) -> str:
        """The same text as `str`, quoted."""
        return f"Span.parse({str(self)!r})"


def rfc3339(instant: Instant) -> str:
    """Write an instant as RFC 3339 in UTC, microseconds only where there are any."""
    whole, micros = divmod(instant, 1_000_000)
    text = datetime.fromtimestamp(whole, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{text}.{micros:06d}Z" if micros else f"{text}Z"


def to_second(instant: Instant) -> str:
    """The same to the second, as people read it."""
    return rfc3339(instant // 1_000_000 * 1_000_000)


def instant(text: str) -> Instant:
    """Read RFC 3339 (no zone means UTC). Raises ValueError."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    delta = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return (delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds


class Clock(Protocol):
    """Where time and ids come from."""

    def now(self) -> Instant:
        """The present moment."""
        ...

    def new_id(self, prefix: str) -> str:
        """A fresh id that sorts by time: `prefix_` and 20 characters of Crockford base 32."""
        ...


def _base32(value: int, length: int) -> str:
    return "".join(_CROCKFORD[value >> (5 * position) & 31] for position in reversed(range(length)))


class SystemClock:
    """The real clock and the operating system's randomness."""

    def now(self) -> Instant:
        """The present moment, from the system's clock."""
        return time.time_ns() // 1000

    def new_id(self, prefix: str) -> str:
        """Millisecond time and 50 random bits."""
        return f"{prefix}_{_base32(self.now() // 1000, 10)}{_base32(int.from_bytes(os.urandom(7), 'big') >> 6, 10)}"


class VirtualClock:
    """A clock that moves only when told to, with ids that repeat from run to run."""

    def __init__(self, start: Instant) -> None:
        self._now = start
        self._count = 0

    def now(self) -> Instant:
        """The moment last set."""
        return self._now

    def advance_to(self, moment: Instant) -> None:
        """Move to `moment`, never backwards."""
        self._now = max(self._now, moment)

    def new_id(self, prefix: str) -> str:
        """The virtual millisecond and a counter."""
        self._count += 1
        return f"{prefix}_{_base32(self._now // 1000, 10)}{_base32(self._count, 10)}"
