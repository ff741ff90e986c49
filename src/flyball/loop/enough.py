"""Whether the rows that would be held out, and the cases of suites, are enough for the verdicts that are asked of them: what `check --data` counts.

A verdict on fewer is `insufficient` whatever the model answers, and holds the version. Only what is sure beforehand is said: of enough rows too few may
have a label, or what the metric divides by. Pure.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Protocol

from flyball.declare.checks import Check
from flyball.declare.metrics import metric_info
from flyball.declare.model import Model
from flyball.declare.training import MOST_HELD, Train
from flyball.errors import Problem
from flyball.evaluation.comparison import LEAST_ROWS
from flyball.features.fields import Usual

DAY = 86_400_000_000
_MOST_DAYS = 3650
"""A hold-out of more is no advice."""

_NAMED = 3
"""Slices that a warning names."""


class Counted(Protocol):
    """The rows of a data set, as they were counted."""

    rows: int

    def held(self, train: Train, columns: Sequence[str], *, delay: int = 0) -> list[tuple[str, int]]:
        """Rows that would be held out, whole, or in each value of these columns."""
        ...


def longer(train: Train, factor: float) -> str:
    """What makes a hold-out `factor` times as large; empty where none of a reasonable length does."""
    if isinstance(train.holdout, float):
        share = math.ceil(100 * train.holdout * factor)
        return f'a longer hold-out: holdout="{share}%"' if train.folds == 1 and share <= 100 * MOST_HELD else "more rows"
    days = math.ceil(train.holdout * factor / DAY)
    return f'a longer hold-out: holdout="{days}d"' if days <= _MOST_DAYS else ""


def columns_of(model: Model) -> list[str]:
    """Columns and slices in each of whose values a gate wants enough rows."""
    return [column for _, check in _gates(model) for column in _columns(check)]


def of_gates(
    model: Model, counted: Counted, declared: Mapping[str, tuple[Usual, ...]], *, said: Collection[str] = (), whose: str = ""
) -> Iterator[Problem]:
    """A warning for each gate whose rows are too few for any verdict.

    counted: the model's own data set. declared: values that a column may have, rows or none. said: gates of which that is said otherwise (their `at`).
    """
    if model.train is None or not counted.rows:
        return
    for at, check in _gates(model):
        parts = dict(counted.held(model.train, _columns(check), delay=int(model.label_delay)))
        for column in _columns(check):
            if any(name.startswith(f"{column}=") for name in parts):
                parts = {f"{column}={value}": 0 for value in declared.get(column, ())} | parts
        short = sorted((n, name) for name, n in parts.items() if n < LEAST_ROWS)
        if short and at not in said:
            rows = ", ".join(f"{name or 'all'} n={n:,}" for n, name in short[:_NAMED]) + (", …" if len(short) > _NAMED else "")
            many = f" in {len(short)} of {len(parts)} slices" if _columns(check) else ""
            wider = longer(model.train, LEAST_ROWS / short[0][0]) if short[0][0] else ""
            yield Problem(
                whose,
                f'gates "{check}": the hold-out has too few rows for a verdict{many}',
                f"{rows}: below {LEAST_ROWS} it is insufficient, which holds every version",
                "; or ".join(filter(None, (wider, "compare coarser slices" if _columns(check) else "declare no such gate"))),
                at,
            )


def of_suites(model: Model, counted: Mapping[str, Counted], *, whose: str = "") -> Iterator[Problem]:
    """A warning for each suite that was read and has too few cases for a verdict."""
    for at, case in enumerate(model.suites):
        rows = counted[case.data.name].rows if case.data.name in counted else 0
        if 0 < rows < LEAST_ROWS:
            yield Problem(
                whose,
                f'suite "{case.name}" has too few cases for a verdict',
                f"n={rows:,}: below {LEAST_ROWS} it is insufficient, which holds every version",
                f'bring more cases: data set "{case.data.name}"',
                f"/suites/{at}",
            )


def _gates(model: Model) -> Iterator[tuple[str, Check]]:
    """The gates on held-out rows, each with its place. Of alternatives another may decide."""
    for at, gate in enumerate(model.gates):
        info = metric_info(gate.metric.name) if isinstance(gate, Check) else None
        if isinstance(gate, Check) and info is not None and info.source in ("quality", "prediction") and model.task in info.tasks:
            yield f"/gates/{at}", gate


def _columns(check: Check) -> tuple[str, ...]:
    """What the rows of a gate are parted by. Of a gap in each value of a slice, the slice alone."""
    metric = check.metric
    return metric.slices or ((metric.of_gap,) if metric.of_gap else ())
