"""Servers that others have made, each in an environment of its own, with the very model that flyball serves.

Environments are kept in the user's cache folder: making all of them takes minutes.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.serving.loading import request
from benchmarks.serving.world import Server, asked_rows
from benchmarks.startup import ONE_THREAD, free_port, tree

HOST = "127.0.0.1"
ANSWERS_WITHIN_S = 120.0


def _row(row: list[float]) -> object:
    return {"row": row}


def _tensor(row: list[float]) -> object:
    inputs = [{"name": "rows", "shape": [1, len(row)], "datatype": "FP64", "data": row}]
    return {"inputs": inputs, "outputs": [{"name": "predict_proba"}]}


def _inputs(row: list[float]) -> object:
    return {"inputs": [row]}


@dataclass(frozen=True)
class Peer:
    """How one of them is installed, started and asked. `argv` from its Python, a folder and a port."""

    name: str
    bar: str
    bound: float
    environment: str
    packages: tuple[str, ...]
    path: str
    body: Callable[[list[float]], object]
    scores: Callable[[bytes], list[float]]
    argv: Callable[[Path, Path, int], Sequence[str]]


def _litserve(python: Path, folder: Path, port: int) -> Sequence[str]:
    return [str(python), str(Path(__file__).with_name("litserve_peer.py")), str(folder), HOST, str(port)]


def _mlserver(python: Path, folder: Path, port: int) -> Sequence[str]:
    settings = {"host": HOST, "http_port": port, "grpc_port": free_port(), "metrics_port": free_port(), "debug": False}
    (folder / "settings.json").write_text(json.dumps(settings))
    implementation = "mlserver_sklearn.SKLearnModel"
    model = {"name": "scored", "implementation": implementation, "parameters": {"uri": "./model.joblib"}}
    (folder / "model-settings.json").write_text(json.dumps(model))
    return [str(python.with_name("mlserver")), "start", str(folder)]


def _mlflow(python: Path, folder: Path, port: int) -> Sequence[str]:
    serve = [str(python.with_name("mlflow")), "models", "serve", "-m", str(folder / "mlflow"), "--env-manager", "local"]
    return [*serve, "-h", HOST, "-p", str(port)]


def _score(body: bytes) -> list[float]:
    return [json.loads(body)["score"]]


PEERS = (
    Peer(
        "MLServer",
        "mlserver_ratio",
        12,
        "mlserver",
        # its workers ask for an event loop that later versions of uvloop do not make unasked
        ("mlserver", "mlserver-sklearn", "uvloop<0.22"),
        "/v2/models/scored/infer",
        _tensor,
        lambda body: [json.loads(body)["outputs"][0]["data"][1]],
        _mlserver,
    ),
    Peer("LitServe", "litserve_ratio", 10, "litserve", ("litserve", "scikit-learn"), "/predict", _row, _score, _litserve),
    Peer(
        "mlflow models serve",
        "mlflow_serve_ratio",
        10,
        "mlflow",
        ("mlflow", "scikit-learn"),
        "/invocations",
        _inputs,
        lambda body: [json.loads(body)["predictions"][0][1]],
        _mlflow,
    ),
)


def environment(peer: Peer) -> Path:
    """The Python of an environment with the peer. Raises CalledProcessError where it cannot be installed."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "flyball-benchmarks" / peer.environment
    python = cache / "bin" / "python"
    if not (cache / "whole").exists():
        shutil.rmtree(cache, ignore_errors=True)
        venv.create(cache, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *peer.packages], check=True)
        (cache / "whole").touch()
    return python


def version(python: Path, package: str) -> str:
    """Which version of a package an environment has."""
    code = f"import importlib.metadata as m; print(m.version({package!r}))"
    return subprocess.run([python, "-c", code], check=True, capture_output=True, text=True).stdout.strip()


@contextmanager
def serving(peer: Peer, python: Path, coef: Sequence[float], intercept: float) -> Iterator[Server]:
    """The peer, once it answers; its whole tree of processes is ended after. Ends the benchmark when it does not start."""
    with tempfile.TemporaryDirectory(prefix="flyball-peer-") as temporary:
        folder, port = Path(temporary), free_port()
        (folder / "model.json").write_text(json.dumps({"coef": list(coef), "intercept": intercept}))
        script = Path(__file__).with_name("peer_model.py")
        subprocess.run([python, script, folder, *(["mlflow"] if peer.environment == "mlflow" else [])], check=True, capture_output=True)
        path = os.pathsep.join([str(python.parent), os.environ["PATH"]])
        with (folder / "out.log").open("wb") as log:
            argv = peer.argv(python, folder, port)
            own = os.environ | ONE_THREAD | {"PATH": path, "PYTHONPATH": ""}
            process = subprocess.Popen(argv, stdout=log, stderr=log, cwd=folder, env=own)
        try:
            requests = [request(peer.path, peer.body(row), f"{HOST}:{port}") for row in asked_rows()]
            server = Server(peer.name, process.pid, HOST, port, requests, peer.scores)
            _answers(server, process, folder / "out.log")
            yield server
        finally:
            end(process)


def _answers(server: Server, process: subprocess.Popen[bytes], log: Path) -> None:
    until, why = time.monotonic() + ANSWERS_WITHIN_S, ""
    while time.monotonic() < until and process.poll() is None:
        try:
            server.answers()
        except (OSError, SystemExit) as problem:
            why = str(problem)
            time.sleep(0.2)
        else:
            return
    raise SystemExit(f"{server.name} does not answer: {why}\n{log.read_text(errors='replace')[-3_000:]}")


def end(process: subprocess.Popen[bytes]) -> None:
    """End what was started and all that it started."""
    family = tree(process.pid)
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(timeout=15)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for one in family[1:]:
        try:
            os.kill(one, signal.SIGKILL)
        except ProcessLookupError:
            continue


def installed() -> list[tuple[Peer, Path]]:
    """The peers with the Python of each; one that cannot be installed is named on stderr, and its bar is absent."""
    found = []
    for peer in PEERS:
        try:
            found.append((peer, environment(peer)))
        except subprocess.CalledProcessError as problem:
            print(f"{peer.name} cannot be installed, so {peer.bar} is absent: {problem}", file=sys.stderr)
    return found
