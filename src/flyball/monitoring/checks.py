"""A declared check on live counts: `accuracy over 7d ≥ 0.62`, whole, in each slice, or as the gap between groups."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

import msgspec

from flyball.clock import Instant, Span
from flyball.declare.checks import Check, Metric, Reference
from flyball.declare.live import ERRORS
from flyball.declare.metrics import METRICS, TRAFFIC, metric_info, recall_at_share
from flyball.declare.units import extreme
from flyball.errors import NotFound
from flyball.evaluation.counts_metrics import from_counts
from flyball.evaluation.gaps import PARTS
from flyball.evaluation.rows import SCORED
from flyball.monitoring.slabs import MINUTE, Slab, latency_ms, within
from flyball.monitoring.state import MonitorState
from flyball.records.alerts import Finding
from flyball.records.estimates import Estimate
from flyball.records.evidence import Quality
from flyball.stats.intervals import wilson

FEWEST = 100
"""With fewer rows (500 for a latency) there is no verdict."""

FEWEST_LATENCIES = 500
TRAFFIC_SPAN = Span.parse("1h")
"""Span of a check on traffic that names none. One on quality looks back to the release."""

_LATENCY = {"latency_p50": 0.50, "latency_p95": 0.95, "latency_p99": 0.99}


def check_findings(
    check: Check, state: MonitorState, *, now: Instant, prices: Mapping[str, float] | None = None, fired: bool = False
) -> Iterator[Finding]:
    """What the check says: one finding, or one for each slice. Raises NotFound for a metric that nobody knows.

    `prices`: what errors cost (`declare.costs.priced`). `fired`: it has an alert that is not over. Then it has to hold without the oldest counts as well,
    which reach back beyond the span: else it would fire again as soon as they are left out.
    """
    info = metric_info(check.metric.name)
    if info is None:
        raise NotFound(f'no metric "{check.metric.name}"', fix=f"metrics: {', '.join(METRICS)}")
    default = TRAFFIC_SPAN if info.source == "traffic" else max(now - state.released_at, 1)
    span = check.metric.span or Span(default)

    def said(slabs: Sequence[Slab]) -> Iterator[Finding]:
        for name, estimate in estimates(check.metric, seen(check.metric, slabs, now - span, now), prices):
            yield _finding(check, name, estimate, state, span=Span(span))

    found = list(said(state.slabs))
    if fired and any(finding.severity == "none" for finding in found):
        newer = {finding.slice: finding for finding in said([slab for slab in state.slabs if slab.start * MINUTE >= now - span])}
        found = [_not_yet(finding) if _missed(newer.get(finding.slice)) else finding for finding in found]
    yield from found


def _missed(newer: Finding | None) -> bool:
    return newer is not None and newer.severity != "none"


def _not_yet(finding: Finding) -> Finding:
    """What holds by its oldest counts alone."""
    return finding if finding.severity != "none" or finding.standing == "insufficient" else _with(finding, standing="pending", wait=0)


def seen(metric: Metric, slabs: Sequence[Slab], since: Instant, until: Instant) -> Slab:
    """The counts of (since, until] with all that `estimates` needs for this metric."""
    if metric.name not in SCORED and recall_at_share(metric.name) is None:
        return within(slabs, since, until)
    columns = (metric.of_gap,) if metric.of_gap else metric.slices
    return within(slabs, since, until, lambda name: any(_of(name, column) for column in columns) if columns else not name)


def _of(name: str, column: str) -> bool:
    return name.startswith(f"{column}=") or name == column


def estimates(metric: Metric, slab: Slab, prices: Mapping[str, float] | None = None) -> list[tuple[str, Estimate]]:
    """(slice, estimate) of a metric in the counts of one span, at least one; the whole is the slice "". A gap is one estimate over all groups.

    `prices`: what errors cost (`declare.costs.priced`).
    """
    if metric.name in TRAFFIC:
        if metric.slices or metric.of_gap:
            return [("", Estimate(value=None, why="errors and latencies are counted as a whole, not by slice"))]
        return [("", _error_rate(slab) if metric.name == ERRORS else _latency(slab, _LATENCY[metric.name]))]
    parts = {part.slice: part for part in slab.quality}
    if metric.of_gap:
        return [("", _gap(metric, _members(parts, metric.of_gap), prices))]
    if metric.slices:
        found = [
            (name, from_counts(metric.name, parts[name], prices)) for column in metric.slices for name in sorted(_members(parts, column))
        ]
        return found or [("", Estimate(value=None, why=f"no matured row with a value of {', '.join(metric.slices)} in this span"))]
    whole = parts.get("")
    return [("", from_counts(metric.name, whole, prices) if whole else Estimate(value=None, why="no matured row in this span"))]


def _members(parts: dict[str, Quality], column: str) -> dict[str, Quality]:
    return {name: part for name, part in parts.items() if _of(name, column)}


def _error_rate(slab: Slab) -> Estimate:
    if not slab.n:
        return Estimate(value=None, why="no request in this span")
    interval = wilson(slab.errors, slab.n)
    return Estimate(value=slab.errors / slab.n, low=interval.low, high=interval.high, n=slab.n)


def _latency(slab: Slab, share: float) -> Estimate:
    n = sum(slab.latency.values())
    if n < FEWEST_LATENCIES:
        return Estimate(value=None, n=n, why=f"n={n} < {FEWEST_LATENCIES} requests")
    # order statistics of a binomial rank, 95%
    reach = 1.96 * math.sqrt(share * (1 - share) / n)
    low, high = latency_ms(slab.latency, max(0.0, share - reach)), latency_ms(slab.latency, min(1.0, share + reach))
    return Estimate(value=latency_ms(slab.latency, share), low=low, high=high, n=n)


def _gap(metric: Metric, groups: dict[str, Quality], prices: Mapping[str, float] | None) -> Estimate:
    """The largest difference between two groups; of a metric that is several gaps at once, the largest of these."""
    found = [_widest(name, metric.of_gap, groups, prices) for name in PARTS.get(metric.name, (metric.name,))]
    # one of several gaps that cannot be told leaves open whether it is the larger
    lacking = next((each for each in found if each.value is None), None)
    return lacking or max(found, key=lambda each: each.value or 0.0)


def _widest(name: str, column: str, groups: dict[str, Quality], prices: Mapping[str, float] | None) -> Estimate:
    """The largest difference between two groups that have enough labels; its interval from the two groups' own. `why` names the two."""
    known = [
        (estimate.value, group, estimate)
        for group, part in sorted(groups.items())
        if (estimate := from_counts(name, part, prices)).value is not None and estimate.n >= FEWEST
    ]
    if len(known) < 2:
        return Estimate(value=None, why=f"fewer than two groups of {column} have {FEWEST} labels")
    (low, lowest, least), (high, highest, most) = min(known, key=lambda one: one[0]), max(known, key=lambda one: one[0])
    n = sum(part.n for *_, part in known)
    between = _between(name, (lowest, least), (highest, most))
    if least.high is None or most.low is None or least.low is None or most.high is None:
        return Estimate(value=high - low, n=n, why=f"{between}; a group's own value has no interval")
    # each end from the two ends that speak for it (Newcombe 1998)
    down, up = math.hypot(high - most.low, least.high - low), math.hypot(most.high - high, low - least.low)
    return Estimate(value=high - low, low=max(0.0, high - low - down), high=high - low + up, n=n, why=between)


