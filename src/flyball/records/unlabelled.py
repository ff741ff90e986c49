"""Performance without labels: what a version's answers were worth on its hold-out, what it answers now, and what follows from the two."""

from __future__ import annotations

from flyball.clock import Instant
from flyball.records.base import BlobHash, Event, Record, Table
from flyball.records.estimates import Estimate


class ErrorColumn(Record, frozen=True):
    """A column of the error model: the group of each cell of its reference, then that of nulls. `groups`: how many there are."""

    column: str
    group_of: tuple[int, ...]
    groups: int


class ErrorModel(Record, frozen=True):
    """An additive model of the absolute error on the hold-out (`stats/errormodel.py`); `n` rows, whose mean absolute error was `mean`."""

    columns: tuple[ErrorColumn, ...]
    effects: tuple[float, ...]
    covariance: tuple[tuple[float, ...], ...]
    squares: tuple[float, ...]
    n: int
    mean: float


class Expected(Record, frozen=True):
    """What later answers are compared with, made once, in the training job; a blob.

    `scores` of a binary model, by cell of `stats/scores.py`: negatives answered no, positives answered no, negatives answered yes, positives answered
    yes. `errors` of a model that answers with numbers. Neither: `why` says so.
    """

    scores: dict[int, tuple[int, int, int, int]] = {}
    errors: ErrorModel | None = None
    why: str = ""


class AnsweredDay(Record, frozen=True):
    """What one version answered as champion to the rows of one day (days since 1970, by the time of prediction), and what became of them; additive.

    `scores`: by cell, rows answered no and yes; `nulls` had no usable score. `columns`: counts in the cells of the reference, then nulls, of the
    columns of the error model. Of rows that have `matured`, `labelled` had a label by then: tp fp fn tn of a binary model, sums of the absolute
    error and of its square of numbers.
    """

    version: str
    day: int
    model: str = ""
    n: int = 0
    nulls: int = 0
    scores: dict[int, tuple[int, int]] = {}
    columns: dict[str, tuple[int, ...]] = {}
    matured: int = 0
    labelled: int = 0
    tp: int = 0
    fp: int = 0
    fn: int = 0
    tn: int = 0
    abs_error: float = 0.0
    sq_error: float = 0.0


class ToldApart(Record, frozen=True):
    """How well a classifier tells rows of the window from rows of the reference: AUC with its interval, .5 not at all.

    `usual`: the clearest that one of the reference's own newest windows is told from the rest of it. `columns` tell the sides apart by themselves, with the AUC of each.
    """

    auc: Estimate
    usual: Estimate | None = None
    columns: dict[str, float] = {}
    reference_rows: int = 0
    rows: int = 0


class Kept(Record, frozen=True):
    """An estimate of `metric` that labels are to confirm: its value and standard deviation, over `n` rows that were answered in [since, until)."""

    metric: str
    value: float
    sd: float
    n: int
    since: Instant
    until: Instant


class PerformanceEstimated(Event, frozen=True, tag="performance.estimated"):
    """How good a version is on what it answered in [since, until), as far as that can be told without labels: an estimate, and never a measurement.

    `estimates` by metric, or `refused` says why there are none. `level`: the same metrics on the hold-out. `metric` is the one that is watched;
    `blind` says why labels do not tell it (empty: they do). `n` rows were answered, `nulls` of them without a usable score. `apart` is what the domain
    classifier found on these rows, or `unseen` why it found nothing. Of the last `confronted` windows whose labels came since, `outside` lay outside
    of their interval. `kept` is what will be confronted next, whether or not it was refused. `reference`: the blob of the Expected.
    """

    model: str
    version: str
    since: Instant
    until: Instant
    n: int
    metric: str
    reference: BlobHash
    nulls: int = 0
    estimates: dict[str, Estimate] = {}
    level: dict[str, float] = {}
    refused: str = ""
    blind: str = ""
    apart: ToldApart | None = None
    unseen: str = ""
    outside: int = 0
    confronted: int = 0
    kept: Kept | None = None


class EstimateRow(Record, frozen=True):
    """The newest estimate of a model, and of the same version the `past` ones that labels are to confirm and what the domain classifier last found,
    each newest last: by how much the lower bound lies above what is usual.
    """

    newest: PerformanceEstimated
    at: Instant
    past: tuple[Kept, ...] = ()
    apart: tuple[float, ...] = ()


ESTIMATES = Table("estimate", EstimateRow)
"""Keyed by model."""

EVENTS = (PerformanceEstimated,)
