"""The typed commands that release, advance and roll back, and how each is decided.

Every change of what is served goes through `with_route`: the desired route is a function of the state after the decision, and is
recorded in the same transaction as the decision that caused it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Literal

import msgspec

from flyball.clock import Instant
from flyball.declare.change_window import closed
from flyball.declare.elsewhere import is_elsewhere
from flyball.declare.live import grows, label_delay, paired_gates
from flyball.declare.model import Model
from flyball.incidents import rules as incidents
from flyball.ledger.bounds import fullest
from flyball.loop.carrying import checked_before
from flyball.loop.lookup import active_rollout
from flyball.loop.overlay import after
from flyball.loop.people import another
from flyball.loop.proposals import settle
from flyball.loop.requests import Signatures, never_released, unreleasable
from flyball.records.base import Event, Fold, Record, Refusal, State
from flyball.records.declarations import DECLARATIONS
from flyball.records.estimates import Outcome
from flyball.records.fallbacks import FALLBACKS
from flyball.records.incidents import MODEL_INCIDENTS
from flyball.records.models import Signature
from flyball.records.rollouts import ACTIVE, ROLLOUTS, RolloutEvidence, RolloutMoved, RolloutRow, RolloutState, rollouts_of
from flyball.records.serving import EPOCHS, ROUTES, Arm, ModelRoute, RouteDesired, RouteInForce
from flyball.records.versions import (
    MODELS,
    VERSIONS,
    ChampionChanged,
    ModelRow,
    VersionDeployed,
    VersionRetired,
    VersionRow,
    VersionState,
)
from flyball.registry import approvals
from flyball.registry import rules as registry
from flyball.registry.told import gate_name
from flyball.rollout import routes
from flyball.rollout import rules as rollout
from flyball.rollout.moves import move
from flyball.rollout.states import leaving

Folds = Mapping[type[Event], Fold]


class Release(Record, frozen=True):
    """Start the rollout of a version. `slow_us` is the frozen latency threshold (None: too few requests to know)."""

    id: str
    actor: str
    rollout: str
    model: str
    version: str
    reason: str
    slow_us: int | None = None
    before: str = ""
    """The environment that must have tried the version (empty: it is made in this one)."""
    outside_window: bool = False
    """Whether it goes forward while the change window is closed, too."""


class MoveRollout(Record, frozen=True):
    """Look at a rollout's evidence and go on, hold, or go back."""

    id: str
    actor: str
    rollout: str
    evidence: RolloutEvidence
    workers_ready: bool | None
    why_not_ready: str = ""
    frozen_by: str = ""
    loss_cap: float = 1.0


class Rollback(Record, frozen=True):
    """Back to the former champion, or, while a rollout is on, out of it."""

    id: str
    actor: str
    model: str
    reason: str


class AcknowledgeRoutes(Record, frozen=True):
    """Every gateway acknowledged an epoch; the models in `waiting` keep the route they had."""

    id: str
    actor: str
    epoch: int
    ms: float
    processes: int
    waiting: tuple[str, ...] = ()


class Steer(Record, frozen=True):
    """A person pauses, resumes or aborts a rollout."""

    id: str
    actor: str
    rollout: str
    verb: Literal["pause", "resume", "abort"]
    reason: str


