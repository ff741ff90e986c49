"""A project with small real artifacts, and a real supervisor with real gateways and workers over it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import msgspec
import numpy as np
import polars as pl
import pytest

from flyball.ledger.note import Signer, version_text
from flyball.records.models import Field, Signature
from flyball.records.serving import Arm, ModelRoute, RouteTable
from flyball.serving import ids, wal
from flyball.serving.dispatch import Dispatcher
from flyball.serving.http import Gateway
from flyball.serving.layout import Layout
from flyball.serving.limits import Limits
from flyball.serving.link import Done, Pending
from flyball.serving.metrics import Metrics
from flyball.serving.proofs import Proof, Proofs
from flyball.serving.routes import FileRoutes, arms
from flyball.serving.table import RoutesFile, Table
from flyball.store.blobs import LocalBlobs

LOOP = """
import os
import time
import flyball as fb
import polars as pl
from sklearn.linear_model import LogisticRegression

loans = fb.Dataset(
    "loans", source="data/loans.csv", time="ts",
    columns={
        "amount": fb.column(float, between=(0, 1000)),
        "age": fb.column(int, between=(18, 99)),
        "good": fb.column(int, one_of=(0, 1), known_after="1d"),
    },
)

def fit(X: pl.DataFrame, y: pl.Series):
    return LogisticRegression().fit(X, y)

def predict(model, X: pl.DataFrame):
    if BROKEN and (X["amount"] > 500).any():
        raise RuntimeError("amounts over 500 are not known to me")
    if (X["amount"] == 999).any():
        os._exit(9)
    if (X["amount"] == 998).any():
        time.sleep(2.3)
    return model.predict_proba(X)

credit = fb.Model("credit", task="binary", data=loans, label="good", train=fb.Train(fit, predict=predict, window="30d", holdout="7d"), framing=fb.Framing("test"))
"""


class Loans:
    """A project whose artifacts differ in one constant of their loop file."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.layout = Layout(root / ".flyball")
        self.blobs = LocalBlobs(self.layout.blobs)
        self.signature: Signature
        self.signer = Signer("flyball/loans", b"l" * 32)

    def artifact(self, *, broken: bool = False, seed: int = 0, says: str = "", also: str = "", background: int = 0) -> str:
        """A packed version; when its code is imported it prints `says` and runs `also`. `background`: how many rows it keeps for explanations."""
        from flyball.declare import codec
        from flyball.declare.code import load_model
        from flyball.features.assemble import feature_columns
        from flyball.features.fields import signature
        from flyball.training.artifact import pack
        from flyball.training.predictor import Predictor

        folder = self.root / f"v{int(broken)}{seed}"
        folder.mkdir()
        text = LOOP.replace("BROKEN", str(broken)) + (f"print({says!r})\n" if says else "") + also
        (folder / "loop.py").write_text(text)
        model = load_model(folder, "loop.py", "credit")
        rng = np.random.default_rng(seed)
        X = pl.DataFrame({"amount": rng.uniform(0, 400, 200), "age": rng.integers(18, 99, 200)}).select(feature_columns(model))
        y = pl.Series((X["age"].to_numpy() + rng.normal(0, 10, 200) > 50).astype(int))
        self.signature = signature(model, (0, 1))
        predictor = Predictor(model, self.signature, model.train.fit(X, y))
        predictor.background = X[:background] if background else None
        code = self.blobs.put(json.dumps({"loop.py": text}).encode())
        declaration = self.blobs.put(codec.encode(model).encode())
        return pack(predictor, X, self.blobs, code=code, declaration=declaration, file="loop.py")

    def proof(self, ref: str, artifact: str) -> Proof:
        """A version's signature by the project's key."""
        return Proof(note=self.signer.sign(version_text(ref, artifact)).decode(), keys=(self.signer.vkey,))

    def proofs(self, table: RouteTable) -> Proofs:
        """Every version of a table, signed."""
        signed = {ref: self.proof(ref, artifact) for ref, artifact in arms(table).values()}
        return signed.__getitem__

    def route(self, *arms: Arm, epoch: int = 1, shadows: tuple[Arm, ...] = (), salt: str = "", **more: object) -> RouteTable:
        return RouteTable(
            epoch=epoch, models={"credit": ModelRoute(signature=self.signature, arms=arms, shadows=shadows, salt=salt, **more)}
        )


def champion(artifact: str, weight: int = 10_000, version: str = "1.0.0") -> Arm:
    return Arm(version=version, role="champion", artifact=artifact, weight=weight)


def challenger(artifact: str, weight: int, version: str = "1.1.0") -> Arm:
    return Arm(version=version, role="challenger", artifact=artifact, weight=weight)


