"""What the API gives: the same typed commands as the command line, in the caller's name. It decides nothing.

A command's id comes with the request, so that a request that is repeated is the same command and is carried out once.
"""

from __future__ import annotations

import threading

from flyball.api import answers, bodies
from flyball.api.asking import PREFIX, Answer, Asked
from flyball.api.reading import find_version
from flyball.clock import Instant, Span
from flyball.declare.model import Model
from flyball.errors import BadInput, Unavailable
from flyball.loop import approvals, lookup, orders, pushing, reproducing, tokens, training, waivers
from flyball.loop.commands import CancelRun, changes, decide_apply, decide_cancel_run
from flyball.loop.compiling import compile_project
from flyball.loop.declaring import apply_command, told
from flyball.loop.local import new_secret
from flyball.loop.ports import CommandT, Decide
from flyball.loop.tokens import (
    RevokeToken,
    decide_create,
    decide_revoke,
)
from flyball.records.base import Event, Receipt
from flyball.records.data import DATASETS
from flyball.records.declarations import DECLARATIONS
from flyball.records.identity import TokenCreated
from flyball.records.models import ModelRef, valid_name
from flyball.records.rollouts import RolloutPlanned
from flyball.records.training import RunQueued, RunSpec, Trigger
from flyball.records.versions import VersionRow

_READING = threading.Lock()
"""Each reading of the loop files is a process: callers cannot have as many as they like."""


def apply(asked: Asked) -> Answer:
    """Read all loop files and make what they declare the declarations in effect. A broken file stops its own models alone."""
    wired = asked.wired
    if not _READING.acquire(blocking=False):
        raise Unavailable("the loop files are being read already", why="one request at a time reads them", fix="try again", retry_after=2)
    try:
        compilation = compile_project(wired.root)
    finally:
        _READING.release()
    compilation.refuse_empty(wired.root)
    before = dict(asked.state().scan(DECLARATIONS))
    command = apply_command(compilation, wired.blobs, command=asked.command, actor=asked.caller.actor)
    receipt = asked.ports.ledger.execute(command, decide_apply)
    changed = tuple(
        answers.Changed(model=each.model, file=each.file, changed=changes(before.get(each.model), each)) for each in command.models
    )
    broken = tuple(answers.BrokenFile(file=file.file, problems=told(file.problems)) for file in compilation.broken)
    return Answer(answers.Applied(models=changed, broken=broken, gone=tuple(compilation.gone(before)), event=receipt.last))


def roll_back(asked: Asked) -> Answer:
    """Leave the rollout that is under way; without one, the former champion answers again."""
    declared = _declared(asked, asked.path["model"])
    command, decide = orders.rollback(asked.ports, declared, command=asked.command, actor=asked.caller.actor, reason=asked.reason)
    receipt, events = _give(asked, command, decide)
    left, to = lookup.rolled_back(asked.state(), declared.name, events)
    return Answer(answers.RolledBack(model=declared.name, left=left, to=to, event=receipt.last))


def push_rows(asked: Asked) -> Answer:
    """Keep rows of a data set that is declared `push://`.

    They are on the disk when this is answered, each checked by itself; 422 only if all are refused.
    """
    body: bodies.Rows = asked.body
    state, name = asked.state(), valid_name(asked.path["dataset"], "data set")
    dataset = pushing.pushed(state, asked.ports.library, name)
    if not lookup.datasets_of(asked.caller, asked.ports.library, state)(name):
        raise lookup.missing("data set", name, [])
    row = state.get(DATASETS, name)
    head = row.head if row is not None else None
    taken = pushing.push(asked.wired.layout.push, dataset, body.rows, now=asked.now, command=asked.command, head=head)
    refused = tuple(
        answers.RefusedRow(index=place, code=error.code, detail=f"{error.what}: {error.why}" if error.why else error.what, fix=error.fix)
        for place, error in taken.refused
    )
    return Answer(answers.RowsTaken(accepted=taken.accepted, refused=refused, cursor=taken.last))


