"""How long flyball takes to start and what it holds: imports, the help, `flyball up` to its first answer, and memory when nothing happens.

The project is made from a seed: one scikit-learn model, trained and released by the loop itself in a first `up`. What is timed is the
second `up`, which must give the very answers of the first. Memory is PSS, so that pages shared by processes count once.
"""

from __future__ import annotations

import argparse
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from benchmarks.report import Bar, Report, Row, main

PROCESSES = 9
"""Fresh processes measured for each figure of CPU, after one that warms the disk's cache."""

STARTS = 5
IDLE_S = 5.0
TRAINED_WITHIN_S = 120.0
STARTED_WITHIN_S = 60.0

LOOP = '''"""Which loads will be late?"""
import flyball as fb
import polars as pl
from sklearn.linear_model import LogisticRegression

loads = fb.Dataset("loads", source="loads.csv", time="ts", columns={
    "km": fb.column(float, between=(0, 2_000)), "tonnes": fb.column(float, between=(0, 40)), "late": fb.column(int, one_of=(0, 1))})


def fit(X: pl.DataFrame, y: pl.Series, *, C: float = 1.0) -> object:
    return LogisticRegression(C=C, max_iter=1_000).fit(X, y)


late = fb.Model("late-loads", task="binary", data=loads, label="late", owner="benchmarks", train=fb.Train(fit, window="30d", holdout="7d"),
                gates=[fb.metric("accuracy") >= 0.6], monitors=[fb.drift()], autonomy="act")
'''
ROWS = [{"km": 1_900.0, "tonnes": 39.0}, {"km": 15.0, "tonnes": 1.0}, {"km": 800.0, "tonnes": 12.5}]
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


def flyball() -> list[str]:
    """The command beside this interpreter."""
    return [str(Path(sys.executable).with_name("flyball"))]


def cpu_of(command: Sequence[str], processes: int = PROCESSES) -> list[float]:
    """CPU seconds of each of so many fresh processes, children included."""
    found = []
    for _ in range(processes + 1):
        before = os.times()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        after = os.times()
        found.append(after.children_user + after.children_system - before.children_user - before.children_system)
    return found[1:]


def write_project(root: Path, *, rows: int = 4_000, seed: int = 7) -> None:
    """A loop file and 40 days of loads; long and heavy ones are late more often."""
    random = np.random.default_rng(seed)
    km, tonnes = random.uniform(1, 2_000, rows), random.uniform(0.1, 40, rows)
    late = random.random(rows) < 1 / (1 + np.exp(-(km / 300 + tonnes / 8 - 5.5)))
    moments = np.datetime64("2026-01-01T00:00:00") + (np.arange(rows) * (40 * 86_400 // rows)).astype("timedelta64[s]")
    lines = [f"{moment},{a:.1f},{b:.2f},{int(c)}" for moment, a, b, c in zip(moments, km, tonnes, late, strict=True)]
    (root / "flyball.toml").touch()
    (root / "loop.py").write_text(LOOP)
    (root / "loads.csv").write_text("\n".join(["ts,km,tonnes,late", *lines]) + "\n")


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def up(root: Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """A running `flyball up`, ended in order."""
    with (root / "up.log").open("ab") as log:
        process = subprocess.Popen(
            [*flyball(), "up", "--project", str(root), "--port", str(port)], stdout=log, stderr=log, env=os.environ | ONE_THREAD
        )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def ask(client: httpx.Client) -> list[dict[str, Any]] | None:
    """The model's answers to `ROWS` without their ids; None as long as it does not answer."""
    try:
        answer = client.post("/models/late-loads/predict", json={"rows": ROWS})
    except httpx.HTTPError:
        return None
    if answer.status_code != 200:
        return None
    return [{"value": one["value"], "score": one["score"]} for one in answer.json()["predictions"]]


def first_answer(process: subprocess.Popen[bytes], port: int, within_s: float, root: Path) -> list[dict[str, Any]]:
    """Ask until there is an answer. Ends the benchmark when `up` ends or takes too long."""
    until = time.monotonic() + within_s
    # one client for all: making one costs as much CPU as the start of a gateway, on the cores that shall start it
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=5) as client:
        while time.monotonic() < until and process.poll() is None:
            found = ask(client)
            if found is not None:
                return found
            time.sleep(0.02)
    raise SystemExit(f"flyball up did not answer within {within_s:g} s:\n{(root / 'up.log').read_text()[-2_000:]}")


def tree(pid: int) -> list[int]:
    """A process and all that descend from it."""
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except (FileNotFoundError, ProcessLookupError):
                continue
            parents.setdefault(int(fields[1]), []).append(int(entry.name))
    found = [pid]
    for one in found:
        found += parents.get(one, [])
    return found


def pss_mb(pid: int) -> float:
    """Proportional set size of one process, in MB (10⁶ bytes)."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024 / 1e6
    return 0.0


def what(pid: int) -> str:
    """A process by the module it runs."""
    arguments = Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")
    module = next((arguments[place + 1] for place, one in enumerate(arguments) if one == "-m"), arguments[0])
    return module.rpartition(".")[2]


def sizes_of(pid: int) -> Iterator[tuple[str, float]]:
    """A process and all that descend from it: which each is, and its size in MB PSS."""
    for one in tree(pid):
        with suppress(FileNotFoundError, ProcessLookupError):  # it has ended since it was listed
            yield what(one), pss_mb(one)


def run(_arguments: argparse.Namespace) -> Report:
    """Measure everything once the answers are known to be right."""
    imports = cpu_of([sys.executable, "-c", "import flyball"])
    helps = cpu_of([*flyball(), "--help"])
    seconds, memory = [], []
    shares: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory(prefix="flyball-startup-") as folder:
        root = Path(folder)
        write_project(root)
        port = free_port()
        began = time.monotonic()
        with up(root, port) as process:
            answers = first_answer(process, port, TRAINED_WITHIN_S, root)
        trained = time.monotonic() - began
        if [answers[0]["value"], answers[1]["value"]] != [1, 0]:
            raise SystemExit(f"the model does not know long loads from short ones: {answers}")
        for _ in range(STARTS):
            port = free_port()
            began = time.monotonic()
            with up(root, port) as process:
                again = first_answer(process, port, STARTED_WITHIN_S, root)
                seconds.append(time.monotonic() - began)
                if again != answers:
                    raise SystemExit(f"the second start answers otherwise: {again}, not {answers}")
                time.sleep(IDLE_S)
                found = list(sizes_of(process.pid))
            memory.append(sum(size for _, size in found))
            for name in dict(found):
                shares.setdefault(name, []).append(sum(size for other, size in found if other == name))
    report = Report()
    report.rows = [
        Row.of("import flyball", "CPU s", imports),
        Row.of("flyball --help", "CPU s", helps),
        Row.of("flyball up to the first prediction", "s", seconds),
        Row.of("a new project to its first prediction (trains)", "s", [trained]),
        Row.of("memory of a running project, idle", "MB PSS", memory),
        *(Row.of(f"  of it {name}", "MB PSS", sizes) for name, sizes in shares.items()),
    ]
    medians = {row.name: row.median for row in report.rows}
    report.bars = [
        Bar.at_most("import_cpu_s", medians["import flyball"], 0.3, "CPU s"),
        Bar.at_most("help_cpu_s", medians["flyball --help"], 0.3, "CPU s"),
        Bar.at_most("up_first_prediction_s", medians["flyball up to the first prediction"], 5, "s"),
        Bar.at_most("up_idle_mb", medians["memory of a running project, idle"], 350, "MB PSS"),
    ]
    return report


if __name__ == "__main__":
    main(run, __doc__)
