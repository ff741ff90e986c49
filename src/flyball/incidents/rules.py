"""When an incident opens, what is done, when it is over. Pure: rows and `now` in, events out.

One incident a cause: what is wrong with the data explains what is wrong with the answers, so further alerts are noted on it and open nothing; what
goes wrong with other data, days later, is another cause, and an incident of its own. A gap in the log is no model's fault and explains nothing of it: it is an
incident of its own, beside the other, and so is what a person complains of (`incidents.persons`). Mitigated and closed are observed, never assumed: a route in
force, a metric that recovered.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from flyball.clock import Instant, Span
from flyball.declare import owners
from flyball.declare.model import Model
from flyball.errors import Conflict
from flyball.incidents.playbook import EXPLAINED, EXPLAINING, actions, by_hand, depth, left_to, told_elsewhere
from flyball.ledger.bounds import clipped
from flyball.records.alerts import AlertRow, AlertState
from flyball.records.base import Event
from flyball.records.incidents import IncidentMoved, IncidentNoted, IncidentOpened, IncidentRow, IncidentState

MITIGATE, REVIEW, ROOT_CAUSE = Span.parse("5m"), Span.parse("24h"), Span.parse("7d")
"""By when, after it opened, an incident is to be mitigated, reviewed, and understood."""

REOPEN = Span.parse("24h")
"""What fires again so soon after its mitigation was not mitigated."""

TOGETHER = Span.parse("24h")
"""What goes wrong with the data so soon after the first of it has one cause with it."""

NO_VERSIONS = frozenset({"stale_data", "late_labels"})
"""Failure modes that no other version's route ends: what does not arrive arrives for none."""

AT_ONCE = frozenset({"stale_data"})
"""Failure modes that are found in the moment in which they begin: all others take their windows, or their labels."""

OPEN, MITIGATING, MITIGATED = IncidentState.OPEN, IncidentState.MITIGATING, IncidentState.MITIGATED
REVIEWED, CLOSED = IncidentState.REVIEWED, IncidentState.CLOSED

ARROWS = {
    OPEN: frozenset({MITIGATING, MITIGATED, CLOSED}),
    MITIGATING: frozenset({MITIGATED, CLOSED}),
    MITIGATED: frozenset({OPEN, REVIEWED, CLOSED}),
    REVIEWED: frozenset({OPEN, CLOSED}),
    CLOSED: frozenset[IncidentState](),
}
"""Every arrow there is. Any state may be closed by a person as a false alarm."""

_ROUTE = "another champion's route was in force everywhere"
_BAD = frozenset({AlertState.FIRING, AlertState.ACKNOWLEDGED, AlertState.STALE})
_WELL = frozenset({AlertState.OK, AlertState.RESOLVED})


def react(
    alerts: Iterable[AlertRow], incidents: Sequence[IncidentRow], model: Model, now: Instant, new_id: Callable[[str], str]
) -> tuple[Event, ...]:
    """Open, re-open or add to the model's incidents for the alerts that fire at severity alert. Warnings are tickets, no incidents."""
    firing = sorted(
        (row for row in alerts if row.model == model.name and row.state == AlertState.FIRING and row.finding.severity == "alert"),
        key=lambda row: (depth(_mode(row)), -_excess(row), row.key),
    )
    ours = [row for row in incidents if row.model == model.name]
    events: list[Event] = []
    for gap in (True, False):
        alike = [row for row in ours if _is_gap(row.failure_mode) is gap and row.failure_mode != "complaint"]
        mine = [row for row in firing if _is_gap(_mode(row)) is gap and not _closed_already(row, alike)]
        homes = _homes(mine, alike, now)
        for current in dict.fromkeys(homes.values()):
            events += _react([row for row in mine if homes[row.key] == current], current, model, new_id)
    return tuple(events)


def _react(firing: list[AlertRow], current: IncidentRow | None, model: Model, new_id: Callable[[str], str]) -> list[Event]:
    """What alerts of one cause do to their incident; None: to a new one."""
    if current is None:
        return _open(firing, model, new_id)
    events: list[Event] = []
    if current.state in (MITIGATED, REVIEWED):
        again = [row for row in firing if _fired(row) > current.mitigated_at]
        if again:
            why = f"fires again {Span(_fired(again[0]) - current.mitigated_at).brief} after it was mitigated: {again[0].finding.why}"
            events.append(IncidentMoved(incident=current.incident, source=current.state, target=OPEN, why=why))
            events.append(IncidentNoted(incident=current.incident, note="", cause=_cause_again(current, again)))
    events.extend(_notes(current, firing, model))
    return events


