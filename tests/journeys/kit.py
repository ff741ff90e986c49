"""A small real project and the whole of `flyball up` over it: what the journeys and the faults start, use and kill."""

from __future__ import annotations

import contextlib
import copy
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import httpx
import numpy as np
import polars as pl

from flyball.ledger.verify import verify
from flyball.records.base import Event, Record, Recorded, Table
from flyball.records.rollouts import ROLLOUTS, RolloutMoved, RolloutRow, RolloutState
from flyball.records.serving import SEGMENTS
from flyball.records.versions import MODELS
from flyball.rollout.states import TERMINAL
from flyball.serving import wal
from flyball.serving.layout import Layout, state_folder
from flyball.serving.sealer import unseal
from flyball.wiring import Wired, open_project

ROW = {"amount": 5.0, "age": 30}
Found = TypeVar("Found")
EventT = TypeVar("EventT", bound=Event)
RowT = TypeVar("RowT", bound=Record)

LOOP = """
import flyball as fb
import polars as pl
from sklearn.linear_model import LogisticRegression

loans = fb.Dataset(
    "NAME-loans", source="data/loans.csv", time="ts", min_rows=50,
    columns={
        "amount": fb.column(float, between=(0, 1000)),
        "age": fb.column(int, between=(18, 99)),
        "good": fb.column(int, one_of=(0, 1), known_after="1s"),
    },
)

def fit(X: pl.DataFrame, y: pl.Series):
    return LogisticRegression(C=1.0).fit(X, y)

NAME = fb.Model(
    "NAME", task="binary", data=loans, label="good", owner="risk", framing=fb.Framing("test"),
    train=fb.Train(fit, window="30d", holdout="7d"),
    gates=[fb.metric("accuracy") >= 0.6],
    rollout=fb.Rollout(guards=[fb.metric("error_rate") <= fb.champion * 2], watch="1s").STEPS,
    autonomy=AUTONOMY,
)
"""


_HELD = """
import sys, time
from pathlib import Path
while "flyball.serving.worker" in sys.orig_argv and Path("HOLD").exists():
    time.sleep(0.05)
"""


def held_by(hold: Path) -> dict[str, str]:
    """What to change in a loop file so that workers of its versions do not start as long as the file `hold` is there."""
    return {"import polars as pl": "import polars as pl" + _HELD.replace("HOLD", str(hold))}


