"""Feature views online: a million rows filled, one entity and a hundred read, on SQLite.

A plain view of five columns with a TTL is held to bars; a view of windows is told beside it. What is read is first seen to be what the
offline engine gives for the same moments.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from benchmarks.report import Bar, Report, Row

from flyball.declare.data import Dataset
from flyball.declare.views import FeatureView, Window
from flyball.features import windows
from flyball.features.online.form import entity
from flyball.features.online.materialise import At, Version, add, fill
from flyball.features.online.plan import plan
from flyball.features.online.read import OnlineView
from flyball.store.online import OnlineStore
from flyball.store.online_address import open_online

ROWS = 1_000_000
ENTITIES = 100_000
ADDED = 1_000
DAY = 86_400_000_000
COLUMNS = ("a", "b", "c", "d", "e")
REPEATS = 5
SAMPLE = 2_000


def run(report: Report, *, peers: bool) -> None:  # noqa: ARG001 - no peer reads as fast as the floor that is measured here
    """Add the rows and bars."""
    frame = _rows(np.random.default_rng(0))
    for view in _views():
        with tempfile.TemporaryDirectory() as folder:
            store = open_online("", Path(folder))
            _measure(report, view, frame, store)
            store.close()


def _rows(random: np.random.Generator) -> pl.DataFrame:
    moment = np.sort(random.integers(0, 30 * DAY, ROWS))
    values = {name: random.normal(size=ROWS) for name in COLUMNS}
    return pl.DataFrame({"who": random.integers(0, ENTITIES, ROWS), **values, "at": moment}).with_columns(
        pl.col("at").cast(pl.Datetime("us"))
    )


def _views() -> tuple[FeatureView, FeatureView]:
    data = Dataset("events", source="rows.parquet", time="at", columns={"who": int} | dict.fromkeys(COLUMNS, float))
    week = Window("7d")
    aggregates = {"count": week.count(), "sum": week.sum("a"), "mean": Window("1d").mean("b"), "last": week.last("c"), "max": week.max("d")}
    return (
        FeatureView("plain", data, entity="who", ttl="7d", features={name: name for name in COLUMNS}),
        FeatureView("windows", data, entity="who", features=aggregates),
    )


def _measure(report: Report, view: FeatureView, frame: pl.DataFrame, store: OnlineStore) -> None:
    made, now = plan(view), 30 * DAY
    began = time.process_time()
    at = fill(store, made, Version("one", frame), now)
    filled = time.process_time() - began
    online = OnlineView(view, store.read)
    _compare(view, frame, online, now)
    keys = [entity(who) for who in np.random.default_rng(1).integers(0, ENTITIES, 20_000).tolist()]
    one = _each(lambda place: online.rows(keys[place : place + 1], [now], [now]), 2_000)
    hundred = _each(lambda place: online.rows(keys[100 * place : 100 * (place + 1)], [now] * 100, [now] * 100), 200)
    report.rows += [
        Row.of(f"{view.name}: fill 1M rows", "CPU s", [filled]),
        Row.of(f"{view.name}: read 1 key", "CPU µs", one),
        Row.of(f"{view.name}: read 100 keys", "CPU µs", hundred),
        Row.of(f"{view.name}: add {ADDED} rows", "CPU s", _additions(store, view, at, frame, now)),
    ]
    if view.name == "plain":
        report.bars += [
            Bar.at_most("online_1_key_us", min(one), 35, "CPU µs"),
            Bar.at_most("online_100_keys_us", min(hundred), 1000, "CPU µs"),
            Bar.at_most("materialise_1m_s", filled, 10, "CPU s"),
        ]


def _compare(view: FeatureView, frame: pl.DataFrame, online: OnlineView, now: int) -> None:
    asked = pl.DataFrame({"row_time": [now + 1] * SAMPLE, "moment": [now] * SAMPLE, "key": np.arange(SAMPLE)})
    got, wanted = online.values(asked), windows.values(view, frame.filter(pl.col("who") < SAMPLE), asked)
    assert got.equals(wanted, null_equal=True), f"{view.name} differs from the offline engine"


def _additions(store: OnlineStore, view: FeatureView, at: At, frame: pl.DataFrame, now: int) -> list[float]:
    samples = []
    for turn in range(REPEATS):
        rows = frame.tail(ADDED).with_columns(pl.lit(now + turn, dtype=pl.Int64).cast(pl.Datetime("us")).alias("at"))
        began = time.process_time()
        at = add(store, plan(view), at, Version(str(turn), rows), now + turn, rows=ROWS + ADDED * (turn + 1))
        samples.append(time.process_time() - began)
    return samples


def _each(ask: Callable[[int], Any], count: int) -> list[float]:
    """CPU µs of one call, over repetitions of `count` calls, each of other keys."""
    samples = []
    for _ in range(REPEATS):
        began = time.process_time()
        for place in range(count):
            ask(place)
        samples.append((time.process_time() - began) / count * 1e6)
    return samples
