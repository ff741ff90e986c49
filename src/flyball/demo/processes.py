"""The processes of the demo: `flyball up` on the project, seen and ended from outside."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from flyball.errors import Unavailable
from flyball.serving.layout import Layout, read_json, state_folder
from flyball.wiring import Wired

_UP_S = 30.0
_END_S = 25.0


class Up:
    """`flyball up` in a session of its own, so that a Ctrl-C reaches it through us alone."""

    def __init__(self, root: Path, port: int) -> None:
        self._layout = Layout(state_folder(root))
        self._said = root / "up.log"
        with self._said.open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "flyball.serving.supervisor", "--root", str(root), "--port", str(port)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """The supervisor's process id."""
        return self._process.pid

    async def port(self) -> int:
        """Where it listens, once it does. Raises Unavailable with what it said when it ended instead."""
        until = time.monotonic() + _UP_S
        while time.monotonic() < until:
            listed = read_json(self._layout.gateways)
            if isinstance(listed, dict) and all(self._layout.ack(name).exists() for name in listed["gateways"]):
                return int(listed["port"])
            if self._process.poll() is not None:
                break
            await asyncio.sleep(0.05)
        said = self._said.read_text(encoding="utf-8", errors="replace").strip()
        raise Unavailable(
            "flyball up did not come up", why=said[-500:] or f"no gateway answered within {_UP_S:.0f} s", fix="flyball demo again"
        )

    def running(self) -> bool:
        """Whether the supervisor is alive."""
        return self._process.poll() is None

    def stop(self) -> None:
        """End it in order, and by force if that takes too long. A second Ctrl-C meanwhile ends it at once."""
        if self._process.poll() is None:
            os.kill(self._process.pid, signal.SIGTERM)
        try:
            self._process.wait(_END_S)
        except (subprocess.TimeoutExpired, KeyboardInterrupt):
            # what it started sees its end and goes too
            self._process.kill()
            self._process.wait()

    def leave(self) -> None:
        """Let it run on after this process."""
        self._process.returncode = 0


def end_runs(wired: Wired, *, within_s: float = 5.0) -> None:
    """Cancel training that is still under way, and wait for its end: jobs outlive the control plane on purpose."""
    from flyball.records.training import RUNS, RunState

    active = [row for _, row in wired.ports.ledger.state().scan(RUNS) if row.state in (RunState.QUEUED, RunState.RUNNING)]
    for row in active:
        wired.ports.runs.cancel(row.run, row.attempt)
    until = time.monotonic() + within_s
    while time.monotonic() < until and any(wired.ports.runs.observe(row.run, 1).state == "running" for row in active):
        time.sleep(0.05)
