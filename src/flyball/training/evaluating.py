"""Everything a run looks into beside its hold-out: one section a topic, each with the numbers that gates may name.

A section that cannot be made, or whose code raises, costs neither the run nor the others: it says why, and what gates ask of it is insufficient.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import msgspec
import polars as pl

from flyball.declare.model import Model
from flyball.errors import FlyballError
from flyball.evaluation.answers import Answers
from flyball.evaluation.answers import answers as read_answers
from flyball.evaluation.holdout import Measured
from flyball.features.fields import gap_columns, slices
from flyball.records.cost import Cost
from flyball.records.estimates import Estimate
from flyball.records.evaluation import Packaging, Report
from flyball.records.training import RunSpec
from flyball.store.blobs import Blobs
from flyball.training.fitting import Fitter
from flyball.training.judging import amounts
from flyball.training.predictor import Predictor
from flyball.training.rows import GROUP, Assembled
from flyball.training.splits import Split

Frames = Mapping[str, pl.DataFrame]

_MOST_TEXT = 300
"""Characters of what a section's code raised: it goes into the ledger."""


@dataclass(frozen=True)
class Subject:
    """What is looked into. `candidate` was fitted without the hold-out, `[split.start, split.stop)` of `rows`; `frame` is the judged hold-out;
    `champion` comes with its own features of the held-out rows; `artifact` is what was packed, among `blobs`: both are empty in a rehearsal; `packaging` is in which form, and why.
    """

    spec: RunSpec
    model: Model
    frames: Frames
    fitter: Fitter
    split: Split
    candidate: Predictor
    released: Predictor
    frame: pl.DataFrame
    champion: tuple[Predictor, pl.DataFrame] | None = None
    artifact: str = ""
    blobs: Blobs | None = None
    packaging: Packaging | None = None
    parameters: Mapping[str, int | float | str | bool] = field(default_factory=dict)
    cost: Cost | None = None

    @property
    def rows(self) -> Assembled:
        """All rows that were known when the run began, in order of time."""
        return self.fitter.rows

    @cached_property
    def held(self) -> pl.DataFrame:
        """The features of the held-out rows, row by row those of `frame`."""
        return self.rows.frame[self.split.holdout : self.split.end].select(self.rows.features)

    @cached_property
    def answers(self) -> Answers:
        """What the candidate answered to them."""
        group = GROUP if GROUP in self.frame.columns else ""
        classes = self.candidate.signature.classes
        return read_answers(self.model.task, self.frame, classes=classes, group=group, costs=amounts(self.model))

    @cached_property
    def columns(self) -> dict[str, pl.Series]:
        """What may be told of a held-out row: its features, slices and groups, by name; nothing that may say who it is of."""
        beside = [name for name in (*self.model.slice_names, *gap_columns(self.model)) if name in self.frame.columns]
        found = {name: self.held[name] for name in self.held.columns} | {name: self.frame[name] for name in beside}
        return {name: series for name, series in found.items() if name not in self.model.data.identifying}

    @cached_property
    def row_columns(self) -> dict[str, pl.Series]:
        """What of `columns` may be told of one row alone: not to which protected group it belongs, nor a slice that is made from one."""
        protected = {name for name, column in self.model.data.columns.items() if column.protected}
        protected |= {name for name, made in slices(self.model).items() if protected & {*made.meta.root_names()}}
        return {name: series for name, series in self.columns.items() if name not in protected}


@dataclass(frozen=True)
class Found:
    """What a section gives: fields of the Report, and numbers by metric name."""

    fields: Mapping[str, Any] = field(default_factory=dict)
    measured: Mapping[str, Estimate] = field(default_factory=dict)


@dataclass(frozen=True)
class Section:
    """A topic, the metrics it measures, and how it is made. `make` raises BadInput to say why it cannot be."""

    topic: str
    metrics: tuple[str, ...]
    make: Callable[[Subject], Found]


@dataclass(frozen=True)
class Evaluated:
    """The report, and its numbers for gates."""

    report: Report
    measured: dict[str, Estimate]
    unmeasured: dict[str, str]

    def beside(self, champion: Mapping[str, Estimate]) -> Measured:
        """For `judge`: these numbers, and those of the champion's run."""
        return Measured(self.measured, champion, self.unmeasured)


def evaluate(subject: Subject, sections: Sequence[Section]) -> Evaluated:
    """Make the sections of a run's report."""
    report, measured, unmeasured = Report(), dict[str, Estimate](), dict[str, str]()
    missing: dict[str, str] = {}
    for section in sections:
        try:
            found = section.make(subject)
        except FlyballError as error:
            missing[section.topic] = "; ".join(part for part in (error.what, error.why) if part)
            unmeasured |= dict.fromkeys(section.metrics, f"{section.topic}: {error.what}")
            continue
        except Exception as error:  # noqa: BLE001 - a version's own code and many libraries run here: the log shows where, the report says what
            traceback.print_exc()
            told = f"it raised {type(error).__name__}: {str(error)[:_MOST_TEXT]}"
            missing[section.topic] = f"{told}; see the run's log"
            unmeasured |= dict.fromkeys(section.metrics, f"{section.topic}: {told}")
            continue
        report = msgspec.structs.replace(report, **found.fields)
        measured |= found.measured
    return Evaluated(msgspec.structs.replace(report, missing=missing), measured, unmeasured)