def train(asked: Asked) -> Answer:
    """Queue a run on the newest data that holds its contract. The loop makes it; its version is judged when it has ended."""
    body: bodies.Training = asked.body
    model, ports = _declared(asked, body.model), asked.ports
    trigger: Trigger = "reproduction" if body.reproduce else "manual"
    spec = _again(asked, body) if body.reproduce else _anew(asked, model, body)
    reason = body.reason or (f"{spec.reproduces} is made again for" if body.reproduce else "asked for by") + f" {asked.caller.actor}"
    release = body.release and not body.reproduce
    run, receipt = training.start(
        ports, spec, trigger=trigger, reason=reason, actor=asked.caller.actor, release=release, command=asked.command
    )
    # a command that was given before has queued another run than the one just named
    run = next((event.run for event in lookup.events_of(ports.ledger, receipt) if isinstance(event, RunQueued)), run)
    return Answer(answers.RunWanted(run=run, model=model.name, event=receipt.last), location=f"{PREFIX}/runs/{run}")


def _anew(asked: Asked, model: Model, body: bodies.Training) -> RunSpec:
    orders.check_parameters(model, body.parameters)
    return training.run_spec(asked.ports, asked.state(), model, "manual", asked.now, parameters=body.parameters, trials=body.trials)


def _again(asked: Asked, body: bodies.Training) -> RunSpec:
    if body.parameters or body.trials is not None:
        why = "a run is made again with the hyperparameters it had"
        raise BadInput("reproduce stands with no parameters and no trials", why=why, fix="leave them out")
    state = asked.state()
    return reproducing.reproduction_spec(asked.ports, state, reproducing.find(state, body.model, body.reproduce))


def cancel_run(asked: Asked) -> Answer:
    """Stop a run that has not ended."""
    row = lookup.run(asked.state(), asked.path["run"], asked.sees)
    asked.must_see(row.model)
    command = CancelRun(id=asked.command, actor=asked.caller.actor, run=row.run, reason=asked.reason or "no reason was given")
    receipt, _ = _give(asked, command, decide_cancel_run)
    asked.ports.runs.cancel(row.run, row.attempt)
    return Answer(answers.RunEnded(run=row.run, state=lookup.run(asked.state(), row.run).state, event=receipt.last))


def judge(asked: Asked) -> Answer:
    """A person's verdict on a version: `approve`, `reject`, or `waive` with a `gate`, always with a reason.

    Nobody approves what is their own, or waives a gate of it: four eyes.
    """
    body: bodies.Judging = asked.body
    reason = _reason(asked, "a person's verdict needs a reason")
    row = find_version(asked, asked.state())
    if body.verdict != "waive" and (body.gate or body.until):
        raise BadInput(f"a verdict to {body.verdict} names no gate and no end", why="both are of a waiver", fix='send "verdict": "waive"')
    if body.verdict == "waive":
        receipt = _waive(asked, row, body, reason)
    elif body.verdict == "approve":
        receipt, _ = _give(asked, *approvals.approve(asked.ports, asked.caller, row, command=asked.command, reason=reason))
    else:
        receipt, _ = _give(asked, *approvals.reject(asked.ports, asked.caller, row, command=asked.command, reason=reason))
    after = lookup.version(asked.state(), ModelRef(model=row.model, version=row.version))
    return Answer(answers.Judged(model=row.model, version=row.version, state=after.state, event=receipt.last))


def _waive(asked: Asked, row: VersionRow, body: bodies.Judging, reason: str) -> Receipt:
    if not body.gate.strip():
        raise BadInput("no gate is named", why="a waiver is of one gate", fix='"gate": "accuracy ≥ 0.7", as the verdicts write it')
    until = waivers.end_of(body.until, asked.now)
    command, decide = waivers.waive(asked.ports, asked.caller, row, command=asked.command, gate=body.gate, reason=reason, until=until)
    return _give(asked, command, decide)[0]


def release(asked: Asked) -> Answer:
    """Start a version's rollout. Refused unless every gate passed."""
    body: bodies.Releasing = asked.body
    model = _declared(asked, body.model)
    ref = lookup.exact(model.name, body.version)
    asked.wired.take_over(asked.caller, model.name, ref.version, asked.command)
    row = lookup.version(asked.state(), ref)
    command, decide = orders.release(
        asked.ports,
        model,
        row.version,
        command=asked.command,
        actor=asked.caller.actor,
        reason=asked.reason,
        outside_window=body.outside_window,
    )
    receipt, events = _give(asked, command, decide)
    # as with a run: a repeated command has started another rollout than the one just named
    rollout = next((event.rollout for event in events if isinstance(event, RolloutPlanned)), command.rollout)
    answer = answers.Released(rollout=rollout, model=model.name, version=row.version, event=receipt.last, deprecated=row.deprecated)
    return Answer(answer, location=f"{PREFIX}/rollouts/{rollout}")


