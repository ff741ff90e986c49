"""All that one model's monitors keep between looks: counts, detectors and trails. Operational, bounded, rebuilt from the log when lost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
import numpy as np

from flyball.clock import Instant
from flyball.evaluation.counts_inputs import LABEL
from flyball.monitoring import detector as detectors
from flyball.monitoring import normal
from flyball.monitoring.answered import extend as extend_days
from flyball.monitoring.detector import RECOVERY, Detector
from flyball.monitoring.heard import EVER, Heard
from flyball.monitoring.learning import Seen
from flyball.monitoring.normal import Losses
from flyball.monitoring.slabs import MINUTE, Slab, extend, requests_of, slabs_of
from flyball.monitoring.volume import Arrivals, arrive, left_out, receive
from flyball.monitoring.windows import DAY, KEPT, WEEK, Pace, Reference, Series, Trail, Window, cuts, fill, follow_on, judge, reference_of
from flyball.records.base import Record
from flyball.records.estimates import Estimate
from flyball.records.evidence import Batch, Bins, Cursor, InputCounts
from flyball.records.unlabelled import AnsweredDay
from flyball.stats.onset import Onset, follow

PAGE_DAYS, RETRAIN_DAYS = 365, 90

GAP = MINUTE
"""How long (µs) after the log's last gap nothing rests on what it says: a disk that is full by fits writes a gap at each of them."""


class MonitorState(Record, frozen=True):
    """One model's monitors. `version` is the champion they watch (empty: none yet), `m0` the upper bound of its loss at
    release (a clipped loss over `loss_cap`), `page_m0` and `swing` are m₀ and φ of the detector that wakes
    people (0: m0).

    `gap_at` is when the log last said that records could not be written (all models' together), or some of this model's were not counted;
    `unlogged` how many since that began.
    `at_release` and `baseline` are the metrics that checks compare with. `labels` counts matured labels of this
    version, `labels_since` is when they began to come, `labels_tried` how many there were at the last attempt to train, at
    `tried_at`. `onset` is since when their loss has been above m₀, as far as it is. `seen`, of a model that is served elsewhere: its versions.
    Of such a model, `reference` is the blob of what its windows are compared with, and `behind` how far the log had been read before they were: what of
    it is theirs is still to be counted (None: nothing). `answered` are the champions' answers by day. `losses` are the champion's; `raised_by` the incident whose false alarm raised what wakes people.
    """

    model: str
    version: str = ""
    released_at: Instant = 0
    until: Instant = 0
    gap_at: Instant = 0
    unlogged: int = 0
    m0: float = 1.0
    loss_cap: float = 1.0
    page_m0: float = 0.0
    swing: float = 1.0
    raised_by: str = ""
    losses: Losses = Losses()
    at_release: dict[str, Estimate] = msgspec.field(default_factory=dict)
    baseline: dict[str, Estimate] = msgspec.field(default_factory=dict)
    labels: int = 0
    labels_since: Instant = 0
    labels_tried: int = 0
    tried_at: Instant = 0
    page: Detector = Detector(days=PAGE_DAYS)
    retrain: Detector = Detector(days=RETRAIN_DAYS)
    onset: Onset = Onset()
    slabs: tuple[Slab, ...] = ()
    arrivals: Arrivals = Arrivals()
    slow: Series = Series()
    daily: Series = Series()
    fast: Window | None = None
    fast_labels: Window | None = None
    trails: tuple[Trail, ...] = ()
    seen: tuple[Seen, ...] = ()
    answered: tuple[AnsweredDay, ...] = ()
    reference: str = ""
    behind: Cursor | None = None

    def gap(self, now: Instant) -> int:
        """Records that are missing from the evidence because of what is wrong now; 0 once `GAP` has gone by without another gap."""
        return self.unlogged if self.gap_at and now - self.gap_at <= GAP else 0

    @property
    def wakes_at(self) -> float:
        """m₀ of the detector that wakes people."""
        return self.page_m0 or self.m0

    @property
    def unanswered(self) -> bool:
        """Whether the alarm that wakes people has outlived a measured look at the present champion: its own labels do not say that the loss has come down."""
        return bool(self.page.alarmed_at) and self.labels >= RECOVERY

    @property
    def new_labels(self) -> int:
        """Labels since the last attempt to train, or since the release where that is newer."""
        return self.labels - self.labels_tried

    @property
    def labels_per_day(self) -> float:
        """The measured rate of labels."""
        return self.labels * DAY / max(self.until - self.labels_since, 1) if self.labels else 0.0


