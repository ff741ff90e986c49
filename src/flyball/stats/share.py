"""Share of bad events (errors, timeouts, slow answers) in the canary, over all steps of a rollout, looked at at any time.

Of the bad units of a step with weight w, a fall on the canary and b on the stable version. If the canary's rate is at most (1+ρ) times the
stable one's, a bad unit falls on the canary with odds at most O = w(1+ρ)/(1−w). The grid of larger odds r·O, held in equal parts through all steps, is an e-process:
evidence carries over when w changes, and bursts that hit both versions cancel.

Source: conditional likelihood-ratio mixture, an e-process as in Howard et al. (2021); grid chosen by simulation.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from flyball.stats.logspace import Floats, log_mean_exp

WORSE: Floats = np.geomspace(1.1, 100, 16)
"""How many times beyond the allowance the canary may be: from a little to a hundredfold."""

BETTER: Floats = 1 / np.geomspace(1.02, 20, 16)
"""For `cleared`: how many times below twice the stable rate the canary may be."""


class Bad(NamedTuple):
    """Bad units of one step. `weight` is the canary's share of traffic, 0 < w < 1."""

    canary: float
    stable: float
    weight: float


def _log_e(steps: Iterable[Bad], excess: float, ratios: Floats) -> float:
    total = np.zeros_like(ratios)
    for canary, stable, weight in steps:
        if not 0 < weight < 1:
            raise ValueError(f"a step with both versions has a weight between 0 and 1, not {weight}")
        if min(canary, stable) < 0:
            raise ValueError(f"counts cannot be negative: {canary}, {stable}")
        odds = weight * (1 + excess) / (1 - weight)
        total += canary * np.log(ratios) + (canary + stable) * (np.log1p(odds) - np.log1p(ratios * odds))
    return log_mean_exp(total)


def log_e(steps: Iterable[Bad], *, excess: float = 0.25) -> float:
    """Natural log E against "the canary's rate is at most (1+`excess`) times the stable one's".

    `steps`: one `Bad` (or a triple canary, stable, weight) per step; no steps give 0. `excess`: ρ ≥ 0 (.25 for errors, .5 for slow answers).
    Raises ValueError for a weight outside (0, 1), which a shadow step has: leave it out.

    >>> round(log_e([Bad(6, 9, 0.05)]), 4)
    5.9135
    """
    return _log_e((Bad(*step) for step in steps), excess, WORSE)


def log_e_cleared(steps: Iterable[Bad]) -> float:
    """Natural log E against "the canary's rate is at least twice the stable one's": at E ≥ 20 errors are cleared.

    With equal rates this takes about 270 bad events at w = .05, 90 at .25, 85 at .5. Same shapes and errors as `log_e`.

    >>> log_e_cleared([Bad(20, 60, 0.25)]) > log_e_cleared([Bad(40, 60, 0.25)])
    True
    """
    return _log_e((Bad(*step) for step in steps), 1.0, BETTER)