def decide_release(
    state: State, command: Release, now: Instant, *, model: Model, folds: Folds, signatures: Signatures
) -> Sequence[Event] | Refusal:
    """Nothing is released whose gates did not pass, and one rollout of a model at a time. While the change window is closed it waits with its workers up."""
    version = state.get(VERSIONS, f"{command.model}/{command.version}")
    ref = f"{command.model}@{command.version}"
    if version is None:
        return Refusal(code="not-found", what=f"no version {ref}", fix=f"flyball models list {command.model}")
    row = state.get(MODELS, command.model) or ModelRow(model=command.model)
    refused = checked_before(version, command.before) or _unfit(state, version, row, model, signatures, now)
    refused = refused or _approved_by(version, command.actor)
    if refused is not None:
        return refused
    active = active_rollout(state, command.model)
    if active is not None and active.state != RolloutState.WATCHING:
        return Refusal(
            code="conflict",
            what=f"{command.model} is in a rollout already ({active.rollout}, {active.version}, {active.state.value})",
            why="one rollout of a model at a time: two would share one champion's evidence",
            fix=_way_out(active),
        )
    attempt = 1 + sum(1 for _ in rollouts_of(state, command.model, command.version))
    planned = rollout.plan(
        model.rollout,
        rollout=command.rollout,
        model=command.model,
        version=command.version,
        champion=row.champion,
        attempt=attempt,
        slow_us=command.slow_us,
        reason=command.reason,
        despite=version.deprecated,
        outside_window=command.outside_window,
    )
    shut = "" if command.outside_window else closed(model.rollout.change_window, now)
    begun = f"the version's workers are started and checked on golden rows{f', and wait: {shut}' if shut else ''}"
    moved = RolloutMoved(
        rollout=command.rollout,
        model=command.model,
        source=RolloutState.PLANNED,
        target=RolloutState.WARMING,
        step=0,
        why="; ".join(filter(None, [begun, registry.met_another(version, row.champion)])),
    )
    events: list[Event] = [planned, moved, *settle(state, command.model, "release", "accepted", f"{ref} is released by {command.actor}")]
    if active is not None:
        events.insert(0, move(active, RolloutState.COMPLETED, f"the watch ends early: {ref} is released"))
    return with_route(state, events, now, model=model, folds=folds, signatures=signatures, held=shut or None)


def _unfit(state: State, version: VersionRow, roles: ModelRow, model: Model, signatures: Signatures, now: Instant) -> Refusal | None:
    """Why a version may not be released, by what it is; None if it may."""
    refused = registry.may_release(version, now, partial(another, state, version, now), grows=grows(model))
    if refused is not None:
        never = never_released(state, version, signatures)
        # what would lift it lifts nothing where the version is never released
        return (
            refused if never is None else msgspec.structs.replace(refused, why=f"{refused.why}; {never.what}: {never.why}", fix=never.fix)
        )
    ref = f"{version.model}@{version.version}"
    if roles.champion == version.version:
        return Refusal(code="conflict", what=f"{ref} is the champion already", why="it answers by default", fix="nothing is left to do")
    declared = state.get(DECLARATIONS, version.model)
    # one that answered before, by gates that are declared no more, as well: what it was shown to hold then is not what is asked now
    if declared is not None and registry.other_gates(version, declared.gates_digest):
        return Refusal(
            code="refused",
            what=f"{ref} was judged by other gates than those declared now",
            why="nothing is released whose gates did not pass",
            fix=registry.judges_it(version, roles),
        )
    return unreleasable(state, version, signatures)


def _approved_by(version: VersionRow, actor: str) -> Refusal | None:
    """Why this person may not release what they approved; None if they did not approve it."""
    if actor not in approvals.approvers(version):
        return None
    return Refusal(
        code="refused",
        what=f"{actor} has approved {version.model}@{version.version} or waived a gate of it, and cannot release it",
        why="four eyes: who approves does not release",
        fix=f"somebody else says flyball release {version.model}@{version.version}; or the loop does, where autonomy lets it",
    )


def _way_out(active: RolloutRow) -> str:
    """What ends a rollout that is in the way."""
    if active.state == RolloutState.ROLLING_BACK:
        return "it ends when every process has the old route: flyball up, or flyball tick"
    return (
        f"wait for it, or flyball rollback {active.model}"
        if active.champion
        else f"wait for it, or flyball rollouts abort {active.rollout}"
    )


def decide_move(
    state: State, command: MoveRollout, now: Instant, *, model: Model, folds: Folds, signatures: Signatures, new_id: Callable[[str], str]
) -> Sequence[Event] | Refusal:
    """One arrow of the rollout's state machine at most, on the evidence given. A guard that fires opens an incident.

    A first release that is held while its worker starts does not answer until it may go on.
    """
    row = state.get(ROLLOUTS, command.rollout)
    if row is None or row.state not in ACTIVE:
        return ()
    facts = rollout.Facts(
        now=now,
        workers_ready=command.workers_ready,
        in_force=in_force(state, row.model),
        gate_passed=_gate_passed(state, row, model),
        frozen_by=", ".join(filter(None, (command.frozen_by, _held(state, row, now)))),
        task=model.task,
        loss_cap=command.loss_cap,
        label_delay=label_delay(model),
    )
    moved = rollout.decide(row, model.rollout, command.evidence, facts)
    if moved is None and (row.champion or row.state is not RolloutState.WARMING):
        return ()
    if moved is None:
        held = facts.frozen_by or rollout.shut(row, model.rollout, now)
        return with_route(state, [], now, model=model, folds=folds, signatures=signatures, held=held)
    if moved.target == RolloutState.FAILED and command.why_not_ready:
        moved = move(row, moved.target, command.why_not_ready)
    events: list[Event] = [moved, *_champion(state, row, moved)]
    if moved.target in (RolloutState.ROLLING_BACK, RolloutState.FAILED):
        known = [incident for _, incident in state.scan(MODEL_INCIDENTS, f"{row.model}/")]
        events += incidents.rolled_back(known, model, new_id, rollout=row.rollout, version=row.version, why=moved.why)
    return with_route(state, events, now, model=model, folds=folds, signatures=signatures)


