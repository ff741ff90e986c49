"""Does a model learn its own answers? Training rows beside the answers that were logged for the same rows, as counts. Pure.

Labels that are copies of answers agree with them more often than answers are right. So of each answer it is compared how often the label was the same with how
often it was on the hold-out of the version that gave it; what goes beyond is the share of copies. That cannot see a loop that was there before the first
version, whose hold-out had it already; and a world that became much easier looks the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from flyball.declare.metrics import CLASSES
from flyball.evaluation.counts_labels import plain
from flyball.records.estimates import Estimate
from flyball.records.feedback import AnswerCoverage
from flyball.stats.intervals import wilson

FEWEST = 200
"""Rows that the model itself answered, or answers of one kind, without which nothing is told."""

NEAR = 1e-9
"""Two numbers that lie as close to each other, relative to the larger, are the same: no honest label has all digits of an answer."""

COPY = 0.9
"""In so many of the answered rows a column is the answer's score for it to be a copy of it."""

MOST_ANSWERS = 20
"""Kinds of answers whose labels are counted apart."""


@dataclass(frozen=True)
class Examined:
    """What `examine` found; see `records.feedback.FeedbackExamined`."""

    rows: int
    answered: int
    equal: int
    copied: Estimate
    columns: dict[str, float]
    coverage: tuple[AnswerCoverage, ...]


def once(frame: pl.DataFrame, key: str = "key") -> pl.DataFrame:
    """The rows whose key no other has, and which have one."""
    return frame.filter(pl.col(key).is_not_null() & pl.col(key).is_unique())


def examine(rows: pl.DataFrame, answers: pl.DataFrame, holdouts: Mapping[str, pl.DataFrame], *, task: str) -> Examined:
    """Compare training rows (`key`, `known`: when the label was, `label`, and other columns under `column:NAME`) with logged answers (`key`, `at`,
    `version`, `value`, `score`, `due`: whether a label could be there by now). holdouts: by version, `y` and `value` of its hold-out.
    """
    # a row that came before its label, and again with it, is one row
    there = rows.filter(pl.col("label").is_not_null())
    labelled, given = once(there), once(answers)
    joined = labelled.join(given, on="key", how="inner").filter(pl.col("at") <= pl.col("known"))
    same = joined.with_columns(same=_same(joined["label"], joined["value"], task), kind=_kind(joined["value"], task))
    found = same.group_by("version", "kind").agg(n=pl.len(), equal=pl.col("same").sum()).sort("version", "kind")
    usual = {version: _usual(frame, task) for version, frame in holdouts.items()}
    equal = int(found["equal"].sum())
    return Examined(
        rows=labelled.height,
        answered=joined.height,
        equal=equal,
        copied=_copied(list(found.iter_rows(named=True)), usual),
        columns=_copies(joined),
        coverage=_coverage(given, there) if task in CLASSES else (),
    )


def _same(label: pl.Series, value: pl.Series, task: str) -> pl.Series:
    left, right = plain(label), plain(value)
    if left.dtype != right.dtype:
        return pl.Series([False] * len(left), dtype=pl.Boolean)
    if task in CLASSES:
        return (left == right).fill_null(value=False)
    pair = pl.DataFrame({"l": left, "r": right})
    most = pl.max_horizontal(pl.col("l").abs(), pl.col("r").abs())
    return pair.select((pl.col("l") - pl.col("r")).abs() <= NEAR * most).to_series().fill_null(value=False)


def _kind(value: pl.Series, task: str) -> pl.Series:
    return plain(value).cast(pl.String) if task in CLASSES else pl.Series([""] * len(value), dtype=pl.String)


def _usual(holdout: pl.DataFrame, task: str) -> dict[str, tuple[int, int]]:
    """By kind of answer, how many held-out rows had it, and in how many of these the label was the same."""
    frame = pl.DataFrame({"kind": _kind(holdout["value"], task), "same": _same(holdout["y"], holdout["value"], task)})
    grouped = frame.group_by("kind").agg(n=pl.len(), equal=pl.col("same").sum())
    return {row["kind"]: (row["n"], row["equal"]) for row in grouped.iter_rows(named=True)}


def _copied(found: Sequence[Mapping[str, int]], usual: Mapping[str, Mapping[str, tuple[int, int]]]) -> Estimate:
    """The share of labels that are copies: (agreement − what is usual) / (1 − what is usual). Its lower end takes for usual the upper end of what it was."""
    n = equal = 0
    middle = upper = 0.0
    for row in found:
        known, right = usual.get(str(row["version"]), {}).get(str(row["kind"]), (0, 0))
        if not known:
            # what was never answered on the hold-out is compared with nothing
            continue
        n, equal = n + row["n"], equal + row["equal"]
        middle += row["n"] * right / known
        upper += row["n"] * wilson(right, known).high
    if n < FEWEST:
        return Estimate(value=None, n=n, why=f"{n} of the rows have an answer that is comparable, and {FEWEST} are needed")
    ends, usual_share, at_most = wilson(equal, n), middle / n, upper / n
    if at_most >= 1:
        return Estimate(value=None, n=n, why="on the hold-out every answer was right: copies cannot be told from being right")
    return Estimate(
        value=max(0.0, (equal / n - usual_share) / (1 - usual_share)) if usual_share < 1 else 0.0,
        low=max(0.0, (ends.low - at_most) / (1 - at_most)),
        high=min(1.0, max(0.0, (ends.high - usual_share) / (1 - usual_share))) if usual_share < 1 else 1.0,
        n=n,
        why=f"the label is the answer in {equal / n:.3g} of {n:,} rows, {usual_share:.3g} is usual",
    )


def _copies(joined: pl.DataFrame) -> dict[str, float]:
    """Columns that hold the score (or the number) that was answered, as no other column would to its last digit."""
    if joined.height < FEWEST:
        return {}
    told = {}
    values = joined["score"] if joined["score"].null_count() < joined.height else joined["value"]
    if values.dtype != pl.Float64 or values.n_unique() < joined.height // 10:
        return {}
    for name in joined.columns:
        if name.startswith("column:") and joined[name].dtype.is_float():
            pair = pl.DataFrame({"l": joined[name], "r": values})
            most = pl.max_horizontal(pl.col("l").abs(), pl.col("r").abs())
            share = pair.select(((pl.col("l") - pl.col("r")).abs() <= NEAR * most).fill_null(value=False).mean()).item()
            if share >= COPY:
                told[name.removeprefix("column:")] = round(float(share), 4)
    return told


def _coverage(answers: pl.DataFrame, labelled: pl.DataFrame) -> tuple[AnswerCoverage, ...]:
    due = answers.filter(pl.col("due"))
    if due.is_empty():
        return ()
    there = due.select(answer=plain(due["value"]).cast(pl.String), labelled=pl.col("key").is_in(labelled["key"].implode()))
    grouped = there.filter(pl.col("answer").is_not_null()).group_by("answer").agg(asked=pl.len(), labelled=pl.col("labelled").sum())
    top = grouped.sort("asked", "answer", descending=[True, False]).head(MOST_ANSWERS)
    return tuple(AnswerCoverage(**row) for row in top.iter_rows(named=True))