def _cause_again(incident: IncidentRow, again: Sequence[AlertRow]) -> str:
    """What is known of an incident that opens again: what was found the first time is over. What is wrong with the data explains wrong answers."""
    explains = next((row for row in again if _mode(row) in EXPLAINING), None) if incident.failure_mode in EXPLAINED else None
    row = explains or next((row for row in again if row.key == incident.alert), again[0])
    return row.finding.why if row.key == incident.alert else clipped(f"{_what(row)}: {row.finding.why}")


def rolled_back(
    incidents: Sequence[IncidentRow], model: Model, new_id: Callable[[str], str], *, rollout: str, version: str, why: str
) -> tuple[Event, ...]:
    """A guard sent a release back: its own incident, or a note on the one that is open. Once for each rollout."""
    ours = [row for row in incidents if row.model == model.name]
    if any(row.rollout == rollout for row in ours):
        return ()
    note = f"release {model.name}@{version} rolled back ({rollout}): {why}"
    apart = ("evidence_gap", "complaint")
    current = next((row for row in ours if row.state in (OPEN, MITIGATING) and row.failure_mode not in apart), None)
    if current is not None:
        return () if note[:500] in current.notes else (IncidentNoted(incident=current.incident, note=note[:500]),)
    opened = IncidentOpened(
        incident=new_id("inc"),
        model=model.name,
        failure_mode="bad_release",
        alert="",
        what=f"bad release: {model.name}@{version}",
        cause=why,
        owner=model.owner,
        actions=actions(model.playbook, "bad_release"),
        rollout=rollout,
    )
    return (opened,)


def progress(
    incident: IncidentRow, alerts: Iterable[AlertRow], *, now: Instant, acting: str = "", in_force_at: Instant = 0
) -> tuple[Event, ...]:
    """Carry an incident on. `alerts` are the model's alerts.

    `acting` names an action under way (a run, a rollout); `in_force_at` is when every gateway had the route of a champion that took over
    after the incident opened (0: none did); neither does anything about a gap in the log. Clocks that ran out are noted once each.
    """
    events: list[Event] = list(clocks(incident, now))
    gap = _is_gap(incident.failure_mode)
    acting, in_force_at = ("", 0) if gap else (acting, in_force_at)
    rows = [row for row in alerts if row.model == incident.model and _is_gap(_mode(row)) is gap]
    bad = [row for row in rows if row.state in _BAD and row.finding.severity == "alert" and _speaks_of(incident, row)]
    arrow = None
    if incident.state in (OPEN, MITIGATING):
        why = _mitigation(incident, rows, bad, in_force_at)
        if why:
            arrow = (MITIGATED, why)
        elif acting and incident.state == OPEN:
            arrow = (MITIGATING, acting)
    elif incident.state == REVIEWED and not bad:
        arrow = (CLOSED, _over(incident, rows))
    if arrow is not None:
        events.append(IncidentMoved(incident=incident.incident, source=incident.state, target=arrow[0], why=arrow[1]))
    return tuple(events)


def _over(incident: IncidentRow, rows: list[AlertRow]) -> str:
    """By what a reviewed incident is over: its alerts, or where no alert is about it, whose word or what was seen."""
    if any(_speaks_of(incident, row) for row in rows):
        return "reviewed, and every alert it is about has measurably recovered"
    mark = f"{MITIGATED.value}: "
    why = next((note.removeprefix(mark) for note in reversed(incident.notes) if note.startswith(mark)), "")
    if incident.failure_mode == "complaint" and not why.startswith(_ROUTE):
        return f"reviewed; it ended on the word of {why.partition(': ')[0]}"
    return clipped(f"reviewed; it ended as was seen: {why}")


def _mitigation(incident: IncidentRow, rows: list[AlertRow], bad: list[AlertRow], in_force_at: Instant) -> str:
    """What was observed to mitigate the incident; empty text: nothing yet."""
    began = max(incident.opened_at, incident.reopened_at)
    if in_force_at > began and incident.failure_mode not in NO_VERSIONS:
        return f"{_ROUTE} {Span(in_force_at - began).brief} after the incident opened"
    own = next((row for row in rows if row.key == incident.alert), None)
    if own is None or own.state not in _WELL or bad:
        return ""
    # it may have opened again for another one
    last = max((row for row in rows if row.state in _WELL and _speaks_of(incident, row)), key=lambda row: (row.since, row.key == own.key))
    return f"its alert has resolved: {last.finding.why}" if last.key == own.key else f"{_what(last)} has resolved: {last.finding.why}"


