"""What happened and what one model answered, as arrays: the form in which every metric and test takes its rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from flyball.declare.metrics import CLASSES
from flyball.errors import BadInput
from flyball.stats import clusters
from flyball.stats.logspace import Floats

Label = int | float | str | bool
Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Answers:
    """Rows of one model, shapes (n,).

    `y`, `value`: numbers; for binary tasks 1.0 is the positive class; for multiclass ones the classes' numbers (a null answer is NaN: never right).
    `score`: binary: the positive class's; multiclass: that of the class that happened; None where there is none. `groups`: cluster numbers, or None.
    `lists`: of a ranking, which rows are ranked together (those of one group and time); `value` is then what they are ordered by.
    `costs`: what an error costs, by kind (false_positive, false_negative; absolute_error, squared_error), in one currency.
    """

    task: str
    y: Floats
    value: Floats
    score: Floats | None = None
    groups: Rows | None = None
    lists: Rows | None = None
    costs: Mapping[str, float] = field(default_factory=dict)

    @property
    def n(self) -> int:
        """How many rows."""
        return int(self.y.size)

    @property
    def correct(self) -> Floats:
        """1.0 where the class was right, else 0.0; shape (n,)."""
        return np.equal(self.y, self.value).astype(np.float64)

    @property
    def constant(self) -> bool:
        """Whether every row got one and the same answer, so that nothing was learned from what differs between them."""
        if self.n < 2 or np.isnan(self.value).any() or np.unique(self.value).size != 1:
            return False
        if self.score is None:
            return True
        # of several classes the score is that of the one that happened: it differs between classes where every row got the same scores
        parts = [self.score] if self.task == "binary" else [self.score[self.y == each] for each in np.unique(self.y)]
        return all(np.unique(part).size == 1 for part in parts)

    def entities(self, among: Floats | None = None) -> tuple[int, float]:
        """How many entities share the rows, and how many of one size would say as much, counting in each what its rows are of `among` (shape (n,);
        None: its rows).
        """
        assert self.groups is not None, "rows share no entity"
        _, codes = np.unique(self.groups, return_inverse=True)
        sizes = np.bincount(codes, weights=among).astype(np.float64)
        return int(np.count_nonzero(sizes)), clusters.alike(sizes)

    def take(self, rows: Rows) -> Answers:
        """These rows alone."""
        return replace(
            self,
            y=self.y[rows],
            value=self.value[rows],
            score=None if self.score is None else self.score[rows],
            groups=None if self.groups is None else self.groups[rows],
            lists=None if self.lists is None else self.lists[rows],
        )


def _positive(y: pl.Series, value: pl.Series) -> Any:
    """The larger class; 1 where all are 0 or 1."""
    if y.dtype == pl.Boolean:
        return True
    if y.dtype.is_numeric():
        top = max((float(part.max()) for part in (y, value) if part.drop_nulls().len()), default=1.0)  # type: ignore[arg-type]
        return 1.0 if top <= 1 else top
    return max((str(part.max()) for part in (y, value) if part.drop_nulls().len()), default="")


def _floats(series: pl.Series) -> Floats:
    out: Floats = series.cast(pl.Float64).fill_null(float("nan")).to_numpy()
    return out


def _flags(series: pl.Series, positive: Any) -> Floats:
    if isinstance(positive, bool | int | float) and (series.dtype == pl.Boolean or series.dtype.is_numeric()):
        # True and 1 are one class, whichever of the two the label and the model use
        return _floats(series.cast(pl.Float64) == float(positive))
    return _floats(series.cast(pl.String) == str(positive))


def _codes(series: pl.Series, classes: Sequence[Any]) -> Floats:
    numbers = {label: float(index) for index, label in enumerate(classes)}
    return np.array([numbers.get(label, float("nan")) for label in series.to_list()], dtype=np.float64)


def _score(task: str, frame: pl.DataFrame, name: str, y: Floats, classes: int) -> Floats | None:
    if name not in frame.columns or task not in CLASSES:
        return None
    column = frame[name]
    if column.null_count() or column.dtype == pl.Null:
        return None
    if task == "binary":
        numbers = _floats(column) if column.dtype.is_numeric() else None
        return None if numbers is None or np.isnan(numbers).any() else numbers
    if not isinstance(column.dtype, pl.List | pl.Array):
        return None
    table = np.asarray(column.to_list(), dtype=np.float64)
    if table.ndim != 2 or table.shape[1] != classes or np.isnan(y).any():
        return None
    picked: Floats = table[np.arange(len(y)), y.astype(np.int64)]
    return picked


def answers(
    task: str,
    frame: pl.DataFrame,
    *,
    value: str = "value",
    score: str = "score",
    classes: Sequence[Label] = (),
    group: str = "",
    costs: Mapping[str, float] | None = None,
) -> Answers:
    """Read the columns `y`, `value` and `score` of a frame; rows whose `y` is null are left out.

    `classes`: of the task in ascending order (the last is the positive one); empty: taken from the frame, so give them where a hold-out may lack
    one. Of a ranking, rows of one `group` (and one `__time`, if there is that column) are a list. A multiclass score is a list of one number a class. A score that is missing in any row counts as none at all.
    Raises BadInput when a column is missing or a numeric task has text.
    """
    for name in ("y", value):
        if name not in frame.columns:
            raise BadInput(f'the evaluation frame has no column "{name}"', fix=f"it has {', '.join(frame.columns)}")
    frame = frame.filter(pl.col("y").is_not_null())
    y, given = frame["y"], frame[value]
    if task == "binary":
        positive = classes[-1] if classes else _positive(y, given)
        numbers = _flags(y, positive), _flags(given, positive)
    elif task in CLASSES:
        found = list(classes) or sorted({*y.unique().to_list(), *given.drop_nulls().unique().to_list()})
        numbers = _codes(y, found), _codes(given, found)
        classes = found
    else:
        if any(not (part.dtype.is_numeric() or part.dtype == pl.Null) for part in (y, given)):
            raise BadInput(f"a {task} task has numbers, not {y.dtype} and {given.dtype}", fix="cast label and prediction to numbers")
        numbers = _floats(y), _floats(given)
    groups = None
    if group:
        groups = frame[group].rank("dense").fill_null(0).cast(pl.Int64).to_numpy()
    lists = _lists(frame, groups) if task == "ranking" and groups is not None else None
    return Answers(task, *numbers, _score(task, frame, score, numbers[0], len(classes)), groups, lists, costs or {})


TIME = "__time"
"""The column of a hold-out with each row's time: rows of one group at another time are another list."""


def _lists(frame: pl.DataFrame, groups: Rows) -> Rows:
    if TIME not in frame.columns or not groups.size:
        return groups
    times = frame[TIME].rank("dense").cast(pl.Int64).to_numpy()
    numbers: Rows = groups * (int(times.max()) + 1) + times
    return numbers
