"""Whether one version is no worse than another in everything that is reported, and better in something. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from flyball.declare.metrics import metric_info
from flyball.records.estimates import Estimate


def dominates(one: Mapping[str, Estimate], other: Mapping[str, Estimate]) -> bool:
    """Whether `one` is no worse than `other` in each of other's metrics that has a better direction, and better in one. By the estimates themselves.

    A metric that `one` lacks, such as one of scores where it gives none, keeps it from dominating.
    """
    better = False
    for name, theirs in other.items():
        info = metric_info(name)
        if info is None or info.higher_is_better is None or theirs.value is None:
            continue
        mine = one[name].value if name in one else None
        if mine is None:
            return False
        advantage = (mine - theirs.value) * (1 if info.higher_is_better else -1)
        if advantage < 0:
            return False
        better = better or advantage > 0
    return better
