"""What the monitors say of one model now. Pure: state and declaration in, findings out; every finding names its cause.

Nothing is said on a p-value alone: drift needs an effect and two windows of three, a check needs an interval that excludes its bound or a
whole span of missing it, the detector bounds its false alarms by design. Too little data is said as such, and never fires.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial

import msgspec

from flyball.clock import Instant, Span
from flyball.declare.checks import AnyOf, Check, Drift, at_release
from flyball.declare.live import prices
from flyball.declare.metrics import TRAFFIC
from flyball.declare.model import Model
from flyball.declare.outcomes import about_outcomes
from flyball.errors import FlyballError
from flyball.ledger.bounds import NAME, clipped, named
from flyball.monitoring.checks import FEWEST, check_findings
from flyball.monitoring.contract import CONTRACT, contract_findings
from flyball.monitoring.drift import drift_findings, drift_reason
from flyball.monitoring.heard import EVER, Heard
from flyball.monitoring.learning import labelled_until
from flyball.monitoring.outage import outage
from flyball.monitoring.slabs import within
from flyball.monitoring.state import GAP, MonitorState
from flyball.monitoring.volume import ARRIVE, sent_findings, volume_findings
from flyball.monitoring.windows import DAY, WEEK
from flyball.records.alerts import Finding
from flyball.stats.intervals import wilson

DETECTOR = "loss since release"
"""Name of the built-in monitor that watches every model's labels."""

LABELS = "labels arrive"
"""Name of the built-in monitor of label coverage: without labels every other judgement of quality goes blind."""

LOGGED = "answers are logged"
"""Name of the built-in monitor of gaps in the prediction log."""

COVERAGE, COVERAGE_SPAN = 0.8, Span.parse("7d")
"""Share of matured rows that have a label; the tests of a rollout ask for as much."""

OFF = Finding(
    monitor=DETECTOR,
    severity="none",
    standing="insufficient",
    failure="concept_drift",
    why="the setting detector is 0: nobody looks at the loss of labelled rows",
)
"""What the detector says where it is off: nothing, and why."""

_GRAVITY = {
    each: place
    for place, each in enumerate(
        (("none", "settled"), ("none", "pending"), ("warn", "pending"), ("warn", "settled"), ("alert", "pending"), ("alert", "settled"))
    )
}
"""Severity and standing, the mildest first: what is ill by chance may be well."""


@dataclass(frozen=True)
class Assessment:
    """All findings, one a (monitor, column or slice), and the reason to train again, if there is one."""

    findings: tuple[Finding, ...]
    alarm: str | None


def assess(
    model: Model,
    state: MonitorState,
    *,
    now: Instant,
    detector: bool = True,
    besides: Iterable[Finding] = (),
    heard: Heard = EVER,
    fired: Collection[str] = (),
) -> Assessment:
    """Look at every declared monitor, and at the detector of loss that every model has (unless it is off).

    besides: what is known otherwise, of the features that were served (`monitoring.skew`) and of how fresh data are (`monitoring.freshness`).
    heard: when gateways listened. fired: the monitors that have an alert that is not over.
    """
    findings: list[Finding] = []
    for monitor in model.monitors:
        if about_outcomes(model, monitor):
            # they come besides: no count of the log has them
            continue
        look = partial(findings_of, monitor, state, now=now, prices=prices(model), fired=named(str(monitor)) in fired)
        findings.extend(_guarded(str(monitor), look))
    findings.extend(_guarded(DETECTOR, lambda: iter((_detector(model, state) if detector else OFF,))))
    findings.extend(
        _guarded(LABELS, lambda: iter((outage(state, now, monitor=LABELS, label=model.label_column) or _coverage(state, now),)))
    )
    findings.extend(_guarded(CONTRACT, lambda: contract_findings(state.slabs, now)))
    come = sent_findings if state.seen else volume_findings
    findings.extend(_guarded(ARRIVE, lambda: come(state.arrivals, now, heard)))
    findings.append(_logged(state, now))
    findings.extend(besides)
    return Assessment(findings=tuple(_brief(found) for found in findings), alarm=retrain_alarm(model, state, now, detector=detector))


def _brief(found: Finding) -> Finding:
    """The finding with texts that fit into an alert's event: a monitor may name hundreds of columns."""
    own = {"monitor": found.monitor, "column": found.column, "slice": found.slice, "value": found.value, "why": found.why}
    short = {name: named(own[name]) for name in ("monitor", "column", "slice")}
    short |= {"value": clipped(found.value, NAME), "why": clipped(found.why)}
    return found if short == own else msgspec.structs.replace(found, **short)


