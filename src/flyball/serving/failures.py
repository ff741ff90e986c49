"""Requests without a valid token: how many an address may make, and how they are told. Bounded, whatever comes.

A secret has 256 random bits, so nobody finds one by trying: the bound keeps such requests from costing anything, and nothing more. Who has a
valid token is never counted here: many callers share an address, and one of them must not lock out the others.
"""

from __future__ import annotations

import ipaddress
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

from flyball.clock import Instant
from flyball.records.base import Record
from flyball.serving.problems import TooMany

A_MINUTE = 10
"""Attempts without a valid token that an address may make a minute; the next ones are answered 429."""

_MOST = 1_024
_OTHERS = "others"
"""Under this name go the addresses for which there is no room."""


class TurnedAway(Record, frozen=True):
    """Attempts from one address between two moments."""

    source: str
    count: int
    since: Instant
    until: Instant
    why: str


def source_of(address: str) -> str:
    """The name under which an address is counted: itself, or for IPv6 its network of 64 bits, which is one caller's."""
    if ":" not in address:
        return address[:64] or "unknown"
    try:
        found = ipaddress.IPv6Address(address.partition("%")[0])
    except ValueError:
        return "unknown"
    return str(found.ipv4_mapped or ipaddress.IPv6Network((int(found) >> 64 << 64, 64)))


@dataclass
class _Bucket:
    """What an address may still try: `left` attempts at `at` seconds, filled again with time."""

    left: float
    at: float

    def filled(self, moment: float) -> float:
        """What may be tried at that moment."""
        return min(A_MINUTE, self.left + (moment - self.at) * A_MINUTE / 60)


@dataclass
class Failures:
    """The attempts that one process has seen; its threads may share it. `monotonic` in seconds, `now` in µs since 1970."""

    monotonic: Callable[[], float]
    now: Callable[[], Instant]
    _buckets: OrderedDict[str, _Bucket] = field(default_factory=OrderedDict)
    _counted: dict[str, TurnedAway] = field(default_factory=dict)
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def failed(self, address: str, why: str) -> None:
        """Count one. Raises TooMany when the address has made all that it may."""
        source = source_of(address)
        self.add(TurnedAway(source=source, count=1, since=self.now(), until=self.now(), why=why))
        wait = self._wait(source)
        if wait:
            raise TooMany(
                "too many requests without a valid token",
                why=f"{A_MINUTE} a minute from one address are answered",
                fix="send a token that is taken; requests that have one are answered all the same",
                retry_after=wait,
            )

    def spent(self, address: str) -> bool:
        """Whether the next failure of this address would raise TooMany."""
        with self._lock:
            bucket = self._buckets.get(source_of(address))
            return bucket is not None and bucket.filled(self.monotonic()) < 1

    def _wait(self, source: str) -> float:
        """Seconds until the address may try again; 0 if it may now, and has."""
        with self._lock:
            moment = self.monotonic()
            bucket = self._buckets.pop(source, None) or _Bucket(A_MINUTE, moment)
            bucket.left = bucket.filled(moment)
            bucket.at = moment
            self._buckets[source] = bucket
            if len(self._buckets) > _MOST:
                self._buckets.popitem(last=False)
            if bucket.left < 1:
                return (1 - bucket.left) * 60 / A_MINUTE
            bucket.left -= 1
            return 0.0

    def add(self, more: TurnedAway) -> None:
        """Add what was counted, here or by another process."""
        with self._lock:
            source = more.source if more.source in self._counted or len(self._counted) < _MOST else _OTHERS
            before = self._counted.get(source, more)
            self._counted[source] = TurnedAway(
                source=source,
                count=more.count + (before.count if before is not more else 0),
                since=min(before.since, more.since),
                until=max(before.until, more.until),
                why=more.why,
            )

    def take(self) -> tuple[TurnedAway, ...]:
        """What was counted since the last call."""
        with self._lock:
            found, self._counted = tuple(self._counted.values()), {}
        return found
