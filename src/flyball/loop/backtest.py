"""Rehearse the declared loop on history, beside never retraining and fixed schedules: the same tick, in virtual time.

A policy is a declaration: the schedules are the declared model with other `retrain`, without gates and rollout steps, so that one
loop runs them all.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from flyball.clock import Instant, Span, VirtualClock
from flyball.declare import codec
from flyball.declare.model import Model
from flyball.declare.policy import Playbook, Retrain, Rollout
from flyball.declare.units import Money
from flyball.errors import BadInput
from flyball.ledger.ledger import SqlLedger
from flyball.loop import training as runs
from flyball.loop.caps import capped_by
from flyball.loop.commands import Apply, decide_apply
from flyball.loop.findings import SettleIncident, decide_settle
from flyball.loop.folds import FOLDS
from flyball.loop.ports import Ports
from flyball.loop.releases import Release, Rollback, decide_release, decide_rollback
from flyball.loop.replay import ReplayData, ReplayEvidence, ReplayLibrary, ReplayRoutes, ReplayRuns
from flyball.loop.tick import tick
from flyball.records.alerts import AlertMoved, AlertState
from flyball.records.data import DatasetVersion
from flyball.records.declarations import DeclarationApplied
from flyball.records.incidents import INCIDENTS
from flyball.records.proposals import PROPOSALS, ProposalRow
from flyball.records.rollouts import RolloutMoved, RolloutState
from flyball.records.training import NO_ATTEMPTS, RUNS, RunQueued
from flyball.records.versions import MODELS, ChampionChanged, VersionRejected
from flyball.store.blobs import LocalBlobs
from flyball.store.operational import Operational
from flyball.store.sql import Database
from flyball.training.fitting import FitCache
from flyball.training.rows import Assembled

if TYPE_CHECKING:
    from flyball.ledger.note import Signer

FIRST = Span.parse("28d")
"""History given to the first version; time begins after it."""

STEP = Span.parse("1d")
"""The longest virtual time between two looks."""

SCHEDULES = tuple(Span.parse(text) for text in ("90d", "60d", "45d", "30d", "21d", "14d"))
SCHEDULE_WINDOW = Span.parse("60d")
"""What a schedule trains on where the declared window is chosen by itself."""

_SETTLE = 12


@dataclass(frozen=True)
class Policy:
    """A way to keep the model, by name."""

    name: str
    model: Model


@dataclass(frozen=True)
class Result:
    """What a policy came to. `quality` is accuracy (mean absolute error for numbers) over `answered` rows; times are CPU seconds."""

    name: str
    quality: float
    answered: int
    retrains: int
    released: int
    rejected: int
    alerts: int
    rollbacks: int
    elapsed_s: float
    fit_s: float


def policies(model: Model) -> list[Policy]:
    """The declared policy, never, and the schedules."""
    assert model.train is not None, "a model without training has nothing to rehearse"
    window = SCHEDULE_WINDOW if model.train.window == "auto" else model.train.window
    plain = model.replace(
        gates=(),
        rollout=Rollout(),
        monitors=(),
        retrain=None,
        playbook=Playbook(performance="page"),
        autonomy="act",
        train=replace(model.train, window=window),
    )
    found = [Policy("declared", model), Policy("never", plain)]
    for every in SCHEDULES:
        name = f"every_{every}"
        found.append(Policy(name, plain.replace(retrain=Retrain(every=every, cooldown=min(every, model.train.holdout_span)))))
    return found


@dataclass(frozen=True)
class History:
    """A model's data sets, assembled once for every policy; the version of each by its name."""

    frames: Mapping[str, pl.DataFrame]
    rows: Assembled
    versions: Mapping[str, DatasetVersion]

    @property
    def start(self) -> Instant:
        """When time begins."""
        return int(self.rows.times[0]) + FIRST

    @property
    def evaluated(self) -> slice:
        """The rows that callers ask about after time began, as positions."""
        return slice(int(np.searchsorted(self.rows.times, self.start, side="right")), len(self.rows.times))


def check_length(history: History) -> None:
    """Raise BadInput for a history that ends before time begins."""
    if len(history.rows.times) == 0 or int(history.rows.times[-1]) <= history.start:
        raise BadInput(
            f"the history is too short to rehearse on: {len(history.rows.times)} rows with labels",
            why=f"the first {FIRST} are for the first version, and nothing is left after them",
            fix="give a longer file",
        )


