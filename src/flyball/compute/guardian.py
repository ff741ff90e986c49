"""Runs one job and ends it: `python -m flyball.compute.guardian JOBDIR/N --lock FD`.

It holds the job's lock from before its start to after its end, so "lock held" means "running". It is a process of its own with the
standard library alone, because it must outlive the control plane and stay small beside a job that eats the machine. It never
decides whether a job succeeded; it writes what happened to `exit.json`.

Files in the job's folder (docs/training.md): read `spec.json`, `lease`, `cancel`; write `pid.json`, `log.txt`, `exit.json`.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import fcntl
import json
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType

TICK_S = 0.2
MOST = 0.8
"""The share of the machine's memory that a job without a bound of its own may take: what serves needs the rest, and the system would kill
whichever process it likes."""
_FULL_LOOK = 5
"""One look in so many goes to all processes of such a job; the others to its first one, which costs a hundredth of it."""
GRACE_S = 5.0
ONE_THREAD = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS", "NUMEXPR_NUM_THREADS"), "1"
)
"""Environment of a process that shares its processors: the libraries below would start a thread for each of them."""
SAME_HASHES = {"PYTHONHASHSEED": "0"}
"""Environment of whatever runs a model's code: a fit or an answer that rests on the hash of a text is the same in every process, so what was judged is what is served."""
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36


def outside() -> dict[str, str]:
    """The environment for a process that runs a user's code: without the secret that lets its holder give commands, and with the hashes of every other."""
    return {name: value for name, value in os.environ.items() if name != "FLYBALL_TOKEN"} | SAME_HASHES


def write_json(path: Path, value: object) -> None:
    """Write so that a reader sees all of it or nothing, even after a power cut."""
    temporary = path.with_suffix(f".{os.getpid()}.tmp")
    with temporary.open("w", encoding="utf-8") as file:
        json.dump(value, file)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def process_stat(pid: int) -> tuple[int, int, int] | None:
    """(process group, start time in clock ticks since boot, resident bytes) of a process that has not ended, else None."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    # the command stands in parentheses and may itself hold spaces and parentheses
    fields = text.rpartition(")")[2].split()
    if fields[0] in ("Z", "X"):
        return None
    return int(fields[2]), int(fields[19]), int(fields[21]) * os.sysconf("SC_PAGE_SIZE")


def machine_memory() -> int:
    """Bytes of memory that all processes here may take together: the machine's, or its container's where that is less."""
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    for path in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        with contextlib.suppress(OSError, ValueError):
            total = min(total, int(Path(path).read_text(encoding="ascii")))
    return total


def group_members(group: int, since: int) -> list[tuple[int, int]]:
    """(pid, resident bytes) of every live process of a group that started at tick `since` or later.

    A leader with another start time is somebody else who got the number later: then nobody is in *this* group.
    """
    leader = process_stat(group)
    if leader is not None and leader[1] != since:
        return []
    pids = (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())
    return [(pid, stat[2]) for pid in pids if (stat := process_stat(pid)) and stat[0] == group and stat[1] >= since]


def kill_group(group: int, since: int, number: int = signal.SIGKILL) -> None:
    """Send a signal to what is left of a group, if it is still the group that was recorded."""
    if group_members(group, since):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(group, number)


def children(parent: int) -> list[int]:
    """The pids of a process's own children, ended ones too."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                stat = (entry / "stat").read_text(encoding="utf-8", errors="replace")
                if int(stat.rpartition(")")[2].split()[1]) == parent:
                    found.append(int(entry.name))
    return found


