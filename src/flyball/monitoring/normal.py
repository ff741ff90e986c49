"""What a person says is no alarm is normal from then on: the losses since the release take the place of the hold-out's (docs/statistics.md §3). Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from flyball.clock import Instant
from flyball.monitoring.detector import DAY
from flyball.records.base import Record
from flyball.stats.intervals import Z_ONE_SIDED
from flyball.stats.swings import LEAST_ROWS, LEAST_STRETCHES, upper

LEAST = 200
"""Losses below which their mean says nothing of what is normal."""


class Losses(Record, frozen=True):
    """Losses in [0, 1] by the day in which they arrived, as sums: additive, whatever their number.

    `n`, `total`, `squares`: of all; `days`, `day_n`, `day_total`, `nn`, `ns`, `ss`: how many days are over, Σn_k, Σs_k, Σn_k², Σn_k s_k and Σs_k² of days with n_k
    losses that sum to s_k; `today`, `today_n`, `today_total`: the day that is not over.
    """

    n: int = 0
    total: float = 0.0
    squares: float = 0.0
    days: int = 0
    day_n: int = 0
    day_total: float = 0.0
    nn: float = 0.0
    ns: float = 0.0
    ss: float = 0.0
    today: int = 0
    today_n: int = 0
    today_total: float = 0.0


class Normal(NamedTuple):
    """m₀ and φ of the detector that wakes people."""

    bound: float
    swing: float


def add(known: Losses, losses: Sequence[float], at: Instant) -> Losses:
    """Take in losses in [0, 1] that arrived by `at`."""
    known = known if at // DAY == known.today else _closed(known, at // DAY)
    total = math.fsum(losses)
    return Losses(
        n=known.n + len(losses),
        total=known.total + total,
        squares=known.squares + math.fsum(loss * loss for loss in losses),
        days=known.days,
        day_n=known.day_n,
        day_total=known.day_total,
        nn=known.nn,
        ns=known.ns,
        ss=known.ss,
        today=known.today,
        today_n=known.today_n + len(losses),
        today_total=known.today_total + total,
    )


def _closed(known: Losses, today: int) -> Losses:
    n, total = known.today_n, known.today_total
    return Losses(
        n=known.n,
        total=known.total,
        squares=known.squares,
        days=known.days + (n > 0),
        day_n=known.day_n + n,
        day_total=known.day_total + total,
        nn=known.nn + n * n,
        ns=known.ns + n * total,
        ss=known.ss + total * total,
        today=today,
    )


def normal(losses: Losses, before: Normal) -> Normal:
    """m₀ = mean + 1.645 √(φ v/n) of the losses, and φ between their days (`stats.swings`), neither below what it was; fewer than 200 losses change nothing."""
    if losses.n < LEAST:
        return before
    mean = losses.total / losses.n
    variance = max(losses.squares / losses.n - mean * mean, 0.0)
    swing = max(before.swing, _swing(losses, variance))
    bound = min(1.0, mean + Z_ONE_SIDED * math.sqrt(swing * variance / losses.n))
    return Normal(max(bound, before.bound), swing)


def _swing(losses: Losses, variance: float) -> float:
    if variance <= 0 or losses.days < LEAST_STRETCHES or losses.day_n / losses.days < LEAST_ROWS:
        return 1.0
    mean = losses.day_total / losses.day_n
    off = losses.ss - 2 * mean * losses.ns + mean * mean * losses.nn
    return upper(max(off, 0.0), losses.days, rows=losses.day_n, variance=variance)
