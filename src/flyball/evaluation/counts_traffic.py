"""Rows as counts of traffic: by version, role, rollout, weight and minute, with latencies in cells. Pure but for what `Units` remembers."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from flyball.evaluation.counts_groups import Codes, coded, groups
from flyball.evaluation.counts_units import MINUTE, Exposed, Units
from flyball.records.evidence import Traffic, Watch

Flags = NDArray[np.bool_]

_UNITS = {"unit": "units", "unit_bad": "bad_units", "unit_slow": "slow_units", "met": "met", "failed": "failed"}
"""Which count of `Traffic` each field of a `Mark` adds to."""

_CELLS = 512
"""Cells of latency, at most: 2⁶³ µs lie in cell 504."""


def scored(rows: pl.DataFrame, units: Units, watch: Watch) -> dict[Exposed, Traffic]:
    """Counts of rows in order of time, one at least, by where they were exposed."""
    version, role, rollout = (coded(rows[name]) for name in ("version", "role", "rollout"))
    weights, weight = _distinct(rows["weight"].to_numpy())
    minute = rows["at"].to_numpy() // MINUTE
    first = int(minute[0])
    minutes = int(minute[-1]) - first + 1
    keys, most = minute - first, minutes
    for codes, count in ((weight, len(weights)), *((one.codes, len(one.values)) for one in (rollout, role, version))):
        # what is alike in all rows tells none apart
        keys, most = (keys + codes * most, most * count) if count > 1 else (keys, most)
    by = groups(keys, most)
    status = coded(rows["status"])
    is_dropped, is_error = (status.codes == (status.values.index(name) if name in status.values else -2) for name in ("dropped", "error"))
    marks = units.mark(rows, watch.slow_us) if rollout.values != [""] else {}
    sums = {"errors": by.sum(is_error), "dropped": by.sum(is_dropped)} | {_UNITS[name]: by.sum(flags) for name, flags in marks.items()}
    sums["n"] = np.bincount(by.codes, minlength=len(by.keys)) - sums["dropped"]
    latency = _latency(rows["latency_us"], by.codes, is_dropped, len(by.keys))
    found: dict[Exposed, Traffic] = {}
    for group, key in enumerate(by.keys):
        rest, at = divmod(key, minutes)
        rest, of_weight = divmod(rest, len(weights))
        rest, of_rollout = divmod(rest, len(rollout.values))
        of_version, of_role = divmod(rest, len(role.values))
        where = Exposed(version.values[of_version], role.values[of_role], rollout.values[of_rollout], weights[of_weight], first + at)
        counts: dict[str, Any] = {name: int(values[group]) for name, values in sums.items()}
        found[where] = Traffic(model=watch.model, latency=latency[group], **where._asdict(), **counts)
    return found


def _distinct(values: Codes) -> tuple[list[int], Codes]:
    """The distinct values, and the place of each row's among them."""
    if bool((values == values[0]).all()):
        return [int(values[0])], np.zeros(values.size, dtype=np.int64)
    found, places = np.unique(values, return_inverse=True)
    return found.tolist(), places.astype(np.int64)


def _latency(latency: pl.Series, groups_of: Codes, is_dropped: Flags, count: int) -> list[dict[int, int]]:
    """Of each group how many rows that were not dropped took how long, in cells of floor(8 log2 µs)."""
    taken = latency.to_numpy()
    there = ~is_dropped if not latency.null_count() else ~is_dropped & ~np.isnan(taken)
    if not there.all():
        taken, groups_of = taken[there], groups_of[there]
    cells = np.floor(np.log2(np.maximum(taken, 1)) * 8).astype(np.int64)
    by = groups(groups_of * _CELLS + cells, count * _CELLS)
    found: list[dict[int, int]] = [{} for _ in range(count)]
    for key, n in zip(by.keys, np.bincount(by.codes, minlength=len(by.keys)).tolist(), strict=True):
        found[key // _CELLS][key % _CELLS] = n
    return found
