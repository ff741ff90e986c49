"""Children that run the code of loop files: in one thread, without what this process keeps to itself, and ended with all they started."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, TypeVar

import msgspec

from flyball.compute.guardian import ONE_THREAD, outside
from flyball.errors import Unavailable
from flyball.records import codec
from flyball.records.base import Record

Answer = TypeVar("Answer", bound=Record)

NOT_NOW = 3
"""How a child ends that can answer later, and says why on its standard output."""

FAILED = 70
"""How one ends that has failed itself, and says how."""

_ENVIRONMENT = ONE_THREAD | {"POLARS_MAX_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}


class Unforeseen(Unavailable):
    """What was to be looked at was not: the look itself failed, or came to no end. The next may."""

    title = "A look has failed"


def said_of(error: BaseException) -> str:
    """An error that nobody foresaw, in one line: what it is, and where in flyball it came from."""
    where = ""
    for frame, line in traceback.walk_tb(error.__traceback__):
        if str(frame.f_globals.get("__name__", "")).startswith(("flyball.", "__main__")):
            where = f" ({Path(frame.f_code.co_filename).name}:{line})"
    return f"{type(error).__name__}: {str(error)[:200]}{where}"


def start(
    module: str, arguments: Sequence[str], folder: Path, *, errors: IO[bytes] | None = None, **variables: str
) -> subprocess.Popen[bytes]:
    """Run a module in `folder`, in a session of its own; its standard output is read by whoever calls. errors: where its standard error goes
    (None: nowhere). variables: of its environment, beside those that every child has.
    """
    return subprocess.Popen(
        [sys.executable, "-P", "-m", module, *arguments],
        cwd=folder,
        env=outside() | _ENVIRONMENT | variables,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=errors if errors is not None else subprocess.DEVNULL,
        start_new_session=True,
    )


def kill(child: subprocess.Popen[bytes]) -> None:
    """Kill a child and all it started."""
    with suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)


def end(child: subprocess.Popen[bytes]) -> None:
    """Kill a child and all it started, and wait until it is gone."""
    kill(child)
    child.wait()
    if child.stdout is not None:
        child.stdout.close()


class Held:
    """A child that is given a task in a file and answers on its standard output; whoever holds it can end it from another thread."""

    def __init__(self, patience_s: float = 600.0) -> None:
        """patience_s: how long it may take."""
        self._patience_s = patience_s
        self._child: subprocess.Popen[bytes] | None = None
        self._over = False

    def ask(self, module: str, task: Record, kind: type[Answer], *, failed: str) -> Answer:
        """What the module answers to the task. Raises OSError; Unavailable, which says what has `failed`, where it cannot answer now; Unforeseen where it
        failed, or ended without an answer.
        """
        with TemporaryDirectory(prefix="flyball-") as folder:
            path = Path(folder) / "task.json"
            path.write_bytes(codec.encode(task))
            child = self._child = start(module, [str(path)], Path(folder))
            timer = threading.Timer(self._patience_s, kill, [child])
            timer.start()
            if self._over:
                kill(child)
            try:
                assert child.stdout is not None
                told = child.stdout.read()
            finally:
                timer.cancel()
                end(child)
                self._child = None
        if child.returncode in (NOT_NOW, FAILED):
            raise (Unavailable if child.returncode == NOT_NOW else Unforeseen)(failed, why=told.decode(errors="replace"))
        try:
            return codec.decode(told, kind)
        except msgspec.MsgspecError as error:
            why = f"the process that looks ended with {child.returncode}, or took more than {self._patience_s:.0f} s"
            raise Unforeseen(failed, why=why) from error

    def kill(self) -> None:
        """End it, and each that is begun after: it would outlive this process."""
        self._over = True
        child = self._child
        if child is not None:
            kill(child)


def hear_interrupts() -> None:
    """Have Ctrl-C end what waits next, where it is heard at all. For the main thread; in others nothing is done.

    Polars sets a handler of its own, after which a wait for a thread, or for a line of the terminal, goes on through a Ctrl-C.
    """
    heard = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if heard and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.default_int_handler)