def decide_rollback(
    state: State, command: Rollback, now: Instant, *, model: Model, folds: Folds, signatures: Signatures
) -> Sequence[Event] | Refusal:
    """A rollout under way is left; else the former champion comes back. It was gated when it was released."""
    row = state.get(MODELS, command.model)
    active = active_rollout(state, command.model)
    if active is not None and active.champion:
        if active.state == RolloutState.ROLLING_BACK:
            return ()
        moved = move(active, leaving(active.state), f"rolled back by {command.actor}: {command.reason}")
        settled = settle(state, command.model, "rollback", "accepted", command.reason)
        return with_route(state, [moved, *_champion(state, active, moved), *settled], now, model=model, folds=folds, signatures=signatures)
    refused = no_way_back(state, command.model, elsewhere=is_elsewhere(model))
    if refused is not None or row is None:
        return refused or ()
    changed = ChampionChanged(model=command.model, version=row.former, former=row.champion, rollback=True, reason=command.reason)
    settled = settle(state, command.model, "rollback", "accepted", command.reason)
    return with_route(state, [changed, *settled], now, model=model, folds=folds, signatures=signatures)


def no_way_back(state: State, model: str, *, elsewhere: bool = False) -> Refusal | None:
    """Why a rollback of a model would be refused now; None: a rollout can be left, or the former champion can come back. elsewhere: the model is served there."""
    row, active = state.get(MODELS, model), active_rollout(state, model)
    if active is not None:
        if active.champion:
            return None
        return Refusal(
            code="refused",
            what=f"{model} has no version to go back to: {active.rollout} is its first release",
            why="without it nobody would answer",
            fix=f"flyball rollouts abort {active.rollout} ends it, as long as it does not answer yet",
        )
    if row is None and elsewhere:
        return Refusal(
            code="refused",
            what=f"{model} is served elsewhere: flyball has no version of it to go back to",
            why="whoever serves it decides which version answers",
            fix="take the former version back there; its predictions name it, and it is watched as it was",
        )
    target = state.get(VERSIONS, f"{model}/{row.former}") if row is not None and row.former else None
    if row is None or not row.champion or target is None:
        return Refusal(
            code="not-found",
            what=f"{model} has no former champion to go back to",
            why="only a version that was champion before can come back in one step",
            fix=f"flyball models list {model}; then flyball release {model}@VERSION",
        )
    if target.state not in (VersionState.DEPLOYED, VersionState.RETIRED, VersionState.ELIGIBLE):
        return Refusal(code="refused", what=f"{model}@{target.version} is {target.state.value} and cannot come back")
    return None


def against_way_back(state: State, row: ModelRow, now: Instant) -> tuple[str, str]:
    """That the version is advised against which a rollback would make the champion again, and which of its gates do not hold any more, in words.

    Empty where nothing of it is so, and where a rollback would leave a rollout whose version is not the champion yet.
    """
    active, former = active_rollout(state, row.model), state.get(VERSIONS, f"{row.model}/{row.former}")
    if former is None or (active is not None and active.champion and active.version != row.champion):
        return "", ""
    doubts = "; ".join(approvals.doubts(former, now))
    return (
        f"{former.version} is advised against: {former.deprecated}" if former.deprecated else "",
        f"{former.version} holds not all of its gates any more ({doubts})" if doubts else "",
    )


