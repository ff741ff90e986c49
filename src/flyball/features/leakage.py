"""What in the rows gives the answer away: a feature that is the label, one that alone says as much, and rows that stand on both sides of
the hold-out. And what says nothing: a feature that is null in every row.

Nothing here is certain, so all of it is told and stops nothing. Each figure rests on rows that did not make it, with its 95% interval, and
stands beside what the last known label says of the same rows: what is merely a good predictor is no leak.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import polars as pl

from flyball.clock import Instant
from flyball.data.types import micros
from flyball.declare.framing import known_after
from flyball.declare.metrics import CLASSES
from flyball.declare.model import Label, Model
from flyball.errors import Problem
from flyball.features.assemble import feature_columns, training_rows
from flyball.features.exact import Floats
from flyball.features.fields import inputs, is_own, last_known_label
from flyball.features.order import Ints
from flyball.stats.delong import auc
from flyball.stats.intervals import t_interval, wilson

SAMPLE = 20_000
"""Rows that are looked at, the newest: beyond them an interval is narrow enough for any figure here."""

FEWEST = 200
BINS = 64

NEARLY_CLASS, NEARLY_NUMBER = 0.95, 0.98
"""What a feature must say alone, at the lower end of its interval: the share of errors that it takes away, and of the variance (R²)."""

SAME = 0.99
"""Share of rows, and of those without the commonest label, on which a feature that is the label has its value."""

COPIED, BEYOND_CHANCE = 0.01, 20.0
"""Share of held-out rows that stand before the hold-out too, and how many times what chance would give."""

_NAMED = 3
_EVER: Instant = 2**53 - 1


class Figure(NamedTuple):
    """How much of the label something says: 1 all of it, 0 nothing (less: it misleads). `shown` as people read it."""

    value: float
    low: float
    high: float
    shown: str


def leaks(model: Model, frames: Mapping[str, pl.DataFrame], where: str = "") -> list[Problem]:
    """Everything suspicious in the newest rows of a model's data sets. Raises BadInput, DeclarationError where no rows can be made of them."""
    if isinstance(model.label, Label) or model.train is None:
        return []
    whole, since = frames[model.data.name], 0
    if model.data.time:
        times = micros(whole[model.data.time]).drop_nulls().sort()
        since = int(times[-min(SAMPLE, len(times))]) if len(times) else 0
    else:
        frames = {**frames, model.data.name: whole.tail(SAMPLE)}
    return leaks_in(model, training_rows(model, frames, as_of=_EVER, since=since), whole, where)


def leaks_in(model: Model, rows: pl.DataFrame, whole: pl.DataFrame, where: str = "") -> list[Problem]:
    """The same, of training rows that there are already, the newest; `whole`: all rows of the model's data set."""
    told = [*_values(model, rows), *_beside(model, rows), *_copies(model, whole), *_silent(model, rows)] if rows.height >= FEWEST else []
    place = where or f'Model "{model.name}"'
    return [Problem(place, *item) for item in told]


def _silent(model: Model, rows: pl.DataFrame) -> Iterator[tuple[str, str, str]]:
    """Features that have no value in any row."""
    for name in feature_columns(model):
        if rows[name].null_count() == rows.height:
            view = next((view for view in model.features if name in view.features), None)
            why = "estimators cannot use it, and some fail on it"
            if view is None:
                yield f'feature "{name}" is null in each of {rows.height:,} rows', why, "take it out, or correct what makes it"
                continue
            fix = (
                "see that its window reaches beyond the columns' known_after, that ttl= is no shorter, and that its key is that of the rows"
            )
            yield f'feature "{name}" of view "{view.name}" is null in each of {rows.height:,} rows', why, fix


def _values(model: Model, rows: pl.DataFrame) -> Iterator[tuple[str, str, str]]:
    """Features that are the label, and those that alone nearly give it."""
    y = rows["__y"]
    last = last_known_label(model)
    lagged = says(model.task, y, rows[last]) if last else None
    # what a window of the same data set gives was known at the moment of prediction, as far as known_after is true
    before = {name for view in model.features if is_own(model, view) for name in view.features}
    nearly = NEARLY_CLASS if model.task in CLASSES else NEARLY_NUMBER
    for name in feature_columns(model):
        if name in before:
            continue
        same = _agreement(y, rows[name])
        if same is not None:
            yield (
                f'leak: feature "{name}" is the label: {same:.2%} of {rows.height:,} rows have the same value',
                "whoever asks does not know it yet, or there is nothing to predict",
                "take it out, or say when it is known: known_after=",
            )
            continue
        found = says(model.task, y, rows[name])
        if found is None or found.low < nearly or (lagged is not None and found.low <= lagged.high):
            continue
        beside = f"the last known label ({last}) gives {lagged.shown}; " if lagged is not None else ""
        yield (
            f'leak: feature "{name}" alone nearly gives the label: {found.shown}',
            f"{beside}what says so much is seldom known at the moment of prediction",
            "say when it is known: known_after=; if it is known in time, this model has little to add to it",
        )


