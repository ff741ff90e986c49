"""A gateway's own integers: copied to a file each second, summed over gateways by whoever is asked for `/metrics`."""

from __future__ import annotations

import json
import time
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from flyball.serving import gauges
from flyball.serving.gauges import METRICS
from flyball.serving.gauges import escaped as _label
from flyball.serving.layout import Layout, read_json, write_whole

BUCKETS_US = (250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 1_000_000, 5_000_000)
"""Upper bounds of the latency histogram."""


class Metrics:
    """Counts requests by (model, version, role, status), latency by model, and breaches of contract by (model, column, action)."""

    def __init__(self, layout: Layout, gateway: str) -> None:
        self._layout = layout
        self._gateway = gateway
        self._path = layout.metrics(gateway)
        kept = read_json(self._path) or {}
        self._counts: dict[tuple[str, str, str, str], int] = {tuple(key): n for key, n in kept.get("counts", [])}
        self._latency: dict[str, list[int]] = {model: list(cells) for model, cells in kept.get("latency", {}).items()}
        self._sums: dict[str, int] = dict(kept.get("sums", {}))
        self._violations: dict[tuple[str, str, str], int] = {tuple(key): n for key, n in kept.get("violations", [])}
        self.unlogged = int(kept.get("unlogged", 0))

    def count(self, model: str, version: str, role: str, status: str, n: int = 1) -> None:
        """Add to a counter."""
        key = (model, version, role, status)
        self._counts[key] = self._counts.get(key, 0) + n

    def violated(self, model: str, column: str, action: str) -> None:
        """A value of a request broke its column's contract: "refused", "imputed" or "marked"."""
        key = (model, column, action)
        self._violations[key] = self._violations.get(key, 0) + 1

    def observe(self, model: str, micros: int) -> None:
        """Add a request's latency."""
        cells = self._latency.get(model)
        if cells is None:
            cells = self._latency[model] = [0] * (len(BUCKETS_US) + 1)
        cells[bisect_left(BUCKETS_US, micros)] += 1
        self._sums[model] = self._sums.get(model, 0) + micros

    def copy(self) -> bytes:
        """The counts as `save` writes them."""
        return json.dumps(self._document(), ensure_ascii=False).encode()

    def save(self, copied: bytes) -> None:
        """Write the counts to the file that the other gateways read. May run in a thread: it touches no count."""
        write_whole(self._path, copied)

    def text(self) -> str:
        """Prometheus text of all gateways together: this one as it is, the others as of their last second."""
        others = (read_json(path) for path in self._path.parent.glob("*.json") if path != self._path)
        now = time.time_ns() // 1000
        own = render([self._document(), *(one for one in others if one)]) + ages(read_json(self._layout.views), now)
        return own + gauges.beat(read_json(self._layout.beat), now) + self._monitors()

    def _monitors(self) -> str:
        """What the control plane knows, as it wrote it; nothing where it never did."""
        try:
            return self._layout.gauges.read_text()
        except OSError:
            return ""

    def loop_is_dead(self) -> bool:
        """Whether the supervisor has found the loop dead, and it is not back yet."""
        told = read_json(self._layout.watchdog)
        return isinstance(told, dict) and bool(told.get("silent"))

    def _document(self) -> dict[str, Any]:
        return {
            "counts": [[list(key), n] for key, n in self._counts.items()],
            "latency": self._latency,
            "sums": self._sums,
            "violations": [[list(key), n] for key, n in self._violations.items()],
            "unlogged": self.unlogged,
        }


def _head(name: str) -> list[str]:
    """What it says and its type, as the table has them."""
    told = METRICS[name]
    return [f"# HELP {name} {told.says}", f"# TYPE {name} {told.kind}"]


def _counter(name: str, counts: Mapping[tuple[str, ...], int]) -> Iterator[str]:
    """A counter's lines; none where nothing was counted."""
    if counts:
        yield from _head(name)
    for key, n in sorted(counts.items()):
        yield f"{name}{gauges.labelled(METRICS[name].labels, key)} {n}"


def ages(told: Any, now: int) -> str:
    """How old the newest row is that each view in the online store holds, in the Prometheus text format. told: run/views.json."""
    views = told.get("views", []) if isinstance(told, dict) else []
    oldest: dict[str, int] = {}
    for view in views:
        if view["state"] == "live":
            # of two definitions of one name, the one that is further behind
            oldest[view["view"]] = min(view["as_of"], oldest.get(view["view"], view["as_of"]))
    if not oldest:
        return ""
    lines = [
        *_head("flyball_feature_age_seconds"),
        *(f'flyball_feature_age_seconds{{view="{_label(name)}"}} {(now - as_of) / 1e6:.3f}' for name, as_of in sorted(oldest.items())),
    ]
    return "\n".join(lines) + "\n"


def render(documents: Iterable[dict[str, Any]]) -> str:
    """Sum the gateways' counts and write them in the Prometheus text format."""
    counts: dict[tuple[str, ...], int] = {}
    latency: dict[str, list[int]] = {}
    sums: dict[str, int] = {}
    unlogged = 0
    skew: dict[tuple[str, ...], int] = {}
    violations: dict[tuple[str, ...], int] = {}
    for document in documents:
        for key, n in document["counts"]:
            counts[tuple(key)] = counts.get(tuple(key), 0) + n
        for model, cells in document["latency"].items():
            latency[model] = [a + b for a, b in zip(latency.get(model, [0] * len(cells)), cells, strict=True)]
        for model, total in document["sums"].items():
            sums[model] = sums.get(model, 0) + total
        unlogged += document["unlogged"]
        for summed, name in ((skew, "skew"), (violations, "violations")):
            for key, n in document.get(name, ()):
                summed[tuple(key)] = summed.get(tuple(key), 0) + n
    lines = list(_counter("flyball_requests_total", counts)) or _head("flyball_requests_total")
    lines += _head("flyball_request_seconds")
    for model, cells in sorted(latency.items()):
        total = 0
        for bound, n in zip((*BUCKETS_US, None), cells, strict=True):
            total += n
            upper = "+Inf" if bound is None else f"{bound / 1e6:g}"
            lines.append(f'flyball_request_seconds_bucket{{model="{_label(model)}",le="{upper}"}} {total}')
        lines.append(f'flyball_request_seconds_sum{{model="{_label(model)}"}} {sums.get(model, 0) / 1e6}')
        lines.append(f'flyball_request_seconds_count{{model="{_label(model)}"}} {total}')
    lines += [*_head("flyball_unlogged_total"), f"flyball_unlogged_total {unlogged}"]
    lines += _counter("flyball_feature_values_total", skew)
    lines += _counter("flyball_contract_violations_total", violations)
    return "\n".join(lines) + "\n"
