"""What the record and the counts say of an incident's causes and of what it cost. Pure: the rules are `incidents.causes` and `incidents.impact`."""

from __future__ import annotations

from collections.abc import Iterable

from flyball.clock import Instant, Span
from flyball.declare.elsewhere import is_elsewhere
from flyball.declare.live import label_delay
from flyball.declare.model import Model
from flyball.declare.reads import looked_at
from flyball.incidents import causes
from flyball.incidents.causes import Change
from flyball.incidents.impact import impact, together
from flyball.monitoring.slabs import MINUTE, within
from flyball.monitoring.state import MonitorState
from flyball.records.alerts import AlertRow, AlertState
from flyball.records.base import State
from flyball.records.data import DATA_COMMITS, DATASETS, erasure_key
from flyball.records.declarations import DECLARATIONS
from flyball.records.incidents import Cause, Impact, IncidentRow
from flyball.records.versions import MODELS

_OF_LOSS = frozenset({"concept_drift", "performance", "bias"})
"""Modes whose beginning the labels tell better than the alert, which needs many of them."""

_BY_WINDOWS = frozenset({"input_drift", "schema_change", "label_drift"})
"""Modes whose finding counts the rows of its newest window, …"""

WINDOWS = 2
"""… and of which an alert takes so many."""

_LOOKED, _UNSURE = Span.parse("7d"), Span.parse("1h")
"""How long before the trouble began a change is looked for, and how much later than the labels tell it may have begun."""

_WELL = frozenset({AlertState.OK, AlertState.RESOLVED})


def causes_of(
    state: State, model: Model, incident: IncidentRow, alerts: Iterable[AlertRow], monitor: MonitorState | None, *, again: bool = False
) -> tuple[Cause, ...]:
    """The likely causes of an incident, the likeliest first. again: it opens again, so of those known before only versions are left.

    A change since the trouble was found answers it. One between when it is thought to have begun and when it was found may have caused it.
    """
    rows = list(alerts)
    own = next((row for row in rows if row.key == incident.alert and row.state not in _WELL), None)
    if own is not None and incident.reopened_at and own.found_at <= incident.opened_at:
        # it has not fired since: what it fired for was over
        own = None
    began = max(incident.opened_at, incident.reopened_at)
    # the incident opens later where its alert was muted
    seen = began if own is None or not own.found_at else min(own.found_at, began)
    onset = _onset(incident, seen, monitor)
    # what led to a warning may have led to what came of it
    first = onset if own is None else min(own.since, onset)
    changes = (
        change for change in _changes(state, model, began) if not change.at or first - _LOOKED <= change.at <= min(seen, onset + _UNSURE)
    )
    known = [cause for cause in incident.causes if cause.kind == "version" or not again]
    return causes.with_known(causes.ranked(rows, changes, onset), known)


def _onset(incident: IncidentRow, seen: Instant, monitor: MonitorState | None) -> Instant:
    """When the trouble began, as far as it is known: of a model that is served elsewhere, when that was made which it was found in."""
    if incident.made_since and not incident.reopened_at:
        seen = min(seen, incident.made_since)
    if monitor is not None and incident.failure_mode in _OF_LOSS and monitor.onset.at:
        return min(seen, monitor.onset.at)
    return seen


def _changes(state: State, model: Model, began: Instant) -> list[Change]:
    """What was changed about a model last, and what is wrong with its sources. A champion that took over since it began is an answer to it."""
    found: list[Change] = []
    row, declared = state.get(MODELS, model.name), state.get(DECLARATIONS, model.name)
    if row is not None and row.champion and 0 < row.champion_at <= began:
        before = f"before it {row.former}" if row.former else "the first that answers"
        # a first version has nothing that it could be worse than
        found.append(Change("version", f"version {row.champion} took over", row.champion_at, 0.8 if row.former else 0.3, before))
    if declared is not None:
        found.append(Change("version", "a declaration was applied", declared.applied_at, 0.3, declared.file))
    for name in looked_at(model):
        data = state.get(DATASETS, name)
        if data is None:
            continue
        if data.refused_mark:
            said = data.violations[0].splitlines()[0] if data.violations else "its source was refused"
            found.append(Change("upstream", f"data set {name} is refused", data.stale_from or data.stale_since, 0.9, said))
        if data.head is not None:
            commit = state.get(DATA_COMMITS, erasure_key(name, data.head.content))
            at = commit.at if commit is not None else 0
            found.append(Change("data", f"data set {name} has a new version", at, 0.3, f"{data.head.rows:,} rows"))
    return found


def impact_of(model: Model, incident: IncidentRow, alert: AlertRow | None, monitor: MonitorState, now: Instant) -> Impact:
    """What an incident has cost from the minute in which it opened until it was mitigated, or until now; each time that it was open. Labels of its rows come
    later: those that have are counted.

    Predictions of a model that is served elsewhere come when what is wrong with them has happened: those that its `alert` was found in when it opened are
    counted, too.
    """
    made, before = is_elsewhere(model), incident.impact_before
    first = incident.made_since or made_since(model, incident, alert, monitor)
    since = (first or incident.reopened_at or incident.opened_at) // MINUTE * MINUTE
    if first or before is None:
        before = None
    elif since <= before.until:
        # the minute in which it was mitigated is counted
        since = (before.until // MINUTE + 1) * MINUTE
    until = incident.mitigated_at or now
    traffic = within(monitor.slabs, since, until)
    delay = int(label_delay(model))
    matured = within(monitor.slabs, since + delay, until + delay)
    found = impact(
        model.task,
        model.costs,
        next((part for part in matured.quality if not part.slice), None),
        m0=monitor.m0,
        requests=traffic.n,
        errors=traffic.errors,
        since=since,
        until=until,
        made=made,
    )
    return found if before is None else together(before, found)


def made_since(model: Model, incident: IncidentRow, alert: AlertRow | None, monitor: MonitorState) -> Instant:
    """When the oldest of the newest predictions was made that the alert of an incident was found in, at least the minute of the newest one before it
    opened; 0 for what no alert is about, and for a model that is not served elsewhere.
    """
    if alert is None or not is_elsewhere(model):
        return 0
    wanted = alert.finding.n * (WINDOWS if alert.finding.failure in _BY_WINDOWS else 1)
    since = opened = incident.opened_at
    for slab in reversed(monitor.slabs):
        if wanted <= 0:
            break
        if slab.n and slab.start * MINUTE <= opened:
            since, wanted = min(since, slab.start * MINUTE), wanted - slab.n
    return since