def baselines(model: Model, history: History) -> dict[str, float]:
    """`persistence`: the newest label known when asked. `last_week`: the label of the same moment a week before, or the newest that was known."""
    rows, part = history.rows, history.evaluated
    times = rows.times[part]
    # what is known at a row's own time is known too late for it, where it is asked then
    asked = np.minimum(times - int(model.framing.horizon), times - 1)
    order = np.argsort(rows.known, kind="stable")
    place = np.searchsorted(rows.known[order], asked, side="right")
    newest = np.concatenate([[-1], np.maximum.accumulate(order)])[place]
    week = np.minimum(np.searchsorted(rows.times, times - Span.parse("7d"), side="right") - 1, newest)
    y = rows.frame["__y"]
    return {name: quality(model, y[part], y[np.maximum(place, 0)]) for name, place in (("persistence", newest), ("last_week", week))}


def quality(model: Model, y: pl.Series, value: pl.Series) -> float:
    """Accuracy of classes, mean absolute error of numbers."""
    if model.task in ("binary", "multiclass"):
        return float(np.mean((y == value.cast(y.dtype, strict=False)).to_numpy()))
    return float(np.mean(np.abs(y.cast(pl.Float64).to_numpy() - value.cast(pl.Float64).to_numpy())))


def rehearse(
    policy: Policy, history: History, *, cache: FitCache, approval: Span, progress: Callable[[float], None] = lambda _: None
) -> Result:
    """Run one policy over the history. `approval` is how long a person takes to answer a proposal.

    Every policy starts from a first version that a person released without gates: what is compared is how it is kept.
    """
    began = time.process_time()
    with tempfile.TemporaryDirectory(prefix="flyball-backtest-") as folder:
        clock = VirtualClock(history.start)
        ports, evidence, replayed = _ports(policy, history, Path(folder), clock, cache)
        _declare(policy.model.replace(gates=(), rollout=Rollout(), autonomy="act"), ports, "first")
        _settle(history.start, ports)
        _check_first(policy.model.name, ports)
        _declare(policy.model, ports, "policy")
        end = int(history.rows.times[-1]) + history.rows.label_delay
        now = history.start
        while now <= end:
            clock.advance_to(now)
            # who has had the time answers before the loop looks again, and puts a newer question in the place of the old one
            _approve(ports, policy.model, now, approval)
            _acknowledge(ports, policy.model, now, approval)
            due = _settle(now, ports)
            progress((now - history.start) / (end - history.start))
            # what is due and has not happened waits for evidence, as a rollout does whose step has had its time
            now = max(now + Span.parse("1m"), min(due if due > now else evidence.next_after(now), now + STEP))
        return _result(policy, history, ports, evidence, fit_s=replayed.fit_s, began=began)


def _ports(
    policy: Policy, history: History, folder: Path, clock: VirtualClock, cache: FitCache
) -> tuple[Ports, ReplayEvidence, ReplayRuns]:
    database = Database.open(folder / "ledger.db", durable=False)
    blobs = LocalBlobs(folder / "blobs")
    replayed = ReplayRuns(policy.model, history.rows, history.frames, blobs, cache)
    routes = ReplayRoutes()
    evidence = ReplayEvidence(policy.model, history.rows, routes, replayed)
    ports = Ports(
        clock=clock,
        ledger=SqlLedger(database, FOLDS, clock, salts=bytes),
        memory=Operational(database),
        blobs=blobs,
        library=ReplayLibrary(blobs, replayed),
        runs=replayed,
        data=ReplayData(history.versions),
        evidence=evidence,
        routes=routes,
        signer=lru_cache(maxsize=1)(_signer),
        # a rehearsal's fits are shared between policies: what one of them would cost is not known, and no budget is held against it
        cpu_price=Money(0.0, budget.unit) if (budget := policy.model.retrain.budget if policy.model.retrain else None) else None,
        reviews=False,
    )
    return ports, evidence, replayed


def _signer() -> Signer:
    """A key that is no secret: nothing of a rehearsal is ever served."""
    from flyball.ledger.note import Signer

    return Signer("flyball/rehearsal", bytes(32))


