"""The gap of a metric between the groups of a column: the largest minus the smallest, with bounds that hold for all pairs of groups at once."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.special import ndtri

from flyball.evaluation.answers import Answers
from flyball.evaluation.comparison import number, too_little
from flyball.evaluation.rows import row_values
from flyball.records.estimates import Estimate
from flyball.stats import clusters

PARTS = {"equalised_odds": ("recall", "false_positive_rate")}
"""Metrics that are gaps of several others at once: the largest of them counts."""


class Gap(NamedTuple):
    """`estimate` has its 95% interval, `one_sided` one-sided 95% bounds; `lacking`: which groups are too small; `between`: the two groups that
    differ most, with their values.
    """

    estimate: Estimate
    one_sided: Estimate
    lacking: str = ""
    between: str = ""


class _Group(NamedTuple):
    name: str
    value: str
    mean: clusters.Mean


_Pairs = list[tuple[_Group, _Group]]


def _ends(pairs: _Pairs, alpha: float) -> tuple[float, float]:
    """Both ends of the gap, each at `alpha`, Bonferroni over the pairs."""
    z = float(ndtri(1 - alpha / len(pairs)))
    distances = np.array([abs(a.mean.value - b.mean.value) for a, b in pairs])
    reach = z * np.array([math.hypot(a.mean.se, b.mean.se) for a, b in pairs])
    return max(0.0, float(np.max(distances - reach))), float(np.max(distances + reach))


def gap(name: str, parts: Sequence[tuple[str, Answers]]) -> Gap:
    """The gap of a metric between `parts` (group, its rows), with bounds that hold for all pairs of groups at once.

    A group that is too small makes the gap insufficient: `lacking` says which. Fewer than two groups have no gap.
    """
    n = sum(found.n for _, found in parts)
    lacking: list[str] = []
    pairs: _Pairs = []
    for part in PARTS.get(name, (name,)):
        short = {value: why for value, found in parts if (why := too_little(part, found))}
        lacking += [f"{value}: {why}" for value, why in short.items()]
        groups = [
            _Group(part, value, clusters.mean(row_values(part, found).values, found.groups)) for value, found in parts if value not in short
        ]
        pairs += itertools.combinations(groups, 2)
    told = "; ".join(dict.fromkeys(lacking))
    if not pairs:
        nothing = Estimate(value=None, n=n, why=told or "there are fewer than two groups")
        return Gap(nothing, nothing)
    widest = max(pairs, key=_width)
    one, other = sorted(widest, key=lambda group: group.mean.value)
    width, two, single = _width((one, other)), _ends(pairs, 0.025), _ends(pairs, 0.05)
    of = f"{one.name} " if name in PARTS else ""
    return Gap(
        Estimate(value=width, low=two[0], high=two[1], n=n),
        Estimate(value=width, low=single[0], high=single[1], n=n),
        told,
        f"{of}{one.value} {number(one.mean.value)}, {other.value} {number(other.mean.value)}",
    )


def _width(pair: tuple[_Group, _Group]) -> float:
    return abs(pair[0].mean.value - pair[1].mean.value)
