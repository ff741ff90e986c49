"""The port for long work: what a job is, and what may be known about it.

A job is named by its key and its attempt. Nobody waits for a job: it is submitted, kept (its lease is renewed), observed. A backend
answers with what it sees, never with what it expects.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Literal, Protocol

from flyball.clock import Span
from flyball.errors import BadInput
from flyball.records.base import Record

ATTEMPTS = 3
"""A lost job is tried this often, then it has failed."""

LEASE = Span.parse("60s")
"""A job whose lease nobody renews for this long is ended by its guardian."""

_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")


class JobSpec(Record, frozen=True):
    """One attempt at a job.

    `argv` is the command (no shell). `input` is text for the job alone: it finds it in `spec.json` of its folder, which is its
    working directory. `deadline` counts from the start (0: none), `memory` is bytes of resident memory of all its processes
    (0: four fifths of the machine's), `env` adds to the environment of whoever submits.
    """

    key: str
    argv: tuple[str, ...]
    attempt: int = 1
    input: str = ""
    deadline: Span = Span(0)
    memory: int = 0
    lease: Span = LEASE
    env: dict[str, str] = {}


class JobObservation(Record, frozen=True):
    """What is seen of the newest attempt. `why` of an ended job: exited, cancelled, deadline, memory, lease or stopped.

    `rc` is the exit code (negative: the signal), `cpu_s` the CPU seconds of the job's processes, `peak_bytes` the largest resident
    memory seen of one of them.
    """

    state: Literal["absent", "running", "ended", "lost"]
    attempt: int = 0
    rc: int | None = None
    why: str = ""
    cpu_s: float = 0.0
    peak_bytes: int = 0


class Compute(Protocol):
    """Where jobs run. Every call returns at once."""

    def submit(self, job: JobSpec) -> None:
        """Start a job. A (key, attempt) that was submitted before is left alone, whatever became of it."""
        ...

    def observe(self, keys: Sequence[str]) -> Mapping[str, JobObservation]:
        """What each key's newest attempt is doing. Finding a job lost also ends what is left of its processes."""
        ...

    def keep(self, keys: Sequence[str]) -> None:
        """Renew the leases, one call a tick. Unknown and ended keys are ignored."""
        ...

    def cancel(self, key: str) -> None:
        """Ask for the newest attempt's end; it is observed as ended (cancelled). Unknown and ended keys are ignored."""
        ...

    def log(self, key: str, offset: int) -> tuple[bytes, int]:
        """What the newest attempt wrote from byte `offset` on (a part of it, if long), and the next offset."""
        ...

    def keys(self) -> Sequence[str]:
        """The jobs of which anything is kept, in order."""
        ...

    def forget(self, key: str) -> None:
        """Remove all that is kept of a job, its log too. One that runs, or an unknown one, is left alone. Raises Unavailable."""
        ...

    def output(self, key: str, name: str) -> bytes | None:
        """A file the newest attempt wrote (`progress.json` or `out/…`), None if it is not there."""
        ...


def valid_key(key: str) -> str:
    """Return `key` if it can name a job; else raise BadInput. Keys become folders, so the border is here."""
    if not _KEY.fullmatch(key):
        raise BadInput(
            f'"{key[:80]}" cannot name a job',
            why="a key is 1 to 128 of A-Z a-z 0-9 . _ - and starts with a letter or digit",
            fix="take the run's id as the key",
        )
    return key
