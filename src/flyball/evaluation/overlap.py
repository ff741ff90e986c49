"""What stands on both sides of a split, and how common each class is. Pure."""

from __future__ import annotations

from typing import NamedTuple

import polars as pl

from flyball.evaluation.values import text_of
from flyball.records.estimates import Estimate
from flyball.stats.intervals import wilson

_SHOWN = 5


class Copies(NamedTuple):
    """The share of held-out rows that equal a row of training, and the values of one of them."""

    share: Estimate
    example: str


def among(rows: pl.DataFrame, train: pl.DataFrame) -> pl.Series:
    """Of each of `rows`, whether it stands in `train` too, all columns alike (nulls are alike). Both have the same columns."""
    return rows.hash_rows(seed=0).is_in(train.hash_rows(seed=0).implode())


def copies(train: pl.DataFrame, held: pl.DataFrame) -> Copies:
    """Rows of `held` that stand in `train` too, all columns alike (nulls are alike). Both have the same columns."""
    if not held.height or not held.width:
        return Copies(Estimate(value=None, why="there are no held-out rows"), "")
    both = among(held, train)
    count = int(both.sum())
    found = share(count, held.height, f"{count:,} of {held.height:,} held-out rows are in training too")
    if not count:
        return Copies(found, "")
    first = held.filter(both).row(0, named=True)
    values = [f"{name}={value}" for name, value in list(first.items())[:_SHOWN]]
    return Copies(found, ", ".join(values) + (", …" if len(first) > _SHOWN else ""))


def shared_groups(train: pl.Series, held: pl.Series) -> Estimate:
    """The share of held-out groups that are in training too; rows without a group are in none."""
    groups = held.drop_nulls().unique()
    if not len(groups):
        return Estimate(value=None, why="no held-out row has a group")
    count = int(groups.is_in(train.drop_nulls().unique().implode()).sum())
    return share(count, len(groups), f"{count:,} of {len(groups):,} held-out groups are in training too")


def class_shares(y: pl.Series, classes: tuple[int | str | bool, ...]) -> dict[str, float]:
    """Each class's share of the labels."""
    return {text_of(name): float((y == name).sum()) / max(len(y), 1) for name in classes}


def rarest(y: pl.Series, classes: tuple[int | str | bool, ...]) -> Estimate:
    """The share of the rarest class."""
    counts = {name: int((y == name).sum()) for name in classes}
    if not counts or not len(y):
        return Estimate(value=None, why="there are no labels")
    name = min(counts, key=lambda each: counts[each])
    return share(counts[name], len(y), f"class {text_of(name)}: {counts[name]:,} of {len(y):,} training rows")


def share(count: int, n: int, why: str) -> Estimate:
    """A share with its Wilson interval."""
    ends = wilson(count, n)
    return Estimate(value=count / n, low=ends.low, high=ends.high, n=n, why=why)
