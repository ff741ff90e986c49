"""Hours that pass in seconds, for real processes: the wall clock of all of one `up` is moved forward; nothing in flyball knows of it.

What Python finds as `sitecustomize` when it starts reads how far from a file that all processes share. Only the wall clock moves, as it does on a
machine that has slept: what is measured (latencies, processor time, deadlines) is measured on the monotonic clock, and is real. It begins days ago and
never comes to be ahead of the real time, so that no file of the project is older to flyball than it is.
"""

from __future__ import annotations

import mmap
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

from flyball.clock import Span

from .kit import Project

BEGINS = Span.parse("20d").seconds
"""How long ago it is when the first process starts: so much time can pass."""

TOGETHER_S = 0.5
"""Time passes in leaps, each so long after the one before: what takes less is over at the moment at which it began."""

_TOLD = """
import mmap, os, time
with open("MOVED", "rb") as _file:
    _moved = memoryview(mmap.mmap(_file.fileno(), 8, prot=mmap.PROT_READ)).cast("q")
_time_ns = time.time_ns
time.time_ns = lambda: _time_ns() + _moved[0]
time.time = lambda: (_time_ns() + _moved[0]) / 1e9
"""


class Hours:
    """The wall clock of the processes that are started with `env`."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        file = folder / "moved"
        file.write_bytes(bytes(8))
        with file.open("r+b") as opened:
            self._moved = memoryview(mmap.mmap(opened.fileno(), 8)).cast("q")
        self._moved[0] = -int(BEGINS * 1e9)
        (folder / "sitecustomize.py").write_text(_TOLD.replace("MOVED", str(file)))
        before = os.environ.get("PYTHONPATH")
        self.env = {"PYTHONPATH": os.pathsep.join([str(folder), *([before] if before else [])])}
        self._leap_s = 0.0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._pass, daemon=True)
        self._thread.start()

    def now(self) -> float:
        """What time it is there (s)."""
        return (time.time_ns() + self._moved[0]) / 1e9

    def run(self, leap: str) -> None:
        """From now on so much time passes at once, twice a second; `"0s"`: time goes as it does."""
        self._leap_s = Span.parse(leap).seconds

    def stop(self) -> None:
        """No time is passed any more."""
        self._over.set()
        self._thread.join(timeout=10)

    def type(self, project: Project, *arguments: str) -> tuple[int, str, str]:
        """What a person types there, in a process of its own: exit code, stdout, stderr."""
        command = [sys.executable, "-P", "-c", "from flyball.cli import main; main()", *arguments, "--project", str(project.root)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, env={**os.environ, **self.env})
        return done.returncode, done.stdout, done.stderr

    def _pass(self) -> None:
        while not self._over.wait(TOGETHER_S):
            moved = self._moved[0] + int(self._leap_s * 1e9)
            if moved > 0:
                raise AssertionError(f"more than {Span(int(BEGINS * 1e6))} have passed: this would be ahead of the files' own times")
            self._moved[0] = moved
