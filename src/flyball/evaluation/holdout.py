"""Rows to judge on, and the numbers that a run measured beside them: all that a gate may rest on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

import polars as pl

from flyball.evaluation.answers import Answers, Label, Rows, answers
from flyball.evaluation.values import rows_by, with_declared
from flyball.records.estimates import Estimate

FIT = "__champion"
"""The column that says which of the champion's fits answered a row."""


@dataclass(frozen=True)
class Holdout:
    """Rows to judge on: columns y, value, score, base_value, base_score, champion_value, champion_score and the slice columns.

    Without `champion_value` there is no champion; it is null on rows that the champion has seen. `slices`: declared slices, all of them watched against a clear loss. `classes`: ascending, the
    last positive. `group`: column of the entity that rows share, or empty. `costs`: what an error costs, by kind. `declared`: the values that a slice is
    declared to have, by column. `unpaired`: of `paired` rows, all of which they are a part. `look`: which look at this version's evidence it is, from 1;
    rows are added between looks, and each is judged at a level of its own.
    """

    frame: pl.DataFrame
    task: str
    slices: tuple[str, ...] = ()
    classes: tuple[Label, ...] = ()
    group: str = ""
    costs: Mapping[str, float] = field(default_factory=dict)
    declared: Mapping[str, tuple[Label, ...]] = field(default_factory=dict)
    unpaired: pl.DataFrame | None = None
    look: int = 1

    def _answers(self, prefix: str) -> Answers | None:
        if f"{prefix}value" not in self.frame.columns:
            return None
        return answers(
            self.task,
            self.frame,
            value=f"{prefix}value",
            score=f"{prefix}score",
            classes=self.classes,
            group=self.group,
            costs=self.costs,
        )

    @cached_property
    def new(self) -> Answers | None:
        """The candidate's answers."""
        return self._answers("")

    @cached_property
    def champion(self) -> Answers | None:
        """The champion's answers to the same rows, if there is one."""
        return self._answers("champion_")

    @cached_property
    def paired(self) -> Holdout:
        """The rows to which the champion has answers: all but those that it has seen."""
        if "champion_value" not in self.frame.columns or not self.frame["champion_value"].null_count():
            return self
        return replace(self, frame=self.frame.filter(pl.col("champion_value").is_not_null()), unpaired=self.frame)

    @cached_property
    def baseline(self) -> Answers | None:
        """The baseline's answers to the same rows."""
        return self._answers("base_")

    @property
    def fits(self) -> str:
        """Which of the champion's fits answered, as text; empty where the evidence does not say."""
        return " and ".join(self.frame[FIT].drop_nulls().unique().sort().to_list()) if FIT in self.frame.columns else ""

    def column(self, name: str) -> pl.Series:
        """A column of the rows that have a label, which are those of the answers."""
        return _labelled(self.frame, name)

    def expected(self, name: str) -> tuple[Label, ...]:
        """The values that a column is declared to have: of a boolean both."""
        return self.declared.get(name, (False, True) if self.frame.schema[name] == pl.Boolean else ())

    def values(self, column: str) -> list[tuple[str, Rows]]:
        """Each value of a slice column as text, with the numbers of its rows, in order; nulls are a value of their own.

        A value that is declared, or that only rows have which the champion has seen, is there without rows: nobody has judged it.
        """
        everywhere = self.frame if self.unpaired is None else self.unpaired
        return rows_by(self.column(column), with_declared(_labelled(everywhere, column), self.expected(column)))


def _labelled(frame: pl.DataFrame, column: str) -> pl.Series:
    return frame.filter(pl.col("y").is_not_null())[column]


@dataclass(frozen=True)
class Measured:
    """Numbers of a run by metric name, those of the champion's run, and why one that a gate may ask for is missing."""

    numbers: Mapping[str, Estimate] = field(default_factory=dict)
    champion: Mapping[str, Estimate] = field(default_factory=dict)
    missing: Mapping[str, str] = field(default_factory=dict)
