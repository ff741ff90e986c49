"""What monitoring costs: a drift report of a million rows, the fold from rows to counts, a request in the live log, and a look at a thousand models.

Inputs come from a seed. Counts and effects are checked against the rows themselves before anything is timed; with `--peers` Evidently's report of
the same columns is made beside ours, in an environment of its own.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
import time
import venv
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
from benchmarks import many, streaming
from benchmarks.drifting import COLUMNS, mixed
from benchmarks.report import Bar, Report, Row, main, peak_mb

from flyball.evaluation.reference import bin_frame, reference
from flyball.loop.replay import ReplayRoutes
from flyball.loop.tick import tick
from flyball.records.evidence import Bins, InputCounts
from flyball.stats import drift
from flyball.stats.cells import BUCKETS, value_hash

ROWS, REFERENCE_ROWS, ROUNDS = 1_000_000, 100_000, 5


def frames() -> tuple[pl.DataFrame, pl.DataFrame]:
    """The reference, and a window in which four columns have moved."""
    random = np.random.default_rng(0)
    shift = np.zeros(COLUMNS)
    shift[[0, 5, 13, 16]] = 0.3
    return mixed(random.normal(size=(REFERENCE_ROWS, COLUMNS))), mixed(random.normal(size=(ROWS, COLUMNS)) + shift)


def judged(bins: tuple[Bins, ...], window: pl.DataFrame) -> tuple[tuple[InputCounts, ...], tuple[drift.ColumnTest, ...]]:
    """What is timed: rows to counts to tests."""
    counts = bin_frame(bins, window)
    return counts, drift.hits([test for own, found in zip(bins, counts, strict=True) for test in drift.column_tests(own, found)])


def exact_psi(bins: Bins, trained: pl.Series, window: pl.Series) -> float:
    """The population stability index between the values themselves, in the test cells that the reference gives: without fixed cells or their sums."""
    labels = drift.pooled_cells(bins, len(window) - window.null_count())
    p, q = (_shares(bins, labels, series) for series in (window, trained))
    return float(np.sum((p - q) * np.log(p / q)))


def _shares(bins: Bins, labels: np.ndarray, series: pl.Series) -> np.ndarray:
    if bins.kind == "numeric":
        values = series.cast(pl.Float64).drop_nulls().drop_nans().to_numpy()
        # each test cell ends at the edge of its last bin
        upper = [float("inf") if place == len(bins.edges) else bins.edges[place] for place in _ends(labels)]
        within = np.searchsorted(np.array(upper), values, side="left")
        counts = np.bincount(within, minlength=len(upper))
        cells = labels[_ends(labels)]
        counts = np.bincount(cells, weights=counts)
    else:
        own = {value: place for place, value in enumerate(bins.values)}
        found = series.drop_nulls().value_counts(name="n")
        places = [own.get(value, len(own) + value_hash(value) % BUCKETS) for value in found[:, 0].to_list()]
        counts = np.bincount(labels[places], weights=found["n"].to_numpy(), minlength=int(labels.max()) + 1)
    return (counts + 0.5) / (counts.sum() + 0.5 * counts.size)


def _ends(labels: np.ndarray) -> list[int]:
    return [place for place in range(labels.size) if place + 1 == labels.size or labels[place + 1] != labels[place]]


def report_of_drift(folder: Path, report: Report, *, peers: bool) -> None:
    """The bars of one report: its CPU seconds, what it adds to the memory, how far it is from exact, and the peer's."""
    trained, window = frames()
    bins = reference(trained, trained.columns)
    # from here on the peak is that of the report, and not of what made its inputs
    Path("/proc/self/clear_refs").write_text("5")
    before = peak_mb()
    samples = []
    for _ in range(ROUNDS):
        start = time.process_time()
        _, tests = judged(bins, window)
        samples.append(time.process_time() - start)
    added = peak_mb() - before
    effects = {test.column: test.effect for test in tests if test.test == "cells"}
    off = max(abs(effects[own.column] - exact_psi(own, trained[own.column], window[own.column])) for own in bins)
    assert off <= 0.002, f"PSI is off by {off}"
    assert {column for column, effect in effects.items() if effect >= 0.02} == {"x0", "x5", "x13", "x16"}
    name = f"drift of {COLUMNS} columns, 1M rows against 100k"
    row = Row.of(name, "CPU s", samples)
    if peers:
        cpu, found = _evidently(folder, trained, window)
        # cells differ, so values do too; but for heavy tails and thousands of values, of which its PSI says other things, it must see the same moved
        assert found.keys() == effects.keys()
        assert min(found[column] for column in ("x0", "x16")) >= 0.05, found
        assert max(found[column] for column in ("x1", "x2", "x3", "x4", "x14", "x15", "x17")) < 0.02, found
        row = Row.of(name, "CPU s", samples, peer="Evidently", peer_samples=[cpu])
        assert row.ratio is not None
        report.bars.append(Bar.at_least("evidently_ratio", row.ratio, 20, "×"))
    report.rows += [row, Row.of("… largest difference from an exact PSI", "PSI", [off])]
    report.bars.append(Bar.at_most("drift_1m_cpu_s", row.median, 1.6, "CPU s"))
    report.bars.append(Bar.at_most("drift_added_mb", added, 50, "MB"))


