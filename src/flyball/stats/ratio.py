"""Sample ratio: does the canary get the share of units it should? If not, the comparison is broken and the rollout freezes.

A beta-binomial mixture around the planned weight against the weight itself, with the strength of 100 units, one factor per step.
E ≥ 1,000 freezes. Source: Lindon & Malek, "Anytime-valid inference for multinomial count data" (2022).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple

STRENGTH = 100.0
"""Pseudo-units of the mixture: how close to the planned weight a broken split is expected to be."""


class Split(NamedTuple):
    """Units of one step: in the canary, in all, and the planned share of the canary, 0 < w < 1."""

    canary: float
    total: float
    weight: float


def _betaln(a: float, b: float) -> float:
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)


def log_e(steps: Iterable[Split]) -> float:
    """Natural log E against "every unit fell on the canary with the planned chance".

    `steps`: one `Split` (or a triple) per step; no steps give 0. Raises ValueError for a weight outside (0, 1) or impossible counts.

    >>> log_e([Split(50, 1000, 0.05)]) < 0 < log_e([Split(500, 1000, 0.05)])
    True
    """
    total = 0.0
    for canary, units, weight in steps:
        if not 0 < weight < 1:
            raise ValueError(f"a step with both versions has a weight between 0 and 1, not {weight}")
        if not 0 <= canary <= units:
            raise ValueError(f"{canary} of {units} units cannot be in the canary")
        a, b = STRENGTH * weight, STRENGTH * (1 - weight)
        total += _betaln(a + canary, b + units - canary) - _betaln(a, b)
        total -= canary * math.log(weight) + (units - canary) * math.log1p(-weight)
    return total
