"""`flyball train`: make a run, follow it to its end, and show how its version was judged."""

from __future__ import annotations

import json
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from flyball.cli import common, reproduce
from flyball.cli.apply import declare
from flyball.cli.common import HERE, Acting, DryRun, Env, Json, Key, Project, Quiet, Reason
from flyball.cli.costs import cost_text
from flyball.cli.look import look
from flyball.cli.models import verdict_line, verdicts
from flyball.cli.output import Bar, Output, number
from flyball.cli.release import start as release
from flyball.data.rules import told_source, usable
from flyball.declare.live import grows
from flyball.declare.reads import made_from
from flyball.errors import BadInput, Conflict, DeclarationError, FlyballError, NotFound
from flyball.loop import lookup, orders, training
from flyball.loop.commands import CancelRun, Train, active_run, answers, decide_cancel_run, decide_train
from flyball.loop.people import another
from flyball.loop.requests import never_released, never_text
from flyball.loop.tick import observe_runs
from flyball.records.base import Refusal
from flyball.records.data import DATASETS, DatasetVersion
from flyball.records.declarations import DECLARATIONS
from flyball.records.estimates import Outcome
from flyball.records.models import ModelRef
from flyball.records.training import RUNS, RunQueued, RunRow, RunState
from flyball.records.versions import VersionRow, VersionState
from flyball.registry.approvals import denied
from flyball.registry.mends import mends
from flyball.registry.told import count

if TYPE_CHECKING:
    from flyball.declare.model import Model
    from flyball.wiring import Wired

app = common.app()
_LOOK_S = 0.1
_OVER = (RunState.SUCCEEDED, RunState.FAILED, RunState.CANCELLED)


class _Seen(msgspec.Struct, forbid_unknown_fields=False):
    """A job's progress.json."""

    stage: str = ""
    done: int = 0
    total: int = 0
    objective: str = ""
    best: float | None = None