def eventually(true: Callable[[], object], why: str, within_s: float = 30.0) -> object:
    """What `true` gives as soon as it gives anything."""
    until = time.monotonic() + within_s
    while time.monotonic() < until:
        found = true()
        if found:
            return found
        time.sleep(0.02)
    raise AssertionError(why)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Up:
    """A running supervisor."""

    def __init__(self, loans: Loans, gateways: int = 2) -> None:
        self.loans = loans
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        argv = [
            sys.executable,
            "-m",
            "flyball.serving.supervisor",
            "--root",
            str(loans.root),
            "--port",
            str(self.port),
            "--gateways",
            str(gateways),
            "--control",
            "",
        ]
        self.process = subprocess.Popen(
            argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}
        )
        self.routes = FileRoutes(loans.layout.root)
        assert self.process.stdout
        said = self.process.stdout.readline()
        assert said.startswith("flyball is up on"), self.process.communicate()[1]
        self.http = httpx.Client(base_url=self.url, timeout=20)

    def make(self, table: RouteTable, within_s: float = 60.0) -> float:
        """Bring a route table into force; how long that took in ms, from the decision."""
        decided = time.time_ns() // 1000

        def step() -> object:
            self.routes.desire(table, decided, self.loans.proofs(table))
            found = self.routes.status()
            return found if found.epoch and not found.waiting else None

        return eventually(step, f"the route did not come into force: {self.routes.status()}", within_s).ms

    def predict(self, row: Mapping[str, object], **more: object) -> httpx.Response:
        return self.http.post("/models/credit/predict", json={"row": row, **more})

    def gateways(self) -> dict[str, int]:
        return json.loads(self.loans.layout.gateways.read_bytes())["gateways"]

    def stop(self, number: int = signal.SIGTERM) -> tuple[int, str, str]:
        self.http.close()
        if self.process.poll() is None:
            self.process.send_signal(number)
        out, err = self.process.communicate(timeout=30)
        return self.process.returncode, out, err


@pytest.fixture
def loans(tmp_path: Path) -> Loans:
    return Loans(tmp_path)


@pytest.fixture
def start(loans: Loans) -> Iterator[Callable[..., Up]]:
    running: list[Up] = []

    def make(**more: int) -> Up:
        running.append(Up(loans, **more))
        return running[-1]

    yield make
    for one in running:
        one.stop()


SIGNATURES = {
    "price": Signature(
        task="regression",
        fields=(Field(name="n", type="int"), Field(name="x", type="float"), Field(name="note", type="str", nullable=True)),
    ),
    "wins": Signature(task="binary", fields=(Field(name="n", type="int"),), classes=(0, 1)),
    "late": Signature(task="binary", fields=(Field(name="km", type="float"), Field(name="tonnes", type="float")), classes=(False, True)),
    "shop": Signature(
        task="ranking",
        fields=(Field(name="budget", type="float"), Field(name="price", type="float", low=0), Field(name="sku", type="str")),
        item="sku",
        item_fields=("price", "sku"),
    ),
    "mood": Signature(task="multiclass", fields=(Field(name="at", type="time"),), classes=("no", "yes")),
}


class Answered(NamedTuple):
    """`rest` are the bytes that follow the JSON, where an answer has some."""

    status: int
    headers: dict[str, str]
    document: Any
    rest: bytes = b""


class Answering:
    """A worker's connection on which every row is soon answered with one value and score."""

    def __init__(self, dispatcher: Dispatcher, *output: object) -> None:
        self._settle, self._output, self.open, self.asked = dispatcher._settle, output, 0, list[Pending]()

    def ask(self, pending: Pending) -> bool:
        self.asked.append(pending)
        output = msgspec.msgpack.encode([self._output] * pending.rows)
        asyncio.get_running_loop().call_soon(self._settle, [Done(pending, None, output)])
        return True


class Border:
    """The gateway's application over a real log; no worker is there."""

    def __init__(self, root: Path, limits: Limits | None = None) -> None:
        layout = Layout(root)
        layout.prepare()
        self.writer = wal.Writer(layout.log, "g0", reserve_bytes=0)
        metrics, limits = Metrics(layout, "g0"), limits or Limits()
        key = ids.Ids(ids.load_key(layout.id_key), 0)
        self.dispatcher = Dispatcher(layout, writer=self.writer, ids=key, metrics=metrics, limits=limits)
        arm = Arm(version="1.0.0", role="champion", artifact="a" * 64, weight=10_000)
        models = {name: ModelRoute(signature=one, arms=(arm,)) for name, one in SIGNATURES.items()}
        self.dispatcher.table = Table(RoutesFile(stamp=1, table=RouteTable(epoch=1, models=models)))
        self.said: list[str] = []
        self.app = Gateway(self.dispatcher, metrics, limits, self._fresh, self.said.append)

    async def _fresh(self) -> None:
        """The table is as it is."""

    def post(self, path: str, body: bytes, **headers: str) -> Answered:
        return asyncio.run(self.ask(path, body, headers=headers))

    def get(self, path: str) -> Answered:
        return asyncio.run(self.ask(path, b"", method="GET"))

    async def ask(self, path: str, body: bytes, *, method: str = "POST", headers: Mapping[str, str] = {}) -> Answered:
        sent: list[Any] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": body}

        async def send(message: Any) -> None:
            sent.append(message)

        given = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
        plain, _, query = path.partition("?")
        await self.app({"type": "http", "method": method, "path": plain, "query_string": query.encode(), "headers": given}, receive, send)
        told = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
        body = sent[1]["body"]
        ends = int(told.get("inference-header-content-length", len(body)))
        return Answered(sent[0]["status"], told, json.loads(body[:ends]), body[ends:])

    def answers(self, *output: object) -> Answering:
        """From now on a worker of every model is there, which answers so."""
        link = Answering(self.dispatcher, *output)
        self.dispatcher._links = dict.fromkeys(self.dispatcher.table.workers(), link)  # type: ignore[arg-type]
        return link

    def labels(self, *labels: dict[str, Any], model: str = "price") -> Answered:
        return self.post(f"/models/{model}/labels", json.dumps({"labels": labels}).encode())

    def logged(self) -> list[tuple[str, Any]]:
        records, _ = wal.read(self.writer.path)
        return [(one.request_id, one.output[0][0]) for one in records if one.kind == "label" and one.output]


@pytest.fixture
def border(tmp_path: Path) -> Iterator[Border]:
    made = Border(tmp_path)
    yield made
    made.writer.close()
