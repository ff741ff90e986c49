"""When a gateway listened: stretches of time in `run/heard/g0.json`, so that its own absence is not taken for silence of callers. Standard library only.

It says nothing of requests: those are in the log.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from flyball.clock import Instant
from flyball.serving.layout import Layout, read_json, write_whole

EVERY_S = 10
"""How often the file is written. A gateway that is killed was heard up to then."""

APART_S = 60
"""A gateway that has not said for so long that it listens did not: it was stopped, or the machine slept, or its log could not be written."""

KEPT_S = 42 * 86_400
MOST = 500
"""How long stretches are kept, and how many: the control plane takes them over at each pass."""


def _wall() -> Instant:
    return time.time_ns() // 1000


class Listening:
    """Notes that a gateway listens. One thread at a time."""

    def __init__(self, path: Path, *, now: Callable[[], Instant] = _wall) -> None:
        self._path, self._now = path, now
        self._stretches = read_stretches(path)
        self._written = 0
        self._extend()

    def note(self) -> None:
        """It listens now; written every ten seconds. Raises OSError."""
        self._extend()
        if self._now() - self._written >= EVERY_S * 1_000_000:
            self._write()

    def close(self) -> None:
        """It has listened until now. Raises OSError."""
        self._extend()
        self._write()

    def _extend(self) -> None:
        now = self._now()
        # what lies after now was told by a clock that was ahead
        self._stretches = [(since, min(until, now)) for since, until in self._stretches if since <= now]
        if self._stretches and now - self._stretches[-1][1] < APART_S * 1_000_000:
            self._stretches[-1] = (self._stretches[-1][0], now)
        else:
            self._stretches.append((now, now))
        self._stretches = [one for one in self._stretches if now - one[1] < KEPT_S * 1_000_000][-MOST:]

    def _write(self) -> None:
        # ten seconds from here also where the disk refuses
        self._written = self._now()
        text = ",".join(f"[{since},{until}]" for since, until in self._stretches)
        write_whole(self._path, f"[{text}]".encode())


def read_stretches(path: Path) -> list[tuple[Instant, Instant]]:
    """What is in such a file; nothing where there is none, or it is no such file."""
    found = read_json(path)
    if not isinstance(found, list):
        return []
    return [(one[0], one[1]) for one in found if isinstance(one, list) and len(one) == 2 and all(type(moment) is int for moment in one)]


def listened(layout: Layout) -> list[tuple[Instant, Instant]]:
    """When any gateway did, stretch by stretch, in any order."""
    return [stretch for path in sorted(layout.heard("g0").parent.glob("*.json")) for stretch in read_stretches(path)]
