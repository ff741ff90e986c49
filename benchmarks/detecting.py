"""A model whose errors become more: labels as the fold hands them on, the detector's page, and the alert that it becomes."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import polars as pl
from benchmarks.drifting import DAY, START, monitored

from flyball.evaluation.detector import loss_bound
from flyball.monitoring.alerts import alerts
from flyball.monitoring.rules import DETECTOR, assess
from flyball.monitoring.state import MonitorState, absorb, released
from flyball.records.alerts import AlertRow, AlertState
from flyball.records.evidence import Batch, LabelBlock

PER_DAY = 274
"""Labels a day: so many that a year brings A = 100,000."""

QUIET, STEP = 10_000, 20


class Run(NamedTuple):
    """Pages before the change, and rows from the change to its page (infinite: none; NaN: one stood already)."""

    false: int
    found: float


class Paged:
    """One model's labels, its page and its alert."""

    def __init__(self, bound: float) -> None:
        self.model = monitored()
        self.state = released(MonitorState(model=self.model.name), "1.0.0", bound, START)
        self.alerts: dict[str, AlertRow] = {}
        self.pages = 0

    def take(self, errors: np.ndarray) -> None:
        """Labels in order of arrival, evenly over their time, and a look after them."""
        until = self.state.until + len(errors) * DAY // PER_DAY
        losses = errors.astype(float).tolist()
        blocks = tuple(LabelBlock("m", "1.0.0", tuple(losses[at : at + 16]), until) for at in range(0, len(losses), 16))
        self.state = absorb(self.state, Batch(until=until, blocks=blocks), ())
        for moved in alerts(self.model.name, self.alerts, assess(self.model, self.state, now=until).findings, until):
            if moved.monitor == DETECTOR:
                self.pages += moved.target == AlertState.FIRING
                row = AlertRow(moved.key, moved.model, moved.monitor, moved.target, moved.episode, until, moved.finding)
                self.alerts[moved.key] = row

    @property
    def stands(self) -> bool:
        """Whether the page stands."""
        return any(row.state == AlertState.FIRING for row in self.alerts.values())


def runs(count: int, seed: int, *, gate: int = 0, before: float = 0.10, after: float = 0.15, most: int = 10_000) -> list[Run]:
    """Models that err in `before` of 10,000 rows and in `after` of the next; m₀ is known, or the bound of a gate of so many rows."""
    random = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        model = Paged(_bound(random, gate, before) if gate else before)
        for _ in range(QUIET // 500):
            model.take(random.random(500) < before)
        false, rows = model.pages, 0
        if model.stands:
            found.append(Run(false, np.nan))
            continue
        while not model.stands and rows < most:
            model.take(random.random(STEP) < after)
            rows += STEP
        found.append(Run(false, rows if model.stands else np.inf))
    return found


def _bound(random: np.random.Generator, gate: int, error: float) -> float:
    y = pl.Series(np.zeros(gate, dtype=np.int64))
    return loss_bound("binary", pl.DataFrame({"y": y, "value": (random.random(gate) < error).astype(np.int64)}))[0]


def median(found: list[Run]) -> float:
    """Median rows to the page, of the runs in which none stood before the change."""
    return float(np.median([each.found for each in found if not np.isnan(each.found)]))


def false_rate(found: list[Run]) -> float:
    """Pages in 10,000 rows without a change."""
    return float(np.mean([each.false for each in found])) * 10_000 / QUIET
