"""The gap of a metric between the groups of a column: the largest minus the smallest, with bounds that hold for all pairs of groups at once."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np
from scipy.special import ndtri

from flyball.evaluation.answers import Answers
from flyball.evaluation.comparison import too_little
from flyball.evaluation.rows import row_values
from flyball.records.estimates import Estimate
from flyball.stats import clusters


def _ends(means: list[clusters.Mean], alpha: float) -> tuple[float, float]:
    """Both ends of the gap, each at `alpha`, Bonferroni over the pairs."""
    pairs = list(itertools.combinations(means, 2))
    z = float(ndtri(1 - alpha / len(pairs)))
    distances = np.array([abs(a.value - b.value) for a, b in pairs])
    reach = z * np.array([math.hypot(a.se, b.se) for a, b in pairs])
    return max(0.0, float(np.max(distances - reach))), float(np.max(distances + reach))


def gap(name: str, parts: Sequence[tuple[str, Answers]]) -> tuple[Estimate, Estimate, str]:
    """(estimate with its 95% interval, the same with one-sided 95% bounds, what is lacking) of the gap between `parts` (group, its rows).

    A group that is too small makes the gap insufficient: the third value says which. Fewer than two groups have no gap.
    """
    n = sum(found.n for _, found in parts)
    lacking = [f"{value}: {why}" for value, found in parts if (why := too_little(name, found))]
    means = [clusters.mean(row_values(name, found).values, found.groups) for _, found in parts if not too_little(name, found)]
    if len(means) < 2:
        nothing = Estimate(value=None, n=n, why="; ".join(lacking) or "there are fewer than two groups")
        return nothing, nothing, ""
    values = [mean.value for mean in means]
    width = max(values) - min(values)
    two, one = _ends(means, 0.025), _ends(means, 0.05)
    return (
        Estimate(value=width, low=two[0], high=two[1], n=n),
        Estimate(value=width, low=one[0], high=one[1], n=n),
        "; ".join(lacking),
    )
