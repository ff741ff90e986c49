"""The newest version that passed is released, where the loop may, and nothing stands against it."""

from __future__ import annotations

from contextlib import suppress
from functools import partial

from flyball.clock import Instant
from flyball.declare.change_window import closed
from flyball.declare.live import champion_gates, compared_live
from flyball.declare.model import Model
from flyball.errors import NotFound, Refused
from flyball.ledger.bounds import clipped
from flyball.loop.carrying import take_up
from flyball.loop.folds import FOLDS
from flyball.loop.freezes import frozen_by, overdue_review
from flyball.loop.lookup import active_rollout
from flyball.loop.memory import Memories, recent_latency
from flyball.loop.moment import anew
from flyball.loop.ports import Ports
from flyball.loop.proposals import ACTOR, candidate, may
from flyball.loop.releases import (
    Release,
    decide_release,
)
from flyball.loop.requests import unreleasable
from flyball.records.base import Refusal, State
from flyball.records.rollouts import RolloutState
from flyball.records.training import RUNS
from flyball.records.versions import MODELS, VERSIONS, ModelRow, VersionRow
from flyball.registry.rules import met_another
from flyball.rollout import rules as rollout


def compared_otherwise(ports: Ports, state: State, model: Model, version: VersionRow) -> str:
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
    state = anew(ports)
    if frozen_by(state, model, kept, ports.clock.now(), version=version.version):
        return
    if active is not None and closed(model.rollout.change_window, ports.clock.now()):
        # a release ends the watch over the one before: not for one that only waits
        return
    if model.autonomy.release == "act" and ports.reviews and (late := overdue_review(state, model.name)):
        may(ports, model, "record", "release", version.version, late)
        return
    never = unreleasable(state, version, ports.library.signature)
    if said := f"{never.what}: {never.why}" if never is not None else compared_otherwise(ports, state, model, version):
        # nobody is asked for what would be refused
        may(ports, model, "record", "release", version.version, said)
        return
    reason = clipped(f"{run.run}: {run.reason}")
    if not may(ports, model, model.autonomy.release, "release", version.version, reason):
        return
    try:
        take_up(ports, model.name, version.version)
    except (Refused, NotFound) as error:
        # what it was taken from has given it up since
        may(ports, model, "record", "release", version.version, f"{error.what}: {error.why}")
        return
    state = anew(ports)
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
        may(ports, model, "record", "release", version.version, f"{found.what}: {found.why}")
        return
    with suppress(Refused):
        # a waiver may be over by the time of the record, which never goes back as a clock does
        ports.ledger.execute(command, decide)


def about_to_release(ports: Ports, state: State, model: Model, kept: Memories, now: Instant) -> bool:
    """Whether flyball itself is about to release the newest version: until then nothing newer is trained.

    One that waits for a person, or for the end of an incident, holds nothing up: it would grow old, and the champion with it. Nor does one that a
    person keeps from release (`train --no-release`), or that can never be released beside the champion.
    """
    row = state.get(MODELS, model.name) or ModelRow(model=model.name)
    newest = candidate(state, model.name, now)
    made = state.get(RUNS, newest.run) if newest else None
    if newest is None or made is None or not made.release or newest.version == row.champion:
        return False
    if (
        model.autonomy.release != "act"
        or frozen_by(state, model, kept, now, version=newest.version)
        or compared_otherwise(ports, state, model, newest)
    ):
        return False
    if ports.reviews and overdue_review(state, model.name):
        return False
    return unreleasable(state, newest, ports.library.signature) is None
