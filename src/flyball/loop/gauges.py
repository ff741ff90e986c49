"""What the monitors know of each model, as Prometheus metrics. Bounded: of what a model has many of, those that stand worst are told."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

from flyball.clock import Instant, Span
from flyball.declare.checks import Metric
from flyball.declare.metrics import RANKED
from flyball.declare.model import Model
from flyball.declare.units import Money
from flyball.errors import Corrupt, NotFound
from flyball.incidents.playbook import TOLD
from flyball.loop import lookup
from flyball.loop.budgets import budgets_of
from flyball.loop.commands import active_run
from flyball.loop.findings import alerts_of, incidents_of
from flyball.loop.freshness import ages
from flyball.loop.memory import load
from flyball.loop.outcomes import outcomes_seen
from flyball.loop.pages import false_pages_of
from flyball.loop.ports import Ports
from flyball.monitoring.checks import estimates
from flyball.monitoring.rules import COVERAGE_SPAN
from flyball.monitoring.slabs import within
from flyball.monitoring.state import MonitorState
from flyball.monitoring.usage import Usage, price
from flyball.monitoring.windows import floor_of
from flyball.records.alerts import AlertState
from flyball.records.base import State
from flyball.records.declarations import DECLARATIONS
from flyball.records.incidents import IncidentState
from flyball.records.outcomes import OutcomeSeen
from flyball.records.proposals import MODEL_PROPOSALS
from flyball.records.serving import ROUTES
from flyball.serving.gauges import Sample, render
from flyball.serving.layout import write_whole
from flyball.training.cost import WATTS

EVERY = Span.parse("5s")
"""A scrape comes each 15 seconds or so, and what it tells moves slowly."""

MOST = 200
"""Lines of one model at most."""

_ALERTS, _COLUMNS, _INCIDENTS, _OUTCOMES = 40, 25, 10, 5

LIVE = ("accuracy", "precision", "recall", "f1", "mae", "rmse", *RANKED)
"""Metrics of labelled rows that counts give."""

_WELL = (AlertState.OK, AlertState.RESOLVED)
_VERDICTS = {"none": 0, "warn": 1, "alert": 2}
_WEEK = 7 * 86_400_000_000


def gauges(ports: Ports, now: Instant, watts: float = WATTS) -> list[Sample]:
    """Everything of all models. What a model that cannot be read was declared with is left out. watts: of a busy processor."""
    state, kept = ports.ledger.state(), load(ports.memory)
    found: list[Sample] = []
    for name, row in state.scan(DECLARATIONS):
        try:
            model = ports.library.model(row.body)
        except (NotFound, Corrupt):
            model = None
        watched = kept.monitor(name)
        brought = outcomes_seen(ports.memory, model, watched.version) if model is not None else ()
        found += of_model(state, name, model, watched, now, detector=ports.detector, outcomes=brought)
        found += _cost(kept.usage(name), now, ports.cpu_price, watts)
    return found


def of_model(
    state: State,
    name: str,
    model: Model | None,
    kept: MonitorState,
    now: Instant,
    *,
    detector: bool = True,
    outcomes: Sequence[OutcomeSeen] = (),
) -> list[Sample]:
    """One model's lines, `MOST` at most, those first without which the others say little."""
    found = [*_roles(state, name), *_trouble(state, name), *_labels(kept, name, now)]
    if model is not None:
        found += [*_budgets(state, model, kept, now), *_data(state, model, now), *_quality(model, kept, now)]
        found += _outcomes(name, outcomes)
        week = within(kept.slabs, now - _WEEK, now)
        labels = kept.labels_per_day if kept.labels else None
        pages = false_pages_of(model, labels=labels, requests=week.n / 7, detector=detector)
        found.append(Sample("flyball_false_pages_per_year", (name,), round(pages.total, 4)))
    return [*found, *_drift(kept, name)][:MOST]


