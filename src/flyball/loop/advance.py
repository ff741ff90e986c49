"""One model's turn: watch it, react, go on with its rollout, release what is ready, train when due.

Every step reads the state as the last one left it and makes at most one command; what the loop may not do by itself is proposed or recorded.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from flyball.clock import Instant
from flyball.compute.port import LEASE
from flyball.declare.change_window import opens
from flyball.declare.live import label_delay
from flyball.declare.model import Model
from flyball.declare.policy import Retrain
from flyball.incidents import rules as incidents
from flyball.loop.besides import besides_counts
from flyball.loop.broken import broken_findings
from flyball.loop.budgets import budgets_of
from flyball.loop.carrying import ask_for_verdicts
from flyball.loop.commands import active_run
from flyball.loop.elsewhere import elsewhere, idle, learnt
from flyball.loop.findings import Report, alerts_of, decide_report, incidents_of
from flyball.loop.folds import FOLDS
from flyball.loop.freezes import frozen_by, overdue_review
from flyball.loop.freshness import next_due as stale_due
from flyball.loop.lookup import active_rollout
from flyball.loop.memory import IDLE, Memories
from flyball.loop.moment import OneMoment, anew
from flyball.loop.outcomes import outcomes_found
from flyball.loop.ports import Ports
from flyball.loop.proposals import ACTOR, Withdraw, decide_withdraw, withdrawn
from flyball.loop.queueing import due as told_again
from flyball.loop.reactions import fall_back, go_back, note_undone, train_in_shadow
from flyball.loop.releases import MoveRollout, decide_move, in_force
from flyball.loop.releasing import release_newest
from flyball.loop.retraining import ask_for_training, judge_again, judge_anew, past_of, train_if_due
from flyball.loop.watch import loss_cap
from flyball.monitoring import rules as monitoring
from flyball.monitoring.alerts import UNDER_WAY
from flyball.monitoring.objectives import next_due as budget_due
from flyball.monitoring.objectives import objective_findings
from flyball.monitoring.usage import usage_findings
from flyball.records.base import State
from flyball.records.declarations import DECLARATIONS
from flyball.records.fallbacks import FALLBACKS
from flyball.records.rollouts import RolloutState
from flyball.records.training import NO_ATTEMPTS, RunState
from flyball.records.versions import MODELS, ModelRow
from flyball.rollout import rules as rollout
from flyball.training import rules as training


def advance(ports: Ports, name: str, kept: Memories, now: Instant) -> Instant:
    """Do what is due for one model; return when something can be due again."""
    ports = replace(ports, ledger=OneMoment(ports.ledger))
    declared = ports.ledger.state().get(DECLARATIONS, name)
    assert declared is not None, f"{name} is advanced but not declared"
    model = ports.library.model(declared.body)
    state = ports.ledger.state()
    if idle(state, model):
        return now + IDLE
    budgets = budgets_of(state, model, kept.monitor(name), now)
    spent, usage = objective_findings(model.objectives, budgets), usage_findings(kept.usage(name), now)
    besides = [*besides_counts(state, model, now), *learnt(state, model, kept), *spent, *usage]
    besides += [*outcomes_found(ports.memory, model, kept.monitor(name).version, now), *broken_findings(ports.memory, name)]
    fired = {row.monitor for row in alerts_of(state, name).values() if row.state in UNDER_WAY}
    assessment = monitoring.assess(
        model, kept.monitor(name), now=now, detector=ports.detector, besides=besides, heard=kept.heard, fired=fired
    )
    report(ports, model, assessment, kept)
    spends = budget_due(budgets, now) or now + IDLE
    if elsewhere(state, model):
        # whoever serves it releases it and takes it back
        return min(_next_look(ports, ports.ledger.state(), model, kept, now), spends)
    withdraw(ports, model)
    answer(ports, model)
    move_rollout(ports, model, kept)
    release_newest(ports, model, kept)
    if ports.before is not None:
        # versions are made, and judged, in the first environment
        ask_for_training(ports, model, kept, assessment.alarm)
        ask_for_verdicts(ports, name)
    else:
        judge_anew(ports, model)
        train_if_due(ports, model, kept, assessment.alarm, now)
        judge_again(ports, model, now)
    return min(_next(ports, model, kept, now), spends)


def report(ports: Ports, model: Model, assessment: monitoring.Assessment, kept: Memories) -> None:
    """Alerts and incidents follow the findings."""
    state = ports.ledger.state()
    if state.get(MODELS, model.name) is None and not elsewhere(state, model):
        return
    acting = acting_on(state, model.name)
    command = Report(id=ports.clock.new_id("cmd"), actor=ACTOR, model=model.name, findings=assessment.findings, acting=acting)
    decide = partial(decide_report, model=model, folds=FOLDS, new_id=ports.clock.new_id, monitor=kept.monitor(model.name))
    if decide(state, command, ports.clock.now()):
        ports.ledger.execute(command, decide)


def acting_on(state: State, model: str) -> str:
    """What is being done that may end an incident of the model; empty: nothing. That a version is judged, or a run is made again, mends nothing."""
    run, active = active_run(state, model), active_rollout(state, model)
    if run is not None and run.trigger not in NO_ATTEMPTS:
        return f"training: {run.run}"
    if active is not None:
        return f"{'taking back' if active.state == RolloutState.ROLLING_BACK else 'releasing'} {active.version}: {active.rollout}"
    return "the declared fallback answers" if state.get(FALLBACKS, model) is not None else ""


def withdraw(ports: Ports, model: Model) -> None:
    """What was proposed and cannot be done any more is asked no longer: of two versions in a row, people are asked about the newest."""
    if withdrawn(ports.ledger.state(), model.name, ports.clock.now()):
        ports.ledger.execute(Withdraw(id=ports.clock.new_id("cmd"), actor=ACTOR, model=model.name), decide_withdraw)


def answer(ports: Ports, model: Model) -> None:
    """What the playbook asks for and is done by itself: go back, let the fallback answer, train in shadow. Retraining, caps and freezes are asked for where
    runs and rollouts are begun. What cannot be done at all is said first.
    """
    note_undone(ports, model)
    go_back(ports, model)
    fall_back(ports, model)
    train_in_shadow(ports, model)


def move_rollout(ports: Ports, model: Model, kept: Memories) -> None:
    """Look at the active rollout's evidence."""
    if active_rollout(ports.ledger.state(), model.name) is None:
        return
    state = anew(ports)
    active = active_rollout(state, model.name)
    if active is None:
        return
    ready, why = _workers(ports, state, model, active.version)
    frozen = [frozen_by(state, model, kept, ports.clock.now(), version=active.version, by=active.by)]
    if ports.reviews and active.by == ACTOR and RolloutState.WATCHING not in (active.state, active.resume):
        # a person's rollout goes on: they know what they do
        frozen.append(overdue_review(state, model.name))
    command = MoveRollout(
        id=ports.clock.new_id("cmd"),
        actor=ACTOR,
        rollout=active.rollout,
        evidence=kept.evidence(active.rollout),
        workers_ready=ready,
        why_not_ready=why,
        frozen_by=", ".join(filter(None, frozen)),
        loss_cap=loss_cap(ports.library, state, active),
    )
    decide = partial(decide_move, model=model, folds=FOLDS, signatures=ports.library.signature, new_id=ports.clock.new_id)
    if decide(state, command, ports.clock.now()):
        ports.ledger.execute(command, decide)


