"""What is trained, or judged once more, and why: a changed declaration, an alarm, the schedule, rows that have come since."""

from __future__ import annotations

from typing import NamedTuple

from flyball.clock import Instant
from flyball.declare.model import Model
from flyball.declare.policy import Retrain
from flyball.declare.units import Money
from flyball.evaluation.persons import of_card, of_persons
from flyball.ledger.bounds import clipped
from flyball.loop import training as runs
from flyball.loop.caps import capped_by
from flyball.loop.carrying import hand_on
from flyball.loop.commands import active_run
from flyball.loop.findings import incidents_of
from flyball.loop.freezes import LIVE
from flyball.loop.lookup import active_rollout
from flyball.loop.memory import Memories
from flyball.loop.ports import Ports
from flyball.loop.proposals import ACTOR, candidate, may
from flyball.loop.releasing import about_to_release
from flyball.monitoring import rules as monitoring
from flyball.records.base import State
from flyball.records.declarations import DECLARATIONS
from flyball.records.environments import JUDGINGS, WANTED
from flyball.records.estimates import Outcome
from flyball.records.incidents import IncidentRow, IncidentState
from flyball.records.rollouts import RolloutState
from flyball.records.training import MODEL_RUNS, NO_ATTEMPTS, Trigger
from flyball.records.versions import MODELS, VERSIONS, ModelRow, VersionState
from flyball.registry.rules import to_judge_anew
from flyball.training import rules as training


class Wish(NamedTuple):
    """A training that is due, why, and what of the reason stays the same while its figures move."""

    trigger: Trigger
    reason: str
    cause: str


def train_if_due(ports: Ports, model: Model, kept: Memories, alarm: str | None, now: Instant) -> None:
    """A changed declaration, an alarm or the schedule starts a run, unless one is under way."""
    state = ports.ledger.state()
    found = wish(ports, state, model, kept, alarm, now)
    if found is None or model.train is None:
        return
    trigger, reason, cause = found.trigger, clipped(found.reason), found.cause
    if capped := capped_by(state, model, trigger, now):
        may(ports, model, "record", "train", "", f"{capped} caps trainings until somebody acknowledges it: {reason}", cause=capped)
        return
    again = training.cooldown(model.retrain or Retrain(), model.train.holdout_span)
    if may(ports, model, model.autonomy.training, "train", "", reason, cause=cause, again=again):
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
    found = alarm_of(state, model, row, kept, alarm)
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


def wish(ports: Ports, state: State, model: Model, kept: Memories, alarm: str | None, now: Instant) -> Wish | None:
    """The training that is due now; None where none is, or one cannot be begun."""
    row = state.get(MODELS, model.name) or ModelRow(model=model.name)
    declared = state.get(DECLARATIONS, model.name)
    if declared is None or runs.missing(state, model) or _busy(state, model.name):
        return None
    if declared.version_digest != row.trained_digest:
        said = "what is trained was declared anew" if row.trained_digest else "first declaration"
        return Wish("declaration", said, f"declaration {declared.version_digest}")
    if (model.retrain is None and row.champion) or about_to_release(ports, state, model, kept, now):
        return None
    wanted = (alarm_of(state, model, row, kept, alarm) or _wanted(state, row)) if row.champion else _unserved(state, row, now)
    found = training.due(
        model.retrain or Retrain(),
        past_of(state, model, row, ports.cpu_price),
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


def _onset(row: ModelRow, kept: Memories) -> Instant:
    """Since when labels say that the champion's loss is above its bound; 0: they do not."""
    monitor = kept.monitor(row.model)
    return monitor.onset.at if monitor.version == row.champion else 0


def past_of(state: State, model: Model, row: ModelRow, price: Money | None) -> training.Past:
    """What bounds the next training: the attempts so far, and what they cost at this price."""
    return training.Past(
        last_attempt_at=row.last_attempt_at,
        champion_at=row.champion_at,
        runs=attempts(state, model),
        holdout=model.train.holdout_span if model.train else None,
        spent=_spent(state, model, price),
    )


def held_back(
    state: State, model: Model, kept: Memories, now: Instant, *, detector: bool = True, price: Money | None = None
) -> training.Wait | None:
    """What keeps a training from starting though an alarm asks for it; None where none asks, or nothing keeps it."""
    row = state.get(MODELS, model.name)
    if row is None or not row.champion or model.retrain is None or active_run(state, model.name) is not None:
        return None
    alarm = alarm_of(state, model, row, kept, monitoring.retrain_alarm(model, kept.monitor(model.name), now, detector=detector))
    return training.held_back(model.retrain, past_of(state, model, row, price), now=now) if alarm else None


def alarm_of(state: State, model: Model, row: ModelRow, kept: Memories, alarm: str | None) -> tuple[str, str] | None:
    """What asks for a training because something is wrong: its cause, and the reason in words.

    The monitors' alarm, unless it is about a champion that was replaced in this very pass; else an incident's wish.
    """
    if alarm and kept.monitor(row.model).version == row.champion:
        return "monitor", alarm
    for found in incidents_of(state, model.name):
        if "retrain" in found.actions and _asks(found, row, kept):
            return found.incident, f"{found.incident}: {found.what}"
    return None


def _asks(incident: IncidentRow, row: ModelRow, kept: Memories) -> bool:
    """Whether an incident asks for a training. A champion that took over since it opened is the answer to it, until that one's own labels say that the loss
    is as high as it was: a version that is trained soon after a change has mostly learned the world before it.
    """
    if row.champion_at <= max(incident.opened_at, incident.reopened_at):
        return incident.state in LIVE
    monitor = kept.monitor(row.model)
    mine = incident.failure_mode == "concept_drift" and incident.state != IncidentState.CLOSED
    return mine and monitor.version == row.champion and monitor.unanswered


def _spent(state: State, model: Model, price: Money | None) -> list[training.Spent] | None:
    """What the model's runs have cost at this price, whatever they were for; None where a budget is declared and no price in its currency is known."""
    budget = model.retrain.budget if model.retrain is not None else None
    if budget is None:
        return []
    if price is None or price.currency != budget.unit:
        return None
    ended = [row for _, row in state.scan(MODEL_RUNS, f"{model.name}/") if row.ended_at]
    return [training.Spent(row.queued_at, None if row.cpu_s is None else row.cpu_s / 3600 * price.amount) for row in ended]


def attempts(state: State, model: Model) -> list[Instant]:
    """When each attempt to train was begun, where their number is bounded."""
    if model.retrain is None or model.retrain.max_runs is None:
        return []
    # judging a held version again is no attempt, nor is making a run again
    return [row.queued_at for _, row in state.scan(MODEL_RUNS, f"{model.name}/") if row.trigger not in NO_ATTEMPTS]
