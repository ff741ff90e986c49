"""Two sequential detectors a model, on labels in order of arrival: one wakes people, one asks for a new training (docs/statistics.md §3, §5).

Each label is a bucket of its own, so the state after a stretch of labels is the same however the stretch was cut into batches.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec
import numpy as np
from scipy.special import logsumexp

from flyball.clock import Instant
from flyball.records.base import Record
from flyball.stats.betting import GRID
from flyball.stats.edetector import START, State, log_mean, threshold

DAY = 86_400_000_000

RECOVERY = 200
"""Labels after an alarm that are looked at together: a mean loss of at most m₀ in them is a measured recovery."""


class Detector(Record, frozen=True):
    """An e-detector whose false alarms come at most once in the labels of `days` days. `alarmed_at` 0: no alarm stands.

    After an alarm M starts again at 0; `since_n` and `since_loss` count the labels of the present look for a recovery.
    """

    days: int
    state: State = START
    alarmed_at: Instant = 0
    log_m: float = 0.0
    log_a: float = 0.0
    since_n: int = 0
    since_loss: float = 0.0


def advance(state: State, losses: Sequence[float], bound: float) -> State:
    """Take `losses` (n,) in [0, 1], in order, one bucket each; `bound` is m₀ in (0, 1].

    With S_i the log-likelihood of the first i labels, M_n = e^{S_n}(M₀ + 1) + Σ_{i≥2} e^{S_n − S_{i−1}}.
    """
    values = np.asarray(losses, dtype=np.float64)
    if values.size == 0:
        return state
    sums = np.cumsum(np.log1p(np.outer(GRID / bound, np.clip(values, 0.0, 1.0) - bound)), axis=1)
    total = sums[:, -1:]
    terms = np.concatenate([total + np.asarray(state)[:, None], total - sums[:, :-1]], axis=1)
    log_m = logsumexp(terms, axis=1)
    return tuple(np.logaddexp(0.0, log_m).tolist())


def take(detector: Detector, losses: Sequence[float], *, bound: float, per_day: float, at: Instant) -> Detector:
    """Take labels that arrived by `at`. `per_day` is the measured rate of labels, `bound` m₀."""
    log_a = math.log(threshold(per_day, detector.days))
    if detector.alarmed_at:
        return _recover(detector, losses, bound)
    state = advance(detector.state, losses, bound)
    log_m = log_mean(state)
    if log_m < log_a:
        return msgspec.structs.replace(detector, state=state, log_m=max(log_m, 0.0), log_a=log_a)
    return Detector(days=detector.days, alarmed_at=at, log_m=log_m, log_a=log_a)


def _recover(detector: Detector, losses: Sequence[float], bound: float) -> Detector:
    n, loss = detector.since_n + len(losses), detector.since_loss + float(sum(losses))
    if n < RECOVERY:
        return msgspec.structs.replace(detector, since_n=n, since_loss=loss)
    return Detector(days=detector.days) if loss <= bound * n else msgspec.structs.replace(detector, since_n=0, since_loss=0.0)