def _workers(ports: Ports, state: State, model: Model, version: str) -> tuple[bool | None, str]:
    failed = ports.routes.status().failed.get(f"{model.name}@{version}")
    if failed is not None:
        return False, f"its worker failed: {failed}"
    return (True, "") if in_force(state, model.name) else (None, "")


def _next(ports: Ports, model: Model, kept: Memories, now: Instant) -> Instant:
    state = ports.ledger.state()
    row = state.get(MODELS, model.name) or ModelRow(model=model.name)
    due = [_next_look(ports, state, model, kept, now)]
    run = active_run(state, model.name)
    if run is not None:
        # a run is started by the look after the one that wanted it, and ends when nobody renews its lease
        due.append(now if run.state == RunState.QUEUED else now + LEASE // 3)
    active = active_rollout(state, model.name)
    if active is not None:
        opening = opens(model.rollout.change_window, now)
        due += [rollout.next_due(active, model.rollout, now, label_delay=label_delay(model)), *([opening] if opening is not None else [])]
    if model.retrain is not None or not row.champion:
        schedule = training.next_due(model.retrain or Retrain(), past_of(state, model, row, ports.cpu_price), now=now)
        due += [schedule] if schedule is not None else []
    return max(now, min(due))


def _next_look(ports: Ports, state: State, model: Model, kept: Memories, now: Instant) -> Instant:
    """When monitors, data sets and the clocks of incidents are to be looked at again."""
    due = [now + IDLE, monitoring.next_due(kept.monitor(model.name), now), *stale_due(state, model, now)]
    due += told_again(state, model, ports.outbox.routes, now) if ports.outbox is not None else []
    clock = incidents.next_due(incidents_of(state, model.name), now)
    return max(now, min([*due, *([clock] if clock is not None else [])]))