def clocks(incident: IncidentRow, now: Instant) -> tuple[IncidentNoted, ...]:
    """An event for each clock that has run out, once."""
    late: list[str] = []
    if incident.state in (OPEN, MITIGATING) and now > incident.mitigate_by:
        late.append("mitigate")
    if incident.state in (OPEN, MITIGATING, MITIGATED) and now > incident.review_by:
        late.append("review")
    if incident.state not in (REVIEWED, CLOSED) and now > incident.root_cause_by:
        late.append("root cause")
    return tuple(IncidentNoted(incident=incident.incident, note=f"overdue: {clock}") for clock in late if clock not in incident.overdue)


def false_alarm(incident: IncidentRow, reason: str) -> IncidentMoved:
    """A person closes the incident, with a reason. Raises Conflict if it is closed already."""
    if incident.state == CLOSED:
        raise Conflict(f"{incident.incident} is closed already")
    why = f"false alarm: {reason}"
    return IncidentMoved(incident=incident.incident, source=incident.state, target=CLOSED, why=why, false_alarm=True)


def require(stands: IncidentState, event: IncidentMoved) -> None:
    """Raise Conflict unless the event starts where the incident stands and goes along an arrow."""
    if event.source is not stands or event.target not in ARROWS[stands]:
        raise Conflict(
            f"{event.incident} cannot go from {event.source.value} to {event.target.value}",
            why=f"it is {stands.value}, and from there it goes to {', '.join(sorted(ARROWS[stands])) or 'nothing: it has ended'}",
        )


def next_due(incidents: Iterable[IncidentRow], now: Instant) -> Instant | None:
    """The earliest moment at which a clock of an open incident runs out; None: no clock runs."""
    due: list[Instant] = []
    for row in incidents:
        running = {
            "mitigate": (row.mitigate_by, row.state in (OPEN, MITIGATING)),
            "review": (row.review_by, row.state in (OPEN, MITIGATING, MITIGATED)),
            "root cause": (row.root_cause_by, row.state not in (REVIEWED, CLOSED)),
        }
        due.extend(by + 1 for clock, (by, on) in running.items() if on and clock not in row.overdue)
    return max(now, min(due)) if due else None


def _mode(row: AlertRow) -> str:
    return row.finding.failure or "performance"


def _fired(alert: AlertRow) -> Instant:
    """When an alert fired, or became as grave as it is."""
    return max(alert.since, alert.found_at)


def _is_gap(failure_mode: str) -> bool:
    return failure_mode == "evidence_gap"


def _excess(row: AlertRow) -> float:
    effect, floor = row.finding.effect, row.finding.floor
    return abs(effect / floor) if effect is not None and floor else 0.0


def _homes(firing: Sequence[AlertRow], incidents: Sequence[IncidentRow], now: Instant) -> dict[str, IncidentRow | None]:
    """By key, the incident that each alert belongs to. What opens again now may be explained by what is found with it."""
    homes = {row.key: _home(row, incidents, now) for row in firing}
    known = ((row, homes[row.key]) for row in firing)
    again = [home for row, home in known if home is not None and home.state in (MITIGATED, REVIEWED) and _fired(row) > home.mitigated_at]
    return {
        row.key: homes[row.key] or max((home for home in again if _same_cause(home, row)), key=lambda home: home.opened_at, default=None)
        for row in firing
    }


def _home(alert: AlertRow, incidents: Sequence[IncidentRow], now: Instant) -> IncidentRow | None:
    """The incident that an alert belongs to: one that speaks of it, else one of the same cause that is not mitigated yet, or was a short while ago.

    None: it is a cause of its own.
    """
    active = [row for row in incidents if row.state in (OPEN, MITIGATING)]
    recent = [row for row in incidents if row.state in (MITIGATED, REVIEWED) and now - row.mitigated_at <= REOPEN]
    told = [row for row in (*active, *recent) if _speaks_of(row, alert)]
    same = [row for row in active if _same_cause(row, alert)]
    # what was mitigated opens again for its like alone: that data go wrong afterwards does not make the answers wrong again, nor the other way round
    same = same or [row for row in recent if _same_cause(row, alert) and (row.failure_mode in EXPLAINING) == (_mode(alert) in EXPLAINING)]
    return max(told or same, key=lambda row: row.opened_at, default=None)