@app.command()
def train(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="which model")],
    *,
    trials: Annotated[
        int | None,
        typer.Option(
            "--trials",
            metavar="N",
            min=0,
            max=training.MOST_TRIALS,
            help="hyperparameters to try; 0: the declared defaults",
            show_default=False,
        ),
    ] = None,
    fixed: Annotated[list[str] | None, typer.Option("--set", metavar="K=V", help="fix a hyperparameter; may be given again")] = None,
    release_now: Annotated[bool, typer.Option("--release", help="release the version at once if its gates pass, exit 1 if not")] = False,
    no_release: Annotated[bool, typer.Option("--no-release", help="keep the loop from releasing the version")] = False,
    again: Annotated[
        str, typer.Option("--reproduce", metavar="RUN", help="make a run (or MODEL@V's) again: the same artifact, or what differs")
    ] = "",
    reason: Reason = "",
    dry_run: DryRun = False,
    key: Key = "",
    env: Env = "",
    project: Project = HERE,
    as_json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Train a model on the newest data that holds its contract, judge it on the hold-out, and register the version.

    The project's files are applied first. Exit 0 when the run succeeded, whatever its gates say; with `--reproduce`, when its artifact is the same.
    """
    out = Output(as_json=as_json, quiet=quiet)
    common.not_both("--release", "--no-release", both=release_now and no_release)
    if again:
        _alone(fixed=fixed, trials=trials, release=release_now or no_release or None)
        return _reproduce(project, env, out, model, again, Acting(reason, dry_run, key))
    parameters = _parameters(fixed or [])
    with common.opened(project, env) as wired:
        name = common.model_name(model)
        if dry_run:
            return _dry_run(wired, out, name, parameters, trials, Acting(reason, dry_run, key), release=not no_release)
        declared = _declared(wired, name)
        training.made_here(wired.ports, declared)
        orders.check_parameters(declared, parameters)
        data = _data(wired, declared)
        refused = _doubts(wired, out, declared, data)
        holds = "contract holds" if not refused else "the last good version: what the source holds now breaks its contract"
        out.line(f"data      {data.name}@{data.version}  {data.rows:,} rows  {holds}")
        run = start(wired, out, declared, parameters, trials, Acting(reason, key=key), release=not no_release)
        row = follow(wired, out, declared, run)
        if row.state is not RunState.SUCCEEDED:
            raise failed(wired, row)
        used = {"name": data.name, "version": data.version, "rows": data.rows, "refused": list(refused)}
        return _report(wired, out, declared, row, used, release_now=release_now)


def _alone(**others: object) -> None:
    """A run is made again as it was, or it is another run. Raises BadArgument."""
    if any(value is not None for value in others.values()):
        raise common.BadArgument(
            "--reproduce stands with no --trials, --set or --release",
            why="a run is made again with the hyperparameters it had, and registers no version",
            fix="leave them out",
        )


def _reproduce(project: Path, env: str, out: Output, model: str, named: str, acting: Acting) -> int:
    with common.opened(project, env) as wired:
        declared = common.declared(wired, common.model_name(model))
        run = reproduce.queue(wired, out, declared.name, named, acting)
        if not run:
            return 0
        row = follow(wired, out, declared, run)
        if row.state is not RunState.SUCCEEDED:
            raise failed(wired, row)
        return reproduce.report(wired, out, row)


def _dry_run(
    wired: Wired,
    out: Output,
    name: str,
    parameters: dict[str, int | float | str | bool],
    trials: int | None,
    acting: Acting,
    *,
    release: bool,
) -> int:
    """What would be queued on what is applied and read by now: a dry run applies nothing and reads nothing."""
    model, ports = common.declared(wired, name), wired.ports
    orders.check_parameters(model, parameters)
    spec = training.run_spec(ports, ports.ledger.state(), model, "manual", ports.clock.now(), parameters=parameters, trials=trials)
    command = Train(
        id=common.command_id(wired, acting, _order(name, parameters, trials, release=release)),
        actor=wired.caller.actor,
        run=ports.clock.new_id("run"),
        model=name,
        trigger="manual",
        reason=acting.reason or f"asked for by {wired.caller.actor}",
        spec="",
        what=spec,
        release=release,
    )
    common.act(wired, out, command, decide_train, acting)
    return 0


def _declared(wired: Wired, name: str) -> Model:
    """Apply the project's files, then the model. Raises DeclarationError when the model's own file is broken, NotFound."""
    compilation = declare(wired)
    row = wired.ports.ledger.state().get(DECLARATIONS, name)
    for file in compilation.broken:
        if file.stops(name) and (row is None or row.file == file.file):
            raise DeclarationError(f"{file.file} cannot be used", fix="flyball check", problems=file.problems)
    if compilation.gone([name] if row is not None else []):
        raise NotFound(
            f"no loop file declares {name} any more", why=f"{row.file if row else ''} did", fix="bring it back, or train another model"
        )
    return common.declared(wired, name)


def _data(wired: Wired, model: Model) -> DatasetVersion:
    """Look at what the model is made from; the version of its own data set. Raises BadInput where one of them has none to be used."""
    look(wired, model)
    state, found = wired.ports.ledger.state(), {}
    for name, dataset in made_from(model).items():
        row = state.get(DATASETS, name)
        head = found[name] = usable(row, dataset)
        if row is not None and row.refused_mark and head is None:
            raise BadInput(
                f'data set "{name}" does not hold its contract',
                why="; ".join(text.splitlines()[0] for text in row.violations),
                fix="flyball check --data says more",
            )
        if head is None:
            raise BadInput(f'data set "{name}" has no rows yet', why=f"it is read from {told_source(dataset)}", fix="put them there")
    own = found[model.data.name]
    assert own is not None
    return own


def _doubts(wired: Wired, out: Output, model: Model, data: DatasetVersion) -> tuple[str, ...]:
    """Say what of the sources as they are now is not used, and why; return that of the model's own data set."""
    state = wired.ports.ledger.state()
    source = state.get(DATASETS, data.name)
    refused = source.violations if source is not None and source.refused_mark else ()
    if refused:
        out.note(f"refused   what the source holds now, so the last good version is used: {refused[0].splitlines()[0]}")
        out.note("          flyball check --data says more")
    for why in training.unread(state, model).values():
        out.note(f"suite     its cases cannot be read, so it is insufficient: {why}")
    return refused


