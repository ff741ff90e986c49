"""What the record says beside an incident's row of what a person does next, and of what made it urgent: the same wherever it is told. Only reads."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from flyball.declare.model import Model
from flyball.incidents.messages import Urgent, next_step
from flyball.incidents.playbook import actions
from flyball.incidents.rules import tells_of
from flyball.loop.findings import alerts_of
from flyball.loop.lookup import active_rollout
from flyball.loop.releases import no_way_back
from flyball.records.alerts import AlertRow, AlertState
from flyball.records.base import State
from flyball.records.incidents import IncidentRow
from flyball.records.rollouts import RolloutState
from flyball.records.versions import MODELS


def next_of(state: State, row: IncidentRow) -> str:
    """What a person does next about an incident, with no command that would be refused."""
    return next_step(row, back=can_go_back(state, row))


def can_go_back(state: State, row: IncidentRow) -> bool:
    """Whether `flyball rollback` takes back what an incident may come of: not where it is refused, nor where what it came of is gone already."""
    if not row.model or no_way_back(state, row.model) is not None:
        return False
    active, roles = active_rollout(state, row.model), state.get(MODELS, row.model)
    if active is not None and active.state == RolloutState.ROLLING_BACK:
        return False
    if row.rollout:
        return active is not None and active.rollout == row.rollout
    # a champion that took over since is what was gone back to, or mends it
    return active is not None or (roles is not None and roles.champion_at <= max(row.opened_at, row.reopened_at))


def made_urgent(state: State, rows: Iterable[IncidentRow], models: Mapping[str, Model]) -> Urgent | None:
    """What has people paged for incidents that are told together, the first of which paged nobody when it opened. models: by incident. None: nothing known."""
    for place, row in enumerate(rows):
        model = models.get(row.incident)
        if model is None or "page" not in row.actions:
            continue
        paging = [alert for alert in alerts_of(state, row.model).values() if tells_of(row, alert.key) and _pages(model, alert)]
        found = min(paging, key=lambda alert: (alert.state not in (AlertState.FIRING, AlertState.ACKNOWLEDGED), alert.since), default=None)
        if found is not None:
            return Urgent(by=f"{found.monitor}{f' of {row.model}' if place else ''}", why=found.finding.why)
    return None


def _pages(model: Model, alert: AlertRow) -> bool:
    return alert.finding.severity == "alert" and "page" in actions(model.playbook, alert.finding.failure or "performance")
