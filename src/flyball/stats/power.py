"""How many labels the sequential detector needs to find that the mean loss has risen: simulated, with a fixed seed.

There is no formula for it: evidence from before the change counts too, and the bound m₀ lies above the loss that was measured. So the detector of
`stats.edetector` is run on made-up labels, a few hundred times at once. Source: docs/statistics.md §3, whose table it reproduces.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from flyball.stats.betting import GRID
from flyball.stats.logspace import Floats

PATHS = 200
"""Simulated detectors: the median of so many is off by a tenth at most."""

WARM = 0.1
"""Labels before the change, as a share of the threshold A."""

_STEPS, _LONGEST = 80, 6
_LEVELS = 32


class Losses(NamedTuple):
    """A distribution of losses in [0, 1]: `values` and their `shares`, shapes (k,), shares summing to 1."""

    values: Floats
    shares: Floats

    @property
    def mean(self) -> float:
        """The mean loss."""
        return float(self.values @ self.shares)


def errors(share: float) -> Losses:
    """Losses that are 1 in a `share` of rows and 0 in the others.

    >>> errors(0.1).mean
    0.1
    """
    return Losses(np.array([0.0, 1.0]), np.array([1 - share, share]))


def levels(losses: Floats) -> Losses:
    """Losses in [0, 1], shape (n,), n ≥ 1, as at most 32 equally likely levels with the same mean.

    >>> round(levels(np.linspace(0, 1, 1_001)).mean, 6)
    0.5
    """
    parts = np.array_split(np.sort(losses), min(_LEVELS, losses.size))
    return Losses(np.array([float(part.mean()) for part in parts]), np.array([part.size / losses.size for part in parts]))


def risen(losses: Losses, by: float) -> Losses:
    """The same with a mean that is larger by `by`, each loss in proportion, at most 1; 0/1 losses happen more often instead.

    >>> round(risen(errors(0.1), 0.05).mean, 6)
    0.15
    """
    if losses.values.size == 2 and set(losses.values.tolist()) == {0.0, 1.0}:
        return errors(min(1.0, losses.mean + by))
    if losses.mean <= 0:
        return losses
    return Losses(np.minimum(losses.values * (1 + by / losses.mean), 1.0), losses.shares)


def labels_to_find(
    before: Losses, after: Losses, *, bound: float, threshold: float, swing: float = 1.0, seed: int = 0
) -> tuple[float, float]:
    """Labels from the change to the alarm: (median, ninth of ten). Infinite where the detector does not grow under `after`, or too slowly.

    `bound`: m₀ in (0, 1], else ValueError; `threshold`: A, the labels between false alarms; `swing`: φ, by which evidence is thinned. A tenth of A's labels come before the change.

    >>> labels_to_find(errors(0.1), errors(0.1), bound=0.1, threshold=1_000)
    (inf, inf)
    """
    if not 0 < bound <= 1:
        raise ValueError(f"m₀ must lie in (0, 1], not {bound}")
    bets = GRID / bound
    growth = float(np.max(after.shares @ np.log1p(np.outer(after.values - bound, bets)))) / swing
    if growth <= 1e-9:
        return math.inf, math.inf
    log_a, random = math.log(threshold), np.random.default_rng(seed)
    state = np.full((PATHS, GRID.size), -math.inf)
    state = _warmed(state, before, bets, bound, threshold, random, swing)
    rows = max(1, round(log_a / growth / _STEPS))
    found = np.full(PATHS, math.inf)
    gains = np.log1p(np.outer(after.values - bound, bets)) / swing
    for step in range(1, _STEPS * _LONGEST + 1):
        state = _step(state, after.shares, gains, rows, random)
        alarmed = (_log_mean(state) >= log_a) & np.isinf(found)
        found[alarmed] = step * rows
        if np.isfinite(found).all():
            break
    return float(np.quantile(found, 0.5, method="inverted_cdf")), float(np.quantile(found, 0.9, method="inverted_cdf"))


def _warmed(
    state: Floats, before: Losses, bets: Floats, bound: float, threshold: float, random: np.random.Generator, swing: float
) -> Floats:
    rows = max(1, round(WARM * threshold / _STEPS))
    gains = np.log1p(np.outer(before.values - bound, bets)) / swing
    for _ in range(_STEPS):
        state = _step(state, before.shares, gains, rows, random)
        # a false alarm starts the detector again
        state[_log_mean(state) >= math.log(threshold)] = -math.inf
    return state


def _step(state: Floats, shares: Floats, gains: Floats, rows: int, random: np.random.Generator) -> Floats:
    """One bucket of labels on every path: M ← L (M + n)."""
    stepped: Floats = random.multinomial(rows, shares, size=PATHS) @ gains + np.logaddexp(state, math.log(rows))
    return stepped


def _log_mean(state: Floats) -> Floats:
    means: Floats = np.logaddexp.reduce(state, axis=1) - math.log(GRID.size)
    return means