def absorb(state: MonitorState, batch: Batch, bins: Sequence[Bins], heard: Heard = EVER) -> MonitorState:
    """Take in one batch: what belongs to the model, and what its champion answered. `bins` are the champion's reference; `heard` is when anybody listened."""
    since = state.until or batch.until
    new = slabs_of(
        (part for part in batch.quality if part.model == state.model and part.role == "champion"),
        (part for part in batch.traffic if part.model == state.model and part.role == "champion"),
        (part for part in batch.labels if part.model == state.model),
    )
    asked = requests_of(
        (part for part in batch.traffic if part.model == state.model), (part for part in batch.refusals if part.model == state.model)
    )
    unmatched = batch.unmatched.get(state.model, 0)
    last = (Slab(start=batch.until // MINUTE, unmatched=unmatched),) if unmatched else ()
    # in order: each is looked for from the newest backward
    new = tuple(sorted((*new, *asked, *last), key=lambda slab: slab.start))
    state = msgspec.structs.replace(
        state,
        until=max(state.until, batch.until),
        slabs=extend(state.slabs, new, batch.until) if new else state.slabs,
        arrivals=_arrived(state, [(slab.start, slab.asked + slab.refused) for slab in asked], batch.until, heard),
        answered=extend_days(state.answered, [day for day in batch.answered if day.model == state.model], batch.until),
    )
    state = _labels(state, batch, since=since)
    inputs = [counts for counts in batch.inputs if counts.model == state.model]
    reference = reference_of(bins)
    state = _timed(state, inputs, reference, since=since, until=batch.until)
    return _fast(state, inputs, reference, since=since, until=batch.until)


def caught_up(state: MonitorState, inputs: Sequence[InputCounts], bins: Sequence[Bins], behind: Cursor) -> MonitorState:
    """Take in what was read before the windows were of this reference, in order of time: of the last weeks (and days) that rows may be added to, and, for
    windows of a thousand rows, of those weeks that ended in the last seven days. `inputs` have their weeks.
    """
    reference, until = reference_of(bins), max(state.until, behind.until)
    kept = [counts for counts in inputs if counts.week + KEPT * WEEK > until - WEEK]
    # a day that nobody waits for any more did not come late
    kept = [counts if counts.day + KEPT * DAY > until - DAY else msgspec.structs.replace(counts, day=0) for counts in kept]
    state = _timed(state, kept, reference, since=until, until=until)
    return msgspec.structs.replace(_fast(state, kept, reference, since=behind.until - WEEK, until=until), behind=None)


def _arrived(state: MonitorState, minutes: Sequence[tuple[int, int]], until: Instant, heard: Heard) -> Arrivals:
    # of what is served elsewhere, predictions come later than they were made
    return receive(state.arrivals, minutes, until // MINUTE, heard) if state.seen else arrive(state.arrivals, minutes, heard)


def _bound(m0: float) -> float:
    return min(max(m0, 1e-6), 1.0)


def gapped(state: MonitorState, records: int, at: Instant) -> MonitorState:
    """So many `records` could not be written to the log, whosever they were, or not be counted."""
    return msgspec.structs.replace(state, gap_at=at, unlogged=state.gap(at) + records)


def uncounted(state: MonitorState, records: int, at: Instant) -> MonitorState:
    """So many `records` of this model's came until `at` and could not be counted."""
    known = gapped(state, records, at)
    # when those that were made elsewhere were made, nobody has read
    return known if state.seen else msgspec.structs.replace(known, arrivals=left_out(state.arrivals, at // MINUTE))


def _labels(state: MonitorState, batch: Batch, *, since: Instant) -> MonitorState:
    losses = [loss for block in batch.blocks if block.model == state.model and block.version == state.version for loss in block.losses]
    if not losses:
        return state
    # the rate counts from the first label on: labels that take a month would else look rare, and their alarms come cheap
    began = state.labels_since if state.labels else since
    state = msgspec.structs.replace(state, labels=state.labels + len(losses), labels_since=began)
    clipped = np.clip(losses, 0.0, 1.0)
    rate, bound, wakes = state.labels_per_day, _bound(state.m0), _bound(state.wakes_at)
    return msgspec.structs.replace(
        state,
        losses=normal.add(state.losses, clipped.tolist(), batch.until),
        onset=follow(state.onset, clipped, bound, since=since, until=batch.until),
        page=detectors.take(state.page, losses, bound=wakes, per_day=rate, at=batch.until, swing=state.swing),
        retrain=detectors.follow(state.retrain, losses, bound=bound, per_day=rate, at=batch.until),
    )


def _timed(state: MonitorState, inputs: Sequence[InputCounts], reference: Reference, *, since: Instant, until: Instant) -> MonitorState:
    """Weeks since the release, and whole days after it. Rows of an earlier time were another champion's."""
    began = state.released_at
    # who folds rows and does not tell their week gives them in order
    week = began + (since - began) // WEEK * WEEK
    weeks = [(counts.week or week, counts) for counts in inputs]
    weeks = [(start, counts) for start, counts in weeks if start + WEEK > began]
    slow, trails = follow_on(state.slow, weeks, reference, pace="slow", width=WEEK, until=until)
    state = _with_trails(msgspec.structs.replace(state, slow=slow), trails, "slow")
    days = [(counts.day, counts) for counts in inputs if counts.day >= began and counts.day and not counts.slice]
    daily, trails = follow_on(state.daily, days, reference, pace="day", width=DAY, until=until)
    return _with_trails(msgspec.structs.replace(state, daily=daily), trails, "day")


def _fast(state: MonitorState, inputs: Sequence[InputCounts], reference: Reference, *, since: Instant, until: Instant) -> MonitorState:
    """Windows of a thousand rows, and of a thousand labels, as they come. What is a week late says nothing of the present."""
    present = [
        counts
        for counts in inputs
        if (counts.column, counts.slice) in reference.fast and not (counts.week and counts.week + WEEK <= max(since, state.released_at))
    ]
    rows, full = _filled(state.fast, [counts for counts in present if counts.column != LABEL], since, until)
    labels, told = _filled(state.fast_labels, [counts for counts in present if counts.column == LABEL], since, until)
    trails = judge(judge(state.trails, full, reference, pace="fast"), told, reference, pace="fast")
    return msgspec.structs.replace(state, fast=rows, fast_labels=labels, trails=trails)


def _filled(
    window: Window | None, inputs: Sequence[InputCounts], since: Instant, until: Instant
) -> tuple[Window | None, list[tuple[Window, Instant]]]:
    """The open window with counts added to it, and those that became full."""
    done: list[tuple[Window, Instant]] = []
    for part in cuts(inputs):
        window, full = fill(window, part, since)
        if full is not None:
            done.append((full, until))
    return window, done


def _with_trails(state: MonitorState, trails: tuple[Trail, ...] | None, pace: Pace) -> MonitorState:
    if trails is None:
        return state
    return msgspec.structs.replace(state, trails=(*(trail for trail in state.trails if trail.pace != pace), *trails))


def released(
    state: MonitorState,
    version: str,
    m0: float,
    now: Instant,
    *,
    loss_cap: float = 1.0,
    page_m0: float = 0.0,
    swing: float = 1.0,
    at_release: Mapping[str, Estimate] | None = None,
    baseline: Mapping[str, Estimate] | None = None,
) -> MonitorState:
    """Another champion answers from `now` on: M = 0, new m₀, windows against its own reference. Counts over time go on.

    A page that stands is not taken back: it ends when the new champion's labels show that the loss has come down.
    """
    page = Detector(days=PAGE_DAYS)
    if state.page.alarmed_at:
        page = msgspec.structs.replace(state.page, since_n=0, since_loss=0.0)
    return msgspec.structs.replace(
        state,
        version=version,
        released_at=now,
        until=max(state.until, now),
        m0=m0,
        loss_cap=loss_cap,
        page_m0=page_m0,
        swing=swing,
        raised_by="",
        losses=Losses(),
        at_release=dict(at_release or {}),
        baseline=dict(baseline or {}),
        labels=0,
        labels_since=0,
        labels_tried=0,
        page=page,
        retrain=Detector(days=RETRAIN_DAYS),
        onset=state.onset.handed_on(),
        slow=Series(),
        daily=Series(),
        fast=None,
        fast_labels=None,
        trails=(),
        reference="",
        behind=None,
    )


def raised(state: MonitorState, bound: float, swing: float, incident: str) -> MonitorState:
    """What wakes people begins anew at M = 0, with the m₀ and φ that `incident` raised it to."""
    return msgspec.structs.replace(state, page_m0=bound, swing=swing, raised_by=incident, page=Detector(days=PAGE_DAYS))


def tried(state: MonitorState, at: Instant) -> MonitorState:
    """A training was begun at `at`, whatever becomes of it: labels count from here for the next one."""
    return msgspec.structs.replace(state, tried_at=at, labels_tried=state.labels)


def attempted(state: MonitorState) -> MonitorState:
    """A retraining was tried and the champion stayed: the retraining detector starts again at M = 0."""
    return msgspec.structs.replace(state, retrain=Detector(days=RETRAIN_DAYS))
