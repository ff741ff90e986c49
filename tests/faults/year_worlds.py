"""Fifty models with nothing wrong: seasons in what is asked, in how much is asked and in how it turns out, days that differ, and no drift.

Each is a declaration and rows by day, from a seed of its own: any stretch can be made again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.special import ndtr
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OrdinalEncoder

import flyball as fb
from flyball.clock import Instant, Span
from flyball.declare.checks import Check
from flyball.declare.policy import Objective

Floats = NDArray[np.float64]
Task = Literal["binary", "multiclass", "regression"]

HOUR, DAY = Span.parse("1h"), Span.parse("1d")
START: Instant = int(datetime(2023, 1, 2, tzinfo=UTC).timestamp()) * 1_000_000
"""The first day of every history: a Monday."""

TAUGHT, A_YEAR = 77, 371
"""Days that a model learns from: eleven weeks, or a year where it has a season of the year."""

HELD = 7

COLUMNS = 8
"""Each is made of a latent number of its own, with seasons and days of its own."""

UNDECIDING = (1, 6, 7)
"""Columns on which the label does not depend. A season of the year lies in these and in traffic alone: where it makes the loss of a whole summer higher than it was on the
hold-out, the page that says so is right.
"""

CLASSES = ("low", "middle", "high")


@dataclass(frozen=True)
class World:
    """One model's world. `per_day`: requests on an average day; `delay`: how long one waits for a label; `yearly`: a season of the year as well;
    `effect`: how much days differ (σ of AR(.7)), in σ of a column.
    """

    name: str
    number: int
    task: Task
    per_day: int
    delay: Span
    yearly: bool
    effect: float
    slices: tuple[str, ...]
    monitors: tuple[str, ...]
    objective: bool
    days: int
    """Days that it lives, after those that it learns from."""

    @property
    def taught(self) -> int:
        """Days of rows that are there when the model is released first; the labels of the newest are not known yet."""
        return (A_YEAR if self.yearly else TAUGHT) + HELD + -(-int(self.delay) // DAY) + 1

    @property
    def begins(self) -> Instant:
        """When the model is released."""
        return START + self.taught * DAY

    @cached_property
    def _days(self) -> Floats:
        """Effects of days (days, 2 + COLUMNS): of traffic, of the base rate, of each column; σ = 1, AR(.7)."""
        chance = np.random.default_rng([self.number, 1])
        steps = chance.normal(size=(self.taught + self.days, 2 + COLUMNS)) * np.sqrt(1 - 0.7**2)
        found = np.empty_like(steps)
        found[0] = steps[0] / np.sqrt(1 - 0.7**2)
        for day in range(1, len(steps)):
            found[day] = 0.7 * found[day - 1] + steps[day]
        return found

    @cached_property
    def _phases(self) -> Floats:
        """When each season is at its height (3, 2 + COLUMNS), in turns: of the day, the week and the year."""
        return np.random.default_rng([self.number, 2]).uniform(size=(3, 2 + COLUMNS))

    def _season(self, place: int, days: Floats, *, daily: float, weekly: float, yearly: float) -> Floats:
        of_day, of_week, of_year = (np.cos(2 * np.pi * (days / length - self._phases[k, place])) for k, length in enumerate((1, 7, 365.25)))
        return daily * of_day + weekly * of_week + (yearly * of_year if self.yearly else 0.0)

    def _times(self, day: int, chance: np.random.Generator) -> NDArray[np.int64]:
        hours = day + np.arange(24) / 24
        rate = np.exp(self._season(0, hours, daily=0.8, weekly=0.25, yearly=0.2) + 0.12 * self._days[day, 0])
        counts = chance.poisson(self.per_day / 24 * rate / 1.22)
        offsets = (np.repeat(np.arange(24), counts) + chance.uniform(size=counts.sum())) * HOUR
        return START + day * DAY + np.sort(offsets.astype(np.int64))

    def rows(self, day: int) -> pl.DataFrame:
        """The requests of one day, with how each turned out."""
        chance = np.random.default_rng([self.number, 3, day])
        at = self._times(day, chance)
        days = (at - START) / DAY
        z = chance.normal(size=(at.size, COLUMNS))
        for place in range(COLUMNS):
            # every third column has no season
            swing = float(place % 3 != 2)
            yearly = 0.25 if place in UNDECIDING else 0.0
            z[:, place] += self._season(2 + place, days, daily=0.4 * swing, weekly=0.3 * swing, yearly=yearly)
            z[:, place] += self.effect * self._days[day, 2 + place]
        base = self._season(1, days, daily=0.3, weekly=0.2, yearly=0.0) + self.effect * self._days[day, 1]
        return pl.DataFrame({"at": pl.Series(at).cast(pl.Datetime("us")), **_columns(z), "y": self._turns_out(z, base, chance)})

    def _turns_out(self, z: Floats, base: Floats, chance: np.random.Generator) -> pl.Series:
        u = 0.9 * z[:, 0] - 0.7 * z[:, 3] + 0.5 * np.floor(4 * ndtr(z[:, 5])) - 0.75 + base
        if self.task == "regression":
            return pl.Series(20 + 3 * u + chance.normal(0, 2, size=u.size))
        if self.task == "binary":
            return pl.Series(chance.uniform(size=u.size) < 1 / (1 + np.exp(1.2 - u)))
        logits = np.stack([np.zeros_like(u), 0.8 * u, 0.8 * z[:, 4] - 0.3], axis=1)
        return pl.Series(np.array(CLASSES)[np.argmax(logits + chance.gumbel(size=logits.shape), axis=1)])

    def model(self, source: pl.DataFrame) -> fb.Model:
        """The declaration. `source`: rows that show the columns."""
        labels: dict[Task, object] = {"binary": bool, "regression": float, "multiclass": fb.column(str, one_of=list(CLASSES))}
        label = labels[self.task]
        data = fb.Dataset(
            f"{self.name}_rows",
            source=source,
            time="at",
            columns={
                **dict.fromkeys(("amount", "income", "debt", "age"), float),
                "usage": fb.column(float, nulls="20%"),
                **dict.fromkeys(("channel", "region", "device"), str),
                "y": fb.column(label if isinstance(label, type) else str, known_after=str(self.delay)),
            },
            owner="feeds",
        )
        return fb.Model(
            self.name,
            task=self.task,
            data=data,
            label="y",
            owner="modellers",
            slices=list(self.slices),
            train=fb.Train(FITS[self.task], window=f"{self.taught}d", holdout=f"{HELD}d"),
            monitors=[fb.drift(), fb.drift("predictions"), *(MONITORS[name](self) for name in self.monitors)],
            objectives=[Objective("error_rate", target="99%", window="30d")] if self.objective else [],
            playbook=fb.Playbook(performance=["page"]),
            autonomy="act",
        )


def _columns(z: Floats) -> dict[str, pl.Series]:
    usage = pl.Series(np.where(ndtr(z[:, 4]) < 0.05, np.nan, z[:, 4])).fill_nan(None)
    codes = {"channel": (4, 1), "region": (6, 1), "device": (20, 3)}
    return {
        "amount": pl.Series(z[:, 0]),
        "income": pl.Series(np.exp(z[:, 1])),
        "debt": pl.Series(np.where(ndtr(z[:, 2]) < 0.6, 0.0, np.exp(z[:, 2]))),
        "age": pl.Series(np.floor(40 + 12 * z[:, 3])),
        "usage": usage,
        **{
            name: (pl.Series(ndtr(z[:, 5 + place]) ** power * count).cast(pl.Int64).clip(0, count - 1).cast(pl.String) + name[0])
            for place, (name, (count, power)) in enumerate(codes.items())
        },
    }


def _fit(estimator: Callable[[], object]) -> Callable[[pl.DataFrame, pl.Series], object]:
    def fit(X: pl.DataFrame, y: pl.Series) -> object:
        text = [name for name in ("channel", "region", "device") if name in X.columns]
        codes = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
        return make_pipeline(make_column_transformer((codes, text), remainder="passthrough"), estimator()).fit(X, y)

    return fit


FITS = {
    "binary": _fit(lambda: HistGradientBoostingClassifier(max_iter=20, max_depth=3, random_state=0)),
    "multiclass": _fit(lambda: HistGradientBoostingClassifier(max_iter=15, max_depth=3, random_state=0)),
    "regression": _fit(lambda: HistGradientBoostingRegressor(max_iter=30, max_depth=3, random_state=0)),
}


def _quality(world: World) -> Check:
    """Bounds that hold with room, as nobody would declare one that the model misses."""
    return fb.metric("mae").over("7d") <= 2.4 if world.task == "regression" else fb.metric("accuracy").over("7d") >= 0.45


MONITORS: dict[str, Callable[[World], object]] = {
    "labels": lambda _: fb.drift("labels"),
    "quality": _quality,
    "slices": lambda _: fb.metric("accuracy").over("14d").by("region") >= 0.4,
    "gap": lambda world: (
        fb.metric("mae" if world.task == "regression" else "accuracy").gap("region").over("30d")
        <= (1.0 if world.task == "regression" else 0.35)
    ),
    "auc": lambda _: fb.metric("roc_auc").over("7d") >= 0.6,
    "calibration": lambda _: fb.metric("calibration_error").over("30d") <= 0.08,
    "latency": lambda _: fb.metric("latency_p99").over("1h") <= "80ms",
    "errors": lambda _: fb.metric("error_rate").over("1h") <= 0.02,
    "release": lambda world: (
        fb.metric("mae").over("7d") <= fb.at_release * 1.25
        if world.task == "regression"
        else fb.metric("accuracy").over("7d") >= fb.at_release - 0.08
    ),
}

_TRAFFIC = (200, 250, 300, 350, 400, 450, 500, 600, 700, 800, 1_000, 1_300)
_LARGE = {7: 2_000, 17: 3_000, 27: 5_000, 37: 2_500, 47: 20_000}
_DELAYS = ("15m", "1h", "6h", "1d", "2d", "5d", "10d", "21d")
_SLICES = ((), ("region",), ("channel", "region"))
_OF = {
    "binary": (("labels", "quality", "auc"), ("gap", "calibration"), ("release", "latency", "errors"), ("slices", "labels")),
    "multiclass": (("labels", "quality"), ("gap", "errors"), ("release", "latency"), ("slices", "labels")),
    "regression": (("labels", "quality"), ("gap", "latency"), ("release", "errors"), ("labels",)),
}


def worlds(days: int, count: int = 50) -> list[World]:
    """The models, each of `days` days."""
    tasks: tuple[Task, ...] = ("binary", "regression", "multiclass", "binary")
    found = []
    for number in range(count):
        chance = np.random.default_rng([number, 0])
        task = tasks[number % len(tasks)]
        monitors = _OF[task][number // 4 % 4]
        by_region = {"slices", "gap"} & set(monitors)
        per_day = _LARGE.get(number) or int(chance.choice(_TRAFFIC))
        found.append(
            World(
                name=f"m{number:02d}",
                number=number,
                task=task,
                per_day=per_day,
                delay=Span.parse(_DELAYS[int(chance.integers(len(_DELAYS)))]),
                yearly=number % 8 == 3 and per_day <= 1_000,
                effect=(0.0, 0.025, 0.05, 0.075, 0.1)[number % 5],
                slices=_SLICES[number % 3] if not by_region else ("region",),
                monitors=monitors,
                objective=number % 3 == 0,
                days=days,
            )
        )
    return found
