"""The control plane's process: the loop, once a second and when nudged, and beside it the API. Started by the supervisor.

Kill it and predictions go on; started again, it goes on where the ledger stands.
"""

from __future__ import annotations

import argparse
import os
import select
import signal
import stat
import sys
import time
import traceback
from contextlib import suppress
from pathlib import Path
from types import FrameType

from flyball.api.heap import Heap
from flyball.api.service import Service
from flyball.api.voice import Voice
from flyball.clock import Instant
from flyball.errors import Corrupt, FlyballError, Unavailable
from flyball.governance.authority import actor_of
from flyball.loop.compiling import Compilation
from flyball.loop.declaring import Watcher, apply
from flyball.loop.gauges import GaugesFile
from flyball.loop.local import login_name
from flyball.loop.sealing import Sealing
from flyball.loop.tick import LOST, reconcile_routes, tick
from flyball.serving.layout import write_json
from flyball.wiring import Wired, open_project

FIRST_LOOK_S = 20.0
"""How long the loop's first decisions wait for the loop files to be read. One that hangs must not keep guards from their work for long."""


_LAST_S = 1.0
"""How long the end waits for what is being sent."""


class Control:
    """Runs the loop until told to stop. `lifeline`: the read end of a pipe whose other end only the supervisor has; None where nobody gave one."""

    def __init__(self, wired: Wired, *, watch: bool, lifeline: int | None = None) -> None:
        self._wired = wired
        self._watcher = Watcher(wired.root) if watch else None
        self._sealing = Sealing(wired.layout.log, wired.blobs, wired.subjects().forgetting)
        self._checkpointing = wired.checkpointing()
        self._verifying = wired.verifying()
        self._gauges = GaugesFile(wired.layout.gauges, wired.settings.cpu_watts)
        self._delivering = wired.delivering(stays=True)
        self._outside = wired.elsewhere()
        self._estimating = wired.estimating()
        self._outcomes = wired.outcomes()
        self._feedback = wired.feedback()
        self._compiled: Compilation | None = None
        self._heap = Heap()
        self._voice = Voice(wired.ports.ledger, wired.layout.told)
        self._stopping = False
        self._looked = False
        """Whether the present pass has looked at the models."""
        self._unread_until = time.monotonic() + FIRST_LOOK_S if watch else 0.0
        self._parent = os.getppid()
        self._lifeline = select.poll()
        if lifeline is not None:
            # no event is asked for: that the other end is gone is told anyway
            self._lifeline.register(lifeline, 0)

    def stop(self, _signal: int, _frame: FrameType | None) -> None:
        """Finish the present pass and end."""
        self._stopping = True

    def run(self) -> None:
        """Tick each `tick_ms`, and at once when somebody else's command changed the ledger."""
        try:
            self._loop()
        finally:
            # whatever ends the loop, what looks beside it ends as well
            self._estimating.stop()
            self._outcomes.stop()
            self._feedback.stop()

    def _loop(self) -> None:
        settings, ports = self._wired.settings, self._wired.ports
        seen, next_tick = -1, 0
        while not self._stopping and not self._alone:
            now = ports.clock.now()
            try:
                if (size := ports.ledger.size()) != seen or now >= next_tick or self._unread:
                    # noted first: a pass that fails is tried again with the next tick, not at once and for ever
                    seen, next_tick = size, now + settings.tick_ms * 1000
                    self._pass(now)
                    seen = ports.ledger.size()
                    self._heap.look(time.monotonic())
                else:
                    reconcile_routes(ports)
            except (Unavailable, OSError) as error:
                # a full disk or a busy store heals; predictions go on meanwhile, and the next pass tries again
                self._say(f"put off: {error}")
            except FlyballError as error:
                if error.code in LOST:
                    raise
                # it is one model's, and the others go on; it is tried again with each pass
                self._say(str(error))
            time.sleep(settings.poll_ms / 1000)
        # what was sent a moment ago is noted, or it is sent again
        with suppress(FlyballError):
            self._delivering.finish(ports, _LAST_S)

    @property
    def _alone(self) -> bool:
        """Whether the supervisor is dead, even by a kill -9: that is our end too. One that died before this process looked is no parent to compare with."""
        return os.getppid() != self._parent or bool(self._lifeline.poll(0))

    @property
    def _unread(self) -> bool:
        """Whether the loop files have not been read yet since the start: what was declared before may not be what they say now."""
        return time.monotonic() < self._unread_until

    def _pass(self, now: Instant) -> None:
        started = time.monotonic()
        self._compiled = (self._watcher.poll() if self._watcher else None) or self._compiled
        if self._compiled is not None:
            self._unread_until = 0.0
            apply(self._compiled, self._wired.ports, "loop", author=actor_of(login_name()))
            self._compiled = None
        self._sealing.look()
        self._looked = False
        try:
            self._tick(now)
        finally:
            # what is wrong with one model among others does not make the loop look dead, and a pass that watched none is none
            if self._looked:
                took = time.monotonic() - started
                beat = {"at": now, "pid": os.getpid(), "tick_ms": round(took * 1000, 1)}
                with suppress(OSError):  # a beat that cannot be written is one that is missed
                    write_json(self._wired.layout.beat, beat)
            self._tell()

    def _look(self) -> None:
        self._looked = True

    def _tell(self) -> None:
        try:
            self._voice.events()
        except (FlyballError, OSError) as error:
            # whatever went wrong in the pass itself is more to the point
            self._say(f"what happened cannot be told: {error}")

    def _tick(self, now: Instant) -> None:
        if self._unread:
            # predictions go on meanwhile
            reconcile_routes(self._wired.ports)
            self._deliver(now)
            return
        failed: FlyballError | None = None
        try:
            tick(now, self._wired.ports, self._look)
        except FlyballError as error:
            # where the store itself fails, nothing is sealed or signed
            if error.code in LOST or isinstance(error, Unavailable):
                raise
            failed = error
        self._deliver(now)
        # one model's own trouble lets no segment lie, and leaves nothing unsigned
        self._seal()
        self._beside(now)
        self._gauge(now)
        self._estimate(now)
        self._checkpoint(now)
        if failed is not None:
            raise failed

    def _deliver(self, now: Instant) -> None:
        """Receivers are waited for in threads of their own."""
        try:
            self._delivering.step(self._wired.ports, now)
        except FlyballError as error:
            if error.code in LOST:
                raise
            # what waits is on record, and goes with the next pass
            self._say(f"messages wait: {error}")

    def _checkpoint(self, now: Instant) -> None:
        try:
            self._checkpointing.step(self._wired.ports, now)
        except FlyballError as error:
            if error.code in LOST:
                raise
            # what was decided stands; only its proof is late
            self._say(str(error))

    def _beside(self, now: Instant) -> None:
        """What is done beside the loop: what is served does not wait for it."""
        for step, what in (
            (self._verifying.step, "served features are not verified"),
            (self._outside.step, "a model that is served elsewhere is not watched as it should be"),
            (self._outcomes.step, "business outcomes are not counted"),
            (self._feedback.step, "what a version learned from was not looked at"),
        ):
            try:
                step(self._wired.ports, now)
            except (FlyballError, OSError) as error:
                if isinstance(error, FlyballError) and error.code in LOST:
                    raise
                self._say(f"{what}: {error}")

    def _gauge(self, now: Instant) -> None:
        try:
            self._gauges.step(self._wired.ports, now)
        except (FlyballError, OSError) as error:
            if isinstance(error, FlyballError) and error.code in LOST:
                raise
            # who scrapes sees the last that was written, and how old the loop's pass is
            self._say(f"metrics are not written: {error}")

    def _estimate(self, now: Instant) -> None:
        try:
            self._estimating.step(self._wired.ports, now)
        except (FlyballError, OSError) as error:
            if isinstance(error, FlyballError) and error.code in LOST:
                raise
            # an estimate that is missing decides nothing
            self._say(f"performance is not estimated: {error}")

    def _seal(self) -> None:
        try:
            self._sealing.step(self._wired.ports)
        except (Corrupt, OSError) as error:
            # the segment stays in the log, where everything still reads it
            self._say(f"a segment of the prediction log is not sealed: {error}")

    def _say(self, text: str) -> None:
        """Tell the operator; what it is told on may be the full disk."""
        if self._voice.trouble(text):
            with suppress(OSError):
                print(text, file=sys.stderr, flush=True)


def _lifeline() -> int | None:
    """Standard input, where it is a pipe, as the supervisor's children have it."""
    with suppress(OSError):  # closed: nobody gave one
        if stat.S_ISFIFO(os.fstat(0).st_mode):
            return 0
    return None


def main() -> int:
    """Entry point: `python -m flyball.api.control --root PROJECT`."""
    parser = argparse.ArgumentParser(prog="flyball.api.control")
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--env", default="")
    parser.add_argument("--no-watch", action="store_true")
    arguments = parser.parse_args()
    try:
        wired = open_project(arguments.root, arguments.env, claim=True)
    except FlyballError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    control = Control(wired, watch=not arguments.no_watch, lifeline=_lifeline())
    service = Service(wired)
    signal.signal(signal.SIGTERM, control.stop)
    signal.signal(signal.SIGINT, control.stop)
    service.start()
    try:
        control.run()
    except FlyballError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    except Exception:  # noqa: BLE001 - the supervisor starts us again and the ledger heals what was half done; the trace is for its log
        traceback.print_exc()
        return 1
    finally:
        service.stop()
        wired.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