def _beside(model: Model, rows: pl.DataFrame) -> Iterator[tuple[str, str, str]]:
    """Of a label that is known when the model is asked: what its own row's inputs say of it, beside those of the row before."""
    known = known_after(model)
    if known > -model.framing.horizon or rows.height < 2 * FEWEST or not model.data.time:
        return  # of rows without a time none comes before another
    names = [name for name in inputs(model) if model.data.columns[name].known_after >= known]
    y, found = rows["__y"], []
    for name in names:
        own, before = alone(model.task, y[1:], rows[name][1:]), alone(model.task, y[1:], rows[name][:-1])
        if own is not None and before is not None and own.low > before.high:
            found.append((own.low - before.high, name, own, before))
    for _, name, own, before in sorted(found, reverse=True)[:_NAMED]:
        yield (
            f'leak: "{name}" is known no earlier than the label and says more of it than it could have said before: {own.shown}',
            f"its value of the row before gives {before.shown}",
            "read it through a feature view's window, or predict ahead: framing=fb.Framing(…, horizon=…)",
        )


def _agreement(y: pl.Series, value: pl.Series) -> float | None:
    """The share of rows on which a feature has the label's value, if that is nearly all of them and of those with an uncommon label."""
    if _number(value) != _number(y):
        return None
    left, right = (series.cast(pl.Float64, strict=False) if _number(series) else series.cast(pl.String) for series in (y, value))
    same = (left == right).fill_null(value=False)
    uncommon = (left != left.mode()[0]).fill_null(value=False)
    if uncommon.sum() < FEWEST // 4:
        return None
    share, others = float(same.mean() or 0.0), float(same.filter(uncommon).mean() or 0.0)  # type: ignore[arg-type]
    return share if min(share, others) >= SAME else None


def _number(series: pl.Series) -> bool:
    return series.dtype.is_numeric() or series.dtype == pl.Boolean


def says(task: str, y: pl.Series, value: pl.Series) -> Figure | None:
    """What a value says of the label by itself: learned on the first half of the rows, judged on the second. None: too few rows."""
    half = len(y) // 2
    if half < FEWEST // 2 or y.n_unique() < 2:
        return None
    cell = _cells(value, half)
    return _classes(y, cell, half) if task in CLASSES else _numbers(y.cast(pl.Float64).to_numpy(), value, cell, half)


def _cells(value: pl.Series, half: int) -> Ints:
    """The bin of each row: by quantiles of the first half, each value its own where there are few; nulls are one more."""
    if value.dtype.is_numeric() and value[:half].n_unique() > BINS:
        numbers = value.cast(pl.Float64).to_numpy()
        edges = np.unique(np.nanquantile(numbers[:half], np.linspace(0, 1, BINS + 1)[1:-1]))
        return np.where(np.isnan(numbers), -1, np.searchsorted(edges, numbers)).astype(np.int64)
    text = value.cast(pl.String)
    known = text[:half].drop_nulls().unique().sort()
    codes = text.replace_strict(known, np.arange(len(known)), default=None, return_dtype=pl.Int64) if len(known) else text.is_null()
    return codes.cast(pl.Int64).fill_null(-1).to_numpy()


def _classes(y: pl.Series, cell: Ints, half: int) -> Figure:
    """The share of the commonest answer's errors that the value takes away. `shown`: accuracy."""
    frame = pl.DataFrame({"y": y.cast(pl.String), "cell": cell})
    first, second = frame[:half], frame[half:]
    common = first["y"].mode().sort()[0]
    answer = first.group_by("cell", "y").len().sort("len", "y", descending=[True, False]).unique("cell", keep="first", maintain_order=True)
    judged = second.join(answer.select("cell", answer=pl.col("y")), on="cell", how="left").with_columns(pl.col("answer").fill_null(common))
    right, n = int((judged["y"] == judged["answer"]).sum()), judged.height
    floor = float((judged["y"] == common).mean() or 0.0)
    share, ends = right / n, wilson(right, n)
    value, low, high = ((each - floor) / max(1 - floor, 1 / n) for each in (share, ends.low, ends.high))
    return Figure(
        value, low, high, f"accuracy {share:.3f} [{ends.low:.3f}, {ends.high:.3f}] on {n:,} rows, the commonest value {floor:.3f}"
    )


