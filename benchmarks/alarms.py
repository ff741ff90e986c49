"""What the monitors promise, by simulation of the shipped code from rows to alerts: how often they speak when nothing is wrong, and how soon when something is.

The electricity figures need `data/electricity.csv` in the folder that FLYBALL_TEST_DATA names; without it their bars are absent, never passed.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl
from benchmarks import detecting, estimating, retraining
from benchmarks.drifting import COLUMNS, DAY, REFERENCE_WEEKS, START, WEEK, Watched, World, day_effects, monitored, reached
from benchmarks.report import Bar, Report, Row, main

from flyball.declare.checks import Drift, drift
from flyball.evaluation.reference import reference
from flyball.stats.drift import Level

SIZES = (
    (10_000, 200, 6, 20),
    (10_000, 1_000, 8, 15),
    (10_000, 10_000, 4, 10),
    (100_000, 1_000, 3, 15),
    (100_000, 10_000, 3, 8),
    (100_000, 100_000, 1, 4),
)
"""Rows of the reference, rows a week, models, weeks of each."""

SHIFTED = ((1_000, 1), (1_000, 4), (10_000, 1), (10_000, 4), (100_000, 1))
"""Rows a week, columns that shift; each of so many models once."""

QUIET_WEEKS = 43
MARKET = ("day", "period", "nswprice", "nswdemand", "vicprice", "vicdemand", "transfer")


def share(levels: Sequence[Level], least: Level = "warn") -> float:
    """Share of looks at which an alarm stood."""
    return float(np.mean([reached(level, least) for level in levels]))


def no_drift(report: Report) -> float:
    """Share of weeks with any alarm where rows are independent and nothing changes; the worst of all sizes is told, all weeks are one share."""
    levels: list[Level] = []
    for seed, (trained, weekly, models, weeks) in enumerate(SIZES):
        own: list[Level] = []
        for number in range(models):
            world = World(np.random.default_rng((1, seed, number)), weekly)
            model = world.watched(count=trained)
            own += [model.serve(world.rows(week, 1), START + (week + 1) * WEEK) for week in range(weeks)]
        report.rows.append(Row.of(f"no drift, {trained:,} against {weekly:,} rows a week: any alarm", "share of weeks", [share(own)]))
        levels += own
    report.rows.append(Row.of("no drift: alert", "share of weeks", [share(levels, "alert")]))
    return share(levels)


def swings(report: Report, sd: float, *, models: int, weeks: int = 10) -> float:
    """Share of weeks with any alarm where traffic swings with the day and the week, and whole days have effects of `sd`."""
    levels: list[Level] = []
    for number in range(models):
        random = np.random.default_rng((2, int(100 * sd), number))
        days = day_effects(random, 7 * (REFERENCE_WEEKS + weeks), sd) if sd else None
        world = World(random, 3_360, cycle=1.0, days=days)
        model = world.watched()
        levels += [model.serve(world.rows(week, 1), START + (week + 1) * WEEK) for week in range(weeks)]
    name = f"cycles, day effects of {sd:g}σ, weeks" if sd else "cycles, weeks"
    report.rows.append(Row.of(f"{name}: any alarm", "share of weeks", [share(levels)]))
    report.rows.append(Row.of(f"{name}: alert", "share of weeks", [share(levels, "alert")]))
    return share(levels)


def days(report: Report, sd: float, *, models: int, weeks: int = 6) -> float:
    """Share of days with any alarm, each held against the same day of the week, where whole days have effects of `sd` in every column:
    nine weeks of reference, of which eight days of each weekday are whole.
    """
    levels: list[Level] = []
    for number in range(models):
        random = np.random.default_rng((4, int(100 * sd), number))
        world = World(random, 10_080, cycle=1.0, days=day_effects(random, 7 * (REFERENCE_WEEKS + 1 + weeks), sd), lead=REFERENCE_WEEKS + 1)
        model = world.watched(monitored(drift("inputs", window="1d")))
        for week in range(weeks):
            rows = world.rows(week, 1)
            for day in range(7):
                start = START + week * WEEK + day * DAY
                levels.append(model.serve(rows.filter(pl.col("at").is_between(start, start + DAY, closed="left")), start + DAY))
    report.rows.append(Row.of(f"cycles, day effects of {sd:g}σ, days: any alarm", "share of days", [share(levels)]))
    report.rows.append(Row.of(f"cycles, day effects of {sd:g}σ, days: alert", "share of days", [share(levels, "alert")]))
    return share(levels)


def found(report: Report, sigma: float, least: Level, *, models: int = 9, most: int = 8) -> float:
    """Weeks until a shift of `sigma` stands as `least`: the worst median over sizes and numbers of columns, by the weekly windows alone and by alert."""
    worst = 0.0
    for weekly, columns in SHIFTED:
        by_alert, by_weeks = [], []
        for number in range(models if weekly < 100_000 else 3):
            world = World(np.random.default_rng((3, int(100 * sigma), weekly, columns, number)), weekly)
            model = world.watched(count=10_000)
            for week in range(2):
                model.serve(world.rows(week, 1), START + (week + 1) * WEEK)
            shift = np.zeros(COLUMNS)
            shift[:columns] = sigma
            alert, alone = float("inf"), float("inf")
            for week in range(most):
                level = model.serve(world.rows(2 + week, 1, shift=shift), START + (3 + week) * WEEK)
                alert = min(alert, week + 1 if reached(level, least) else float("inf"))
                alone = min(alone, week + 1 if reached(model.slow(), least) else float("inf"))
                if alone <= most:
                    break
            by_alert.append(alert)
            by_weeks.append(alone)
        name = f"{sigma:g}σ in {columns} of {COLUMNS} columns, {weekly:,} rows a week, {least}"
        report.rows.append(Row.of(f"{name}: by any window", "weeks", by_alert))
        report.rows.append(Row.of(f"{name}: by weekly windows alone", "weeks", by_weeks))
        worst = max(worst, float(np.median(by_alert)), float(np.median(by_weeks)))
    return worst


def electricity(report: Report, frame: pl.DataFrame) -> tuple[float, float]:
    """(share of the 43 weeks before the change with any alarm, weeks from the change until it stands): 7-day windows against the first 8 weeks.

    From then on three columns are measured that were constant before.
    """
    at = frame["ts"].dt.epoch("us")
    start = int(at[0])  # type: ignore[arg-type]  # a column of i64
    week = (at - start) // WEEK
    frame = frame.select(pl.col(MARKET), at=at)
    bins = reference(frame.filter(week < REFERENCE_WEEKS), MARKET, time="at")
    model = Watched(monitored(Drift("inputs")), bins, start=start + REFERENCE_WEEKS * WEEK - 1)
    levels = []
    for number in range(REFERENCE_WEEKS, REFERENCE_WEEKS + QUIET_WEEKS + 6):
        levels.append(model.serve(frame.filter(week == number), start + (number + 1) * WEEK - 1))
        if number == REFERENCE_WEEKS + QUIET_WEEKS - 1:
            before = {row.key for row in model.alerts.values() if row.state == "firing"}
        if number >= REFERENCE_WEEKS + QUIET_WEEKS:
            standing = {row.key for row in model.alerts.values() if row.state == "firing"} - before
            if any(name in key for key in standing for name in ("vicprice", "vicdemand", "transfer")):
                break
    quiet = levels[:QUIET_WEEKS]
    report.rows.append(Row.of("electricity, 43 weeks before the change: alert", "share of weeks", [share(quiet, "alert")]))
    return share(quiet), float(number - REFERENCE_WEEKS - QUIET_WEEKS + 1)


def market(report: Report) -> None:
    """The bars on the electricity file, where it is there."""
    folder = os.environ.get("FLYBALL_TEST_DATA")
    file = Path(folder or "") / "data" / "electricity.csv"
    if not folder or not file.exists():
        print("electricity: FLYBALL_TEST_DATA names no folder with data/electricity.csv, so its bars are absent", file=sys.stderr)
        return
    frame = retraining.electricity(file)
    quiet, weeks = electricity(report, frame)
    kept = retraining.kept(frame)
    report.rows.append(Row.of("retraining policy: versions released", "versions", [kept.released]))
    report.bars += [
        Bar.at_most("electricity_week_share", quiet, 0.09, "share of weeks"),
        Bar.at_most("electricity_found_windows", weeks, 3, "weeks"),
        Bar.at_least("retrain_policy_accuracy", kept.accuracy, 0.775, "share of rows"),
        Bar.at_most("retrain_policy_retrains", kept.retrains, 60, "attempts"),
    ]


def detector(report: Report) -> None:
    """The bars of the sequential detector: error .10, then .15."""
    known = detecting.runs(600, 4)
    gate = detecting.runs(400, 5, gate=2_000)
    for name, runs in (("m₀ known", known), ("m₀ of a gate of 2,000 rows", gate)):
        report.rows.append(Row.of(f"detector, {name}: rows to the page", "rows", [each.found for each in runs if np.isfinite(each.found)]))
        report.rows.append(Row.of(f"detector, {name}: false pages in 10,000 rows", "pages", [detecting.false_rate(runs)]))
    report.bars += [
        Bar.at_most("detector_known_baseline_median_rows", detecting.median(known), 600, "rows"),
        Bar.at_most("detector_false_per_10k", detecting.false_rate(known), 0.15, "pages"),
        Bar.at_most("detector_gate_2000_median_rows", detecting.median(gate), 1_100, "rows"),
    ]


def estimates(report: Report) -> None:
    """The bar of estimates without labels: the worst coverage of any metric at any size."""
    worst = 1.0
    for seed, (trained, rows) in enumerate(estimating.SIZES):
        found = estimating.coverage(trained, rows, windows=300, seed=seed)
        shares = [found.share(name) for name in estimating.METRICS]
        name = f"estimates without labels, {trained:,} reference rows, {rows:,} answers: coverage by metric"
        report.rows.append(Row.of(name, "share of windows", shares))
        worst = min(worst, *shares)
    report.bars.append(Bar.at_least("cbpe_no_shift_coverage", worst, 0.84, "share of windows"))


def run(_: argparse.Namespace) -> Report:
    """Simulate every promise."""
    report = Report()
    report.bars += [
        Bar.at_most("no_drift_any_alarm_share", no_drift(report), 0.02, "share of weeks"),
        Bar.at_most("cycle_any_alarm_share", swings(report, 0.0, models=20), 0.02, "share of weeks"),
        Bar.at_most("day_effects_day_windows_share", max(days(report, sd, models=10) for sd in (0.1, 0.2)), 0.08, "share of days"),
        Bar.at_most("day_effects_week_windows_share", max(swings(report, sd, models=150) for sd in (0.1, 0.2)), 0.06, "share of weeks"),
        Bar.at_most("quarter_sigma_warn_windows", found(report, 0.25, "warn"), 2, "weeks"),
        Bar.at_most("half_sigma_alert_windows", found(report, 0.5, "alert"), 2, "weeks"),
    ]
    detector(report)
    estimates(report)
    market(report)
    return report


if __name__ == "__main__":
    main(run, __doc__)
