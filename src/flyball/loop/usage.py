"""How much processor time the workers of this machine have taken, as Linux counts it. Elsewhere nothing is known, which is not nothing."""

from __future__ import annotations

import os
import time
from pathlib import Path

from flyball.clock import Instant, Span
from flyball.monitoring.usage import Reading
from flyball.records.models import parse_ref
from flyball.serving.layout import Layout, read_json

EVERY = Span.parse("1m")
"""How often workers are looked at: what they took lies in whole minutes."""


class WorkerUsage:
    """Looks at the workers that say that they run, once a minute of the loop's time; how long that was is told by the monotonic clock."""

    def __init__(self, root: Path) -> None:
        self._layout = Layout(root)
        self._known: dict[tuple[int, str], float] = {}
        self._read_at, self._at = 0, time.monotonic()
        self._ticks = os.sysconf("SC_CLK_TCK")

    def read(self, now: Instant) -> dict[str, dict[str, Reading]]:
        """By model and version, what the workers took since the last reading; nothing before a minute is over. A worker that is new begins at nothing."""
        # a clock that was set back is no reason to wait until it has caught up
        if self._known and abs(now - self._read_at) < EVERY:
            return {}
        moment = time.monotonic()
        wall = moment - self._at
        found: dict[tuple[int, str], float] = {}
        for path in (self._layout.run / "workers").glob("*.ready"):
            told = read_json(path)
            if isinstance(told, dict) and (taken := self._taken(int(told.get("pid", 0)))) is not None:
                found[int(told["pid"]), str(told["ref"])] = taken
        readings: dict[str, dict[str, Reading]] = {}
        for (pid, ref), taken in found.items():
            before = self._known.get((pid, ref))
            if before is not None and taken >= before:
                named = parse_ref(ref)
                known = readings.setdefault(named.model, {}).get(named.version, Reading(0.0, 0.0))
                readings[named.model][named.version] = Reading(known.cpu_s + taken - before, wall)
        if found or self._known:
            self._known, self._read_at, self._at = found, now, moment
        return readings

    def _taken(self, pid: int) -> float | None:
        """CPU seconds of a process and of those of its children that have ended; None where it is gone."""
        try:
            text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        except OSError:
            return None
        # the name, in brackets, may hold anything
        fields = text.rpartition(")")[2].split()
        return sum(map(int, fields[11:15])) / self._ticks if len(fields) > 14 else None
