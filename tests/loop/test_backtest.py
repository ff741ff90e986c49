"""The loop rehearsed on made-up history: a stream whose rule changes at once, at moments that nobody announces."""

from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from sklearn.linear_model import LogisticRegression

import flyball as fb
from flyball.clock import Span
from flyball.data.commit import commit
from flyball.loop import backtest
from flyball.loop.backtest import History, Policy, policies, rehearse
from flyball.store.blobs import LocalBlobs
from flyball.training.fitting import FitCache
from flyball.training.rows import assemble

DAYS, PER_DAY = 240, 48


def stream(seed: int) -> pl.DataFrame:
    """Half-hourly rows of two inputs; which of two rules gives the label changes abruptly, at random, every 40 to 70 days."""
    rng = np.random.default_rng(seed)
    rows = DAYS * PER_DAY
    x = rng.normal(size=(rows, 2))
    rule, sign, until = np.zeros(rows), 1.0, 0
    while until < rows:
        length = int(rng.integers(40, 71)) * PER_DAY
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
        train=fb.Train(fit, window="7d", holdout="60h"),
        gates=[fb.metric("accuracy") >= fb.baseline, fb.metric("accuracy") >= fb.champion - 0.02],
        rollout=fb.Rollout(guards=[fb.metric("accuracy") >= fb.champion - 0.05], evidence="gate").shadow("6h"),
        retrain=fb.Retrain(when=[fb.metric("accuracy") < fb.at_release], every="90d", cooldown="60h"),
        autonomy="act",
    )


def history(model: fb.Model, frame: pl.DataFrame, folder: Path) -> History:
    version = commit(model.data, frame.with_columns(pl.col("at").cast(pl.Datetime("us"))), LocalBlobs(folder), None, "made")
    frames = {model.data.name: frame}
    return History(frames, assemble(model, frames, as_of=2**52), version)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_where_change_is_abrupt_the_declared_policy_beats_every_schedule_that_retrains_as_often(seed: int, tmp_path: Path) -> None:
    frame = stream(seed)
    model = declared(frame)
    past = history(model, frame, tmp_path)
    cache = FitCache()
    found = {policy.name: rehearse(policy, past, cache=cache, approval=Span(0)) for policy in policies(model)}
    ours = found["declared"]
    schedules = [result for name, result in found.items() if name.startswith("every_")]
    as_often = [result for result in schedules if result.retrains <= ours.retrains]
    assert as_often, f"the declared policy retrained {ours.retrains} times"
    for result in (*as_often, found["never"]):
        assert ours.quality > result.quality, (ours, result)


def test_a_proposal_waits_for_a_person_in_virtual_time(tmp_path: Path) -> None:
    frame = stream(5)
    model = declared(frame).replace(autonomy="propose")
    past = history(model, frame, tmp_path)
    at_once = rehearse(Policy("at once", model), past, cache=FitCache(), approval=Span(0))
    late = rehearse(Policy("late", model), past, cache=FitCache(), approval=Span.parse("5d"))
    assert at_once.retrains > 0
    assert late.quality < at_once.quality


def test_the_baselines_see_only_labels_that_were_known(tmp_path: Path) -> None:
    frame = stream(7)
    model = declared(frame)
    past = history(model, frame, tmp_path)
    found = backtest.baselines(model, past)
    y = past.rows.frame["__y"].to_numpy()
    first = past.evaluated.start
    # a label is known an hour after its row: two rows back is the newest one
    assert found["persistence"] == pytest.approx(np.mean(y[first:] == y[first - 2 : -2]))
    assert found["last_week"] == pytest.approx(np.mean(y[first:] == y[first - 7 * PER_DAY : -7 * PER_DAY]))
