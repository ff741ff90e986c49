"""What is asked: a project with a scikit-learn model, `flyball up` over copies of it, and the CPU time of their process trees.

The first version answers. In copies a second one is released that scores every request in shadow; in some it computes or sleeps
3 ms for each batch, which is about ten times what the first one takes.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import httpx
import numpy as np
from benchmarks.serving.loading import Calling, Load, Told, request
from benchmarks.startup import ONE_THREAD, flyball, free_port, tree, what

from flyball.serving.layout import Layout, read_json

MODEL = "scored"
COLUMNS = tuple(f"x{place}" for place in range(8))
DISTINCT = 64
"""Rows that are asked in turn."""

SETTLE_S = 1.2
"""The loop reads the log each second: what requests cost it comes after them."""

UP_WITHIN_S = 120.0
TICK = os.sysconf("SC_CLK_TCK")

LOOP = '''"""Eight numbers, two classes."""
import time

import flyball as fb
import polars as pl
from sklearn.linear_model import LogisticRegression

rows = fb.Dataset("rows", source="rows.csv", time="ts", columns={
    **{f"x{place}": fb.column(float) for place in range(8)}, "y": fb.column(int, one_of=(0, 1))})


def fit(X: pl.DataFrame, y: pl.Series) -> object:
    return LogisticRegression(C=1.0, max_iter=1_000).fit(X, y)


def computes(model, X: pl.DataFrame):
    until = time.perf_counter() + 0.003
    found = model.predict_proba(X)
    while time.perf_counter() < until:
        model.predict_proba(X)
    return found


def sleeps(model, X: pl.DataFrame):
    until = time.perf_counter() + 0.003
    found = model.predict_proba(X)
    time.sleep(max(until - time.perf_counter(), 0))
    return found


scored = fb.Model("scored", task="binary", data=rows, label="y", owner="benchmarks", train=fb.Train(fit, window="30d", holdout="7d"),
                  gates=[fb.metric("accuracy") >= 0.6], monitors=[fb.drift()], autonomy="record",
                  rollout=fb.Rollout(guards=[fb.metric("error_rate") <= fb.champion * 2], watch="1s")STEPS)
'''
STAYS = '.shadow("12h")'
SECOND = {"C=1.0": "C=0.5"}
"""What makes the second version another one."""

Found = TypeVar("Found")


def eventually(look: Callable[[], Found], why: str, within_s: float = UP_WITHIN_S) -> Found:
    """What `look` gives as soon as it gives anything. Ends the benchmark when it does not."""
    until = time.monotonic() + within_s
    while time.monotonic() < until:
        found = look()
        if found:
            return found
        time.sleep(0.05)
    raise SystemExit(f"{why} within {within_s:g} s")


def asked_rows() -> list[list[float]]:
    """The rows that every server is asked."""
    return [[round(float(value), 6) for value in row] for row in np.random.default_rng(11).normal(size=(DISTINCT, len(COLUMNS)))]


def command(root: Path, *arguments: str) -> str:
    """What a verb of flyball says. Ends the benchmark where it fails."""
    said = subprocess.run(
        [*flyball(), *arguments, "--project", str(root)], check=False, capture_output=True, text=True, env=os.environ | ONE_THREAD
    )
    if said.returncode:
        raise SystemExit(f"flyball {' '.join(arguments)} ended with {said.returncode}:\n{said.stdout[-1_000:]}{said.stderr[-2_000:]}")
    return said.stdout


def write_loop(root: Path, change: dict[str, str]) -> None:
    text = LOOP
    for old, new in {"STEPS": STAYS, **change}.items():
        assert old in text, old
        text = text.replace(old, new)
    (root / "loop.py").write_text(text)


def first(root: Path, *, rows: int = 4_000) -> None:
    """A project with 40 days of rows, whose first version is trained and released."""
    root.mkdir()
    random = np.random.default_rng(7)
    X = random.normal(size=(rows, len(COLUMNS)))
    y = random.random(rows) < 1 / (1 + np.exp(-(X @ np.linspace(-1.5, 1.5, len(COLUMNS)) + 0.3)))
    moments = np.datetime64("2026-01-01T00:00:00") + (np.arange(rows) * (40 * 86_400 // rows)).astype("timedelta64[s]")
    lines = [",".join([str(at), *(f"{value:.6f}" for value in row), str(int(c))]) for at, row, c in zip(moments, X, y, strict=True)]
    (root / "rows.csv").write_text("\n".join([",".join(["ts", *COLUMNS, "y"]), *lines]) + "\n")
    (root / "flyball.toml").touch()
    write_loop(root, {})
    command(root, "train", MODEL, "--release")
    # the gateway asks for this token and the control plane takes it too
    scopes = ("--scope", "predict", "--scope", "control")
    (root / "token.txt").write_text(json.loads(command(root, "token", "create", "caller", "--role", "admin", *scopes, "--json"))["secret"])
    # a second version is not released before everybody has the first
    with up("first", root):
        eventually(
            lambda: [one["state"] for one in json.loads(command(root, "rollouts", "list", "--json"))["rollouts"]] == ["completed"],
            "no first release",
        )


def second(root: Path, copy: Path, change: dict[str, str]) -> Path:
    """A copy of a project in which a second version, changed in this way, is released."""
    # a socket cannot be copied, and is made anew
    shutil.copytree(root, copy, ignore=shutil.ignore_patterns("s"))
    write_loop(copy, SECOND | change)
    command(copy, "train", MODEL, "--release")
    return copy


def own_address() -> str:
    """An address of this machine at which callers need a token; the loopback's, where nobody does, if it has no other."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe, suppress(OSError):
        probe.connect(("192.0.2.1", 9))  # nothing is sent
        return str(probe.getsockname()[0])
    return "127.0.0.1"


