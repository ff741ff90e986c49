"""A small trained project whose rows are of persons, with a prediction log that names them."""

from __future__ import annotations

import contextlib
import io
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
import polars as pl

from flyball.cli.main import run
from flyball.clock import rfc3339
from flyball.data.commit import load_content
from flyball.governance.authority import LOOP as ITSELF
from flyball.ledger.verify import VerifyReport, verify
from flyball.loop.sealing import Sealing
from flyball.loop.tick import commit
from flyball.records.data import DATASET_VERSIONS, DataCommitted
from flyball.serving import wal
from flyball.serving.sealer import unseal
from flyball.wiring import Wired, open_project

WHO = "Quillfeather-7"
OTHER = "Marchbanks-3"
FIELDS = ["amount", "customer"]
END = int(time.time()) // 3600 * 3600 - 3600
"""When the last rows happened: the same for a whole run of the tests, also over the full hour."""

LOOP = """
import flyball as fb
import polars as pl
from sklearn.linear_model import LogisticRegression

payments = fb.Dataset(
    "payments", source="data/*.csv", time="ts", min_rows=50, id="payment", subject="customer",
    columns={"amount": fb.column(float, between=(0, 1000)), "good": fb.column(int, one_of=(0, 1), known_after="1s")},
)
habits = fb.FeatureView("habits", payments, entity="customer", features={
    "spent": fb.window("30d").sum("amount"), "times": fb.window("30d").count()})

def fit(X: pl.DataFrame, y: pl.Series):
    return LogisticRegression(C=1.0).fit(X.fill_null(0), y)

pay = fb.Model(
    "pay", task="binary", data=payments, label="good", features=[habits], owner="risk", framing=fb.Framing("test"),
    train=fb.Train(fit, window="30d", holdout="7d"), gates=[fb.metric("accuracy") >= 0.1], group="customer",
    rollout=fb.Rollout(guards=[fb.metric("error_rate") <= fb.champion * 2], watch="1s").canary("50%", "1s"),
    autonomy="record",
)
"""


