"""The gap of a metric between the groups of a column: the largest minus the smallest, with bounds that hold for all pairs of groups at once.

The bounds of a difference are put together from the groups' own (square-and-add: Newcombe 1998; Zou & Donner 2008), Bonferroni over the pairs: a
difference of shares then has what Wilson's interval has, and two groups without an error are not surely alike.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import NamedTuple

from flyball.evaluation import spreads
from flyball.evaluation.answers import Answers
from flyball.evaluation.comparison import ALPHA, number, too_little
from flyball.evaluation.metrics import estimate
from flyball.evaluation.rows import CALIBRATION, least_values, row_values
from flyball.records.estimates import Estimate
from flyball.stats import unseen

PARTS = {"equalised_odds": ("recall", "false_positive_rate")}
"""Metrics that are gaps of several others at once: the largest of them counts."""


class Gap(NamedTuple):
    """`estimate` has its 95% interval, `one_sided` one-sided bounds; `lacking`: which groups are too small; `between`: the two groups that
    differ most, with their values.
    """

    estimate: Estimate
    one_sided: Estimate
    lacking: str = ""
    between: str = ""


class _Group(NamedTuple):
    """`metric`: the group's; `least`: what it is at least, on average, for being subtracted."""

    name: str
    value: str
    found: Answers
    metric: float
    least: float

    def reach(self, level: float) -> tuple[float, float]:
        """How far below its `least` and above its value the group's metric may lie."""
        ends = estimate(self.name, self.found, level)
        down, up = (math.inf if end is None else abs(end - self.metric) for end in (ends.low, ends.high))
        if self.name == CALIBRATION:
            # not cut off at 0: where the rest of the distance went, the difference of two would be too sure
            down = self.least - unseen.interval(*spreads.of(self.name, self.found, least_values(self.name, self.found)), level).low
        return down, up


def _group(name: str, value: str, found: Answers) -> _Group:
    metric = float(row_values(name, found).values.mean())
    return _Group(name, value, found, metric, float(least_values(name, found).values.mean()) if name == CALIBRATION else metric)


_Pairs = list[tuple[_Group, _Group]]


def _ends(pairs: _Pairs, alpha: float) -> tuple[float, float]:
    """Both ends of the gap, each at `alpha`, Bonferroni over the pairs."""
    level = 1 - 2 * alpha / len(pairs)
    reach = {id(group): group.reach(level) for pair in pairs for group in pair}
    low = high = 0.0
    for one, other in (ordered for pair in pairs for ordered in (pair, pair[::-1])):
        (down, up), (its_down, its_up) = reach[id(one)], reach[id(other)]
        low = max(low, one.least - other.metric - math.hypot(down, its_up))
        high = max(high, one.metric - other.least + math.hypot(up, its_down))
    return low, high


def gap(name: str, parts: Sequence[tuple[str, Answers]], alpha: float = ALPHA) -> Gap:
    """The gap of a metric between `parts` (group, its rows), with bounds that hold for all pairs of groups at once; the one-sided ones at `alpha`.

    A group that is too small makes the gap insufficient: `lacking` says which. Fewer than two groups have no gap.
    """
    n = sum(found.n for _, found in parts)
    lacking: list[str] = []
    pairs: _Pairs = []
    for part in PARTS.get(name, (name,)):
        short = {value: why for value, found in parts if (why := too_little(part, found))}
        lacking += [f"{value}: {why}" for value, why in short.items()]
        groups = [_group(part, value, found) for value, found in parts if value not in short]
        pairs += itertools.combinations(groups, 2)
    told = "; ".join(dict.fromkeys(lacking))
    if not pairs:
        nothing = Estimate(value=None, n=n, why=told or "there are fewer than two groups")
        return Gap(nothing, nothing)
    widest = max(pairs, key=_width)
    one, other = sorted(widest, key=lambda group: group.metric)
    width, two, single = _width((one, other)), _ends(pairs, 0.025), _ends(pairs, alpha)
    of = f"{one.name} " if name in PARTS else ""
    return Gap(
        Estimate(value=width, low=two[0], high=two[1], n=n),
        Estimate(value=width, low=single[0], high=single[1], n=n),
        told,
        f"{of}{one.value} {number(one.metric)}, {other.value} {number(other.metric)}",
    )


def _width(pair: tuple[_Group, _Group]) -> float:
    return abs(pair[0].metric - pair[1].metric)