def _evidently(folder: Path, trained: pl.DataFrame, window: pl.DataFrame) -> tuple[float, dict[str, float]]:
    venv.create(folder / "evidently", with_pip=True)
    python = folder / "evidently" / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", "--quiet", "evidently", "pandas<3", "pyarrow"], check=True)
    trained.write_parquet(folder / "reference.parquet")
    window.write_parquet(folder / "window.parquet")
    said = subprocess.run([python, Path(__file__).with_name("evidently_peer.py"), folder], check=True, capture_output=True, text=True)
    return float(said.stdout.split()[-1]), json.loads((folder / "found.json").read_text())


def folding(report: Report) -> float:
    """Rows a second from frames to counts: in large batches as logs are read back, in a day of half-hours as a backtest gives, and as seconds give."""
    found = {}
    for batch, rows in ((65_536, 262_144), (5_000, 50_000), (500, 10_000), (48, 1_440)):
        samples = [rows / streaming.fold(batch, rows) for _ in range(ROUNDS)]
        row = Row.of(f"fold of 10 inputs, labels of 4 in 5, one slice: {batch:,} rows a batch", "rows/CPU s", samples)
        report.rows.append(row)
        found[batch] = row.median
    return found[65_536]


def looks(folder: Path, report: Report) -> float:
    """CPU seconds of a look of the loop at 1,000 served models in which nothing is due."""
    with many.many(folder / "models", many.FEW) as wired:
        ports = replace(wired.driving(), data=many.StillData(), routes=ReplayRoutes(), views=None)
        samples = []
        for turn in range(4):
            told = wired.ledger.size()
            start = time.process_time()
            tick(ports.clock.now(), ports)
            if turn:
                samples.append(time.process_time() - start)
                assert wired.ledger.size() == told
    row = Row.of("a look of the loop at 1,000 served models", "CPU s", samples)
    report.rows.append(row)
    return row.median


def run(arguments: argparse.Namespace) -> Report:
    report = Report()
    with tempfile.TemporaryDirectory(prefix="flyball-bench-") as temporary:
        folder = Path(temporary)
        report_of_drift(folder, report, peers=arguments.peers)
        report.bars.append(Bar.at_least("fold_rows_per_s", folding(report), 500_000, "rows/CPU s"))
        report.bars.append(Bar.at_most("monitor_us_per_request", streaming.requests(folder / "live", report), 3, "CPU µs"))
        streaming.fleet(folder / "fleet", report)
        streaming.month(folder / "month", report)
        report.bars.append(Bar.at_most("tick_1000_models_s", looks(folder, report), 1, "CPU s"))
    return report


if __name__ == "__main__":
    main(run, __doc__)
