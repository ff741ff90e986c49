"""Shiryaev–Roberts e-detector: has the mean loss of matured rows risen above m₀? Watched for ever, at a known rate of false alarms.

Sixteen bets λ_j = g_j/m₀ on the losses x ∈ [0, 1]; a bucket of n rows with likelihood L_j moves M_j ← L_j (M_j + n): every row may have been
the start of the change. While the mean is at most m₀, the mean of M_j grows by at most one a row, so on average at least A rows pass between false
alarms at threshold A, however rows are cut into buckets (as long as the cut looks at time or counts alone, never at losses).

m₀ must be an upper bound of the champion's loss (`evaluation.detector.loss_bound`); the point estimate voids the guarantee.
Source: Shin, Ramdas & Rinaldo, "E-detectors" (2023).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np

from flyball.stats.betting import GRID, log_growth
from flyball.stats.logspace import Floats, log_mean_exp

State: TypeAlias = tuple[float, ...]
"""log(1 + M_j), natural, sixteen numbers ≥ 0: finite also at the start, so it survives JSON."""

_AT_ONCE = 512
"""Labels that are taken together: what comes after an alarm is taken anew."""

START: State = (0.0,) * len(GRID)
"""M = 0: at a release and after every alarm."""


def _advance(state: State, rows: float, log_likelihood: Floats) -> tuple[State, float]:
    # log(M + n) = log(exp(s) + n − 1) with s = log(1 + M)
    before = np.logaddexp(np.asarray(state), math.log(rows - 1)) if rows > 1 else np.asarray(state)
    log_m = log_likelihood + before
    return tuple(np.logaddexp(0.0, log_m).tolist()), log_mean_exp(log_m)


def _check(bound: float) -> None:
    if not 0 < bound <= 1:
        raise ValueError(f"m₀ must lie in (0, 1], not {bound}")


def update(state: State, losses: Sequence[float] | Floats, bound: float) -> tuple[State, float]:
    """Take one bucket of losses; return the new state and log mean_j M_j (natural). Alarm when that reaches log A; then go on from START.

    `losses`: shape (n,), each in [0, 1]; an empty bucket changes nothing. `bound`: m₀ in (0, 1]. Raises ValueError otherwise.

    >>> state, log_m = update(START, [1.0] * 10 + [0.0] * 90, 0.1)
    >>> round(math.exp(log_m), 3)
    31.536
    """
    _check(bound)
    values = np.asarray(losses, dtype=np.float64)
    if values.size == 0:
        return state, log_mean(state)
    if not (np.min(values) >= 0 and np.max(values) <= 1):
        raise ValueError("losses must lie in [0, 1]: divide by the cap and clip")
    bets = GRID / bound
    return _advance(state, float(values.size), np.log1p(np.outer(bets, values - bound)).sum(axis=1))


def feed(
    state: State, losses: Sequence[float] | Floats, bound: float, log_threshold: float, swing: float = 1.0
) -> tuple[State, tuple[int, ...]]:
    """Take losses one label a bucket, starting again at M = 0 after every alarm; return the state and the indices of the labels that alarmed.

    The result does not depend on how a stretch of labels is cut into calls. `losses`: shape (n,), each in [0, 1], in order of arrival;
    `bound`: m₀ in (0, 1]; `log_threshold`: log A, natural. `swing`: φ ≥ 1 (`stats.swings`), by which the evidence of each label is thinned: L^(1/φ), whose
    mean is at most 1 where that of L is. Raises ValueError outside these ranges.

    >>> state, alarms = feed(START, [0.0] * 100 + [1.0] * 6, 0.1, math.log(1_000))
    >>> alarms
    (103,)
    """
    _check(bound)
    values = np.asarray(losses, dtype=np.float64)
    if values.size and not (np.min(values) >= 0 and np.max(values) <= 1):
        raise ValueError("losses must lie in [0, 1]: divide by the cap and clip")
    if not swing >= 1:
        raise ValueError(f"φ must be at least 1, not {swing}")
    alarms: list[int] = []
    start = 0
    while start < values.size:
        part = values[start : start + _AT_ONCE]
        sums = np.cumsum(log_growth(part, bound) / swing, axis=1)
        log_m = _path(np.asarray(state), sums)
        means = np.logaddexp.reduce(log_m, axis=0) - math.log(len(GRID))
        crossed = np.flatnonzero(means >= log_threshold)
        if crossed.size == 0:
            start, state = start + part.size, tuple(np.logaddexp(0.0, log_m[:, -1]).tolist())
            continue
        alarms.append(start + int(crossed[0]))
        start, state = alarms[-1] + 1, START
    return state, tuple(alarms)


def feed_held(state: State, losses: Sequence[float] | Floats, bound: float, most: float) -> State:
    """Take losses one label a bucket, without alarms, where log M of each bet (natural) is held at `most` at every label: what was evidence of a high loss
    is forgotten soon after it has come down. What is held is never above what is not, so no false alarm is added; with `most` at log A + log 16 or
    above no first alarm comes later.

    The result does not depend on how a stretch of labels is cut into calls. losses, bound: as `feed`.

    >>> max(feed_held(START, [1.0] * 100, 0.1, 9.0)) < 9.01
    True
    """
    _check(bound)
    values = np.asarray(losses, dtype=np.float64)
    if values.size and not (np.min(values) >= 0 and np.max(values) <= 1):
        raise ValueError("losses must lie in [0, 1]: divide by the cap and clip")
    for start in range(0, values.size, _AT_ONCE):
        sums = np.cumsum(log_growth(values[start : start + _AT_ONCE], bound), axis=1)
        log_m = _path(np.asarray(state), sums)
        ends = log_m[:, -1].copy()
        for bet in np.flatnonzero(log_m.max(axis=1) > most).tolist():
            ends[bet] = _held(log_m[bet], sums[bet], most)
        state = tuple(np.logaddexp(0.0, ends).tolist())
    return state


def _path(state: Floats, sums: Floats) -> Floats:
    """Log M of each bet after each label, (bets, n), from their `state`, (bets,), and log-likelihoods summed up, (bets, n)."""
    # M_i = exp(S_i) (1 + M_0 + Σ_{1 ≤ k < i} exp(−S_k)), with S_i the log-likelihood of the first i labels
    found: Floats = sums + np.logaddexp.accumulate(np.concatenate([state[:, None], -sums[:, :-1]], axis=1), axis=1)
    return found


def _held(log_m: Floats, sums: Floats, most: float) -> float:
    """Log M of one bet after the last label, where its path, (n,), was held at `most`: from where it was held last it goes on as if it began there."""
    at = np.array([np.logaddexp(0.0, most)])
    while log_m.max() > most:
        last = log_m.size - 1 - int(np.argmax(log_m[::-1]))
        if last == log_m.size - 1:
            return most
        sums = sums[last + 1 :] - sums[last]
        log_m = _path(at, sums[None])[0]
    return float(log_m[-1])


def log_mean(state: State) -> float:
    """Log mean_j M_j of a state; −inf at the start."""
    logs = np.asarray(state)
    # log M = log(exp(s) − 1), where M = 0 rightly gives −inf
    with np.errstate(divide="ignore"):
        return log_mean_exp(logs + np.log(-np.expm1(-logs)))


def threshold(labels_per_day: float, days: float) -> float:
    """A = the matured labels of `days` (365 to page, 90 to retrain), at least 1,000.

    >>> threshold(48, 90)
    4320.0
    """
    return max(1_000.0, float(labels_per_day * days))
