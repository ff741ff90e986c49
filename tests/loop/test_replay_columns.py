"""What is watched of a request in a backtest stands beside what is known of a row, whatever its name."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import polars as pl

import flyball as fb
from flyball.evaluation.counts_columns import held
from flyball.loop.replay import _requests

NAMES = ("amount", "at", "key", "latency_us", "request_id", "status", "value", "weight")


def test_an_input_may_have_the_name_of_what_is_known_of_a_row() -> None:
    columns = {name: fb.column(float, known_after="-1h") for name in NAMES} | {"y": fb.column(int, known_after="1h")}
    data = fb.Dataset("d", source="d.csv", time="ts", columns=columns)
    model = fb.Model("m", task="binary", data=data, label="y", slices=["weight"])
    frame = pl.DataFrame({name: [place + 0.5, place + 1.5] for place, name in enumerate(NAMES)})
    made = _requests(model, SimpleNamespace(frame=frame), np.array([7, 8]))  # type: ignore[arg-type]
    assert made["at"].to_list() == [7, 8]
    assert made["status"].to_list() == ["ok", "ok"]
    assert [made[held(name)].to_list() for name in NAMES] == [frame[name].to_list() for name in NAMES]
