"""A model, its reference, and batches of evidence for it."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

import flyball.declare.checks as checks
from flyball.declare.columns import column
from flyball.declare.data import Dataset
from flyball.declare.model import Model
from flyball.evaluation.reference import bin_frame, reference
from flyball.records.evidence import Batch, LabelBlock, Quality, Traffic

MINUTE = 60_000_000
HOUR = 60 * MINUTE
DAY = 24 * HOUR
START = 1_700_000_000_000_000 // DAY * DAY


def make_model(**policy):
    data = Dataset("rows", source="rows.csv", time="ts", columns={"x": float, "c": str, "y": column(int, one_of=(0, 1))})
    policy.setdefault("monitors", [checks.Drift("inputs")])
    return Model("m", task="binary", data=data, label="y", owner="ana", **policy)


def rows(rng, n, *, shift=0.0, unseen=0.0, nulls=0.0):
    fresh = rng.random(n) < unseen
    return pl.DataFrame(
        {
            "x": pl.Series(np.where(rng.random(n) < nulls, np.nan, rng.normal(size=n) + shift)).fill_nan(None),
            "c": ["brand-new" if new else "abc"[k] for new, k in zip(fresh, rng.integers(0, 3, n), strict=True)],
        }
    )


@pytest.fixture(scope="session")
def bins():
    rng = np.random.default_rng(0)
    frame = rows(rng, 20_000).with_columns(__time=pl.Series(START - 60 * DAY + np.arange(20_000) * (60 * DAY // 20_000)))
    return reference(frame, ["x", "c"])


def inputs(bins, frame, until):
    return Batch(until=until, inputs=bin_frame(bins, frame, model="m"))


def labels(errors, until, *, version="1.0.0"):
    """A batch of 0/1 losses in order, with the quality that belongs to it."""
    losses = tuple(float(error) for error in errors)
    blocks = tuple(
        LabelBlock(model="m", version=version, losses=losses[start : start + 16], until=until) for start in range(0, len(losses), 16)
    )
    wrong = int(sum(losses))
    whole = quality(len(losses), wrong, until, version=version)
    return Batch(until=until, blocks=blocks, quality=(whole,))


def quality(n, wrong, until, *, name="", version="1.0.0", role="champion", model="m"):
    return Quality(
        model=model,
        version=version,
        role=role,
        slice=name,
        minute=until // MINUTE,
        matured=n,
        labelled=n,
        correct=n - wrong,
        loss=float(wrong),
        loss_sq=float(wrong),
    )


def traffic(n, errors, until, *, latency=None):
    return Batch(
        until=until,
        traffic=(
            Traffic(
                model="m",
                version="1.0.0",
                role="champion",
                rollout="",
                weight=0,
                minute=until // MINUTE,
                n=n,
                errors=errors,
                latency=latency or {},
            ),
        ),
    )