def _declare(model: Model, ports: Ports, command: str) -> None:
    body = codec.encode(model)
    digests = codec.digests(body)
    declared = DeclarationApplied(
        model=model.name,
        file="loop.py",
        version_digest=digests.version,
        policy_digest=digests.policy,
        gates_digest=digests.gates,
        body=ports.blobs.put(body.encode()),
        code=ports.blobs.put(b"{}"),
        author="backtest",
    )
    ports.ledger.execute(Apply(id=command, actor="backtest", models=(declared,)), decide_apply)


def _check_first(model: str, ports: Ports) -> None:
    """Raise BadInput where the first version could not be made: every policy would stand there without one."""
    row = ports.ledger.state().get(MODELS, model)
    if row is None or not row.champion:
        run = ports.ledger.state().get(RUNS, row.last_run) if row else None
        raise BadInput(
            f"the first {FIRST} of the history give no first version",
            why=" ".join(run.why.split()) if run else "no run was started",
            fix="a shorter holdout, or a history that begins earlier",
        )


def _settle(now: Instant, ports: Ports) -> Instant:
    """Tick until nothing follows from what there is: live, the same takes a few seconds."""
    due = now
    for _ in range(_SETTLE):
        before = ports.ledger.size()
        due = tick(now, ports)
        if ports.ledger.size() == before:
            break
    return due


def _approve(ports: Ports, model: Model, now: Instant, approval: Span) -> None:
    """A person accepts what has been proposed for long enough."""
    state = ports.ledger.state()
    waiting = [row for _, row in state.scan(PROPOSALS) if not row.verdict and row.mode == "propose" and now >= row.made_at + approval]
    for row in waiting:
        _accept(ports, model, row, now)


def _acknowledge(ports: Ports, model: Model, now: Instant, approval: Span) -> None:
    """The same person, in the same time, acknowledges an incident that keeps the loop from training."""
    state = ports.ledger.state()
    capped = capped_by(state, model, "monitor", now)
    row = state.get(INCIDENTS, capped) if capped else None
    if row is not None and now >= max(row.capped_at, row.opened_at, row.reopened_at) + approval:
        taken = SettleIncident(id=ports.clock.new_id("cmd"), actor="user:backtest", incident=row.incident, verb="ack", text="")
        ports.ledger.execute(taken, decide_settle)


def _accept(ports: Ports, model: Model, row: ProposalRow, now: Instant) -> None:
    decided = {"model": model, "folds": FOLDS, "signatures": ports.library.signature}
    if row.action == "train":
        spec = runs.run_spec(ports, ports.ledger.state(), model, "schedule", now)
        runs.start(ports, spec, trigger="schedule", reason=row.reason, actor="user:backtest")
    elif row.action == "release":
        release = Release(
            id=row.proposal, actor="user:backtest", rollout=ports.clock.new_id("ro"), model=row.model, version=row.target, reason=row.reason
        )
        ports.ledger.execute(release, partial(decide_release, **decided))  # type: ignore[arg-type]
    else:
        back = Rollback(id=row.proposal, actor="user:backtest", model=row.model, reason=row.reason)
        ports.ledger.execute(back, partial(decide_rollback, **decided))  # type: ignore[arg-type]


def _result(policy: Policy, history: History, ports: Ports, evidence: ReplayEvidence, *, fit_s: float, began: float) -> Result:
    events = [recorded.event for recorded in ports.ledger.read(0, ports.ledger.size())]
    part = history.evaluated
    value = pl.Series("value", evidence.value[part], strict=False)
    told = value.is_not_null()
    y = history.rows.frame["__y"][part]
    queued = sum(isinstance(event, RunQueued) and event.trigger not in NO_ATTEMPTS for event in events)
    return Result(
        name=policy.name,
        quality=quality(policy.model, y.filter(told), value.filter(told)) if told.any() else float("nan"),
        answered=int(told.sum()),
        retrains=max(queued - 1, 0),
        released=sum(isinstance(event, ChampionChanged) and not event.rollback for event in events),
        rejected=sum(isinstance(event, VersionRejected) for event in events),
        alerts=sum(
            isinstance(event, AlertMoved) and event.target == AlertState.FIRING and event.finding.severity == "alert" for event in events
        ),
        rollbacks=sum(isinstance(event, RolloutMoved) and event.target == RolloutState.ROLLING_BACK for event in events),
        elapsed_s=time.process_time() - began,
        fit_s=fit_s,
    )