def _same_cause(incident: IncidentRow, alert: AlertRow) -> bool:
    """Whether one explains the other. Two things wrong with the data do where they began together, or lie in the same column. What is found when it begins
    explains nothing that was wrong before.
    """
    if incident.failure_mode not in EXPLAINING and _mode(alert) in AT_ONCE:
        return _fired(alert) <= max(incident.opened_at, incident.reopened_at)
    if incident.failure_mode not in EXPLAINING or _mode(alert) not in EXPLAINING:
        return True
    column = alert.finding.column
    return alert.since - incident.opened_at <= TOGETHER or (bool(column) and incident.alert.endswith(f"/{column}"))


def _closed_already(alert: AlertRow, incidents: Sequence[IncidentRow]) -> bool:
    """The same episode of the alert was dealt with in an incident that is over: it opens no other one."""
    return any(
        row.state in (MITIGATED, REVIEWED, CLOSED) and _fired(alert) <= max(row.mitigated_at, row.closed_at) and _speaks_of(row, alert)
        for row in incidents
    )


def tells_of(incident: IncidentRow, key: str) -> bool:
    """Whether an incident tells of the alert with this key: it opened for it, or that was noted on it."""
    return incident.alert == key or any(note.startswith(_also(key)) for note in incident.notes)


def fires_since(alert: AlertRow, incidents: Iterable[IncidentRow]) -> Instant:
    """Since when an alert fires, or is in the state that it is in: an acknowledged one fired when the incident that it is acknowledged by opened, or opened
    again.
    """
    if alert.state != AlertState.ACKNOWLEDGED:
        return alert.since
    opened = (at for row in incidents if row.alert == alert.key for at in (row.opened_at, row.reopened_at))
    return max((at for at in opened if 0 < at <= alert.since), default=alert.since)


def _speaks_of(incident: IncidentRow, alert: AlertRow) -> bool:
    return tells_of(incident, alert.key)


def _also(key: str) -> str:
    return f"also {key}:"


def _open(firing: Sequence[AlertRow], model: Model, new_id: Callable[[str], str]) -> list[Event]:
    root = firing[0]
    mode = _mode(root)
    chosen = actions(model.playbook, mode)
    opened = IncidentOpened(
        incident=new_id("inc"),
        model=model.name,
        failure_mode=mode,
        alert=root.key,
        what=_what(root),
        cause=root.finding.why,
        owner=owners.of_failure(model, mode, root.finding.column),
        actions=chosen,
    )
    # what is missing from flyball's own log nobody mends elsewhere
    left = () if _is_gap(mode) else left_to(model, opened.owner)
    events: list[Event] = [opened, *(IncidentNoted(incident=opened.incident, note=note) for note in left)]
    events.extend(
        IncidentNoted(incident=opened.incident, note=f'action "{name}" is not done by flyball: {opened.owner or "the owner"} has to')
        for name in (by_hand(chosen) if model.train is not None else told_elsewhere(chosen))
    )
    events.extend(
        IncidentNoted(incident=opened.incident, note=f"{_also(row.key)} {row.finding.why}", actions=actions(model.playbook, _mode(row)))
        for row in firing[1:]
    )
    return events


def _notes(incident: IncidentRow, firing: Sequence[AlertRow], model: Model) -> list[Event]:
    """Alerts that the incident does not speak of yet. Where its answers are wrong and nothing explains it so far, what is wrong with
    the data becomes its cause, under its own name, and it goes to whose that is; no other finding takes the place of a cause. What their own failure modes ask for is
    done too: a drift that lasts must not keep an outage from its rollback.
    """
    notes: list[Event] = []
    told = [_mode(row) for row in firing if _speaks_of(incident, row)]
    unexplained = incident.failure_mode in EXPLAINED and not any(mode in EXPLAINING for mode in told)
    for row in firing:
        if _speaks_of(incident, row):
            continue
        explains = unexplained and _mode(row) in EXPLAINING
        unexplained = unexplained and not explains
        owner = owners.of_failure(model, _mode(row), row.finding.column) if explains else ""
        notes.append(
            IncidentNoted(
                incident=incident.incident,
                note=f"{_also(row.key)} {row.finding.why}",
                cause=clipped(f"{_what(row)}: {row.finding.why}") if explains else "",
                actions=actions(model.playbook, _mode(row)),
                owner="" if owner == incident.owner else owner,
            )
        )
    return notes


def _what(row: AlertRow) -> str:
    finding = row.finding
    value = f" {finding.value}" if finding.value and finding.failure == "schema_change" else ""
    return f"{_mode(row).replace('_', ' ')}{f' ({finding.where}{value})' if finding.where else ''}"