def findings_of(
    monitor: Check | AnyOf | Drift,
    state: MonitorState,
    *,
    now: Instant,
    prices: Mapping[str, float] | None = None,
    fired: bool = False,
) -> Iterator[Finding]:
    """What one monitor says. `prices`: what errors cost (`declare.live.prices`). `fired`: it has an alert that is not over."""
    if isinstance(monitor, Drift):
        yield from drift_findings(monitor, state)
    elif isinstance(monitor, Check):
        yield from check_findings(monitor, state, now=now, prices=prices, fired=fired)
    else:
        yield _either(monitor, state, now=now, prices=prices, fired=fired)


def lacking(model: Model, state: MonitorState, now: Instant) -> tuple[Finding, ...]:
    """Of each declared monitor of counts that has too little data to say anything now: what it lacks, as its first finding tells."""
    found: list[Finding] = []
    for monitor in model.monitors:
        if about_outcomes(model, monitor):
            continue
        said = _guarded(str(monitor), lambda monitor=monitor: findings_of(monitor, state, now=now, prices=prices(model)))  # type: ignore[misc]
        if said and all(finding.standing == "insufficient" for finding in said):
            found.append(_brief(said[0]))
    return tuple(found)


def _guarded(name: str, look: Callable[[], Iterator[Finding]]) -> list[Finding]:
    # a monitor that fails is an alert of its own and does not silence the others
    try:
        return list(look())
    except (ArithmeticError, LookupError, TypeError, ValueError, FlyballError) as error:
        return [broken(name, f"{type(error).__name__}: {str(error)[:200]}")]


def broken(name: str, why: str) -> Finding:
    """What is said of a monitor that failed: `why` it did."""
    return Finding(monitor=name, severity="warn", standing="broken", failure="errors", why=f"the monitor itself failed: {why}")


def _either(monitor: AnyOf, state: MonitorState, *, now: Instant, prices: Mapping[str, float] | None, fired: bool) -> Finding:
    """Either is enough: the mildest of the parts, each part at its worst; a part without data keeps the whole open."""
    parts: list[Finding] = []
    for part in monitor.checks:
        if not isinstance(part, Check | Drift):
            continue
        found = list(findings_of(part, state, now=now, prices=prices, fired=fired))
        parts.append(
            max(found, key=lambda finding: _gravity(finding, lacking=-1))
            if found
            else Finding(monitor=str(part), severity="none", standing="insufficient", why="no window has closed yet")
        )
    if not parts:
        return Finding(monitor=str(monitor), severity="none", standing="insufficient", why="an approval is no monitor")
    best = min(parts, key=lambda finding: _gravity(finding, lacking=_GRAVITY["none", "pending"] + 0.5))
    why = "; ".join(finding.why for finding in parts if finding.why)
    return msgspec.structs.replace(best, monitor=str(monitor), slice="", why=why)


def _gravity(finding: Finding, *, lacking: float) -> float:
    """Where a finding stands in _GRAVITY; one that has too little data stands at `lacking`."""
    return lacking if finding.standing == "insufficient" else _GRAVITY[finding.severity, finding.standing]


def _detector(model: Model, state: MonitorState) -> Finding:
    """The page: the loss has risen above its bound at release."""
    found = state.page
    bound = f"the bound that {state.raised_by} raised it to" if state.raised_by else "its bound at release"
    noun = "error" if model.task in ("binary", "multiclass") else "loss (share of its cap)"
    if found.alarmed_at:
        seen = found.since_n
        recent = wilson(min(found.since_loss, seen), seen) if seen else None
        since = f"; {found.since_loss / seen:.3g} in the {seen:,} labels since [{recent.low:.3g}, {recent.high:.3g}]" if recent else ""
        return Finding(
            monitor=DETECTOR,
            severity="alert",
            failure="concept_drift",
            effect=found.since_loss / seen if seen else None,
            floor=state.wakes_at,
            n=state.labels,
            why=f"the {noun} has risen above {state.wakes_at:.3g}, {bound}: evidence 10^{found.log_m / _LN10:.1f} ≥ "
            f"10^{found.log_a / _LN10:.1f}{since}. Inputs with the same values now have other labels",
        )
    if not state.labels or state.wakes_at >= 1:
        return Finding(monitor=DETECTOR, severity="none", standing="insufficient", why="no matured row has a label yet")
    return Finding(
        monitor=DETECTOR,
        severity="none",
        floor=state.wakes_at,
        n=state.labels,
        why=f"no evidence that the {noun} is above {state.wakes_at:.3g} in {state.labels:,} labels",
    )