def pause(asked: Asked) -> Answer:
    """Stop a rollout where it is; traffic stays as it is split. A guard that fires still rolls it back."""
    return _steer(asked, "pause")


def resume(asked: Asked) -> Answer:
    """Let a paused or frozen rollout go on."""
    return _steer(asked, "resume")


def abort(asked: Asked) -> Answer:
    """Roll it back: the champion from before takes all traffic again."""
    return _steer(asked, "abort")


def _steer(asked: Asked, verb: orders.SteerVerb) -> Answer:
    row = lookup.rollout(asked.state(), asked.path["rollout"], asked.sees)
    asked.must_see(row.model)
    command, decide = orders.steer(asked.ports, row, verb, command=asked.command, actor=asked.caller.actor, reason=asked.reason)
    receipt, _ = _give(asked, command, decide)
    after = lookup.rollout(asked.state(), row.rollout)
    return Answer(answers.Steered(rollout=row.rollout, left=row.state, state=after.state, event=receipt.last))


def acknowledge(asked: Asked) -> Answer:
    """Say that somebody is on it. It is noted with the reason, and its alert, if it has one, is acknowledged."""
    return _settle(asked, "ack", asked.reason)


def resolve(asked: Asked) -> Answer:
    """Close it as a false alarm, with a reason. What really was wrong closes by itself, when that is seen."""
    return _settle(asked, "resolve", asked.reason)


def _settle(asked: Asked, verb: orders.SettleVerb, text: str) -> Answer:
    row = lookup.incident(asked.state(), asked.path["incident"], asked.sees)
    asked.must_see(row.model)
    command, decide = orders.settle(row, verb, command=asked.command, actor=asked.caller.actor, text=text)
    receipt, _ = _give(asked, command, decide)
    after = lookup.incident(asked.state(), row.incident)
    return Answer(answers.Settled(incident=row.incident, state=after.state.value, event=receipt.last))


def create_token(asked: Asked) -> Answer:
    """Give a person a token. Its secret is in this answer and nowhere else: a repeated request does not tell it again."""
    body: bodies.NewToken = asked.body
    secret = new_secret()
    command = tokens.order(
        command=asked.command,
        actor=asked.caller.actor,
        token=asked.ports.clock.new_id("tok"),
        person=body.person,
        secret=secret,
        team=body.team,
        jobs=body.jobs,
        roles=body.roles,
        scopes=body.scopes,
        models=body.models,
        expires_at=_expiry(body.expires_in, asked.now) if body.expires_in else 0,
    )
    receipt, events = _give(asked, command, decide_create)
    token = next((event.token for event in events if isinstance(event, TokenCreated)), command.token)
    # one that was given before has another secret than the one just made
    made = answers.TokenMade(token=token, person=command.person, secret=None if receipt.repeated else secret, event=receipt.last)
    silent = answers.TokenMade(token=token, person=command.person, secret=None, event=receipt.last)
    return Answer(made, location=f"{PREFIX}/tokens/{token}", kept=silent)


def revoke_token(asked: Asked) -> Answer:
    """Refuse a token from here on. A reason is asked for: it is told to whoever still uses it."""
    reason = _reason(asked, "revoking a token needs a reason")
    command = RevokeToken(id=asked.command, actor=asked.caller.actor, token=asked.path["token"], reason=reason[: tokens.LONGEST_REASON])
    receipt, _ = _give(asked, command, decide_revoke)
    return Answer(answers.TokenTaken(token=command.token, event=receipt.last))


def _declared(asked: Asked, name: str) -> Model:
    """The declaration in effect of a model that the caller's token is for. Raises Refused, NotFound."""
    asked.must_see(name)
    return lookup.declared(asked.ports, name)


def _reason(asked: Asked, what: str) -> str:
    if not asked.reason.strip():
        raise BadInput(what, why="it is recorded under your name", fix='send {"reason": "…"}')
    return asked.reason


def _give(asked: Asked, command: CommandT, decide: Decide[CommandT]) -> tuple[Receipt, list[Event]]:
    receipt = asked.ports.ledger.execute(command, decide)
    return receipt, lookup.events_of(asked.ports.ledger, receipt)


def _expiry(text: str, now: Instant) -> Instant:
    try:
        found = Span.parse(text)
        ends = found.after(now)
    except ValueError as error:
        raise BadInput(f'expires_in is "{text[:40]}"', why=str(error), fix='write "90d"') from None
    if found <= 0:
        raise BadInput(f'expires_in is "{text[:40]}"', why="it would have expired already", fix='write "90d"')
    return ends