def _parameters(given: list[str]) -> dict[str, int | float | str | bool]:
    found: dict[str, int | float | str | bool] = {}
    for item in given:
        name, sign, text = item.partition("=")
        if not sign or not name.isidentifier():
            raise common.BadArgument(f'"{item}" fixes nothing', why="--set takes a name and a value", fix="--set max_depth=4")
        if name in found:
            raise common.BadArgument(f"{name} is set twice", why="a run has one value of each hyperparameter", fix=f"--set {name}=… once")
        try:
            value: Any = json.loads(text)
        except ValueError:
            value = text
        found[name] = value if isinstance(value, int | float | str | bool) else text
    with common.reading_options():
        orders.check_numbers(found)
    return found


def start(
    wired: Wired,
    out: Output,
    model: Model,
    parameters: dict[str, int | float | str | bool],
    trials: int | None,
    acting: Acting,
    *,
    release: bool,
) -> str:
    """Queue a run; returns its id. A run of the same declaration that the loop has just started is the one to follow.

    Raises Conflict where another one is under way: of a former declaration, of other hyperparameters, or one that trains nothing.
    """
    ports = wired.ports
    running, declared = active_run(ports.ledger.state(), model.name), ports.ledger.state().get(DECLARATIONS, model.name)
    if running is not None and declared is not None and not common.is_up(wired):
        # nobody else looks at it: one whose process was killed would be said to run for ever
        observe_runs(wired.driving(), [declared])
    state = ports.ledger.state()
    running = active_run(state, model.name)
    same = running is not None and declared is not None and answers(running, declared.version_digest)
    if running is not None and same and not parameters and trials is None:
        out.note(f"{running.run} is under way already ({running.reason}): following it")
        return running.run
    spec = training.run_spec(ports, state, model, "manual", ports.clock.now(), parameters=parameters, trials=trials)
    reason = acting.reason or f"asked for by {wired.caller.actor}"
    command = common.command_id(wired, acting, _order(model.name, parameters, trials, release=release))
    run, receipt = training.start(ports, spec, trigger="manual", reason=reason, actor=wired.caller.actor, release=release, command=command)
    # a command that was given before has queued another run than the one just named
    return next((event.run for event in lookup.events_of(ports.ledger, receipt) if isinstance(event, RunQueued)), run)


def _order(model: str, parameters: dict[str, int | float | str | bool], trials: int | None, *, release: bool) -> str:
    """What a key stands for."""
    return f"train {model} {sorted(parameters.items())} {trials} {release}"


def follow(wired: Wired, out: Output, model: Model, run: str) -> RunRow:
    """Show progress until the run has ended. Where nothing is up, this process does the loop's part for it."""
    bar, driving = Bar(out, "search"), not common.is_up(wired)
    try:
        while True:
            state = wired.ports.ledger.state()
            row, declared = state.get(RUNS, run), state.get(DECLARATIONS, model.name)
            assert row is not None, f"{run} was queued and is not there"
            _progress(wired, bar, run)
            if row.state in _OVER:
                bar.end()
                return row
            if driving and declared is not None:
                observe_runs(wired.driving(), [declared])
            elif not common.is_up(wired):
                driving = True
            time.sleep(_LOOK_S)
    except KeyboardInterrupt:
        bar.end()
        _interrupted(wired, out, run, driving=driving)
        raise


