"""One model's turn: watch it, react, go on with its rollout, release what is ready, train when due.

Every step reads the state anew and makes at most one command; what the loop may not do by itself is proposed or recorded.
"""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import Literal, NamedTuple

from flyball.clock import Instant, Span
from flyball.compute.port import LEASE
from flyball.declare.live import champion_gates, compared_live, label_delay
from flyball.declare.model import Model
from flyball.declare.policy import Retrain
from flyball.declare.units import Money
from flyball.errors import NotFound, Refused
from flyball.evaluation.persons import of_card, of_persons
from flyball.incidents import rules as incidents
from flyball.ledger.bounds import clipped
from flyball.loop import training as runs
from flyball.loop.carrying import ask_for_verdicts, hand_on, take_up
from flyball.loop.commands import active_run
from flyball.loop.findings import Report, decide_report, incidents_of
from flyball.loop.folds import FOLDS
from flyball.loop.freshness import ages
from flyball.loop.freshness import next_due as stale_due
from flyball.loop.lookup import active_rollout
from flyball.loop.memory import IDLE, Memories, recent_latency
from flyball.loop.ports import Ports
from flyball.loop.proposals import Action, Propose, Withdraw, candidate, decide_propose, decide_withdraw, withdrawn
from flyball.loop.releases import (
    MoveRollout,
    Release,
    Rollback,
    against_way_back,
    decide_move,
    decide_release,
    decide_rollback,
    in_force,
)
from flyball.loop.requests import unreleasable
from flyball.loop.watch import loss_cap
from flyball.monitoring import rules as monitoring
from flyball.monitoring.freshness import freshness_findings
from flyball.monitoring.skew import skew_findings
from flyball.records.base import Refusal, State
from flyball.records.declarations import DECLARATIONS
from flyball.records.environments import JUDGINGS, WANTED
from flyball.records.estimates import Outcome
from flyball.records.monitoring import Finding, IncidentState
from flyball.records.rollouts import RolloutState
from flyball.records.serving import ROUTES
from flyball.records.skew import SKEWS
from flyball.records.training import MODEL_RUNS, NO_ATTEMPTS, RUNS, RunState, Trigger
from flyball.records.versions import MODELS, VERSIONS, ModelRow, VersionRow, VersionState
from flyball.registry.rules import met_another, to_judge_anew
from flyball.rollout import rules as rollout
from flyball.training import rules as training

ACTOR = "loop"
_LIVE = (IncidentState.OPEN, IncidentState.MITIGATING)


class Wish(NamedTuple):
    """A training that is due, why, and what of the reason stays the same while its figures move."""

    trigger: Trigger
    reason: str
    cause: str


def advance(ports: Ports, name: str, kept: Memories, now: Instant) -> Instant:
    """Do what is due for one model; return when something can be due again."""
    declared = ports.ledger.state().get(DECLARATIONS, name)
    assert declared is not None, f"{name} is advanced but not declared"
    model = ports.library.model(declared.body)
    state = ports.ledger.state()
    besides = [*skew_of(state, model), *freshness_findings(ages(state, model), now)]
    assessment = monitoring.assess(model, kept.monitor(name), now=now, detector=ports.detector, besides=besides)
    report(ports, model, assessment)
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
    return _next(ports, model, kept, now)


def skew_of(state: State, model: Model) -> list[Finding]:
    """What is known of the features that the versions in the model's route are served."""
    rows = [row for _, row in state.scan(SKEWS, f"{model.name}/")] if model.features else []
    route = state.get(ROUTES, model.name) if rows else None
    serving = {arm.version for arm in (*route.route.arms, *route.route.shadows)} if route is not None else set()
    return list(skew_findings(rows, serving))


def report(ports: Ports, model: Model, assessment: monitoring.Assessment) -> None:
    """Alerts and incidents follow the findings."""
    state = ports.ledger.state()
    if state.get(MODELS, model.name) is None:
        return
    run, active = active_run(state, model.name), active_rollout(state, model.name)
    back = active is not None and active.state == RolloutState.ROLLING_BACK
    doing = "taking back" if back else "releasing"
    acting = f"training: {run.run}" if run else f"{doing} {active.version}: {active.rollout}" if active else ""
    command = Report(id=ports.clock.new_id("cmd"), actor=ACTOR, model=model.name, findings=assessment.findings, acting=acting)
    decide = partial(decide_report, model=model, folds=FOLDS, new_id=ports.clock.new_id)
    if decide(state, command, ports.clock.now()):
        ports.ledger.execute(command, decide)