def decide_steer(
    state: State, command: Steer, now: Instant, *, model: Model, folds: Folds, signatures: Signatures
) -> Sequence[Event] | Refusal:
    """A person's hand on a rollout."""
    row = state.get(ROLLOUTS, command.rollout)
    if row is None:
        return Refusal(code="not-found", what=f'no rollout "{command.rollout}"', fix="flyball rollouts list")
    if row.state not in ACTIVE:
        return Refusal(code="conflict", what=f"{row.rollout} has ended: {row.state.value}")
    shut = rollout.shut(row, model.rollout, now)
    if command.verb == "resume" and shut and rollout.for_window(row):
        return Refusal(
            code="conflict",
            what=f"{row.rollout} is frozen: {shut}",
            why=f"it is due to go forward, and {model.name} says when it may: {model.rollout.change_window}",
            fix=f"it goes on by itself then; flyball rollouts abort {row.rollout} ends it at any time",
        )
    moved = rollout.by_person(row, command.verb, command.reason, who=command.actor)
    if isinstance(moved, Refusal):
        return moved
    return with_route(state, [moved, *_champion(state, row, moved)], now, model=model, folds=folds, signatures=signatures)


def decide_acknowledge(state: State, command: AcknowledgeRoutes, _now: Instant) -> Sequence[Event]:
    """What every gateway routes by now. An epoch of which nothing is in force yet is no news."""
    row = state.get(EPOCHS, "routes")
    if row is None or command.epoch < row.in_force or command.epoch > row.desired:
        return ()
    epochs = {model: route.epoch for model, route in state.scan(ROUTES)}
    behind = {model for model, epoch in epochs.items() if row.in_force < epoch <= command.epoch or model in row.waiting}
    withdrawn = row.in_force < command.epoch and command.epoch not in epochs.values()
    if not withdrawn and behind <= set(command.waiting):
        return ()
    return _acknowledged(command)


def _acknowledged(command: AcknowledgeRoutes) -> list[RouteInForce]:
    """One event, or as many as it takes to name all that wait: hundreds do where `flyball up` begins."""
    told: list[RouteInForce] = []
    left = command.waiting
    while left or not told:

        def build(names: int, left: tuple[str, ...] = left) -> RouteInForce:
            return RouteInForce(epoch=command.epoch, ms=command.ms, processes=command.processes, waiting=left[:names], also=bool(told))

        told.append(fullest(build, len(left)))
        left = left[len(told[-1].waiting) :]
    return told


def in_force(state: State, model: str) -> bool:
    """Whether every gateway routes the model as it is desired; a model without a route is to be routed nowhere."""
    epochs, route = state.get(EPOCHS, "routes"), state.get(ROUTES, model)
    if epochs is None:
        return False
    return epochs.in_force >= (route.epoch if route is not None else epochs.desired) and model not in epochs.waiting


def _gate_passed(state: State, row: RolloutRow, model: Model) -> bool:
    """Whether the version was shown to hold a gate against this champion, in every slice that the gate names. One that was waived in any of them, or
    met another champion or none, was not. A verdict that the row does not list may be of any gate.
    """
    version = state.get(VERSIONS, f"{row.model}/{row.version}")
    if version is None or version.state not in (VersionState.ELIGIBLE, VersionState.DEPLOYED) or version.against != row.champion:
        return False
    if set(version.unlisted) - {Outcome.PASS.value}:
        return False

    def holds(gate: str) -> bool:
        theirs = [verdict for verdict in version.verdicts if verdict.check == gate]
        return bool(theirs) and all(verdict.outcome is Outcome.PASS and verdict.reference is not None for verdict in theirs)

    return any(holds(gate_name(gate)) for gate in paired_gates(model))


def _held(state: State, row: RolloutRow, now: Instant) -> str:
    """Why a version is not promoted that would not be released by now: a waiver has expired, a gate stops it, its gates were declared anew and have not
    judged it, or it is advised against otherwise than when it was released. Empty where nothing of it is so, or it answers everybody already.
    """
    version, declared = state.get(VERSIONS, f"{row.model}/{row.version}"), state.get(DECLARATIONS, row.model)
    if version is None or RolloutState.WATCHING in (row.state, row.resume):
        return ""
    anew = declared is not None and registry.other_gates(version, declared.gates_digest)
    unjudged = [f"the gates of {row.model} were declared anew and have not judged {row.version} yet"] if anew else []
    advised = [f"{row.version} is advised against: {version.deprecated}"] if version.deprecated not in ("", row.despite) else []
    return "; ".join([*approvals.doubts(version, now), *unjudged, *advised])


