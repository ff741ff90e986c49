"""Everything a run looks into beside its hold-out: one section a topic, each with the numbers that gates may name.

A section that cannot be made costs neither the run nor the others: it says why, and what gates ask of it is insufficient.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
import polars as pl

from flyball.declare.model import Model
from flyball.errors import FlyballError
from flyball.evaluation.holdout import Measured
from flyball.records.estimates import Estimate
from flyball.records.evaluation import Report
from flyball.records.training import RunSpec
from flyball.store.blobs import Blobs
from flyball.training.fitting import Fitter
from flyball.training.predictor import Predictor
from flyball.training.rows import Assembled
from flyball.training.splits import Split

Frames = Mapping[str, pl.DataFrame]


@dataclass(frozen=True)
class Subject:
    """What is looked into. `candidate` was fitted without the hold-out, `[split.start, split.stop)` of `rows`; `frame` is the judged hold-out;
    `champion` comes with its own features of the held-out rows; `artifact` is what was packed, among `blobs`: both are empty in a rehearsal.
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

    @property
    def rows(self) -> Assembled:
        """All rows that were known when the run began, in order of time."""
        return self.fitter.rows


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
            missing[section.topic] = str(error)
            unmeasured |= dict.fromkeys(section.metrics, f"{section.topic}: {error.what}")
            continue
        report = msgspec.structs.replace(report, **found.fields)
        measured |= found.measured
    return Evaluated(msgspec.structs.replace(report, missing=missing), measured, unmeasured)