def withdraw(ports: Ports, model: Model) -> None:
    """What was proposed and cannot be done any more is asked no longer: of two versions in a row, people are asked about the newest."""
    if withdrawn(ports.ledger.state(), model.name, ports.clock.now()):
        ports.ledger.execute(Withdraw(id=ports.clock.new_id("cmd"), actor=ACTOR, model=model.name), decide_withdraw)


def answer(ports: Ports, model: Model) -> None:
    """The playbook's rollback: once for each incident and route, and only where a former champion can come back.

    To one that is advised against a person goes back. One whose gates do not hold any more is what answered before all the same.
    """
    state = ports.ledger.state()
    row = state.get(MODELS, model.name)
    for incident in incidents_of(state, model.name):
        # a run or a rollout under way makes it mitigating at once, and is not yet an answer to it
        wanted = incident.state in _LIVE and "rollback" in incident.actions and not incident.rollout
        if wanted and row is not None and row.former and row.champion_at < incident.opened_at:
            advised, doubts = against_way_back(state, row, ports.clock.now())
            mode = "propose" if advised and model.autonomy.rollback == "act" else model.autonomy.rollback
            reason = clipped("; ".join(filter(None, (f"{incident.incident}: {incident.what}", advised, doubts))))
            if _may(ports, model, mode, "rollback", row.former, reason, cause=incident.incident):
                # a rollout under way is left first; if the champion is still at fault, the next look goes on to the former one
                command = Rollback(id=f"playbook-{incident.incident}-{row.rollout}", actor=ACTOR, model=model.name, reason=reason)
                ports.ledger.execute(command, partial(decide_rollback, model=model, folds=FOLDS, signatures=ports.library.signature))


