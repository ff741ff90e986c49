"""A stream whose rule changes at once, a model declared on it, and its history: for rehearsals."""

from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
from sklearn.linear_model import LogisticRegression

import flyball as fb
from flyball.data.commit import commit
from flyball.loop.backtest import History
from flyball.store.blobs import LocalBlobs
from flyball.training.rows import assemble

DAYS, PER_DAY = 150, 48


def stream(seed: int) -> pl.DataFrame:
    """Half-hourly rows of two inputs; which of two rules gives the label changes abruptly, at random, every 28 to 42 days."""
    rng = np.random.default_rng(seed)
    rows = DAYS * PER_DAY
    x = rng.normal(size=(rows, 2))
    rule, sign, until = np.zeros(rows), 1.0, 0
    while until < rows:
        length = int(rng.integers(28, 43)) * PER_DAY
        rule[until : until + length] = sign
        sign, until = -sign, until + length
    p = 1 / (1 + np.exp(-4 * rule * (x[:, 0] + 0.5 * x[:, 1])))
    start = datetime(2025, 1, 1)
    return pl.DataFrame(
        {
            "at": [start + timedelta(minutes=30 * place) for place in range(rows)],
            "a": x[:, 0],
            "b": x[:, 1],
            "hit": (rng.random(rows) < p).astype(int),
        }
    )


def fit(X: np.ndarray, y: np.ndarray) -> object:
    return LogisticRegression().fit(X, y)


def declared(frame: pl.DataFrame) -> fb.Model:
    data = fb.Dataset(
        "stream", source=frame, time="at", columns={"a": float, "b": float, "hit": fb.column(int, one_of=(0, 1), known_after="1h")}
    )
    return fb.Model(
        "abrupt",
        task="binary",
        data=data,
        label="hit",
        train=fb.Train(fit, window="auto", holdout="60h"),
        gates=[fb.metric("accuracy") >= fb.baseline, fb.metric("accuracy") >= fb.champion - 0.02],
        rollout=fb.Rollout(guards=[fb.metric("accuracy") >= fb.champion - 0.05], evidence="gate").shadow("6h"),
        retrain=fb.Retrain(when=[fb.metric("accuracy") < fb.at_release], every="90d", cooldown="60h"),
        autonomy="act",
    )


def history(model: fb.Model, frame: pl.DataFrame, folder: Path) -> History:
    times = [name for name in ("at", "arrived") if name in model.data.names]
    frame = frame.select(model.data.names).with_columns(pl.col(times).cast(pl.Datetime("us")))
    version = commit(model.data, frame, LocalBlobs(folder), None, "made")
    frames = {model.data.name: frame}
    return History(frames, assemble(model, frames, as_of=2**52), {model.data.name: version})