def _interrupted(wired: Wired, out: Output, run: str, *, driving: bool) -> None:
    """What becomes of the run: with `up` it goes on; without, nobody would keep it, so it is cancelled."""
    if not driving:
        out.note(f"{run} goes on: flyball is up and keeps it; flyball status shows it")
        return
    row = wired.ports.ledger.state().get(RUNS, run)
    if row is not None and row.state not in _OVER:
        wired.ports.runs.cancel(run, row.attempt)
        command = CancelRun(id=wired.ports.clock.new_id("cmd"), actor=wired.caller.actor, run=run, reason="interrupted")
        wired.ports.ledger.execute(command, decide_cancel_run)
        out.note(f"{run} is cancelled: flyball is not up, so nobody would keep it")


def _progress(wired: Wired, bar: Bar, run: str) -> None:
    jobs = wired.layout.root / "jobs" / run
    newest = max((path for path in jobs.glob("*/progress.json")), key=lambda path: path.parent.name, default=None)
    if newest is None:
        return
    try:
        seen = msgspec.json.decode(newest.read_bytes(), type=_Seen)
    except (OSError, msgspec.DecodeError):
        return
    if seen.total:
        best = "" if seen.best is None else f"  best {seen.objective} {number(seen.best)}"
        bar.show(seen.done / seen.total, f"{seen.done}/{seen.total}{best}")
    elif seen.stage:
        bar.stage(seen.stage)


def _report(wired: Wired, out: Output, model: Model, row: RunRow, used: dict[str, Any], *, release_now: bool) -> int:
    ports = wired.ports
    version = lookup.version(ports.ledger.state(), ModelRef(model=model.name, version=row.version))
    if version.state is VersionState.DELETED:
        return _deleted(out, row, version, used, release_now=release_now)
    judged = ports.library.result(version.result)
    result, reused = ports.library.result(row.result), lookup.reused(ports.ledger.state(), row)
    for place, verdict in enumerate(version.verdicts):
        out.line(f"{'gates' if place == 0 else '':<10}{verdict_line(out, verdict)}")
    if version.unlisted:
        left = ", ".join(f"{number} {outcome}" for outcome, number in version.unlisted.items())
        out.line(f"{'':<10}and {left}: flyball models show {model.name}@{version.version}")
    for note in result.notes:
        out.line(f"note      {note}")
    if result.cost is not None and not reused:
        out.line(f"cost      {cost_text(result.cost)}")
    if same := _same(row, version, reused):
        out.line(f"same      {same}")
    rollout = _release(wired, model, version) if release_now and version.state is VersionState.ELIGIBLE else ""
    never = never_released(ports.ledger.state(), version, ports.library.signature)
    out.line(f"{row.run}  → {model.name}@{version.version}, {_standing(wired, model, version, row, rollout, never)}")
    out.document(
        {
            "run": row.run,
            "model": model.name,
            "data": used,
            "version": version.version,
            "state": "candidate" if version.state in (VersionState.REGISTERED, VersionState.HELD) else version.state,
            "metrics": version.metrics,
            "verdicts": [{"gate": one.check, "verdict": one.outcome} | _told(one) for one in verdicts(version, judged, ports.clock.now())],
            "parameters": result.parameters,
            "notes": result.notes,
            "window": str(result.window),
            "cpu_s": 0.0 if reused else round(result.whole_cpu_s, 3),
            "cost": None if reused else result.cost,
            "reused": reused or None,
            "made_by": version.run,
            "rollout": rollout or None,
            "never_released": never_text(never, version) if never is not None else None,
        }
    )
    stopped = version.state in (VersionState.REJECTED, VersionState.HELD)
    return 1 if release_now and stopped else 0


def _deleted(out: Output, row: RunRow, version: VersionRow, used: dict[str, Any], *, release_now: bool) -> int:
    """A run that made again what was given up and then deleted: nothing of it can be released."""
    ref = f"{version.model}@{version.version}"
    said = [f"{no.actor} said no: {no.reason}" for no in denied(version)]
    gone = [f"it was in quarantine: {version.quarantined}"] if version.quarantined else ["it was rolled back"] if version.taken_back else []
    why = "what is learned once more of the same rows gets no other name; other rows, features or hyperparameters make another version"
    out.line(f"{row.run}  → {ref}, deleted ({'; '.join([*said, *gone, version.retired_why])}); {why}")
    out.document({"run": row.run, "model": row.model, "data": used, "version": version.version, "state": version.state, "rollout": None})
    return 1 if release_now else 0


