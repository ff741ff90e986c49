"""A join of data sets that are never in memory: 3M rows against a view of 24M rows × 5 columns, made piece by piece from a seed.

Peak memory is that of a process that does nothing else. What one in a thousand of the entities gets is compared with the join in memory of
their rows alone.
"""

from __future__ import annotations

import multiprocessing
import tempfile
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import polars as pl
from benchmarks.report import Bar, Report, Row, peak_mb

from flyball.declare.columns import Column
from flyball.declare.data import Dataset
from flyball.declare.model import Model
from flyball.declare.views import FeatureView, Window
from flyball.features.assemble import training_rows
from flyball.training.streamed import training_batches

ROWS, FEATURE_ROWS, PIECE = 3_000_000, 24_000_000, 200_000
ENTITIES = 300_000
DAYS = 120
DAY = 86_400_000_000
END = 10**16
COLUMNS = tuple(f"x{place}" for place in range(5))
TIMES = {"at": pl.Datetime("us")}

own = Dataset("own", source="o.parquet", time="at", columns={"entity": int, "size": Column(float, known_after="-1d"), "y": float})
facts = Dataset("facts", source="f.parquet", time="at", columns={"entity": int} | dict.fromkeys(COLUMNS, float))
view = FeatureView(
    "facts", facts, entity="entity", ttl="30d", features={f"of_{name}": name for name in COLUMNS} | {"week": Window("7d").mean("x0")}
)
model = Model("joined", task="regression", data=own, label="y", inputs=["size"], features=[view])


def pieces(rows: int, columns: tuple[str, ...], seed: int) -> Iterator[pl.DataFrame]:
    """Rows in order of time, made as they are taken."""
    random = np.random.default_rng(seed)
    for first in range(0, rows, PIECE):
        moment = np.sort(random.integers(first * DAYS * DAY // rows, (first + PIECE) * DAYS * DAY // rows, PIECE))
        yield pl.DataFrame(
            {"entity": random.integers(0, ENTITIES, PIECE)} | {name: random.normal(size=PIECE) for name in columns} | {"at": moment}
        ).cast(TIMES)


def _streams(*, few: bool) -> dict[str, Iterator[pl.DataFrame]]:
    made = {"own": pieces(ROWS, ("size", "y"), 1), "facts": pieces(FEATURE_ROWS, COLUMNS, 2)}
    return {name: (frame.filter(pl.col("entity") % 1_000 == 0) for frame in frames) for name, frames in made.items()} if few else made


def joined(pipe: Connection) -> None:
    """Send the rows of one in a thousand entities, how many rows there were, CPU seconds, and the peak of this process in MB."""
    kept, count = [], 0
    start = time.process_time()
    made = {name: (lambda name=name: _streams(few=False)[name]) for name in ("own", "facts")}
    with tempfile.TemporaryDirectory() as folder:
        for batch, mine in zip(training_batches(model, made, Path(folder), as_of=END), _streams(few=False)["own"], strict=False):
            kept.append(batch.filter(mine["entity"] % 1_000 == 0))
            count += batch.height
    used = time.process_time() - start
    pipe.send((pl.concat(kept), count, used, peak_mb()))


def run(report: Report, *, peers: bool) -> None:  # noqa: ARG001 - no peer joins what it does not hold
    """Join in a process of its own, and compare."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    child = context.Process(target=joined, args=(there,))
    child.start()
    there.close()
    found, count, used, peak = here.recv()
    child.join()
    alone = training_rows(model, {name: pl.concat(frames) for name, frames in _streams(few=True).items()}, as_of=END)
    if count != ROWS or not found.equals(alone):
        raise SystemExit("the join piece by piece gives other rows than the join in memory")
    report.rows.append(Row.of("join piece by piece, 3M rows × 24M rows × 6 features", "CPU s", [used]))
    report.bars.append(Bar.at_most("join_larger_than_memory_mb", peak, 2_000, "MB"))