def _between(name: str, least: tuple[str, Estimate], most: tuple[str, Estimate]) -> str:
    """The two groups that differ most, with their values: the one that fares better first, where the metric says which does."""
    info = metric_info(name)
    better = info.higher_is_better if info is not None else None
    first, second = (most, least) if better is not False else (least, most)
    best, worst = ("highest", "lowest") if better is None else ("best", "worst")
    return f"{name} {best} in {first[0]}, {_shown(first[1], '')}, {worst} in {second[0]}, {_shown(second[1], '')}"


def _bound(check: Check, state: MonitorState) -> float | None:
    """The number that the check's bound comes to; None while it is not known, and for a gap, of which no other version's is."""
    if not isinstance(check.bound, Reference):
        return check.bound
    if check.metric.of_gap:
        return None
    known = state.baseline if check.bound.of == "baseline" else state.at_release
    # live, the champion is the version being watched: what it was at its release stands for it
    found = known.get(check.metric.name)
    return None if found is None or found.value is None else found.value * check.bound.times + check.bound.plus


def _finding(check: Check, name: str, estimate: Estimate, state: MonitorState, *, span: Span) -> Finding:
    return judged(check, name, estimate, _bound(check, state), span=span, failure=_failure(check))


def judged(check: Check, name: str, estimate: Estimate, bound: float | None, *, span: Span, failure: str) -> Finding:
    """What a check says of an estimate over a span, whole or of one slice, held to `bound` (None: it is not known)."""
    empty = Finding(monitor=str(check), severity="none", slice=name, n=estimate.n, floor=bound, failure=failure, standing="insufficient")
    if estimate.value is None:
        return _with(empty, why=estimate.why)
    if bound is None:
        return _with(empty, why=f"{check.bound} is not known for {check.metric.name}")
    if estimate.n < FEWEST:
        return _with(empty, why=f"n={estimate.n} < {FEWEST}")
    compared = {"": estimate.value, "lower": estimate.low, "upper": estimate.high}[check.metric.bound]
    value = estimate.value if compared is None else compared
    holds = _holds(check, value, bound)
    between = f"{estimate.why}: a gap of " if check.metric.of_gap and estimate.why else ""
    why = f"{name + ': ' if name else ''}{between}{_shown(estimate, check.unit)}, bound {_number(bound, check.unit)}, over {span}"
    # without an interval nothing is evident: only a whole span of it
    evident = all(end is not None and _holds(check, end, bound) == holds for end in (estimate.low, estimate.high))
    evident = evident or (check.metric.bound != "" and compared is not None)
    found = _with(empty, effect=estimate.value, why=why, standing="settled" if evident else "pending", wait=0 if evident else int(span))
    if holds:
        return found
    return _with(found, severity="alert", why=why if evident else f"{why}: within chance so far, an alert if it stays so for {span}")


def _holds(check: Check, value: float, bound: float) -> bool:
    return {">=": value >= bound, ">": value > bound, "<=": value <= bound, "<": value < bound}[check.op]


def _with(finding: Finding, **changes: object) -> Finding:
    return msgspec.structs.replace(finding, **changes)


def _failure(check: Check) -> str:
    if check.metric.name == ERRORS:
        return "errors"
    if check.metric.name in _LATENCY:
        return "latency"
    return "bias" if check.metric.of_gap else "performance"


def _number(value: float, unit: str) -> str:
    return f"{extreme(value) or f'{value:.4g}'} {unit}".strip().replace("-", "−")


def _shown(estimate: Estimate, unit: str) -> str:
    interval = "" if estimate.low is None or estimate.high is None else f" [{_number(estimate.low, '')}, {_number(estimate.high, '')}]"
    return f"{_number(estimate.value or 0.0, unit)}{interval} n={estimate.n:,}"
