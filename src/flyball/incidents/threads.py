"""Which incidents of several models are told in one thread, because one thing behind them is broken. Pure.

Each model keeps its incident, with its own clocks, cause and review; people are woken once. A thread is led by the incident that was told first, and
goes on until all of its incidents are over.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from flyball.clock import Span
from flyball.declare.model import Model
from flyball.incidents.messages import ACKNOWLEDGED, LIVE_STATES, MITIGATED_MARK, WITH, acknowledged_by
from flyball.records.deliveries import SaidRow
from flyball.records.incidents import IncidentRow, IncidentState

AT_ONCE = Span.parse("10m")
"""Incidents whose shared cause is not named, such as a machine without memory, have one if they begin within so long of the thread's first one."""

_OF_THE_MACHINE = frozenset({"errors", "latency", "cost", "evidence_gap"})
_OF_COLUMNS = frozenset({"schema_change", "input_drift"})


class Shared(NamedTuple):
    """What several models may have in common. `within`: how long after a thread's first incident another belongs to it; None: as long as the thread goes on."""

    key: str
    within: Span | None = None


def shared(row: IncidentRow, model: Model) -> Shared | None:
    """What an incident may share with those of other models; None: nothing, such as a loss that is this model's own."""
    mode = row.failure_mode
    monitor, _, where = row.alert.removeprefix(f"{row.model}/").rpartition("/")
    # a column in one value of a slice is the column
    column = where.partition(" in ")[0]
    if mode == "stale_data":
        # of data that are not fresh the data set stands for a column; requests that do not arrive have none
        return Shared(f"data {column}") if column else Shared(f"{mode} {monitor}", AT_ONCE)
    if mode in _OF_COLUMNS:
        return Shared(f"column {model.data.name}.{column}") if column else None
    if mode == "skew":
        views = {view.name for view in model.features if column in view.features}
        return Shared(f"features {min(views)}.{column}") if views else None
    if mode in ("late_labels", "label_drift"):
        return Shared(f"{mode} {model.data.name}.{model.label}")
    return Shared(mode, AT_ONCE) if mode in _OF_THE_MACHINE else None


def joins(row: IncidentRow, model: Model, first: IncidentRow, led: Model, *, live: bool = True) -> bool:
    """Whether an incident that nobody was told of yet belongs to the thread of `first`, of which something is `live`."""
    theirs = shared(first, led)
    if theirs is None or row.state not in LIVE_STATES or row.model == first.model or shared(row, model) != theirs:
        return False
    return live if theirs.within is None else abs(row.opened_at - first.opened_at) <= theirs.within


def members(said: SaidRow) -> list[str]:
    """The other incidents of a thread, by what was said of it."""
    return [mark.removeprefix(WITH) for mark in said.marks if mark.startswith(WITH)]


def joint(rows: Sequence[IncidentRow], said: SaidRow | None) -> IncidentRow:
    """The incidents of a thread as one: live while any is, acknowledged when somebody is on any of them, over when all are. The first gives it its name."""
    first = rows[0]
    if len(rows) == 1:
        return first
    live = [row for row in rows if row.state in LIVE_STATES]
    last = max(rows, key=lambda row: max(row.mitigated_at, row.closed_at))
    base = last if not live else first if first in live else live[0]
    going = [row for row in rows if row.state != IncidentState.CLOSED]
    states = {row.state for row in rows}
    # what opens again while others were open all the time is no news
    over = [int(mark.removeprefix(MITIGATED_MARK)) for mark in said.marks if mark.startswith(MITIGATED_MARK)] if said is not None else []
    reopened = max((row.reopened_at for row in live), default=0)
    anew = bool(over) and max(over) < reopened
    taken = next((row for row in (live if anew else rows) if acknowledged_by(row)), None)
    notes = base.notes if taken is None or not live or acknowledged_by(base) else (*base.notes, f"{ACKNOWLEDGED}{acknowledged_by(taken)}")
    return msgspec.structs.replace(
        base,
        incident=first.incident,
        model=first.model,
        alert=first.alert,
        what=first.what,
        owner=first.owner,
        state=next(state for state in IncidentState if state in states),
        opened_at=min(row.opened_at for row in rows),
        mitigate_by=first.mitigate_by,
        review_by=first.review_by,
        root_cause_by=first.root_cause_by,
        actions=tuple(dict.fromkeys(action for row in rows for action in row.actions)),
        mitigated_at=0 if live else last.mitigated_at,
        reopened_at=reopened if anew else 0,
        overdue=tuple(dict.fromkeys(clock for row in going for clock in row.overdue)),
        notes=notes,
    )
