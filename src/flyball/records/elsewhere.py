"""Models that are served elsewhere: which versions of them answer there, and what is normal for each."""

from __future__ import annotations

from flyball.clock import Instant
from flyball.records.base import BlobHash, Event, Record, Table
from flyball.records.estimates import Estimate


class VersionSeen(Event, frozen=True, tag="version.seen"):
    """A prediction came of a version that none had come of before: somebody released it elsewhere, or sends later what a former one answered. Or a former
    one answers again in the place of another. `since`: when the oldest of those that came with it was made; of one that is back, when the first of
    those was made that speak for it.
    """

    model: str
    version: str
    since: Instant


class ReferenceMade(Event, frozen=True, tag="reference.made"):
    """What is normal for a version that is served elsewhere: the blob of its drift reference, and how good it was.

    `rows` are those of the inputs' reference, from `since` to `until`: of the data set `of`, or (empty) the version's own predictions. Of its
    answers, `predictions` are the reference (none yet: 0), and `labels` of the first ones gave `loss_bound` (m₀, in shares of `loss_cap`),
    `metrics`, and `by_slice` (keyed `column=value`, of slices with few values); too few (none): the loss is not watched yet.
    """

    model: str
    version: str
    reference: BlobHash
    rows: int
    since: Instant
    until: Instant
    of: str = ""
    predictions: int = 0
    labels: int = 0
    loss_bound: float = 1.0
    loss_cap: float = 1.0
    metrics: dict[str, Estimate] = {}
    by_slice: dict[str, dict[str, Estimate]] = {}


class ElsewhereRow(Record, frozen=True):
    """A model that is served elsewhere. `version` is the one that answers, first seen at `seen_at`; `since` as in the event; `back`: it was seen before, and
    answers again.

    `watched` is the version that has the reference (empty: none has one yet): the former one, until the newest has its own. All else is of it;
    `watched_since` is its `since`, `until` when the last of the rows was made that the reference is of.
    """

    model: str
    version: str
    seen_at: Instant
    since: Instant
    back: bool = False
    watched: str = ""
    watched_since: Instant = 0
    made_at: Instant = 0
    until: Instant = 0
    reference: BlobHash = ""
    rows: int = 0
    of: str = ""
    predictions: int = 0
    labels: int = 0
    loss_bound: float = 1.0
    loss_cap: float = 1.0
    metrics: dict[str, Estimate] = {}
    by_slice: dict[str, dict[str, Estimate]] = {}


class SeenRow(Record, frozen=True):
    """A version that was seen, and when first; and what was last said of what is normal for it (None: nothing yet), at `made_at`."""

    model: str
    version: str
    seen_at: Instant
    made: ReferenceMade | None = None
    made_at: Instant = 0


ELSEWHERE = Table("elsewhere", ElsewhereRow)
"""Keyed by model."""

SEEN = Table("seen", SeenRow)
"""Keyed by `model/version`."""

EVENTS = (VersionSeen, ReferenceMade)
