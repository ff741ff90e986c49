"""The declared retraining policy on the electricity file with each row's own columns given: that leaks the label, so it is a bench for the policy alone.

What is rehearsed is the shipped loop in virtual time, as `flyball backtest` does it: the detector and 30 days as triggers, 10 days of cool-down,
a window of 28, 60 or 120 days chosen on a hold-out of 7 days, and a gate of two points below the champion.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import NamedTuple

import polars as pl
from sklearn.ensemble import HistGradientBoostingClassifier

from flyball.clock import Span
from flyball.data.commit import commit
from flyball.declare.checks import at_release, champion, metric
from flyball.declare.columns import column
from flyball.declare.data import Dataset
from flyball.declare.model import Model
from flyball.declare.policy import Retrain, Rollout
from flyball.declare.training import Train
from flyball.loop.backtest import History, Policy, rehearse
from flyball.store.blobs import LocalBlobs
from flyball.training.fitting import FitCache
from flyball.training.rows import assemble

INPUTS = ("day", "period", "nswprice", "nswdemand", "vicprice", "vicdemand", "transfer")


class Kept(NamedTuple):
    """What the policy came to: accuracy over all rows after the first 28 days, attempts to train, and releases after the first."""

    accuracy: float
    retrains: int
    released: int


def electricity(file: Path) -> pl.DataFrame:
    """The file's rows, half an hour apart."""
    return pl.read_csv(file).with_columns(pl.col("ts").str.to_datetime("%Y-%m-%dT%H:%M:%S", time_unit="us"))


def fit(X: pl.DataFrame, y: pl.Series) -> object:
    """Boosted trees, 60 of them."""
    return HistGradientBoostingClassifier(max_iter=60).fit(X, y)


def declared(frame: pl.DataFrame) -> Model:
    """A row's columns are known when it is asked about, its label half an hour later."""
    known = {name: column(float, known_after="-1d") for name in INPUTS}
    data = Dataset("market", source=frame, time="ts", columns={**known, "up": column(int, one_of=(0, 1), known_after="30m")})
    return Model(
        "price",
        task="binary",
        data=data,
        label="up",
        train=Train(fit, window="auto", holdout="7d"),
        gates=[metric("accuracy") >= champion - 0.02],
        # a candidate that passed its gate answers at once: a canary at 48 rows a day is another question
        rollout=Rollout(),
        retrain=Retrain(when=[metric("accuracy") < at_release], every="30d", cooldown="10d"),
        autonomy="act",
    )


def kept(frame: pl.DataFrame) -> Kept:
    """Rehearse the declared policy over the whole file."""
    frame = frame.select("ts", pl.col(INPUTS).cast(pl.Float64), "up")
    model = declared(frame)
    with tempfile.TemporaryDirectory(prefix="flyball-bench-") as folder:
        version = commit(model.data, frame, LocalBlobs(Path(folder)), None, "made")
        frames = {model.data.name: frame}
        history = History(frames, assemble(model, frames, as_of=2**52), {model.data.name: version})
        found = rehearse(Policy("declared", model), history, cache=FitCache(), approval=Span(0))
    return Kept(found.quality, found.retrains, found.released - 1)
