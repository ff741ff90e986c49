"""Which of an incident's actions were done, by the record, and why the others were not. Only reads; what was chosen is not what was done."""

from __future__ import annotations

from collections.abc import Iterator

from flyball.clock import Instant
from flyball.incidents.playbook import TOLD, why_not
from flyball.loop.ports import Ledger
from flyball.loop.timeline import around
from flyball.records.base import Record, Recorded, State
from flyball.records.deliveries import AlertDelivered, AlertQueued
from flyball.records.fallbacks import FallbackBegan
from flyball.records.incidents import IncidentRow
from flyball.records.proposals import MODEL_PROPOSALS
from flyball.records.rollouts import RolloutMoved, RolloutState
from flyball.records.training import RunQueued
from flyball.records.versions import ChampionChanged

_HOLDS = {"freeze": "until it was mitigated", "cap": "until it was acknowledged or mitigated, or three cool-downs had passed"}
"""What is in force by the incident itself, without an event of its own."""

_PROPOSED = {"retrain": "train", "shadow-train": "train"}
"""Under which name an action is proposed, where that is another one."""


class Deed(Record, frozen=True):
    """An action that was chosen. `done` is what the record has of it, with who did it; empty: it was not done, and `why` says why."""

    action: str
    done: str = ""
    why: str = ""


def deeds(ledger: Ledger, row: IncidentRow, now: Instant) -> tuple[Deed, ...]:
    """Each of the incident's actions, in order."""
    events, unread = around(ledger, row, now)
    found: dict[str, str] = {}
    messages: set[str] = set()
    for recorded in events:
        if isinstance(recorded.event, AlertQueued) and row.incident in (recorded.event.said.incident, *recorded.event.said.along):
            messages.add(recorded.event.said.message)
        for action, what in _done(recorded, row, messages):
            found.setdefault(action, what)
    state = ledger.state()
    return tuple(_deed(state, row, action, found.get(action, ""), unread) for action in row.actions)


def _deed(state: State, row: IncidentRow, action: str, found: str, unread: int) -> Deed:
    if found:
        return Deed(action=action, done=found)
    if said := why_not(row.notes, action):
        return Deed(action=action, why=said)
    if action in _HOLDS:
        return Deed(action=action, done=_HOLDS[action])
    named = _PROPOSED.get(action, action)
    for _, made in state.scan(MODEL_PROPOSALS, f"{row.model}/"):
        if made.cause == row.incident and made.action == named:
            stands = made.verdict or "open" if made.mode == "propose" else "only recorded"
            return Deed(action=action, why=f"proposed: {made.proposal}, {stands}")
    missing = "no route has taken a message of it" if action in TOLD else "the record has nothing of it"
    return Deed(action=action, why=f"{missing} (events not read: {unread:,})" if unread else missing)


def _done(recorded: Recorded, row: IncidentRow, messages: set[str]) -> Iterator[tuple[str, str]]:
    """The actions that one event is the deed of."""
    event, by = recorded.event, recorded.actor
    if isinstance(event, AlertDelivered) and event.message in messages:
        yield from ((action, f"told by {event.route}") for action in sorted(TOLD))
    if isinstance(event, FallbackBegan) and event.incident == row.incident:
        yield "fallback", f"the declared fallback answered, by {by}"
    if (
        isinstance(event, RolloutMoved)
        and event.rollout == row.rollout
        and event.target in (RolloutState.ROLLING_BACK, RolloutState.FAILED)
    ):
        yield "rollback", f"{event.rollout} was left, by {by}"
    until = row.mitigated_at or row.closed_at
    if getattr(event, "model", "") != row.model or recorded.at < row.opened_at or (until and recorded.at > until):
        return
    if isinstance(event, ChampionChanged) and event.rollback:
        yield from ((action, f"{event.version} answered again, by {by}") for action in ("rollback", "fallback"))
    elif isinstance(event, RunQueued) and event.reason.startswith(f"{row.incident}, in shadow"):
        yield "shadow-train", f"{event.run}, by {by}"
    elif isinstance(event, RunQueued) and event.release and event.trigger in ("monitor", "manual"):
        yield "retrain", f"{event.run}, by {by}"