def _coverage(state: MonitorState, now: Instant) -> Finding:
    """A warning when labels came and now are missing, or come and match no row. A model that never got one lacks data, it has not lost any."""
    until = labelled_until(state.seen, now)
    slab = within(state.slabs, until - COVERAGE_SPAN, until)
    whole = next((part for part in slab.quality if not part.slice), None)
    if whole is None or whole.matured < FEWEST or not (state.labels or whole.labelled or slab.unmatched >= FEWEST):
        return Finding(monitor=LABELS, severity="none", standing="insufficient", failure="late_labels", why="no matured rows to speak of")
    share = whole.labelled / whole.matured
    late = f"; {slab.unmatched:,} labels came that no row had waited for: known_after= of the label says how long one waits"
    return Finding(
        monitor=LABELS,
        severity="warn" if share < COVERAGE else "none",
        effect=share,
        floor=COVERAGE,
        n=whole.matured,
        failure="late_labels",
        why=f"{100 * share:.3g}% of the {whole.matured:,} rows that matured in {COVERAGE_SPAN} have a label (floor {100 * COVERAGE:.0f}%)"
        + (late if slab.unmatched else ""),
    )


def _logged(state: MonitorState, now: Instant) -> Finding:
    """An alert while records could not be written, or not be counted: every other judgement rests on them."""
    missing = state.gap(now)
    return Finding(
        monitor=LOGGED,
        severity="alert" if missing else "none",
        n=missing,
        failure="evidence_gap",
        why=f"at least {missing:,} records could not be written to the prediction log (a full disk), or not be counted (the model's declaration "
        "or its champion's result could not be read)"
        if missing
        else "no gap in the last minute",
    )


_LN10 = 2.302585092994046


def retrain_alarm(model: Model, state: MonitorState, now: Instant, *, detector: bool = True) -> str | None:
    """Why the model should be trained again, as far as its monitors can tell; None if there is no reason."""
    conditions = model.retrain.when if model.retrain else ()
    reasons = [_condition(condition, state, now, detector=detector, prices=prices(model)) for condition in conditions]
    # lists mean all, everywhere; `a | b` is either
    return "; and ".join(reason for reason in reasons if reason) if reasons and all(reasons) else None


def _condition(
    condition: Check | AnyOf | Drift, state: MonitorState, now: Instant, *, detector: bool, prices: Mapping[str, float]
) -> str | None:
    if isinstance(condition, Drift):
        return drift_reason(condition, state)
    if isinstance(condition, AnyOf):
        parts = (
            _condition(part, state, now, detector=detector, prices=prices)
            for part in condition.checks
            if isinstance(part, Check | AnyOf | Drift)
        )
        return next((reason for reason in parts if reason), None)
    if condition.bound == at_release and condition.metric.name not in TRAFFIC:
        found = state.retrain
        if not found.alarmed_at or not detector:
            return None
        return f"{condition}: loss above {state.m0:.3g}, evidence 10^{found.log_m / _LN10:.1f} ≥ 10^{found.log_a / _LN10:.1f}"
    # a trigger is true when its sentence holds: what would trip the opposite check
    opposite: dict[str, str] = {">=": "<", ">": "<=", "<=": ">", "<": ">="}
    mirrored = Check(condition.metric, opposite[condition.op], condition.bound, condition.unit)  # type: ignore[arg-type]
    settled = (finding for finding in check_findings(mirrored, state, now=now, prices=prices) if finding.standing == "settled")
    found_true = next((finding for finding in settled if finding.severity == "alert"), None)
    return f"{condition}: {found_true.why}" if found_true else None


def next_due(state: MonitorState, now: Instant) -> Instant:
    """When a window of inputs closes or a gap is over by time alone; a day from now at the latest."""
    day = now + Span.parse("1d")
    closing = [max(now, window.started + WEEK) for window in state.slow.open] + [
        max(now, window.started + DAY) for window in state.daily.open
    ]
    due = [day, *closing, *([state.gap_at + GAP + 1] if state.gap(now) else [])]
    return min(due)
