"""What the control plane does beside loop and requests: tells gateways which tokens they take, and records whom anybody turned away.
As it looks at the ledger all the time anyway, it is also who knows whether that can be had.

In a thread of its own, so that neither a long pass of the loop nor a slow request keeps a revoked token alive.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from flyball.errors import FlyballError, Unavailable
from flyball.governance.authority import LOOP
from flyball.loop.access import NoteRefused, decide_note_refused
from flyball.records.identity import TOKENS, AccessRefused
from flyball.serving import tokens
from flyball.serving.failures import Failures
from flyball.wiring import Wired

LOOK_S = 0.1
PUBLISH_S = 1.0
"""How often gateways are told anew, whether or not anything has happened: another process may have written what is older, or taken it away."""

RECORD_S = 60.0
"""How far apart records of refused requests lie: an address has one event a minute at most."""

SILENT_S = 15.0
"""How old the ledger's last answer may be: a busy one keeps a record waiting for ten seconds, and that is no trouble yet."""


class Keeper:
    """Works until `stop`. `say` takes what keeps it from its work."""

    def __init__(self, wired: Wired, failures: Failures, say: Callable[[str], None]) -> None:
        self._wired = wired
        self._failures = failures
        self._say = say
        self._seen = -1
        self._published_at = 0.0
        self._recorded_at = time.monotonic() - RECORD_S
        self._failed = False
        self._answered_at: float | None = None
        """When the ledger last answered, at the latest when this began; None while it has not begun."""
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="keeper", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._answered_at = time.monotonic()
        self._thread.start()

    def stop(self) -> None:
        """End, and record what was counted until now."""
        self._stop.set()
        self._thread.join(timeout=5)

    def check(self) -> None:
        """Raise Unavailable where the ledger did not answer when it was last looked at. Asks nothing itself, so it never waits."""
        silent = self._answered_at is not None and time.monotonic() - self._answered_at > SILENT_S
        if self._failed or silent:
            raise Unavailable(
                "the control plane cannot use its database",
                # everybody may ask, so it is not told where that is, nor what it said
                why="it did not answer a moment ago" if self._failed else f"it has not answered for {SILENT_S:.0f} s",
                fix="flyball status, on its machine, says what is wrong; predictions go on meanwhile",
                retry_after=5,
            )

    def step(self) -> None:
        """Do what is due. Raises FlyballError, OSError."""
        size = self._size()
        if size != self._seen or time.monotonic() - self._published_at >= PUBLISH_S:
            with self._wired.ledger.state() as state:
                tokens.publish(self._wired.layout, [row for _, row in state.scan(TOKENS)])
            self._seen, self._published_at = size, time.monotonic()
        for one in tokens.take_over(self._wired.layout):
            self._failures.add(one)
        if time.monotonic() - self._recorded_at >= RECORD_S:
            self.record()

    def record(self) -> None:
        """Record who was turned away since the last time, if anybody was. Raises FlyballError."""
        counted = self._failures.take()
        if not counted:
            return
        refused = tuple(AccessRefused(source=one.source, count=one.count, since=one.since, until=one.until, why=one.why) for one in counted)
        command = NoteRefused(id=self._wired.ports.clock.new_id("cmd"), actor=LOOP.actor, refused=refused)
        try:
            self._wired.acting(LOOP).ledger.execute(command, decide_note_refused)
        except FlyballError:
            for one in counted:
                self._failures.add(one)
            raise
        finally:
            self._recorded_at = time.monotonic()

    def _size(self) -> int:
        """The ledger's size; whether it answered is kept for `check`."""
        try:
            size = self._wired.ledger.size()
        except FlyballError:
            self._failed = True
            raise
        self._failed, self._answered_at = False, time.monotonic()
        return size

    def _run(self) -> None:
        while not self._stop.wait(LOOK_S):
            self._try(self.step)
        self._try(self.record)

    def _try(self, action: Callable[[], None]) -> None:
        try:
            action()
        except (FlyballError, OSError) as error:
            self._say(f"put off: {error}")
        except Exception as error:  # noqa: BLE001 - without this thread no gateway hears that a token was revoked
            self._say(f"put off, by a mistake of flyball's own: {type(error).__name__}: {ascii(str(error))[:300]}")
