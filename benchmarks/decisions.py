"""Error rates and speed of the rollout's decisions, by simulation of the shipped tests: 2,000 rollouts a cell, looked at every 100 rows.

ψ = .04 of the rows differ between the versions, the margin is one point; errors: 5% of traffic, .5% of stable requests fail.
"""

from __future__ import annotations

import argparse
import math
from typing import NamedTuple

import numpy as np
from benchmarks.report import Bar, Report, Row, main

from flyball.stats import betting, ratio, share
from flyball.stats.ratio import Split
from flyball.stats.share import Bad

ROLLOUTS = 2_000
PROMOTE = math.log(20)
ROLL_BACK = math.log(100)
ERRORS = math.log(1_000)
FROZEN = math.log(1_000)


class Decided(NamedTuple):
    """Shares of rollouts, and the labels of those that were decided."""

    promoted: float
    rolled_back: float
    labels: list[float]


def quality(difference: float, seed: int, *, psi: float = 0.04, delta: float = 0.01, most: int = 60_000) -> Decided:
    """Rollouts whose new version is better by `difference` (a share of rows), until decided or `most` labels."""
    random = np.random.default_rng(seed)
    chances = [(psi - difference) / 2, 1 - psi, (psi + difference) / 2]
    promoted, rolled_back, labels = 0, 0, []
    for _ in range(ROLLOUTS):
        looks = np.cumsum(random.multinomial(100, chances, size=most // 100), axis=0)
        for place, (minus, zero, plus) in enumerate(looks):
            found = betting.evidence(minus, zero, plus, delta)
            if found.promote >= PROMOTE or found.roll_back >= ROLL_BACK:
                promoted += found.promote >= PROMOTE
                rolled_back += found.roll_back >= ROLL_BACK
                labels.append(100.0 * (place + 1))
                break
    return Decided(promoted / ROLLOUTS, rolled_back / ROLLOUTS, labels)


def errors(times: float, seed: int, *, most: int, weight: float = 0.05, rate: float = 0.005) -> np.ndarray:
    """Canary requests until a canary that fails `times` as often is rolled back; infinite where it was not within `most`."""
    random = np.random.default_rng(seed)
    others = (1 - weight) / weight
    out = np.full(ROLLOUTS, math.inf)
    for run in range(ROLLOUTS):
        failed = np.flatnonzero(random.random(most) < rate * times)
        # stable failures before each canary failure: evidence only grows there
        stable = np.cumsum(random.poisson(np.diff(failed, prepend=0) * others * rate))
        for place, when in enumerate(failed):
            if share.log_e([Bad(place + 1, float(stable[place]), weight)]) >= ERRORS:
                out[run] = when + 1
                break
    return out


def keyed(seed: int, *, rollouts: int, by_key: bool, keys: int = 20_000, requests: int = 100_000, weight: float = 0.05) -> float:
    """Share of equal versions rolled back when 1% of Zipf-distributed keys always fail; counted by first bad event of a key, or by request."""
    random = np.random.default_rng(seed)
    chances = 1 / np.arange(1, keys + 1)
    chances /= chances.sum()
    wrong = 0
    for _ in range(rollouts):
        failing, canary = random.random(keys) < 0.01, random.random(keys) < weight
        seen = random.choice(keys, size=requests, p=chances)
        bad = seen[failing[seen]]
        if by_key:
            bad = bad[np.sort(np.unique(bad, return_index=True)[1])]
        on_canary = np.cumsum(canary[bad])
        # looked at after every bad event of the canary, up to the first 400 of them
        for place in np.flatnonzero(canary[bad])[:400]:
            if share.log_e([Bad(float(on_canary[place]), float(place + 1 - on_canary[place]), weight)]) >= ERRORS:
                wrong += 1
                break
    return wrong / rollouts


def splits(actual: float, seed: int, *, most: int, weight: float = 0.05) -> np.ndarray:
    """Units until the sample ratio freezes the rollout; infinite where it did not within `most`."""
    random = np.random.default_rng(seed)
    out = np.full(ROLLOUTS, math.inf)
    for run in range(ROLLOUTS):
        for place, canary in enumerate(np.cumsum(random.binomial(100, actual, size=most // 100))):
            units = 100 * (place + 1)
            if ratio.log_e([Split(float(canary), units, weight)]) >= FROZEN:
                out[run] = units
                break
    return out


def _requests(name: str, found: np.ndarray) -> list[Row]:
    seen = found[np.isfinite(found)]
    rows = [Row.of(f"{name}: found", "share of rollouts", [len(seen) / len(found)])]
    if len(seen) > 0.9 * len(found):
        rows.append(Row.of(f"{name}: requests until found", "requests", seen.tolist()))
        rows.append(Row.of(f"{name}: ninth of ten", "requests", [float(np.quantile(found, 0.9, method="lower"))]))
    return rows


def run(_arguments: argparse.Namespace) -> Report:
    """Simulate every cell."""
    report = Report()
    cells = {difference: quality(difference, seed) for seed, difference in enumerate((0.0, -0.01, -0.02, -0.03))}
    for difference, found in cells.items():
        name = f"quality {difference:+.2f}"
        report.rows.append(Row.of(f"{name}: promoted", "share of rollouts", [found.promoted]))
        report.rows.append(Row.of(f"{name}: rolled back", "share of rollouts", [found.rolled_back]))
        report.rows.append(Row.of(f"{name}: labels until decided", "labels", found.labels))
    times20 = errors(20, 10, most=2_000)
    report.rows += _requests("errors ×20", times20)
    report.rows += _requests("errors ×5", errors(5, 11, most=8_000))
    report.rows += _requests("errors ×3", errors(3, 12, most=20_000))
    report.rows += _requests("errors ×1.25 (allowed)", errors(1.25, 13, most=20_000))
    by_key, by_request = keyed(14, rollouts=500, by_key=True), keyed(14, rollouts=500, by_key=False)
    report.rows.append(Row.of("equal versions, keys that always fail, first per key", "rolled back", [by_key]))
    report.rows.append(Row.of("equal versions, keys that always fail, by request", "rolled back", [by_request]))
    broken, right = splits(0.04, 15, most=30_000), splits(0.05, 16, most=30_000)
    report.rows += _requests("split 4% for 5%", broken)
    zero = max(share.log_e([Bad(0, 11_000, weight)]) for weight in (0.01, 0.05, 0.25, 0.5))
    report.bars = [
        Bar.at_most("false_rollback", max(cells[0.0].rolled_back, cells[-0.01].rolled_back), 0.01, "share of rollouts"),
        Bar.at_most("promoted_at_margin", cells[-0.01].promoted, 0.05, "share of rollouts"),
        Bar.at_least("rolled_back_at_minus_2_points", cells[-0.02].rolled_back, 0.999, "share of rollouts"),
        Bar.at_most("labels_median_at_minus_2", float(np.median(cells[-0.02].labels)), 5_000, "labels"),
        Bar.at_most("errors_x20_p90_requests", float(np.quantile(times20, 0.9, method="lower")), 150, "canary requests"),
        Bar.at_most("keyed_false_rollback", by_key, 0.01, "share of rollouts"),
        Bar.at_most("share_zero_canary_log_e", zero, 0, "natural log"),
        Bar.at_most("srm_false", float(np.isfinite(right).mean()), 0.001, "share of rollouts"),
    ]
    return report


if __name__ == "__main__":
    main(run, __doc__)