def move_rollout(ports: Ports, model: Model, kept: Memories) -> None:
    """Look at the active rollout's evidence."""
    state = ports.ledger.state()
    active = active_rollout(state, model.name)
    if active is None:
        return
    ready, why = _workers(ports, state, model, active.version)
    command = MoveRollout(
        id=ports.clock.new_id("cmd"),
        actor=ACTOR,
        rollout=active.rollout,
        evidence=kept.evidence(active.rollout),
        workers_ready=ready,
        why_not_ready=why,
        frozen_by=_frozen_by(state, model, kept, ports.clock.now()),
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


def _frozen_by(state: State, model: Model, kept: Memories, now: Instant) -> str:
    frozen = [row.incident for row in incidents_of(state, model.name) if row.state in _LIVE and "freeze" in row.actions]
    missing = kept.monitor(model.name).gap(now)
    return ", ".join([*frozen, *([f"{missing:,} records are missing from the evidence"] if missing else [])])


def _compared_otherwise(ports: Ports, state: State, model: Model, version: VersionRow) -> str:
    """Why flyball does not release by itself a version that passed its gates beside another champion; empty where none of them compares the two, or
    where labelled live rows will as strictly, before it answers everybody.
    """
    row = state.get(MODELS, model.name) or ModelRow(model=model.name)
    if not champion_gates(model) or compared_live(model) or ports.before is not None:
        return ""
    unlike = met_another(version, row.champion)
    return f"{unlike}: flyball train {model.name} compares the two" if unlike else ""


def release_newest(ports: Ports, model: Model, kept: Memories) -> None:
    """Release the newest version that passed if its run wanted it and no other is on its way."""
    state = ports.ledger.state()
    version = candidate(state, model.name, ports.clock.now())
    active = active_rollout(state, model.name)
    busy = active is not None and active.state != RolloutState.WATCHING
    run = state.get(RUNS, version.run) if version else None
    if version is None or run is None or busy or not run.release:
        return
    if _frozen_by(state, model, kept, ports.clock.now()):
        return
    never = unreleasable(state, version, ports.library.signature)
    if said := f"{never.what}: {never.why}" if never is not None else _compared_otherwise(ports, state, model, version):
        # nobody is asked for what would be refused
        _may(ports, model, "record", "release", version.version, said)
        return
    reason = clipped(f"{run.run}: {run.reason}")
    if not _may(ports, model, model.autonomy.release, "release", version.version, reason):
        return
    try:
        take_up(ports, model.name, version.version)
    except (Refused, NotFound) as error:
        # what it was taken from has given it up since
        _may(ports, model, "record", "release", version.version, f"{error.what}: {error.why}")
        return
    state = ports.ledger.state()
    if candidate(state, model.name, ports.clock.now()) != state.get(VERSIONS, f"{model.name}/{version.version}"):
        # what it was taken from advises against it, or judges it otherwise, since
        return
    command = Release(
        id=ports.clock.new_id("cmd"),
        actor=ACTOR,
        rollout=ports.clock.new_id("ro"),
        model=model.name,
        version=version.version,
        reason=reason,
        slow_us=rollout.slow_threshold(recent_latency(kept.monitor(model.name)), model.rollout, model.framing.act_within),
        before=ports.before.name if ports.before is not None else "",
    )
    decide = partial(decide_release, model=model, folds=FOLDS, signatures=ports.library.signature)
    found = decide(state, command, ports.clock.now())
    if isinstance(found, Refusal):
        # a person has to know, once; nothing else of the model's turn waits for it
        _may(ports, model, "record", "release", version.version, f"{found.what}: {found.why}")
        return
    with suppress(Refused):
        # a waiver may be over by the time of the record, which never goes back as a clock does
        ports.ledger.execute(command, decide)


def train_if_due(ports: Ports, model: Model, kept: Memories, alarm: str | None, now: Instant) -> None:
    """A changed declaration, an alarm or the schedule starts a run, unless one is under way."""
    state = ports.ledger.state()
    due = _due(ports, state, model, kept, alarm, now)
    if due is None or model.train is None:
        return
    trigger, reason, cause = due.trigger, clipped(due.reason), due.cause
    again = training.cooldown(model.retrain or Retrain(), model.train.holdout_span)
    if _may(ports, model, model.autonomy.training, "train", "", reason, cause=cause, again=again):
        row = state.get(MODELS, model.name)
        onset = _onset(row, kept) if row is not None and trigger == "monitor" else 0
        changed_at = onset - int(model.label_delay) if onset else 0
        spec = runs.run_spec(ports, state, model, trigger, now, changed_at=changed_at)
        runs.start(ports, spec, trigger=trigger, reason=reason, actor=ACTOR)


def ask_for_training(ports: Ports, model: Model, kept: Memories, alarm: str | None) -> None:
    """Where versions are made elsewhere, what is wrong here is said there; when it is answered, is decided there."""
    state = ports.ledger.state()
    row, wanted = state.get(MODELS, model.name), state.get(WANTED, model.name)
    if row is None or not row.champion or model.retrain is None:
        return
    found = _alarm(state, model, row, kept, alarm)
    reason = found[1] if found else wanted.reason if wanted is not None and wanted.at > row.last_attempt_at else ""
    if reason:
        hand_on(ports, model.name, reason)


def judge_anew(ports: Ports, model: Model) -> None:
    """Gates that were declared anew judge the version that waits, those on their way, and those that serve, here or later: it costs no training."""
    state = ports.ledger.state()
    row, declared = state.get(MODELS, model.name), state.get(DECLARATIONS, model.name)
    if row is None or declared is None or model.train is None or active_run(state, model.name) is not None:
        return
    active = active_rollout(state, model.name)
    wanted = {each.version: each.gates_digest for _, each in state.scan(JUDGINGS, f"{model.name}/")}
    for number in dict.fromkeys((active.version if active else "", row.newest, row.champion, *wanted)):
        version = state.get(VERSIONS, f"{model.name}/{number}") if number else None
        if version is None or not to_judge_anew(version, declared.gates_digest, declared.version_digest, wanted.get(number, "")):
            continue
        spec = runs.judging_anew(ports, state, model, version, ports.clock.now())
        if spec is not None:
            # one at a time: the next look goes on to the other
            reason = f"the gates of {version.version} were declared anew"
            runs.start(ports, spec, trigger="evidence", reason=reason, actor=ACTOR)
            return


def _busy(state: State, model: str) -> bool:
    """Whether the model is being trained or judged, or has a version on its way."""
    active = active_rollout(state, model)
    return active_run(state, model) is not None or (active is not None and active.state != RolloutState.WATCHING)


def judge_again(ports: Ports, model: Model, now: Instant) -> None:
    """A version that is held for want of data is judged again as rows arrive: it costs no training."""
    state = ports.ledger.state()
    row = state.get(MODELS, model.name)
    version = state.get(VERSIONS, f"{model.name}/{row.newest}") if row and row.newest else None
    if version is None or version.state != VersionState.HELD or _busy(state, model.name):
        return
    open_gates = [verdict for verdict in version.verdicts if verdict.outcome == Outcome.INSUFFICIENT]
    if all(of_persons(verdict) or of_card(verdict) for verdict in open_gates):
        return
    spec = runs.judging_spec(ports, state, model, version, now)
    if spec is not None:
        reason = f"{version.version} is held: {'; '.join(dict.fromkeys(verdict.check for verdict in open_gates))}"
        runs.start(ports, spec, trigger="evidence", reason=clipped(reason), actor=ACTOR)


def _due(ports: Ports, state: State, model: Model, kept: Memories, alarm: str | None, now: Instant) -> Wish | None:
    row = state.get(MODELS, model.name) or ModelRow(model=model.name)
    declared = state.get(DECLARATIONS, model.name)
    if declared is None or runs.missing(state, model) or _busy(state, model.name):
        return None
    if declared.version_digest != row.trained_digest:
        said = "what is trained was declared anew" if row.trained_digest else "first declaration"
        return Wish("declaration", said, f"declaration {declared.version_digest}")
    if (model.retrain is None and row.champion) or _about_to_release(ports, state, model, kept, now):
        return None
    wanted = (_alarm(state, model, row, kept, alarm) or _wanted(state, row)) if row.champion else _unserved(state, row, now)
    found = training.due(
        model.retrain or Retrain(),
        _past(state, model, row, kept, ports.cpu_price),
        now=now,
        alarm=wanted[1] if wanted else None,
        new_labels=kept.monitor(model.name).new_labels,
    )
    if found is None:
        return None
    return Wish(found.trigger, found.reason, wanted[0] if wanted and found.trigger == "monitor" else found.trigger)


def _wanted(state: State, row: ModelRow) -> tuple[str, str] | None:
    """What a later environment asks for, unless an attempt has been made since."""
    found = state.get(WANTED, row.model)
    return ("monitor", f"{found.origin}: {found.reason}") if found is not None and found.at > row.last_attempt_at else None


def _unserved(state: State, row: ModelRow, now: Instant) -> tuple[str, str] | None:
    """Without a champion nothing is served: newer rows may make the version that passes, whatever the policy says. One that passed already is
    only to be released.
    """
    return None if candidate(state, row.model, now) is not None else ("monitor", "no version has passed its gates yet")


def _about_to_release(ports: Ports, state: State, model: Model, kept: Memories, now: Instant) -> bool:
    """Whether flyball itself is about to release the newest version: until then nothing newer is trained.

    One that waits for a person, or for the end of an incident, holds nothing up: it would grow old, and the champion with it. Nor does one that a
    person keeps from release (`train --no-release`), or that can never be released beside the champion.
    """
    row = state.get(MODELS, model.name) or ModelRow(model=model.name)
    newest = candidate(state, model.name, now)
    made = state.get(RUNS, newest.run) if newest else None
    if newest is None or made is None or not made.release or newest.version == row.champion:
        return False
    if model.autonomy.release != "act" or _frozen_by(state, model, kept, now) or _compared_otherwise(ports, state, model, newest):
        return False
    return unreleasable(state, newest, ports.library.signature) is None


def _onset(row: ModelRow, kept: Memories) -> Instant:
    """Since when labels say that the champion's loss is above its bound; 0: they do not."""
    monitor = kept.monitor(row.model)
    return monitor.onset.at if monitor.version == row.champion else 0


def _past(state: State, model: Model, row: ModelRow, kept: Memories, price: Money | None) -> training.Past:
    return training.Past(
        last_attempt_at=row.last_attempt_at,
        champion_at=row.champion_at,
        runs=_attempts(state, model),
        holdout=model.train.holdout_span if model.train else None,
        onset=_onset(row, kept),
        spent=_spent(state, model, price),
    )


def held_back(
    state: State, model: Model, kept: Memories, now: Instant, *, detector: bool = True, price: Money | None = None
) -> training.Wait | None:
    """What keeps a training from starting though an alarm asks for it; None where none asks, or nothing keeps it."""
    row = state.get(MODELS, model.name)
    if row is None or not row.champion or model.retrain is None or active_run(state, model.name) is not None:
        return None
    alarm = _alarm(state, model, row, kept, monitoring.retrain_alarm(model, kept.monitor(model.name), now, detector=detector))
    return training.held_back(model.retrain, _past(state, model, row, kept, price), now=now) if alarm else None


def _alarm(state: State, model: Model, row: ModelRow, kept: Memories, alarm: str | None) -> tuple[str, str] | None:
    """What asks for a training because something is wrong: its cause, and the reason in words.

    The monitors' alarm, unless it is about a champion that was replaced in this very pass; else an incident's wish. A champion that took over
    since an incident opened is the answer to it, not yet observed.
    """
    if alarm and kept.monitor(row.model).version == row.champion:
        return "monitor", alarm
    for found in incidents_of(state, model.name):
        if found.state in _LIVE and "retrain" in found.actions and row.champion_at <= max(found.opened_at, found.reopened_at):
            return found.incident, f"{found.incident}: {found.what}"
    return None


def _spent(state: State, model: Model, price: Money | None) -> list[training.Spent] | None:
    """What the model's runs have cost at this price, whatever they were for; None where a budget is declared and no price in its currency is known."""
    budget = model.retrain.budget if model.retrain is not None else None
    if budget is None:
        return []
    if price is None or price.currency != budget.unit:
        return None
    ended = [row for _, row in state.scan(MODEL_RUNS, f"{model.name}/") if row.ended_at]
    return [training.Spent(row.queued_at, None if row.cpu_s is None else row.cpu_s / 3600 * price.amount) for row in ended]


def _attempts(state: State, model: Model) -> list[Instant]:
    if model.retrain is None or model.retrain.max_runs is None:
        return []
    # judging a held version again is no attempt, nor is making a run again
    return [row.queued_at for _, row in state.scan(MODEL_RUNS, f"{model.name}/") if row.trigger not in NO_ATTEMPTS]


def _may(
    ports: Ports,
    model: Model,
    mode: Literal["record", "propose", "act"],
    action: Action,
    target: str,
    reason: str,
    *,
    cause: str = "",
    again: int = 0,
) -> bool:
    """Whether the loop may do this by itself; if not, the wish is recorded, once for each cause (see `decide_propose`)."""
    if mode == "act":
        return True
    command = Propose(
        id=ports.clock.new_id("cmd"),
        actor=ACTOR,
        proposal=ports.clock.new_id("prop"),
        model=model.name,
        action=action,
        mode=mode,
        target=target,
        reason=clipped(reason),
        cause=cause,
        again=Span(again),
    )
    if decide_propose(ports.ledger.state(), command, ports.clock.now()):
        ports.ledger.execute(command, decide_propose)
    return False


def _next(ports: Ports, model: Model, kept: Memories, now: Instant) -> Instant:
    state = ports.ledger.state()
    row = state.get(MODELS, model.name) or ModelRow(model=model.name)
    due = [now + IDLE, monitoring.next_due(kept.monitor(model.name), now), *stale_due(state, model, now)]
    run = active_run(state, model.name)
    if run is not None:
        # a run is started by the look after the one that wanted it, and ends when nobody renews its lease
        due.append(now if run.state == RunState.QUEUED else now + LEASE // 3)
    active = active_rollout(state, model.name)
    if active is not None:
        due.append(rollout.next_due(active, model.rollout, now, label_delay=label_delay(model)))
    if model.retrain is not None or not row.champion:
        schedule = training.next_due(model.retrain or Retrain(), _past(state, model, row, kept, ports.cpu_price), now=now)
        due += [schedule] if schedule is not None else []
    clock = incidents.next_due(incidents_of(state, model.name), now)
    return max(now, min([*due, *([clock] if clock is not None else [])]))
