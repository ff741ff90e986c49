"""What counting and judging must agree on."""

from __future__ import annotations

from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any

import polars as pl
import pytest

import flyball as fb
from flyball.ledger.projection import MemoryProjection
from flyball.loop.folds import FOLDS
from flyball.loop.replay import _requests
from flyball.loop.watch import loss_cap
from flyball.records.base import Recorded
from flyball.records.versions import VersionRegistered
from flyball.training.rows import assemble
from flyball.training.run import drift_reference


@pytest.mark.parametrize(("champion", "cap"), [("1.0.0", 40.0), ("", 8.0)])
def test_a_rollouts_margin_is_read_in_the_cap_that_its_pairs_were_clipped_by(champion: str, cap: float) -> None:
    state = MemoryProjection()
    for number, result in (("1.0.0", "a" * 64), ("1.1.0", "b" * 64)):
        event = VersionRegistered(
            model="m", version=number, run="r", artifact="c" * 64, result=result, version_digest="v", policy_digest="p", data={}, metrics={}
        )
        FOLDS[VersionRegistered](state, Recorded(seq=1, at=1, actor="loop", command="c", event=event))
    library: Any = SimpleNamespace(result=lambda digest: SimpleNamespace(loss_cap=40.0 if digest[0] == "a" else 8.0))
    row: Any = SimpleNamespace(model="m", version="1.1.0", champion=champion)
    assert loss_cap(library, state, row) == cap


def test_a_rehearsal_counts_every_column_that_is_watched() -> None:
    data = fb.Dataset(
        "d",
        source="x.csv",
        time="ts",
        columns={
            "a": fb.column(float, known_after="-1h"),
            "b": fb.column(float, known_after="-1h"),
            "y": fb.column(int, one_of=(0, 1), known_after="1h"),
        },
    )
    made = fb.Model(
        "m", task="binary", data=data, label="y", inputs=["b"], transforms={"t": pl.col("a") * 2}, train=fb.Train(lambda X, y: (X, y))
    )
    hours = range(200)
    frame = pl.DataFrame({
        "ts": [datetime(2024, 1, 1) + timedelta(hours=hour) for hour in hours],
        "a": [hour % 7 / 7 for hour in hours],
        "b": [hour % 5 / 5 for hour in hours],
        "y": [hour % 2 for hour in hours],
    })  # fmt: skip
    rows = assemble(made, {"d": frame}, as_of=2**52)
    held = rows.frame.tail(50).select("__time", pl.lit(1).alias("value"))
    watched = [bins.column for bins in drift_reference(made, rows.frame, held)]
    assert watched == ["b", "a", "prediction"]
    assert {"a", "b"} <= set(_requests(made, rows, rows.times).columns)
