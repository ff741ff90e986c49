"""A small sound model that tests change in one place."""

import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import polars as pl
import pytest

import flyball as fb
from flyball.declare.model import Model


def fit(X: pl.DataFrame, y: pl.Series, *, depth: int = 3, rate: float = 0.1) -> object:
    return (X, y, depth, rate)


def market(**changes: Any) -> Any:
    given = {
        "source": "market.csv",
        "time": "ts",
        "columns": {
            "day": fb.column(int, between=(1, 7), known_after="-1d"),
            "price": fb.column(float, between=(0, 1)),
            "open": bool,
            "city": fb.column(str, known_after="-1d"),
            "sex": fb.column(str, protected=True, known_after="-1d"),
            "email": fb.column(str, personal=True, known_after="-1d"),
            "up": fb.column(int, one_of=(0, 1)),
        },
    }
    return fb.Dataset("market", **(given | changes))


def lags(data: Any = None, **features: Any) -> Any:
    chosen = features or {"last_price": fb.window("30m").last("price"), "mean_day": fb.window("1d").mean("price")}
    return fb.FeatureView("lags", data or market(), entity=None, ttl="7d", features=chosen)


def sound(name: str = "price", **changes: Any) -> Model:
    data = changes.get("data", market())
    given: dict[str, Any] = {
        "task": "binary",
        "data": data,
        "label": "up",
        "owner": "markets",
        "features": [lags(data)],
        "framing": fb.Framing("buy low", horizon="4h", act_within="1h"),
        "transforms": {"gap": pl.col("last_price") - pl.col("mean_day")},
        "train": fb.Train(fit, search={"depth": fb.integers(2, 8)}, window="28d", holdout="7d"),
        "slices": ["day"],
        "gates": [fb.metric("accuracy") >= fb.baseline, fb.metric("accuracy").by("day") >= fb.champion - 0.02],
        "rollout": fb.Rollout(guards=[fb.metric("accuracy") >= fb.champion - 0.05]).shadow("12h").canary("25%", "6h"),
        "monitors": [fb.drift(), fb.metric("accuracy").over("7d") >= 0.62],
        "retrain": fb.Retrain(when=[fb.metric("accuracy") < fb.at_release], every="30d", cooldown="10d"),
        "autonomy": "act",
    }
    return fb.Model(name, **(given | changes))


@pytest.fixture
def make() -> Callable[..., Model]:
    return sound


@pytest.fixture
def make_market() -> Callable[..., Any]:
    return market


@pytest.fixture
def make_lags() -> Callable[..., Any]:
    return lags


@pytest.fixture
def module(tmp_path: Path) -> Iterator[Callable[[str], ModuleType]]:
    """Write text as a module of a fresh folder and import it; every call is a folder of its own."""
    before, path, count = set(sys.modules), list(sys.path), iter(range(100))

    def load(text: str, name: str = "loop", **others: str) -> ModuleType:
        folder = tmp_path / str(next(count))
        for other, content in ({name: text} | others).items():
            file = folder.joinpath(*other.split("__")).with_suffix(".py")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(content)
        # a loop file that a test before this one imported has the same name
        own = {other.partition("__")[0] for other in (name, *others)}
        for known in [known for known in sys.modules if known not in before or known.partition(".")[0] in own]:
            del sys.modules[known]
        sys.path[:] = [str(folder), *path]
        importlib.invalidate_caches()
        return importlib.import_module(name.replace("__", "."))

    yield load
    for known in set(sys.modules) - before:
        if str(tmp_path) in str(getattr(sys.modules[known], "__file__", "")):
            del sys.modules[known]
    sys.path[:] = path
