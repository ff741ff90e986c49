"""Where the serving processes meet: every file under `.flyball` that two of them share. Standard library only.

The supervisor writes gateways.json and starts what workers.json lists; the routes reconciler writes workers.json and
routes.json; the control plane writes tokens.json; a gateway writes its ack, its metrics and whom it turned away; a worker writes its
ready or failed file.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_LONGEST_SOCKET_PATH = 100
"""A Unix socket's path holds 107 bytes; longer project paths get a folder under the system's temporary one."""


UNSAID = 0
"""The stamp of routes that the control plane of this `up` has not confirmed: who is in them is served, and nobody knows who else is to be."""


_SHORT = ("/tmp", "/var/tmp")  # noqa: S108 - mkdtemp makes a private folder in it

_ENVIRONMENTS = "env"


@dataclass(frozen=True)
class Layout:
    """The files of one project's `.flyball` folder (`root`)."""

    root: Path

    @property
    def env(self) -> str:
        """The environment whose they are; empty: the project's own."""
        return self.root.name if self.root.parent.name == _ENVIRONMENTS else ""

    @property
    def project(self) -> Path:
        """The project's folder."""
        return self.root.parents[2] if self.env else self.root.parent

    @property
    def lock(self) -> Path:
        """Held (flock) by the supervisor and every child but job guardians."""
        return self.root / "lock"

    @property
    def restoring(self) -> Path:
        """There from a restore's beginning to its end: which files it brings besides blobs, so that they are removed if it comes to nothing."""
        return self.root / "restoring.json"

    @property
    def run(self) -> Path:
        """State of the processes that run now; worth nothing once they have ended, but for routes, key, and when gateways listened."""
        return self.root / "run"

    @property
    def log(self) -> Path:
        """The prediction log."""
        return self.root / "log"

    @property
    def push(self) -> Path:
        """Rows that callers sent, a folder for each data set, until a version holds them."""
        return self.root / "push"

    @property
    def blobs(self) -> Path:
        """The blob store."""
        return self.root / "blobs"

    @property
    def routes(self) -> Path:
        """The route table in force."""
        return self.run / "routes.json"

    @property
    def wanted_workers(self) -> Path:
        """`[{"ref", "artifact", "note", "keys", "own"?}]`: the workers that shall run, what proves their versions, and whether in environments of their own."""
        return self.run / "workers.json"

    @property
    def runs(self) -> Path:
        """The runs under way, whose versions will want workers."""
        return self.run / "runs.json"

    @property
    def gateways(self) -> Path:
        """`{"host", "port", "gateways": {name: pid}}`: the gateways whose acknowledgement a route change waits for."""
        return self.run / "gateways.json"

    @property
    def tokens(self) -> Path:
        """The tokens that gateways take, by the hash of their secret: written by the control plane, 0600."""
        return self.run / "tokens.json"

    @property
    def told(self) -> Path:
        """Lines of what the loop does, for the terminal of `flyball up`."""
        return self.run / "told.txt"

    @property
    def id_key(self) -> Path:
        """The secret under request ids and key hashes."""
        return self.run / "id.key"

    @property
    def keys(self) -> Path:
        """Secrets of this project, each a file that only its owner can read."""
        return self.root / "keys"

    @property
    def online(self) -> Path:
        """`{"url": …}`: where the online store is, for workers; empty: the file in this folder. Only its owner can read it."""
        return self.run / "online.json"

    @property
    def views(self) -> Path:
        """How far each feature view in the online store is: written by the control plane, told by gateways."""
        return self.run / "views.json"

    @property
    def beat(self) -> Path:
        """Written by the loop after each pass."""
        return self.run / "loop.json"

    @property
    def watchdog(self) -> Path:
        """`{"silent", "began", "ended", "killed", "ends", "between"}`: the last outage of the loop, as the supervisor saw it, in µs since 1970.

        silent: no passes are made. ended: 0 as long as it is not over for sure. killed, ends: how often its process was killed for it, and has ended in
        all until one lasted. between: passes were made meanwhile.
        """
        return self.run / "watchdog.json"

    def ack(self, gateway: str) -> Path:
        """Which route table a gateway routes by."""
        return self.run / f"{gateway}.ack"

    def metrics(self, gateway: str) -> Path:
        """A gateway's own counts, copied each second."""
        return self.run / "metrics" / f"{gateway}.json"

    def heard(self, gateway: str) -> Path:
        """When a gateway has listened."""
        return self.run / "heard" / f"{gateway}.json"

    @property
    def gauges(self) -> Path:
        """What the monitors know, as Prometheus text: written by the control plane, appended by gateways to their own."""
        return self.run / "metrics" / "monitors.prom"

    def ready(self, worker: str) -> Path:
        """Written by a worker after its golden rows passed."""
        return self.run / "workers" / f"{worker}.ready"

    def failed(self, worker: str) -> Path:
        """Why a worker could not start."""
        return self.run / "workers" / f"{worker}.failed"

    def turned_away(self, gateway: str) -> Path:
        """Requests without a valid token that a gateway has counted, until the control plane takes the file."""
        return self.run / "refused" / f"{gateway}.json"

    def run_log(self, run: str, attempt: int) -> Path:
        """What an attempt of a run wrote to stdout and stderr."""
        return self.root / "jobs" / run / str(attempt) / "log.txt"

    def loop_age(self, now: int) -> int | None:
        """µs from the loop's last pass to `now`; None if it has never run here."""
        seen = read_json(self.beat)
        return max(now - int(seen["at"]), 0) if isinstance(seen, dict) and "at" in seen else None

    def up_age(self, now: int) -> int | None:
        """µs from the start of the last `flyball up` to `now`, by the clock of the file system; None if there was none here."""
        try:
            return max(now - self.lock.stat().st_mtime_ns // 1000, 0)
        except FileNotFoundError:
            return None

    def output(self, process: str) -> Path:
        """What a process wrote to stdout and stderr."""
        return self.run / "logs" / f"{process}.log"

    def socket(self, worker: str) -> Path:
        """The Unix socket of a worker, in a folder that exists."""
        return self._sockets() / f"{hashlib.sha256(worker.encode()).hexdigest()[:16]}.sock"

    def control_socket(self) -> Path:
        """The Unix socket on which the control plane answers, in a folder that exists."""
        return self._sockets() / "control.sock"

    def prepare(self) -> None:
        """Make the folders."""
        for folder in (self.run / "metrics", self.run / "workers", self.run / "logs", self.run / "refused", self.run / "heard", self.log):
            folder.mkdir(parents=True, exist_ok=True)

    def _sockets(self) -> Path:
        own = (self.run / "s").absolute()
        if _fits(own):
            own.mkdir(parents=True, exist_ok=True, mode=0o700)
            return own
        self.run.mkdir(parents=True, exist_ok=True)
        # a copy of the project has a copy of the note, and must not take the sockets of the one that was copied
        prefix = f"flyball-{hashlib.sha256(os.fsencode(own.resolve())).hexdigest()[:8]}-"
        with (self.run / "sockets").open("a+b") as note:
            # all processes of an `up` start at once, and they must not each make a folder of their own
            fcntl.flock(note, fcntl.LOCK_EX)
            note.seek(0)
            folder = Path(os.fsdecode(note.read()))
            if folder.name.startswith(prefix) and folder.is_dir() and folder.stat().st_uid == os.getuid():
                return folder
            # TMPDIR may itself be a long path
            base = next((base for base in (tempfile.gettempdir(), *_SHORT) if _fits(Path(base, f"{prefix}12345678"))), None)
            folder = Path(tempfile.mkdtemp(prefix=prefix, dir=base))
            note.truncate(0)
            note.write(os.fsencode(folder))
            return folder


def state_folder(project: Path, env: str = "") -> Path:
    """Where a project's state is, in one of its environments (empty: its own, on this machine)."""
    return project / ".flyball" / _ENVIRONMENTS / env if env else project / ".flyball"


def _fits(folder: Path) -> bool:
    return len(os.fsencode(folder)) + 22 < _LONGEST_SOCKET_PATH


def worker_name(ref: str, artifact: str) -> str:
    """The name of the worker of one packaged version: a repackaged one is another worker."""
    return f"{ref}-{artifact[:12]}"


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file so that a reader sees the old or the new content, whole, also after a power cut."""
    _replace(path, data, os.fsync)


def write_whole(path: Path, data: bytes) -> None:
    """As `write_atomically`, but for what a power cut may cost: it does not wait for the disk."""
    _replace(path, data, lambda _fd: None)


def _replace(path: Path, data: bytes, settle: Callable[[int], None], *, mode: int = 0o644) -> None:
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    fd = os.open(scratch, os.O_CREAT | os.O_TRUNC | os.O_WRONLY | os.O_CLOEXEC, mode)
    try:
        try:
            left = memoryview(data)
            while left:
                # a disk with room for a part of it takes that part and says so
                left = left[os.write(fd, left) :]
            settle(fd)
        finally:
            os.close(fd)
        scratch.replace(path)
    except OSError:
        # a part of it is of no use to anybody, and takes room that is missed
        with suppress(OSError):
            scratch.unlink()
        raise


def write_private(path: Path, data: bytes) -> None:
    """As `write_atomically`, for what only this user may read."""
    _replace(path, data, os.fsync, mode=0o600)


def write_json(path: Path, value: object) -> None:
    """Write a JSON file whole."""
    write_atomically(path, json.dumps(value, ensure_ascii=False).encode())


def read_json(path: Path) -> Any:
    """The content of a JSON file, or None where there is no (whole) file."""
    try:
        return json.loads(path.read_bytes())
    except (FileNotFoundError, json.JSONDecodeError):
        return None
