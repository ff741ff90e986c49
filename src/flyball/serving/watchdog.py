"""Who watches the watcher: whether the loop makes passes, seen from the supervisor, which outlives it. Standard library only.

The loop says after each pass in which it looked at the models that it is there (run/loop.json). Where that stops, it is said in the terminal, in
run/watchdog.json (which gateways and the next loop read), and to an address outside if one is set; a control plane that hangs is killed, and started
again like one that died. Whatever it was: predictions go on meanwhile.
"""

from __future__ import annotations

import http.client
import json
import queue
import threading
import time
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from flyball.serving.layout import read_json, write_json

SILENT_S, KILL_S = 60, 300
"""Without a pass for so long the loop is said to be dead, and after so long a control plane that made passes before is killed (0: never)."""

START_S = 1_800
"""A control plane that has made no pass yet is given so long: it may have a long record to read."""

HELD_S = 5.0
"""Where this process itself has not looked for so long, the machine slept or was busy: that time speaks against nobody."""

DEATHS, WITHIN_S, STEADY_S = 5, 600.0, 60.0
"""A control plane that has ended so often within this time is dead. It is as long as none has lived for `STEADY_S` that its outage is not over, whatever passes
it makes: it may end again.
"""

_TRIES, _FIRST_WAIT_S, _ANSWER_S = 6, 1.0, 10.0


class Limits(NamedTuple):
    """After how many seconds without a pass what is done, and whom to tell (an http address; empty: nobody)."""

    silent_s: float = SILENT_S
    kill_s: float = KILL_S
    url: str = ""


