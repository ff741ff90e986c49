"""How much of a metric's change a column explains: that rows have moved between its values, and that the values themselves do better or worse. Pure.

A mean over groups changes by Σ(s₁ − s₀)(m₀ + m₁)/2, what moved, and Σ(m₁ − m₀)(s₀ + s₁)/2, what changed within; the two sum to the whole. A value that is
new, or gone, has only moved. It says where a change lies, never that the column caused it. Source: Kitagawa 1955.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from flyball.evaluation.counts_metrics import from_counts
from flyball.records.base import Record
from flyball.records.estimates import Estimate
from flyball.records.evidence import Quality

MEANS = ("accuracy", "mae")
"""The metrics that are means over rows, so that their changes add up over groups."""

MOST = 3
"""Values that are named, those with most of the change."""


class Part(Record, frozen=True):
    """One value of the column: its share of the rows (0 to 1) and its metric, at the release and now (None: it had no rows); `change` is its part of the whole."""

    value: str
    share_then: float
    share_now: float
    then: float | None
    now: float | None
    change: float


class Explained(Record, frozen=True):
    """The change of `metric` in rows that have a value of `column`: `moved` and `within` sum to `change`. `parts`: the largest ones first, `MOST` at most.

    `n`: labelled rows now.
    """

    column: str
    metric: str
    change: float
    moved: float
    within: float
    n: int
    parts: tuple[Part, ...]


def explained(column: str, metric: str, then: Mapping[str, Mapping[str, Estimate]], now: Iterable[Quality]) -> Explained | None:
    """What the column explains of a metric's change since the release; None where rows are not counted by its values, or the metric is no mean.

    then: slice (`column=value`) → metric → estimate, on the hold-out. now: counts of labelled rows by slice.
    """
    if metric not in MEANS:
        return None
    of = f"{column}="
    before = {
        name: found[metric] for name, found in then.items() if name.startswith(of) and metric in found and found[metric].value is not None
    }
    after = {part.slice: (from_counts(metric, part), part.labelled) for part in now if part.slice.startswith(of) and part.labelled}
    rows_then, rows_now = sum(each.n for each in before.values()), sum(n for _, n in after.values())
    if not rows_then or not rows_now:
        return None
    parts, moved, within = list[Part](), 0.0, 0.0
    for name in sorted(before.keys() | after.keys()):
        first, last = before.get(name), after.get(name)
        shares = ((first.n if first else 0) / rows_then, (last[1] if last else 0) / rows_now)
        known = (first.value if first else None, last[0].value if last else None)
        m0, m1 = (value if value is not None else known[1 - place] for place, value in enumerate(known))
        if m0 is None or m1 is None:
            continue
        moved += (shares[1] - shares[0]) * (m0 + m1) / 2
        within += (m1 - m0) * (shares[0] + shares[1]) / 2
        change = shares[1] * m1 - shares[0] * m0
        parts.append(
            Part(value=name.removeprefix(of), share_then=shares[0], share_now=shares[1], then=known[0], now=known[1], change=change)
        )
    # seen from the mean before, so that a large group of steady rows is no change
    mean = sum(part.share_then * (part.then or 0.0) for part in parts)
    parts = [msgspec.structs.replace(part, change=part.change - (part.share_now - part.share_then) * mean) for part in parts]
    parts.sort(key=lambda part: -abs(part.change))
    return Explained(column=column, metric=metric, change=moved + within, moved=moved, within=within, n=rows_now, parts=tuple(parts[:MOST]))