def eventually(true: Callable[[], Found], why: str | Callable[[], object], within_s: float = 60.0) -> Found:
    """What `true` gives as soon as it gives anything."""
    until = time.monotonic() + within_s
    while time.monotonic() < until:
        found = true()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError(why if isinstance(why, str) else why())


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def processes_of(root: Path) -> dict[int, str]:
    """Every running process that names the project on its command line: id → command."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            with contextlib.suppress(OSError):
                command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                state = (entry / "stat").read_text().rpartition(")")[2].split()[0]
                if str(root) in command and state != "Z":
                    found[int(entry.name)] = command
    return found


class Project:
    """A project on disk, and what its ledger and its log say."""

    def __init__(self, root: Path) -> None:
        self.root, self.env = root, ""
        self.layout = Layout(root / ".flyball")
        (root / "loops").mkdir()
        (root / "data").mkdir()
        (root / "flyball.toml").write_text("[settings]\ntick_ms = 200\n")
        self.data()

    def within(self, env: str) -> Project:
        """The same project, in one of its environments."""
        other = copy.copy(self)
        other.env, other.layout = env, Layout(state_folder(self.root, env))
        return other

    def data(self, rows: int = 600, seed: int = 0) -> None:
        """A good file: thirty days of loans, the last an hour ago."""
        rng = np.random.default_rng(seed)
        end = time.time() - 3600
        frame = pl.DataFrame({"amount": rng.uniform(0, 400, rows).round(2), "age": rng.integers(18, 99, rows)})
        moments = [time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(end - 30 * 86_400 * (1 - (row + 1) / rows))) for row in range(rows)]
        good = (frame["age"].to_numpy() + rng.normal(0, 10, rows) > 50).astype(int)
        frame = frame.with_columns(pl.Series("good", good), pl.Series("ts", moments))
        scratch = self.root / "data" / ".loans"
        frame.write_csv(scratch)
        scratch.replace(self.root / "data" / "loans.csv")

    def loop(
        self,
        name: str = "credit",
        *,
        autonomy: str = '"act"',
        steps: str = 'shadow("1s").canary("50%", "1s")',
        change: dict[str, str] | None = None,
    ) -> None:
        """Write a loop file whole; `change` replaces parts of it."""
        text = LOOP.replace("NAME", name).replace("AUTONOMY", autonomy).replace("STEPS", steps)
        for old, new in (change or {}).items():
            assert old in text, old
            text = text.replace(old, new)
        self.write(f"loops/{name}.py", text)

    def write(self, file: str, text: str) -> None:
        """Replace a file in one step, as an editor does."""
        scratch = self.root / f".{Path(file).name}.new"
        scratch.write_text(text)
        scratch.replace(self.root / file)

    @contextlib.contextmanager
    def opened(self) -> Iterator[Wired]:
        """The project as another process opens it."""
        wired = open_project(self.root, self.env)
        try:
            yield wired
        finally:
            wired.close()

    def events(self, kind: type[EventT]) -> list[EventT]:
        return [one.event for one in self.recorded() if isinstance(one.event, kind)]

    def recorded(self) -> list[Recorded]:
        with self.opened() as wired:
            return list(wired.ledger.read(0, 100_000))

    def row(self, table: Table[RowT], key: str) -> RowT | None:
        with self.opened() as wired:
            return wired.ledger.state().get(table, key)

    def rows(self, table: Table[RowT]) -> list[RowT]:
        with self.opened() as wired:
            return [row for _, row in wired.ledger.state().scan(table)]

    def champion(self, model: str = "credit") -> str:
        row = self.row(MODELS, model)
        return row.champion if row else ""

    def verified(self) -> None:
        """`audit verify` has nothing to say."""
        with self.opened() as wired:
            report = verify(wired.ledger, wired.blobs)
        assert report.verified, report.problems

    def log(self) -> list[wal.LogRecord]:
        """Every record of the prediction log, sealed or not."""
        seen: dict[tuple[str, int], list[wal.LogRecord]] = {}
        for file in wal.segments(self.layout.log):
            with contextlib.suppress(FileNotFoundError):
                seen[file.gateway, file.number] = wal.read(file.path)[0]
        with self.opened() as wired:
            for _, row in wired.ledger.state().scan(SEGMENTS):
                if (row.gateway, row.number) not in seen:
                    seen[row.gateway, row.number] = unseal(wired.blobs.get(row.parquet_sha256))
        return [record for key in sorted(seen) for record in seen[key]]

    def answered(self) -> set[str]:
        """The ids of all answers in the log."""
        return {record.request_id for record in self.log() if record.kind == "answer" and record.status == "ok"}

    def output(self, process: str) -> str:
        """What a process has written."""
        path = self.layout.output(process)
        return path.read_text() if path.exists() else ""

    def story(self) -> str:
        """The ledger in a few lines, for a test that failed."""
        lines = [f"{one.seq} {one.actor} {one.event.kind} {str(one.event)[:200]}" for one in self.recorded()]
        return "\n".join([*lines[-40:], self.output("control")[-2000:], *self._now()])

    def _now(self) -> Iterator[str]:
        """What the processes say of themselves: which routes are written, who has acknowledged them, and which worker is ready or why not."""
        run = self.layout.run
        for path in (self.layout.gateways, *sorted(run.glob("*.ack")), self.layout.wanted_workers, *sorted((run / "workers").iterdir())):
            with contextlib.suppress(OSError):
                yield f"{path.relative_to(run)} {path.read_text()[:600]}"
        with contextlib.suppress(OSError):
            yield f"{self.layout.routes.name} {self.layout.routes.read_text()[:2000]}"
        for path in sorted((run / "logs").iterdir()):
            with contextlib.suppress(OSError):
                yield f"{path.name}: {path.read_text()[-600:]}"
        yield from (f"{pid} {command[:200]}" for pid, command in sorted(processes_of(self.root).items()))


class Up:
    """`flyball up`: the supervisor with gateways, workers and the control plane."""

    def __init__(
        self,
        project: Project,
        *,
        port: int = 0,
        control: bool = True,
        gateways: int = 2,
        more: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
    ) -> None:
        self.project = project
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        argv = [sys.executable, "-P", "-m", "flyball.serving.supervisor", "--root", str(project.root), "--env", project.env]
        argv += ["--port", str(self.port), "--gateways", str(gateways)]
        named = ["--control", f"python -P -m flyball.api.control --env {project.env}"] if project.env else []
        argv += [*(named if control else ["--control", ""]), *more]
        self.process = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            env={**os.environ, "OMP_NUM_THREADS": "1", **(env or {})},
        )
        self.http = httpx.Client(base_url=self.url, timeout=20)

    def ready(self) -> Up:
        """Wait until gateways answer."""
        assert self.process.stdout
        said = self.process.stdout.readline()
        assert said.startswith("flyball is up on"), self.process.communicate()[1]
        return self

    def predict(self, model: str = "credit", **more: Any) -> httpx.Response:
        return self.http.post(f"/models/{model}/predict", json={"row": ROW, **more})

    def pid(self, part: str) -> int:
        """The process whose command line has `part`; 0 while there is none."""
        return next((pid for pid, command in processes_of(self.project.root).items() if part in command), 0)

    def kill(self) -> None:
        """kill -9 of the supervisor."""
        self.http.close()
        self.process.kill()
        self.process.communicate()

    def stop(self, number: int = signal.SIGTERM) -> tuple[int, str]:
        """End it and everything it started, and look that it is so; exit code and stderr without the lines of what the loop did."""
        self.http.close()
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            _, err = self.process.communicate(timeout=40)
        finally:
            for pid in processes_of(self.project.root):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        return self.process.returncode, re.sub(r"(?m)^\d\d:\d\d:\d\d  .*\n", "", err)


class Traffic:
    """Requests with a key each, from a few threads, until stopped. What was answered, and said to be on record, is kept."""

    def __init__(self, url: str, model: str = "credit", *, threads: int = 3, label: bool = False, pause_s: float = 0.005) -> None:
        self.answered: list[str] = []
        self.statuses: dict[int, int] = {}
        self.broken = 0
        self.unlogged = 0
        self._url, self._model, self._label, self._pause_s = url, model, label, pause_s
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(number,), daemon=True) for number in range(threads)]
        for thread in self._threads:
            thread.start()

    def _run(self, number: int) -> None:
        count = 0
        while not self._stop.is_set():
            try:
                with httpx.Client(base_url=self._url, timeout=20) as client:
                    while not self._stop.is_set():
                        count += 1
                        self._one(client, f"caller-{number}-{count}")
                        self._stop.wait(self._pause_s)
            except httpx.TransportError:
                # who was killed takes its connections along: asked again on a new one
                self.broken += 1
                self._stop.wait(0.05)

    def _one(self, client: httpx.Client, key: str) -> None:
        response = client.post(f"/models/{self._model}/predict", json={"row": ROW, "key": key})
        self.statuses[response.status_code] = self.statuses.get(response.status_code, 0) + 1
        if response.status_code == 200:
            request = response.json()["predictions"][0]["id"]
            if response.headers.get("flyball-logged") == "false":
                self.unlogged += 1
                return
            self.answered.append(request)
            if self._label:
                client.post(f"/models/{self._model}/labels", json={"labels": [{"id": request, "value": 0}]})

    def stop(self) -> set[str]:
        """End it; the ids of all requests that were answered."""
        self._stop.set()
        for thread in self._threads:
            thread.join()
        return set(self.answered)

    def __enter__(self) -> Traffic:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def champion_is(project: Project, version: str, model: str = "credit", within_s: float = 90.0) -> None:
    """Wait until a version answers by default."""
    eventually(lambda: project.champion(model) == version, lambda: f"{model}@{version} is not the champion\n{project.story()}", within_s)


def in_state(project: Project, version: str, *states: RolloutState, model: str = "credit", within_s: float = 60.0) -> RolloutRow:
    """Wait until the rollout of a version is in one of these states."""

    def look() -> RolloutRow | None:
        found = [row for row in project.rows(ROLLOUTS) if (row.model, row.version) == (model, version)]
        if found and found[-1].state in TERMINAL and found[-1].state not in states:
            raise AssertionError(f"the rollout has ended\n{project.story()}")
        return found[-1] if found and found[-1].state in states else None

    return eventually(look, lambda: f"the rollout of {model}@{version} is not {states}\n{project.story()}", within_s)


def path_of(project: Project, version: str, model: str = "credit") -> list[RolloutState]:
    """The states that the rollouts of a version went through, in order."""
    own = {row.rollout for row in project.rows(ROLLOUTS) if (row.model, row.version) == (model, version)}
    return [event.target for event in project.events(RolloutMoved) if event.rollout in own]
