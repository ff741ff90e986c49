"""Whether the rows that would be held out, and the cases of suites, are enough for the verdicts that are asked of them: what `check --data` counts.

A verdict on fewer is `insufficient` whatever the model answers, and holds the version. Only what is sure beforehand is said (of a share that chance holds out,
what is likely): of enough rows too few may have what the metric divides by. Rows are parted as a gate parts them (`evaluation.values`, `evaluation.fairness.split`). Pure.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import polars as pl

from flyball.declare.checks import Check, Reference
from flyball.declare.metrics import metric_info
from flyball.declare.model import Label, Model
from flyball.declare.training import MOST_HELD, Train
from flyball.errors import BadInput, Problem
from flyball.evaluation.comparison import LEAST_ROWS
from flyball.evaluation.fairness import split
from flyball.evaluation.values import MOST_VALUES, text_of, with_declared
from flyball.features.fields import Usual
from flyball.loop.tally import DAY, Tally

_MOST_DAYS = 3650
"""A hold-out of more is no advice."""

_NAMED = 3
"""Slices that a warning names."""

_MOST_DRAWN = 2_000_000
"""Rows of a column whose groups are looked for."""

Declared = Mapping[str, tuple[Usual, ...]]


class _Part(NamedTuple):
    """Rows that a gate judges apart, of so many that there are. `most`: as many as they may be, where chance says which are held out."""

    name: str
    n: int
    most: float
    of: int


def tallies(models: Iterable[Model]) -> Mapping[str, Tally]:
    """An empty tally for each data set that models are made from, by its name, of the columns whose values are judged apart; and for those of suites."""
    found: dict[str, Tally] = {}
    labels: dict[str, set[str]] = {}
    for model in models:
        tally = found.setdefault(model.data.name, Tally(model.data, ()))
        labels.setdefault(model.data.name, set()).add("" if isinstance(model.label, Label) else model.label_column)
        judged = [column for _, check in _gates(model) for column in _columns(check)]
        parted = (*(part.name for part in model.slices), *judged)
        tally.columns = tuple(dict.fromkeys((*tally.columns, *(name for name in parted if is_counted(model, name)))))
        if model.train is not None and not model.train.by_share:
            tally.span = max(tally.span or 0, int(model.train.holdout_span) * model.train.folds)
            tally.delay = max(tally.delay, int(model.label_delay))
        for case in model.suites:
            found.setdefault(case.data.name, Tally(case.data, ()))
    for name, those in labels.items():
        found[name].label = "".join(those) if len(those) == 1 else ""
    return found


def is_counted(model: Model, name: str) -> bool:
    """Whether a slice, or a column whose groups are compared, is a column of the data: an expression of that name is not counted."""
    return name in model.data.columns and all(part.expression is None for part in model.slices if part.name == name)


def is_known(model: Model, tally: Tally) -> bool:
    """Whether the rows that would be held out are counted: which of them have a label is not where another data set has it, or where models that share one
    have labels of their own.
    """
    if model.train is None or isinstance(model.label, Label):
        return False
    return tally.label == model.label_column or not model.data.columns[model.label_column].nulls


def longer(model: Model, train: Train, factor: float) -> str:
    """What makes a hold-out `factor` times as large; empty where none of a reasonable length does."""
    if isinstance(train.holdout, float):
        share = math.ceil(100 * train.holdout * factor)
        return f'a longer hold-out: holdout="{share}%"' if train.folds == 1 and share <= 100 * MOST_HELD else "more rows"
    return _of_days(model, train, math.ceil(train.holdout * factor / DAY))


def _of_days(model: Model, train: Train, days: int) -> str:
    """A hold-out of so many days, and what must not be shorter than it."""
    cooldown = model.retrain.cooldown if model.retrain is not None else None
    more = [f'window="{2 * days}d"'] if train.window != "auto" and days * DAY > train.window else []
    more += [f'cooldown="{days}d"'] if cooldown is not None and days * DAY > cooldown else []
    named = ", ".join([f'holdout="{days}d"', *more])
    return f"a longer hold-out: {named}" if days <= _MOST_DAYS else ""


def of_gates(model: Model, tally: Tally, declared: Declared, *, said: Collection[str] = (), whose: str = "") -> Iterator[Problem]:
    """A warning for each gate whose rows are too few for any verdict.

    tally: of the model's own data set. declared: values that a column may have, rows or none. said: gates of which that is said otherwise (their `at`).
    """
    train, delay = model.train, int(model.label_delay)
    # who has nothing to judge on has no run either, which is said otherwise
    if train is None or not is_known(model, tally) or not tally.held(train, (), delay=delay)[0][1]:
        return
    short: dict[str, _Short] = {}
    for at, check in _gates(model):
        if at in said:
            continue
        held = "every version after the first" if isinstance(check.bound, Reference) and check.bound.of == "champion" else "every version"
        try:
            parts = [part for column in _columns(check) or ("",) for part in _parts(check, column, model, tally, declared)]
        except BadInput as error:
            yield Problem(whose, f'gates "{check}": {error.what}', f"{error.why}: it is insufficient, which holds {held}", at=at)
            continue
        few = sorted((part for part in parts if part.most < LEAST_ROWS), key=lambda part: (part.n, part.name))
        if few:
            about = "about " if train.by_share else ""
            rows = ", ".join(f"{part.name or 'all'} {about}n={part.n:,}" for part in few[:_NAMED]) + (", …" if len(few) > _NAMED else "")
            among = f" in {len(few)} of {len(parts)} slices" if _columns(check) else ""
            fix = "; or ".join(filter(None, (_enough(model, train, few, tally.days), "compare coarser slices" if among else "")))
            why = f"{rows}: below {LEAST_ROWS} it is insufficient, which holds {held}"
            short.setdefault(why, _Short(at, among, fix, [])).checks.append(f'"{check}"')
    for why, each in short.items():
        what = f"gates {', '.join(each.checks)}: the hold-out has too few rows for a verdict{each.among}"
        yield Problem(whose, what, why, each.fix, each.at)


class _Short(NamedTuple):
    """Gates whose rows are too few, all of them the same."""

    at: str
    among: str
    fix: str
    checks: list[str]


def of_suites(model: Model, counted: Mapping[str, Tally], *, whose: str = "") -> Iterator[Problem]:
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


def _parts(check: Check, column: str, model: Model, tally: Tally, declared: Declared) -> list[_Part]:
    """The rows of a gate by one column (empty: all of them); none where they are not counted. Raises BadInput for a column that has no groups, or too many."""
    train = model.train
    if train is None or (column and not (is_counted(model, column) and column in tally.columns)):
        return []
    table, part = tally.counts(train, column, delay=int(model.label_delay))
    if not column:
        n = int(table["n"].sum())
        return [_Part("", round(part * n), _most(n, part, train), tally.labelled)]
    values, expected = table["value"], declared.get(column, ())
    expected = expected or ((False, True) if values.dtype == pl.Boolean else ())
    if check.metric.of_gap and not check.metric.slices and not expected:
        counts = _groups(values, table["n"])
    else:
        there = {text_of(value): n for value, n in table.iter_rows()}
        counts = {name: there.get(name, 0) for name in map(text_of, with_declared(values, expected))}
        if len(counts) > MOST_VALUES:
            raise BadInput(f"{column} has {len(counts)} values", why=f"a slice is a column of at most {MOST_VALUES}")
    everywhere = {text_of(value): n for value, n in tally.all_of(column).iter_rows()}
    # a bin of numbers has the same share of all rows as of those that are held out
    usual = tally.labelled / max(1, sum(counts.values()))
    return [
        _Part(f"{column}={name}", round(part * n), _most(n, part, train), everywhere.get(name, round(n * usual)))
        for name, n in counts.items()
    ]


def _groups(values: pl.Series, n: pl.Series) -> dict[str, int]:
    """The groups that a gap is looked for between. None of more rows than are worth it."""
    if int(n.sum()) > _MOST_DRAWN:
        return {}
    column = values.repeat_by(n).explode() if len(values) else values
    return {name: rows.size for name, rows in split(column)}


def _enough(model: Model, train: Train, few: Sequence[_Part], days: float) -> str:
    """The hold-out in which the rarest of these parts has enough rows, and a third more; all the data are so many days."""
    of, wanted = min(part.of for part in few), LEAST_ROWS * 4 / 3
    if not of or wanted > of / 2:
        return "more rows"
    if isinstance(train.holdout, float):
        return longer(model, train, wanted / of / train.holdout / train.folds)
    return _of_days(model, train, math.ceil(max(wanted / of * days / train.folds, train.holdout / DAY + 1)))


def _most(n: int, part: float, train: Train) -> float:
    """How many of `n` rows a share holds out at the most: of whole groups perhaps all, of rows hardly more than that share of them."""
    if train.by_share and train.split == "stratified":
        return min(n, part * n + math.sqrt(part * n))
    return n