class Ended(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        return json.loads(self.out)


class OnDisk:
    """A project on disk, with one data set in one file."""

    source = ""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.state = root / ".flyball"

    def write(self, frame: pl.DataFrame) -> None:
        frame.write_csv(self.root / "data" / self.source)

    def call(self, *arguments: object) -> Ended:
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = run([*(str(argument) for argument in arguments), "--project", str(self.root), "--json"])
        return Ended(code, out.getvalue(), err.getvalue())

    def shown(self, *arguments: object) -> str:
        """What a person is shown."""
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            assert run([*(str(argument) for argument in arguments), "--project", str(self.root)]) == 0
        return out.getvalue()

    @contextlib.contextmanager
    def opened(self, **more: Any) -> Iterator[Wired]:
        wired = open_project(self.root, **more)
        try:
            yield wired
        finally:
            wired.close()


class People(OnDisk):
    """The project on disk."""

    source = "payments.csv"

    @classmethod
    def make(cls, root: Path) -> People:
        """Two versions of the data, a version of the model made from the first, and two segments of the log."""
        (root / "data").mkdir(parents=True)
        (root / "flyball.toml").touch()
        (root / "loop.py").write_text(LOOP)
        people = cls(root)
        people.write(rows(600))
        assert people.call("train", "pay", "--trials", 0).code == 0
        people.write(rows(650))
        assert people.call("tick").code == 0
        return people

    def verified(self) -> VerifyReport:
        with self.opened() as wired:
            report = verify(wired.ledger, wired.blobs)
        assert report.verified, report.problems
        return report

    def log(self, requests: list[list[tuple[float, str]]], *, labels: list[str] | None = None, gateway: str = "g0") -> None:
        """One segment with these requests (rows of amount and customer), each shadowed, and labels of these row ids.

        The requests of segment 0 are named s0-r0, s0-r1, ….
        """
        pack = msgspec.msgpack.encode
        writer = wal.Writer(self.state / "log", gateway, reserve_bytes=0)
        segment = int(writer.path.stem)
        frames = [writer.declare("pay@1.0.0", FIELDS)]
        for number, request in enumerate(requests):
            given = {
                "picked_ns": time.monotonic_ns(),
                "version": "pay@1.0.0",
                "rows": len(request),
                "packed_input": pack([list(row) for row in request]),
                "packed_output": pack([[1, 0.5 + amount / 1e4] for amount, _ in request]),
                "marks": {"t": [int(amount) for amount, _ in request]},
            }
            frames += [wal.frame(kind, f"s{segment}-r{number}", **given) for kind in ("answer", "shadow")]
        now = time.time_ns() // 1000
        frames += [wal.label_frame("pay", own, 1, now, now_ns=time.monotonic_ns()) for own in labels or []]
        writer.append(frames)
        writer.close()

    def seal(self) -> None:
        """Seal every segment but each gateway's newest, as the control plane does."""
        with self.opened(claim=True) as wired:
            sealing = Sealing(wired.layout.log, wired.blobs, wired.subjects().forgetting)
            for _ in range(20):
                sealing.look()
                sealing.step(wired.ports)
                if sealing._thread is not None:
                    sealing._thread.join()
            sealing.step(wired.ports)

    def records(self) -> list[wal.LogRecord]:
        """What the sealed log holds now."""
        with self.opened() as wired:
            return [record for row in wired.subjects().segments() for record in unseal(wired.blobs.get(row.parquet_sha256))]

    def frames(self) -> dict[str, pl.DataFrame]:
        """Version → its rows as they lie now."""
        with self.opened() as wired:
            state, find = wired.ledger.state(), wired.subjects().present
            return {row.version: load_content(find(row.name, row.content), wired.blobs) for _, row in state.scan(DATASET_VERSIONS)}

    def root_of(self, events: int) -> bytes:
        """The root of the first so many events, from their bodies."""
        from flyball.ledger import merkle

        frontier: list[bytes] = []
        with self.opened() as wired, wired.database.reading() as connection:
            found = connection.execute(wired.database.sql.events, (0, events)).fetchall()
        for seq, body in found:
            merkle.append(seq - 1, frontier, merkle.leaf_hash(bytes(body)))
        return merkle.root(tuple(frontier))

    def size(self) -> int:
        with self.opened() as wired:
            return wired.ledger.size()

    def traces(self, text: str = WHO, folder: Path | None = None) -> list[str]:
        """Where a text can be read under `.flyball` (or elsewhere): as bytes, in any column of Parquet, and in what is packed in one."""
        root, wanted = folder or self.state, text.encode()
        return [str(path.relative_to(root)) for path in sorted(root.rglob("*")) if path.is_file() and _holds(path, wanted)]


def _holds(path: Path, wanted: bytes) -> bool:
    data = path.read_bytes()
    if wanted in data:
        return True
    if not data.startswith(b"PAR1"):
        return False
    frame = pl.read_parquet(io.BytesIO(data))
    texts = [frame[name].cast(pl.Binary) for name, kind in frame.schema.items() if kind in (pl.String, pl.Binary)]
    return any(cell is not None and wanted in cell for column in texts for cell in column.to_list())


def rows(count: int) -> pl.DataFrame:
    """Payments of forty persons, thirty days long, the last of them an hour ago; every thirtieth or so is of WHO."""
    rng = np.random.default_rng(0)
    amount = rng.uniform(0, 400, 650).round(2)
    who = [(WHO, OTHER, *(f"person-{n}" for n in range(38)))[n % 40] for n in range(650)]
    good = (amount + rng.normal(0, 40, 650) > 200).astype(int)
    moments = [rfc3339((END - 30 * 86_400 + n * 3_900) * 1_000_000) for n in range(650)]
    frame = pl.DataFrame({"ts": moments, "payment": [f"p{n}" for n in range(650)], "customer": who, "amount": amount, "good": good})
    return frame.head(count)


def erase(people: People, *more: object, who: str = WHO) -> Ended:
    return people.call("data", "erase", "--subject", who, "--reason", "request 4711", *more)


def events(people: People, kind: type[Any]) -> list[Any]:
    with people.opened() as wired:
        return [one.event for one in wired.ledger.read(0, 10_000) if isinstance(one.event, kind)]


def share(people: People, name: str, subject: str = "customer", version: str = "1.0.1") -> str:
    """Give another data set the bytes that a version of the payments (the head) was born with; their hash."""
    with people.opened() as wired:
        ports = wired.acting(ITSELF)
        [born] = [row for key, row in ports.ledger.state().scan(DATASET_VERSIONS, "payments/") if row.version == version]
        commit(ports, DataCommitted(version=msgspec.structs.replace(born, name=name, subject=subject, source_mark="m")))
    return born.content