class Guardian:
    """One job from start to end."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        spec = json.loads((folder / "spec.json").read_text(encoding="utf-8"))
        self.argv: list[str] = list(spec["argv"])
        self.env: dict[str, str] = {**ONE_THREAD, **spec["env"]}
        self.deadline_s: float = spec["deadline"] / 1e6
        self.memory: int = spec["memory"] or int(MOST * machine_memory())
        self._declared = bool(spec["memory"])
        self._looks = 0
        self.lease_s: float = spec["lease"] / 1e6
        self.started = time.monotonic()
        self.stopped = False
        self._lease = self._read_lease()
        self._lease_seen = self.started
        self.peak = 0

    def _read_lease(self) -> bytes:
        try:
            return (self.folder / "lease").read_bytes()
        except OSError:
            return b""

    def stop(self, _number: int, _frame: FrameType | None) -> None:
        """SIGTERM: end the job, then ourselves."""
        self.stopped = True

    def start(self) -> subprocess.Popen[bytes]:
        """Start the job in a session, and so a group, of its own; it dies with this process."""
        libc = ctypes.CDLL(None, use_errno=True)
        parent = os.getpid()

        def tie() -> None:
            libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
            if os.getppid() != parent:  # the guardian died before the line above
                os._exit(127)

        with (self.folder / "log.txt").open("ab") as log:
            return subprocess.Popen(
                self.argv,
                cwd=self.folder,
                env={**outside(), **self.env},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=tie,  # noqa: PLW1509 - safe: this process has one thread
            )

    def reason_to_end(self, group: int, since: int) -> str:
        """Why the job must end now; empty if it may go on."""
        now = time.monotonic()
        lease = self._read_lease()
        if lease != self._lease:
            self._lease, self._lease_seen = lease, now
        if self.stopped:
            return "stopped"
        if (self.folder / "cancel").exists():
            return "cancelled"
        if self.deadline_s and now - self.started > self.deadline_s:
            return "deadline"
        if now - self._lease_seen > self.lease_s:
            return "lease"
        resident = self.resident(group, since)
        self.peak = max(self.peak, resident)
        return "memory" if resident > self.memory else ""

    def resident(self, group: int, since: int) -> int:
        """Bytes resident: of all of the job's processes, or at most looks of its first one alone, where no bound was declared."""
        self._looks += 1
        if self._declared or self._looks % _FULL_LOOK == 0:
            return sum(size for _pid, size in group_members(group, since))
        stat = process_stat(group)
        return stat[2] if stat else 0

    def end(self, child: subprocess.Popen[bytes], since: int, why: str) -> None:
        """Ask the group to end, wait, then kill it. A job over its memory is killed at once: it would only take more."""
        if why != "memory":
            kill_group(child.pid, since, signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(GRACE_S)
        kill_group(child.pid, since)

    def run(self) -> None:
        """Start the job, watch it, end it where it must end, and write down how it ended."""
        try:
            child = self.start()
        except OSError as error:
            self.write_exit(127, f"could not start: {error}")
            return
        stat = process_stat(child.pid)
        since = stat[1] if stat else 0
        write_json(self.folder / "pid.json", {"pid": child.pid, "start": since, "guardian": os.getpid()})
        why = ""
        with os.fdopen(os.pidfd_open(child.pid), closefd=True) as pidfd:
            poll = select.poll()
            poll.register(pidfd, select.POLLIN)
            while not poll.poll(TICK_S * 1000):
                why = self.reason_to_end(child.pid, since)
                if why:
                    self.end(child, since, why)
                    break
        rc = child.wait()
        kill_group(child.pid, since)  # children that the job left behind
        self.end_adopted()
        self.write_exit(rc, why or "exited")

    def end_adopted(self) -> None:
        """Kill what the job left behind in groups of its own: such processes are children of this one by now, and theirs when they have ended."""
        until = time.monotonic() + GRACE_S
        while (left := children(os.getpid())) and time.monotonic() < until:
            for pid in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            for pid in left:
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(pid, 0)

    def write_exit(self, rc: int, why: str) -> None:
        """The last word on this attempt."""
        import resource

        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        peak = max(self.peak, used.ru_maxrss * 1024)
        write_json(self.folder / "exit.json", {"rc": rc, "why": why, "cpu_s": used.ru_utime + used.ru_stime, "peak_bytes": peak})


def main(arguments: list[str] | None = None) -> int:
    """Entry point."""
    parser = argparse.ArgumentParser(prog="flyball.compute.guardian")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--lock", type=int, required=True, help="descriptor of the locked lock file")
    options = parser.parse_args(arguments)
    fcntl.flock(options.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.set_inheritable(options.lock, False)
    # whoever leaves the job's group, as a daemon does, becomes a child of this process when its parent ends, and not of the machine's first one
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    guardian = Guardian(options.folder.resolve())
    signal.signal(signal.SIGTERM, guardian.stop)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    guardian.run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
