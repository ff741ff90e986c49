"""A small trained project that answers, whose labels come two days later, and the real prediction log of what it answered."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from flyball.governance.authority import LOOP as ITSELF
from flyball.loop.proposals import Withdraw
from flyball.records.base import Event
from flyball.records.serving import Arm, ModelRoute, RouteDesired
from flyball.records.versions import MODELS, VERSIONS, ChampionChanged, VersionDeployed
from flyball.serving import wal
from flyball.training.artifact import load
from flyball.wiring import Wired

from .person_kit import OnDisk

DAY = 86_400_000_000
END = int(time.time()) // 3600 * 3600 - 3 * 86_400
"""When the last rows happened, in s."""

LOOP = """
import flyball as fb
import polars as pl
from sklearn.linear_model import LogisticRegression, LinearRegression

loans = fb.Dataset(
    "loans", source="data/loans.csv", time="ts", min_rows=50, SUBJECT
    columns={"x": float, "z": float, "kind": str, "TARGET": fb.column(TYPE, known_after="2d")},
)

def fit(X: pl.DataFrame, y: pl.Series):
    return ESTIMATOR().fit(X.select("x", "z").fill_null(0.0), y)

def predict(model, X: pl.DataFrame):
    return model.PREDICT(X.select("x", "z").fill_null(0.0))

loan = fb.Model(
    "loan", task="TASK", data=loans, label="TARGET", inputs=["x", "z", "kind"], owner="risk", framing=fb.Framing("test"),
    train=fb.Train(fit, predict=predict, window="60d", holdout="30d"), gates=[], rollout=fb.Rollout(watch="1s"), autonomy="record",
)
"""


def drawn(rng: np.random.Generator, n: int, *, shift: float = 0.0, joint: float = 0.0, easier: float = 0.0) -> pl.DataFrame:
    """Rows with both targets. shift: of x and z alike; joint: correlation of x and z, which neither column shows; easier: concept drift."""
    x = rng.normal(0, 1, n)
    z = joint * x + np.sqrt(1 - joint**2) * rng.normal(0, 1, n)
    x, z = x + shift, z + shift
    chance = 1 / (1 + np.exp(-(1.5 * x + z - 0.5 + easier)))
    return pl.DataFrame(
        {
            "x": x.round(6),
            "z": z.round(6),
            "kind": rng.choice(["new", "old"], n),
            "good": (rng.random(n) < chance).astype(np.int64),
            "loss": (2 * x + np.exp(0.6 * z) * rng.normal(0, 1, n)).round(6),
        }
    )


class Loans(OnDisk):
    """The project on disk."""

    source = "loans.csv"

    @classmethod
    def make(cls, root: Path, *, task: str = "binary", subject: str = "") -> Loans:
        """A version of the model that answers, made from 4,000 rows of sixty days."""
        (root / "data").mkdir(parents=True)
        (root / "flyball.toml").touch()
        binary = task == "binary"
        text = LOOP.replace("TARGET", "good" if binary else "loss").replace("TYPE", "int" if binary else "float").replace("TASK", task)
        text = text.replace("ESTIMATOR", "LogisticRegression" if binary else "LinearRegression").replace("SUBJECT", subject)
        (root / "loop.py").write_text(text.replace("PREDICT", "predict_proba" if binary else "predict"))
        loans = cls(root)
        rows = drawn(np.random.default_rng(0), 4_000)
        moments = [END - 60 * 86_400 * (1 - (row + 1) / rows.height) for row in range(rows.height)]
        stamps = [time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(moment)) for moment in moments]
        loans.write(rows.with_columns(pl.Series("ts", stamps), who=pl.Series(["ana", "bea"] * (rows.height // 2))))
        assert loans.call("train", "loan", "--trials", 0).code == 0
        name = {"model": "loan", "version": "1.0.0"}
        with loans.opened() as wired:
            row = wired.ledger.state().get(VERSIONS, "loan/1.0.0")
            assert row is not None
            arm = Arm(version="1.0.0", role="champion", artifact=row.artifact, weight=10_000)
            route = ModelRoute(signature=wired.ports.library.signature(row.artifact), arms=(arm,))
            first = ChampionChanged(**name, former="", rollback=False, reason="first")
            loans.tell(wired, VersionDeployed(**name), first, RouteDesired(epoch=1, model="loan", route=route))
        assert loans.call("tick").code == 0
        return loans

    def tell(self, wired: Wired, *events: Event) -> None:
        """Record events as the loop would."""
        command = Withdraw(id=wired.ports.clock.new_id("cmd"), actor="loop", model="loan")
        wired.acting(ITSELF).ledger.execute(command, lambda *_: events)

    def ask(self, wired: Wired, rows: pl.DataFrame, *, names: tuple[str, ...] = ("x", "z", "kind")) -> None:
        """Log these rows as the champion answers them now."""
        state = wired.ledger.state()
        roles = state.get(MODELS, "loan")
        assert roles is not None
        row = state.get(VERSIONS, f"loan/{roles.champion}")
        assert row is not None
        predictor = load(row.artifact, wired.blobs, wired.layout.run / "code")
        made = predictor.predict(rows.select("x", "z", "kind"))
        scores = [None] * rows.height if made.score is None else made.score.tolist()
        output = [[value, score] for value, score in zip(np.asarray(made.value).tolist(), scores, strict=True)]
        writer = wal.Writer(wired.layout.log, "g0", reserve_bytes=0)
        now, ref = time.monotonic_ns(), f"loan@{roles.champion}"
        given: dict[str, Any] = {"picked_ns": now, "answered_ns": now, "version": ref, "role": "champion"}
        frames = [writer.declare(ref, list(names))]
        for start in range(0, rows.height, 100):
            part = rows.select(names)[start : start + 100]
            packed = wal._encode([list(each) for each in part.iter_rows()])
            told = wal._encode(output[start : start + 100])
            name = f"p_{time.time_ns() + start:032x}"
            frames.append(wal.frame("answer", name, rows=part.height, packed_input=packed, packed_output=told, **given))
        assert writer.append(frames)
        writer.close()