def _same(row: RunRow, version: VersionRow, reused: str) -> str:
    """That a run gave nothing new, and how another one is made; empty for a run that made its version."""
    if reused:
        again = f"flyball train {row.model} --reproduce {reused} fits it once more"
        return f"nothing has changed since {reused}, so nothing was fitted and this is what it gave; --set K=V or --trials N make another, {again}"
    if version.run == row.run:
        return ""
    return f"what was learned is {row.model}@{version.version} of {version.run} again, byte for byte, so it is no new version"


def _told(verdict: Any) -> dict[str, Any]:
    return {name: getattr(verdict, name) for name in ("slice", "estimate", "reference", "why") if getattr(verdict, name)}


def _release(wired: Wired, model: Model, version: VersionRow) -> str:
    """Release it as this person; if the loop was quicker, that is its rollout."""
    quiet = Output(as_json=False, quiet=True)
    try:
        started = release(wired, quiet, model, version.version, Acting(reason=f"trained and released by {wired.caller.actor}"))
    except Conflict:
        active = lookup.active_rollout(wired.ports.ledger.state(), model.name)
        if active is None or active.version != version.version:
            raise
        return active.rollout
    return started[0] if started else ""


def _standing(wired: Wired, model: Model, version: VersionRow, row: RunRow, rollout: str, never: Refusal | None) -> str:
    """What the version is now, and what comes next."""
    ref = f"{model.name}@{version.version}"
    if rollout:
        waits = "" if common.is_up(wired) else "; flyball is not up: start it: flyball up"
        return f"released: {rollout}{waits}"
    other = f"{never_text(never, version)}: {never.fix}" if never is not None else ""
    if version.state in (VersionState.REJECTED, VersionState.HELD):
        whom = partial(another, wired.ports.ledger.state(), version, wired.ports.clock.now())
        said = " and ".join(filter(None, (_gates(version, Outcome.FAIL, "failed"), _gates(version, Outcome.INSUFFICIENT, "open"))))
        state = "rejected" if version.state is VersionState.REJECTED else "candidate: held"
        return f"{state} by {said}, and {other}" if other else f"{state} by {said}: {mends(version, whom, grows=grows(model))}"
    if version.state is VersionState.ELIGIBLE and other:
        return f"eligible, and never released: {other}"
    if version.state is VersionState.ELIGIBLE:
        by_loop = row.release and model.autonomy.release == "act"
        return (
            "eligible: the loop releases it" + ("" if common.is_up(wired) else " when flyball is up")
            if by_loop
            else f"eligible: flyball release {ref}"
        )
    return version.state.value


def _gates(version: VersionRow, outcome: Outcome, kind: str) -> str:
    """How many gates came to this: "2 open gates"; empty for none."""
    number = count(version, outcome)
    return f"{number} {kind} {'gate' if number == 1 else 'gates'}" if number else ""


def failed(wired: Wired, row: RunRow) -> FlyballError:
    """The error of a run that has no result. Its reason was drawn as text for the record: what, then lines of why and fix."""
    what, *more = row.why.split("\n    ")
    told = {kind: [line[5:] for line in more if line.startswith(f"{kind}  ")] for kind in ("why", "fix")}
    return FlyballError(
        f"{row.run} {'was cancelled' if row.state is RunState.CANCELLED else 'failed'}",
        why="; ".join([what, *told["why"]]),
        fix="; ".join([*told["fix"], f"its log: {_log(wired, row)}"]),
        code=row.code or "run-failed",
    )


def _log(wired: Wired, row: RunRow) -> str:
    return str(wired.layout.root / "jobs" / row.run / str(max(row.attempt, 1)) / "log.txt")
