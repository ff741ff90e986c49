"""One child process: started, started again with back-off, ended by its own id. Standard library only."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

FIRST_WAIT_S = 0.1
LONGEST_WAIT_S = 30.0
STEADY_S = 20.0
"""A child that ran this long has recovered: its next restart is quick again."""

_LARGEST_OUTPUT = 10 << 20


class Spare:
    """A process that has its slow imports behind it and waits to be told what it is for, in a line on its descriptor `--wait`.

    It ends by itself when nobody can tell it any more.
    """

    def __init__(self, argv: Sequence[str], *, cwd: Path, output: Path, stdin: int, passed: Sequence[int], env: Mapping[str, str]) -> None:
        with output.open("ab") as log:
            waits, self._tell = os.pipe()
            try:
                self._process = subprocess.Popen(
                    [*argv, "--wait", str(waits)],
                    cwd=cwd,
                    env=dict(env),
                    stdin=stdin,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    pass_fds=(*passed, waits),
                    start_new_session=True,
                )
            except OSError:
                os.close(self._tell)
                raise
            finally:
                os.close(waits)

    def take(self, told: Mapping[str, str]) -> subprocess.Popen[bytes] | None:
        """Tell it; the process that it is now, or None if it has ended."""
        try:
            os.write(self._tell, json.dumps(told).encode() + b"\n")
        except BrokenPipeError:
            self._process.wait()
            return None
        finally:
            os.close(self._tell)
        return self._process

    def drop(self) -> None:
        """It is not needed; it ends when it has imported what it imports."""
        os.close(self._tell)

    def stop(self) -> None:
        """Ask it to end."""
        self._process.terminate()

    def ended(self) -> bool:
        """Whether nothing of it runs any more."""
        return self._process.poll() is not None

    def kill(self) -> None:
        """End it now, if it still runs, and reap it."""
        self._process.kill()
        self._process.wait()


class Child:
    """A process that shall run. `keep` is called often; `on_end` gets the reason of each unwanted end. `process` runs already."""

    def __init__(
        self,
        name: str,
        argv: Sequence[str],
        *,
        cwd: Path,
        output: Path,
        stdin: int,
        passed: Sequence[int],
        env: Mapping[str, str],
        on_end: Callable[[str], None] | None = None,
        process: subprocess.Popen[bytes] | None = None,
    ) -> None:
        self.name = name
        self._argv = list(argv)
        self._cwd = cwd
        self._output = output
        self._stdin = stdin
        self._passed = tuple(passed)
        self._env = dict(env)
        self._on_end = on_end
        self._process = process
        self._started = time.monotonic()
        self._again_at = 0.0
        self._wait_s = FIRST_WAIT_S
        self._stopping = False

    @property
    def pid(self) -> int:
        """The process's id; 0 while there is none."""
        return self._process.pid if self._process is not None else 0

    def keep(self) -> bool:
        """Start it if it does not run and its wait is over. True when the process changed."""
        now = time.monotonic()
        if self._process is not None:
            code = self._process.poll()
            if code is None:
                return False
            self._process = None
            self._wait_s = FIRST_WAIT_S if now - self._started > STEADY_S else min(self._wait_s * 2, LONGEST_WAIT_S)
            self._again_at = now + self._wait_s
            reason = self._reason(code)
            with suppress(OSError):  # a full disk under our own output must not end what keeps the children
                print(
                    f"{self.name} ended ({reason}); it is started again in {self._wait_s:.1f} s, see {self._output}",
                    file=sys.stderr,
                    flush=True,
                )
            if self._on_end is not None:
                self._on_end(reason)
            return True
        if self._stopping or now < self._again_at:
            return False
        self._start(now)
        return True

    def stop(self) -> None:
        """Ask it to end (SIGTERM); it is not started again."""
        self._stopping = True
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)

    def strike(self) -> None:
        """End it now: it hangs. It is started again."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()

    def ended(self) -> bool:
        """Whether nothing of it runs any more."""
        return self._process is None or self._process.poll() is not None

    def kill(self) -> None:
        """End it now, if it still runs, and reap it."""
        self._stopping = True
        if self._process is not None:
            if self._process.poll() is None:
                self._process.kill()
            self._process.wait()
            self._process = None

    def _start(self, now: float) -> None:
        if self._output.exists() and self._output.stat().st_size > _LARGEST_OUTPUT:
            self._output.replace(self._output.with_suffix(".old"))
        with self._output.open("ab") as output:
            # its own session: a Ctrl-C reaches the supervisor alone, which ends the others in order
            self._process = subprocess.Popen(
                self._argv,
                cwd=self._cwd,
                env=self._env,
                stdin=self._stdin,
                stdout=output,
                stderr=subprocess.STDOUT,
                pass_fds=self._passed,
                start_new_session=True,
            )
        self._started = now

    def _reason(self, code: int) -> str:
        if code < 0:
            return f"killed by {signal.Signals(-code).name}"
        lines = self._output.read_bytes()[-4096:].decode("utf-8", "replace").strip().splitlines()
        # what happened stands in the first line of an error of ours, and in the last one of a traceback: those below and above are indented
        told = next((line for line in reversed(lines) if not line.startswith(" ")), "")
        return f"exit {code}: {told[:300]}" if told else f"exit {code}"