def _champion(state: State, row: RolloutRow, moved: RolloutMoved) -> list[Event]:
    """Promotion when a rollout ends its last step; the former champion again when it goes back after that."""
    model = state.get(MODELS, row.model) or ModelRow(model=row.model)
    if moved.target in (RolloutState.WATCHING, RolloutState.COMPLETED) and model.champion != row.version:
        return [ChampionChanged(model=row.model, version=row.version, former=row.champion, rollback=False, reason=moved.why)]
    if moved.target == RolloutState.ROLLING_BACK and model.champion == row.version and row.champion:
        return [ChampionChanged(model=row.model, version=row.champion, former=row.version, rollback=True, reason=moved.why)]
    return []


def with_route(
    state: State, events: list[Event], now: Instant, *, model: Model, folds: Folds, signatures: Signatures, held: str | None = None
) -> Sequence[Event]:
    """Add what follows from the events: the new desired route, and the versions that enter or leave it.

    `held`: why a first release may not answer yet, empty where it may; None: as it was.
    """
    then = after(state, events, folds, now)
    name = model.name
    row = then.get(MODELS, name) or ModelRow(model=name)
    active = then.get(ROLLOUTS, row.rollout) if row.rollout else None

    def version(number: str) -> VersionRow:
        found = then.get(VERSIONS, f"{name}/{number}")
        assert found is not None, f"{name}@{number} is routed but not registered"
        return found

    def lookup(number: str) -> tuple[str, Signature]:
        artifact = version(number).artifact
        return artifact, signatures(artifact)

    before = then.get(ROUTES, name)
    silent = bool(held) if held is not None else before is not None and not before.route.arms
    fallback = model.fallback if isinstance(model.fallback, int | float | str | bool) else None
    if silent and active is not None and active.state is RolloutState.WARMING and not active.champion:
        route: ModelRoute | None = routes.withheld(active, lookup)
    else:
        route = routes.route(row.champion, active, lookup, fallback=fallback)
    if route is not None and any(field.name == model.rollout.sticky for field in route.signature.fields):
        route = msgspec.structs.replace(route, sticky=model.rollout.sticky)
    if route is not None and route.arms and fallback is not None and then.get(FALLBACKS, name) is not None:
        route = msgspec.structs.replace(route, answers="fallback")
    if route is not None:
        route = routes.narrow(msgspec.structs.replace(route, warm=_warm(row, route, lookup)))
    if (before.route if before else None) == route:
        return events
    epochs = then.get(EPOCHS, "routes")
    events.append(RouteDesired(epoch=(epochs.desired if epochs else 0) + 1, model=name, route=route))
    old = {arm.version for arm in (*before.route.arms, *before.route.shadows)} if before else set()
    new = {arm.version for arm in (*route.arms, *route.shadows)} if route else set()
    events += [
        VersionDeployed(model=name, version=entered) for entered in sorted(new - old) if version(entered).state != VersionState.DEPLOYED
    ]
    events += [VersionRetired(model=name, version=left, why=_why(events), back=_back(events)) for left in sorted(old - new)]
    return events


def _warm(row: ModelRow, route: ModelRoute, lookup: Callable[[str], tuple[str, Signature]]) -> tuple[Arm, ...]:
    """The former champion's worker goes on running without requests: a rollback finds it ready, however long after."""
    if not row.former or any(arm.version == row.former for arm in (*route.arms, *route.shadows)):
        return ()
    return (Arm(version=row.former, role="former", artifact=lookup(row.former)[0]),)


def _why(events: Sequence[Event]) -> str:
    moved = (event.why for event in events if isinstance(event, RolloutMoved))
    back = (event.reason for event in events if isinstance(event, ChampionChanged) and event.rollback)
    return next(iter([*moved, *back]), "another version answers")


def _back(events: Sequence[Event]) -> bool:
    """Whether what leaves its routes by these events was not as good as what it was to replace, or did not start."""
    away = (RolloutState.ROLLING_BACK, RolloutState.ROLLED_BACK, RolloutState.FAILED)
    return any(
        (isinstance(event, RolloutMoved) and event.target in away) or (isinstance(event, ChampionChanged) and event.rollback)
        for event in events
    )
