"""Business outcomes as counts: what the answers of a version brought, by slice and day; and what two versions brought that were dealt at random.

Additive but for what each says of itself. Never rows, nor whose they are.
"""

from __future__ import annotations

from flyball.clock import Instant
from flyball.records.base import Record
from flyball.records.estimates import Estimate
from flyball.records.models import Role


class OutcomeDay(Record, frozen=True, omit_defaults=True):
    """Answers that one version gave in one role on one day (days since 1970, UTC), whole or of one `slice`, and what they brought.

    `asked` answers were given; of these `due` are old enough to be judged, and `told` of them have a row of the outcome. `n` have a value, whose sums are
    `total` and `squares`; `other` of these are neither 0 nor 1. `lag` counts `told` answers by floor(8 × log2(µs)) until their first row.

    Of all answers `labelled` have a label: `loss` sums 0/1 errors, or absolute errors of numbers. Of due ones with a value, `right_…` are those that the
    label says were right (a number: nearer than the mean error at its release), `wrong_…` the others. What leaves the floating-point range stays at `MOST`
    (`records/evidence.py`).
    """

    version: str
    role: Role
    slice: str
    day: int
    asked: int = 0
    due: int = 0
    told: int = 0
    n: int = 0
    total: float = 0.0
    squares: float = 0.0
    other: int = 0
    lag: dict[int, int] = {}
    labelled: int = 0
    loss: float = 0.0
    right_n: int = 0
    right_total: float = 0.0
    right_squares: float = 0.0
    wrong_n: int = 0
    wrong_total: float = 0.0
    wrong_squares: float = 0.0


class TrialArm(Record, frozen=True):
    """Units that met one version first while `weight` basis points of traffic went to the new one. `units` in all; `n` have a value."""

    new: bool
    weight: int
    units: int
    n: int
    total: float
    squares: float


class Trial(Record, frozen=True):
    """Two versions that answered side by side, each unit's first dealt at random; additive in its arms.

    `cap` is what values were cut off at, known from before (None: not known; values of 0 and 1 alone need none, and then `bounded` is true). `mixed` of
    the `joined` values of the key met both versions at one weight.
    """

    rollout: str
    new: str
    old: str
    started: Instant
    arms: tuple[TrialArm, ...] = ()
    cap: float | None = None
    bounded: bool = False
    mixed: int = 0
    joined: int = 0


class OutcomeCounts(Record, frozen=True):
    """All that is counted of one outcome of a model. `known` is how far its data set reaches; `content` the version of it that was read, `rows` its
    rows that fall into what was counted last, and `unmatched` those of them that belong to no answer. `declared` is what it was when it was counted.
    """

    outcome: str
    content: str
    known: Instant
    declared: str = ""
    days: tuple[OutcomeDay, ...] = ()
    trials: tuple[Trial, ...] = ()
    rows: int = 0
    unmatched: int = 0


class OutcomesKept(Record, frozen=True):
    """What is kept of a model's outcomes between looks; operational, and counted again from the log and the data sets when lost.

    `at` is when it was looked last, `digest` of what was asked then. One in `share_of` answers was read: of very many a part, chosen by their keys.
    """

    model: str
    at: Instant = 0
    digest: str = ""
    counts: tuple[OutcomeCounts, ...] = ()
    share_of: int = 1


class OutcomeRelation(Record, frozen=True):
    """How an outcome goes together with how good the answers are. A relation, and no effect: whatever moves both makes one.

    `daily` is the rank correlation of a day's mean outcome with the day's quality (`metric`; of errors, with their sign turned), over so many days (`n`).
    `right` and `wrong`: the mean of answers that the label says were right, and wrong; `difference` of the two.
    """

    metric: str
    daily: Estimate
    right: Estimate
    wrong: Estimate
    difference: Estimate


class OutcomeEffect(Record, frozen=True):
    """By how much more a unit brought that met `new` first than one that met `old`, dealt at random in `rollout`. `difference` without a value: no
    effect is claimed, and its `why` says for what reason. `log10_ratio`: evidence that units were not dealt as planned (3 and more: they were not).
    """

    rollout: str
    new: str
    old: str
    difference: Estimate
    log10_ratio: float | None = None


class OutcomeSeen(Record, frozen=True):
    """What is known of one outcome: `value` of the champion's answers (or of `slices`), of a hundred days at most, as far as they are due.

    `how` is sum, mean or count of the rows of an answer; `within` the time they have. `coverage` is the share of due answers with a row (None: none is
    due), `lag_p50_s` and `lag_p90_s` within how many seconds half and nine tenths of those had their first. `effects` newest first; with none, `no_effect`
    says why. `known_at` is how far its data set reaches, `unmatched` how many of its newest rows belong to no answer.
    """

    outcome: str
    how: str
    within: str
    version: str
    value: Estimate
    asked: int
    due: int
    coverage: float | None
    lag_p50_s: float | None
    lag_p90_s: float | None
    known_at: Instant
    unmatched: int
    slices: dict[str, Estimate]
    versions: dict[str, Estimate]
    relation: OutcomeRelation
    effects: tuple[OutcomeEffect, ...] = ()
    no_effect: str = ""