@dataclass
class Server:
    """Something that answers, and how it is asked."""

    name: str
    pid: int
    host: str
    port: int
    requests: list[bytes]
    scores: Callable[[bytes], list[float]]
    """From the body of an answer to the chance of class 1."""

    def load(self, seconds: float | None, rate: float | None = None) -> Load:
        """These requests, for so long."""
        return Load(host=self.host, port=self.port, requests=self.requests, seconds=seconds, rate=rate)

    def call(self, seconds: float, rate: float | None = None) -> Told:
        """Ask in a closed loop, or at this rate. Ends the benchmark when anything is not answered 200."""
        with Calling(self.load(seconds, rate)) as calling:
            told = calling.told()
        if told.failures:
            raise SystemExit(f"{self.name} failed {told.failures} of {told.answered + told.failures} requests: {told.failed}")
        return told

    def cpu_us(self, seconds: float) -> tuple[dict[str, float], Told]:
        """CPU µs a request by kind of process, in a closed loop, with what comes after the last answer."""
        before = cpu_s(self.pid)
        told = self.call(seconds)
        time.sleep(SETTLE_S)
        after = cpu_s(self.pid)
        return {kind: (after[kind] - before.get(kind, 0.0)) / told.answered * 1e6 for kind in after}, told

    def answers(self) -> list[float]:
        """Its scores of `asked_rows`."""
        found = []
        with socket.create_connection((self.host, self.port), timeout=30) as line:
            for one in self.requests:
                line.sendall(one)
                found += self.scores(_body(line))
        return found


def _body(line: socket.socket) -> bytes:
    heard = b""
    while True:
        part = line.recv(1 << 16)
        heard += part
        head, whole, body = heard.partition(b"\r\n\r\n")
        if not part or (whole and len(body) >= int(head.lower().partition(b"content-length:")[2].split()[0])):
            if b" 200 " not in head[:20]:
                raise SystemExit(f"not answered: {heard[:500]!r}")
            return body


def cpu_s(pid: int) -> dict[str, float]:
    """CPU seconds of a process and all that descend from it, by what each is; what ended counts with whom it was a child of."""
    found: Counter[str] = Counter()
    for one in tree(pid):
        with suppress(FileNotFoundError, ProcessLookupError):
            fields = Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()
            found[kind(one)] += sum(int(ticks) for ticks in fields[11:15]) / TICK
    return dict(found)


def kind(pid: int) -> str:
    """What a process is; a worker with its version."""
    arguments = Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")
    version = next((arguments[place + 1].partition("@")[2] for place, one in enumerate(arguments) if one == "--ref"), "")
    return f"{what(pid)} {version}".strip()


def _scores(body: bytes) -> list[float]:
    return [float(one["score"]) for one in json.loads(body)["predictions"]]


@contextmanager
def up(name: str, root: Path, *, gateways: int = 1) -> Iterator[Server]:
    """`flyball up` over a project whose champion answers, ended in order."""
    host, port = own_address(), free_port()
    argv = [*flyball(), "up", "--project", str(root), "--host", host, "--port", str(port), "--gateways", str(gateways), "--no-watch"]
    with (root / "up.log").open("ab") as log:
        process = subprocess.Popen(argv, stdout=log, stderr=log, env=os.environ | ONE_THREAD)
    try:
        headers = bearer(root)
        body = {"row": dict(zip(COLUMNS, asked_rows()[0], strict=True))}

        def answers() -> bool:
            if process.poll() is not None:
                raise SystemExit(f"flyball up ended:\n{(root / 'up.log').read_text()[-2_000:]}")
            with suppress(httpx.HTTPError):
                return httpx.post(f"http://{host}:{port}/models/{MODEL}/predict", json=body, headers=headers).status_code == 200
            return False

        eventually(answers, f"{name} did not answer")
        path = f"/models/{MODEL}/predict"
        requests = [
            request(path, {"row": dict(zip(COLUMNS, row, strict=True))}, f"{host}:{port}", list(headers.items())) for row in asked_rows()
        ]
        yield Server(name, process.pid, host, port, requests, _scores)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout=40)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def bearer(root: Path) -> dict[str, str]:
    """The header that lets the caller in."""
    return {"Authorization": f"Bearer {(root / 'token.txt').read_text()}"}


def route(root: Path) -> dict[str, Any]:
    """The model's route in force; empty while there is none."""
    found = read_json(Layout(root / ".flyball").routes)
    return found["table"]["models"].get(MODEL, {}) if isinstance(found, dict) else {}


def in_shadow(root: Path) -> None:
    """Wait until every request is scored in shadow."""
    eventually(lambda: route(root).get("shadows"), "the second version did not come into its shadow")
