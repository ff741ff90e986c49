"""Two sequential detectors a model, on labels in order of arrival: one wakes people, one asks for a new training (docs/statistics.md §3, §5).

Each label is a bucket of its own, so the state after a stretch of labels is the same however the stretch was cut into batches.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec
import numpy as np

from flyball.clock import Instant
from flyball.records.base import Record
from flyball.stats.edetector import START, State, feed, feed_held, log_mean, threshold

DAY = 86_400_000_000

RECOVERY = 200
"""Labels after an alarm that are looked at together: a mean loss of at most m₀ in them is a measured recovery."""


HELD = 3.0
"""So far above log A (natural) the evidence that asks for a training is held, more than log 16: uncapped, five days of a loss of .3 over a bound of .12
took 18 days of .08 to be forgotten."""


class Detector(Record, frozen=True):
    """An e-detector whose false alarms come at most once in the labels of `days` days. `alarmed_at` 0: no alarm stands.

    Of one that is carried on by `take` M starts again at 0 after an alarm; `since_n` and `since_loss` count the labels of the present look for a recovery.
    """

    days: int
    state: State = START
    alarmed_at: Instant = 0
    log_m: float = 0.0
    log_a: float = 0.0
    since_n: int = 0
    since_loss: float = 0.0


def take(detector: Detector, losses: Sequence[float], *, bound: float, per_day: float, at: Instant, swing: float = 1.0) -> Detector:
    """Take labels that arrived by `at`. `per_day` is the measured rate of labels, `bound` m₀, `swing` how much more than by chance the loss differs between
    hours and days when nothing is wrong.
    """
    log_a = math.log(threshold(per_day, detector.days))
    if detector.alarmed_at:
        return _recover(detector, losses, bound)
    values = np.clip(np.asarray(losses, dtype=np.float64), 0.0, 1.0)
    state, alarms = feed(detector.state, values, bound, log_a, swing)
    if not alarms:
        return msgspec.structs.replace(detector, state=state, log_m=max(log_mean(state), 0.0), log_a=log_a)
    # the label that alarmed is the same however the stretch was cut; those after it are looked at for a recovery
    upto = alarms[0] + 1
    at_alarm, _ = feed(detector.state, values[:upto], bound, math.inf, swing)
    alarmed = Detector(days=detector.days, alarmed_at=at, log_m=log_mean(at_alarm), log_a=log_a)
    return _recover(alarmed, losses[upto:], bound)


def follow(detector: Detector, losses: Sequence[float], *, bound: float, per_day: float, at: Instant) -> Detector:
    """Take labels as `take` does, where the alarm stands while M, held at e³ A, is at least A: it asks for what is worth its price only while the loss is
    still high.
    """
    log_a = math.log(threshold(per_day, detector.days))
    state = feed_held(detector.state, np.clip(np.asarray(losses, dtype=np.float64), 0.0, 1.0), bound, log_a + HELD)
    log_m = max(log_mean(state), 0.0)
    alarmed_at = (detector.alarmed_at or at) if log_m >= log_a else 0
    return msgspec.structs.replace(detector, state=state, log_m=log_m, log_a=log_a, alarmed_at=alarmed_at)


def _recover(detector: Detector, losses: Sequence[float], bound: float) -> Detector:
    n, loss = detector.since_n + len(losses), detector.since_loss + float(sum(losses))
    if n < RECOVERY:
        return msgspec.structs.replace(detector, since_n=n, since_loss=loss)
    return Detector(days=detector.days) if loss <= bound * n else msgspec.structs.replace(detector, since_n=0, since_loss=0.0)
