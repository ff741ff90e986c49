"""The time of a version's whole path, from what was seen of some calls: percentiles with intervals, and which part is the slow one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Final

import numpy as np
from scipy.special import bdtr

from flyball.records.estimates import Estimate
from flyball.records.path import Path, PathPart, PathSeen

_TAIL: Final = 0.025
PERCENTILES: Final[Mapping[str, float]] = {"latency_p50": 0.50, "latency_p95": 0.95, "latency_p99": 0.99}


def percentile(values: Sequence[float], q: float) -> Estimate:
    """The q-th quantile of `values` (n ≥ 1) with a two-sided 95% interval of order statistics; an end is None where there are too few values for it.

    Conover (1999), Practical Nonparametric Statistics, §3.2: the number of values up to the quantile is binomial. The upper end of the 99th percentile
    takes 368 values, of the 95th 72, of the median 6.

    >>> percentile(list(range(1, 201)), 0.5).low
    86.0
    """
    ordered = np.sort(np.asarray(values, dtype=np.float64))
    n = ordered.size
    low, high = _ranks(n, q)
    value = float(np.quantile(ordered, q, method="inverted_cdf"))
    return Estimate(
        value=value,
        low=float(ordered[low - 1]) if low >= 1 else None,
        high=float(ordered[high - 1]) if high <= n else None,
        n=n,
    )


@cache
def _ranks(n: int, q: float) -> tuple[int, int]:
    """Of the ends, counted from 1: below 1 and above n there is no such end."""
    up_to = bdtr(np.arange(n + 1), n, q)
    return int(np.searchsorted(up_to, _TAIL, side="right")), int(np.searchsorted(up_to, 1 - _TAIL)) + 1


def summary(seen: PathSeen) -> Path:
    """The section of the report. `seen` has at least one call."""
    parts = sorted((_part(name, took) for name, took in seen.parts.items()), key=lambda part: -part.p50)
    p50, p95, p99 = (percentile(seen.whole, q).value or 0.0 for q in PERCENTILES.values())
    return Path(
        calls=len(seen.whole),
        p50=p50,
        p95=p95,
        p99=p99,
        slowest=_slowest(parts, seen.alone),
        parts=tuple(parts),
        transforms=dict(sorted(seen.alone.items(), key=lambda pair: -pair[1])),
        memory=seen.memory,
    )


def estimates(seen: PathSeen) -> dict[str, Estimate]:
    """By metric: latencies in ms, whose `why` names the slow part, and the memory in bytes."""
    import msgspec

    told = summary(seen)
    slow = next((part for part in told.parts if told.slowest.startswith(part.name.removesuffix("s"))), None)
    took = f", {_ms(slow.p50)} of it" if slow is not None else ""
    why = f"the slowest part is {told.slowest}{took}"
    found = {name: msgspec.structs.replace(percentile(seen.whole, q), why=why) for name, q in PERCENTILES.items()}
    return found | {"memory": Estimate(value=float(seen.memory), n=1)}


def _ms(took: float) -> str:
    return f"{took:,.0f} ms" if took >= 1_000 else f"{took:.3g} ms"


def _part(name: str, took: Sequence[float]) -> PathPart:
    return PathPart(name=name, p50=percentile(took, 0.5).value or 0.0, p99=percentile(took, 0.99).value or 0.0)


def _slowest(parts: Sequence[PathPart], alone: Mapping[str, float]) -> str:
    if not parts:
        return ""
    if parts[0].name == "transforms" and alone:
        return f"transform {max(alone, key=lambda name: alone[name])}"
    return parts[0].name
