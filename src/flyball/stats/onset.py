"""Since when has the mean loss been above m₀? Where the evidence of an alarm began: the change point that CUSUM estimates.

For each bet of the e-detector, W ← max(0, W + log(1 + λ(x − m₀))); the change began where the largest W was last 0. It decides nothing: an
alarm is the detector's. Source: Page, "Continuous inspection schemes" (1954); Lorden 1971.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from flyball.stats.betting import GRID, log_growth
from flyball.stats.logspace import Floats

KEPT = 3.0
"""Evidence, natural log (1 : 20), that outlives a change of what is watched: less than an alarm has, and by chance alone lost once in twenty times."""


class Onset(NamedTuple):
    """`evidence`: W of each bet, natural log. `began`: when each was last 0, in any unit of time that does not go back; 0: no loss has been seen."""

    evidence: tuple[float, ...] = (0.0,) * len(GRID)
    began: tuple[int, ...] = (0,) * len(GRID)

    @property
    def at(self) -> int:
        """When the change began; 0 while no bet has won anything since labels came."""
        best = int(np.argmax(self.evidence))
        return self.began[best] if self.evidence[best] > 0 else 0

    def handed_on(self) -> Onset:
        """What it is for another whose losses follow: whether the change goes on, its own have to show (`KEPT` is left); when it began is known."""
        return self._replace(evidence=tuple(min(each, KEPT) for each in self.evidence))


def follow(onset: Onset, losses: Sequence[float] | Floats, bound: float, *, since: int, until: int) -> Onset:
    """Take losses, shape (n,), each in [0, 1], that came evenly in (since, until]. `bound`: m₀ in (0, 1].

    >>> after = follow(Onset(), [0.0] * 90 + [1.0] * 10, 0.1, since=0, until=100)
    >>> after.at
    90
    """
    values = np.asarray(losses, dtype=np.float64)
    if values.size == 0:
        return onset
    # a change that is older than the first loss began there, as far as anybody can tell
    known = np.where(np.asarray(onset.began) == 0, since, onset.began)
    total = np.asarray(onset.evidence)[:, None] + np.cumsum(log_growth(values, bound), axis=1)
    # the last place of each bet's lowest point
    low = values.size - 1 - np.argmin(total[:, ::-1], axis=1)
    floor = total[np.arange(len(GRID)), low]
    passed = (low + 1) * (until - since) // values.size + since
    began = np.where(floor <= 0, passed, known)
    return Onset(tuple(np.where(floor <= 0, total[:, -1] - floor, total[:, -1]).tolist()), tuple(int(one) for one in began))