def _roles(state: State, name: str) -> Iterator[Sample]:
    roles, active, run = lookup.roles(state, name), lookup.active_rollout(state, name), active_run(state, name)
    if roles.champion:
        yield Sample("flyball_champion", (name, roles.champion), 1)
        yield Sample("flyball_champion_since_timestamp_seconds", (name,), roles.champion_at / 1e6)
    if roles.last_attempt_at:
        yield Sample("flyball_last_training_timestamp_seconds", (name,), roles.last_attempt_at / 1e6)
    if active is not None:
        yield Sample("flyball_rollout", (name, active.version, active.state.value), 1)
    if run is not None:
        yield Sample("flyball_run", (name, run.state.value, run.trigger), 1)
    route = state.get(ROUTES, name)
    for arm in route.route.arms if route is not None else ():
        yield Sample("flyball_traffic_ratio", (name, arm.version), arm.weight / 10_000)


def _trouble(state: State, name: str) -> Iterator[Sample]:
    bad = [row for row in alerts_of(state, name).values() if row.state not in _WELL]
    bad.sort(key=lambda row: (-_VERDICTS[row.finding.severity], row.key))
    for row in bad[:_ALERTS]:
        finding = row.finding
        # two alerts of one monitor are two series
        part = " in ".join(filter(None, (finding.column, finding.slice)))
        yield Sample("flyball_alert", (name, row.monitor, part, finding.failure, finding.severity, row.state.value), 1)
    open_ = [row for row in incidents_of(state, name) if row.state != IncidentState.CLOSED]
    counted: dict[tuple[str, str, str, str], int] = {}
    for one in open_:
        urgency = next((action for action in one.actions if action in TOLD), "none")
        key = (name, one.failure_mode, urgency, one.state.value)
        counted[key] = counted.get(key, 0) + 1
    yield from (Sample("flyball_incidents", key, n) for key, n in sorted(counted.items()))
    for one in open_[-_INCIDENTS:]:
        yield Sample("flyball_incident_opened_timestamp_seconds", (name, one.incident), one.opened_at / 1e6)
    waiting: dict[str, int] = {}
    for _, made in state.scan(MODEL_PROPOSALS, f"{name}/"):
        if not made.verdict and made.mode == "propose":
            waiting[made.action] = waiting.get(made.action, 0) + 1
    yield from (Sample("flyball_proposals", (name, action), n) for action, n in sorted(waiting.items()))


def _labels(kept: MonitorState, name: str, now: Instant) -> Iterator[Sample]:
    slab = within(kept.slabs, now - COVERAGE_SPAN, now)
    whole = next((part for part in slab.quality if not part.slice), None)
    if whole is not None and whole.matured:
        yield Sample("flyball_label_coverage_ratio", (name,), whole.labelled / whole.matured)
    if kept.version:
        yield Sample("flyball_labels", (name,), kept.labels)
    for which, one in (("page", kept.page), ("retrain", kept.retrain)):
        if one.log_a > 0:
            yield Sample("flyball_evidence_ratio", (name, which), round(max(one.log_m, 0.0) / one.log_a, 4))


def _budgets(state: State, model: Model, kept: MonitorState, now: Instant) -> Iterator[Sample]:
    for each in budgets_of(state, model, kept, now):
        key = (model.name, each.objective)
        yield Sample("flyball_error_budget_left_ratio", key, round(each.left, 6))
        yield Sample("flyball_error_budget_spent", key, int(each.spent))
        for burn in each.burns:
            yield Sample("flyball_error_budget_burn_ratio", (*key, str(burn.long)), round(burn.rate, 6))


