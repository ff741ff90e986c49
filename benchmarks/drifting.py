"""A model that is watched as the loop watches it, and worlds for it: rows are folded into counts, judged by window, and become alerts.

The worlds have twenty mixed columns, made of one latent number each, so that whatever moves is said in its standard deviations.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import msgspec
import numpy as np
import polars as pl
from scipy.special import ndtr

from flyball.clock import Instant, Span
from flyball.declare.checks import Drift
from flyball.declare.data import Dataset
from flyball.declare.model import Model
from flyball.evaluation.counts import Folder
from flyball.evaluation.reference import FAST_ROWS, bin_frame, reference
from flyball.monitoring.alerts import alerts
from flyball.monitoring.rules import assess
from flyball.monitoring.state import MonitorState, absorb, released
from flyball.records.alerts import AlertRow, AlertState
from flyball.records.evidence import Batch, Bins, InputCounts, Watch
from flyball.stats.drift import Level

HOUR = 3_600_000_000
DAY = 24 * HOUR
WEEK = 7 * DAY
START = 1_700_000_000_000_000 // WEEK * WEEK
COLUMNS = 20
REFERENCE_WEEKS = 8

_RANK: dict[Level, int] = {"none": 0, "warn": 1, "alert": 2}
_STANDS = (AlertState.FIRING, AlertState.ACKNOWLEDGED)


def monitored(*monitors: object) -> Model:
    """A model with these monitors."""
    data = Dataset("rows", source="rows.csv", time="at", columns={"x": float, "y": int})
    return Model("m", task="binary", data=data, label="y", monitors=list(monitors))


@dataclass
class Watched:
    """One model from its release on: everything that the loop would keep of it."""

    model: Model
    bins: tuple[Bins, ...]
    start: Instant = START
    state: MonitorState = field(init=False)
    alerts: dict[str, AlertRow] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.state = released(MonitorState(model=self.model.name), "1.0.0", 0.5, self.start)
        self._asked = 0

    def serve(self, frame: pl.DataFrame, until: Instant) -> Level:
        """Answer these rows and look; what stands of drift then, at its gravest."""
        return self.look(Batch(until=until, inputs=self.counts(frame)))

    def counts(self, frame: pl.DataFrame) -> tuple[InputCounts, ...]:
        """The rows as counts, cut at every thousandth, as the fold of the log cuts them (`folded` checks that)."""
        cuts = (0, *range(FAST_ROWS - self._asked % FAST_ROWS, frame.height, FAST_ROWS), frame.height)
        self._asked += frame.height
        parts = (frame[start:end] for start, end in pairwise(cuts))
        first, last = int(frame["at"].min()), int(frame["at"].max())  # type: ignore[arg-type]  # a column of i64
        # as the fold tells them: the week from the release on, and the day, where all rows are of one
        week, day = self.start + (first - self.start) // WEEK * WEEK, first // DAY * DAY
        told = {"week": week, "day": day if last < day + DAY else 0}
        found = (counts for part in parts for counts in bin_frame(self.bins, part, model=self.model.name))
        return tuple(msgspec.structs.replace(counts, **told) for counts in found)

    def folded(self, frame: pl.DataFrame, until: Instant) -> tuple[InputCounts, ...]:
        """The counts that the fold of the log makes of these rows, as the first that the model answers; their time is `at`."""
        folder = Folder(Watch(model=self.model.name, task="binary", label_delay=Span(0), bins=self.bins))
        ids = pl.Series("request_id", [f"{place:08d}" for place in range(frame.height)])
        folder.add(frame.with_columns(ids, version=pl.lit("1.0.0"), value=pl.lit(1.0)), pl.DataFrame())
        return folder.take(until).inputs

    def look(self, batch: Batch) -> Level:
        """One turn of the loop: counts, verdicts, alerts."""
        until = batch.until
        self.state = absorb(self.state, batch, self.bins)
        found = assess(self.model, self.state, now=until)
        for moved in alerts(self.model.name, self.alerts, found.findings, until):
            self.alerts[moved.key] = AlertRow(
                key=moved.key,
                model=moved.model,
                monitor=moved.monitor,
                state=moved.target,
                episode=moved.episode,
                since=until,
                finding=moved.finding,
            )
        names = {str(monitor) for monitor in self.model.monitors}
        stands = [row.finding.severity for row in self.alerts.values() if row.state in _STANDS and row.monitor in names]
        return max(stands, key=_RANK.__getitem__, default="none")

    def slow(self) -> Level:
        """The gravest verdict that the weeks alone give."""
        return max((trail.verdict for trail in self.state.trails if trail.pace == "slow"), key=_RANK.__getitem__, default="none")


def reached(level: Level, least: Level) -> bool:
    """Whether a level is at least another."""
    return _RANK[level] >= _RANK[least]


def mixed(latent: np.ndarray) -> pl.DataFrame:
    """Twenty columns x0…x19 of latent numbers (n, 20): plain and heavy-tailed, with 60% and 95% zeros, counts, nulls, 2 to 5,000 categories."""
    made: dict[str, pl.Series] = {}
    for place in range(COLUMNS):
        values = latent[:, place]
        made[f"x{place}"] = pl.Series(_KINDS[place](values))
    return pl.DataFrame(made)


def _zeros(share: float) -> Callable[[np.ndarray], np.ndarray]:
    return lambda z: np.where(ndtr(z) < share, 0.0, np.exp(z))


def _codes(count: int) -> Callable[[np.ndarray], pl.Series]:
    # the first codes are common and the last rare, as most are
    return lambda z: pl.Series((ndtr(z) ** 3 * count).astype(np.int64).clip(0, count - 1)).cast(pl.String)


def _nulls(share: float) -> Callable[[np.ndarray], pl.Series]:
    return lambda z: pl.Series(np.where(ndtr(z) < share, np.nan, z)).fill_nan(None)


_KINDS: Sequence[Callable[[np.ndarray], np.ndarray | pl.Series]] = (
    *[lambda z: z] * 5,
    *[lambda z: np.exp(2 * z)] * 2,
    lambda z: np.sign(z) / np.maximum(1e-9, 2 * ndtr(-np.abs(z))),
    _zeros(0.6),
    _zeros(0.95),
    lambda z: np.floor(np.exp(z)),
    lambda z: np.floor(5 * ndtr(z)),
    _nulls(0.05),
    _nulls(0.30),
    _codes(2),
    _codes(3),
    _codes(20),
    _codes(20),
    _codes(5_000),
    _codes(5_000),
)


def cycles(at: np.ndarray) -> np.ndarray:
    """What the time of day and the day of the week add to each latent number (n, 20), in standard deviations."""
    phase = np.linspace(0, 2 * np.pi, COLUMNS, endpoint=False)
    day = at[:, None] / DAY * 2 * np.pi + phase
    week = at[:, None] / WEEK * 2 * np.pi + 2 * phase
    return np.sin(day) + 0.5 * np.sin(week)


def day_effects(random: np.random.Generator, days: int, sd: float) -> np.ndarray:
    """Effects (days, 20) that whole days have on each column: first-order autoregressive with .7, of standard deviation `sd`."""
    found = np.empty((days, COLUMNS))
    found[0] = random.normal(size=COLUMNS)
    for day in range(1, days):
        found[day] = 0.7 * found[day - 1] + np.sqrt(1 - 0.49) * random.normal(size=COLUMNS)
    return sd * found


@dataclass
class World:
    """Weeks of traffic. `weekly` rows a week; `cycle` 1 for days and weeks that swing; `days` effects of whole days, from the first reference day on."""

    random: np.random.Generator
    weekly: int
    cycle: float = 0.0
    days: np.ndarray | None = None
    lead: int = REFERENCE_WEEKS

    def rows(self, first_week: int, weeks: int, *, count: int = 0, shift: np.ndarray | float = 0.0) -> pl.DataFrame:
        """Rows with their time `at`, evenly over whole weeks (week 0 begins at START; the reference lies before it)."""
        n = count or self.weekly * weeks
        at = START + first_week * WEEK + (np.arange(n) + 1) * (weeks * WEEK // n)
        latent = self.random.normal(size=(n, COLUMNS)) + shift
        if self.cycle:
            latent += self.cycle * cycles(at)
        if self.days is not None:
            latent += self.days[(at - 1 - START) // DAY + self.lead * 7]
        return mixed(latent).with_columns(at=pl.Series(at))

    def watched(self, model: Model | None = None, *, count: int = 0) -> Watched:
        """A model trained on the weeks before week 0, `lead` of them (`count` rows in all)."""
        trained = self.rows(-self.lead, self.lead, count=count)
        bins = reference(trained, [f"x{place}" for place in range(COLUMNS)], time="at")
        return Watched(model or monitored(Drift("inputs")), bins)
