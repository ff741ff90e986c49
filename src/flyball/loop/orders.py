"""What a person may order, made into the typed command and its decision: the command line and the HTTP API give the very same ones.

Each returns (command, decide); who carries it out gives both to the ledger.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping
from functools import partial
from typing import Literal

from flyball.declare.model import Model
from flyball.declare.units import near
from flyball.errors import BadInput, line
from flyball.loop.fallbacks import BeginFallback, decide_begin
from flyball.loop.findings import OpenIncident, SettleIncident, decide_open, decide_settle
from flyball.loop.folds import FOLDS
from flyball.loop.lookup import declared
from flyball.loop.memory import load, recent_latency
from flyball.loop.ports import Decide, Ports
from flyball.loop.releases import Release, Rollback, Steer, decide_release, decide_rollback, decide_steer
from flyball.records.incidents import IncidentRow, Review
from flyball.records.rollouts import RolloutRow
from flyball.rollout.rules import slow_threshold

SteerVerb = Literal["pause", "resume", "abort"]
SettleVerb = Literal["ack", "mitigated", "review", "resolve"]
OUTSIDE, OUTSIDE_WHY = "a release outside the change window needs a reason", "it is recorded under your name"
_LONGEST_TEXT = 2000
_LONGEST_ID = 200
_MOST_WHOLE = 2**53


def check_parameters(model: Model, parameters: Mapping[str, object]) -> None:
    """A name close to one that is searched is a slip of the pen; others may be parameters of fit that nobody searches. Raises BadInput."""
    if model.train is None:
        raise BadInput(f"{model.name} is not trained here", why="it declares no train=", fix="declare train=fb.Train(fit)")
    check_numbers(parameters)
    searched = model.train.search
    for name in parameters:
        if name not in searched and difflib.get_close_matches(name, searched, n=1, cutoff=0.8):
            raise BadInput(f'fit of {model.name} has no hyperparameter "{name}"', fix=near(name, searched))


def check_numbers(parameters: Mapping[str, object]) -> None:
    """A run's hyperparameters are written down and hashed, as JSON has numbers. Raises BadInput for one that cannot be."""
    for name, value in parameters.items():
        if isinstance(value, float) and not math.isfinite(value):
            raise BadInput(
                f"{name}={value} is not finite",
                why="a run's hyperparameters are written down, and JSON has no such number",
                fix=f"{name}=1e9",
            )
        if isinstance(value, int) and abs(value) >= _MOST_WHOLE:
            why = "a run's hyperparameters are written down as JSON, where whole numbers are exact below 2^53 alone"
            raise BadInput(f"{name} is too large a whole number", why=why, fix=f"a smaller one, or a float: {name}=1e18")


def release(
    ports: Ports, model: Model, version: str, *, command: str, actor: str, reason: str, outside_window: bool = False
) -> tuple[Release, Decide[Release]]:
    """Start the rollout of a version. `outside_window`: it goes forward while the change window is closed, too. Raises BadInput where that has no reason."""
    if outside_window and not reason.strip():
        raise BadInput(OUTSIDE, why=OUTSIDE_WHY, fix="say why it cannot wait")
    order = Release(
        id=command,
        actor=actor,
        rollout=ports.clock.new_id("ro"),
        model=model.name,
        version=version,
        reason=reason or f"released by {actor}",
        slow_us=slow_threshold(recent_latency(load(ports.memory).monitor(model.name)), model.rollout, model.framing.act_within),
        before=ports.before.name if ports.before is not None else "",
        outside_window=outside_window,
    )
    return order, partial(decide_release, model=model, folds=FOLDS, signatures=ports.library.signature)


def rollback(ports: Ports, model: Model, *, command: str, actor: str, reason: str) -> tuple[Rollback, Decide[Rollback]]:
    """Leave the rollout that is under way; without one, the former champion answers again."""
    order = Rollback(id=command, actor=actor, model=model.name, reason=reason or "no reason was given")
    return order, partial(decide_rollback, model=model, folds=FOLDS, signatures=ports.library.signature)


def steer(ports: Ports, row: RolloutRow, verb: SteerVerb, *, command: str, actor: str, reason: str) -> tuple[Steer, Decide[Steer]]:
    """Pause, resume or abort a rollout. Raises NotFound where its model is not declared any more."""
    order = Steer(id=command, actor=actor, rollout=row.rollout, verb=verb, reason=reason or "no reason was given")
    decide = partial(decide_steer, model=declared(ports, row.model), folds=FOLDS, signatures=ports.library.signature)
    return order, decide


def settle(
    row: IncidentRow, verb: SettleVerb, *, command: str, actor: str, text: str, review: Review | None = None
) -> tuple[SettleIncident, Decide[SettleIncident]]:
    """Acknowledge an incident, say what ended a complaint, review it, or close it as a false alarm. Raises BadInput where a text is needed and there is none."""
    if verb != "ack" and not text.strip():
        what, why = _WITHOUT_TEXT[verb]
        raise BadInput(what, why=why, fix="say it in a sentence")
    said = text if verb == "review" else line(text)
    order = SettleIncident(id=command, actor=actor, incident=row.incident, verb=verb, text=said[:_LONGEST_TEXT], review=review)
    return order, decide_settle


_WITHOUT_TEXT = {
    "review": ("a review needs a text", "an empty one teaches nobody"),
    "resolve": ("a false alarm needs a reason", "it is recorded under your name"),
    "mitigated": ("what ended it is to be said", "no monitor has seen it"),
}


def complain(ports: Ports, model: Model, *, command: str, actor: str, what: str, request: str) -> tuple[OpenIncident, Decide[OpenIncident]]:
    """Open an incident of what a person says is wrong. request: the id that it is about, to the letter, for it is looked up again by this. Raises BadInput
    where nothing is said, or no gateway would have taken such an id.
    """
    if not what.strip():
        raise BadInput("a complaint needs a text", why="whoever sees to it has to know what is wrong", fix="say it in a sentence")
    if len(request) > _LONGEST_ID:
        said = f"the id of the request has {len(request):,} characters"
        raise BadInput(said, why=f"an id has {_LONGEST_ID} at most", fix="leave the request out, and say which answer it is")
    asked = request if request.strip() else ""
    order = OpenIncident(id=command, actor=actor, model=model.name, what=line(what)[:_LONGEST_TEXT], request=asked)
    return order, partial(decide_open, model=model, new_id=ports.clock.new_id)


def fall_back(ports: Ports, row: IncidentRow, *, command: str, actor: str, reason: str) -> tuple[BeginFallback, Decide[BeginFallback]]:
    """Let the declared fallback answer as long as an incident is not mitigated. Raises NotFound where its model is not declared any more."""
    model = declared(ports, row.model)
    why = reason or f"{row.incident}: {row.what}"
    order = BeginFallback(id=command, actor=actor, model=model.name, incident=row.incident, reason=why[:_LONGEST_TEXT])
    return order, partial(decide_begin, model=model, folds=FOLDS, signatures=ports.library.signature)
