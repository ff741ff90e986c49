"""Jobs as subprocesses of this machine, each under a guardian of its own.

Everything is in files, so any process that opens the same folder sees the same jobs, and a control plane that died finds its jobs
again. The one fact that files cannot hold, "still running", is the lock that the guardian holds.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from flyball.compute.guardian import kill_group, write_json
from flyball.compute.port import JobObservation, JobSpec, valid_key
from flyball.errors import BadInput, Unavailable

_LOG_PART = 256 * 1024

_guardians: list[int] = []
"""Guardians this process started and has not reaped yet. They outlive the object that started them, so they are the module's."""


class LocalCompute:
    """Jobs under `root` (`.flyball/jobs`): `root/KEY/N/` is the folder of attempt N."""

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()

    def folder(self, key: str, attempt: int | None = None) -> Path | None:
        """Folder of an attempt (the newest, if none is named); None if there is none."""
        home = self.root / valid_key(key)
        if attempt is not None:
            return home / str(attempt) if (home / str(attempt)).is_dir() else None
        try:
            attempts = [int(entry.name) for entry in home.iterdir() if entry.name.isdigit()]
        except FileNotFoundError:
            return None
        return home / str(max(attempts)) if attempts else None

    def submit(self, job: JobSpec) -> None:
        """Start a job's guardian; a no-op for a (key, attempt) that was submitted before. Raises Unavailable, BadInput."""
        if job.attempt < 1 or not job.argv:
            raise BadInput(f"job {job.key} cannot start", why="it needs a command and an attempt from 1 on", fix="give both")
        folder = self.root / valid_key(job.key) / str(job.attempt)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            lock = os.open(folder / "lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise Unavailable(f"job {job.key} cannot start", why=str(error), fix=f"make room and rights under {self.root}") from error
        try:
            self._start(job, folder, lock)
        finally:
            # the guardian has the same open file: the lock lives on with it
            os.close(lock)

    def _start(self, job: JobSpec, folder: Path, lock: int) -> None:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        if (folder / "spec.json").exists():
            return
        (folder / "out").mkdir(exist_ok=True)
        (folder / "lease").write_text(str(time.monotonic_ns()), encoding="ascii")
        write_json(folder / "spec.json", msgspec.to_builtins(job, enc_hook=int))
        with (folder / "guardian.log").open("ab") as output:
            # close_fds (the default) keeps every other lock and socket of this process out of the guardian
            guardian = subprocess.Popen(
                [sys.executable, "-m", "flyball.compute.guardian", str(folder), "--lock", str(lock)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                pass_fds=(lock,),
            )
        _guardians.append(guardian.pid)
        # it is reaped by its number, below; a Popen that goes away before its process warns
        guardian.returncode = 0

    def observe(self, keys: Sequence[str]) -> Mapping[str, JobObservation]:
        """What each key's newest attempt is doing."""
        _reap()
        return {key: self._observe(key) for key in keys}

    def _observe(self, key: str) -> JobObservation:
        folder = self.folder(key)
        if folder is None or not (folder / "spec.json").exists():
            return JobObservation(state="absent")
        attempt = int(folder.name)
        # the lock first: a guardian writes exit.json before it lets go
        held = _is_held(folder / "lock")
        ended = _read_json(folder / "exit.json")
        if ended is not None:
            return msgspec.convert({"state": "ended", "attempt": attempt, **ended}, JobObservation)
        if held:
            return JobObservation(state="running", attempt=attempt)
        recorded = _read_json(folder / "pid.json")
        if recorded is not None:
            kill_group(recorded["pid"], recorded["start"])
        return JobObservation(state="lost", attempt=attempt)

    def keep(self, keys: Sequence[str]) -> None:
        """Renew leases."""
        mark = str(time.monotonic_ns())
        for key in keys:
            folder = self.folder(key)
            if folder is not None and not (folder / "exit.json").exists():
                (folder / "lease").write_text(mark, encoding="ascii")

    def cancel(self, key: str) -> None:
        """Ask for the end of the newest attempt."""
        folder = self.folder(key)
        if folder is not None:
            (folder / "cancel").touch()

    def log(self, key: str, offset: int) -> tuple[bytes, int]:
        """Up to 256 KiB of the job's output from `offset` on."""
        folder = self.folder(key)
        try:
            with (folder / "log.txt").open("rb") if folder else open(os.devnull, "rb") as file:  # noqa: PTH123
                file.seek(max(offset, 0))
                part = file.read(_LOG_PART)
        except FileNotFoundError:
            part = b""
        return part, offset + len(part)

    def keys(self) -> Sequence[str]:
        """The jobs that have a folder."""
        try:
            return sorted(entry.name for entry in self.root.iterdir() if entry.is_dir())
        except FileNotFoundError:
            return ()

    def forget(self, key: str) -> None:
        """Remove a job's folder."""
        home = self.root / valid_key(key)
        if home.is_dir() and not any(_is_held(lock) for lock in home.glob("*/lock")):
            try:
                shutil.rmtree(home)
            except OSError as error:
                raise Unavailable(f"{home} cannot be removed", why=str(error), fix="check the disk and the folder's rights") from error

    def output(self, key: str, name: str) -> bytes | None:
        """A file of the newest attempt's folder. A name that leaves the folder is no file."""
        folder = self.folder(key)
        if folder is None:
            return None
        path = (folder / name).resolve()
        if not path.is_relative_to(folder) or not path.is_file():
            return None
        return path.read_bytes()


def _reap() -> None:
    for pid in tuple(_guardians):
        try:
            ended, _status = os.waitpid(pid, os.WNOHANG)
        except ChildProcessError:
            ended = pid
        if ended:
            _guardians.remove(pid)


def _is_held(path: Path) -> bool:
    try:
        lock = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(lock)
    return False


def _read_json(path: Path) -> dict[str, int] | None:
    try:
        value: dict[str, int] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    return value
