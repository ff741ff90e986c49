"""What a run finds out about the rows that a version rests on, and about other times, other rows and simpler models."""

from __future__ import annotations

from flyball.clock import Instant
from flyball.records.base import Record
from flyball.records.estimates import Estimate


class DataFacts(Record, frozen=True):
    """What is wrong with the rows that taught and judged. `leaks` in words, of `looked_at` rows (`silent`: features without any value; `unsearched`: why nobody looked).

    `classes`: class → its share of the training rows and of the hold-out. `example`: values of one row that is on both sides.
    """

    leaks: tuple[str, ...] = ()
    silent: tuple[str, ...] = ()
    looked_at: int = 0
    unsearched: str = ""
    duplicates: Estimate | None = None
    example: str = ""
    group_overlap: Estimate | None = None
    classes: dict[str, tuple[float, float]] = {}


class Simpler(Record, frozen=True):
    """A model that asks for little: its metrics on the rows that judged it. `as_good`: the candidate cannot be shown to be better in the objective;
    `difference` is by how much it is (above 0: the candidate is better). `alike`: it answers every row as the candidate does.
    """

    name: str
    rows: int
    cpu_s: float
    metrics: dict[str, Estimate]
    as_good: bool
    difference: Estimate
    alike: bool = False


class Simplers(Record, frozen=True):
    """Simpler models beside the candidate, on `holdout_rows` of the held-out rows; `candidate` are its metrics there. `dominating`: who is no worse in every one."""

    objective: str
    holdout_rows: int
    candidate: dict[str, Estimate]
    models: tuple[Simpler, ...]
    dominating: tuple[str, ...] = ()


class Period(Record, frozen=True):
    """A span of time, `[first, last]`, and what the objective is on its rows."""

    first: Instant
    last: Instant
    value: Estimate


class Periods(Record, frozen=True):
    """The candidate on rows from before those that taught it, newest first; `gap`: by how much it is better on the hold-out."""

    objective: str
    holdout: Estimate
    older: tuple[Period, ...]
    gap: Estimate


class Aged(Record, frozen=True):
    """What the objective is when the newest row that taught is `days` older than the rows that are asked."""

    days: float
    value: Estimate


class Staleness(Record, frozen=True):
    """The objective by age: one more fit on rows that end earlier, asked span by span up to the hold-out."""

    objective: str
    rows: int
    curve: tuple[Aged, ...]


class Live(Record, frozen=True):
    """How well a classifier tells held-out rows from those that are served. `columns`: what tells them apart, with the AUC of each by itself."""

    source: str
    holdout_rows: int
    live_rows: int
    auc: Estimate
    columns: dict[str, float] = {}
