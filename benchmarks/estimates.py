"""How often an estimate without labels covers what labels would have said, by simulation of the shipped estimators (docs/statistics.md §3).

Classification: one input, logistic truth, a model whose scores are off by a factor on the log-odds. Numbers: the error's spread grows with an input.
"""

from __future__ import annotations

import argparse
from collections import Counter

import numpy as np
from benchmarks.estimating import METRICS, Draw, seen
from benchmarks.report import Bar, Report, Row, main

from flyball.stats import errormodel

RUNS = 300


def _drawn(n: int, shift: float = 0.0, concept: float = 0.0) -> Draw:
    """N rows of a model whose scores are off by a factor on the log-odds."""

    def draw(random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        x = random.normal(shift, 1, n)
        label = random.random(n) < 1 / (1 + np.exp(-(1.5 * x - 0.5 - concept)))
        return 1 / (1 + np.exp(-(1.35 * x - 0.5))), label

    return draw


def classification(
    seed: int, *, reference: int = 5_000, window: int = 1_000, shift: float = 0.0, concept: float = 0.0, runs: int = RUNS
) -> dict[str, float]:
    """By metric, the share of windows whose measured value lies in the interval; and `refused`: of which nothing would have been estimated.

    shift: of the input, in sd (its domain AUC is Φ(shift/√2)); concept: of the log-odds, which the input does not show.
    """
    random = np.random.default_rng(seed)
    held, refused = Counter[str](), 0
    for one in seen(random, _drawn(reference), _drawn(window, shift, concept), runs):
        held.update(one.held(random))
        refused += one.refused
    return {name: held[name] / runs for name in METRICS} | {"refused": refused / runs}


def numbers(
    seed: int, *, reference: int = 2_000, window: int = 1_000, shift: float = 0.0, runs: int = RUNS, cells: int = 33
) -> dict[str, float]:
    """The share of windows whose mean absolute error lies in the interval (`mae`), and in that of the level at release (`release`)."""
    random, edges = np.random.default_rng(seed), np.arange(1, cells) / cells
    held = Counter[str]()
    for _ in range(runs):
        x, z = random.normal(0, 1, (2, reference))
        error = np.abs(np.exp(0.5 * x) * random.normal(0, 1, reference))
        columns = {"x": x, "z": z, "prediction": 2 * x + z}
        limits = {name: np.quantile(values, edges) for name, values in columns.items()}
        codes = {name: np.searchsorted(limits[name], values) for name, values in columns.items()}
        names = errormodel.telling(error, codes) or ("prediction",)
        fitted = errormodel.fit(error, [codes[name] for name in names], [cells] * len(names))
        x, z = random.normal(shift, 1, window), random.normal(0, 1, window)
        later = {"x": x, "z": z, "prediction": 2 * x + z}
        true = np.abs(np.exp(0.5 * x) * random.normal(0, 1, window))
        found = errormodel.expect(fitted, [np.bincount(np.searchsorted(limits[name], later[name]), minlength=cells) for name in names])
        sd = float(np.sqrt(error.var() / reference + true.var() / window))
        held["mae"] += found.low <= true.mean() <= found.high
        held["release"] += bool(abs(true.mean() - error.mean()) <= 1.96 * sd)
    return {name: held[name] / runs for name in ("mae", "release")}


def run(_arguments: argparse.Namespace) -> Report:
    """Simulate every cell."""
    report = Report()
    cells = {
        "no shift": classification(0),
        "no shift, 1,000 reference rows": classification(1, reference=1_000),
        "mild shift (.5 sd)": classification(2, shift=0.5),
        "strong shift (1.5 sd, 1,000 reference rows)": classification(3, reference=1_000, shift=1.5),
        "concept drift (1 in log-odds)": classification(4, concept=1.0),
    }
    for cell, found in cells.items():
        report.rows += [Row.of(f"{cell}: {name}", "share of windows", [value]) for name, value in found.items()]
    errors = {"no shift": numbers(5), "mild shift (.5 sd)": numbers(6, shift=0.5), "strong shift (1.5 sd)": numbers(7, shift=1.5)}
    for cell, found in errors.items():
        report.rows.append(Row.of(f"mean absolute error, {cell}: estimate", "share of windows", [found["mae"]]))
        report.rows.append(Row.of(f"mean absolute error, {cell}: level at release", "share of windows", [found["release"]]))
    least = {name: min(found[metric] for metric in METRICS) for name, found in cells.items()}
    report.bars = [
        Bar.at_least("cbpe_coverage_no_shift", min(least["no shift"], least["no shift, 1,000 reference rows"]), 0.84, "share of windows"),
        Bar.at_least("cbpe_coverage_mild_shift", least["mild shift (.5 sd)"], 0.84, "share of windows"),
        Bar.at_least("error_model_coverage_no_shift", errors["no shift"]["mae"], 0.84, "share of windows"),
    ]
    return report


if __name__ == "__main__":
    main(run, __doc__)