def _numbers(y: Floats, value: pl.Series, cell: Ints, half: int) -> Figure:
    """R² of the better of two answers: the mean of the value's bin, and a straight line."""
    y = _scaled(y)
    mean = float(y[:half].mean())
    totals = pl.DataFrame({"cell": cell[:half], "y": y[:half]}).group_by("cell").agg(pl.col("y").mean())
    binned = pl.DataFrame({"cell": cell[half:]}).join(totals, on="cell", how="left", maintain_order="left")["y"].fill_null(mean).to_numpy()
    answers = [binned]
    if _number(value):
        x = _scaled(value.cast(pl.Float64).to_numpy())
        there = ~np.isnan(x[:half])
        if there.sum() > 2 and np.ptp(x[:half][there]) > 0:
            slope, level = np.polyfit(x[:half][there], y[:half][there], 1)
            answers.append(np.where(np.isnan(x[half:]), mean, slope * x[half:] + level))
    judged = y[half:]
    spread = float(((judged - judged.mean()) ** 2).mean()) or 1.0
    errors = min(((judged - answer) ** 2 for answer in answers), key=lambda each: float(each.mean()))
    n = len(judged)
    ends = t_interval(float(errors.mean()), float(errors.std(ddof=1) / np.sqrt(n)), n - 1)
    value_, low, high = 1 - float(errors.mean()) / spread, 1 - ends.high / spread, 1 - ends.low / spread
    return Figure(value_, low, high, f"R² {value_:.3f} [{low:.3f}, {high:.3f}] on {n:,} rows")


def _scaled(numbers: Floats) -> Floats:
    """To ±1, so that no square is beyond what a float holds; R² is the same of any unit."""
    present = numbers[~np.isnan(numbers)]
    most = float(np.abs(present).max()) if present.size else 0.0
    return numbers / (most or 1.0)


def alone(task: str, y: pl.Series, value: pl.Series) -> Figure | None:
    """The AUC of a number for a binary label (turned the way that helps), else what `says` gives."""
    if task != "binary" or not value.dtype.is_numeric():
        return says(task, y, value)
    there = value.is_not_null() & ~value.cast(pl.Float64).is_nan().fill_null(value=True)
    numbers, flags = value.filter(there).cast(pl.Float64).to_numpy(), (y == y.max()).filter(there).to_numpy()
    if min(int(flags.sum()), int((~flags).sum())) < FEWEST // 4:
        return None
    found = auc(flags, numbers)
    best = max(found.value, 1 - found.value)
    low, high = best - 1.96 * found.se, best + 1.96 * found.se
    return Figure(best, low, high, f"AUC {best:.3f} [{low:.3f}, {high:.3f}] on {len(numbers):,} rows")


def _copies(model: Model, frame: pl.DataFrame) -> Iterator[tuple[str, str, str]]:
    """Rows of the hold-out that stand before it too, more often than values that are merely few would coincide."""
    data, train = model.data, model.train
    assert train is not None, "only what is trained has a hold-out"
    if train.by_share or not data.time:
        return  # which rows are held out follows from what they are: equal ones are on one side
    names = [name for name in data.columns if name not in data.roles]
    times = micros(frame[data.time])
    border = int(times.max() or 0) - int(train.holdout_span)  # type: ignore[arg-type]  # a column of i64
    rows = frame.select(names).filter(pl.Series(frame[model.label_column].is_not_null()))
    after = (times > border).filter(frame[model.label_column].is_not_null())
    held, before = rows.filter(after), rows.filter(~after)
    if min(held.height, before.height) < FEWEST // 4:
        return
    hashed = before.hash_rows(seed=0)
    copied = held.hash_rows(seed=0).is_in(hashed.implode())
    share, chance = float(copied.mean() or 0.0), _coincidence(before, names)  # type: ignore[arg-type]
    if share >= COPIED and share > BEYOND_CHANCE * chance:
        yield (
            f'leak: {int(copied.sum()):,} of {held.height:,} rows of the last {train.holdout} of data set "{data.name}" stand before it as well',
            f"all {len(names)} columns are the same; chance would make it {chance * held.height:.1f}: a model is judged on rows it has learned by heart",
            "read each row once: unique=[…] names what makes one",
        )


def _coincidence(rows: pl.DataFrame, names: Sequence[str]) -> float:
    """The chance that a row has a twin among `rows` if its columns had nothing to do with each other."""
    logarithm = np.log(rows.height)
    for name in names:
        counts = rows[name].alias("value").value_counts()["count"].to_numpy().astype(np.float64)
        # of two different rows: a row is no twin of itself
        same = np.sum(counts * (counts - 1)) / (rows.height * (rows.height - 1))
        logarithm += np.log(max(same, 1 / rows.height**2))
    return float(min(1.0, np.exp(min(logarithm, 0.0))))