def _cost(usage: Usage, now: Instant, hour_price: Money | None, watts: float) -> Iterator[Sample]:
    """What predictions take; nothing where no worker was measured."""
    taken = price(usage, now, hour_price=hour_price, watts=watts)
    if taken is None:
        return
    key = (usage.model, usage.version)
    yield Sample("flyball_thousand_predictions_cpu_seconds", key, round(taken.cpu_s, 6))
    yield Sample("flyball_thousand_predictions_joules", key, round(3600 * taken.watt_hours, 6))
    yield Sample("flyball_worker_busy_ratio", key, round(taken.busy, 4))
    if taken.money is not None:
        yield Sample("flyball_thousand_predictions_cost", (*key, taken.currency), float(f"{taken.money:.6g}"))


def _data(state: State, model: Model, now: Instant) -> Iterator[Sample]:
    for age in ages(state, model):
        yield Sample("flyball_data_newest_timestamp_seconds", (model.name, age.data), age.as_of / 1e6)
        yield Sample("flyball_data_stale", (model.name, age.data), int(now - age.as_of > age.freshness))


def _quality(model: Model, kept: MonitorState, now: Instant) -> Iterator[Sample]:
    """Metrics since the release, as far as there are rows of it."""
    if not kept.version:
        return
    since = within(kept.slabs, max(kept.released_at, 0), now)
    for metric in LIVE:
        [(_, found), *_] = estimates(Metric(metric), since)
        key, then = (model.name, kept.version, metric), kept.at_release.get(metric)
        values = (
            ("flyball_quality", found.value),
            ("flyball_quality_low", found.low),
            ("flyball_quality_high", found.high),
            ("flyball_quality_at_release", then.value if then is not None else None),
        )
        if then is None and (found.value is None or not _speaks(metric, model.task)):
            continue
        yield from (Sample(name, key, value) for name, value in values if value is not None and math.isfinite(value))


def _outcomes(name: str, outcomes: Sequence[OutcomeSeen]) -> Iterator[Sample]:
    for each in outcomes[:_OUTCOMES]:
        key = (name, each.version, each.outcome)
        if each.known_at:
            yield Sample("flyball_outcome_known_timestamp_seconds", (name, each.outcome), each.known_at / 1e6)
        values = (
            ("flyball_outcome", each.value.value),
            ("flyball_outcome_low", each.value.low),
            ("flyball_outcome_high", each.value.high),
            ("flyball_outcome_coverage_ratio", each.coverage),
        )
        yield from (Sample(told, key, value) for told, value in values if value is not None and math.isfinite(value))


def _speaks(metric: str, task: str) -> bool:
    """Whether the metric says something of the task: counts of classes give a mean absolute error of 0, and it means nothing."""
    if metric in RANKED or task == "ranking":
        return metric in RANKED and task == "ranking"
    return (metric in ("mae", "rmse")) == (task in ("regression", "forecast")) and (
        task == "binary" or metric in ("accuracy", "mae", "rmse")
    )


def _drift(kept: MonitorState, name: str) -> Iterator[Sample]:
    """The columns that are farthest from their references."""
    worst = sorted(
        kept.trails, key=lambda trail: (-_VERDICTS[trail.verdict], -trail.effects[-1] / floor_of(trail.test, "warn"), trail.column)
    )
    for trail in worst[: 2 * _COLUMNS]:
        key = (name, trail.column, trail.test, trail.pace)
        yield Sample("flyball_drift_effect", key, round(trail.effects[-1], 6))
        yield Sample("flyball_drift_verdict", key, _VERDICTS[trail.verdict])


class GaugesFile:
    """The file that gateways append. `step` is called with every pass of the loop."""

    def __init__(self, path: Path, watts: float = WATTS) -> None:
        self._path, self._watts, self._next, self._text = path, watts, 0, ""

    def step(self, ports: Ports, now: Instant) -> None:
        """Write what is known now, when it is time and it has changed. Raises OSError, FlyballError."""
        if 0 <= self._next - now <= EVERY:
            return
        self._next = now + EVERY
        text = render(gauges(ports, now, self._watts))
        if text != self._text or not self._path.exists():
            self._path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(self._path, text.encode())
            self._text = text
