"""Small loops with real functions, and a project folder whose loop file holds one of them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from flyball.clock import Span
from flyball.records.training import RunSpec
from flyball.store.blobs import LocalBlobs

HOUR = int(Span.parse("1h"))
START = 1_700_000_000_000_000 // HOUR * HOUR

PRICE = """
import flyball as fb
import polars as pl
from sklearn.linear_model import LogisticRegression

market = fb.Dataset(
    "market", source="data/market.csv", time="ts",
    columns={"hour": fb.column(int, between=(0, 23), known_after="-1d"), "price": float, "up": fb.column(int, one_of=(0, 1))},
)
lags = fb.FeatureView("lags", market, entity=None, ttl="7d", features={
    "price_last": fb.window("2h").last("price"), "price_day": fb.window("1d").mean("price"), "up_last": fb.window("2h").last("up")})

def fit(X: pl.DataFrame, y: pl.Series, *, C: float = 1.0):
    return LogisticRegression(C=C).fit(X.fill_null(0.0), y)

def predict(model, X: pl.DataFrame):
    return model.predict_proba(X.fill_null(0.0))

price = fb.Model(
    "price", task="binary", data=market, label="up", features=[lags],
    framing=fb.Framing("test", horizon="4h"),
    transforms={"gap": pl.col("price_last") - pl.col("price_day")},
    train=fb.Train(fit, search={"C": fb.floats(0.01, 10.0, log=True)}, predict=predict, window="auto", holdout="7d"),
    slices=["hour"],
    gates=[fb.metric("accuracy") >= fb.baseline, fb.metric("accuracy") >= fb.champion - 0.05],
)
"""

RIDES = """
import flyball as fb
import numpy as np
import polars as pl
from sklearn.ensemble import HistGradientBoostingRegressor

rides = fb.Dataset(
    "rides", source="data/rides.csv", time="ts",
    columns={"hr": fb.column(int, known_after="-365d"), "temp": fb.column(float, known_after="-6h"), "rentals": fb.column(int, known_after="1h")},
)
recent = fb.FeatureView("recent", rides, entity=None, ttl="3d", features={
    "mean_24h": fb.window("24h").mean("rentals"), "yesterday": fb.window("1h", ago="24h").last("rentals")})

def fit(X: pl.DataFrame, y: np.ndarray, *, max_depth: int = 4):
    return HistGradientBoostingRegressor(loss="poisson", max_depth=max_depth, max_iter=40).fit(X, y)

bikes = fb.Model(
    "bikes", task="forecast", data=rides, label="rentals", features=[recent], framing=fb.Framing("test", horizon="1h"),
    transforms={"hour_sin": (pl.col("hr") * (2 * np.pi / 24)).sin()},
    train=fb.Train(fit, search={"max_depth": fb.integers(2, 6)}, window="60d", holdout="7d"),
    gates=[fb.metric("mae") <= fb.champion * 1.05, fb.metric("mae") <= fb.baseline * 0.9],
)
"""


def market_frame(days: int = 50, seed: int = 0) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    n = days * 24
    hour = np.arange(n) % 24
    price = 0.5 + 0.3 * np.sin(hour / 24 * 2 * np.pi) + rng.normal(0, 0.05, n)
    up = (price + rng.normal(0, 0.1, n) > 0.5).astype(int)
    return pl.DataFrame({"hour": hour, "price": price, "up": up, "ts": times(n)})


def rides_frame(days: int = 80, seed: int = 0) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    n = days * 24
    hr, temp = np.arange(n) % 24, rng.random(n)
    rentals = rng.poisson(np.exp(2.5 + np.sin(hr / 24 * 2 * np.pi) + temp))
    return pl.DataFrame({"hr": hr, "temp": temp, "rentals": rentals, "ts": times(n)})


def times(n: int) -> pl.Series:
    return pl.Series("ts", START + HOUR * np.arange(n)).cast(pl.Datetime("us"))


def end_of(frame: pl.DataFrame) -> int:
    return int(frame["ts"].cast(pl.Int64).max() or 0) + 2 * HOUR


class Project:
    """A folder with one loop file, its frames, and its blobs."""

    def __init__(self, root: Path, text: str, model: str, frames: dict[str, pl.DataFrame]) -> None:
        from flyball.declare import codec
        from flyball.declare.code import load_model

        self.root, self.frames, self.name = root, frames, model
        (root / "loops").mkdir(parents=True)
        (root / "loops" / f"{model}_loop.py").write_text(text)
        self.file = f"loops/{model}_loop.py"
        self.model = load_model(root, self.file, model)
        self.blobs = LocalBlobs(root / ".flyball" / "blobs")
        self.code = self.blobs.put(json.dumps({self.file: text}).encode())
        encoded = codec.encode(self.model)
        self.declaration = self.blobs.put(encoded.encode())
        self.digests = codec.digests(encoded)

    def spec(self, **fields) -> RunSpec:
        frame = next(iter(self.frames.values()))
        known = {
            "model": self.name,
            "declaration": self.declaration,
            "code": self.code,
            "file": self.file,
            "version_digest": self.digests.version,
            "policy_digest": self.digests.policy,
            "datasets": {},
            "as_of": end_of(frame) if "ts" in frame.columns else 0,
        }
        return RunSpec(**(known | fields))


@pytest.fixture
def price(tmp_path: Path) -> Project:
    return Project(tmp_path / "price", PRICE, "price", {"market": market_frame()})


@pytest.fixture
def bikes(tmp_path: Path) -> Project:
    return Project(tmp_path / "bikes", RIDES, "bikes", {"rides": rides_frame()})


@pytest.fixture
def project(tmp_path: Path):
    """Make a project of a loop file's text on the market data."""
    made: list[Project] = []

    def make(text: str, model: str) -> Project:
        made.append(Project(tmp_path / f"project{len(made)}", text, model, {"market": market_frame()}))
        return made[-1]

    return make


REDECLARED = PRICE.replace(
    '"up": fb.column(int, one_of=(0, 1))', '"up": fb.column(int, one_of=(0, 1)), "settled": fb.column(int, nulls="100%")'
)


@pytest.fixture
def relabelled(project) -> tuple[Project, Project]:
    """Two declarations of one model: its label was `up` and is `settled` now, which is not known of the first 500 rows."""
    before, after = project(REDECLARED, "price"), project(REDECLARED.replace('label="up"', 'label="settled"'), "price")
    after.code, after.declaration = (before.blobs.put(after.blobs.get(each)) for each in (after.code, after.declaration))
    after.blobs = before.blobs
    frame = before.frames["market"]
    known = pl.when(pl.int_range(pl.len()) >= 500).then(pl.col("up")).alias("settled")
    after.frames = before.frames = {"market": frame.with_columns(known).select("hour", "price", "up", "settled", "ts")}
    return before, after