class Watchdog:
    """Looks at the loop's beat. `look` is called several times a second."""

    def __init__(
        self,
        beat: Path,
        told: Path,
        limits: Limits,
        say: Callable[[str], None],
        *,
        moment: Callable[[], float] = time.monotonic,
        wall: Callable[[], int] = lambda: time.time_ns() // 1000,
    ) -> None:
        self._beat, self._told, self._limits, self._say, self._moment, self._wall = beat, told, limits, say, moment, wall
        self._seen = self._mark()
        self._last = self._looked = moment()
        self._killed, self._kill_at = 0, limits.kill_s
        self._pid, self._born = 0, self._last
        self._ends: list[float] = []
        # what has only been started has at least the usual time for its first pass
        self._patience = max(limits.silent_s, SILENT_S)
        kept = read_json(told)
        # an outage that the last `up` saw goes on until a pass is made
        goes_on = isinstance(kept, dict) and bool(kept.get("silent") or not kept.get("ended"))
        self._began = int(kept["began"]) if goes_on else 0
        self._ended_in = int(kept.get("ends", 0)) if goes_on else 0
        self._between = goes_on and bool(kept.get("between"))
        self._again = 0
        """When, since it was found dead, passes are made again, in µs since 1970; 0: none is."""
        self._unwritten: dict[str, object] | None = None
        self._posts: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._poster: threading.Thread | None = None

    def look(self, pid: int) -> bool:
        """Whether the control plane, which is process `pid`, hangs and is to be killed now."""
        moment = self._moment()
        if moment - self._looked > HELD_S:
            self._last += moment - self._looked
        self._looked = moment
        if (mark := self._mark()) != self._seen:
            self._seen, self._last, self._patience = mark, moment, self._limits.silent_s
            self._passes()
        self._count(pid, moment)
        dying = len(self._ends) >= DEATHS and (not pid or moment - self._born < STEADY_S)
        silent = moment - self._last
        if self._again and silent > self._patience:
            self._no_passes()
        if self._again and not dying:
            self._back()
        self._write()
        if not self._began and dying:
            took = self._ends[-1] - self._ends[0]
            self._dead(silent, len(self._ends), f"the control plane has ended {len(self._ends)} times in {took:.0f} s")
        hangs = self._hangs(pid, silent)
        if not self._began and (hangs or silent > self._patience):
            since = sum(end >= self._last for end in self._ends)
            self._dead(silent, since, f"the loop has made no pass for {silent:.0f} s")
        return hangs and self._kill(pid, silent)

    def _count(self, pid: int, moment: float) -> None:
        """Count the ends of control planes."""
        if pid == self._pid:
            return
        if self._pid:
            self._ends = [end for end in (*self._ends, moment) if moment - end < WITHIN_S]
            if self._began:
                self._ended_in += 1
                self._no_passes()
        self._pid, self._born = pid, moment

    def _hangs(self, pid: int, silent: float) -> bool:
        if not self._limits.kill_s or not pid:
            return False
        return silent >= (self._kill_at if self._has_beaten(pid) else max(self._kill_at, START_S))

    def _kill(self, pid: int, silent: float) -> bool:
        """It hangs: it is to be killed now, and what is said of it is written."""
        self._killed += 1
        # what needs longer than that for a pass is given longer each time, so that it comes to an end
        self._kill_at = 2 * silent
        self._say(f"the control plane (process {pid}) has made no pass for {silent:.0f} s: it is killed and started again")
        self._tell(silent=True)
        return True

    def _dead(self, silent: float, ends: int, what: str) -> None:
        self._began = self._wall() - int(silent * 1e6)
        self._ended_in = ends
        self._say(f"{what}: nothing is watched, released or rolled back; predictions go on")
        self._tell(silent=True)
        self._post("the loop is dead", self._began, 0)

    def _passes(self) -> None:
        """A pass was made: it is not silent any more, even where that may not last."""
        if not self._began:
            self._killed, self._kill_at = 0, self._limits.kill_s
        elif not self._again:
            self._again = self._wall()
            self._tell(silent=False)

    def _no_passes(self) -> None:
        """Passes were made again, and are no more: the outage goes on."""
        if self._again:
            self._again, self._between = 0, True
            self._tell(silent=True)

    def _back(self) -> None:
        self._say(f"the loop makes passes again, after {(self._again - self._began) / 1e6:.0f} s")
        self._tell(silent=False, ended=self._again)
        self._post("the loop makes passes again", self._began, self._again)
        self._began, self._again, self._ended_in, self._between, self._ends = 0, 0, 0, False, []
        self._killed, self._kill_at = 0, self._limits.kill_s

    def _mark(self) -> tuple[int, int]:
        try:
            found = self._beat.stat()
        except OSError:
            return (0, 0)
        return (found.st_ino, found.st_mtime_ns)

    def _has_beaten(self, pid: int) -> bool:
        known = read_json(self._beat)
        return isinstance(known, dict) and known.get("pid") == pid

    def _tell(self, *, silent: bool, ended: int = 0) -> None:
        self._unwritten = {
            "silent": silent,
            "began": self._began,
            "ended": ended,
            "killed": self._killed,
            "ends": self._ended_in,
            "between": self._between,
        }
        self._write()

    def _write(self) -> None:
        """What could not be written is tried again at the next look: the disk may be full."""
        if self._unwritten is not None:
            with suppress(OSError):
                write_json(self._told, self._unwritten)
                self._unwritten = None

    def _post(self, what: str, began: int, ended: int) -> None:
        if self._limits.url:
            body = {"what": what, "began": began, "ended": ended, "project": str(self._told.parent.parent)}
            self._posts.put(json.dumps(body).encode())
            if self._poster is None:
                self._poster = threading.Thread(target=self._post_all, name="watchdog", daemon=True)
                self._poster.start()

    def _post_all(self) -> None:
        """One after the other: that the loop is back must not arrive before that it was dead."""
        while True:
            post(self._limits.url, self._posts.get(), self._say)


def post(url: str, body: bytes, say: Callable[[str], None], *, wait: Callable[[float], object] = time.sleep) -> bool:
    """Tell an http address, a few times if it does not take it; whether it did."""
    problem = ""
    for attempt in range(_TRIES):
        try:
            request = urllib.request.Request(url, data=body, headers={"content-type": "application/json"}, method="POST")  # noqa: S310 - settings take http alone
            with urllib.request.urlopen(request, timeout=_ANSWER_S):  # noqa: S310 - as above
                return True
        except (OSError, ValueError, http.client.HTTPException) as error:
            problem = str(error) or type(error).__name__
        if attempt + 1 < _TRIES:
            wait(_FIRST_WAIT_S * 2**attempt)
    say(f"watchdog_url took nothing after {_TRIES} tries: {problem}")
    return False
