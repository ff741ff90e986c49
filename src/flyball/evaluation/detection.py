"""How soon the sequential detector finds that the loss has risen, at the traffic there is: what `check` promises before it matters. Pure.

The detector grows by E[log L] a label once the loss has risen above m₀, and alarms at log A; how far it had come before, and how labels fall, is
simulated (`stats.power`), for that takes off as much as half of log A / E[log L].
"""

from __future__ import annotations

from typing import NamedTuple

from flyball.declare.metrics import CLASSES
from flyball.evaluation.holdout import Holdout
from flyball.evaluation.power import losses_of
from flyball.stats import power

POINTS = (0.02, 0.05, 0.10)
"""The rises that are told: points of the error rate, or of the loss as a share of its cap."""


class Detection(NamedTuple):
    """A rise of the loss by `points`, as a share, and the labels until it is found: the median, the ninth of ten (infinite: not found)."""

    points: float
    labels: tuple[float, float]


def detections(
    holdout: Holdout, *, bound: float, cap: float, threshold: float, swing: float = 1.0, rises: tuple[float, ...] = POINTS
) -> tuple[Detection, ...]:
    """Of each rise, when the detector with m₀ = `bound`, φ = `swing` and A = `threshold` finds it. Empty without rows, and for rankings, whose loss nobody watches."""
    new = holdout.new
    if new is None or not new.n or cap <= 0 or not 0 < bound <= 1 or holdout.task == "ranking":
        return ()
    losses = losses_of(new, cap)
    before = power.errors(float(losses.mean())) if holdout.task in CLASSES else power.levels(losses)
    found = []
    for points in rises:
        if before.mean + points < 1:
            after = power.risen(before, points)
            found.append(Detection(points, power.labels_to_find(before, after, bound=bound, threshold=threshold, swing=swing)))
    return tuple(found)
